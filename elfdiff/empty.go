package elfdiff

import "hotpatch/elfdiff/image"

// Functions without a byte: clang leaves nothing of one whose end cannot be reached (llvm_unreachable). Its address is that of whatever
// function the linker puts behind it, so that a word or a call that leads there could mean either, and each order of the link
// puts another one there.

// emptiesEqual reports whether both places are where one empty function stands. What is meant may still be the function behind it in each build;
// calling the empty one has no meaning, so that a change from the one to the other can only be a mistake of the new build's.
func (d *differ) emptiesEqual(p, q *image.Place) bool {
	if p.Addend != 0 || q.Addend != 0 || !p.Atom.IsCode() || !q.Atom.IsCode() {
		return false
	}
	for i := range p.Atom.Syms {
		if s := &p.Atom.Syms[i]; s.Empty && hasEmpty(q.Atom, s) {
			return true
		}
	}
	return false
}

// hasEmpty reports whether the empty function s of one build stands at the start of the other's atom.
func hasEmpty(a *image.Atom, s *image.Symbol) bool {
	for i := range a.Syms {
		if t := &a.Syms[i]; t.Empty && t.Name == s.Name && t.Local == s.Local && (!s.Local || t.File == s.File) {
			return true
		}
	}
	return false
}

package elfdiff

import (
	"strings"

	"hotpatch/elfdiff/image"
)

// Functions without a byte: clang leaves nothing of one whose end cannot be reached (llvm_unreachable). Its address is that of whatever
// function the linker puts behind it, so that a word or a call that leads there could mean either, and each order of the link
// puts another one there. An alias that an assembler made without a size looks alike, and whatever leads there means what stands behind it.

// emptiesEqual reports whether both places are where one empty function stands. What is meant may still be the function behind it in each build;
// calling the empty one has no meaning, so that a change from the one to the other can only be a mistake of the new build's.
func (d *differ) emptiesEqual(p, q *image.Place) bool {
	if p.Addend != 0 || q.Addend != 0 || !p.Atom.IsCode() || !q.Atom.IsCode() {
		return false
	}
	for i := range p.Atom.Syms {
		s := &p.Atom.Syms[i]
		if d.sameEmpty(p.Atom, q.Atom, s) {
			return true
		}
	}
	return false
}

// sameEmpty reports whether a symbol of an atom of either build is an empty function there, and at the other's atom.
func (d *differ) sameEmpty(a, b *image.Atom, s *image.Symbol) bool {
	return s.Empty && hasEmpty(a, s) && hasEmpty(b, s) && d.old.isEmpty(a, s.Name) && d.new.isEmpty(b, s.Name)
}

// isEmpty reports whether a symbol without a size at an atom's start is shown to be a function without a byte, and not an alias: by the
// debug information, or by a name that only compilers give (Itanium C++ ABI, 5.1; Rust RFC 2603), which give every alias a size.
func (s *side) isEmpty(a *image.Atom, name string) bool {
	if strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") {
		return true
	}
	s.emptyOnce.Do(func() {
		var err error
		if s.empties, err = s.im.EmptyFunctions(); err != nil {
			s.empties = nil // nothing is shown
		}
	})
	return s.empties[image.EmptyFunction{Addr: a.Addr, Name: name}]
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

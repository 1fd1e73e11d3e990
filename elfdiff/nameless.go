package elfdiff

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// GCC for arm64 puts the first values of a local array, if they are addresses, where the program could write: in .data, without a name. That nothing writes there
// cannot be shown, so the payload carries no copy. Where both builds have the same data in the same place between the same neighbours, a replaced
// function goes on with what the running process has.

// writable reports whether an address of the new build leads to data without a name that the program could write to.
func (e *emitter) writable(addr arch.ImageAddr) bool {
	s := e.d.new.im.SectionAt(addr)
	return s != nil && s.Writable()
}

// nameless binds an operand that leads to such data. What the same operand of the old body leads to must be as far from the start of the gap between
// two objects with names that it is in; and these gaps must be alike.
func (e *emitter) nameless(o *operandAt, p *image.Place) (sym int, addend int64, err error) {
	refuse := func(why string) (int, int64, error) {
		return 0, 0, fmt.Errorf("the data at %#x has no name, and the program could write to it: %s; a static const array has a name, and is carried", uint64(p.Addr), why)
	}
	d := e.d
	if !d.old.namesLocals() || !d.new.namesLocals() {
		return refuse("the file has no local names, so that a variable may be any other one; keep them (strip, if it must be, without -x and --strip-unneeded)")
	}
	q := e.formerPlace(o)
	if q == nil || q.Kind != image.PlaceAnon {
		return refuse("nothing corresponds to it in the old build")
	}
	new, old := d.new.im.Gap(p.Addr), d.old.im.Gap(q.Addr)
	switch size := uint64(new.End - new.Start); {
	case new.Section == nil || old.Section == nil || new.Section.Name != old.Section.Name || size != uint64(old.End-old.Start) || q.Addr-old.Start != p.Addr-new.Start:
		return refuse("the old build has it in another place")
	case !d.sameNeighbour(old.Before, new.Before) || !d.sameNeighbour(old.Behind, new.Behind):
		return refuse("the old build has it between other objects")
	case !d.contentEqual(anonAtom(d.old.im, old.Start, size), anonAtom(d.new.im, new.Start, size), 0):
		return refuse("the old build has something else there")
	default:
		sym := e.symbol(patch.Symbol{Name: fmt.Sprintf("nameless.%x", uint64(old.Start)), Kind: patch.SymImage, Value: uint64(old.Start), Size: size, Local: true})
		return sym, int64(p.Addr - new.Start), nil
	}
}

// sameNeighbour reports whether two objects beside nameless data are one and the same; nil: its section's start or end.
func (d *differ) sameNeighbour(old, new *image.Atom) bool {
	if old == nil || new == nil {
		return old == new
	}
	return d.rev.of(new) == old || old.CRT && new.CRT && old.Name == new.Name
}

// namesLocals reports whether the symbols that only one file knows were kept (strip -x drops them), so that data without a name is none of the source's variables.
func (s *side) namesLocals() bool {
	return slices.ContainsFunc(s.im.Atoms, func(a *image.Atom) bool { return a.Local && !a.CRT })
}

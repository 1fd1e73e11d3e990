package elfdiff

import (
	"math"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// reference is an operand that names a place. A large image has millions, so that what leads to an atom, an import or an address, as nearly
// all do, is packed; any other place is kept beside it. See [unit.place].
type reference struct {
	kind  image.RefKind
	width uint8           // bytes accessed; 0: unknown or none
	to    image.PlaceKind // Place.Kind
	flags refFlags
	index int32  // of the atom or the import (their ID), or in unit.places; -1: none
	addr  uint32 // Place.Addr, from the image's lowest address
}

// refFlags are the bits of a packed place.
type refFlags uint8

const (
	refViaSlot refFlags = 1 << iota
	refProven
	refNumber
	refShared
	refLone
	refKept // the place is in unit.places
)

// set returns the flag if the condition holds.
func (f refFlags) set(on bool) refFlags {
	if on {
		return f
	}
	return 0
}

// baseOf returns the address that packed addresses count from: the start of the 4 GiB that hold an image.
func baseOf(im *image.Image) arch.ImageAddr {
	if len(im.Sections) == 0 {
		return 0
	}
	return im.Sections[0].Addr &^ 0xfff
}

// pack makes the reference to a place.
func (u *unit) pack(kind image.RefKind, width uint8, p *image.Place) reference {
	r := reference{kind: kind, width: width, to: p.Kind, index: -1, flags: refViaSlot.set(p.ViaSlot) |
		refProven.set(p.Proven) | refNumber.set(p.Number) | refShared.set(p.Shared) | refLone.set(p.Lone)}
	addr := p.Addr - baseOf(u.im)
	plain := addr <= math.MaxUint32 && len(p.Candidates) == 0 && p.Linker == "" && p.Why == ""
	r.addr = uint32(addr)
	switch {
	case !plain:
	case p.Import != nil:
		r.index = int32(p.Import.ID)
		plain = p.Kind == image.PlaceImport && p.Atom == nil && p.Addend == 0 &&
			p.Import.ID < len(u.im.Imports) && u.im.Imports[p.Import.ID] == p.Import
	case p.Atom != nil:
		r.index = int32(p.Atom.ID)
		plain = p.Kind != image.PlaceImport && p.Addend == r.addend(p.Atom, p.Addr) && u.im.Atoms[p.Atom.ID] == p.Atom
	default:
		plain = p.Kind != image.PlaceImport && p.Addend == 0
	}
	if !plain {
		r.flags |= refKept
		r.index = int32(len(u.places))
		u.extra().places = append(u.places, *p)
	}
	return r
}

// addend returns Place.Addend of a packed place: a slot stands for the start of the atom.
func (r *reference) addend(a *image.Atom, addr arch.ImageAddr) int64 {
	if r.flags&refViaSlot != 0 {
		return 0
	}
	return int64(addr - a.Addr)
}

// addr returns Place.Addr of a reference.
func (u *unit) addr(r *reference) arch.ImageAddr {
	if r.flags&refKept != 0 {
		return u.places[r.index].Addr
	}
	return baseOf(u.im) + arch.ImageAddr(r.addr)
}

// atomOf returns Place.Atom of a reference.
func (u *unit) atomOf(r *reference) *image.Atom {
	switch {
	case r.flags&refKept != 0:
		return u.places[r.index].Atom
	case r.index < 0 || r.to == image.PlaceImport:
		return nil
	}
	return u.im.Atoms[r.index]
}

// place returns what a reference leads to.
func (u *unit) place(r *reference) image.Place {
	if r.flags&refKept != 0 {
		return u.places[r.index]
	}
	p := image.Place{Kind: r.to, Addr: u.addr(r), ViaSlot: r.flags&refViaSlot != 0, Proven: r.flags&refProven != 0,
		Number: r.flags&refNumber != 0, Shared: r.flags&refShared != 0, Lone: r.flags&refLone != 0}
	switch {
	case r.to == image.PlaceImport:
		p.Import = u.im.Imports[r.index]
	case r.index >= 0:
		p.Atom = u.im.Atoms[r.index]
		p.Addend = r.addend(p.Atom, p.Addr)
	}
	return p
}

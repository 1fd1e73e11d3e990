package elfdiff

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// A program that is linked for a fixed address (ET_EXEC) has absolute addresses in its code and data, and unless it was linked with
// --emit-relocs, nothing tells them from numbers (HAZARDS D18): image.Place.Number says that a field could hold either.
//
// For comparing, a field is taken for an address: one that was not, and yet leads to corresponding places at different addresses, would
// have to change together with the layout. For the patch, both readings must give the same bytes in the running process, or
// both builds must prove the address: the function's old body, or the same word of the old object, holds another value that leads to the
// corresponding place.

// asAddress returns the place as it is if the field holds an address.
func asAddress(p *image.Place) *image.Place {
	q := *p
	q.Number = false
	return &q
}

// fixedNumber reports whether a place is a field that could hold a number. (Places that are the end of one thing and the start of
// another have a reason, and thread-local ones are told by the code around them.)
func fixedNumber(p *image.Place) bool {
	return p.Number && p.Kind != image.PlaceTLS && (p.Why == "" || p.Kind == image.PlaceUnknown)
}

// numbersEqual compares two fields of which each could hold a number.
func (d *differ) numbersEqual(p, q *image.Place, how use) bool {
	if p.Kind == image.PlaceUnknown && q.Kind == image.PlaceUnknown && p.Addr == q.Addr {
		return true // nothing that it could be the address of
	}
	return d.placesEqual(asAddress(p), asAddress(q), how)
}

// fieldKey names a field of a function.
type fieldKey struct {
	part int
	off  uint32 // from the start of the part
}

// provenFields finds the fields of a changed function that both builds prove to hold addresses: the old body has a field with another
// value, and both lead to the same thing. As numbers, one would have had to be edited by just as much as the thing moved.
func (d *differ) provenFields(c *funcChange) map[fieldKey]bool {
	if !d.new.im.Fixed() || c.old == nil || c.old.err != nil || c.new.err != nil {
		return nil
	}
	old := numberPlaces(c.old)
	proven := make(map[fieldKey]bool)
	seen := make(map[arch.ImageAddr]bool) // by value: whether it is proven
	for k, p := range c.new.parts {
		body, err := c.new.im.Body(p)
		if err != nil {
			return nil
		}
		for i := range body.Refs {
			q := &body.Refs[i].Place
			if !fixedNumber(q) {
				continue
			}
			known, ok := seen[q.Addr]
			if !ok {
				known = slices.ContainsFunc(old, func(p *image.Place) bool { return d.movedAlike(p, q) })
				seen[q.Addr] = known
			}
			if known {
				proven[fieldKey{k, body.Refs[i].Off}] = true
			}
		}
	}
	return proven
}

// movedAlike reports whether two fields of different values lead to the same thing, and one that not every second number would lead to.
func (d *differ) movedAlike(p, q *image.Place) bool {
	return p.Addr != q.Addr && p.Kind == q.Kind && p.Kind != image.PlaceUnknown && d.numbersEqual(p, q, use{address: true}) &&
		(p.Kind != image.PlaceAnon || d.old.telling(p.Addr) && d.new.telling(q.Addr))
}

// telling reports whether a constant without a name is worth recognising: the start of a text, or bytes that are not all zero.
func (s *side) telling(addr arch.ImageAddr) bool {
	const certain = 4 // bytes
	b, ok := s.im.Bytes(addr, s.anonSize(addr))
	if !ok || len(b) == 0 || b[0] == 0 && len(bytes.TrimLeft(b, "\x00")) < certain {
		return false
	}
	before, ok := s.im.Bytes(addr-1, 1)
	return len(b) > certain || ok && before[0] == 0
}

// numberPlaces lists what the fields of a function that could hold numbers lead to, each once.
func numberPlaces(u *unit) []*image.Place {
	var out []*image.Place
	seen := make(map[arch.ImageAddr]bool)
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			return nil
		}
		for i := range body.Refs {
			if q := &body.Refs[i].Place; fixedNumber(q) && !seen[q.Addr] {
				seen[q.Addr] = true
				out = append(out, q)
			}
		}
	}
	return out
}

// unmoved reports whether a field that could hold a number has the same bytes in the running process whatever it holds: what it
// would be the address of is where the new build has it.
func (e *emitter) unmoved(p *image.Place) bool {
	d := e.d
	for _, b := range p.Candidates {
		if at, ok := e.running(b); !ok || at != b.Addr {
			return false
		}
	}
	switch p.Kind {
	case image.PlaceAtom:
		at, ok := e.running(p.Atom)
		return ok && at == p.Atom.Addr && (!p.Lone || e.lone(p) == nil) && e.interior(p.Atom, p.Addend) == nil
	case image.PlaceAnon:
		return e.sameConstant(p.Addr)
	case image.PlaceLinker:
		at, ok := d.old.im.LinkerSymbol(p.Linker)
		return ok && at == p.Addr && !p.Shared
	case image.PlaceImport:
		old, ok := d.old.im.Stub(p.Addr)
		return ok && importsEqual(&old, p.Import)
	case image.PlaceUnknown:
		return d.nowhere(p.Addr)
	}
	return false
}

// sameConstant reports whether the running process has the constant without a name that is at an address of the new build
// at the same address, as far as it can reach.
func (e *emitter) sameConstant(addr arch.ImageAddr) bool {
	d := e.d
	start, end := e.span(addr, 0)
	a, b := d.old.im.SectionAt(start), d.new.im.SectionAt(start)
	if a == nil || b == nil || a.Writable() || b.Writable() || d.old.im.AtomAt(start) != nil || len(d.new.im.DataRefsIn(start, end)) > 0 {
		return false
	}
	x, ok1 := d.old.im.Bytes(start, uint64(end-start))
	y, ok2 := d.new.im.Bytes(start, uint64(end-start))
	return ok1 && ok2 && bytes.Equal(x, y)
}

// settle decides what a field of code is that could hold a number: nil if its bytes can stay as they are, else the place whose
// address it is.
func (e *emitter) settle(p *image.Place, key fieldKey) (*image.Place, error) {
	switch {
	case e.unmoved(p):
		return nil, nil
	case e.proven[key]:
		return asAddress(p), nil
	}
	return nil, fmt.Errorf("%#x could be %s or a number, and the old build does not show which; "+
		"link with -pie or with -Wl,--emit-relocs", uint64(p.Addr), e.nameOf(p))
}

// nameOf says in words what a place is.
func (e *emitter) nameOf(p *image.Place) string {
	if p.Kind == image.PlaceAnon {
		if b, ok := e.d.new.im.Bytes(p.Addr, e.d.new.anonSize(p.Addr)); ok {
			if s, ok := text(b); ok {
				return "the address of " + strconv.Quote(s[:min(len(s), 60)])
			}
		}
		return "the address of a constant"
	}
	return "the address of " + placeName(p)
}

// settleWord is settle for a word at an offset of an object that is carried.
func (e *emitter) settleWord(p *image.Place, b *image.Atom, off uint64) (*image.Place, error) {
	if !e.unmoved(p) && e.provenWord(p, b, off) {
		return asAddress(p), nil
	}
	return e.settle(p, fieldKey{part: -1})
}

// provenWord reports whether the corresponding object of the old build proves that a word holds an address.
func (e *emitter) provenWord(p *image.Place, b *image.Atom, off uint64) bool {
	d := e.d
	if b.ID < 0 {
		return false
	}
	old := d.rev.of(b)
	if old == nil || off >= old.Size {
		return false
	}
	for _, r := range d.old.im.DataRefsIn(old.Addr+arch.ImageAddr(off), old.Addr+arch.ImageAddr(off)+1) {
		if fixedNumber(&r.Place) && d.movedAlike(&r.Place, p) {
			return true
		}
	}
	return false
}

// unaligned refuses an object that is carried and holds what could be an address, but is no aligned word.
func (e *emitter) unaligned(b *image.Atom, data []byte, refs []image.DataRef) error {
	if !e.d.new.im.Fixed() {
		return nil
	}
	if off := e.d.new.im.LooksLikeAddress(maskPointers(refs, data)); off >= 0 {
		return fmt.Errorf("%s+%#x could hold an address in a word that is not aligned; link with -pie or with -Wl,--emit-relocs", b.Name, off)
	}
	return nil
}

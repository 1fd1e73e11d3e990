package elfdiff

import (
	"hotpatch/elfdiff/image"
)

// judgeAlignment refuses a function whose new body may need a variable or constant aligned as the new build has it, where the old build
// keeps it at an address that is not.
//
// An instruction that names the object itself is judged by the address that it would access. One that
// goes through a register may lead to any object whose address the function takes: those that hold as many bytes and are aligned so in
// the new build have to be aligned so in the old one. (An object that is not aligned so in the new build is none that the
// compiler could have relied on.)
func (d *differ) judgeAlignment(c *funcChange) {
	for _, p := range c.new.parts {
		body, err := c.new.im.Body(p)
		if err != nil {
			continue // judgeFunction has refused it
		}
		needs := make([]int, len(body.Insts)) // by instruction
		most := 1                             // of those that name no object
		for k := range body.Insts {
			needs[k] = c.new.im.Arch.Aligned(body.Code[body.Insts[k].Off:])
			if needs[k] > 1 && !namesObject(c.new, body, int32(k)) {
				most = max(most, needs[k])
			}
		}
		for i := range body.Refs {
			r := &body.Refs[i]
			place := c.new.placeOf(r)
			if r.Kind == image.RefMem {
				d.judgeAligned(c, place, place.Addend, needs[r.Inst])
			} else if !r.Anchor && place.Atom != nil && place.Atom.Size >= uint64(most) {
				d.judgeAligned(c, place, 0, most)
			}
		}
	}
}

// namesObject reports whether instruction k accesses a place that is known.
func namesObject(u *unit, body *image.Body, k int32) bool {
	for i := range body.Refs {
		if body.Refs[i].Inst == k && body.Refs[i].Kind == image.RefMem {
			return u.placeOf(&body.Refs[i]).Kind != image.PlaceNone
		}
	}
	return false
}

// judgeAligned refuses a function that needs an object, off bytes from its start, at a multiple of align bytes, if it has that in the new
// build alone, and the patch binds it to where the old build has it.
func (d *differ) judgeAligned(c *funcChange, p *image.Place, off int64, align int) {
	b := p.Atom
	if align <= 1 || b == nil || b.Kind != image.Object || p.ViaSlot {
		return
	}
	o, a := d.objNew[b], d.rev.of(b)
	if a == nil || o != nil && o.moves() || d.labels[b] != nil {
		return // it gets a new place, with the alignment of the new build's
	}
	at := func(x *image.Atom) int64 { return (int64(x.Addr) + off) & int64(align-1) }
	if at(b) == 0 && at(a) != 0 {
		c.refuse("it may need %s at an address that is a multiple of %d, as it is in the new build (%#x), and the running one lies at %#x; "+
			"only a restart gives it another place",
			b.Name, align, uint64(b.Addr), uint64(a.Addr))
	}
}

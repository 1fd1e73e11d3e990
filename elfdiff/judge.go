package elfdiff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/trampoline"
)

// verdict is the judgement of one change. The zero value is ok.
type verdict struct {
	refused []string // why it cannot be delivered soundly
	ack     string   // what the user must know, if only the user can tell
	ackID   string
	site    patch.Site // functions that are replaced: where the jump goes
}

func (v *verdict) refuse(format string, args ...any) {
	if why := fmt.Sprintf(format, args...); !slices.Contains(v.refused, why) {
		v.refused = append(v.refused, why)
	}
}

func (v *verdict) needAck(id, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	switch {
	case v.ack == "":
		v.ack = text
	case !strings.Contains(v.ack, text):
		v.ack += "; " + text
	}
	v.ackID = cmp.Or(v.ackID, id)
}

func (v *verdict) value() patch.Verdict {
	switch {
	case len(v.refused) > 0:
		return patch.Refused
	case v.ack != "":
		return patch.NeedAck
	}
	return patch.OK
}

func (v *verdict) why() string {
	if len(v.refused) > 0 {
		return strings.Join(v.refused, "; ")
	}
	return v.ack
}

// judge decides for every change whether it can be delivered. What can only be
// seen while the payload is put together is added by the emitter.
func (d *differ) judge() {
	d.stored = d.storedAddresses()
	d.inbound = d.inboundBranches()
	d.labels = make(map[*image.Atom]*unit)
	for _, c := range d.funcs {
		if c.how == patch.Removed {
			d.judgeRemoved(c)
		} else if c.out != "" {
			d.judgeLeftOut(c)
		} else if c.carried(&d.opt) {
			d.judgeFunction(c)
		}
	}
	for _, o := range d.objects {
		d.judgeObject(o)
	}
	d.judgeFile()
}

func (d *differ) judgeFunction(c *funcChange) {
	for _, u := range []*unit{c.old, c.new} {
		if u == nil {
			continue
		}
		if u.err != nil {
			c.refuse("it cannot be decoded (%v); only a restart with the new build helps", u.err)
			return
		}
		if u.atom().Kind == image.IFunc {
			c.refuse("it is the resolver of an IFUNC, which ran when the program was loaded; what it chose stays until a restart")
		}
		for _, p := range u.parts {
			if p.SizeNote != "" {
				c.refuse("the extent of %s in %s is in doubt (%s); give its symbol a size, with .size in assembly", p.Name, u.im.Path, p.SizeNote)
			}
		}
		d.judgeBody(c, u)
		d.judgeLabels(c, map[bool]*side{true: &d.old, false: &d.new}[u == c.old], u)
	}
	if c.old != nil {
		d.judgeSite(c)
		d.judgeLanding(c)
		d.judgeRan(c)
	}
	d.judgeNames(c.new.atom(), &c.verdict)
	d.judgeAlignment(c)
	if why := d.unwinds(c.new); why != "" {
		c.refuse("an exception or forced unwind may cross it (%s), and the target's unwinder cannot be told of new code yet; "+
			"until it can, only functions that call nothing can be changed without a restart", why)
	}
}

// judgeBody refuses code that is not all understood (HAZARDS D19).
func (d *differ) judgeBody(c *funcChange, u *unit) {
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			continue
		}
		if body.Falls {
			c.refuse("the end of %s runs on into what follows it; end it with a return, a jump, or a call of a function that does not return", p.Name)
			return
		}
		for _, g := range body.Gaps {
			if !g.Padding {
				c.refuse("%s holds %d bytes at +%#x that are not reached as code; in assembly, put data into a section of its own, "+
					"or only a restart with the new build helps", p.Name, g.Len, g.Off)
				return
			}
		}
	}
}

// judgeSite finds the place for the jump in the old function.
func (d *differ) judgeSite(c *funcChange) {
	a := c.old.atom()
	body, ok := d.old.im.FileBytes(a.Addr, a.Size)
	if !ok {
		c.refuse("the old build's file holds no bytes for it; give the program's own file, not its debug file")
		return
	}
	labels := c.old.labelOffsets()
	for _, v := range d.old.im.Veneers(a.Addr, a.End()) { // it jumps back
		labels = append(labels, uint32(v.Site-a.Addr)+uint32(d.old.im.Arch.InstAlign))
	}
	site, err := trampoline.PlanSite(d.old.im.Arch, a.Addr, body, d.padding(a), append(labels, d.inbound[a]...), c.old.branchOffsets())
	if err != nil {
		c.refuse("%v", strings.TrimPrefix(err.Error(), "refused: "))
		return
	}
	c.site = site
}

// judgeLanding refuses a function that indirect branches of the new build may lead to, and those of the old one did not: compilers leave the landing pad out where
// they see that all calls are direct. Everybody refers to the function by its old entry, and the processor lets no indirect branch arrive there.
func (d *differ) judgeLanding(c *funcChange) {
	a, b := c.old.atom(), c.new.atom()
	landing := d.old.im.Arch.Jump.Landing
	was, ok := d.old.im.Bytes(a.Addr, a.Size)
	is, ok2 := d.new.im.Bytes(b.Addr, b.Size)
	if d.old.im.Guarded && ok && ok2 && landing(was) == 0 && landing(is) > 0 {
		c.refuse("indirect calls may lead to it in the new build, and the processor lets none arrive at its entry in the running one, which begins with " +
			"no landing pad (bti c); only a restart with the new build helps")
	}
}

// padding returns the bytes between the end of a function and the next thing in its section.
func (d *differ) padding(a *image.Atom) []byte {
	end := a.End()
	limit := a.Section.End()
	atoms := d.old.im.Atoms
	for i := a.ID + 1; i < len(atoms); i++ {
		if atoms[i].Addr >= end {
			limit = min(limit, atoms[i].Addr)
			break
		}
		if atoms[i].End() > end && atoms[i].Addr >= a.Addr {
			return nil // something overlaps the end
		}
	}
	if fde := d.old.im.CFI.Find(end); fde != nil {
		return nil // code without a symbol
	}
	const enough = 32
	n := min(uint64(limit-end), enough)
	b, _ := d.old.im.Bytes(end, n)
	return b
}

// unwinds says why an exception could cross a function, or "".
func (d *differ) unwinds(u *unit) string {
	for _, im := range []*image.Image{d.old.im, d.new.im} {
		if !im.CanUnwind {
			continue
		}
		if u.calls() {
			return im.UnwindWhy
		}
	}
	return ""
}

// calls reports whether the function calls anything, tail calls included.
func (u *unit) calls() bool {
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			return true
		}
		if len(body.Indirect) > 0 {
			return true
		}
		for i := range body.Insts {
			switch body.Insts[i].Flow {
			case arch.FlowCall, arch.FlowCallInd:
				return true
			}
		}
		for i := range body.Refs {
			if body.Refs[i].Kind == image.RefJump && body.Refs[i].Place.Kind != image.PlaceSelf {
				return true
			}
		}
	}
	return false
}

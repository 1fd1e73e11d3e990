package elfdiff

import (
	"debug/elf"
	"fmt"
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
	v.refused = append(v.refused, fmt.Sprintf(format, args...))
}

func (v *verdict) needAck(id, format string, args ...any) {
	if v.ack != "" {
		v.ack += "; "
	}
	v.ack += fmt.Sprintf(format, args...)
	v.ackID = id
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
	for _, c := range d.funcs {
		if c.how == patch.Removed {
			d.judgeRemoved(c)
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
			c.refuse("it cannot be decoded: %v", u.err)
			return
		}
		if u.atom().Kind == image.IFunc {
			c.refuse("it is the resolver of an IFUNC, which ran when the program was loaded")
		}
		for _, p := range u.parts {
			if p.SizeNote != "" {
				c.refuse("the extent of %s in %s is in doubt: %s", p.Name, u.im.Path, p.SizeNote)
			}
		}
		d.judgeBody(c, u)
	}
	if c.old != nil {
		d.judgeSite(c)
	}
	d.judgeNames(c.new.atom(), &c.verdict)
	if why := d.unwinds(c.new); why != "" {
		c.refuse("an exception or forced unwind may cross it (%s), and the target's unwinder cannot be told of new code yet", why)
	}
}

// judgeBody refuses functions whose labels are values (HAZARDS D25), and code that is not all understood (D19).
func (d *differ) judgeBody(c *funcChange, u *unit) {
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			continue
		}
		if len(body.Escapes) > 0 {
			c.refuse("%s takes the address of a label at +%#x (computed goto); labels that are stored would lead into the old body",
				p.Name, body.Escapes[0].Target.Off)
			return
		}
		if body.Falls {
			c.refuse("the end of %s runs on into what follows it", p.Name)
			return
		}
		for _, g := range body.Gaps {
			if !g.Padding {
				c.refuse("%s holds %d bytes at +%#x that are not reached as code", p.Name, g.Len, g.Off)
				return
			}
		}
	}
}

// judgeSite finds the place for the jump in the old function.
func (d *differ) judgeSite(c *funcChange) {
	a := c.old.atom()
	body, ok := d.old.im.Bytes(a.Addr, a.Size)
	if !ok {
		c.refuse("the old build's file holds no bytes for it")
		return
	}
	site, err := trampoline.PlanSite(d.old.im.Arch, a.Addr, body, d.padding(a), d.inbound[a])
	if err != nil {
		c.refuse("%v", strings.TrimPrefix(err.Error(), "refused: "))
		return
	}
	c.site = site
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

// judgeRemoved judges a function that only the old build has (HAZARDS D26).
func (d *differ) judgeRemoved(c *funcChange) {
	a := c.old.atom()
	how, reachable := d.stored[a]
	if !reachable {
		return
	}
	for i := range c.old.refs {
		r := &c.old.refs[i]
		if r.kind != image.RefCall && r.kind != image.RefJump || r.place.Atom == nil {
			continue
		}
		if v := d.new.of[d.fwd[r.place.Atom]]; v != nil && d.byNew[v] != nil && d.byNew[v].carried(&d.opt) {
			c.refuse("it stays reachable (%s) and calls %s, which is replaced: whether it may still do so cannot be shown", how, r.place.Atom.Name)
			return
		}
	}
	c.needAck("removed:"+a.Name, "the new build does not have it, but it stays reachable (%s) and keeps running as it was", how)
}

func (d *differ) judgeObject(o *objChange) {
	switch o.delta {
	case objContent, objResized:
		o.reasons = append(o.reasons, d.contentReason(o))
		if strings.HasPrefix(o.new.Name, "_ZTV") {
			o.refuse("it is a vtable: objects that exist were built for the old one")
		}
		if how, ok := d.stored[o.old]; ok {
			o.needAck("const:"+o.old.Name, "its address is stored (%s): what reads it from there sees %s", how,
				map[objDelta]string{objContent: "the new content at once", objResized: "the old content for ever"}[o.delta])
		}
	case objInit:
		o.reasons = append(o.reasons, "initial value changed; the running value is kept")
	case objGrown:
		o.reasons = append(o.reasons, fmt.Sprintf("size %d -> %d", o.old.Size, o.new.Size))
		o.refuse("a variable that changes its size cannot be moved yet; keep its size, or add a variable beside it")
	case objMoved:
		o.refuse("it moved between read-only and writable memory")
	case objTLS:
		o.reasons = append(o.reasons, "initial value or size of a thread-local variable")
		if d.usedByPatch(o.new) {
			o.refuse("the initial value or the size of a thread-local variable changed, and functions of the patch use it")
		}
	case objAdded:
		d.judgeAdded(o)
	}
}

func (d *differ) judgeAdded(o *objChange) {
	b := o.new
	d.judgeNames(b, &o.verdict)
	if b.Kind == image.TLSObject {
		o.refuse("new thread-local variables are not handled yet: threads that exist have no memory for them")
		return
	}
	if why, ok := d.amb[b]; ok && !readOnly(b) && d.usedByPatch(b) {
		o.refuse("%s", why)
	}
	if b.Section != nil && isCIdentifier(b.Section.Name) {
		o.refuse("it is an entry of the linker-collected table %s (__start_%[1]s), which cannot grow in a running program", b.Section.Name)
	}
}

func isCIdentifier(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// usedByPatch reports whether a function of the patch refers to a variable.
func (d *differ) usedByPatch(b *image.Atom) bool {
	for _, v := range d.new.users[b] {
		if c := d.byNew[v]; c != nil && c.carried(&d.opt) {
			return true
		}
	}
	return false
}

// judgeFile judges what concerns the whole file.
func (d *differ) judgeFile() {
	carried := false
	for _, c := range d.funcs {
		carried = carried || c.carried(&d.opt)
	}
	for _, o := range d.objects {
		carried = carried || o.delta == objContent || o.delta == objResized
	}
	whole := func(what, name, why string) {
		d.other = append(d.other, patch.Change{What: what, Name: name, Change: "changed", Verdict: patch.Refused, Why: why, Reasons: []string{}})
	}
	if carried {
		for _, im := range []*image.Image{d.old.im, d.new.im} {
			if im.Type == elf.ET_EXEC && !im.HasRelocs {
				whole("file", im.Path,
					"not position independent and without relocations: absolute addresses in its code cannot be told from numbers; "+
						"link it with -pie, or with -Wl,--emit-relocs")
			}
			if !im.HasBuildID {
				whole("file", im.Path, "it has no build-id, by which apply would know the build that a process runs; link it with -Wl,--build-id")
			}
			if isGo(im) {
				whole("file", im.Path,
					"a Go program: the Go runtime finds every frame, and every pointer in it, by tables of its own, "+
						"and stops the program at code that they do not list")
			}
			if im.TextRel {
				whole("file", im.Path, "its text is relocated at run time (DT_TEXTREL), so that the running bytes cannot be compared with the file's")
			}
		}
	}
	d.judgeConstructors(whole)
	d.joinedNames()
}

func (d *differ) judgeConstructors(whole func(what, name, why string)) {
	old := make(map[*image.Atom]bool)
	for _, addr := range d.old.im.Constructors {
		if a := d.old.im.AtomAt(addr); a != nil {
			old[a] = true
		}
	}
	for _, addr := range d.new.im.Constructors {
		b := d.new.im.AtomAt(addr)
		if b == nil {
			whole("constructor", fmt.Sprintf("%#x", uint64(addr)), "an .init_array entry leads to no function")
			continue
		}
		if a := d.rev[b]; a == nil || !old[a] {
			whole("constructor", b.Name, "the new build runs it when it starts (.init_array); a running program does not start again")
		}
	}
}

// storedAddresses finds the atoms of the old build whose address something other than
// a direct call holds, and says what.
func (d *differ) storedAddresses() map[*image.Atom]string {
	m := make(map[*image.Atom]string)
	im := d.old.im
	for _, a := range im.Atoms {
		if a.Kind != image.Object {
			continue
		}
		for _, r := range d.old.dataRefs(a) {
			if r.Place.Atom != nil {
				m[r.Place.Atom] = "by " + a.Name
			}
		}
	}
	for _, r := range im.DynRelocs(0, ^arch.ImageAddr(0)) {
		if target := relocTarget(im, &r); target != nil && m[target] == "" && im.AtomAt(r.Addr) == nil {
			m[target] = fmt.Sprintf("at %#x", uint64(r.Addr))
		}
	}
	for _, u := range d.old.units {
		for i := range u.refs {
			p := u.refs[i].place
			a := p.Atom
			if a == nil || a.Kind == image.Object || m[a] != "" || u.refs[i].kind == image.RefCall || u.refs[i].kind == image.RefJump {
				continue
			}
			m[a] = "taken by " + u.name()
		}
	}
	for _, a := range im.Atoms {
		if a.Dynamic && m[a] == "" {
			m[a] = "exported"
		}
	}
	return m
}

// inboundBranches finds branches from other functions to a place behind the entry of a
// function (HAZARDS P11): the jump may not cover such a place.
func (d *differ) inboundBranches() map[*image.Atom][]uint32 {
	m := make(map[*image.Atom][]uint32)
	for _, u := range d.old.units {
		for i := range u.refs {
			p := u.refs[i].place
			if p.Kind == image.PlaceAtom && p.Atom.IsCode() && p.Addend > 0 {
				m[p.Atom] = append(m[p.Atom], uint32(p.Addend))
			}
		}
	}
	return m
}

// relocTarget returns the atom whose address a dynamic relocation stores, or nil.
func relocTarget(im *image.Image, r *image.DynReloc) *image.Atom {
	switch {
	case r.Defined:
		return im.AtomAt(r.SymDef)
	case r.Sym == "" && r.Size == 8 && r.Addend > 0:
		return im.AtomAt(arch.ImageAddr(r.Addend))
	}
	return nil
}

// isGo reports whether the Go linker made the image.
func isGo(im *image.Image) bool {
	for _, s := range im.Sections {
		if s.Name == ".gopclntab" || s.Name == ".data.rel.ro.gopclntab" || s.Name == ".note.go.buildid" {
			return true
		}
	}
	return false
}

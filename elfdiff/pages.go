package elfdiff

import (
	"cmp"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Addresses in two parts (arm64: adrp, and what adds the low 12 bits). The page that one instruction makes can serve several others, and one of these
// can have its page from several instructions. All of them that hang together in this way are a group: in the running process, what they name
// must lie in one page. Where an instruction counts from a whole address instead, made in that way for something else (a section anchor), it holds a
// distance, which must be that of the two things in the running process.

// pageLen is the size of the pages that [arch.OpPage] counts in, in bytes.
const pageLen = 4096

// pageUser is a reference that takes a part of its address from a page.
type pageUser struct {
	group *pageGroup
	whole bool // see [image.PageUse]
}

// pageGroup is a set of instructions that make pages, and what adds to them.
type pageGroup struct {
	pages   []image.Target
	uses    []pageUse
	bases   []pageUse // that make a whole address, those among uses included
	late    []lateUse // to be given their distances when all bases are known
	anchors []lateUse // addresses that mean nothing but what is reached from them
}

// pageUse is what an instruction names that adds to the page of a group.
type pageUse struct {
	sym    int
	addend int64
	slot   bool           // it is the slot of sym in the payload
	addr   arch.ImageAddr // in the new build
	name   string
}

// lateUse is an access at a distance from a whole address, or such an address.
type lateUse struct {
	f      *field
	whole  bool // of an anchor: it is made of another whole address
	sym    int
	addend int64
	addr   arch.ImageAddr // what is meant, in the new build
	name   string
}

// groupPages finds the groups in the code of a function, and who uses them.
func groupPages(bodies []*image.Body) map[*image.Ref]*pageUser {
	users := make(map[*image.Ref]*pageUser)
	of := make(map[image.Target]*pageGroup)
	join := func(g *pageGroup, page image.Target) *pageGroup {
		h := of[page]
		switch {
		case h == nil && g == nil:
			h = &pageGroup{pages: []image.Target{page}}
			of[page] = h
			return h
		case h == nil:
			g.pages = append(g.pages, page)
			of[page] = g
			return g
		case g == nil || g == h:
			return h
		}
		for _, p := range g.pages {
			of[p] = h
		}
		for _, user := range users {
			if user.group == g {
				user.group = h
			}
		}
		h.pages = append(h.pages, g.pages...)
		return h
	}
	for _, body := range bodies {
		for _, use := range body.Pages {
			r := &body.Refs[use.Ref]
			user := users[r]
			if user == nil {
				user = &pageUser{}
				users[r] = user
			}
			user.whole = user.whole || use.Whole
			user.group = join(user.group, use.Page)
		}
	}
	return users
}

// pageField emits an operand that adds to a page, or to an address made of one.
func (e *emitter) pageField(f *field, user *pageUser, p *image.Place, sym int, addend int64) error {
	name := cmp.Or(e.symbols[sym].Name, "what it names")
	g := user.group
	if user.whole {
		g.late = append(g.late, lateUse{f: f, sym: sym, addend: addend, addr: p.Addr, name: name})
		return nil
	}
	kind := arch.RelocAbs
	switch {
	case p.ViaSlot && p.Kind != image.PlaceTLS:
		kind, addend = arch.RelocGOTAbs, 0
	case e.symbols[sym].Kind == patch.SymImport:
		return fmt.Errorf("it takes the address of %s, which is in another module, directly, and that may be out of its reach; compile it with -fPIC", name)
	}
	if kind == arch.RelocAbs {
		if err := e.fits(f, sym, addend); err != nil {
			return err
		}
	}
	u := pageUse{sym: sym, addend: addend, slot: kind == arch.RelocGOTAbs, addr: p.Addr, name: name}
	g.uses = append(g.uses, u)
	if f.in.Ops[f.ref.Op].Addr {
		g.bases = append(g.bases, u)
	}
	return e.relocateField(f, kind, sym, addend)
}

// fits refuses an access whose field counts in units of what it accesses, where the address is no multiple of that in the running process. What
// the payload carries is aligned as the access asks for.
func (e *emitter) fits(f *field, sym int, addend int64) error {
	typ, _, ok := e.d.new.im.Arch.FieldReloc(f.code, f.in, int(f.ref.Op), arch.RelocAbs)
	if !ok {
		return fmt.Errorf("no relocation is for the instruction that adds to its page")
	}
	s, at := &e.symbols[sym], addend
	switch s.Kind {
	case patch.SymImage:
		at += int64(s.Value)
	case patch.SymDefined:
		if w := uint64(f.ref.Width); w&(w-1) == 0 && w <= 16 {
			sec := &e.sections[s.Section]
			sec.Align = max(sec.Align, w)
		}
		at += int64(s.Value)
	}
	if err := e.d.new.im.Arch.Relocs[typ].Put(slices.Clone(f.code), at&(pageLen-1)); err != nil {
		return fmt.Errorf("it accesses %s, which is not aligned in the running process as in the new build: %w", s.Name, err)
	}
	return nil
}

// emitPages relocates the instructions of a function that make pages, and gives those that count from whole addresses their distances.
//
// Preconditions: all other references of the function have been emitted.
func (e *emitter) emitPages(c *funcChange) {
	done := make(map[*pageGroup]bool)
	for _, body := range c.new.bodies() {
		for i := range body.Pages {
			r := &body.Refs[body.Pages[i].Ref]
			g := e.pages[r].group
			if done[g] {
				continue
			}
			done[g] = true
			if err := e.emitGroup(g); err != nil {
				c.refuse("the reference at %s+%#x cannot be carried: %v", body.Atom.Name, body.Insts[r.Inst].Off, err)
			}
		}
	}
}

// bodies returns the decoded parts of a unit; what could not be decoded is left out.
func (u *unit) bodies() (bodies []*image.Body) {
	for _, p := range u.parts {
		if body, err := u.im.Body(p); err == nil {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

// emitGroup relocates what makes the pages of a group.
func (e *emitter) emitGroup(g *pageGroup) error {
	for i := range g.anchors {
		if err := e.anchor(g, &g.anchors[i]); err != nil {
			return err
		}
	}
	for i := range g.late {
		if err := e.distance(g, &g.late[i]); err != nil {
			return err
		}
	}
	if len(g.uses) == 0 {
		return nil // refused already, or none of its pages is one of memory
	}
	if err := e.onePage(g.uses); err != nil {
		return err
	}
	for _, t := range g.pages {
		if err := e.makePage(t, &g.uses[0]); err != nil {
			return err
		}
	}
	return nil
}

// makePage relocates an instruction that makes the page of what is named.
func (e *emitter) makePage(t image.Target, to *pageUse) error {
	sym, ok := e.bodies[t.Atom]
	if !ok {
		return fmt.Errorf("its page is made in %s, which is not in the patch", t.Atom.Name)
	}
	if e.makers[t] == nil {
		return fmt.Errorf("its page is made at %s+%#x, of which nothing is known", t.Atom.Name, t.Off)
	}
	sec := e.symbols[sym].Section
	code := e.sections[sec].Data[t.Off:]
	if e.makers[t].wide {
		wide, ok := e.widen(code[:e.makers[t].len])
		if !ok {
			return fmt.Errorf("%s+%#x makes a page and is no instruction for that", t.Atom.Name, t.Off)
		}
		copy(code, wide)
	}
	kind := arch.RelocPage
	if to.slot {
		kind = arch.RelocGOTPage
	}
	return e.relocateOp(sec, uint64(t.Off), kind, to.sym, to.addend)
}

// pageMaker is an instruction that makes a page.
type pageMaker struct {
	len  int  // bytes
	wide bool // a linker made another one of it: see [arch.Arch.Widen]
}

// pageMakers finds what makes pages in the code of a function.
func pageMakers(im *image.Image, bodies []*image.Body) map[image.Target]*pageMaker {
	makers := make(map[image.Target]*pageMaker)
	var scratch arch.Inst
	for _, b := range bodies {
		for i := range b.Refs {
			r := &b.Refs[i]
			if r.Kind != image.RefPage {
				continue
			}
			if in, err := im.Operands(b, int(r.Inst), &scratch); err == nil {
				makers[image.Target{Atom: b.Atom, Off: b.Insts[r.Inst].Off}] = &pageMaker{len: in.Len, wide: in.Ops[r.Op].Kind == arch.OpPC}
			}
		}
	}
	return makers
}

// unnamedPage returns the offset of an instruction of a body that makes a page, and of which no reference says what becomes of it; -1: there is none.
func unnamedPage(im *image.Image, b *image.Body) int {
	var scratch arch.Inst
	refs := b.Refs
	for k := range b.Insts {
		for len(refs) > 0 && int(refs[0].Inst) < k {
			refs = refs[1:]
		}
		in, err := im.Operands(b, k, &scratch)
		if err == nil && in.NumOps > 0 && in.Ops[0].Kind == arch.OpPage && (len(refs) == 0 || int(refs[0].Inst) != k || refs[0].Kind != image.RefPage) {
			return int(b.Insts[k].Off)
		}
	}
	return -1
}

// widen is [arch.Arch.Widen] for the new build's code.
func (e *emitter) widen(code []byte) ([]byte, bool) {
	if e.d.new.im.Arch.Widen == nil {
		return nil, false
	}
	return e.d.new.im.Arch.Widen(code)
}

// relocateOp relocates the only operand of an instruction of the payload.
func (e *emitter) relocateOp(sec int, off uint64, kind arch.RelocKind, sym int, addend int64) error {
	a, code := e.d.new.im.Arch, e.sections[sec].Data[off:]
	in, err := a.Decode(code)
	if err != nil {
		return err
	}
	typ, adjust, ok := a.FieldReloc(code, &in, 0, kind)
	if !ok {
		return fmt.Errorf("no relocation is for the instruction at +%#x", off)
	}
	return e.relocateAs(typ, sec, off, sym, addend+adjust)
}

// onePage shows that what the uses of a group name lies in one page in the running process, wherever the payload is: a bias is a
// multiple of the page's size, and so is the address of a section that is aligned to all that they name in it.
func (e *emitter) onePage(uses []pageUse) error {
	first := &uses[0]
	lowest, highest := first.addend, first.addend
	for i := range uses {
		u := &uses[i]
		x, y := &e.symbols[first.sym], &e.symbols[u.sym]
		lowest, highest = min(lowest, u.addend), max(highest, u.addend)
		switch {
		case u.slot != first.slot:
		case u.sym == first.sym && (u.slot || u.addend == first.addend):
			continue
		case x.Kind == patch.SymImage && y.Kind == patch.SymImage && !u.slot &&
			(x.Value+uint64(first.addend))/pageLen == (y.Value+uint64(u.addend))/pageLen:
			continue
		case x.Kind == patch.SymDefined && u.sym == first.sym:
			continue
		}
		return fmt.Errorf("one page of 4 KiB serves %s+%#x and %s+%#x, which need not be in one page of the running process",
			first.name, first.addend, u.name, u.addend)
	}
	if s := &e.symbols[first.sym]; s.Kind == patch.SymDefined && !first.slot && lowest != highest {
		return e.align(s, lowest, highest, first.name)
	}
	return nil
}

// align aligns the section of a symbol so that all between two offsets from it lies in one page.
func (e *emitter) align(s *patch.Symbol, lowest, highest int64, name string) error {
	sec := &e.sections[s.Section]
	base := int64(s.Value)
	for sec.Align < pageLen && (lowest+base)&^int64(sec.Align-1) != (highest+base)&^int64(sec.Align-1) {
		sec.Align *= 2
	}
	if (lowest+base)&^(pageLen-1) != (highest+base)&^(pageLen-1) {
		return fmt.Errorf("one page of 4 KiB serves %s+%#x and %s+%#x, which are not in one page of the patch", name, lowest, name, highest)
	}
	return nil
}

// anchor chooses an address that means nothing by itself so that the first thing that is reached from it is at the same distance as before.
func (e *emitter) anchor(g *pageGroup, a *lateUse) error {
	for i := range g.late {
		l := &g.late[i]
		disp := l.f.in.Ops[l.f.ref.Op].Value
		if l.addr-arch.ImageAddr(disp) != a.addr {
			continue
		}
		u := pageUse{sym: l.sym, addend: l.addend - disp, addr: a.addr, name: l.name}
		g.bases = append(g.bases, u)
		if a.whole {
			b := *a
			b.sym, b.addend, b.name = u.sym, u.addend, u.name
			g.late = append(g.late, b)
			return nil
		}
		g.uses = append(g.uses, u)
		return e.relocateField(a.f, arch.RelocAbs, u.sym, u.addend)
	}
	return fmt.Errorf("a section anchor at %#x: nothing says what is reached from it; compile it with -fno-section-anchors", uint64(a.addr))
}

// distance gives an access that counts from a whole address the distance of the two in the running process.
func (e *emitter) distance(g *pageGroup, l *lateUse) error {
	disp := l.f.in.Ops[l.f.ref.Op].Value
	var base *pageUse
	for i := range g.bases {
		u := &g.bases[i]
		if u.addr != l.addr-arch.ImageAddr(disp) {
			continue
		}
		if base != nil && (base.sym != u.sym || base.addend != u.addend) {
			return fmt.Errorf("it reaches %s by its distance from an address that may be %s or %s", l.name, base.name, u.name)
		}
		base = u
	}
	if base == nil {
		return fmt.Errorf("it reaches %s by its distance from an address of which it cannot be told what it is", l.name)
	}
	x, y := &e.symbols[base.sym], &e.symbols[l.sym]
	want := int64(y.Value) + l.addend - int64(x.Value) - base.addend
	switch {
	case base.slot:
	case base.sym == l.sym && x.Kind != patch.SymImport,
		x.Kind == patch.SymImage && y.Kind == patch.SymImage,
		x.Kind == patch.SymDefined && y.Kind == patch.SymDefined && x.Section == y.Section:
		if want == disp {
			return nil
		}
		sec := &e.sections[l.f.sec]
		if err := e.d.new.im.Arch.Displace(sec.Data[l.f.off:], l.f.in, want); err != nil {
			return fmt.Errorf("a section anchor: it reaches %s by its distance from %s, which is %d in the running process and was %d (%w); "+
				"compile it with -fno-section-anchors", l.name, base.name, want, disp, err)
		}
		return nil
	}
	return fmt.Errorf("a section anchor: it reaches %s by its distance from %s, and only one of them is in the patch; compile it with -fno-section-anchors",
		l.name, base.name)
}

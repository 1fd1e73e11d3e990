package inject

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/trampoline"
)

// bodyPlan plans the functions and constants of one step.
type bodyPlan struct {
	pl     *planner
	s      *step
	intact []*link // whose payload was found pristine
}

// oldBodies finds the newest body of every function that the patch replaces or removes, compares it with the
// old build's, and makes it a target of the activeness check.
func (b *bodyPlan) oldBodies() error {
	f := b.s.link.file
	for i := range f.Funcs {
		fn := &f.Funcs[i]
		bd := body{Name: fn.Name, How: fn.How}
		if fn.How != patch.Added {
			entry, err := b.s.view.locate(fn.Old[0].Addr, fn.Old[0].Size)
			if err != nil {
				return fmt.Errorf("%s: %w", fn.Name, err)
			}
			bd.Entry = entry
			if err := b.preempted(fn.Name, entry); err != nil {
				return err
			}
		}
		for k := range fn.Old {
			place, err := b.check(fn.Name, &fn.Old[k])
			if err != nil {
				return err
			}
			bd.Old = append(bd.Old, place)
		}
		b.s.link.e.Bodies = append(b.s.link.e.Bodies, bd)
	}
	return nil
}

// preempted refuses a function, constant or variable that another module's hides in this process, unless the user says that it is known.
func (b *bodyPlan) preempted(name string, at arch.Addr) error {
	r := resolver{snap: b.pl.snap, mod: b.s.view, p: b.s.link.file.Patch}
	err := r.preempted(name, at)
	if errors.Is(err, patch.ErrRefused) && b.pl.given("preempted:"+name) {
		return nil
	}
	return err
}

// check compares one part of an old body with what runs, and has it compared again in the stop.
//
// The image's own body has to be what its file holds, byte for byte, if no patch was applied to it before. One that the
// newest build has at another address agrees with its file up to the fields that hold addresses. A body in an earlier
// patch's payload has to be what that one was linked to, which pristine proves byte for byte, too.
func (b *bodyPlan) check(name string, p *patch.Part) (placedRange, error) {
	at, err := b.s.view.newest(p.Addr, p.Size)
	if err != nil {
		return placedRange{}, fmt.Errorf("%s: %w", name, err)
	}
	running, err := b.pl.read(at, len(p.Bytes))
	if err != nil {
		return placedRange{}, fmt.Errorf("%s: %w", name, err)
	}
	exact := len(b.s.view.chain) == 0
	if off, ok := patch.OldMatches(b.pl.arch, p, running, exact); !ok {
		end := min(off+8, len(running), len(p.Bytes))
		return placedRange{}, refuse(name, fmt.Sprintf("offset %#x of %s, at %#x: % x instead of % x", off, p.Name, uint64(at)+uint64(off), running[off:end], p.Bytes[off:end]),
			"find out what changed it: a debugger's breakpoint, another tool's hook", "the running bytes are not those of build %x", b.s.link.file.Old.ID)
	}
	if !b.pl.future(at) {
		if err := b.pristine(at); err != nil {
			return placedRange{}, fmt.Errorf("%s: %w", name, err)
		}
		b.pl.bodies = append(b.pl.bodies, expected{name, at, running})
	}
	return placedRange{Name: p.Name, Addr: at, Size: p.Size}, nil
}

// pristine checks that the payload which holds at, if there is one, has the code that it was linked to, known jumps
// aside.
func (b *bodyPlan) pristine(at arch.Addr) error {
	chain := slices.Concat(b.s.view.chain, b.s.view.above)
	k := slices.IndexFunc(chain, func(l *link) bool { return at >= l.e.Base && uint64(at-l.e.Base) < l.e.Size })
	if k < 0 || slices.Contains(b.intact, chain[k]) {
		return nil
	}
	l := chain[k]
	g := slices.IndexFunc(l.e.Segs, func(g segRecord) bool { return g.Kind == patch.Text })
	if g < 0 {
		return refuse("patch "+l.file.ID.Short(), fmt.Sprintf("%#x", uint64(at)), "", "code outside of its payload's text")
	}
	seg := &l.e.Segs[g]
	code, err := readBytes(b.pl.snap.mem, seg.Addr, int(seg.Len))
	if err != nil {
		return err
	}
	for i := len(chain) - 1; i > k; i-- { // take the jumps out, newest first
		for _, w := range chain[i].e.Writes {
			if off := uint64(w.Addr - seg.Addr); w.Addr >= seg.Addr && chain[i].j != nil && off+uint64(len(w.Old)) <= seg.Len {
				copy(code[off:], w.Old)
			}
		}
	}
	if sum := sha256.Sum256(code); !bytes.Equal(sum[:], seg.Sum) {
		return refuse("patch "+l.file.ID.Short(), fmt.Sprintf("payload at %#x", uint64(seg.Addr)), "find out what changed it: a debugger's breakpoint, another tool's hook",
			"its code is not what it was linked to")
	}
	b.intact = append(b.intact, l)
	return nil
}

// newBodies fills in where the new bodies are and plans the jumps.
func (b *bodyPlan) newBodies() error {
	f, e := b.s.link.file, b.s.link.e
	for i := range f.Funcs {
		fn, bd := &f.Funcs[i], &e.Bodies[i]
		if fn.New >= 0 {
			bd.New = placedRange{Name: fn.Name, Addr: e.Syms[fn.New], Size: f.Symbols[fn.New].Size}
		}
		switch fn.How {
		case patch.Added:
			bd.Entry = bd.New.Addr
			continue
		case patch.Changed:
			if err := b.jump(i, fn, bd); err != nil {
				return fmt.Errorf("%s: %w", fn.Name, err)
			}
		}
		b.target(bd)
	}
	return nil
}

// target puts an old body under the activeness check. Nobody can be in memory that is not mapped yet.
func (b *bodyPlan) target(bd *body) {
	for k, r := range bd.Old {
		if b.pl.future(r.Addr) {
			continue
		}
		t := target{placedRange: placedRange{Name: bd.Name, Addr: r.Addr, Size: r.Size}}
		if k == 0 {
			t.entries = entriesOf(b.s.view, bd, r.Addr)
		}
		b.pl.targets = append(b.pl.targets, t)
	}
}

// entriesOf returns the entries of a body that the patch replaces: its start, and the place where it gets a
// jump. A removed function gets none.
func entriesOf(v *moduleView, bd *body, at arch.Addr) []arch.Addr {
	if bd.How != patch.Changed {
		return nil
	}
	out := []arch.Addr{at}
	if bd.Site != 0 && at == bd.Entry && bd.Site != at {
		out = append(out, bd.Site)
	}
	for _, l := range v.chain {
		for i := range l.e.Bodies {
			if s := l.e.Bodies[i].Version.Site; l.e.Bodies[i].Version.Entry == at && s != 0 && s != at {
				out = append(out, s)
			}
		}
	}
	return out
}

// jump plans the writes that make fn's new body the newest version.
func (b *bodyPlan) jump(i int, fn *patch.Func, bd *body) error {
	a := b.pl.arch
	chain, err := b.chain(fn, bd)
	if err != nil {
		return err
	}
	const room = 16 // patch.LayoutOf gives every function at least this much
	text := b.s.payload.Bytes(bd.New.Addr, room)
	if text == nil {
		return fmt.Errorf("new body at %#x: outside the payload's text", uint64(bd.New.Addr))
	}
	if bd.Version, err = trampoline.NewVersion(a, b.s.link.file.ID, bd.New.Addr, text); err != nil {
		return err
	}
	bd.Site, bd.Orig, bd.Signs = chain.Site, chain.Orig, chain.Signs
	bd.Take, bd.Fixed = b.movable(fn, bd)
	_, writes, err := chain.Apply(a, bd.Version)
	if err != nil {
		return err
	}
	for _, w := range writes {
		kind := writeStale
		if w.Addr == chain.Site {
			kind = writeJump
		}
		b.s.link.e.Writes = append(b.s.link.e.Writes, write{Kind: kind, Func: i, Name: fn.Name, Addr: w.Addr, Old: w.Old, New: w.New})
	}
	return nil
}

// movable returns what is known of version 0's first instructions: by the patch that first changed the function.
func (b *bodyPlan) movable(fn *patch.Func, bd *body) (take int, fixed string) {
	for _, l := range b.s.view.chain {
		for i := range l.e.Bodies {
			if o := &l.e.Bodies[i]; o.How == patch.Changed && o.Entry == bd.Entry {
				return o.Take, o.Fixed
			}
		}
	}
	return int(fn.Jump.Take), fn.Jump.Fixed
}

// chain returns the function's chain as the links before this one have it.
func (b *bodyPlan) chain(fn *patch.Func, bd *body) (*trampoline.Chain, error) {
	var c *trampoline.Chain
	for _, l := range b.s.view.chain {
		for i := range l.e.Bodies {
			o := &l.e.Bodies[i]
			if o.How != patch.Changed || o.Entry != bd.Entry {
				continue
			}
			if c == nil {
				c = &trampoline.Chain{Name: fn.Name, Site: o.Site, Orig: o.Orig, Signs: o.Signs}
			}
			c.Versions = append(c.Versions, o.Version)
		}
	}
	if c != nil {
		return c, nil
	}
	a, m := b.pl.arch, b.s.view.m
	if !m.holds(bd.Entry) { // added by an earlier patch: version 0 is in its payload
		text, err := b.pl.read(bd.Entry, 16)
		if err != nil {
			return nil, err
		}
		v, err := trampoline.NewVersion(a, b.s.link.file.ID, bd.Entry, text)
		if err != nil {
			return nil, err
		}
		return &trampoline.Chain{Name: fn.Name, Site: v.Site, Orig: v.Orig, Signs: v.Signs}, nil
	}
	if err := b.site(fn, bd); err != nil {
		return nil, err
	}
	site := bd.Entry + arch.Addr(fn.Jump.Off)
	code, err := b.pl.read(bd.Entry, int(fn.Jump.Off)+a.Jump.Len)
	if err != nil {
		return nil, err
	}
	orig := bytes.Clone(code[fn.Jump.Off:])
	return &trampoline.Chain{Name: fn.Name, Site: site, Orig: orig, Signs: a.Jump.Signs(code[:fn.Jump.Off])}, nil
}

// site checks the place that the diff found for the jump.
func (b *bodyPlan) site(fn *patch.Func, bd *body) error {
	need := uint64(fn.Jump.Off) + uint64(b.pl.arch.Jump.Len)
	if int(fn.Jump.Room) < b.pl.arch.Jump.Len {
		return refuse(fn.Name, fmt.Sprintf("%d bytes", fn.Jump.Room), "build with -falign-functions=16", "there is no room for a jump in it")
	}
	if need <= fn.Old[0].Size {
		return nil
	}
	if len(b.s.view.chain) > 0 {
		return refuse(fn.Name, fmt.Sprintf("%d bytes", fn.Old[0].Size), "apply one patch that leads from the started build to the new one",
			"it is too short for a jump, and what stands behind it in the build that was started is not known")
	}
	pad, err := b.pl.read(bd.Entry+arch.Addr(fn.Old[0].Size), len(fn.Jump.Pad))
	if err != nil {
		return err
	}
	if !bytes.Equal(pad, fn.Jump.Pad) || need > fn.Old[0].Size+uint64(len(pad)) {
		return refuse(fn.Name, fmt.Sprintf("% x instead of % x", pad, fn.Jump.Pad), "", "the padding behind it is not that of the build")
	}
	return nil
}

package inject

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/trampoline"
)

// Gates
//
// Behind each payload there is memory for a gate of each of its functions. Every transaction that changes more than one function
// writes gates of its own there, before the stop; nobody is in them then, because a transaction is only over when nothing leads
// to a gate, and one that ended in the middle is settled first.
//
// A function that cannot be gated is changed by a write of its own, next to go. The report names it, and why.

// gateRoom is where the gate of a write to a function's entry goes, and what is known of the code that is moved into it.
type gateRoom struct {
	at    arch.Addr
	orig  []byte // the bytes of version 0 at the site
	take  int    // how many bytes of it are the instructions that can be moved; 0: they cannot
	fixed string // why not
}

// gateSpace is how many bytes of memory the gates of a payload have.
func gateSpace(bodies int) uint64 { return pageUp(uint64(bodies * trampoline.GateRoom)) }

// gatesOf returns the memory for the gates of a payload: room for one of each function of the patch.
func gatesOf(p *patch.Payload, bodies int) placedRange {
	return placedRange{Name: "gates", Addr: p.Base + arch.Addr(pageUp(p.Layout.Size)), Size: gateSpace(bodies)}
}

// gate returns the room for the gate of one of the entry's writes, nil if that goes to no function's entry.
func (e *entry) gate(w *write) *gateRoom {
	if w.Kind != writeJump || e.Gates.Size == 0 {
		return nil
	}
	b := &e.Bodies[w.Func]
	return &gateRoom{at: e.Gates.Addr + arch.Addr(w.Func*trampoline.GateRoom), orig: b.Orig, take: b.Take, fixed: b.Fixed}
}

// placedGate is a gate of the plan.
type placedGate struct {
	w             *write
	before, after []byte // code at the site, see trampoline.PlanGate
	gate          *trampoline.Gate
	was           []byte // what stood in its place; nil: it has not been written
}

// Why a write is not gated.
var (
	errConstant  = errors.New("a constant is renewed where it stands, and its readers look at no word")
	errPages     = errors.New("the place is in two pages, which the kernel writes one after the other")
	errNoRoom    = errors.New("there is no memory for a gate")
	errNotOrigin = errors.New("the instructions are not those that the diff saw")
)

// gates decides which writes of the plan are gated, and reports which are not.
func (pl *planner) gates() {
	var decisive []*write
	for i := range pl.writes {
		if w := &pl.writes[i]; w.decisive() {
			decisive = append(decisive, w)
		}
	}
	pl.report.Atomic = true
	fail := func(w *write, err error) {
		pl.report.Atomic = false
		pl.report.NotAtomic = append(pl.report.NotAtomic, NotAtomic{Name: w.Name, Why: err.Error()})
	}
	if len(decisive) == 1 && !crossesPage(decisive[0]) { // it is the commit
		return
	}
	for _, w := range decisive {
		g, err := pl.planGate(w)
		if err != nil {
			fail(w, err)
			continue
		}
		pl.gated = append(pl.gated, *g)
	}
}

// planGate plans the gate of one write. Where go will be is not known yet.
func (pl *planner) planGate(w *write) (*placedGate, error) {
	switch {
	case w.Kind == writeConst:
		return nil, errConstant
	case crossesPage(w):
		return nil, errPages
	case w.room == nil:
		return nil, errNoRoom
	case pl.arch.Jump.Move == nil:
		return nil, fmt.Errorf("not implemented on %s", pl.arch.Name)
	}
	g := &placedGate{w: w}
	tail, err := pl.readSome(w.Addr+arch.Addr(len(w.Old)), trampoline.GateCode(pl.arch)-len(w.Old))
	if err != nil {
		return nil, err
	}
	g.before, g.after = slices.Concat(w.Old, tail), slices.Concat(w.New, tail)
	for _, code := range [][]byte{g.before, g.after} {
		if !bytes.HasPrefix(code, w.room.orig) {
			continue
		}
		if w.room.take == 0 {
			return nil, errors.New(w.room.fixed)
		}
		if _, n, err := pl.arch.Jump.Move(code, w.Addr, w.Addr, pl.arch.Jump.Len); err != nil || n != w.room.take {
			return nil, errNotOrigin
		}
	}
	g.gate, err = trampoline.PlanGate(pl.arch, w.Addr, w.room.at, 0, g.before, g.after)
	return g, err
}

// readSome reads memory as it will be, n bytes or as many as there are in the page: there may be none behind the last function.
func (pl *planner) readSome(at arch.Addr, n int) ([]byte, error) {
	b, err := pl.read(at, n)
	if left := int(0x1000 - at&0xfff); err != nil && left < n {
		return pl.read(at, left)
	}
	return b, err
}

// aim has all gates look at go, whose address is known now.
func (pl *planner) aim(word arch.Addr) error {
	for i := range pl.gated {
		g := &pl.gated[i]
		var err error
		if g.gate, err = trampoline.PlanGate(pl.arch, g.w.Addr, g.w.room.at, word, g.before, g.after); err != nil {
			return err
		}
	}
	return nil
}

// crossesPage reports whether a write is in two pages, which the kernel changes one after the other.
func crossesPage(w *write) bool {
	return uint64(w.Addr)&pageMask != uint64(w.Addr+arch.Addr(len(w.New)-1))&pageMask
}

// errWords is why a write in two words is not one.
var errWords = errors.New("the place is in two words of 8 bytes, which this kernel has written one after the other; " +
	"a death between the two leaves a torn jump")

// inWords reports what is not one write where the kernel lets memory be written by aligned words only.
func (pl *plan) inWords() {
	const word = 8
	for i := range pl.writes {
		w := &pl.writes[i]
		if w.decisive() && uint64(w.Addr)/word != (uint64(w.Addr)+uint64(len(w.New))-1)/word {
			pl.report.Atomic = false
			pl.report.NotAtomic = slices.DeleteFunc(pl.report.NotAtomic, func(n NotAtomic) bool { return n.Name == w.Name })
			pl.report.NotAtomic = append(pl.report.NotAtomic, NotAtomic{Name: w.Name, Why: errWords.Error()})
		}
	}
}

// stageGates writes the gates. Nobody is in their memory.
func (t *transaction) stageGates() error {
	for i := range t.plan.gated {
		g := &t.plan.gated[i]
		was, err := readBytes(t.p, g.gate.Addr, len(g.gate.Code))
		if err != nil {
			return fmt.Errorf("gate of %s: %w", g.w.Name, err)
		}
		g.was = was
		if err := t.p.WriteMem(g.gate.Addr, g.gate.Code); err != nil {
			return fmt.Errorf("gate of %s: %w", g.w.Name, err)
		}
		if err := t.at("gate-written"); err != nil {
			return err
		}
	}
	return nil
}

// unstageGates undoes stageGates.
func (t *transaction) unstageGates() error {
	var errs []error
	for i := range t.plan.gated {
		if g := &t.plan.gated[i]; g.was != nil {
			errs = append(errs, t.p.WriteMem(g.gate.Addr, g.was))
		}
	}
	if err := errors.Join(errs...); err != nil && !t.p.Ended() {
		return fmt.Errorf("gates: %w", err)
	}
	return nil
}

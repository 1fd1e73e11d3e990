package image

import (
	"slices"

	"hotpatch/arch"
)

// Displaced is where a body counts on by a constant from an address to which it has added something that is not known: an index. The compilers of
// architectures that make addresses in pieces reach several objects from one address (section anchors), also by an index: the constant then leads to the
// object, and the address says nothing of it.
type Displaced struct {
	Inst int   // index of the instruction that counts on
	Disp int64 // in bytes from the address, the index left out; never 0
}

// Displaced follows the address that a reference names, and what is computed of it, through all registers and words of the stack frame to which it may
// come. It is nil on architectures whose instructions hold whole addresses.
func (im *Image) Displaced(b *Body, r *Ref) []Displaced {
	w := im.displacedWalk(b, r)
	if w == nil {
		return nil
	}
	return w.found
}

// Reached lists the distances from the address that a reference names at which the body makes addresses of it, or accesses memory (so many bytes), by constants alone.
// It is nil on architectures whose instructions hold whole addresses.
func (im *Image) Reached(b *Body, r *Ref) []Reached {
	w := im.displacedWalk(b, r)
	if w == nil {
		return nil
	}
	return w.reached
}

// Reached is a distance from an address; see [Image.Reached].
type Reached struct {
	Disp  int64
	Width uint8 // bytes; 0: an address is made, or it is not known
}

// displacedWalk follows the address that a reference names; nil on architectures whose instructions hold whole addresses.
func (im *Image) displacedWalk(b *Body, r *Ref) *displacedWalk {
	k := int(r.Inst)
	if im.Arch.Pieces == nil || r.Kind != RefAddr {
		return nil
	}
	w := &displacedWalk{transfers: transfers{a: im.Arch, b: b}, in: make(map[int]*[maxRegs]displacement), slots: make(map[frameKey]displacement)}
	t := w.at(k)
	if t.Kind != arch.TransferAddress || t.Dst < 0 {
		return nil
	}
	var start [maxRegs]displacement
	start[t.Dst] = displacement{kind: exactly}
	for {
		w.stored = false
		w.enter(k+1, &start)
		for len(w.work) > 0 {
			k := w.work[len(w.work)-1]
			w.work = w.work[:len(w.work)-1]
			w.step(k)
		}
		if !w.stored {
			break
		}
		clear(w.in) // what is loaded may be what was stored behind the load
	}
	return w
}

// displacedKind says what a register has of the address.
type displacedKind uint8

const (
	nothing displacedKind = iota
	exactly               // the address plus a constant
	walked                // the same, plus small steps
	indexed               // the same, plus something that is not known
)

// displacement is what a register has of the address.
type displacement struct {
	kind displacedKind
	off  [2]int64 // the constants, so many of them
	n    uint8    // 0: only 0
}

// offs returns the constants.
func (d *displacement) offs() []int64 {
	if d.n == 0 {
		return d.off[:1]
	}
	return d.off[:d.n]
}

// plus returns what is c bytes further on.
func (d displacement) plus(c int64) displacement {
	if d.kind != nothing {
		for i := range max(d.n, 1) {
			d.off[i] += c
		}
	}
	return d
}

// smallStep is how many bytes a pointer is stepped at most by which something walks through an array.
const smallStep = 64

func small(step int64) bool { return -smallStep <= step && step <= smallStep }

// join returns what a register has that has one of two. Where both have the address with other constants, the first is kept, and one that
// is no step away from it: a loop steps a pointer for ever.
func (d displacement) join(e displacement) displacement {
	switch {
	case e.kind == nothing:
		return d
	case d.kind == nothing:
		return e
	}
	out := d
	out.kind = max(d.kind, e.kind)
	for _, off := range e.offs() {
		if out.off[0] == off {
			continue
		}
		out.kind = max(out.kind, walked)
		if away := off - out.off[0]; max(out.n, 1) == 1 && !small(away) {
			out.off[1], out.n = off, 2
		}
	}
	return out
}

// frameKey is a word of the stack frame.
type frameKey struct {
	base arch.Reg
	disp int64
}

// displacedWalk follows an address and what is made of it.
type displacedWalk struct {
	transfers
	in     map[int]*[maxRegs]displacement // by index of an instruction, in front of it
	slots  map[frameKey]displacement      // wherever they were stored
	stored bool                           // slots have changed
	work   []int
	found  []Displaced
	// reached are the constants that are added to the address alone.
	reached []Reached
}

func (w *displacedWalk) enter(k int, regs *[maxRegs]displacement) {
	if k < 0 || k >= len(w.b.Insts) {
		return
	}
	have, changed := w.in[k], false
	if have == nil {
		have = new([maxRegs]displacement)
		w.in[k] = have
	}
	for i := range have {
		if d := have[i].join(regs[i]); d != have[i] {
			have[i], changed = d, true
		}
	}
	if changed {
		w.work = append(w.work, k)
	}
}

// step follows control over instruction k.
func (w *displacedWalk) step(k int) {
	in, regs := &w.b.Insts[k], *w.in[k]
	switch in.Flow {
	case arch.FlowNext:
		if !in.Nop {
			w.effect(k, &regs)
		}
	case arch.FlowBranch, arch.FlowJump:
		if in.Target >= 0 {
			w.enter(int(in.Target), &regs)
		}
	case arch.FlowCall, arch.FlowSyscall: // the callee may be known to leave the others as they are (-fipa-ra)
		w.forget(&regs, w.a.Pieces.Results|w.a.Pieces.Veneers)
	case arch.FlowCallInd:
		w.forget(&regs, arch.Regs(w.a.Call.Scratch))
	case arch.FlowJumpInd:
		for _, t := range w.b.Tables {
			for _, e := range t.Entries {
				if e.Atom == w.b.Atom {
					w.enter(w.b.InstAt(int64(e.Off)), &regs)
				}
			}
		}
	}
	if !leaves(in.Flow) {
		w.enter(k+1, &regs)
	}
}

func (w *displacedWalk) forget(regs *[maxRegs]displacement, which arch.Regs) {
	for r := range regs {
		if which.Has(arch.Reg(r)) {
			regs[r] = displacement{}
		}
	}
}

// effect follows the address over instruction k, and notes where that counts on from it.
func (w *displacedWalk) effect(k int, regs *[maxRegs]displacement) {
	t := *w.at(k)
	of := func(r arch.Reg) displacement {
		if r < 0 {
			return displacement{}
		}
		return regs[r]
	}
	at := of(t.Mem.Base) // of the operand in memory
	if i := of(t.Mem.Index); t.Mem.Index >= 0 && !t.Mem.Minus {
		at = at.join(i)
	}
	if at.kind != nothing && t.Mem.Index >= 0 {
		at.kind = indexed
	}
	at = at.plus(t.Mem.Disp)
	if t.HasMem && at.kind == exactly {
		w.reach(at.off[0], &t)
	}
	if t.HasMem && (t.Kind != arch.TransferAddress || !inPlace(&t) || !small(t.Mem.Disp)) {
		w.note(k, at)
	}
	result := displacement{}
	switch t.Kind {
	case arch.TransferAddress:
		result = at
	case arch.TransferMove, arch.TransferSelect:
		result = of(t.Src).join(of(t.Src2))
	case arch.TransferStore:
		w.store(&t, of(t.Src), of(t.Src2))
	case arch.TransferLoad:
		result = w.load(&t)
	case arch.TransferCompare, arch.TransferConst, arch.TransferNone:
	default: // made of all that is read, but not of what only addresses memory
		for r := range regs {
			if (t.Reads &^ (t.Mem.Base.Bit() | t.Mem.Index.Bit())).Has(arch.Reg(r)) && regs[r].kind != nothing {
				result = result.join(regs[r])
				result.kind = indexed
			}
		}
	}
	base := of(t.Mem.Base)
	w.forget(regs, t.Writes)
	if t.WriteBack || t.HasMem && t.Kind != arch.TransferAddress && stepsBase(&t) {
		regs[t.Mem.Base] = base.plus(t.Step)
	}
	if t.Dst >= 0 {
		regs[t.Dst] = result
	}
}

// note notes that instruction k counts on from the address.
func (w *displacedWalk) note(k int, at displacement) {
	if at.kind < walked {
		return
	}
	for _, off := range at.offs() {
		if d := (Displaced{k, off}); off != 0 && (at.kind == indexed || !small(off)) && !slices.Contains(w.found, d) {
			w.found = append(w.found, d)
		}
	}
}

// reach notes what the body reaches from the address by a constant alone.
func (w *displacedWalk) reach(off int64, t *arch.Transfer) {
	x := Reached{off, t.Mem.Width}
	if t.Kind == arch.TransferAddress {
		x.Width = 0
	}
	if !slices.Contains(w.reached, x) {
		w.reached = append(w.reached, x)
	}
}

// store notes what a word of the stack frame may have.
func (w *displacedWalk) store(t *arch.Transfer, values ...displacement) {
	if !inFrame(w.a, t) || t.Mem.Index >= 0 {
		return
	}
	for i, v := range values {
		key := frameKey{t.Mem.Base, t.Mem.Disp + int64(i)*wordSize}
		if d := w.slots[key].join(v); v.kind != nothing && d != w.slots[key] {
			w.slots[key], w.stored = d, true
		}
	}
}

// load returns what a word of the stack frame may have.
func (w *displacedWalk) load(t *arch.Transfer) displacement {
	if !inFrame(w.a, t) || t.Mem.Index >= 0 || t.Vector {
		return displacement{}
	}
	return w.slots[frameKey{t.Mem.Base, t.Mem.Disp}]
}

package image

import (
	"slices"

	"hotpatch/arch"
)

// AddressUse says what a body does with an address that one of its instructions puts into a register.
type AddressUse struct {
	// Plain: the address is used as it is and as a pointer only: it is handed to a function, returned, stored outside of the stack frame, or memory
	// is accessed at a constant distance from it. It is then a value of the source, and lies in its object or is that object's end (C17 6.5.6).
	// An address that is used otherwise may be one that the compiler made, from which an index that never is zero leads to the object.
	Plain bool
	// Accessed are the distances from the address at which memory is accessed for certain, wherever execution comes to the access: no other
	// instruction gives the register a value there. That memory belongs to the object, too. Of an access by an index that was compared, they are the first
	// and the last byte to which it may lead.
	Accessed []int64

	walk *addressWalk // nil: the address was not followed; see Handed and Several
}

// AddressUse follows the address that a reference names through all registers to which it may come, along all paths, as far as the
// body's control flow is known. What is not understood is not plain.
func (im *Image) AddressUse(b *Body, r *Ref) AddressUse {
	k := int(r.Inst)
	if len(b.Escapes) > 0 {
		return AddressUse{}
	}
	w := addressWalk{transfers: transfers{a: im.Arch, b: b}, im: im, b: b, first: k, in: make(map[int]arch.Regs), others: make(map[valueAt]bool), plain: true}
	t := w.at(k)
	if r.Kind != RefAddr || t.Kind != arch.TransferAddress || t.Mem.Index >= 0 {
		if r.Kind != RefImm || t.Kind != arch.TransferConst {
			return AddressUse{}
		}
	}
	w.reg = t.Dst
	w.enter(k+1, w.reg.Bit())
	for len(w.work) > 0 {
		k := w.work[len(w.work)-1]
		w.work = w.work[:len(w.work)-1]
		w.step(k)
	}
	w.stepped()
	at := w.certain()
	if r.Indexed > 0 {
		at = append(at, 0, int64(r.Indexed)-1)
	}
	return AddressUse{Plain: w.plain, Accessed: at, walk: &w}
}

// addressWalk follows an address through the registers of a body.
type addressWalk struct {
	transfers
	im       *Image
	b        *Body
	first    int               // index of the instruction that names the address
	reg      arch.Reg          // into which it puts it
	in       map[int]arch.Regs // by index of an instruction: registers that may hold the address in front of it
	work     []int
	plain    bool // so far
	accesses []access
	others   map[valueAt]bool // registers that may hold the address where they are used otherwise: whether it leaves the body there
	from     [][]int32        // see predecessors; nil: not yet made
}

// access is one to memory at a constant distance from what may be the address.
type access struct {
	at   int // index of the instruction
	reg  arch.Reg
	disp int64
}

// enter adds to what holds in front of an instruction.
func (w *addressWalk) enter(k int, regs arch.Regs) {
	if have := w.in[k]; regs&^have != 0 {
		w.in[k] = have | regs
		w.work = append(w.work, k)
	}
}

// step follows control over instruction k.
func (w *addressWalk) step(k int) {
	if k >= len(w.b.Insts) {
		w.plain = w.plain && !w.b.Falls // else behind a call that does not return
		return
	}
	in, regs := &w.b.Insts[k], w.in[k]
	if in.Flow != arch.FlowNext && (in.Flow != arch.FlowBranch && in.Flow != arch.FlowJump || in.Target < 0) {
		w.other(k, regs&w.handedAt(k), true)
	}
	switch in.Flow {
	case arch.FlowNext:
		if !in.Nop {
			regs = w.use(k, regs)
		}
	case arch.FlowBranch, arch.FlowJump:
		if in.Target >= 0 {
			w.enter(int(in.Target), regs)
		} else {
			w.plain = w.plain && in.Flow == arch.FlowJump && w.leaves(k)
		}
		if in.Flow == arch.FlowJump {
			return
		}
	case arch.FlowCall: // the callee may be known to leave registers as they are (-fipa-ra), so that they are followed further on
	case arch.FlowCallInd:
		w.plain = w.plain && w.mentions(k)&regs == 0
		regs &^= arch.Regs(w.a.Call.Scratch)
	case arch.FlowJumpInd:
		w.plain = w.plain && w.mentions(k)&regs == 0
		if !slices.Contains(w.b.Indirect, int32(k)) { // else a tail call
			w.switched(regs)
		}
		return
	case arch.FlowReturn, arch.FlowStop:
		return
	default:
		w.plain = false
		return
	}
	if regs != 0 {
		w.enter(k+1, regs)
	}
}

// other notes registers that may hold the address and are used otherwise than to access memory; out says that it leaves the body in them, or is stored.
func (w *addressWalk) other(k int, regs arch.Regs, out bool) {
	for r := arch.Reg(0); regs>>r != 0; r++ {
		if regs.Has(r) {
			w.others[valueAt{k, r}] = out
		}
	}
}

// mentions returns the registers that an indirect call or jump is made through, all if that is not understood.
func (w *addressWalk) mentions(k int) arch.Regs {
	t := w.at(k)
	if t.Kind != arch.TransferArith && t.Kind != arch.TransferNone {
		return allRegs
	}
	return t.Reads | t.Src.Bit() | t.Src2.Bit() | t.Mem.Base.Bit() | t.Mem.Index.Bit()
}

// switched follows an indirect jump through the jump tables of the body.
func (w *addressWalk) switched(regs arch.Regs) {
	for _, t := range w.b.Tables {
		for _, e := range t.Entries {
			if i := w.b.InstAt(int64(e.Off)); e.Atom == w.b.Atom && i >= 0 {
				w.enter(i, regs)
			} else {
				w.plain = false
			}
		}
	}
}

// leaves reports whether jump k is a tail call.
func (w *addressWalk) leaves(k int) bool {
	p := w.branchPlace(k)
	return p != nil && (p.Kind == PlaceImport || p.Kind == PlaceAtom && p.Atom.Parent == nil && p.Addend == 0)
}

// use returns the registers that may hold the address behind instruction k.
func (w *addressWalk) use(k int, regs arch.Regs) arch.Regs {
	t := *w.at(k)
	if t.HasMem && (t.Mem.Base.Bit()|t.Mem.Index.Bit())&regs != 0 {
		switch {
		case t.Kind != arch.TransferAddress && !t.Mem.Load && !t.Mem.Store: // a hint, which may lead anywhere
		case t.Mem.Index < 0 && t.Kind != arch.TransferAddress && !stepsBase(&t):
			w.accesses = append(w.accesses, access{k, t.Mem.Base, t.Mem.Disp})
		default:
			w.plain = false
		}
	}
	stores := t.Kind == arch.TransferStore && !t.WriteBack && (t.Src.Bit()|t.Src2.Bit())&regs != 0 || t.Vector && t.Mem.Store && regs&inVector != 0
	if stores && inFrame(w.a, &t) {
		w.plain = w.plain && w.handedOver(k, &t)
	}
	if read := t.Reads; t.Kind != arch.TransferMove {
		if t.HasMem && t.Kind != arch.TransferAddress && t.Mem.Index < 0 && !stepsBase(&t) {
			read = t.Src.Bit() | t.Src2.Bit()
		}
		w.other(k, regs&read, t.Kind == arch.TransferStore && regs&(t.Src.Bit()|t.Src2.Bit()) != 0)
	}
	out, plain := pointerEffect(&t, regs)
	w.plain = w.plain && plain
	if s, ok := w.reloads(k); ok && w.in[k-1].Has(s) {
		out |= t.Dst.Bit()
	}
	return out
}

// inVector is the bit of all vector registers in a set, for x86-64: one of them may hold the address. A call through a register changes them all; else nothing says when
// it no longer does. On arm64 an address in one is not plain.
const inVector = arch.Regs(1) << 63

// pointerEffect returns the registers that may hold the address behind an instruction, of those that do in front of it, and whether it
// uses that as a pointer only, what its operand in memory needs aside.
func pointerEffect(t *arch.Transfer, regs arch.Regs) (out arch.Regs, plain bool) {
	src := t.Src.Bit() | t.Src2.Bit()
	out = regs &^ t.Writes
	switch t.Kind {
	case arch.TransferNone, arch.TransferConst, arch.TransferLoad:
		return out, true
	case arch.TransferAddress:
		return out, regs&(t.Mem.Base.Bit()|t.Mem.Index.Bit()) == 0
	case arch.TransferStore:
		return out, regs&src == 0 || !t.Pair && t.Mem.Width == 8 || t.Pair && t.Mem.Width == 16
	case arch.TransferMove, arch.TransferSelect:
		if regs&src == 0 || !t.Wide || t.Part.Bits != 0 {
			return out, regs&src == 0
		}
		return out | t.Dst.Bit(), true
	case arch.TransferInsert:
		return regs, regs&(src|t.Dst.Bit()) == 0
	case arch.TransferOther:
		if !t.HasMem && src == 0 {
			return 0, false
		}
		return out, regs&(inVector|src|t.Reads&^(t.Mem.Base.Bit()|t.Mem.Index.Bit())) == 0
	}
	used := src | t.Reads&^(t.Mem.Base.Bit()|t.Mem.Index.Bit())
	switch {
	case takesVector(t):
		return out, regs&(used|inVector) == 0
	case regs&used != 0 && t.Vector && t.Wide && t.Dst < 0: // movq to a vector register, from which it is stored
		return out | inVector, true
	}
	return out, regs&used == 0
}

// reloads reports whether instruction k loads what the one in front of it has just stored in the stack frame, and returns the register that was
// stored: code that was not optimised keeps all that it computes there.
func (w *addressWalk) reloads(k int) (arch.Reg, bool) {
	if k == 0 {
		return arch.NoReg, false
	}
	load := w.at(k)
	if load.Kind != arch.TransferLoad || !wordInFrame(w.a, load) {
		return arch.NoReg, false
	}
	base, disp := load.Mem.Base, load.Mem.Disp
	store := w.at(k - 1)
	if store.Kind != arch.TransferStore || !wordInFrame(w.a, store) || store.Mem.Base != base || store.Mem.Disp != disp || store.Src < 0 {
		return arch.NoReg, false
	}
	reg := store.Src
	from := w.predecessors()[k]
	return reg, len(from) == 1 && int(from[0]) == k-1
}

// wordInFrame reports whether a load or store is of one general register, from or to a slot of the stack frame.
func wordInFrame(a *arch.Arch, t *arch.Transfer) bool {
	return inFrame(a, t) && t.Mem.Width == 8 && t.Mem.Index < 0 && !t.Mem.Seg && !t.Vector && !t.Pair && !t.WriteBack
}

// loads reports whether instruction k, a load, is into register r.
func (w *addressWalk) loads(k int, r arch.Reg) bool { return w.at(k).Dst == r }

// handedOver reports whether what instruction k, which x describes, stores in the stack frame is for others to read: no instruction loads it from there.
func (w *addressWalk) handedOver(k int, x *arch.Transfer) bool {
	for i := range w.b.Insts {
		y := w.at(i)
		switch {
		case i == k || !y.HasMem:
		case y.Kind == arch.TransferStore && y.WriteBack && y.Mem.Base == w.a.Call.SP && i > k:
			return false // a push: the same place has another distance from the stack pointer then
		case y.Mem.Base == x.Mem.Base && overlap(&y.Mem, &x.Mem) && y.Kind != arch.TransferStore && !y.WriteBack && !inPlace(y):
			return false
		}
	}
	return x.Mem.Index < 0
}

// stepsBase reports whether the base of an access gets another value beside what is loaded.
func stepsBase(t *arch.Transfer) bool {
	return t.WriteBack || t.Writes.Has(t.Mem.Base) && t.Mem.Base != t.Dst && t.Mem.Base != t.Dst2
}

// overlap reports whether two operands in memory that count from the same base share a byte.
func overlap(x, y *arch.Mem) bool {
	width := func(m *arch.Mem) int64 {
		if m.Width == 0 { // not known: what a vector register has at most
			return 64
		}
		return int64(m.Width)
	}
	return x.Disp < y.Disp+width(y) && y.Disp < x.Disp+width(x)
}

// stepped adds the accesses behind constant steps of the register into which the address was put, up to useWindow instructions further on.
func (w *addressWalk) stepped() {
	r := w.reg
	seen := make(map[int]bool)
	work := []boundPath{{at: w.first + 1}}
	for n := 0; n < useWindow && len(work) > 0; n++ {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if p.at < 0 || p.at >= len(w.b.Insts) || seen[p.at] {
			continue
		}
		seen[p.at] = true
		next := w.b.Insts[p.at].Flow == arch.FlowNext
		t := w.at(p.at)
		delta, _ := step(t, r)
		switch {
		case next && accesses(t, r):
			w.accesses = append(w.accesses, access{p.at, r, t.Mem.Disp + p.added})
		case !w.leavesOrSteps(p.at, r):
		default:
			if next {
				p.added += delta
			}
			work = append(work, nextOnPaths(&w.b.Insts[p.at], p)...)
		}
	}
}

// certain returns the distances of those accesses whose register has no other value there than the address, and what constant steps made of it.
func (w *addressWalk) certain() []int64 {
	var out []int64
	for _, a := range w.accesses {
		if !slices.Contains(out, a.disp) && w.onlyFrom(a.at, a.reg, false) {
			out = append(out, a.disp)
		}
	}
	return out
}

// predecessors lists for each instruction those from which control may come; nil for those that control may come to otherwise.
func (w *addressWalk) predecessors() [][]int32 {
	if w.from != nil {
		return w.from
	}
	from := make([][]int32, len(w.b.Insts))
	for k := range w.b.Insts {
		in := &w.b.Insts[k]
		switch in.Flow {
		case arch.FlowJump, arch.FlowJumpInd, arch.FlowReturn, arch.FlowStop:
		default:
			if k+1 < len(from) {
				from[k+1] = append(from[k+1], int32(k))
			}
		}
		if in.Target >= 0 {
			from[in.Target] = append(from[in.Target], int32(k))
		}
	}
	for _, t := range w.b.Tables {
		for _, e := range t.Entries {
			if i := w.b.InstAt(int64(e.Off)); e.Atom == w.b.Atom && i >= 0 {
				from[i] = nil
			}
		}
	}
	w.from = from
	return from
}

// valueAt is a register in front of an instruction.
type valueAt struct {
	at  int
	reg arch.Reg
}

// onlyFrom reports whether on all paths to instruction k the register gets its value from the instruction that names the address, by
// constant steps from such a value, or by way of the stack frame; or, if so said, of other registers.
func (w *addressWalk) onlyFrom(k int, r arch.Reg, moved bool) bool {
	from := w.predecessors()
	seen := map[valueAt]bool{}
	work := []valueAt{{k, r}}
	for len(work) > 0 {
		v := work[len(work)-1]
		work = work[:len(work)-1]
		if len(from[v.at]) == 0 {
			return false // the entry, or control comes from where it is not known
		}
		for _, p := range from[v.at] {
			prev := valueAt{int(p), v.reg}
			if prev.at == w.first && prev.reg == w.reg {
				continue
			}
			if s, ok := w.reloads(prev.at); ok && w.loads(prev.at, v.reg) {
				prev.reg = s
			} else if s := w.moves(prev.at, v.reg); moved && s >= 0 {
				prev.reg = s
			} else if !w.leavesOrSteps(prev.at, v.reg) {
				return false
			}
			if !seen[prev] {
				seen[prev] = true
				work = append(work, prev)
			}
		}
	}
	return true
}

// moves returns the register whose whole value instruction k puts into register r, or NoReg.
func (w *addressWalk) moves(k int, r arch.Reg) arch.Reg {
	if w.b.Insts[k].Flow == arch.FlowNext {
		if t := w.at(k); moved(t) && t.Dst == r {
			return t.Src
		}
	}
	return arch.NoReg
}

// leavesOrSteps reports whether instruction k leaves the register as it is or adds a constant to it.
func (w *addressWalk) leavesOrSteps(k int, r arch.Reg) bool {
	in := &w.b.Insts[k]
	switch in.Flow {
	case arch.FlowNext:
	case arch.FlowCall, arch.FlowCallInd, arch.FlowSyscall:
		return calleeSaved(w.a, r)
	default:
		return true
	}
	if in.Nop {
		return true
	}
	t := w.at(k)
	_, adds := step(t, r)
	return adds || !t.Writes.Has(r)
}

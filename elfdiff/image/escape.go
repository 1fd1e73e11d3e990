package image

import (
	"slices"
	"sort"

	"hotpatch/arch"
)

// PointerFlow says what a function may do with the address of an object, and with the words that it loads through it. The zero value
// says that the address serves to access memory and for nothing else. What is not understood sets all fields.
type PointerFlow struct {
	Escapes bool // the address, or one computed from it, may be stored or passed on
	Returns bool // a register that could be a result has the address at a return
	Writes  bool // memory may be written through it
	Yields  bool // a word loaded through it may be used otherwise than by a jump to it
}

// Add adds what another use of the address may do.
func (f *PointerFlow) Add(g PointerFlow) {
	f.Escapes, f.Returns = f.Escapes || g.Escapes, f.Returns || g.Returns
	f.Writes, f.Yields = f.Writes || g.Writes, f.Yields || g.Yields
}

func anyFlow() PointerFlow {
	return PointerFlow{Escapes: true, Returns: true, Writes: true, Yields: true}
}

// PointerFlow follows the address that a reference of a body names through all registers that it may come to, along
// all paths. It is proof that something does not happen, as far as the body's control flow is known; that it happens need not be so.
func (im *Image) PointerFlow(b *Body, r *Ref) PointerFlow {
	k := int(r.Inst)
	t := &tracker{im: im, b: b, ops: transfers{a: im.Arch, b: b}, labels: holdsLabels(b, r.Place.Atom)}
	inst := t.ops.at(k)
	var out regSets
	switch {
	case r.Kind == RefImm && inst.Kind == arch.TransferConst: // mov of the address to a register
		out.addr = inst.Dst.Bit()
	case r.Kind == RefImm, r.Kind == RefAddr && inst.WriteBack: // the base register gets the address
		return anyFlow()
	case r.Place.ViaSlot && inst.Kind == arch.TransferLoad && !inst.Vector && !inst.Pair: // the slot holds the address
		out.addr = inst.Dst.Bit()
	case r.Place.ViaSlot:
		return anyFlow()
	case inst.Kind == arch.TransferAddress:
		out.addr = inst.Dst.Bit()
	case inst.Kind == arch.TransferLoad && !inst.Signed && !inst.Vector && !inst.Pair && inst.Mem.Width >= minWord: // a load of what lies there
		out.val = inst.Dst.Bit()
	case b.Insts[k].Flow == arch.FlowJumpInd && inst.HasMem:
		return PointerFlow{}
	case !inst.HasMem:
		return anyFlow()
	default:
		t.effect(inst, b.Insts[k].Flow, true, regSets{})
		return t.found
	}
	t.in = make([]regSets, len(b.Insts))
	t.leave(k, out)
	for len(t.work) > 0 && t.found != anyFlow() {
		k := int(t.work[len(t.work)-1])
		t.work = t.work[:len(t.work)-1]
		t.leave(k, t.step(k, t.in[k]))
	}
	return t.found
}

// minWord is the least width in bytes of a load that may be of an address: programs that are linked for low addresses have 32 bits for one.
const minWord = 4

// regSets are general registers: those that hold the address or one computed from it, and those that hold a word
// loaded through it.
type regSets struct{ addr, val arch.Regs }

func (s regSets) any() arch.Regs { return s.addr | s.val }

// allRegs are all general registers.
const allRegs = ^arch.Regs(0)

// tracker follows registers through one body.
type tracker struct {
	im    *Image
	b     *Body
	ops   transfers
	in    []regSets // what holds in front of each instruction, on some path
	work  []int32
	found PointerFlow
	// labels says that the object is a table of the body's labels. Indirect jumps are then taken to go to such, which is evidence:
	// nothing tells them from a tail call by a pointer that gets the table as its argument.
	labels bool
	sites  []CallSite // of the body, with landing pads; see unwound
	sited  bool       // sites is filled in
}

// unwound follows an exception from call k to its landing pad, where registers may hold what they held in front of the call.
func (t *tracker) unwound(k int, s regSets) {
	a := t.b.Atom
	if !t.sited {
		t.sited = true
		if fde := t.im.CFI.Find(a.Addr); fde != nil {
			if r := t.im.lsda(fde); r != nil {
				t.sites = slices.DeleteFunc(r.sites(), func(c CallSite) bool { return c.Pad == 0 })
			}
		}
	}
	at := a.Addr + arch.ImageAddr(t.b.Insts[k].Off)
	for i := range t.sites {
		c := &t.sites[i]
		if at < c.Start || at >= c.End {
			continue
		}
		if pad := t.b.InstAt(int64(c.Pad - a.Addr)); c.Pad >= a.Addr && c.Pad < a.End() && pad >= 0 {
			t.enter(pad, s)
		} else { // in another part of the function
			t.out(s, allRegs)
			t.found.Writes = t.found.Writes || s.addr != 0
		}
	}
}

// holdsLabels reports whether an object has the address of one of the body's labels; nil has none.
func holdsLabels(b *Body, a *Atom) bool {
	return a != nil && slices.ContainsFunc(b.Escapes, func(e Escape) bool { return e.Inst < 0 && e.Data >= a.Addr && e.Data < a.End() })
}

// out notes that the registers of a set get where they are no longer followed.
func (t *tracker) out(s regSets, regs arch.Regs) {
	t.found.Escapes = t.found.Escapes || s.addr&regs != 0
	t.found.Yields = t.found.Yields || s.val&regs != 0
}

// enter adds to what holds in front of an instruction.
func (t *tracker) enter(k int, s regSets) {
	have := &t.in[k]
	if s.addr&^have.addr == 0 && s.val&^have.val == 0 {
		return
	}
	have.addr |= s.addr
	have.val |= s.val
	t.work = append(t.work, int32(k))
}

// leave follows control from instruction k on, behind which s holds.
func (t *tracker) leave(k int, s regSets) {
	if s.any() == 0 {
		return
	}
	in := &t.b.Insts[k]
	next := func() {
		switch {
		case k+1 < len(t.b.Insts):
			t.enter(k+1, s)
		case in.Flow != arch.FlowCall && in.Flow != arch.FlowCallInd: // a call at the end does not return
			t.out(s, allRegs)
		}
	}
	switch in.Flow {
	case arch.FlowNext:
		next()
	case arch.FlowJump, arch.FlowBranch:
		if in.Target >= 0 {
			t.enter(int(in.Target), s)
		} else {
			t.out(s, t.outside(k))
		}
		if in.Flow == arch.FlowBranch {
			next()
		}
	case arch.FlowCall: // the callee may be known to leave registers as they are (-fipa-ra)
		t.out(s, t.arguments())
		t.unwound(k, s)
		next()
	case arch.FlowCallInd:
		t.out(s, t.arguments())
		t.unwound(k, s)
		scratch := arch.Regs(t.im.Arch.Call.Scratch)
		s = regSets{s.addr &^ scratch, s.val &^ scratch}
		next()
	case arch.FlowSyscall:
		t.out(s, t.arguments())
		next()
	case arch.FlowReturn:
		t.results(s)
	case arch.FlowJumpInd:
		t.indirect(k, s)
	}
}

// results notes what the registers of the function's result hold at a return.
func (t *tracker) results(s regSets) {
	results := arch.Regs(t.im.Arch.Call.Result & t.im.Arch.Call.General)
	if s.any()&results == 0 {
		return
	}
	a := t.b.Atom
	if a.Parent != nil {
		a = a.Parent
	}
	first := results & -results
	regs := [...]arch.Regs{0, first, results}[t.im.ResultWords(a)]
	t.found.Returns = t.found.Returns || s.addr&regs != 0
	t.found.Yields = t.found.Yields || s.val&regs != 0
}

// arguments returns the registers that count at a call.
func (t *tracker) arguments() arch.Regs {
	return arch.Regs(t.im.Arch.Call.Args & t.im.Arch.Call.General)
}

// outside returns the registers that count behind a jump out of the body: those of arguments if it is a tail call, all if it may lead to
// another part of the function.
func (t *tracker) outside(k int) arch.Regs {
	i := sort.Search(len(t.b.Refs), func(i int) bool { return int(t.b.Refs[i].Inst) >= k })
	if i < len(t.b.Refs) && int(t.b.Refs[i].Inst) == k {
		switch p := &t.b.Refs[i].Place; {
		case p.Kind == PlaceImport, p.Kind == PlaceAtom && p.Atom.Parent == nil && p.Addend == 0:
			return t.arguments()
		}
	}
	return allRegs
}

// indirect follows jump k to what a register or memory holds: to all entries of the body's jump tables, to all labels whose address is
// taken, and, unless it is shown to go to one of these, out of the function.
func (t *tracker) indirect(k int, s regSets) {
	to := make([]Target, 0, len(t.b.Escapes))
	for _, e := range t.b.Escapes {
		to = append(to, e.Target)
	}
	for _, table := range t.b.Tables {
		to = append(to, table.Entries...)
	}
	for _, e := range to {
		if i := t.b.InstAt(int64(e.Off)); e.Atom == t.b.Atom && i >= 0 {
			t.enter(i, s)
		} else {
			t.out(s, allRegs)
		}
	}
	if !t.inside(k) {
		t.out(s, t.arguments())
	}
}

// inside reports whether indirect jump k goes to an entry of a jump table or to a label; every other one may be a tail call. Compilers add
// the start of a table of distances in the last instruction that makes the target, and load an address by an index from a table that they name.
func (t *tracker) inside(k int) bool {
	if t.labels {
		return true
	}
	x := t.ops.at(k)
	if x.Src < 0 {
		return t.byIndex(k, x)
	}
	target := x.Src
	for k--; k >= 0 && t.b.Insts[k].Flow == arch.FlowNext; k-- {
		x := t.ops.at(k)
		switch {
		case !x.Writes.Has(target):
		case x.Kind == arch.TransferAddress && x.Mem.Base >= 0 && x.Mem.Index >= 0:
			return len(t.b.Tables) > 0
		default:
			return x.Kind == arch.TransferLoad && x.Dst == target && t.byIndex(k, x)
		}
	}
	return false
}

// byIndex reports whether instruction k, which x describes, takes a word from a jump table.
func (t *tracker) byIndex(k int, x *arch.Transfer) bool {
	if !x.HasMem || x.Mem.Index < 0 {
		return false
	}
	i := sort.Search(len(t.b.Refs), func(i int) bool { return int(t.b.Refs[i].Inst) >= k })
	return i < len(t.b.Refs) && int(t.b.Refs[i].Inst) == k && t.b.Refs[i].Place.Kind == PlaceTable
}

// step returns the registers that hold the address and what was loaded through it behind instruction k.
func (t *tracker) step(k int, s regSets) regSets {
	in := &t.b.Insts[k]
	if in.Nop {
		return s
	}
	x := t.ops.at(k)
	through := x.HasMem && (x.Mem.Base.Bit()|x.Mem.Index.Bit())&s.addr != 0
	return t.effect(x, in.Flow, through, s)
}

// copyTo is the effect of giving register r what the registers of from hold.
func (s regSets) copyTo(r arch.Reg, from arch.Regs) regSets {
	return regSets{with(s.addr, r, s.addr&from != 0), with(s.val, r, s.val&from != 0)}
}

// with returns a set of registers in which r is, or is not.
func with(regs arch.Regs, r arch.Reg, on bool) arch.Regs {
	if on {
		return regs | r.Bit()
	}
	return regs &^ r.Bit()
}

// effect is what an instruction does to the sets; through says that its operand in memory is at the address.
func (t *tracker) effect(x *arch.Transfer, flow arch.Flow, through bool, s regSets) regSets {
	src := x.Src.Bit() | x.Src2.Bit()
	switch flow {
	case arch.FlowNext:
	case arch.FlowCallInd:
		t.found.Yields = t.found.Yields || through || s.val&src != 0
		return s
	default:
		return s
	}
	base := x.Mem.Base
	inBase := regSets{s.addr & base.Bit(), s.val & base.Bit()}
	switch x.Kind {
	case arch.TransferNone, arch.TransferInsert:
		t.found.Writes = t.found.Writes || through && x.Mem.Store
		return s
	case arch.TransferConst:
		return s.copyTo(x.Dst, 0)
	case arch.TransferMove:
		if n := x.Part.Bits; n != 0 && n < 8*minWord {
			src = 0
		}
		return s.copyTo(x.Dst, src)
	case arch.TransferAddress:
		return s.copyTo(x.Dst, base.Bit()|x.Mem.Index.Bit())
	case arch.TransferLoad:
		s = t.load(x, through, s)
	case arch.TransferStore:
		t.found.Writes = t.found.Writes || through
		t.out(s, src)
	case arch.TransferCompare, arch.TransferArith, arch.TransferSelect:
		s = t.arithmetic(x, through, s)
	default:
		regs := src
		if !x.HasMem && src == 0 {
			regs = allRegs
		}
		t.found.Writes = t.found.Writes || through || s.addr&regs&^src != 0
		t.found.Yields = t.found.Yields || through
		t.out(s, regs|x.Reads&^(base.Bit()|x.Mem.Index.Bit()))
	}
	if x.WriteBack { // the base is moved, and leads to where it led
		s.addr, s.val = s.addr|inBase.addr, s.val|inBase.val
	}
	return s
}

// load is the effect of a load.
func (t *tracker) load(x *arch.Transfer, through bool, s regSets) regSets {
	if x.Vector {
		t.found.Yields = t.found.Yields || through
		return s
	}
	word := through && !x.Signed && x.Mem.Width >= minWord
	for _, r := range [...]arch.Reg{x.Dst, x.Dst2} {
		s = s.copyTo(r, 0)
		s.val = with(s.val, r, word && r >= 0)
	}
	return s
}

// arithmetic is the effect of an operation whose result may be made of the address.
func (t *tracker) arithmetic(x *arch.Transfer, through bool, s regSets) regSets {
	src := x.Src.Bit() | x.Src2.Bit()
	switch {
	case x.Mem.Store:
		t.found.Writes = t.found.Writes || through
		t.out(s, src)
	case x.Writes&^x.Dst.Bit() != 0: // results that are not told apart
		t.out(s, x.Reads&^(x.Mem.Base.Bit()|x.Mem.Index.Bit())|src)
		t.found.Yields = t.found.Yields || through
		return s
	case x.Dst >= 0, x.Vector:
		t.found.Yields = t.found.Yields || through // part of what is computed
	}
	switch {
	case x.Dst >= 0:
		return s.copyTo(x.Dst, src)
	case x.Vector:
		t.out(s, src)
	}
	return s
}

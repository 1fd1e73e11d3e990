package image

import (
	"fmt"
	"math"
	"slices"

	"hotpatch/arch"
)

// unitUses is what the last run of a flow found out of how the unit makes and uses addresses.
type unitUses struct {
	makers   map[int32]value   // what a node makes
	lost     map[int32]string  // by node that makes a page: why some use of it is not known
	paged    map[int32]bool    // the same: addresses are made of it
	asked    map[int32]string  // the same: it is in a register in which the kernel may take an argument, and where
	escaped  map[int32]bool    // by node that makes an address: it is used by itself
	passedOn map[int32]bool    // the same: it is in a register in which arguments are passed, at a call, or results, at a return
	owned    map[int32]bool    // the same: its object is accessed through it
	anchored map[int32]bool    // the same: other objects are
	indexed  map[int32]bool    // the same: memory is accessed at it plus an index
	compared map[int32]bool    // the same: it is compared with another value
	tabled   map[int32]bool    // the same: it is a jump table, or what the entries of one are added to
	partners []partner         // by node
	steps    []partner         // by node: accesses behind which the base leads to another object; see flow.stepped
	offsets  map[int32]int64   // by node that makes a constant, or a part of one: the offset from the thread pointer that it is
	pieces   map[int32]nodeSet // by node that makes a constant of another one: what made that
	begins   map[int32]bool    // constants of which addresses are made
	elements map[int32]tableElement
	entries  map[int32]tableEntry
	targets  map[int32]tableTarget
	jumps    []tableJump // by node
	parked   parked
	bounded  map[int32]uint16 // by node that makes an address: see Ref.Indexed; unbounded
}

// tableJump is an indirect jump to an address that was made of an entry of a table.
type tableJump struct {
	node, target int32
}

// partner is a use of a page, of an address or of the thread pointer, to which the operand of an instruction is added.
type partner struct {
	node  int32
	op    uint8
	width uint8
	disp  int64
	base  value
}

func (u *unitUses) reset() {
	if u.makers == nil {
		u.makers, u.lost = map[int32]value{}, map[int32]string{}
		u.paged, u.escaped, u.passedOn, u.owned = map[int32]bool{}, map[int32]bool{}, map[int32]bool{}, map[int32]bool{}
		u.asked = map[int32]string{}
		u.anchored, u.tabled, u.indexed, u.compared = map[int32]bool{}, map[int32]bool{}, map[int32]bool{}, map[int32]bool{}
		u.offsets, u.pieces, u.begins = map[int32]int64{}, map[int32]nodeSet{}, map[int32]bool{}
		u.elements, u.entries, u.targets = map[int32]tableElement{}, map[int32]tableEntry{}, map[int32]tableTarget{}
	}
	if len(u.makers) > 0 || len(u.lost) > 0 {
		clear(u.makers)
		clear(u.lost)
		clear(u.escaped)
		clear(u.paged)
		clear(u.asked)
		clear(u.passedOn)
		clear(u.owned)
		clear(u.anchored)
		clear(u.tabled)
		clear(u.indexed)
		clear(u.compared)
	}
	if len(u.pieces) > 0 || len(u.offsets) > 0 {
		clear(u.pieces)
		clear(u.offsets)
		clear(u.begins)
	}
	if len(u.elements) > 0 || len(u.entries) > 0 {
		clear(u.elements)
		clear(u.entries)
		clear(u.targets)
	}
	u.partners, u.steps, u.jumps = u.partners[:0], u.steps[:0], u.jumps[:0]
	u.parked.reset()
	clear(u.bounded)
}

// lose notes that some use of the pages of a set is not known; of the addresses, that they are used by themselves.
func (f *flow) lose(from nodeSet, why string) {
	for _, n := range f.sets.sets[from] {
		switch f.makers[n].kind {
		case valuePage, valueThreadPage:
			if f.lost[n] == "" {
				f.lost[n] = why
			}
		default:
			f.escaped[n] = true
		}
	}
}

// record notes how node n uses what is known.
func (f *flow) record(n int32, in *arch.Inst, at arch.ImageAddr) {
	s, t := &f.s, f.t
	known := f.operand(n, in) // registers whose use is understood
	switch t.Kind {
	case arch.TransferMove:
		if t.Wide {
			known |= t.Src.Bit()
		}
	case arch.TransferSelect:
		if t.Wide {
			known |= t.Src.Bit() | t.Src2.Bit()
		}
	case arch.TransferStore:
		word := t.Mem.Width == wordSize && !t.Pair || t.Mem.Width == 2*wordSize && t.Pair
		if word && f.memory(0).kind == valueFrame {
			known |= t.Src.Bit() | t.Src2.Bit()
		}
	case arch.TransferAddress:
		if to, ok := f.targets[n]; ok {
			known |= t.Mem.Base.Bit() | t.Mem.Index.Bit()
			f.setAll(f.tabled, to.from)
		}
	case arch.TransferLoad:
		if e, ok := f.entries[n]; ok {
			known |= t.Mem.Base.Bit()
			f.setAll(f.tabled, e.from)
		}
		f.unknownFrame()
	}
	if v := s.reg(t.Src); in.Flow == arch.FlowJumpInd && v.kind == valueTarget {
		f.jumps = append(f.jumps, tableJump{n, int32(v.at)})
		known |= t.Src.Bit()
	}
	f.pointerUses()
	f.park(n, in)
	f.threadOffset()
	for regs := t.Reads &^ known & allValues; regs != 0; regs &= regs - 1 {
		if from := s.regs[regs.First()].from; from != 0 {
			at := f.place(n)
			why := fmt.Sprintf("what %s+%#x does with it is not known", at.Atom.Name, at.Off)
			if in.Flow == arch.FlowSyscall {
				f.askKernel(from, why)
				continue
			}
			f.lose(from, why)
		}
	}
	f.passed(in, at)
	f.crosses(n, in, at)
}

// askKernel notes what is in a register in which a system call may take an argument, of which it has up to six. An address may be one. Compiled code makes the
// address of an object whole before it hands it over: of what remains of a page, of which addresses are made, the call knows nothing. See dropAsked.
func (f *flow) askKernel(from nodeSet, why string) {
	for _, n := range f.sets.sets[from] {
		switch f.makers[n].kind {
		case valuePage:
			f.asked[n] = why
		default:
			f.lose(f.sets.one(n), why)
		}
	}
}

// dropAsked takes a page of which no address is made for what the kernel is asked about: assembly may mean a page.
func (f *flow) dropAsked() {
	for n, why := range f.asked {
		if !f.paged[n] {
			f.lose(f.sets.one(n), why)
		}
	}
}

// operand notes a use as the base of an operand. It returns the register, if the use is understood.
func (f *flow) operand(n int32, in *arch.Inst) arch.Regs {
	s, t := &f.s, f.t
	m := &t.Mem
	if !t.HasMem || m.Base < 0 || m.Index >= 0 {
		return 0
	}
	base := s.regs[m.Base]
	access := t.Kind != arch.TransferAddress
	for i := range in.NumOps {
		op := &in.Ops[i]
		if op.Kind != arch.OpDisp || op.Addr && access {
			continue
		}
		switch base.kind {
		case valuePage:
			if op.Value <= -maxPageDisp || op.Value >= maxPageDisp {
				return 0
			}
			fallthrough
		case valueAddress, valueThread, valueThreadPage, valueBlock:
			if base.kind == valuePage {
				f.setAll(f.paged, base.from)
			}
			f.partners = append(f.partners, partner{n, uint8(i), op.Width, op.Value, base})
			f.through(base, op, uint64(m.Width))
			return m.Base.Bit()
		}
	}
	if base.kind == valueAddress && access {
		f.through(base, nil, 0)
		return m.Base.Bit()
	}
	return 0
}

// takeSteps adds those steps to the partners whose result is used.
func (f *flow) takeSteps() {
	if len(f.steps) == 0 {
		return
	}
	based := map[int32]bool{} // nodes that make what is the base of a partner
	for i := range f.partners {
		f.setAll(based, f.partners[i].base.from)
	}
	for i := len(f.steps) - 1; i >= 0; i-- { // one that leads on from another
		n := f.steps[i].node
		if based[n] || f.escaped[n] || f.passedOn[n] || f.compared[n] || f.tabled[n] || f.pointerUse(n).based {
			f.partners = append(f.partners, f.steps[i])
			f.setAll(based, f.steps[i].base.from)
		}
	}
	slices.SortFunc(f.partners, func(p, q partner) int { return int(p.node) - int(q.node) })
}

// through notes that an address serves to address an object.
func (f *flow) through(base value, op *arch.Operand, width uint64) {
	if base.kind != valueAddress {
		return
	}
	uses := f.owned
	if op != nil && !f.im.within(arch.ImageAddr(base.at), arch.ImageAddr(base.at+op.Value), width) {
		uses = f.anchored
	}
	f.setAll(uses, base.from)
}

// setAll notes a use of all nodes of a set.
func (f *flow) setAll(use map[int32]bool, from nodeSet) {
	for _, n := range f.sets.sets[from] {
		use[n] = true
	}
}

// unknownFrame notes that what was put into the stack frame may be loaded where it is not known that it is.
func (f *flow) unknownFrame() {
	if f.t.Mem.Base != f.arch.SP || f.s.reg(f.arch.SP).kind == valueFrame {
		return
	}
	for i := range f.s.slots {
		f.lose(f.s.slots[i].from, "it is put into a stack frame of unknown size")
	}
}

// passed notes the addresses that may be handed to a function, or returned.
func (f *flow) passed(in *arch.Inst, at arch.ImageAddr) {
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd, arch.FlowSyscall, arch.FlowJumpInd, arch.FlowReturn:
	case arch.FlowJump:
		if _, _, ok := f.d.locate(at + arch.ImageAddr(in.Target)); ok {
			return
		}
	default:
		return
	}
	for regs := f.arch.Args & allValues; regs != 0; regs &= regs - 1 {
		for _, n := range f.sets.sets[f.s.regs[regs.First()].from] {
			if f.makers[n].kind == valueAddress {
				f.passedOn[n] = true
			}
		}
	}
}

// crosses notes what leaves the unit in registers for code that takes it from there. What becomes of it is not known.
func (f *flow) crosses(node int32, in *arch.Inst, at arch.ImageAddr) {
	if !f.im.crossing.known {
		return
	}
	to := at + arch.ImageAddr(in.Target)
	var read, asked, left arch.Regs
	switch in.Flow {
	case arch.FlowCall:
		read, asked = f.im.readAt(to)
	case arch.FlowJump, arch.FlowBranch:
		if f.inUnit(to) {
			return
		}
		read, asked = f.im.readAt(to)
		left = f.left
	case arch.FlowReturn, arch.FlowJumpInd:
		if left = f.left; in.Flow == arch.FlowJumpInd && f.s.reg(f.t.Src).kind == valueTarget {
			return
		}
	default:
		return
	}
	for regs := (read | asked | left) & allValues; regs != 0; regs &= regs - 1 {
		r := regs.First()
		from := f.s.regs[r].from
		for _, n := range f.sets.sets[from] {
			switch f.makers[n].kind {
			case valuePage, valueThreadPage:
				by := f.place(node)
				why := fmt.Sprintf("%s+%#x leaves it in register %d to code of another function", by.Atom.Name, by.Off, r)
				if !(read | left).Has(r) {
					f.asked[n] = why
					continue
				}
				f.lose(f.sets.one(n), why)
			default:
				if (read | asked).Has(r) || !f.arch.Args.Has(r) {
					f.escaped[n] = true
				}
			}
		}
	}
}

// pointerUses notes addresses that are compared, and those from which an index counts.
func (f *flow) pointerUses() {
	t := f.t
	if t.Kind == arch.TransferCompare {
		for _, r := range []arch.Reg{t.Src, t.Src2} {
			if v := f.s.reg(r); v.from != 0 && !t.HasImm {
				f.setAll(f.compared, v.from)
			}
		}
	}
	if t.HasMem && t.Mem.Index >= 0 {
		f.boundIndex()
		use := f.indexed
		if t.Mem.Minus { // the difference of two pointers, perhaps
			use = f.compared
		}
		for _, r := range []arch.Reg{t.Mem.Base, t.Mem.Index} {
			if v := f.s.reg(r); v.from != 0 {
				f.setAll(use, v.from)
			}
		}
	}
}

// pointerUse says how the address that a node makes is used.
func (u *unitUses) pointerUse(n int32) pointerUse {
	return pointerUse{based: u.owned[n] || u.anchored[n] || u.indexed[n], indexed: u.indexed[n], compared: u.compared[n]}
}

// unbounded stands for more bytes than Ref.Indexed tells.
const unbounded = math.MaxUint16

// boundIndex notes how much memory an access by an index may lead to, if the index was compared with a constant. Of the index, only the low 32 bits are known
// to be bounded: with others it would lead to no object.
func (f *flow) boundIndex() {
	m := &f.t.Mem
	base, index := f.s.reg(m.Base), f.s.reg(m.Index)
	size := uint64(unbounded)
	if base.kind == valueAddress && !m.Minus && m.Disp == 0 && m.Width > 0 && index.bound > 0 && index.bound < unbounded {
		size = min(size, (index.bound-1)<<m.Scale+uint64(m.Width))
	}
	for _, r := range [...]arch.Reg{m.Base, m.Index} {
		v := f.s.reg(r)
		for _, n := range f.sets.sets[v.from] {
			if f.bounded == nil {
				f.bounded = map[int32]uint16{}
			}
			if r == m.Index || v.at != f.makers[n].at {
				size = unbounded
			}
			f.bounded[n] = max(f.bounded[n], uint16(size))
		}
	}
}

// indexedBytes returns Ref.Indexed of a reference to the address that node n makes.
func (u *unitUses) indexedBytes(n int32) uint16 {
	if size := u.bounded[n]; size < unbounded {
		return size
	}
	return 0
}

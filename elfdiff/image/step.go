package image

import "hotpatch/arch"

// step changes the state by what node n does.
func (f *flow) step(n int32, in *arch.Inst, at arch.ImageAddr) {
	s, t := &f.s, &f.does[n]
	f.t = t
	f.settle(n)
	v, v2 := f.result(n, in, at)
	if f.recording {
		f.record(n, in, at)
	}
	f.expose(in)
	base := value{}
	if t.WriteBack {
		base = f.stepped(n, in)
	}
	f.store(in)
	switch {
	case t.Kind == arch.TransferCompare && t.HasImm:
		s.cmp = comparison{valid: true, reg: t.Src, same: s.reg(t.Src).same, imm: uint64(t.Imm)}
	case t.Flags:
		s.cmp = comparison{}
	}
	for regs := t.Writes; regs != 0; regs &= regs - 1 {
		s.set(regs.First(), value{})
	}
	if t.WriteBack {
		s.set(t.Mem.Base, base)
	}
	s.set(t.Dst, v)
	s.set(t.Dst2, v2)
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd:
		f.call(in, at)
	case arch.FlowSyscall:
		f.spoil()
	}
}

// fresh gives a value a number by which copies of it are known.
func (f *flow) fresh(v value) value {
	if v.same == 0 {
		f.s.same++
		v.same = f.s.same
	}
	return v
}

// result returns what node n leaves in the destinations of its instruction.
func (f *flow) result(n int32, in *arch.Inst, at arch.ImageAddr) (v, v2 value) {
	s, t := &f.s, f.t
	switch t.Kind {
	case arch.TransferMove:
		if t.Src >= 0 {
			s.regs[t.Src] = f.fresh(s.regs[t.Src])
		}
		if v = s.reg(t.Src); !t.Wide {
			v = value{bound: v.bound, same: v.same}
		}
		if v.copy = 0; t.Src >= 0 && t.Part.Bits == 0 && t.Dst != f.arch.SP && t.Src != f.arch.SP {
			v.copy = s.copyOf(t.Src, n)
		}
	case arch.TransferConst:
		v = f.constant(n, t.Imm, 0)
	case arch.TransferInsert:
		if v = s.reg(t.Src); v.kind == valueNumber && t.Wide {
			v = f.constant(n, v.at&^int64(t.Mask)|t.Imm, v.from)
		} else {
			v = value{}
		}
	case arch.TransferSelect:
		if v = f.join(s.reg(t.Src), s.reg(t.Src2)); !t.Wide {
			v = value{bound: v.bound}
		}
	case arch.TransferAddress:
		v = f.address(n, at)
	case arch.TransferLoad:
		v, v2 = f.load(n, at)
	}
	if in.TLSBase {
		v = value{kind: valueThread}
	}
	if t.Limit != 0 && t.Limit < 1<<32 && v.bound == 0 {
		v.bound = t.Limit + 1
	}
	return f.fresh(v), f.fresh(v2)
}

// pageSize is that of adrp, whatever the system's pages are (Arm ARM, C6.2, ADRP).
const pageSize = 1 << 12

// inUnit reports whether an address is in the unit.
func (f *flow) inUnit(v arch.ImageAddr) bool {
	_, _, ok := f.d.locate(v)
	return ok
}

// maxPageDisp is the greatest distance, in bytes, of what is addressed from the page by which it is.
const maxPageDisp = 1 << 15

// address returns the address that an instruction computes.
func (f *flow) address(n int32, at arch.ImageAddr) value {
	m := &f.t.Mem
	switch {
	case m.Base < 0 && m.Index < 0 && m.From == arch.FromPage:
		return f.made(n, valuePage, int64(at&^(pageSize-1))+m.Disp)
	case m.Base < 0 && m.Index < 0 && m.From == arch.FromInst:
		// Where a page is near, GNU ld may have put an adr of it in the adrp's place (--fix-cortex-a53-843419=adr).
		if v := int64(at) + m.Disp; v%pageSize == 0 && !f.inUnit(arch.ImageAddr(v)) {
			return f.made(n, valuePage, v)
		}
		return f.made(n, valueAddress, int64(at)+m.Disp)
	case m.Base < 0:
		return value{}
	case m.Index < 0:
		return f.plus(n, f.s.reg(m.Base), m.Disp, true)
	}
	base, index := f.s.reg(m.Base), f.s.reg(m.Index)
	if m.Extend.Bits == 0 && index.kind != valueNumber && base.kind == valueNumber && m.Scale == 0 && !m.Minus {
		base, index = index, base
	}
	if index.kind == valueThread {
		base, index = index, base
	}
	switch {
	case index.kind == valueNumber:
		d := m.Extend.Of(index.at) << m.Scale
		if m.Minus {
			d = -d
		}
		switch base.kind {
		case valueNumber, valueFrame:
			return value{kind: base.kind, at: base.at + d}
		case valueThread:
			return f.made(n, valueThread, base.at+d)
		}
	case m.Minus:
	case base.kind == valueAddress && index.kind == valueEntry:
		return f.target(n, base, index, *m)
	case base.kind == valueElement && index.kind == valueEntry:
		return f.ownTarget(n, base, index)
	case base.kind == valueAddress:
		return f.element(n, base)
	case base.kind == valueEntry && index.kind == valueAddress && m.Scale == 0 && m.Extend.Bits == 0:
		return f.target(n, index, base, *m)
	}
	return value{}
}

// plus returns the value d bytes behind another one, as node n makes it.
func (f *flow) plus(n int32, v value, d int64, names bool) value {
	switch v.kind {
	case valuePage:
		if names && d > -maxPageDisp && d < maxPageDisp {
			return f.made(n, valueAddress, v.at+d)
		}
		return value{from: v.from}
	case valueAddress:
		if names && !f.im.within(arch.ImageAddr(v.at), arch.ImageAddr(v.at+d), 0) {
			return f.made(n, valueAddress, v.at+d)
		}
		return value{kind: valueAddress, at: v.at + d, from: v.from}
	case valueNumber, valueFrame, valueBlock:
		return value{kind: v.kind, at: v.at + d}
	case valueThread:
		kind := valueThread
		if v.from == 0 && d%f.arch.TPPage == 0 { // the first of two pieces; a whole offset is never less than TCB
			kind = valueThreadPage
		}
		return f.made(n, kind, v.at+d)
	case valueThreadPage:
		return f.made(n, valueThread, v.at+d)
	}
	return value{}
}

// stepped returns the value of the base register of node n behind an access that adds a constant to it. Where a step behind the access leads out of the
// object, the value is another address than what it was made of, if it is used: compilers go from one object to the next in this way (clang, whose pass
// GlobalMerge lays variables side by side).
func (f *flow) stepped(n int32, in *arch.Inst) value {
	b := f.s.reg(f.t.Mem.Base)
	v := f.plus(n, b, f.t.Step, false)
	behind := in.NumOps == 1 && in.Ops[0].Kind == arch.OpDisp && in.Ops[0].Addr
	if b.kind != valueAddress || !behind || f.im.within(arch.ImageAddr(b.at), arch.ImageAddr(v.at), 0) {
		return v
	}
	if f.recording {
		f.steps = append(f.steps, partner{node: n, disp: f.t.Step, base: b})
	}
	return f.made(n, valueAddress, v.at)
}

// made returns a value that node n makes.
func (f *flow) made(n int32, kind valueKind, at int64) value {
	v := value{kind: kind, at: at, from: f.sets.one(n)}
	f.makers[n] = v
	return v
}

// within reports whether an access of width bytes at addr lies in the same object as base: the displacement is then a part of the object's layout.
func (im *Image) within(base, addr arch.ImageAddr, width uint64) bool {
	if a := im.AtomAt(base); a != nil {
		return addr >= a.Addr && addr+arch.ImageAddr(width) <= a.End() && (addr < a.End() || addr == a.Addr)
	}
	s := im.SectionAt(base)
	if s == nil || s != im.SectionAt(addr) {
		return false
	}
	low, high := min(base, addr), max(base, addr+arch.ImageAddr(width))
	next := im.NextAtom(low) // constants without symbols that lie next to each other may be one; across an object they are not
	return im.AtomAt(addr) == nil && (next == nil || high <= next.Addr)
}

// memory returns the address of the operand in memory.
func (f *flow) memory(at arch.ImageAddr) value {
	m := &f.t.Mem
	switch {
	case m.Base < 0 && m.Index < 0 && m.From == arch.FromInst:
		return value{kind: valueAddress, at: int64(at) + m.Disp}
	case m.Base < 0:
		return value{}
	}
	v := f.s.reg(m.Base)
	if m.Index >= 0 {
		index := f.s.reg(m.Index)
		if index.kind != valueNumber {
			return value{}
		}
		v.at += m.Extend.Of(index.at) << m.Scale
	}
	v.at += m.Disp
	return v
}

// load returns what an instruction loads.
func (f *flow) load(n int32, at arch.ImageAddr) (v, v2 value) {
	s, t := &f.s, f.t
	if t.Vector {
		return value{}, value{}
	}
	switch from := f.memory(at); from.kind {
	case valueFrame:
		if t.Wide {
			v = f.reload(from.at)
			if t.Pair {
				v2 = f.reload(from.at + wordSize)
			}
		}
	case valuePage, valueAddress:
		if sec := f.im.SectionAt(arch.ImageAddr(from.at)); sec != nil && isGOT(sec) && !t.Pair {
			v = value{kind: valueSlot, at: from.at}
		}
	default:
		switch base := s.reg(t.Mem.Base); {
		case t.Pair:
		case t.Mem.Index >= 0 && base.kind == valueAddress:
			v = f.entry(n, base)
		case t.Mem.Index < 0 && base.kind == valueElement:
			v = f.ownEntry(n, base)
		}
	}
	return v, v2
}

// reload returns what is known of a word of the stack frame.
func (f *flow) reload(off int64) value {
	i, ok := f.s.slot(off)
	if !ok {
		return value{}
	}
	w := &f.s.slots[i]
	if w.trusted {
		f.trusted = max(f.trusted, off)
	}
	return w.value
}

// store follows what an instruction writes to memory.
func (f *flow) store(in *arch.Inst) {
	s, t := &f.s, f.t
	switch {
	case t.Kind == arch.TransferOther && !t.HasMem:
		f.spoil()
		return
	case !t.HasMem || !t.Mem.Store:
		return
	}
	to := f.memory(0)
	if to.kind != valueFrame {
		f.spoil()
		return
	}
	width := int64(t.Mem.Width)
	general := t.Kind == arch.TransferStore && !t.Vector
	switch {
	case general && !t.Pair && width == wordSize:
		f.spill(to.at, t.Src)
	case general && t.Pair && width == 2*wordSize:
		f.spill(to.at, t.Src)
		f.spill(to.at+wordSize, t.Src2)
	case width == 0:
		const most = 64 // bytes that one instruction writes
		s.forget(to.at, most)
	default:
		s.forget(to.at, width)
	}
}

// spill puts a register into a word of the stack frame.
func (f *flow) spill(off int64, r arch.Reg) {
	if r >= 0 {
		f.s.regs[r] = f.fresh(f.s.regs[r])
	}
	v := f.s.reg(r)
	if v.copy = 0; !f.s.store(off, v) {
		f.lose(v.from, "it is put into a stack frame with too many values")
	}
}

// spoil forgets what memory may hold no longer behind a write to a place that is not known: addresses in words of the stack frame whose
// place others may know. Addresses of pages are the compiler's own, and so are numbers that only a linker makes.
func (f *flow) spoil() {
	for i := range f.s.slots {
		w := &f.s.slots[i]
		switch {
		case w.kind == valuePage, w.kind == valueThreadPage, w.kind == valueNumber && f.relaxed(w.from):
		case w.off >= f.exposed:
			w.value = value{from: w.from}
		case w.kind != valueUnknown, w.bound != 0:
			f.trusted = max(f.trusted, w.off)
		default:
			w.trusted = w.same != 0
		}
	}
}

// expose notes addresses in the stack frame that others may come to know.
func (f *flow) expose(in *arch.Inst) {
	t := f.t
	regs := t.Reads
	switch t.Kind {
	case arch.TransferMove, arch.TransferSelect:
		return
	case arch.TransferAddress:
		if t.Mem.Index < 0 {
			return
		}
	case arch.TransferLoad, arch.TransferStore, arch.TransferArith, arch.TransferNone:
		if t.HasMem && t.Mem.Index < 0 && t.Src != t.Mem.Base && t.Src2 != t.Mem.Base {
			regs &^= t.Mem.Base.Bit()
		}
	}
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd, arch.FlowSyscall, arch.FlowJump, arch.FlowJumpInd, arch.FlowReturn:
		regs |= ^f.arch.Saved
	}
	for regs &= allValues; regs != 0; regs &= regs - 1 {
		if v := &f.s.regs[regs.First()]; v.kind == valueFrame && v.at < f.exposed {
			f.exposed = v.at
		}
	}
}

// call forgets what a call changes. What the function behind a direct call is known to leave as it is, its caller may count on (-fipa-ra).
func (f *flow) call(in *arch.Inst, at arch.ImageAddr) {
	s := &f.s
	f.spoil()
	f.unwound(at)
	saved := f.arch.Saved
	changed, known := f.im.changedBy(at+arch.ImageAddr(in.Target), in.Flow == arch.FlowCall)
	if f.t.Src >= 0 && in.Flow == arch.FlowCallInd {
		// A TLS descriptor's function keeps all registers but the one of its result (ELF for the Arm 64-bit Architecture, "TLS Descriptors").
		if v := s.reg(f.t.Src); v.kind == valueSlot && f.im.isDescriptor(arch.ImageAddr(v.at)) {
			s.set(f.arch.Results.First(), f.im.inBlock(arch.ImageAddr(v.at)))
			return
		}
	}
	block := value{}
	if v := s.reg(f.arch.Args.First()); v.kind == valueAddress && f.asksForBlock(in, at) {
		block = f.im.inBlock(arch.ImageAddr(v.at))
	}
	spoiled := f.im.spoiledBy(at+arch.ImageAddr(in.Target), in.Flow == arch.FlowCall)
	for regs := allValues &^ (saved &^ spoiled); regs != 0; regs &= regs - 1 {
		r := regs.First()
		switch {
		case saved.Has(r): // whoever uses it may mean the one value or the other
			s.set(r, value{from: s.regs[r].from})
		case f.arch.Veneers.Has(r), !known && !f.arch.Results.Has(r):
			s.set(r, value{from: s.regs[r].from})
			s.spent |= r.Bit()
		case !known, changed.Has(r):
			s.set(r, value{})
		}
	}
	if block.kind == valueBlock {
		s.set(f.arch.Results.First(), block)
	}
}

// unwound enters the landing pad of a call: the registers that calls keep have their values, the others have none.
func (f *flow) unwound(at arch.ImageAddr) {
	for i := range f.pads {
		p := &f.pads[i]
		if p.start > at {
			break
		}
		if at >= p.end || f.recording {
			continue
		}
		regs := f.s.regs
		for r := arch.Reg(0); r < maxRegs; r++ {
			if !f.arch.Saved.Has(r) {
				f.s.regs[r] = value{}
			}
		}
		f.jump(p.pad)
		f.s.regs = regs
	}
}

package image

import (
	"debug/elf"
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
	if im.Arch.Machine != elf.EM_X86_64 {
		return anyFlow()
	}
	t := &tracker{im: im, b: b, in: make([]regSets, len(b.Insts)), labels: holdsLabels(b, r.Place.Atom)}
	inst := b.Code[b.Insts[k].Off:b.Insts[k].End()]
	x, ok := parseX86(inst)
	var out regSets
	switch {
	case r.Kind == RefImm && inst[0]&0xf8 == 0xb8: // mov of the address to a register
		out.addr = bit(int8(inst[0] & 7))
	case r.Kind == RefImm || !ok:
		return anyFlow()
	case r.Place.ViaSlot && !x.twoByte && x.opcode == 0x8b: // the slot holds the address
		out.addr = bit(x.reg)
	case r.Place.ViaSlot:
		return anyFlow()
	case !x.twoByte && x.opcode == 0x8d: // lea
		out.addr = bit(x.reg)
	case !x.twoByte && x.opcode == 0x8b && x.rm < 0: // a load of what lies there
		out.val = bit(x.reg)
	case !x.twoByte && x.opcode == 0xff && x.rm < 0 && x.reg&7 == 4: // jmp *place
		return PointerFlow{}
	default:
		t.found = x.throughMemory()
		return t.found
	}
	t.leave(k, out)
	for len(t.work) > 0 && t.found != anyFlow() {
		k := int(t.work[len(t.work)-1])
		t.work = t.work[:len(t.work)-1]
		t.leave(k, t.step(k, t.in[k]))
	}
	return t.found
}

// regSets are general registers, by bit: those that hold the address or one computed from it, and those that hold a word
// loaded through it.
type regSets struct{ addr, val uint16 }

func (s regSets) any() uint16 { return s.addr | s.val }

func bit(r int8) uint16 {
	if r < 0 {
		return 0
	}
	return 1 << r
}

// Registers of the System V ABI for x86-64 (3.2.3), by bit.
const (
	regsArguments = 1<<7 | 1<<6 | 1<<2 | 1<<1 | 1<<8 | 1<<9 | 1<<10 // rdi, rsi, rdx, rcx, r8, r9; r10: the static chain
	regsResult    = 1 << 0                                          // rax
	regsResult2   = 1 << 2                                          // rdx
	regsScratch   = 1<<0 | 1<<1 | 1<<2 | 1<<6 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11
)

// tracker follows registers through one body.
type tracker struct {
	im    *Image
	b     *Body
	in    []regSets // what holds in front of each instruction, on some path
	work  []int32
	found PointerFlow
	// labels says that the object is a table of the body's labels. Indirect jumps are then taken to go to such, which is evidence:
	// nothing tells them from a tail call by a pointer that gets the table as its argument.
	labels bool
}

// holdsLabels reports whether an object has the address of one of the body's labels; nil has none.
func holdsLabels(b *Body, a *Atom) bool {
	return a != nil && slices.ContainsFunc(b.Escapes, func(e Escape) bool { return e.Inst < 0 && e.Data >= a.Addr && e.Data < a.End() })
}

// out notes that the registers of a set get where they are no longer followed.
func (t *tracker) out(s regSets, regs uint16) {
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
			t.out(s, ^uint16(0))
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
		t.out(s, regsArguments)
		next()
	case arch.FlowCallInd:
		t.out(s, regsArguments)
		s = regSets{s.addr &^ regsScratch, s.val &^ regsScratch}
		next()
	case arch.FlowSyscall:
		t.out(s, regsArguments)
		next()
	case arch.FlowReturn:
		t.results(s)
	case arch.FlowJumpInd:
		t.indirect(k, s)
	}
}

// results notes what the registers of the function's result hold at a return.
func (t *tracker) results(s regSets) {
	if s.any()&(regsResult|regsResult2) == 0 {
		return
	}
	a := t.b.Atom
	if a.Parent != nil {
		a = a.Parent
	}
	regs := [...]uint16{0, regsResult, regsResult | regsResult2}[t.im.ResultWords(a)]
	t.found.Returns = t.found.Returns || s.addr&regs != 0
	t.found.Yields = t.found.Yields || s.val&regs != 0
}

// outside returns the registers that count behind a jump out of the body: those of arguments if it is a tail call, all if it may lead to
// another part of the function.
func (t *tracker) outside(k int) uint16 {
	i := sort.Search(len(t.b.Refs), func(i int) bool { return int(t.b.Refs[i].Inst) >= k })
	if i < len(t.b.Refs) && int(t.b.Refs[i].Inst) == k {
		switch p := &t.b.Refs[i].Place; {
		case p.Kind == PlaceImport, p.Kind == PlaceAtom && p.Atom.Parent == nil && p.Addend == 0:
			return regsArguments
		}
	}
	return ^uint16(0)
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
			t.out(s, ^uint16(0))
		}
	}
	if !t.inside(k) {
		t.out(s, regsArguments)
	}
}

// inside reports whether indirect jump k goes to an entry of a jump table or to a label; every other one may be a tail call. Compilers add
// the start of a table of distances in the last instruction that makes the target, and load an address by an index from a table that they name.
func (t *tracker) inside(k int) bool {
	if t.labels {
		return true
	}
	x, ok := t.operands(k)
	switch {
	case !ok:
		return false
	case x.rm < 0:
		return t.byIndex(k, &x)
	}
	target := x.rm
	for k--; k >= 0 && t.b.Insts[k].Flow == arch.FlowNext; k-- {
		x, ok := t.operands(k)
		switch {
		case !ok || (x.reg != target || x.extends()) && x.rm != target:
		case x.twoByte:
			return false
		case x.opcode == 0x01 && x.rm == target, x.opcode == 0x03 && x.reg == target: // add (Intel SDM vol. 2)
			return len(t.b.Tables) > 0
		default:
			return x.opcode == 0x8b && x.reg == target && t.byIndex(k, &x)
		}
	}
	return false
}

// byIndex reports whether instruction k takes a word from a jump table.
func (t *tracker) byIndex(k int, x *x86Operands) bool {
	if x.rm >= 0 || x.index < 0 {
		return false
	}
	i := sort.Search(len(t.b.Refs), func(i int) bool { return int(t.b.Refs[i].Inst) >= k })
	return i < len(t.b.Refs) && int(t.b.Refs[i].Inst) == k && t.b.Refs[i].Place.Kind == PlaceTable
}

// extends reports whether ModRM.reg is a part of the opcode (Intel SDM vol. 2, table A-6).
func (x *x86Operands) extends() bool {
	switch op := x.opcode; {
	case x.twoByte:
		return op&0xf0 == 0x90 || op == 0xba
	default:
		return op >= 0x80 && op <= 0x83 || op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xc7 || op >= 0xd0 && op <= 0xd3 || op&0xf6 == 0xf6
	}
}

// operands parses instruction k.
func (t *tracker) operands(k int) (x86Operands, bool) {
	in := &t.b.Insts[k]
	return parseX86(t.b.Code[in.Off:in.End()])
}

// step returns the registers that hold the address and what was loaded through it behind instruction k.
func (t *tracker) step(k int, s regSets) regSets {
	in := &t.b.Insts[k]
	code := t.b.Code[in.Off:in.End()]
	if in.Nop {
		return s
	}
	x, ok := parseX86(code)
	if !ok || x.twoByte && (x.opcode == 0x38 || x.opcode == 0x3a) {
		return t.plain(code, in.Flow, s)
	}
	through := (bit(x.base)|bit(x.index))&s.addr != 0
	if x.twoByte {
		return t.stepTwoByte(&x, through, s)
	}
	return t.stepOneByte(&x, through, s)
}

// copyTo is the effect of giving register r what the registers of from hold.
func (s regSets) copyTo(r int8, from uint16) regSets {
	return regSets{with(s.addr, r, s.addr&from != 0), with(s.val, r, s.val&from != 0)}
}

// with returns a set of registers in which r is, or is not.
func with(regs uint16, r int8, on bool) uint16 {
	if on {
		return regs | bit(r)
	}
	return regs &^ bit(r)
}

// stepOneByte handles the one-byte opcode map (Intel SDM vol. 2, appendix A, table A-2).
func (t *tracker) stepOneByte(x *x86Operands, through bool, s regSets) regSets {
	op, memory := x.opcode, x.rm < 0
	reg, rm := bit(x.reg), bit(x.rm)
	switch {
	case op == 0x8d: // lea
		return s.copyTo(x.reg, bit(x.base)|bit(x.index))
	case op == 0x8b && memory, op == 0x63 && memory: // mov, movslq
		s = s.copyTo(x.reg, 0)
		s.val = with(s.val, x.reg, through && op == 0x8b)
		return s
	case op == 0x8b, op == 0x63:
		return s.copyTo(x.reg, rm)
	case op == 0x89 && !memory:
		return s.copyTo(x.rm, reg)
	case op == 0x88, op == 0x89: // mov to memory
		t.found.Writes = t.found.Writes || through
		t.out(s, reg)
		return s
	case op == 0xc6, op == 0xc7: // mov of an immediate
		t.found.Writes = t.found.Writes || through
		return s.copyTo(x.rm, 0)
	case op == 0x31 && x.rm == x.reg, op == 0x33 && x.rm == x.reg:
		return s.copyTo(x.reg, 0)
	case op >= 0x38 && op <= 0x3b, op == 0x84, op == 0x85: // cmp, test
		return s
	case op < 0x38, op == 0x69, op == 0x6b: // arithmetic, imul
		return t.arithmetic(x, through, s, op < 0x38 && op&2 == 0)
	case op >= 0x80 && op <= 0x83, op == 0xc0, op == 0xc1, op >= 0xd0 && op <= 0xd3: // with an immediate, or by cl
		t.found.Writes = t.found.Writes || through && memory && (op >= 0xc0 || x.reg&7 != 7)
		return s
	case op == 0x8a: // to a byte of the register
		return s
	case op == 0xf6 || op == 0xf7:
		t.found.Writes = t.found.Writes || through && (x.reg&7 == 2 || x.reg&7 == 3) // not, neg
		if x.reg&4 != 0 && s.any()&(rm|regsResult|regsResult2) != 0 {                // mul, div
			t.out(s, rm|regsResult|regsResult2)
		}
		return s
	case op == 0xfe || op == 0xff:
		return t.group5(x, through, s)
	}
	t.found.Writes = t.found.Writes || through
	t.out(s, reg|rm)
	return s
}

// arithmetic is the effect of an operation on two operands; toRM says that the ModRM operand is the result.
func (t *tracker) arithmetic(x *x86Operands, through bool, s regSets, toRM bool) regSets {
	both := bit(x.reg) | bit(x.rm)
	switch {
	case toRM && x.rm < 0:
		t.found.Writes = t.found.Writes || through
		t.out(s, bit(x.reg))
		return s
	case toRM:
		return s.copyTo(x.rm, both)
	case through:
		t.found.Yields = true // part of what is computed
	}
	return s.copyTo(x.reg, both)
}

// group5 handles inc, dec, call, jmp and push (opcodes FE and FF; Intel SDM vol. 2, table A-6).
func (t *tracker) group5(x *x86Operands, through bool, s regSets) regSets {
	switch x.reg & 7 {
	case 0, 1:
		t.found.Writes = t.found.Writes || through
	case 2, 3:
		t.found.Yields = t.found.Yields || through || s.val&bit(x.rm) != 0
	case 6:
		t.found.Yields = t.found.Yields || through
		t.out(s, bit(x.rm))
	}
	return s
}

// stepTwoByte handles the 0F map (Intel SDM vol. 2, table A-3).
func (t *tracker) stepTwoByte(x *x86Operands, through bool, s regSets) regSets {
	switch op := x.opcode; {
	case op == 0xb6, op == 0xb7, op == 0xbe, op == 0xbf: // movzx, movsx
		return s.copyTo(x.reg, 0)
	case op&0xf0 == 0x40, op == 0xaf: // cmov, imul
		return t.arithmetic(x, through, s, false)
	case op == 0x10, op == 0x12, op == 0x14, op == 0x15, op == 0x16, op == 0x28, op == 0x6f, op >= 0x51 && op <= 0x6d, op >= 0x74 && op <= 0x76,
		op == 0xc2, op == 0xc5, op == 0xc6, op == 0x70, op >= 0xd0 && op != 0xd6 && op != 0xe7, op == 0x2e, op == 0x2f, op == 0x18,
		op == 0x1e, op == 0x1f: // vector registers from memory
		t.found.Yields = t.found.Yields || through
		return s
	case op == 0x11, op == 0x13, op == 0x17, op == 0x29, op == 0x7f, op == 0xd6, op == 0xe7, op&0xf0 == 0x90: // to memory; setcc
		t.found.Writes = t.found.Writes || through
		return s
	}
	t.found.Writes, t.found.Yields = t.found.Writes || through, t.found.Yields || through
	t.out(s, bit(x.reg)|bit(x.rm))
	return s
}

// plain handles instructions without a ModRM byte, and those of maps that are not read.
func (t *tracker) plain(code []byte, flow arch.Flow, s regSets) regSets {
	i, high := 0, int8(0)
	for i < len(code) && isLegacyPrefix(code[i]) {
		i++
	}
	if i < len(code) && code[i]&0xf0 == 0x40 {
		high = int8(code[i]&1) << 3
		i++
	}
	if i >= len(code) {
		t.out(s, ^uint16(0))
		return s
	}
	switch op := code[i]; {
	case flow != arch.FlowNext: // the flow says it all
	case op&0xf8 == 0xb8, op&0xf8 == 0x58: // mov of an immediate, pop
		return s.copyTo(int8(op&7)|high, 0)
	case op&0xf8 == 0x50: // push
		t.out(s, bit(int8(op&7)|high))
	case op == 0x98, op == 0x99, op == 0xc9, op == 0x3c, op == 0x3d, op == 0xa8, op == 0xa9, op == 0x68, op == 0x6a:
		// cltq, cqto, leave; cmp, test and push of immediates
	case op < 0x40 && op&7 > 3: // arithmetic of rax and an immediate
	default:
		t.out(s, ^uint16(0))
		t.found.Writes = t.found.Writes || s.addr != 0 // string operations write through rdi
	}
	return s
}

// throughMemory is the effect of an instruction that names the place itself as its memory operand.
func (x *x86Operands) throughMemory() PointerFlow {
	if x.rm >= 0 {
		return anyFlow() // it does not
	}
	t := tracker{}
	through := regSets{}
	y := *x
	y.base, y.index = 0, -1
	if x.twoByte {
		t.stepTwoByte(&y, true, through)
	} else {
		t.stepOneByte(&y, true, through)
	}
	return t.found
}

package image

import (
	"debug/elf"
	"slices"
	"sort"

	"hotpatch/arch"
)

// AddressUse says what a body does with an address that one of its instructions puts into a register.
type AddressUse struct {
	// Plain: the address is used as it is and as a pointer only: it is handed to a function, returned, stored outside of the stack frame, or memory
	// is accessed at a constant distance from it. It is then a value of the source, and lies in its object or is that object's end (C17 6.5.6).
	// An address that is used otherwise may be one that the compiler made, from which an index that never is zero leads to the object.
	Plain bool
	// Accessed are the distances from the address at which memory is accessed for certain, wherever execution comes to the access: no other
	// instruction gives the register a value there. That memory belongs to the object, too.
	Accessed []int64
}

// AddressUse follows the address that a reference names through all registers to which it may come, along all paths, as far as the
// body's control flow is known. What is not understood is not plain.
func (im *Image) AddressUse(b *Body, r *Ref) AddressUse {
	k := int(r.Inst)
	if im.Arch.Machine != elf.EM_X86_64 || len(b.Escapes) > 0 {
		return AddressUse{}
	}
	code := b.Code[b.Insts[k].Off:b.Insts[k].End()]
	x, ok := parseX86(code)
	w := addressWalk{b: b, first: k, in: make(map[int]uint16), plain: true}
	switch {
	case r.Kind == RefAddr && ok && !x.twoByte && x.opcode == 0x8d && x.base < 0 && x.index < 0: // lea (Intel SDM vol. 2)
		w.enter(k+1, bit(x.reg))
	case r.Kind == RefImm && !ok && len(code) == 5 && code[0]&0xf8 == 0xb8: // mov imm32, r32
		w.enter(k+1, bit(int8(code[0]&7)))
	case r.Kind == RefImm && !ok && len(code) == 6 && code[0] == 0x41 && code[1]&0xf8 == 0xb8:
		w.enter(k+1, bit(int8(code[1]&7)+8))
	default:
		return AddressUse{}
	}
	for len(w.work) > 0 {
		k := w.work[len(w.work)-1]
		w.work = w.work[:len(w.work)-1]
		w.step(k)
	}
	w.stepped()
	return AddressUse{Plain: w.plain, Accessed: w.certain()}
}

// addressWalk follows an address through the registers of a body.
type addressWalk struct {
	b        *Body
	first    int            // index of the instruction that names the address
	in       map[int]uint16 // by index of an instruction: registers that may hold the address in front of it
	work     []int
	plain    bool // so far
	accesses []access
	from     [][]int32 // see predecessors; nil: not yet made
}

// access is one to memory at a constant distance from what may be the address.
type access struct {
	at   int // index of the instruction
	reg  int8
	disp int64
}

// enter adds to what holds in front of an instruction.
func (w *addressWalk) enter(k int, regs uint16) {
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
		regs &^= regsScratch
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

// mentions returns the registers that an indirect call or jump is made through, all if that is not understood.
func (w *addressWalk) mentions(k int) uint16 {
	x, ok := w.operands(k)
	if !ok {
		return ^uint16(0)
	}
	return bit(x.rm) | bit(x.base) | bit(x.index)
}

// switched follows an indirect jump through the jump tables of the body.
func (w *addressWalk) switched(regs uint16) {
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
	i := sort.Search(len(w.b.Refs), func(i int) bool { return int(w.b.Refs[i].Inst) >= k })
	if i == len(w.b.Refs) || int(w.b.Refs[i].Inst) != k {
		return false
	}
	p := &w.b.Refs[i].Place
	return p.Kind == PlaceImport || p.Kind == PlaceAtom && p.Atom.Parent == nil && p.Addend == 0
}

func (w *addressWalk) operands(k int) (x86Operands, bool) {
	return parseX86(w.code(k))
}

func (w *addressWalk) code(k int) []byte {
	in := &w.b.Insts[k]
	return w.b.Code[in.Off:in.End()]
}

// use returns the registers that may hold the address behind instruction k.
func (w *addressWalk) use(k int, regs uint16) uint16 {
	code := w.code(k)
	x, ok := w.operands(k)
	if !ok {
		if code[0] == repPrefix {
			code = code[1:]
		}
		out, plain := useWithoutModRM(code, regs)
		w.plain = w.plain && plain
		return out
	}
	if (bit(x.base)|bit(x.index))&regs != 0 {
		if x.index < 0 && (x.twoByte || x.opcode != 0x8d) {
			w.accesses = append(w.accesses, access{k, x.base, int64(x.disp)})
		} else {
			w.plain = false
		}
	}
	if !x.twoByte && x.opcode == 0x89 && bit(x.reg)&regs != 0 && (x.base == regSP || x.base == regBP) {
		w.plain = w.plain && w.handedOver(k, &x)
	}
	effect := useOneByte
	if x.twoByte {
		effect = useTwoByte
	}
	out, plain := effect(&x, code, regs)
	w.plain = w.plain && plain
	if s, ok := w.reloads(k); ok && w.in[k-1]&bit(s) != 0 {
		out |= bit(x.reg)
	}
	return out
}

// reloads reports whether instruction k loads what the one in front of it has just stored in the stack frame, and returns the register that was
// stored: code that was not optimised keeps all that it computes there.
func (w *addressWalk) reloads(k int) (int8, bool) {
	if k == 0 {
		return 0, false
	}
	load, ok := w.operands(k)
	store, sok := w.operands(k - 1)
	if !ok || !sok || load.twoByte || load.opcode != 0x8b || store.twoByte || store.opcode != 0x89 || !wideOperands(w.code(k)) || !wideOperands(w.code(k-1)) {
		return 0, false
	}
	frame := store.base == regSP || store.base == regBP
	if !frame || load.base != store.base || load.disp != store.disp || load.index >= 0 || store.index >= 0 || load.fs || store.fs {
		return 0, false
	}
	from := w.predecessors()[k]
	return store.reg, len(from) == 1 && int(from[0]) == k-1
}

// loads reports whether instruction k, a load, is into register r.
func (w *addressWalk) loads(k int, r int8) bool {
	x, ok := w.operands(k)
	return ok && x.reg == r
}

// handedOver reports whether what instruction k stores in the stack frame is for others to read: no instruction loads it from there.
func (w *addressWalk) handedOver(k int, x *x86Operands) bool {
	for i := range w.b.Insts {
		y, ok := w.operands(i)
		switch {
		case !ok && w.code(i)[0]&0xf8 == 0x50 && i > k, !ok && len(w.code(i)) > 1 && w.code(i)[0] == 0x41 && w.code(i)[1]&0xf8 == 0x50 && i > k:
			return false // a push: the same place has another distance from the stack pointer then
		case ok && i != k && y.base == x.base && y.disp == x.disp && (y.twoByte || y.opcode != 0x89 && y.opcode != 0xc7):
			return false
		}
	}
	return x.index < 0
}

// useOneByte returns the registers that may hold the address behind an instruction of the one-byte map (Intel SDM vol. 2, table A-2), and whether it
// uses that as a pointer only, what its operand in memory needs aside.
func useOneByte(x *x86Operands, code []byte, regs uint16) (uint16, bool) {
	named := (bit(x.reg) | bit(x.rm)) & regs
	if x.extends() {
		named = bit(x.rm) & regs
	}
	switch op := x.opcode; {
	case code[0] == 0x66 && named != 0: // 16 bits of it
		return regs, false
	case op == 0x89 && x.rm >= 0: // mov between registers
		return with(regs, x.rm, regs&bit(x.reg) != 0), true
	case op == 0x8b && x.rm >= 0:
		return with(regs, x.reg, regs&bit(x.rm) != 0), true
	case op == 0x89 && wideOperands(code): // mov to memory; see also onStack
		return regs, true
	case op == 0x8b, op == 0x8d, op == 0x63: // loads; lea of something else
		return regs &^ bit(x.reg), regs&bit(x.rm) == 0
	case op == 0xc7 && x.rm >= 0, (op == 0x31 || op == 0x33) && x.rm == x.reg: // mov of a constant; xor with itself
		return regs &^ bit(x.rm), true
	case op&0xfe == 0xf6 && x.reg&4 != 0, op == 0xd2, op == 0xd3: // mul, div; shifts by cl
		named |= regs & (regsResult | regsResult2 | bit(regCX))
	}
	if named == 0 {
		return regs, true
	}
	return regs &^ changedBy(x, named), false
}

// changedBy returns those of the registers that an instruction may give another value.
func changedBy(x *x86Operands, regs uint16) uint16 {
	out := uint16(0)
	for r := int8(0); r < 16; r++ {
		if regs&bit(r) != 0 && x.changes(r) {
			out |= bit(r)
		}
	}
	return out
}

// Registers that instructions use without naming them, and the prefix that repeats string operations (Intel SDM vol. 2, REP).
const (
	regCX = 1
	regSI = 6
	regDI = 7

	repPrefix = 0xf3
)

// useTwoByte is useOneByte for the 0F map (Intel SDM vol. 2, table A-3).
func useTwoByte(x *x86Operands, code []byte, regs uint16) (uint16, bool) {
	switch op := x.opcode; {
	case op == 0x6e: // movq to a vector register, from which it is stored
		return regs, regs&bit(x.rm) == 0 || len(code) > 1 && code[0] == 0x66 && wideOperands(code[1:])
	case op&0xf0 == 0x40 && wideOperands(code): // cmov: the register has what it had, or the other's value
		if regs&bit(x.rm) != 0 {
			regs |= bit(x.reg)
		}
		return regs, true
	case op >= 0x10 && op <= 0x17, op == 0x28, op == 0x29, op == 0x2e, op == 0x2f, op >= 0x51 && op <= 0x6d, op == 0x6f, op >= 0x74 && op <= 0x76,
		op == 0x70, op == 0x7f, op == 0xc2, op == 0xc6, op >= 0xd0 && op != 0xd7, op == 0x18, op == 0x1e, op == 0x1f:
		return regs, true // vector registers; hints
	case op == 0xb6, op == 0xb7, op == 0xbe, op == 0xbf: // movzx, movsx
		return regs &^ bit(x.reg), regs&bit(x.rm) == 0
	}
	return regs, (bit(x.reg)|bit(x.rm))&regs == 0
}

// wideOperands reports whether an instruction has the prefix for operands of 64 bits (Intel SDM vol. 2, 2.2.1).
func wideOperands(code []byte) bool { return len(code) > 0 && code[0]&0xf8 == 0x48 }

// useWithoutModRM is useOneByte for instructions that name a register in the opcode, or none.
func useWithoutModRM(code []byte, regs uint16) (uint16, bool) {
	i, high := 0, int8(0)
	if len(code) > 0 && code[0]&0xf0 == 0x40 {
		high = int8(code[0]&1) << 3
		i++
	}
	if i >= len(code) {
		return 0, false
	}
	r := bit(int8(code[i]&7) | high)
	switch op := code[i]; {
	case op&0xf8 == 0x50: // push, of what is handed over on the stack
		return regs, true
	case op&0xfe == 0xa4: // movs
		return regs, regs&(bit(regCX)|bit(regSI)|bit(regDI)) == 0
	case op&0xfe == 0xaa: // stos
		return regs, regs&(regsResult|bit(regCX)|bit(regDI)) == 0
	case op&0xf8 == 0x58, op&0xf8 == 0xb8: // pop, mov of an immediate
		return regs &^ r, true
	case op == 0x98, op == 0xa8, op == 0xa9, op == 0x3c, op == 0x3d, op < 0x40 && op&7 > 3 && op&7 < 6: // cltq; test, cmp and arithmetic of rax
		return regs, regs&regsResult == 0
	case op == 0x99: // cqto
		return regs &^ regsResult2, regs&regsResult == 0
	case op == 0x68, op == 0x6a: // push of a constant
		return regs, true
	}
	return 0, false
}

// stepped adds the accesses behind constant steps of the register into which the address was put, up to useWindow instructions further on.
func (w *addressWalk) stepped() {
	x, ok := w.operands(w.first)
	if !ok {
		return
	}
	r := x.reg
	seen := make(map[int]bool)
	work := []boundPath{{at: w.first + 1}}
	for n := 0; n < useWindow && len(work) > 0; n++ {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if p.at < 0 || p.at >= len(w.b.Insts) || seen[p.at] {
			continue
		}
		seen[p.at] = true
		x, ok := w.operands(p.at)
		next := w.b.Insts[p.at].Flow == arch.FlowNext
		switch {
		case next && ok && x.base == r && x.index < 0 && (x.twoByte || x.opcode != 0x8d):
			w.accesses = append(w.accesses, access{p.at, r, int64(x.disp) + p.added})
		case !w.leavesOrSteps(p.at, r):
		default:
			if next && ok && x.changes(r) {
				delta, _ := x.step(w.code(p.at))
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
		if !slices.Contains(out, a.disp) && w.onlyFrom(a.at, a.reg) {
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
	reg int8
}

// onlyFrom reports whether on all paths to instruction k the register gets its value from the instruction that names the address, by
// constant steps from such a value, or by way of the stack frame.
func (w *addressWalk) onlyFrom(k int, r int8) bool {
	from := w.predecessors()
	first, ok := w.operands(w.first)
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
			if prev.at == w.first && (!ok || prev.reg == first.reg) {
				continue
			}
			if s, ok := w.reloads(prev.at); ok && w.loads(prev.at, v.reg) {
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

// leavesOrSteps reports whether instruction k leaves the register as it is or adds a constant to it.
func (w *addressWalk) leavesOrSteps(k int, r int8) bool {
	in := &w.b.Insts[k]
	switch in.Flow {
	case arch.FlowNext:
	case arch.FlowCall, arch.FlowCallInd, arch.FlowSyscall:
		return calleeSaved(r)
	default:
		return true
	}
	code := w.code(k)
	x, ok := parseX86(code)
	switch {
	case in.Nop:
		return true
	case !ok:
		return keeps(code, r)
	case x.twoByte && (x.opcode&0xf0 == 0x90 || x.opcode == 0xba || x.opcode == 0xc0 || x.opcode == 0xc1 || x.opcode == 0xb1 || x.opcode == 0x38 || x.opcode == 0x3a):
		return x.rm != r && x.reg != r
	case !x.changes(r):
		return true
	}
	_, step := x.step(code)
	return step
}

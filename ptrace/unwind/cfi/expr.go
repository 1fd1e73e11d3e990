package cfi

import "hotpatch/arch"

// Bounds of an expression. What gcc, clang and glibc emit needs a tenth of them.
const (
	maxExprLen   = 1 << 12 // bytes
	maxExprSteps = 1 << 12 // operations; bra and skip can loop
	maxExprStack = 64      // values
)

// maxRegNumber is the greatest register number that messages tell; no architecture has more.
const maxRegNumber = 1 << 16

// DWARF operations (DWARF 5, 7.7.1).
const (
	opAddr       = 0x03
	opDeref      = 0x06
	opConst1u    = 0x08
	opConst1s    = 0x09
	opConst2u    = 0x0a
	opConst2s    = 0x0b
	opConst4u    = 0x0c
	opConst4s    = 0x0d
	opConst8u    = 0x0e
	opConst8s    = 0x0f
	opConstu     = 0x10
	opConsts     = 0x11
	opDup        = 0x12
	opDrop       = 0x13
	opOver       = 0x14
	opPick       = 0x15
	opSwap       = 0x16
	opRot        = 0x17
	opAbs        = 0x19
	opAnd        = 0x1a
	opDiv        = 0x1b
	opMinus      = 0x1c
	opMod        = 0x1d
	opMul        = 0x1e
	opNeg        = 0x1f
	opNot        = 0x20
	opOr         = 0x21
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opShr        = 0x25
	opShra       = 0x26
	opXor        = 0x27
	opBra        = 0x28
	opEq         = 0x29
	opGe         = 0x2a
	opGt         = 0x2b
	opLe         = 0x2c
	opLt         = 0x2d
	opNe         = 0x2e
	opSkip       = 0x2f
	opLit0       = 0x30
	opLit31      = 0x4f
	opBreg0      = 0x70
	opBreg31     = 0x8f
	opBregx      = 0x92
	opDerefSize  = 0x94
	opNop        = 0x96
)

// evaluator is the stack machine of DWARF 5, 2.5. Values have the size of an address.
// Its reader runs over the expression and holds the first error.
type evaluator struct {
	reader
	regs  *Regs
	mem   Memory
	stack [maxExprStack]uint64
	n     int    // values on the stack
	at    uint64 // offset of the current operation in the section
}

func (e *evaluator) push(v uint64) {
	if e.n == maxExprStack {
		e.fail(e.at, "expression needs a deeper stack than", maxExprStack)
		return
	}
	e.stack[e.n] = v
	e.n++
}

func (e *evaluator) pop() uint64 {
	if e.n == 0 {
		e.fail(e.at, "expression takes a value from an empty stack", nil)
		return 0
	}
	e.n--
	return e.stack[e.n]
}

// pick pushes a copy of the value at depth i, 0 being the top.
func (e *evaluator) pick(i int) {
	if i >= e.n {
		e.fail(e.at, "expression takes a value from below its stack; the depth is", i)
		return
	}
	e.push(e.stack[e.n-1-i])
}

// run evaluates the expression and returns the value on top of its stack.
func (e *evaluator) run() (uint64, error) {
	begin := e.off
	for step := 0; !e.done(); step++ {
		if step == maxExprSteps {
			e.fail(e.off, "expression takes more steps than", maxExprSteps)
			break
		}
		e.at = e.off
		op := e.u8()
		switch {
		case op == opBra || op == opSkip:
			e.branch(op, begin)
		case op >= opLit0 && op <= opLit31:
			e.push(uint64(op - opLit0))
		case op >= opBreg0 && op <= opBreg31:
			e.breg(uint64(op - opBreg0))
		case op == opBregx:
			e.breg(e.uleb())
		case op == opDeref:
			e.deref(e.sec.arch.PtrSize)
		case op == opDerefSize:
			e.derefSize()
		case op >= opConst1u && op <= opConsts:
			e.push(e.constant(op))
		case op >= opDup && op <= opRot:
			e.shuffle(op)
		case op == opAbs || op == opNeg || op == opNot || op == opPlusUconst:
			e.unary(op)
		case op >= opAnd && op <= opNe:
			e.binary(op)
		case op == opNop:
		default:
			// Registers (DW_OP_regN), addresses (DW_OP_addr) and the like make no sense
			// in call frame information, or would need the image's bias.
			e.fail(e.at, "unknown operation in a call frame expression", op)
		}
	}
	v := e.pop()
	return v, e.err
}

// branch executes DW_OP_bra and DW_OP_skip; begin is the offset of the expression.
func (e *evaluator) branch(op byte, begin uint64) {
	delta := e.sint(2)
	if op == opBra && e.pop() == 0 || e.err != nil {
		return
	}
	to := int64(e.off) + delta
	if to < int64(begin) || to > int64(e.end) {
		e.fail(e.at, "expression branches out of itself; the distance is", delta)
		return
	}
	e.off = uint64(to)
}

// breg pushes a register's value and an offset.
func (e *evaluator) breg(n uint64) {
	off := e.sleb()
	if e.err != nil {
		return
	}
	i, ok := e.sec.slot(n)
	v, known := e.regs.Get(i)
	if !ok || !known {
		e.err = e.sec.unknown(int(min(n, maxRegNumber)))
		return
	}
	e.push(v + uint64(off))
}

func (e *evaluator) derefSize() {
	switch size := e.u8(); size {
	case 1, 2, 4, 8:
		e.deref(int(size))
	default:
		e.fail(e.at, "expression reads memory of this size", size)
	}
}

// deref replaces an address by the memory there.
func (e *evaluator) deref(size int) {
	addr := e.pop()
	if e.err != nil {
		return
	}
	v, err := readUint(e.mem, arch.Addr(addr), size)
	if err != nil {
		e.err = err
		return
	}
	e.push(v)
}

// constant reads the operand of one of the constant operations.
func (e *evaluator) constant(op byte) uint64 {
	switch op {
	case opConst1u, opConst2u, opConst4u, opConst8u:
		return e.uint(1 << ((op - opConst1u) / 2))
	case opConst1s, opConst2s, opConst4s, opConst8s:
		return uint64(e.sint(1 << ((op - opConst1s) / 2)))
	case opConstu:
		return e.uleb()
	}
	return uint64(e.sleb()) // opConsts
}

// shuffle executes the operations that only move values on the stack.
func (e *evaluator) shuffle(op byte) {
	switch op {
	case opDup:
		e.pick(0)
	case opDrop:
		e.pop()
	case opOver:
		e.pick(1)
	case opPick:
		e.pick(int(e.u8()))
	case opSwap:
		a, b := e.pop(), e.pop()
		e.push(a)
		e.push(b)
	case opRot:
		// The top becomes the third, the others move up.
		a, b, c := e.pop(), e.pop(), e.pop()
		e.push(a)
		e.push(c)
		e.push(b)
	}
}

func (e *evaluator) unary(op byte) {
	v := e.pop()
	switch op {
	case opAbs:
		if int64(v) < 0 {
			v = -v
		}
	case opNeg:
		v = -v
	case opNot:
		v = ^v
	case opPlusUconst:
		v += e.uleb()
	}
	e.push(v)
}

// binary executes an operation on two values; b was the top of the stack.
func (e *evaluator) binary(op byte) {
	b, a := e.pop(), e.pop()
	if e.err != nil {
		return
	}
	truth := func(v bool) uint64 {
		if v {
			return 1
		}
		return 0
	}
	switch op {
	case opAnd:
		a &= b
	case opOr:
		a |= b
	case opXor:
		a ^= b
	case opPlus:
		a += b
	case opMinus:
		a -= b
	case opMul:
		a *= b
	case opDiv, opMod:
		if b == 0 {
			e.fail(e.at, "expression divides by zero", nil)
			return
		}
		// Division is signed, the remainder unsigned (DWARF 5, 2.5.1.4).
		if op == opMod {
			a %= b
		} else {
			a = uint64(int64(a) / int64(b))
		}
	case opShl:
		a <<= b
	case opShr:
		a >>= b
	case opShra:
		a = uint64(int64(a) >> b)
	case opEq:
		a = truth(a == b)
	case opGe:
		a = truth(int64(a) >= int64(b))
	case opGt:
		a = truth(int64(a) > int64(b))
	case opLe:
		a = truth(int64(a) <= int64(b))
	case opLt:
		a = truth(int64(a) < int64(b))
	case opNe:
		a = truth(a != b)
	default:
		e.fail(e.at, "unknown operation in a call frame expression", op)
		return
	}
	e.push(a)
}

// exprHasAddr returns an error if an expression holds an address (DW_OP_addr) or an
// operation that is not known, behind which one could be.
func (s *section) exprHasAddr(b block) error {
	r := s.reader(b.off, b.off+b.len)
	for !r.done() {
		at := r.off
		op := r.u8()
		switch {
		case op >= opConst1u && op <= opConst8s:
			r.take(1<<((op-opConst1u)/2), "constant")
		case op == opConstu || op == opPlusUconst:
			r.uleb()
		case op == opConsts || op >= opBreg0 && op <= opBreg31:
			r.sleb()
		case op == opBregx:
			r.uleb()
			r.sleb()
		case op == opPick || op == opDerefSize:
			r.u8()
		case op == opBra || op == opSkip:
			r.take(2, "branch distance")
		case op == opAddr:
			r.fail(at, "expression holds an address, which cannot be relocated", op)
		case op == opDeref, op == opNop, op >= opDup && op <= opNe, op >= opLit0 && op <= opLit31:
			// No operand.
		default:
			r.fail(at, "unknown operation in a call frame expression", op)
		}
	}
	return r.err
}

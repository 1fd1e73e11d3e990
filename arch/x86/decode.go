package x86

import (
	"encoding/binary"
	"errors"

	"hotpatch/arch"
)

// Errors of [Decode]. They say why code is not decoded; they never come with a length.
var (
	ErrTruncated = errors.New("code ends within an instruction")
	ErrUnknown   = errors.New("unknown opcode")
	ErrTooLong   = errors.New("instruction is longer than 15 bytes")
	ErrPrefix    = errors.New("prefix that this instruction does not allow")
	ErrBranch16  = errors.New("branch with an operand size prefix, which processors read differently")
	ErrEIP       = errors.New("memory operand relative to a truncated instruction pointer")
	ErrAPX       = errors.New("APX instruction (REX2 or extended EVEX)")
)

// maxInst is the longest instruction that processors accept (SDM volume 2, 2.3.11).
const maxInst = 15

// encoding is an instruction taken apart. Offsets count from its first byte;
// a size of zero means that the field is absent.
type encoding struct {
	prefixes

	n      int    // bytes decoded so far; in the end, the length
	m      *opmap // which map op belongs to
	op     byte
	opOff  int // of op
	vector vectorPrefix

	hasModRM      bool
	modrm, sib    byte
	dispOff       int
	dispSize      int
	immOff        int
	immSize       int
	form          *form
	rip, absolute bool // memory operand without registers
}

func (e *encoding) mod() byte { return e.modrm >> 6 }
func (e *encoding) reg() byte { return e.modrm >> 3 & 7 }
func (e *encoding) rm() byte  { return e.modrm & 7 }

// memory reports whether the ModRM byte names memory.
func (e *encoding) memory() bool { return e.hasModRM && e.mod() != 3 }

// wbit returns W as REX, VEX or EVEX gives it.
func (e *encoding) wbit() uint8 {
	if e.vector.kind != vectorNone {
		return e.vector.w
	}
	return e.rex >> 3 & 1
}

// Decode decodes the first instruction of code: [arch.Arch.Decode].
func Decode(code []byte) (in arch.Inst, err error) {
	err = DecodeInto(&in, code)
	return in, err
}

// DecodeInto decodes the first instruction of code into in: [arch.Arch.DecodeInto].
func DecodeInto(in *arch.Inst, code []byte) error {
	*in = arch.Inst{}
	if quick(code, in) {
		return nil
	}
	var e encoding
	err := e.decode(code)
	if err == nil {
		e.describe(code, in)
	}
	return err
}

// decode takes the first instruction of code apart.
func (e *encoding) decode(code []byte) error {
	short := ErrTruncated
	if len(code) > maxInst {
		code, short = code[:maxInst], ErrTooLong
	}
	err := e.read(code)
	if err == ErrTruncated {
		return short
	}
	return err
}

// head reads up to and including the opcode.
func (e *encoding) head(code []byte) error {
	if err := e.prefixes.scan(code); err != nil {
		return err
	}
	e.n = e.prefixes.len
	return e.opcode(code)
}

// read reads a whole instruction.
func (e *encoding) read(code []byte) error {
	if err := e.head(code); err != nil {
		return err
	}
	s := &e.m.ops[e.op]
	if s.n == 0 {
		return ErrUnknown
	}
	if s.modRM {
		if e.n >= len(code) {
			return ErrTruncated
		}
		e.hasModRM = true
		e.modrm = code[e.n]
		e.n++
	}
	if e.form = e.match(s); e.form == nil {
		return ErrUnknown
	}
	if e.lock || e.data16 || e.vector.kind != vectorNone {
		if err := e.check(); err != nil {
			return err
		}
	}
	if e.memory() {
		if err := e.address(code); err != nil {
			return err
		}
	}
	if e.form.imm == immNone {
		return nil
	}
	return e.immediate(code)
}

// opcode finds the opcode byte and the map it belongs to.
func (e *encoding) opcode(code []byte) error {
	if e.n >= len(code) {
		return ErrTruncated
	}
	b := code[e.n]
	e.n++
	switch b {
	case 0x0f:
		return e.opcode0F(code)
	case 0xc4, 0xc5, 0x62:
		return e.vectorOpcode(code, b)
	case 0x8f: // pop if the five low bits are below 8: those select the XOP map
		if e.n < len(code) && code[e.n]&0x1f >= 8 {
			return e.vectorOpcode(code, b)
		}
	case 0xd5:
		return ErrAPX
	}
	e.m, e.op, e.opOff = map1, b, e.n-1
	return nil
}

// opcode0F continues behind 0F.
func (e *encoding) opcode0F(code []byte) error {
	e.m = map0F
	for {
		if e.n >= len(code) {
			return ErrTruncated
		}
		e.op, e.opOff = code[e.n], e.n
		e.n++
		switch {
		case e.m == map0F && e.op == 0x38:
			e.m = map38
		case e.m == map0F && e.op == 0x3a:
			e.m = map3A
		default:
			return nil
		}
	}
}

// match returns the form of the opcode that fits prefixes and ModRM, or nil.
func (e *encoding) match(s *span) *form {
	var pp, w, l uint8
	if e.vector.kind != vectorNone {
		pp, w, l = 1<<e.vector.pp, 1<<e.vector.w, 1<<e.vector.l
	} else {
		pp, w, l = 1<<e.prefixes.pp(), 1<<(e.rex>>3&1), 1
	}
	forms := e.m.forms[s.first:][:s.n]
	for i := range forms {
		f := &forms[i]
		if f.pps&pp == 0 || f.ws&w == 0 {
			continue
		}
		if e.hasModRM {
			if e.mod() != 3 {
				if f.mem>>e.reg()&1 == 0 {
					continue
				}
			} else if f.reg>>e.reg()&1 == 0 || f.rm>>e.rm()&1 == 0 {
				continue
			} else if e.vector.round && f.flags&fRound != 0 {
				return f // EVEX.L'L is the rounding mode
			}
		}
		if f.ls&l != 0 {
			return f
		}
	}
	return nil
}

// check refuses combinations of prefixes that the form does not have.
func (e *encoding) check() error {
	f := e.form
	switch {
	case e.lock && (f.flags&fLock == 0 || !e.memory()):
		return ErrPrefix
	case e.vector.kind != vectorNone:
		return e.vector.check(f, e.memory())
	case f.flags&fNo66 != 0 && e.data16 && e.rex&8 == 0:
		return ErrBranch16
	}
	return nil
}

// operandSize returns the operand size in bytes (SDM volume 1, table 3-4).
func (e *encoding) operandSize() int {
	switch {
	case e.vector.kind != vectorNone:
		return 4 // XOP's 32-bit immediates
	case e.rex&8 != 0:
		return 8
	case e.data16:
		return 2
	}
	return 4
}

// address reads SIB and displacement of a memory operand (SDM volume 2, 2.1.5 and 2.2.1.6).
func (e *encoding) address(code []byte) error {
	base := e.rm()
	index := byte(4) // none
	if base == 4 {
		if e.n >= len(code) {
			return ErrTruncated
		}
		e.sib = code[e.n]
		e.n++
		base = e.sib & 7
		index = e.sib >> 3 & 7
		if e.extendsIndex() {
			index |= 8
		}
	} else if e.form.flags&fSIB != 0 {
		return ErrUnknown
	}
	switch e.mod() {
	case 0:
		if base != 5 {
			return nil
		}
		e.dispSize = 4
		e.rip = e.rm() == 5
		e.absolute = !e.rip && index == 4 && e.form.flags&fSIB == 0
	case 1:
		e.dispSize = 1
	case 2:
		e.dispSize = 4
	}
	if e.rip && e.addr32 {
		return ErrEIP
	}
	e.dispOff = e.n
	e.n += e.dispSize
	if e.n > len(code) {
		return ErrTruncated
	}
	return nil
}

// extendsIndex reports whether REX.X or its like makes an index of 4 mean r12.
func (e *encoding) extendsIndex() bool {
	if e.vector.kind != vectorNone {
		return e.vector.x
	}
	return e.rex&2 != 0
}

// immediate reads what follows the operands.
func (e *encoding) immediate(code []byte) error {
	switch e.form.imm {
	case imm1, immRel1:
		e.immSize = 1
	case imm2:
		e.immSize = 2
	case imm3:
		e.immSize = 3
	case immRel4:
		e.immSize = 4
	case immZ:
		e.immSize = min(e.operandSize(), 4)
	case immV:
		e.immSize = e.operandSize()
	case immMoffs:
		e.immSize = 8
		if e.addr32 {
			e.immSize = 4
		}
	}
	e.immOff = e.n
	e.n += e.immSize
	if e.n > len(code) {
		return ErrTruncated
	}
	if e.form.flags&f3DNow != 0 && !suffix[code[e.immOff]] {
		return ErrUnknown
	}
	return nil
}

// describe fills in, which is zero, with what others need to know.
func (e *encoding) describe(code []byte, in *arch.Inst) {
	in.Len, in.Flow = e.n, e.form.flow
	in.MayNop = e.m.mayNop(e.op, e.hasModRM && !e.memory())
	if e.dispSize == 4 {
		e.memOperand(code, &in.Ops[0])
		in.NumOps = 1
	}
	if e.immSize != 0 {
		e.describeImmediate(code, in)
	}
	if e.seg == segFS || e.rep == 0xf3 {
		in.TLSBase = e.loadsThreadPointer(in)
		in.TLSMem = e.seg == segFS && (e.m == map1 && e.op == 0x03 || e.memory() && !e.rip && !e.absolute)
	}
}

// describeImmediate fills in what the bytes behind the operands mean.
func (e *encoding) describeImmediate(code []byte, in *arch.Inst) {
	field := code[e.immOff:]
	switch e.form.imm {
	case immRel1:
		in.Target = int64(e.n) + int64(int8(field[0]))
		in.BrOff, in.BrSize = uint8(e.immOff), 1
		return
	case immRel4:
		in.Target = int64(e.n) + disp32(field)
		in.BrOff, in.BrSize = uint8(e.immOff), 4
		return
	case immMoffs:
		e.moffs(field, &in.Ops[0])
		in.NumOps = 1
		return
	}
	if e.immSize < 4 {
		return
	}
	op := &in.Ops[in.NumOps]
	in.NumOps++
	op.Kind, op.Off, op.Size = arch.OpImm, uint8(e.immOff), uint8(e.immSize)
	op.Arith = e.form.flags&fArith != 0
	if e.immSize == 8 {
		op.Value = int64(binary.LittleEndian.Uint64(field))
	} else {
		op.Value = disp32(field)
	}
}

// memOperand describes a memory operand with a displacement of 32 bits.
func (e *encoding) memOperand(code []byte, op *arch.Operand) {
	f := e.form
	op.Kind, op.Off, op.Size = arch.OpDisp, uint8(e.dispOff), 4
	op.Value = disp32(code[e.dispOff:])
	op.Write = f.flags&fWrite != 0
	op.Addr = f.flags&fAddr != 0
	op.Seg = e.seg != 0 && !op.Addr
	op.Width = e.memWidth()
	switch {
	case e.rip:
		op.Kind = arch.OpPC
		op.Value += int64(e.n)
	case e.absolute:
		op.Kind = arch.OpAbs
		if e.addr32 {
			op.Value = int64(uint32(op.Value))
		}
	}
}

// memWidth returns the bytes that the memory operand has, 0 if unknown.
func (e *encoding) memWidth() uint8 {
	w := e.form.width
	if e.vector.round { // of a memory operand: broadcast
		w = e.form.broadcast
	}
	if w <= maxFixedWidth {
		return uint8(w)
	}
	return w.bytes(e.operandSize(), e.wbit(), e.vector.l)
}

// moffs describes the operand of the mov that holds a whole address.
func (e *encoding) moffs(field []byte, op *arch.Operand) {
	op.Kind, op.Off, op.Size = arch.OpAbs, uint8(e.immOff), uint8(e.immSize)
	op.Width = e.memWidth()
	op.Write = e.form.flags&fWrite != 0
	op.Seg = e.seg != 0
	if e.immSize == 8 {
		op.Value = int64(binary.LittleEndian.Uint64(field))
	} else {
		op.Value = int64(binary.LittleEndian.Uint32(field))
	}
}

// loadsThreadPointer reports whether the instruction is mov %fs:0,%reg or
// rdfsbase %reg: the x86-64 supplement to the System V ABI, 3.4.2 and the ELF TLS
// document, 4.4.6, keep the thread pointer at offset 0.
func (e *encoding) loadsThreadPointer(in *arch.Inst) bool {
	if e.vector.kind != vectorNone || e.rex&8 == 0 {
		return false
	}
	switch {
	case e.m == map1 && (e.op == 0x8b || e.op == 0xa1):
		op := &in.Ops[0]
		return e.seg == segFS && op.Kind == arch.OpAbs && op.Value == 0
	case e.m == map0F && e.op == 0xae:
		return e.rep == 0xf3 && e.mod() == 3 && e.reg() == 0
	}
	return false
}

// disp32 reads a displacement of 32 bits.
func disp32(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) }

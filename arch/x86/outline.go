package x86

import "hotpatch/arch"

// Outline appends what the instruction that in describes does, without its general or vector registers and without where in the
// stack frame it does it: [arch.Arch.Outline].
//
// A register field is left out only where the opcode's row below says that it names a register. Opcode extensions, x87, system
// and mask registers stay.
func Outline(dst, code []byte, in *arch.Inst) (outline []byte, covers [2]bool) {
	code = code[:in.Len]
	var e encoding
	if e.decode(code) != nil || in.BrSize != 0 {
		return Canon(dst, code, in), covers
	}
	op, known := e.outlined()
	if !known {
		return Canon(dst, code, in), covers
	}
	short, isShort := e.accumulator()
	switch {
	case isShort:
		op = short.op
	case e.adjustsStack():
		op = 0x81 // whatever the size of the immediate
	}
	dst = append(dst, e.m.id(), op, uint8(e.vector.kind))
	dst = e.outlinePrefixes(dst, in.Flow)
	if isShort {
		dst = append(dst, '/', short.reg, 'r')
	}
	if e.hasModRM {
		dst = e.outlineModRM(dst, code)
		covers[0] = e.ofStack() && e.dispSize == 4
	}
	if e.immSize == 0 {
		return dst, covers
	}
	if e.adjustsStack() {
		covers[0] = e.immSize == 4
		return append(dst, 'f'), covers // the frame's size
	}
	if e.immSize < 4 {
		dst = append(dst, code[e.immOff:e.immOff+e.immSize]...)
	}
	return dst, covers
}

// groupForm is an instruction of a group: opcode and ModRM.reg.
type groupForm struct{ op, reg byte }

// accumulator returns the form with a ModRM byte of an arithmetic instruction with an immediate and al, ax, eax or rax.
func (e *encoding) accumulator() (groupForm, bool) {
	switch {
	case e.m != map1:
	case e.op < 0x40 && e.op&6 == 4:
		return groupForm{0x80 | e.op&1, e.op >> 3}, true
	case e.op == 0xa8 || e.op == 0xa9:
		return groupForm{0xf6 | e.op&1, 0}, true
	}
	return groupForm{}, false
}

// id numbers the opcode maps that instructions can be outlined in.
func (m *opmap) id() byte {
	for i, other := range outlineMaps {
		if m == other.m {
			return byte(i)
		}
	}
	return 0xff
}

// outlineMaps says for each map in which opcodes ModRM.reg names a general or vector register (rows), and in which the opcode's
// low three bits do (low). SDM volume 2, appendix A, tables; groups (table A-6) are in neither.
var outlineMaps = []struct {
	m         *opmap
	rows, low *[256]bool
	groups    *[256]bool // ModRM.reg extends the opcode, ModRM.rm is a register or memory
}{
	{map1, opcodes("00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 63 69 6b 84-8b 8d"), opcodes("50-5f b0-bf"),
		opcodes("80 81 83 c0 c1 c6 c7 d0-d3 f6 f7 fe ff 8f")},
	{map0F, opcodes("10-17 28-2f 40-4f 50-70 74-76 7c-7f a3-a5 ab-ad af b0 b1 b3 b6-b8 bb-bf c0-c2 c4-c6 d0-fe"), opcodes("c8-cf"),
		opcodes("90-9f ba")},
	{map38, opcodes("00-0b 10 14 15 17 1c-1e 20-25 28-2b 30-41 c8-cd db-df f0 f1"), opcodes(""), opcodes("")},
	{map3A, opcodes("08-0f 20-22 40-42 44 60-63 cc df"), opcodes(""), opcodes("")},
	{mapVEX1, opcodes("10-17 28-2f 50-70 74-76 7c-7f c2 c4-c6 d0-fe"), opcodes(""), opcodes("")},
	{mapVEX2, opcodes("00-0f 13 16-1a 1c-1e 20-2f 30-41 45-47 58-5a 78 79 8c 8e 90-93 96-9f a6-af b6-bf db-df f2 f5-f7"), opcodes(""), opcodes("")},
	{mapVEX3, opcodes("00-02 04-06 08-0f 14-19 1d 20-22 38 39 40-42 44 46 4a-4c 60-63 df f0"), opcodes(""), opcodes("")},
}

// opcodes makes the set of a list like that of a [row].
func opcodes(list string) *[256]bool {
	var set [256]bool
	row{ops: list}.opcodes(func(b byte) bool { set[b] = true; return true })
	return &set
}

// outlined returns the opcode without a register in it, and whether the instruction is of a sort that has an outline.
func (e *encoding) outlined() (op byte, ok bool) {
	if _, ok := e.accumulator(); ok {
		return e.op, true
	}
	for _, m := range outlineMaps {
		switch {
		case m.m != e.m:
		case m.low[e.op]:
			return e.op &^ 7, true
		case m.rows[e.op], m.groups[e.op]:
			return e.op, true
		}
	}
	return 0, false
}

// extends reports whether ModRM.reg is a part of the opcode.
func (e *encoding) extends() bool {
	for _, m := range outlineMaps {
		if m.m == e.m {
			return m.groups[e.op]
		}
	}
	return true
}

// outlinePrefixes appends what the prefixes say of the operation.
func (e *encoding) outlinePrefixes(dst []byte, flow arch.Flow) []byte {
	w := prefixes{data16: e.data16, addr32: e.addr32, lock: e.lock, rep: e.rep, seg: e.seg}
	shown := encoding{prefixes: w, form: e.form, hasModRM: e.hasModRM, modrm: e.modrm}
	if e.wbit() == 1 {
		shown.rex = 0x48 // W alone
	}
	dst = shown.canonPrefixes(dst, flow)
	return append(dst, 0, e.vector.pp, e.vector.w, e.vector.l)
}

// outlineModRM appends the shape of the operands that the ModRM byte names.
func (e *encoding) outlineModRM(dst, code []byte) []byte {
	if e.extends() {
		dst = append(dst, '/', e.reg())
	}
	if !e.memory() {
		if e.isStackPointer() {
			return append(dst, 'p')
		}
		return append(dst, 'r')
	}
	switch {
	case e.rip:
		return append(dst, 'i')
	case e.absolute:
		return append(dst, 'a')
	case e.ofStack():
		dst = append(dst, 's')
	case e.rm() == 4 && e.mod() == 0 && e.sib&7 == 5:
		dst = append(dst, 'n') // an index alone
	default:
		dst = append(dst, 'b')
	}
	if e.rm() == 4 && (e.sib>>3&7 != 4 || e.extendsIndex()) {
		dst = append(dst, 'x', e.sib>>6)
	}
	switch {
	case e.ofStack():
	case e.dispSize == 1:
		dst = append(dst, 'd', code[e.dispOff])
	case e.dispSize == 4:
		dst = append(dst, 'D')
	}
	return dst
}

// ofStack reports whether the memory operand counts from the stack pointer.
func (e *encoding) ofStack() bool {
	return e.memory() && e.rm() == 4 && e.sib&7 == 4 && !e.extendsBase()
}

// extendsBase reports whether REX.B or its like makes a base of 4 mean r12.
func (e *encoding) extendsBase() bool {
	if e.vector.kind != vectorNone {
		return e.vector.b
	}
	return e.rex&1 != 0
}

// isStackPointer reports whether ModRM.rm names rsp.
func (e *encoding) isStackPointer() bool {
	return e.hasModRM && e.mod() == 3 && e.rm() == 4 && !e.extendsBase()
}

// adjustsStack reports whether the instruction is add or sub of a number to rsp.
func (e *encoding) adjustsStack() bool {
	return e.m == map1 && (e.op == 0x81 || e.op == 0x83) && (e.reg() == 0 || e.reg() == 5) && e.isStackPointer()
}

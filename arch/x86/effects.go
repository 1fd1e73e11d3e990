package x86

import (
	"fmt"
	"strconv"
	"strings"

	"hotpatch/arch"
)

// Bits of an [arch.RegSet]: general registers as they are encoded, then vector registers (zmm0 to zmm31, whatever part is used), mask
// registers, and one bit for the x87 stack with the MMX registers in it.
const (
	regAX = iota
	regCX
	regDX
	regBX
	regSP
	regBP
	regSI
	regDI
	firstVector = 16
	firstMask   = 48
	regX87      = 56
)

// convention is figure 3.4 of the x86-64 supplement to the System V ABI: r10 is a nested function's chain pointer, and al says how many
// vector registers hold arguments of a function that takes any number.
var convention = arch.Convention{
	Names: func() []string {
		names := []string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"}
		for i := 8; i < 16; i++ {
			names = append(names, fmt.Sprintf("r%d", i))
		}
		for i := range 32 {
			names = append(names, fmt.Sprintf("xmm%d", i))
		}
		for i := range 8 {
			names = append(names, fmt.Sprintf("k%d", i))
		}
		return append(names, "st", "r57", "r58", "r59", "r60", "r61", "r62", "r63")
	}(),
	Scratch: arch.AllRegs.Minus(1<<regBX | 1<<regSP | 1<<regBP | 0xf<<12),
	Args:    1<<regDI | 1<<regSI | 1<<regDX | 1<<regCX | 1<<8 | 1<<9 | 1<<10 | 0xff<<firstVector,
	Count:   1 << regAX,
	Result:  1<<regAX | 1<<regDX | 3<<firstVector | 1<<regX87,
	General: 1<<firstVector - 1,
	SP:      regSP,
	FP:      regBP,
}

// access says what is done to an operand.
type access uint8

const (
	accRead access = 1 << iota
	accWrite
	accVector // the register is a vector register
	accMask   // a mask register
	accLow    // only the lowest element (general registers: byte) is read and replaced
	accFull   // a write replaces the whole register, whatever the size of the operation
)

// effect is a compiled row of an effects table.
type effect struct {
	pps         uint8 // as in form
	mem, regs   uint8 // ModRM.reg of the memory and of the register form
	rm          uint8 // ModRM.rm of the register form
	reg, e      access
	v, o, acc   access
	in, low     arch.RegSet // implied registers that are read
	out         arch.RegSet // and replaced
	zero, saves bool        // of equal registers nothing is read; what is read is only kept
	merges      arch.RegSet // implied registers that are replaced in part
}

// Effects says what an instruction does to registers: [arch.Arch.Effects].
func Effects(code []byte, in *arch.Inst) (arch.Effects, bool) {
	if in.MayNop && IsNop(code[:in.Len], in) {
		return arch.Effects{}, true
	}
	var e encoding
	if e.decode(code[:in.Len]) != nil {
		return arch.Effects{}, false
	}
	f := e.effect()
	if f == nil || e.m == map1 && e.op == 0x90 && e.rex&1 != 0 { // xchg with r8
		return arch.Effects{}, false
	}
	x := arch.Effects{Read: f.in, Low: f.low, Write: f.out | f.merges, Kill: f.out}
	if e.hasModRM {
		e.operand(&x, f.reg, int(e.reg())+e.extendReg(), e.regIsByte())
		if !e.memory() {
			e.operand(&x, f.e, int(e.rm())+e.extendRM(f.e), e.form.width == 1 && e.m != map3A)
		}
	}
	e.operand(&x, f.v, int(e.vector.vvvv), false)
	e.operand(&x, f.o, int(e.op&7)|int(e.rex&1)<<3, e.op&0xf8 == 0xb0)
	e.operand(&x, f.acc, regAX, e.op&1 == 0)
	masked := e.vector.mask != 0 && !e.vector.z // elements of the target stay
	if f.zero && !masked && e.sameRegs() && (f.e&accVector != 0 || e.operandSize() >= 4 && e.form.width != 1) {
		n := int(e.rm()) + e.extendRM(f.e)
		if f.e&accVector != 0 {
			n += firstVector
		}
		x.Read &^= 1 << n
		x.Kill |= x.Write & (1 << n)
	}
	if e.m == mapVEX3 && e.op >= 0x4a && e.op <= 0x4c { // the immediate names a register (is4)
		x.Read |= 1 << (firstVector + code[e.immOff]>>4)
	}
	if e.vector.mask != 0 {
		x.Read |= 1 << (firstMask + e.vector.mask)
	}
	if f.saves {
		x.Saved = x.Read.Minus(1 << regSP)
	}
	x.Read |= e.addressRegs()
	x.Saved &^= e.addressRegs()
	x.Low = (x.Low &^ e.addressRegs()) & x.Read
	return x, true
}

// operand enters what is done to one register operand.
func (e *encoding) operand(x *arch.Effects, a access, n int, isByte bool) {
	var bit arch.RegSet
	low, partial := a&accLow != 0, false
	switch {
	case a&(accRead|accWrite) == 0:
		return
	case a&accMask != 0:
		bit = 1 << (firstMask + n&7)
	case a&accVector != 0:
		bit = 1 << (firstVector + n&31)
		partial = e.vector.kind == vectorNone || e.vector.mask != 0 && !e.vector.z
	default:
		low = low || isByte
		partial = low || e.operandSize() == 2 && e.vector.kind == vectorNone
		if isByte && e.rex == 0 && n >= 4 && n < 8 { // ah, ch, dh, bh
			n, low = n-4, false
		}
		bit = 1 << (n & 15)
	}
	if a&accRead != 0 {
		if low && x.Read&bit == 0 {
			x.Low |= bit
		} else if !low {
			x.Low &^= bit
		}
		x.Read |= bit
	}
	if a&accWrite == 0 {
		return
	}
	x.Write |= bit
	switch {
	case a&accFull != 0 || !partial:
		x.Kill |= bit
	case low:
		x.Byte |= bit
	}
}

// effect finds the row that describes the instruction; nil: there is none.
func (e *encoding) effect() *effect {
	t := effectTables[e.m]
	if t == nil {
		return nil
	}
	pp := e.pp()
	if e.vector.kind != vectorNone {
		pp = e.vector.pp
	}
	for _, i := range t.ops[e.op] {
		f := &t.rows[i]
		if f.pps>>pp&1 == 0 {
			continue
		}
		if !e.hasModRM {
			return f
		}
		mask := f.mem
		if !e.memory() {
			if f.rm>>e.rm()&1 == 0 {
				continue
			}
			mask = f.regs
		}
		if mask>>e.reg()&1 != 0 {
			return f
		}
	}
	return nil
}

// addressRegs returns the registers that the address of the memory operand is made of.
func (e *encoding) addressRegs() (s arch.RegSet) {
	if !e.memory() || e.rip || e.absolute {
		return 0
	}
	base, index := int(e.rm()), -1
	if base == 4 {
		base = int(e.sib & 7)
		if index = int(e.sib >> 3 & 7); e.extendsIndex() {
			index += 8
		}
		if index == 4 && e.form.flags&fSIB == 0 {
			index = -1
		}
		if base == 5 && e.mod() == 0 {
			base = -1
		}
	}
	if base >= 0 {
		if e.extendsBase() {
			base += 8
		}
		s |= 1 << base
	}
	switch {
	case index < 0:
	case e.form.flags&fSIB != 0: // a vector: with EVEX.V', any of 32
		s |= 1<<(firstVector+index) | 1<<(firstVector+(index|16))
	default:
		s |= 1 << index
	}
	return s
}

// extendReg returns what is added to ModRM.reg. Mask registers are not extended.
func (e *encoding) extendReg() int {
	if e.vector.kind != vectorNone {
		return int(e.vector.r)
	}
	return int(e.rex&4) << 1
}

// extendRM returns what is added to ModRM.rm where it names a register. EVEX.X extends a vector register.
func (e *encoding) extendRM(a access) int {
	n := 0
	if e.extendsBase() {
		n = 8
	}
	if e.vector.kind == vectorEVEX && e.vector.x && a&accVector != 0 {
		n += 16
	}
	return n
}

// regIsByte reports whether ModRM.reg names a register of one byte.
func (e *encoding) regIsByte() bool {
	return e.form.width == 1 && (e.m == map1 || e.m == map0F && (e.op == 0xb0 || e.op == 0xc0))
}

// sameRegs reports whether the operands that are read are one register.
func (e *encoding) sameRegs() bool {
	if !e.hasModRM || e.memory() {
		return false
	}
	rm := int(e.rm()) + e.extendRM(accVector)
	if e.vector.kind != vectorNone {
		return rm == int(e.vector.vvvv)
	}
	return rm == int(e.reg())+e.extendReg()
}

// effectTable is a compiled table: the rows by opcode.
type effectTable struct {
	rows []effect
	ops  [256][]uint16
}

// effectTables are the tables by map.
var effectTables = map[*opmap]*effectTable{
	map1: compileEffects(effectsOneByte), map0F: compileEffects(effects0F), map38: compileEffects(effects0F38), map3A: compileEffects(effects0F3A),
	mapVEX1: compileEffects(effectsVEX0F), mapVEX2: compileEffects(effectsVEX0F38), mapVEX3: compileEffects(effectsVEX0F3A),
	mapEVEX1: compileEffects(effectsEVEX0F), mapEVEX2: compileEffects(effectsEVEX0F38), mapEVEX3: compileEffects(effectsEVEX0F3A),
}

// compileEffects turns rows into a table. Rows are constants of this package, so a mistake in one is a panic that every test meets.
func compileEffects(rows []row) *effectTable {
	t := &effectTable{rows: make([]effect, len(rows))}
	for i, r := range rows {
		t.rows[i] = parseEffect(r.attr)
		for op := range r.opcodes {
			t.ops[op] = append(t.ops[op], uint16(i))
		}
	}
	return t
}

// parseEffect compiles the words of a row of an effects table; see effects_table.go.
func parseEffect(attr string) effect {
	f := effect{rm: 0xff}
	regs := uint8(0xff)
	for word := range strings.FieldsSeq(attr) {
		operand, acc, isOperand := strings.Cut(word, ":")
		switch {
		case isOperand:
			f.operandWord(operand, acc)
		case prefixWords[word] != 0:
			f.pps |= prefixWords[word]
		case word == "m":
			f.mem = 0xff
		case word == "r":
			f.regs = 0xff
		case word == "zero":
			f.zero = true
		case word == "saves":
			f.saves = true
		case word == "uppers":
			f.merges = 0xffff << firstVector
		case word[0] == '/':
			regs = 0
			for _, c := range word[1:] {
				regs |= 1 << (c - '0')
			}
		case word[0] == '=':
			b, err := strconv.ParseUint(word[1:], 16, 8)
			if err != nil {
				panic("x86: effects table: " + attr)
			}
			f.regs, regs, f.rm = 0xff, 1<<(b>>3&7), 1<<(b&7)
		default:
			panic("x86: effects table: " + attr)
		}
	}
	if f.mem|f.regs == 0 {
		f.mem, f.regs = 0xff, 0xff
	}
	f.mem &= regs
	f.regs &= regs
	f.pps = orAll(f.pps)
	return f
}

// prefixWords are the bits of effect.pps.
var prefixWords = map[string]uint8{"np": 1, "66": 2, "f3": 4, "f2": 8}

// accessLetters are the letters behind an operand's colon.
var accessLetters = map[rune]access{'r': accRead, 'w': accWrite, 'v': accVector, 'k': accMask, 'l': accLow, 'f': accFull}

// impliedRegs are the registers that rows name.
var impliedRegs = map[string]int{"ax": regAX, "cx": regCX, "dx": regDX, "bx": regBX, "sp": regSP, "bp": regBP, "si": regSI, "di": regDI,
	"r8": 8, "r9": 9, "r10": 10, "r11": 11, "st": regX87, "xmm0": firstVector}

// operandWord enters "reg:wv" or "ax:rw".
func (f *effect) operandWord(operand, letters string) {
	var a access
	for _, c := range letters {
		if accessLetters[c] == 0 {
			panic("x86: effects table: " + operand + ":" + letters)
		}
		a |= accessLetters[c]
	}
	switch operand {
	case "reg":
		f.reg = a
	case "rm":
		f.e = a
	case "vvvv":
		f.v = a
	case "op":
		f.o = a
	case "acc":
		f.acc = a
	default:
		n, ok := impliedRegs[operand]
		if !ok {
			panic("x86: effects table: register " + operand)
		}
		f.implied(arch.RegSet(1)<<n, a)
	}
}

// implied enters an implied register.
func (f *effect) implied(bit arch.RegSet, a access) {
	if a&accRead != 0 {
		f.in |= bit
		if a&accLow != 0 {
			f.low |= bit
		}
	}
	switch {
	case a&accWrite == 0:
	case a&accLow != 0:
		f.merges |= bit
	default:
		f.out |= bit
	}
}

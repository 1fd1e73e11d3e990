package x86

import (
	"fmt"
	"strconv"
	"strings"

	"hotpatch/arch"
)

// A row of an opcode table says which instructions a set of opcodes encodes.
// An opcode may stand in several rows; the first row that matches the rest of
// the encoding describes the instruction, and if none does it is unknown.
//
// ops lists opcodes in hexadecimal, alone or as ranges: "00 08 70-7f".
// attr is a list of words:
//
//	np 66 f3 f2   the mandatory prefix (or VEX/EVEX.pp) is one of these;
//	              without any of the four words, every prefix is allowed
//	m r mr        a ModRM byte follows, and names memory, a register, or either
//	/0134         ModRM.reg is one of these
//	=c8           the ModRM byte is c8
//	w0 w1         REX.W, VEX.W or EVEX.W
//	l0 l1 l2 l01 l12   vector length 128, 256, 512 (without: any)
//	v0            VEX.vvvv is not used and must be 1111b
//	k             a mask register is required (EVEX.aaa)
//	sib           the memory operand has a SIB byte; its index is a vector or a stride
//	er            EVEX.b in the register form: embedded rounding
//
//	1 2 4 6 8 10 16 32   the memory operand has so many bytes
//	v             16, 32 or 64 bits by operand size (0x66, REX.W)
//	y             32 or 64 bits by REX.W, VEX.W or EVEX.W
//	stk           64 bits, or 16 after 0x66: push and pop
//	vl vl/2 vl/4 vl/8   the vector length, or a part of it
//	dup           vmovddup: 8, 32 or 64 bytes by vector length
//	cvt           vl/2 when W is 0, vl when it is 1
//	bc2 bc4 bc8 bcy     EVEX.b with memory: one element is broadcast
//	st            the memory operand is written
//	ea            its address is the result; nothing is accessed
//	asz           memory is accessed through implied registers
//
//	i1 i2 i3      immediate bytes
//	iz            16 or 32 bits by operand size; iv: 16, 32 or 64
//	moffs         an address of 64 bits (32 after 0x67)
//	rel1 rel4     branch displacement
//	arith         the immediate is never an address
//
//	lk            may be locked if its operand is memory
//	no66          0x66 without REX.W is refused: processors of different
//	              vendors read different lengths
//	3dnow         a suffix byte selects the operation
//	jump branch call jumpind callind return stop sys   arch.Flow
//
// The rows follow the opcode maps of Intel SDM volume 2 appendix A and, for
// XOP, FMA4, SSE4a and 3DNow!, AMD APM volumes 3 to 6.
type row struct{ ops, attr string }

// form is a compiled row: the conditions under which it describes an encoding,
// and what the encoding then holds.
type form struct {
	pps       uint8 // allowed mandatory prefixes, bit 1<<pp
	ws        uint8 // allowed W, bit 1<<W
	ls        uint8 // allowed vector lengths, bit 1<<L
	mem, reg  uint8 // allowed ModRM.reg of the memory and the register form, bit 1<<reg
	rm        uint8 // allowed ModRM.rm of the register form, bit 1<<rm
	width     width // of the memory operand
	broadcast width // element read when EVEX.b is set; 0: not allowed
	imm       immKind
	flow      arch.Flow
	flags     formFlags
}

type formFlags uint16

const (
	fVvvvUnused formFlags = 1 << iota
	fMask
	fSIB
	fRound
	fWrite
	fAddr
	fImplicit
	fArith
	fLock
	fNo66
	f3DNow
)

// width says how to find the size of a memory operand. Values up to 64 are bytes.
type width uint8

const (
	maxFixedWidth = 64

	widthV width = 100 + iota
	widthY
	widthStack
	widthVL
	widthVL2
	widthVL4
	widthVL8
	widthDup
	widthCvt
)

// immKind says what follows the operands.
type immKind uint8

const (
	immNone immKind = iota
	imm1
	imm2
	imm3
	immZ
	immV
	immMoffs
	immRel1
	immRel4
)

// opmap is one compiled opcode map.
type opmap struct {
	forms []form
	ops   [256]span
}

// span is the run of forms that share an opcode.
type span struct {
	first uint16
	n     uint8
	modRM bool
}

// compile turns rows into a map. Rows are constants of this package, so a
// mistake in one is a panic that every test meets.
func compile(rows []row) *opmap {
	m := new(opmap)
	forms := make([]form, len(rows))
	total := 0
	for i, r := range rows {
		var err error
		if forms[i], err = parseForm(r.attr); err != nil {
			panic(fmt.Sprintf("x86: opcode table: %q %q: %v", r.ops, r.attr, err))
		}
		for op := range r.opcodes {
			m.ops[op].n++
			total++
		}
	}
	m.forms = make([]form, total)
	first := uint16(0)
	for op := range m.ops {
		s := &m.ops[op]
		s.first = first
		first += uint16(s.n)
		s.n = 0
	}
	for i, r := range rows {
		modRM := forms[i].mem|forms[i].reg != 0
		for op := range r.opcodes {
			s := &m.ops[op]
			if s.n > 0 && modRM != s.modRM {
				panic(fmt.Sprintf("x86: opcode table: %02x with and without ModRM", op))
			}
			s.modRM = modRM
			m.forms[int(s.first)+int(s.n)] = forms[i]
			s.n++
		}
	}
	return m
}

// opcodes yields the opcodes of a row.
func (r row) opcodes(yield func(byte) bool) {
	for word := range strings.FieldsSeq(r.ops) {
		lo, hi, isRange := strings.Cut(word, "-")
		if !isRange {
			hi = lo
		}
		a, errLo := strconv.ParseUint(lo, 16, 8)
		b, errHi := strconv.ParseUint(hi, 16, 8)
		if errLo != nil || errHi != nil || a > b {
			panic(fmt.Sprintf("x86: opcode table: bad opcodes %q", r.ops))
		}
		for op := a; op <= b; op++ {
			if !yield(byte(op)) {
				return
			}
		}
	}
}

// attrs holds the words of [row.attr] that set one field to one value.
var attrs = map[string]func(*form){
	"np": pp(0), "66": pp(1), "f3": pp(2), "f2": pp(3),
	"w0": func(f *form) { f.ws = 1 }, "w1": func(f *form) { f.ws = 2 },
	"l0": lens(1), "l1": lens(2), "l2": lens(4), "l01": lens(3), "l12": lens(6),
	"v0": flag(fVvvvUnused), "k": flag(fMask), "sib": flag(fSIB), "er": flag(fRound),
	"1": size(1), "2": size(2), "4": size(4), "6": size(6), "8": size(8),
	"10": size(10), "16": size(16), "32": size(32),
	"v": size(widthV), "y": size(widthY), "stk": size(widthStack),
	"vl": size(widthVL), "vl/2": size(widthVL2), "vl/4": size(widthVL4), "vl/8": size(widthVL8),
	"dup": size(widthDup), "cvt": size(widthCvt),
	"bc2": bcast(2), "bc4": bcast(4), "bc8": bcast(8), "bcy": bcast(widthY),
	"st": flag(fWrite), "ea": flag(fAddr), "asz": flag(fImplicit),
	"i1": imm(imm1), "i2": imm(imm2), "i3": imm(imm3), "iz": imm(immZ), "iv": imm(immV),
	"moffs": imm(immMoffs), "rel1": imm(immRel1), "rel4": imm(immRel4),
	"arith": flag(fArith), "lk": flag(fLock), "no66": flag(fNo66),
	"3dnow": func(f *form) { f.imm = imm1; f.flags |= f3DNow },
	"jump":  flow(arch.FlowJump), "branch": flow(arch.FlowBranch), "call": flow(arch.FlowCall),
	"jumpind": flow(arch.FlowJumpInd), "callind": flow(arch.FlowCallInd),
	"return": flow(arch.FlowReturn), "stop": flow(arch.FlowStop), "sys": flow(arch.FlowSyscall),
}

func pp(n uint8) func(*form)            { return func(f *form) { f.pps |= 1 << n } }
func lens(mask uint8) func(*form)       { return func(f *form) { f.ls = mask } }
func flag(bit formFlags) func(*form)    { return func(f *form) { f.flags |= bit } }
func size(w width) func(*form)          { return func(f *form) { f.width = w } }
func bcast(w width) func(*form)         { return func(f *form) { f.broadcast = w } }
func imm(k immKind) func(*form)         { return func(f *form) { f.imm = k } }
func flow(flow arch.Flow) func(f *form) { return func(f *form) { f.flow = flow } }

// parseForm compiles the words of [row.attr].
func parseForm(attr string) (form, error) {
	f := form{rm: 0xff}
	regs := uint8(0xff)
	for word := range strings.FieldsSeq(attr) {
		switch {
		case word == "m" || word == "mr" || word == "r":
			if strings.Contains(word, "m") {
				f.mem = 0xff
			}
			if strings.Contains(word, "r") {
				f.reg = 0xff
			}
		case word[0] == '/':
			regs = 0
			for _, c := range word[1:] {
				if c < '0' || c > '7' {
					return f, fmt.Errorf("bad ModRM.reg %q", word)
				}
				regs |= 1 << (c - '0')
			}
		case word[0] == '=':
			b, err := strconv.ParseUint(word[1:], 16, 8)
			if err != nil || b < 0xc0 {
				return f, fmt.Errorf("bad ModRM byte %q", word)
			}
			f.reg, regs, f.rm = 0xff, 1<<(b>>3&7), 1<<(b&7)
		case attrs[word] != nil:
			attrs[word](&f)
		default:
			return f, fmt.Errorf("unknown word %q", word)
		}
	}
	f.mem &= regs
	f.reg &= regs
	f.pps, f.ws = orAll(f.pps), orAll(f.ws)
	if f.ls == 0 {
		f.ls = 7 // L'L = 3 is reserved
	}
	return f, nil
}

// orAll returns mask, or the mask that allows everything if no bit is set.
func orAll(mask uint8) uint8 {
	if mask == 0 {
		return 0xff
	}
	return mask
}

// bytes returns the size of a memory operand of width w, or zero if unknown.
// vl is the vector length as EVEX.L'L encodes it.
func (w width) bytes(opsize int, wbit, vl uint8) uint8 {
	full := uint8(16) << vl
	switch w {
	case widthV:
		return uint8(opsize)
	case widthY:
		return 4 << wbit
	case widthStack:
		if opsize == 2 {
			return 2
		}
		return 8
	case widthVL, widthVL2, widthVL4, widthVL8:
		return full >> (w - widthVL)
	case widthDup:
		if vl == 0 {
			return 8
		}
		return full
	case widthCvt:
		return full >> (1 - wbit)
	}
	return uint8(w)
}

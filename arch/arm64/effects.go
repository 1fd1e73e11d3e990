package arm64

import (
	"strings"

	"hotpatch/arch"
)

// effectAccess says what is done to an operand.
type effectAccess uint8

const (
	accRead effectAccess = 1 << iota
	accWrite
	accVector // the register is a vector register
	accSP     // number 31 is the stack pointer, not the zero register
	accKeep   // a write replaces a part only
	accPair   // and the one behind it
	accShort  // four bits of the number only
)

// effect is a compiled row of an effects table.
type effect struct {
	mask, value uint32
	ops         [4]effectAccess // by effectFields
	in, out     arch.RegSet     // implied registers that are read, and replaced
	zero        bool            // of equal registers nothing is read: the result is always the same
	saves       bool            // what is read is only put onto the stack
	none        bool            // what the words do is not known: the rows below do not hold for them
	list        effectList
	listed      effectAccess // what is done to those of a list
}

// effectFields are where the numbers of registers stand: Rd, Rn, Ra, Rm, as most instructions use them.
var effectFields = [4]uint{0, 5, 10, 16}

// effectList says which consecutive vector registers an instruction has beside its fields, or in place of one.
type effectList uint8

const (
	listNone   effectList = iota
	listTable             // from Rn on: TBL, TBX
	listMany              // from Rd on: LD1 to LD4 of multiple structures
	listSingle            // from Rd on: LD1 to LD4 of a single structure
)

// Effects says what an instruction does to registers: [arch.Arch.Effects]. No instruction replaces just the lowest byte of a register, or reads
// just that because of what came with it: Low and Byte stay empty.
func Effects(code []byte, _ *arch.Inst) (arch.Effects, bool) {
	w, ok := firstWord(code)
	if !ok {
		return arch.Effects{}, false
	}
	return effectsOf(w)
}

// effectsOf is Effects of a word.
func effectsOf(w uint32) (arch.Effects, bool) {
	rows := effectRows[w>>25&15]
	for i := range rows {
		f := &rows[i]
		if w&f.mask != f.value {
			continue
		}
		if _, n := f.listOf(w); f.none || f.list == listMany && n == 0 {
			break
		}
		return f.apply(w), true
	}
	return arch.Effects{}, false
}

// apply returns the effects of word w, which the row describes.
func (f *effect) apply(w uint32) arch.Effects {
	x := arch.Effects{Read: f.in, Write: f.out, Kill: f.out}
	for i, a := range f.ops {
		if a == 0 {
			continue
		}
		n := field(w, effectFields[i], 5)
		if a&accShort != 0 {
			n &= 15
		}
		a.enter(&x, n)
		if a&accPair != 0 {
			a.enter(&x, (n+1)&31)
		}
	}
	if from, n := f.listOf(w); n > 0 {
		for i := range n {
			f.listed.enter(&x, (from+i)&31)
		}
	}
	if f.zero && field(w, 5, 5) == field(w, 16, 5) {
		bit := arch.RegSet(1) << field(w, 5, 5)
		if f.ops[1]&accVector != 0 {
			bit <<= firstVector
		}
		x.Read &^= bit
	}
	if f.saves {
		x.Saved = x.Read.Minus(1 << SP)
	}
	return x
}

// enter enters what is done to register n.
func (a effectAccess) enter(x *arch.Effects, n uint32) {
	bit := arch.RegSet(1) << n
	switch {
	case a&accVector != 0:
		bit <<= firstVector
	case n == SP && a&accSP == 0:
		return
	}
	if a&accRead != 0 {
		x.Read |= bit
	}
	if a&accWrite != 0 {
		x.Write |= bit
		if a&accKeep == 0 {
			x.Kill |= bit
		}
	}
}

// listOf returns the first register and the length of a list.
func (f *effect) listOf(w uint32) (from, n uint32) {
	switch f.list {
	case listTable:
		return field(w, 5, 5), field(w, 13, 2) + 1
	case listMany: // opcode: LD4, LD1 of 4; LD3, LD1 of 3 and of 1; LD2, LD1 of 2 (Arm ARM, C4.1, multiple structures)
		return field(w, 0, 5), [16]uint32{0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2}[field(w, 12, 4)]
	case listSingle:
		return field(w, 0, 5), (field(w, 13, 1)<<1 | field(w, 21, 1)) + 1
	}
	return 0, 0
}

// effectRows are the rows by op0, the field of the main encoding table (Arm ARM, C4.1), in their order.
var effectRows = func() (t [16][]effect) {
	for _, rows := range [][]effectRow{effectsImmediate, effectsBranch, effectsRegister, effectsLoadStore, effectsAtomic, effectsFloat, effectsScalar, effectsVector} {
		for _, r := range rows {
			f := parseEffect(r)
			for op0 := range uint32(16) {
				if fixed := f.mask >> 25 & 15; op0&fixed == f.value>>25&fixed {
					t[op0] = append(t[op0], f)
				}
			}
		}
	}
	return t
}()

// effectLetters are the letters behind an operand's colon.
var effectLetters = map[rune]effectAccess{
	'r': accRead, 'w': accWrite, 'v': accVector, 's': accSP, 'k': accKeep, 'p': accPair, 'h': accShort,
}

// parseEffect compiles a row; see effects_table.go. Rows are constants of this package, so a mistake in one is a panic that every test meets.
func parseEffect(r effectRow) effect {
	f := effect{mask: r.mask, value: r.value}
	bad := func() { panic("arm64: effects table: " + r.attr) }
	if r.value&^r.mask != 0 {
		bad()
	}
	for item := range strings.FieldsSeq(r.attr) {
		operand, letters, _ := strings.Cut(item, ":")
		var a effectAccess
		for _, c := range letters {
			if a |= effectLetters[c]; effectLetters[c] == 0 {
				bad()
			}
		}
		switch operand {
		case "d", "n", "a", "m":
			f.ops[strings.Index("dnam", operand)] = a
		case "zero":
			f.zero = true
		case "saves":
			f.saves = true
		case "table", "many", "single":
			f.list, f.listed = map[string]effectList{"table": listTable, "many": listMany, "single": listSingle}[operand], a|accVector
		case "none":
			f.none = true
		default:
			set := impliedSets[operand]
			if set == 0 {
				bad()
			}
			if a&accRead != 0 {
				f.in |= set
			}
			if a&accWrite != 0 {
				f.out |= set
			}
		}
	}
	return f
}

// impliedSets are the registers that rows name.
var impliedSets = map[string]arch.RegSet{"lr": 1 << LR, "sp": 1 << SP, "x16": 1 << x16, "x17": 1 << x17, "call": 0x3f | 1<<8, "x0": 1}

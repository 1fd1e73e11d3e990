package arm64

import (
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
)

// DecodeInto decodes the first instruction of code into in: [arch.Arch.DecodeInto].
//
// An instruction has at most one operand, which the kind says (Off and Size are those of the word, since no field of an
// instruction is made of whole bytes; the relocation type says which of its bits hold the operand):
//
//	ADR                                 OpPC, Addr
//	LDR, LDRSW, PRFM (literal)          OpPC
//	ADRP                                OpPage, Addr
//	ADD, SUB (immediate, 64 bits)       OpDisp, Addr; Value is negative for SUB
//	load or store, Rn + immediate       OpDisp; Value in bytes, whatever the scale
//	the same, post-indexed              OpDisp, Addr: what the base becomes; nothing is accessed there
//	MOVZ, MOVN, MOVK                    OpImm, Arith, Part; Value is the immediate where it stands in the register, of MOVN inverted
//
// Loads and stores without such an immediate have no operand: those with a register as an index, exclusive, ordered and atomic
// ones, those of structures (LD1 and the like).
func DecodeInto(in *arch.Inst, code []byte) error {
	*in = arch.Inst{}
	if len(code) < InstLen {
		return fmt.Errorf("%d bytes, an instruction has %d", len(code), InstLen)
	}
	w := binary.LittleEndian.Uint32(code)
	d := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	if !decode(&d, w) {
		return fmt.Errorf("%w %08x", ErrUnknown, w)
	}
	in.Len, in.Flow, in.Target = InstLen, d.Flow, d.Target
	in.TLSBase, in.MayNop = d.Kind == ReadTP, w == nop
	if isDirect(d.Flow) {
		in.BrSize = InstLen
	}
	if operandBits(&d, w) == 0 {
		return nil
	}
	op := arch.Operand{Kind: arch.OpDisp, Size: InstLen, Value: d.Imm}
	switch {
	case isMoveWide(w):
		op.Kind, op.Arith, op.Part = arch.OpImm, true, true
		op.Value = int64(field(w, 5, 16)) << (16 * field(w, 21, 2))
		if w>>29&3 == 0 { // MOVN
			op.Value = ^op.Value
		}
	case d.Kind == PCRel:
		op.Kind, op.Addr = arch.OpPC, true
	case d.Kind == Page:
		op.Kind, op.Addr = arch.OpPage, true
	case d.Kind == AddImm, d.Index == Post:
		op.Addr = true
	case d.Kind == Literal:
		op.Kind, op.Width = arch.OpPC, d.Width
	default:
		op.Width, op.Write = d.Width, d.Store
	}
	in.Ops[0], in.NumOps = op, 1
	return nil
}

// Fields of an instruction that hold an immediate, as masks.
const (
	bitsImm26 = 0x03ffffff
	bitsImm19 = 0x00ffffe0
	bitsImm14 = 0x0007ffe0
	bitsImm9B = 0x00003fe0 // CB<cc>
	bitsADR   = 0x60ffffe0
	bitsImm12 = 0x003ffc00
	bitsImm9  = 0x001ff000
	bitsImm9S = 0x005ff000 // LDRAA, LDRAB: with S
	bitsImm7  = 0x003f8000
)

// operandBits returns which bits of an instruction hold the operand; 0: it has none.
func operandBits(in *Inst, w uint32) uint32 {
	switch in.Kind {
	case PCRel, Page:
		return bitsADR
	case Literal:
		return bitsImm19
	case AddImm:
		return bitsImm12
	case Memory:
	default:
		if isMoveWide(w) {
			return bitsImm16
		}
		return 0
	}
	switch group := field(w, 28, 2); {
	case group == 1: // LDAPUR and the like, tags
		return bitsImm9
	case group == 2: // pairs
		return bitsImm7
	case group != 3:
		return 0
	case w>>24&1 == 1:
		return bitsImm12
	case w>>21&1 == 0:
		return bitsImm9
	case field(w, 10, 2) != 0: // LDRAA, LDRAB
		return bitsImm9S
	}
	return 0
}

package arm64

import (
	"encoding/binary"
	"errors"
	"fmt"

	"hotpatch/arch"
)

// InstLen is the length of every instruction, in bytes.
const InstLen = 4

// ErrUnknown says that the decoder does not know a word: it is not allocated, or newer than the decoder, or data.
var ErrUnknown = errors.New("unknown instruction")

// Kind says how an instruction forms an address.
type Kind uint8

const (
	Other    Kind = iota
	PCRel         // ADR: Rd = place + Imm
	Page          // ADRP: Rd = (place with its low 12 bits clear) + Imm
	Literal       // LDR (literal), LDRSW (literal), PRFM (literal): accesses place + Imm
	AddImm        // ADD or SUB (immediate), without flags: Rd = Rn + Imm
	Memory        // load or store, single or pair, at Rn + Imm
	MemoryIn      // load or store at Rn + Rm, shifted or extended
	ReadTP        // MRS Rd, TPIDR_EL0
)

// Index says what a load or store does with its base register.
type Index uint8

const (
	Offset Index = iota // Rn stays
	Post                // accesses Rn, then Rn += Imm
	Pre                 // Rn += Imm, then accesses Rn
)

// Regs is a set of general registers: bit n is Xn, bit 31 is SP. The zero register is in no set.
type Regs uint32

// SP is the number of the stack pointer in Regs, and in Inst where an instruction has one there.
const SP = 31

// LR is the number of the link register.
const LR = 30

// NoReg stands where an instruction has no such register, or the zero register.
const NoReg = 0xff

// AllRegs is every register.
const AllRegs Regs = 1<<32 - 1

// Has reports whether register n is in the set.
func (r Regs) Has(n uint8) bool { return n < 32 && r>>n&1 != 0 }

func (r *Regs) add(n uint8) {
	if n < 32 {
		*r |= 1 << n
	}
}

// Inst is a decoded instruction. It does not know its own address: Target and the Imm of PCRel and Literal are relative to it.
type Inst struct {
	Flow   arch.Flow
	Kind   Kind
	Target int64 // FlowJump, FlowBranch, FlowCall: in bytes, from the instruction
	Imm    int64 // see Kind; of Memory, Post and Pre: bytes
	Rd     uint8 // written by PCRel, Page, AddImm, ReadTP; NoReg: the zero register. Memory: the first register loaded or stored, if a general one
	Rn     uint8 // base of AddImm, Memory, MemoryIn; the register that an indirect branch, call or return goes to
	Rm     uint8 // index of MemoryIn
	Index  Index // of Memory
	Width  uint8 // bytes that Literal, Memory and MemoryIn access, pairs together; 0: none (a prefetch) or not known
	Load   bool  // Literal, Memory, MemoryIn: it reads; an atomic one reads and writes
	Store  bool
	Writes Regs // general registers that it may write; all, where that is not known
}

// Decode decodes the first instruction of code. The error wraps ErrUnknown, or says that code is too short.
func Decode(code []byte) (Inst, error) {
	if len(code) < InstLen {
		return Inst{}, fmt.Errorf("%d bytes, an instruction has %d", len(code), InstLen)
	}
	w := binary.LittleEndian.Uint32(code)
	in := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	if !decode(&in, w) {
		return Inst{}, fmt.Errorf("%w %08x", ErrUnknown, w)
	}
	return in, nil
}

// decode goes by op0, the main encoding table (Arm ARM, C4.1).
func decode(in *Inst, w uint32) bool {
	switch op0 := w >> 25 & 15; {
	case op0 == 0b0000:
		return decodeReserved(in, w)
	case op0 == 0b0010:
		decodeScalable(in, w)
	case op0&0b1110 == 0b1000:
		decodeImmediate(in, w)
	case op0&0b1110 == 0b1010:
		return decodeBranch(in, w)
	case op0&0b0101 == 0b0100:
		decodeLoadStore(in, w)
	case op0&0b0111 == 0b0101:
		decodeRegister(in, w)
	case op0&0b0111 == 0b0111:
		decodeVector(in, w)
	default:
		return false
	}
	return true
}

// field returns n bits of w from bit lo on.
func field(w uint32, lo, n uint) uint32 { return w >> lo & (1<<n - 1) }

// signed returns n bits of w from bit lo on as a signed number.
func signed(w uint32, lo, n uint) int64 { return int64(int32(w<<(32-lo-n)) >> (32 - n)) }

// reg returns the register in the five bits from lo on, where number 31 is the zero register.
func reg(w uint32, lo uint) uint8 {
	if n := uint8(field(w, lo, 5)); n != 31 {
		return n
	}
	return NoReg
}

// regSP is reg where number 31 is the stack pointer.
func regSP(w uint32, lo uint) uint8 { return uint8(field(w, lo, 5)) }

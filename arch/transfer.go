package arch

import "math/bits"

// Reg is a general register by the processor's own number (x86-64: 0 rax ... 4 rsp ... 15 r15; arm64: 0-30 and 31 for sp).
type Reg int8

// NoReg is no general register: there is no such operand, or it is the zero register.
const NoReg Reg = -1

// Regs is a set of general registers by [Reg].
type Regs uint64

// Bit returns the set with only r in it; the empty set for NoReg.
func (r Reg) Bit() Regs {
	if r < 0 {
		return 0
	}
	return 1 << r
}

// Has reports whether r is in the set.
func (s Regs) Has(r Reg) bool { return r >= 0 && s>>r&1 != 0 }

// First returns the register of the lowest number in the set, which must not be empty; s & (s - 1) are the others.
func (s Regs) First() Reg { return Reg(bits.TrailingZeros64(uint64(s))) }

// TransferKind says how an instruction makes the new value of its destination.
type TransferKind uint8

const (
	// TransferOther is anything that is not described. Writes then names every general register that may get another value, which may be made of any that
	// Reads names; memory may be read and written. If HasMem is set, that is the operand in memory and nothing else is accessed, and
	// general registers that are read for another purpose are Src or Src2, or implied.
	TransferOther   TransferKind = iota
	TransferNone                 // no general register gets a value, and no memory is accessed
	TransferMove                 // Dst = Src, or that Part of it
	TransferConst                // Dst = Imm
	TransferAddress              // Dst = the address that Mem describes: lea, adr, adrp, an addition of registers or a constant
	TransferLoad                 // Dst = memory at Mem
	TransferStore                // memory at Mem = Src, and Src2 behind it (pairs); NoReg: zero, a constant or a vector register
	TransferCompare              // Src is compared with Src2, Imm, or memory at Mem; Dst = the difference
	TransferArith                // Dst = some function of Src, Src2, Imm, memory at Mem
	TransferSelect               // Dst = Src or Src2
	TransferInsert               // Dst = Src with some bits replaced: those of Mask by Imm (movk), or, without Mask, the low ones by something (8 and 16 bits of x86-64)
)

// Mem is an operand in memory, or the address that an instruction computes.
type Mem struct {
	Base, Index Reg   // NoReg: none
	Disp        int64 // bytes, that is added
	// From says what Disp counts from where Base is NoReg.
	From  MemFrom
	Width uint8 // bytes accessed, those of both registers of a pair; 0: not known, or none
	Load  bool  // memory is read
	Store bool  // memory is written, or may be
	// Of Index, Extend is taken and shifted left by Scale bits.
	Scale  uint8
	Extend Extend
	Minus  bool // Index is subtracted
	Seg    bool // through a segment base that is not flat (fs, gs): thread-local
}

// Extend says which part of a value counts: the low Bits bits, extended to 64; 0: all of it.
type Extend struct {
	Bits   uint8
	Signed bool
}

// Of returns the part of v that counts, extended.
func (e Extend) Of(v int64) int64 {
	if e.Bits == 0 || e.Bits >= 64 {
		return v
	}
	shift := 64 - e.Bits
	if e.Signed {
		return v << shift >> shift
	}
	return int64(uint64(v) << shift >> shift)
}

// Cond is the condition of a conditional branch, as far as unsigned comparisons go: of what the flags were set by with something else.
type Cond uint8

const (
	CondOther      Cond = iota // another one, or it is no conditional branch
	CondAbove                  // unsigned >
	CondAboveEqual             // unsigned >=
	CondBelow                  // unsigned <
	CondBelowEqual             // unsigned <=
)

// MemFrom says what a displacement without a base register counts from.
type MemFrom uint8

const (
	FromZero    MemFrom = iota // it is an absolute address
	FromInst                   // the instruction's first byte
	FromPage                   // the 4 KiB page of the instruction's first byte (adrp)
	FromSegment                // a segment base that is not flat (fs, gs): thread-local
)

// Transfer is what an instruction does with the values in general registers, in terms in which portable code follows an address from where
// it is made to where it is used (the register transfers of a compiler's RTL). A call, a jump and a return count for themselves only: what runs before they come back is not in it.
type Transfer struct {
	Kind      TransferKind
	Dst       Reg   // gets the new value
	Src, Src2 Reg   // registers that the value, or what is stored or compared, is made of
	Imm       int64 // constant operand, if HasImm
	HasImm    bool
	Wide      bool // the operation is on the whole register (64 bits); else the rest becomes zero or stays
	HasMem    bool
	Mem       Mem
	Dst2      Reg  // TransferLoad of a pair: gets what is behind that of Dst; see Pair
	Pair      bool // of a load or store: half of Mem.Width goes to Dst or comes from Src, the other half to Dst2 or from Src2
	// Vector: vector registers are filled or stored, and no general one but for the base's new value; TransferArith: they get the result, or Dst gets
	// something of one (Wide: 8 bytes as they are).
	Vector    bool
	Step      int64  // WriteBack: bytes
	WriteBack bool   // Mem.Base gets the value Mem.Base + Step, too (pre- and post-indexed accesses)
	Signed    bool   // TransferLoad: what is loaded is sign-extended; else the rest of Dst becomes zero
	Mask      uint64 // TransferInsert
	Limit     uint64 // Dst is at most that, unsigned, whatever went in; 0: not known
	Flags     bool   // status flags get another value; TransferCompare: that of the comparison
	Cond      Cond   // of a conditional branch
	Part      Extend // TransferMove: what of Src
	Negates   bool   // TransferArith, TransferSelect: Dst may be a negative multiple of one of the sources, or its complement
	Adds      bool   // TransferArith: Dst = Src + Imm; TransferCompare: Dst = Src - Imm; as wide as the operation is
	// Reads are all registers whose value the instruction uses, Src, Src2 and those of Mem among them; all, where that is not known. An
	// architecture that makes addresses in pieces fills it in.
	Reads Regs
	// Writes are all registers that may get another value: Dst, and those that are written besides (writeback of a base, the second of a
	// pair, implicit ones).
	Writes Regs
}

// Pieces is how an architecture makes addresses by several instructions of which none holds the whole: what has to be known of it to follow
// their values from one to the next.
type Pieces struct {
	SP      Reg
	Saved   Regs // keep their values over calls (AAPCS64, 6.1.1)
	Args    Regs // hold arguments and results
	Results Regs // a function returns its result in these; others that it changes are without meaning behind a call
	Veneers Regs // the linker may change them on the way into any function (AAPCS64, 6.1.1: IP0, IP1)
	// TPPage is what the pieces of an offset from the thread pointer are multiples of, but for the last.
	TPPage int64
}

package arch

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

// TransferKind says how an instruction makes the new value of its destination.
type TransferKind uint8

const (
	// TransferOther is anything that is not described. Only Writes holds then, which names every general register that may get another
	// value; each may be made of any register's, and memory may be read and written.
	TransferOther   TransferKind = iota
	TransferNone                 // no general register gets a value, and no memory is accessed
	TransferMove                 // Dst = Src
	TransferConst                // Dst = Imm
	TransferAddress              // Dst = the address that Mem describes: lea, adr, adrp, an addition of registers or a constant
	TransferLoad                 // Dst = memory at Mem
	TransferStore                // memory at Mem = Src, and Src2 behind it (pairs); NoReg: zero, a constant or a vector register
	TransferCompare              // flags only: Src is compared with Src2, Imm, or memory at Mem
	TransferArith                // Dst = some function of Src, Src2, Imm, memory at Mem
	TransferSelect               // Dst = Src or Src2
)

// Mem is an operand in memory, or the address that an instruction computes.
type Mem struct {
	Base, Index Reg   // NoReg: none
	Disp        int64 // bytes, that is added
	// From says what Disp counts from where Base is NoReg.
	From  MemFrom
	Width uint8 // bytes accessed; 0: not known, or none
	Load  bool  // memory is read
	Store bool  // memory is written, or may be
}

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
	// Writes are all registers that may get another value: Dst, and those that are written besides (writeback of a base, the second of a
	// pair, implicit ones).
	Writes Regs
}

package arch

// Flow says where control goes after an instruction.
type Flow uint8

const (
	FlowNext    Flow = iota // to the next instruction only
	FlowJump                // to Target
	FlowBranch              // to Target or to the next instruction
	FlowCall                // to Target, and back to the next instruction
	FlowJumpInd             // to an address in a register or in memory
	FlowCallInd             // the same, and back
	FlowReturn              // to the caller
	FlowStop                // nowhere: ud2, hlt, int3, udf, brk
	FlowSyscall             // into the kernel, and back
)

// OpKind says how an operand field may name a place.
type OpKind uint8

const (
	OpNone OpKind = iota
	// OpPC is a memory operand (or lea/adr) relative to the program counter. Value is
	// relative to the instruction's first byte, as Inst.Target is.
	OpPC
	// OpPage is the address of a 4 KiB page (adrp): Value is added to the address of the page of the instruction's first byte.
	OpPage
	// OpAbs is a memory operand with a displacement and neither base nor
	// index register, or moffs. Value is the sign-extended address (or the offset in the
	// segment, if Seg is set).
	OpAbs
	// OpDisp is a displacement that is added to a base or index register.
	OpDisp
	// OpImm is an immediate that could hold an address: 4 bytes or more, and not
	// an operand of and, or, xor, test or imul... (those are part of the canonical bytes' operands too, but Arith is set).
	OpImm
)

// Operand is a field of an instruction that may name a place. Fields that are too
// short to do so (8-bit displacements and immediates) are not listed: they are part of the canonical bytes.
type Operand struct {
	Kind  OpKind
	Off   uint8 // of the field, from the instruction's first byte
	Size  uint8 // bytes of the field
	Width uint8 // bytes that the memory access reads or writes; 0: unknown or none
	Addr  bool  // lea, adr: the address itself is the result, nothing is accessed
	Write bool  // the memory operand is (also) written, or it is not known not to be
	Seg   bool  // through a segment base that is not flat (fs, gs): thread-local
	Arith bool  // immediate of and/or/xor/test/imul and the like: never an address
	Part  bool  // an immediate that makes a number, or a part of one of which other instructions hold the rest (movz, movk)
	Value int64
}

// BranchOp stands for the displacement of a branch where an operand is named by its index in Inst.Ops.
const BranchOp = 255

// Inst is a decoded instruction. It does not know its own address: targets are
// relative to its first byte.
type Inst struct {
	Target  int64 // FlowJump, FlowBranch, FlowCall: relative to the instruction's first byte
	Ops     [2]Operand
	NumOps  int
	Len     int
	Flow    Flow
	BrOff   uint8 // offset of the branch displacement field
	BrSize  uint8 // bytes of it; 0 if there is none
	TLSBase bool  // loads the thread pointer (mov %fs:0, %reg; mrs tpidr_el0)
	// TLSMem: memory is accessed through the thread pointer's segment and a register, or the thread pointer is added from there
	// (add %fs:0, %reg).
	TLSMem bool
	MayNop bool // worth asking [Arch.IsNop]; false: it is none
}

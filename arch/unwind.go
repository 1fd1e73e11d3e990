package arch

// Unwind is what a walk over stacks must know of an architecture where call frame information does not say it. All of it is of no use, and
// absent, where calls put their return addresses on the stack and every stub has call frame information (x86-64).
type Unwind struct {
	// Ignored has the bits of an address that a branch does not look at (arm64: the top byte, bit 55 aside, which says whose half of
	// the address space it is; Linux lets programs tag it).
	Ignored uint64

	// Touches says what an instruction may do to the registers by which a frame is known that nothing was done to yet: whether it writes the
	// stack pointer, and whether it writes the register that holds the return address. Nil: there is no such register. Where there is one,
	// the processor's numbers of the general registers ([Reg]) are DWARF's.
	Touches func(code []byte, in *Inst) (sp, ra bool)

	// ReturnReg returns the DWARF number of the register that holds where a return goes. It is set with Touches.
	ReturnReg func(code []byte) int

	// PLTPush is what the head of the PLT puts onto the stack in front of the resolver of lazy binding, the return address last, in bytes.
	// The C library's call frame information takes these words for the caller's.
	PLTPush int

	// Stub describes the code at at, if it does nothing but jump to a fixed place or through a slot at a fixed address: a stub of the linker's
	// (an entry of the PLT, the head of the PLT, a veneer) or one of [Jump].Stub. Nil: such code has call frame information, or
	// one instruction does it.
	Stub func(code []byte, at Addr) (Stub, bool)

	Signal SignalFrame
}

// Stub is code that does nothing but jump on. Up to there the return address is in its register.
type Stub struct {
	To    Addr // where it jumps, or with Slot: where the pointer lies that it jumps to
	Slot  bool
	Len   int // bytes, the jump included
	Push  int // bytes that it puts onto the stack on the way; 0: none
	After int // of the first byte behind the instruction that does so
}

// SignalFrame is what the kernel leaves on the stack when it calls the handler of a signal, and the code that the handler
// returns to, where that has no call frame information.
type SignalFrame struct {
	// Trampoline returns the length of the code that returns from a handler, if code begins with it, and otherwise 0. Nil:
	// call frame information describes it.
	Trampoline func(code []byte) int

	// Regs has, by DWARF number, where the interrupted thread's registers lie, in bytes from SP as it is in the trampoline. Numbers
	// up to DWARF.NumRegs are there, the program counter's included.
	Regs []int64

	// Mark is a word that is in every signal frame, MarkAt bytes from SP as it is in the trampoline. Zero: the frame is known by the return
	// address of the handler below it.
	Mark   uint64
	MarkAt int64
}

// Package arch describes an instruction set architecture as a value.
//
// Everything that depends on an instruction set, and that more than one package
// needs, is a field of [Arch]: how to decode one instruction, how a redirecting
// jump is encoded, which relocations exist, how DWARF numbers the registers. The
// packages arch/x86 and arch/arm64 each hold one such value, and
// arch/machines finds it by the e_machine of an ELF file. No build tag is
// involved: an amd64 host diffs arm64 builds.
//
// The package is pure. It reads no file and touches no process.
package arch

import "debug/elf"

// Addr is an address in the address space of a target process. It is never a
// pointer of this process, and is therefore never a uintptr.
type Addr uint64

// ImageAddr is an address in an image as it was linked: what p_vaddr, st_value
// and r_offset hold. It becomes an [Addr] by adding the bias at which the
// image is mapped.
type ImageAddr uint64

// In returns where v lies in a process that maps the image at bias (zero for
// ET_EXEC).
func (v ImageAddr) In(bias Addr) Addr { return Addr(v) + bias }

// Arch is one architecture. Its fields are set once by the package that defines
// it and never change afterwards.
type Arch struct {
	Name    string      // "x86-64", "arm64"
	Machine elf.Machine // e_machine
	PtrSize int         // bytes
	MaxInst int         // bytes in the longest instruction

	// InstAlign is what the address of every instruction, and its length, is a multiple of, in bytes.
	InstAlign int

	// DecodeInto decodes the first instruction of code into in, whatever that held. It never guesses: an opcode
	// that it does not know, or code that ends early, is an error.
	DecodeInto func(in *Inst, code []byte) error

	// Canon appends the canonical bytes of an instruction to dst: its encoding
	// with every field of in.Ops and the branch displacement left out, with
	// prefixes without effect dropped (notrack, bnd, a padding 0x67), and with
	// short and near forms of one branch spelled the same. Two instructions with equal
	// canonical bytes differ at most in what their operands name.
	Canon func(dst, code []byte, in *Inst) []byte

	// Relax appends the canonical bytes that the instruction would have if the
	// linker had relaxed it in the given way, knowing that its memory operand (OpPC; of two instructions
	// OpPage and OpDisp) is a GOT slot. What the slot holds takes the place of the operand. It returns dst
	// unchanged and false if the linker has no such form. An instruction that loads from a
	// slot in one build equals one of the other build if Relax of the first is
	// Canon of the second and both name the same place.
	Relax func(dst, code []byte, in *Inst, form Relaxation) ([]byte, bool)

	// Detour rewrites an instruction at from whose memory operand (OpPC) is out of its reach, by way of code at
	// to, in the same section. site takes the instruction's place and has its length; detour does the same
	// and goes back behind it. field is the offset in detour of a PC-relative field (RelocGOTPC, 4 bytes) that must name a
	// slot with the operand's address. It is false for all but plain loads of a register.
	Detour func(code []byte, in *Inst, from, to Addr) (site, detour []byte, field int, ok bool)

	// Outline appends what an instruction does, without saying in which general registers and, where a memory operand counts
	// from the stack pointer, in which slot: two instructions with equal outlines do the same with other registers or slots,
	// but for what the operands that it does not cover hold. covers says which of in.Ops are slots or sizes of the frame, and covered in that
	// way. What it has no better description of, it gives as Canon does.
	Outline func(dst, code []byte, in *Inst) (outline []byte, covers [2]bool)

	// Aligned returns what the address of the memory operand of the first instruction of code has to be a multiple of, or else the
	// instruction faults; 1 if any address will do, if there is no such operand, and if it counts from the stack pointer.
	Aligned func(code []byte) int

	// IsNop reports whether the instruction has no effect and serves as padding.
	IsNop func(code []byte, in *Inst) bool

	// Text disassembles one instruction at pc for people to read. symname names the places that it refers to, which then stand in angle
	// brackets; a name that begins with a sign is an offset and stands as it is. It may be nil.
	Text func(code []byte, pc uint64, symname func(addr uint64) (name string, base uint64)) string

	// CallBefore reports whether an instruction that ends at the end of code
	// can be a call, and describes it. It is used to check return addresses;
	// code holds up to MaxInst bytes in front of one.
	CallBefore func(code []byte) (CallSite, bool)

	// Effects says what the first instruction of code, which in describes, does to registers. It is false for an instruction of which that
	// is not known; nothing is guessed.
	Effects func(code []byte, in *Inst) (Effects, bool)

	// Transfer says what the first instruction of code, which in describes, does with the values in general registers.
	Transfer func(t *Transfer, code []byte, in *Inst)

	// Pieces is how addresses are made by several instructions; nil: one instruction holds a whole address.
	Pieces *Pieces

	// Dynamic describes a type of dynamic relocation; false: it is not known.
	Dynamic func(typ uint32) (DynReloc, bool)

	// Aim rewrites the displacement of a direct branch, of which in says where it is, so that it leads to a place relative to the
	// instruction's first byte. A place out of its reach is an error.
	Aim func(code []byte, in *Inst, to int64) error

	// Displace rewrites an instruction whose operand is an OpDisp so that it has another displacement, and does the same otherwise. It is an error
	// if no form of it, of the same length, can hold that.
	Displace func(code []byte, in *Inst, disp int64) error

	// Widen returns the instructions in whose place a linker put the first one or two of code, because what they name is near: an OpPage and, of two, one
	// that adds to it, with zero in their fields, as many bytes as they replace. It is false if code does not begin with such.
	// Nil: linkers leave instructions as long as they were, and one is one.
	Widen func(code []byte) (wide []byte, ok bool)

	// FieldReloc returns the type of the relocation that stores a value of some kind in an instruction, in operand op of in or, for BranchOp, as
	// what it branches to; adjust is to be added to the addend, for what the processor counts from. It is false if the instruction has
	// no such field, or one that is too short to lead from a patch to anywhere in the process.
	FieldReloc func(code []byte, in *Inst, op int, kind RelocKind) (typ uint32, adjust int64, ok bool)

	// Link describes a type of link-time relocation, as --emit-relocs keeps them; false: it is not known.
	Link func(typ uint32) (LinkReloc, bool)

	// PLTStub describes the stub of the procedure linkage table whose indirect jump starts at off in code, which lies at at: slot holds the
	// address that it jumps to, and starts are where calls may enter it, as offsets in code. It is false if the jump is not through
	// a slot whose address the code has as a constant.
	PLTStub func(code []byte, at ImageAddr, off int) (slot ImageAddr, starts []int, ok bool)

	// Unlocked reports whether the first instruction of code does the same without its first byte, a prefix that makes it atomic, and may
	// therefore be entered behind that. Nil: no instruction has such a prefix.
	Unlocked func(code []byte) bool

	// TLSGeneral reports whether an instruction that takes the address of the module's own pair of TLS slots is spelled as the ABI has it for
	// general dynamic access, which tells it from local dynamic access. Nil: no spelling does.
	TLSGeneral func(code []byte) bool

	// Helper reports whether a name is that of a function which compilers add for code that they do not want in line, or may not have there. It works on
	// what its arguments hold or point to as integers and addresses, knows no type of the program's, and brings no debug information along.
	Helper func(name string) bool

	Call   Convention
	Jump   Jump
	DWARF  DWARF
	Unwind Unwind
	Relocs map[uint32]Reloc // by ELF relocation type

	// MaxPage is the largest page size, in bytes, that Linux uses there.
	MaxPage uint64

	// Trap is an instruction that faults, with which gaps between code are filled.
	Trap []byte

	// Breakpoint is the instruction that debuggers and uprobes put over code.
	Breakpoint Pattern

	// UserEnd is where the addresses end that the kernel maps a program's memory at without being asked for more.
	UserEnd Addr

	// TCB is how many bytes above the thread pointer the first block of thread-local storage, the program's, begins at the earliest: the thread
	// control block (variant I of "ELF Handling For Thread-Local Storage", 3). Zero: that block ends at the thread pointer (variant II).
	TCB int

	// RedZone is the number of bytes below the stack pointer that a leaf
	// function may use (System V ABI, x86-64 supplement, 3.2.2).
	RedZone int
}

// Pattern is bytes of which only some bits count.
type Pattern struct{ Mask, Value []byte }

// Decode is DecodeInto for callers with no place for the instruction.
func (a *Arch) Decode(code []byte) (in Inst, err error) {
	err = a.DecodeInto(&in, code)
	return in, err
}

// Relaxation says what takes the place of a GOT slot.
type Relaxation uint8

const (
	RelaxPC  Relaxation = iota // the symbol, relative to the program counter
	RelaxAbs                   // the symbol's address as an immediate (images that are not position-independent)
	RelaxTLS                   // a thread pointer offset (initial exec to local exec)
)

// CallSite describes the call in front of a return address.
type CallSite struct {
	Len      int   // bytes of the call instruction
	Indirect bool  // target is in a register or in memory
	Target   int64 // direct calls: target relative to the return address
	Either   bool  // the bytes fit a direct call, described here, as well as an indirect one
}

// Jump holds what is needed to redirect a function by one jump at its entry.
type Jump struct {
	Len   int   // bytes of the jump
	Reach int64 // largest displacement in either direction, in bytes, from the jump's first byte

	// Landing returns how many bytes at a function's entry must stay in place
	// in front of a jump: a landing pad such as endbr64 or bti c, or zero.
	Landing func(code []byte) int

	// Guard is the type of the GNU property of which bit 0 says that indirect branches into an image's text may only arrive at
	// landing pads, which the processor then checks (arm64: GNU_PROPERTY_AARCH64_FEATURE_1_AND, BTI). Zero: nothing is checked in programs.
	Guard uint32

	// Signing says how the landing pad that code begins with signs the return address (arm64: paciasp). Nil: none does.
	Signing func(code []byte) Signing

	// Enter returns where a jump has to lead that stands behind a landing pad which signs as from says, so that the body at entry finds what
	// a call of it would give it; body is how that one's own landing pad signs. Nil: to entry. Use [Jump.Lead].
	Enter func(entry Addr, from, body Signing) (Addr, error)

	// Head is code that stands right in front of each body in a payload: Enter may lead to it. Empty: there is none.
	Head []byte

	// Encode returns the jump that, placed at from, leads to to. A target out
	// of reach is an error; a displacement is never truncated.
	Encode func(from, to Addr) ([]byte, error)

	// Recognize decodes a jump as Encode emits it.
	Recognize func(from Addr, code []byte) (to Addr, ok bool)

	// Stub returns the code of a stub, placed at from, that jumps to the
	// address stored in the slot (a pointer-sized word) at slot. It is used for calls to other
	// modules that may be out of a jump's reach. StubLen is its length.
	Stub    func(from, slot Addr) ([]byte, error)
	StubLen int

	// Move rewrites the first instructions of code, which stands at from, to run at to: at least need bytes of them, or all up to one that
	// nothing follows (a jump, a return). Behind the last one it goes back to from+taken. Whoever comes to from with the bytes there
	// taken away, and goes to moved instead, notices no difference, provided that nobody branches into the taken bytes. Code
	// that cannot be moved is an error that says why. Nil: nothing can, on this architecture.
	Move func(code []byte, from, to Addr, need int) (moved []byte, taken int, err error)

	// Gate returns code for a function's entry that goes on to set if the aligned 4-byte word at word is not zero, and else to what stands
	// behind it. It changes nothing that a function is passed. GateLen is its length. word may be any distance away. Nil: there are no gates.
	Gate    func(at, word, set Addr) ([]byte, error)
	GateLen int

	// Clobbers are the registers that Gate, or what Move adds, may change: those that no caller passes anything in, by the ABI. None, where it saves what it uses.
	Clobbers RegSet

	// IsPadding reports whether all of b is what compilers and linkers put
	// between functions (NOPs, int3, zero bytes), so that no execution depends on it.
	IsPadding func(b []byte) bool
}

// Signing says how code has signed the return address, by the time that control comes behind a landing pad.
type Signing uint8

const (
	NotSigned Signing = iota
	SignedA           // with instruction key A and the stack pointer (paciasp)
	SignedB           // with instruction key B and the stack pointer (pacibsp)
	SignedPC          // with the place of the instruction as well (paciasppc, pacibsppc)
)

// Signs is Signing where that may be nil.
func (j *Jump) Signs(code []byte) Signing {
	if j.Signing == nil {
		return NotSigned
	}
	return j.Signing(code)
}

// Lead is Enter where that may be nil.
func (j *Jump) Lead(entry Addr, from, body Signing) (Addr, error) {
	if j.Enter == nil {
		return entry, nil
	}
	return j.Enter(entry, from, body)
}

// DWARF holds the register numbering of .eh_frame for the architecture.
type DWARF struct {
	NumRegs int      // registers an unwinder tracks: numbers 0..NumRegs-1, including the return address column
	SP      int      // number of the stack pointer
	RA      int      // number of the return address column (x86-64: 16) or link register (arm64: 30)
	PC      int      // number of the program counter, where RA is another register (arm64: 32); zero: RA is it
	Names   []string // by number
	Saved   []bool   // by number: preserved across calls by the ABI

	// Pseudo registers, numbered beyond NumRegs; zero: there is none.
	RASign int // says whether return addresses are signed (arm64: RA_SIGN_STATE, 34)
	VG     int // length of a scalable vector in units of 64 bits (arm64: 46)
}

// RelocKind says what value a relocation stores. S is the symbol, A the addend,
// P the place, G the address of a slot that holds S, L that of a stub that leads to S (the names of the ELF processor supplements);
// Page(x) is x with its low 12 bits clear (ELF for the Arm 64-bit Architecture, 5.7.3).
type RelocKind uint8

const (
	RelocNone  RelocKind = iota
	RelocAbs             // S + A
	RelocPC              // S + A - P
	RelocPLT             // L + A - P: S itself, or a stub that leads to it
	RelocGOTPC           // G + A - P

	RelocPage    // Page(S + A) - Page(P)
	RelocGOTPage // Page(G + A) - Page(P)
	RelocGOTAbs  // G + A, of which the field holds the part that RelocGOTPage does not tell

	// The kinds below describe what --emit-relocs leaves of thread-local variables. No patch holds them: it reaches the slots of the
	// running image by their addresses, and offsets are numbers. T is the address of slots that the dynamic linker fills with what
	// finds the variable: an offset, a module and an offset, or a descriptor.
	RelocTLSPage // Page(T + A) - Page(P)
	RelocTLSAbs  // T + A, of which the field holds the low part
	RelocTP      // S + A as an offset from the thread pointer
	RelocDTP     // S + A as an offset in the module's block
)

// InPatch reports whether a patch may have a relocation of the kind, which [hotpatch/elfdiff/patch] then links.
func (k RelocKind) InPatch() bool { return k > RelocNone && k <= RelocGOTAbs }

// Reloc describes one relocation type.
type Reloc struct {
	Type uint32
	Name string // as in the ABI document: R_X86_64_PC32
	Kind RelocKind
	Size int // bytes of the field that is written

	// Put stores v in field (Size bytes), keeping the bits that are not part of the relocated
	// field. A value that does not fit is an error, and so is an instruction that the relocation is not for.
	Put func(field []byte, v int64) error
}

// DynKind says what a dynamic relocation makes the dynamic linker store. S is the symbol's address, A the addend, B the bias.
type DynKind uint8

const (
	DynNone      DynKind = iota // nothing
	DynAbs                      // S + A in a word of data
	DynGlobDat                  // S + A in a slot of the GOT
	DynJumpSlot                 // S + A in a slot of the PLT, at the first call
	DynRelative                 // B + A
	DynIRelative                // what the resolver at B + A returns
	DynCopy                     // the object itself
	DynTPOff                    // offset from the thread pointer
	DynDTPMod                   // number of a module with TLS
	DynDTPOff                   // offset in its block
	DynTLSDesc                  // two words: a TLS descriptor
	DynOther                    // something else: a distance, a size
)

// DynReloc describes a type of dynamic relocation.
type DynReloc struct {
	Kind DynKind
	Size int // bytes that are stored; 0: none, or of the symbol's size (DynCopy)
}

// PCReg returns the number under which an unwinder keeps the program counter.
func (d *DWARF) PCReg() int {
	if d.PC != 0 {
		return d.PC
	}
	return d.RA
}

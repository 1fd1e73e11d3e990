package x86

import (
	"bytes"
	"encoding/binary"

	"hotpatch/arch"
)

// A borrow block lets a thread make system calls and go on where it was by itself. It is
// position-independent, so its code has the same bytes at every address:
//
//	  0  code    syscall; mov saved(%rip), reg ...; jmp *pc(%rip); int3 ...
//	120  saved   17 words by DWARF number: rax ... r15, pc; that of rsp is not loaded
//	256  owner   name, fill, thread: what lay there before, and whose it is
//	288
//
// The name ends with a zero byte. It tells a block from other bytes, and is also there for memfd_create(2), so that
// no other memory is needed to pass it.
//
// The code never changes the flags, rsp or memory, and touches no vector register: mov, jmp and syscall
// with sysret keep the flags (AMD64 manual volume 3; sysret takes them from r11).
const (
	borrowSaved = 120
	borrowOwner = 256
	BorrowLen   = 288 // bytes of a block
	BorrowAlign = 16  // of its address, so that the words are aligned

	BorrowName       = "hotpatch-journal"
	BorrowNameOffset = borrowOwner // of the name in a block
)

// borrowMagic begins the owner's part.
const borrowMagic = BorrowName + "\x00"

// borrowTemplate is the code: bytes in front of a 32-bit field that holds the distance from the end of
// the instruction to a saved word.
var borrowTemplate = []struct {
	code string
	word int    // DWARF number of the saved word; -1: no field
	text string // as objdump prints it in AT&T syntax, without the operand in memory
}{
	{code: "\x0f\x05", word: -1, text: "syscall"},
	{code: "\x48\x8b\x05", word: 0, text: "mov %rax"},
	{code: "\x48\x8b\x15", word: 1, text: "mov %rdx"},
	{code: "\x48\x8b\x0d", word: 2, text: "mov %rcx"},
	{code: "\x48\x8b\x1d", word: 3, text: "mov %rbx"},
	{code: "\x48\x8b\x35", word: 4, text: "mov %rsi"},
	{code: "\x48\x8b\x3d", word: 5, text: "mov %rdi"},
	{code: "\x48\x8b\x2d", word: 6, text: "mov %rbp"},
	{code: "\x4c\x8b\x05", word: 8, text: "mov %r8"},
	{code: "\x4c\x8b\x0d", word: 9, text: "mov %r9"},
	{code: "\x4c\x8b\x15", word: 10, text: "mov %r10"},
	{code: "\x4c\x8b\x1d", word: 11, text: "mov %r11"},
	{code: "\x4c\x8b\x25", word: 12, text: "mov %r12"},
	{code: "\x4c\x8b\x2d", word: 13, text: "mov %r13"},
	{code: "\x4c\x8b\x35", word: 14, text: "mov %r14"},
	{code: "\x4c\x8b\x3d", word: 15, text: "mov %r15"},
	{code: "\xff\x25", word: borrowPC, text: "jmp *"},
}

const (
	borrowPC = 16 // DWARF number of the return address column, which stands for the pc
	borrowSP = 7  // DWARF number of rsp
)

// Borrow is what a borrow block holds besides its code.
type Borrow struct {
	Regs [borrowPC + 1]uint64 // by DWARF number; 16: the pc to go on at
	TID  uint32               // the thread that runs it
	Fill byte                 // every byte of what lay there before
}

// SP is the stack pointer that the thread had, and has all the time.
func (b *Borrow) SP() arch.Addr { return arch.Addr(b.Regs[borrowSP]) }

// Encode returns the block, of BorrowLen bytes. A thread enters it at its first byte, with a
// system call's number and arguments in its registers.
func (b *Borrow) Encode() []byte {
	out := borrowCode(make([]byte, 0, BorrowLen))
	for _, v := range b.Regs {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	out = append(out, borrowMagic...)
	out = append(out, b.Fill, 0, 0)
	out = binary.LittleEndian.AppendUint32(out, b.TID)
	return append(out, make([]byte, BorrowLen-len(out))...)
}

// borrowCode appends the code and the int3 behind it.
func borrowCode(dst []byte) []byte {
	begin := len(dst)
	for _, in := range borrowTemplate {
		dst = append(dst, in.code...)
		if in.word < 0 {
			continue
		}
		end := len(dst) - begin + 4
		dst = binary.LittleEndian.AppendUint32(dst, uint32(borrowSaved+8*in.word-end))
	}
	for len(dst)-begin < borrowSaved {
		dst = append(dst, 0xcc)
	}
	return dst
}

// RecognizeBorrow decodes a block as Encode emits it.
func RecognizeBorrow(block []byte) (b Borrow, ok bool) {
	if len(block) != BorrowLen || !bytes.Equal(block[:borrowSaved], borrowCode(nil)) ||
		string(block[borrowOwner:][:len(borrowMagic)]) != borrowMagic {
		return Borrow{}, false
	}
	for i := range b.Regs {
		b.Regs[i] = binary.LittleEndian.Uint64(block[borrowSaved+8*i:])
	}
	owner := block[borrowOwner+len(borrowMagic):]
	b.TID, b.Fill = binary.LittleEndian.Uint32(owner[3:]), owner[0]
	return b, bytes.Equal(block, b.Encode()) // the rest is zero
}

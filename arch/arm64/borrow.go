package arm64

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
)

// A borrow block lets a thread make system calls and go on where it was by itself. But for its last branch it is
// position-independent:
//
//	  0  code    svc #0; ldr x0, saved ...; ldr x30, saved; b pc; brk #0
//	136  saved   33 words by DWARF number: x0 ... x30, sp, pc; those of sp and pc are not loaded
//	400  owner   name, fill, thread: what lay there before, and whose it is
//	432
//
// The name ends with a zero byte. It tells a block from other bytes, and is also there for memfd_create(2), so that
// no other memory is needed to pass it.
//
// The code never changes sp, memory or the flags (svc saves and restores PSTATE), and touches no vector register. No general
// register is free where a thread may be stopped: the linker may change x16 and x17 only at calls between functions (AAPCS64,
// 6.1.1), and a system call keeps all but x0. So the way back cannot be a branch to a register. It is a `b`, and the block must lie
// within its reach of the saved pc: [Borrow.Encode] refuses any other address.
//
// A thread enters the block by its pc, with PSTATE.BTYPE clear: svc is no landing pad. A `b` clears BTYPE; a thread that was
// stopped between an indirect branch and its landing pad finds the pad, which any BTYPE may pass.
//
// A system call sets what SVE has beyond the 128 bits of v0 to v31 to zero (Linux, Documentation/arch/arm64/sve.rst, "System
// call behaviour"), and leaves streaming mode. A thread that is in a system call has lost that already. Of one that is in none, and whose
// NT_ARM_SVE says that it uses SVE, a block cannot keep all; such a thread is not to be borrowed.
const (
	borrowLoads = InstLen                        // offset of ldr x0, which is behind svc
	borrowBack  = borrowLoads + InstLen*borrowSP // of b
	borrowSaved = 136
	borrowOwner = borrowSaved + 8*(borrowPC+1)
	BorrowLen   = 432 // bytes of a block
	BorrowAlign = 16  // of its address, so that the words are aligned

	BorrowName       = "hotpatch-journal"
	BorrowNameOffset = borrowOwner // of the name in a block
)

// borrowMagic begins the owner's part.
const borrowMagic = BorrowName + "\x00"

// DWARF numbers of sp and pc (aadwarf64, 4.1).
const (
	borrowSP = 31
	borrowPC = 32
)

// Words of the block's code (Arm ARM, C6.2).
const (
	wordSVC    = 0xd4000001 // svc #0
	wordLDRLit = 0x58000000 // ldr x0, here
	wordBRK    = 0xd4200000 // brk #0
)

// Borrow is what a borrow block holds besides its code.
type Borrow struct {
	Regs [borrowPC + 1]uint64 // by DWARF number: x0 to x30, sp, the pc to go on at
	TID  uint32               // the thread that runs it
	Fill byte                 // every byte of what lay there before
}

// SP is the stack pointer that the thread had, and has all the time.
func (b *Borrow) SP() arch.Addr { return arch.Addr(b.Regs[borrowSP]) }

// PC is where the thread goes on.
func (b *Borrow) PC() arch.Addr { return arch.Addr(b.Regs[borrowPC]) }

// Encode returns the block, of BorrowLen bytes, for address at. A thread enters it at its first byte, with a
// system call's number and arguments in its registers. The saved pc must be in reach of a branch from the block's code,
// which the unused end of a segment of the module in which the thread is always is, short of 128 MiB.
func (b *Borrow) Encode(at arch.Addr) ([]byte, error) {
	if at%BorrowAlign != 0 {
		return nil, fmt.Errorf("borrow block at %#x: the address is no multiple of %d", uint64(at), BorrowAlign)
	}
	back, err := encodeJump(at+borrowBack, b.PC())
	if err != nil {
		return nil, fmt.Errorf("borrow block at %#x: way back: %w", uint64(at), err)
	}
	le := binary.LittleEndian
	out := append(borrowCode(make([]byte, 0, BorrowLen)), back...)
	for len(out) < borrowSaved {
		out = le.AppendUint32(out, wordBRK)
	}
	for _, v := range b.Regs {
		out = le.AppendUint64(out, v)
	}
	out = append(out, borrowMagic...)
	out = append(out, b.Fill, 0, 0)
	out = le.AppendUint32(out, b.TID)
	return append(out, make([]byte, BorrowLen-len(out))...), nil
}

// borrowCode appends the code up to the branch back.
func borrowCode(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, wordSVC)
	for n := range borrowSP {
		distance := uint32(borrowSaved + 8*n - borrowLoads - InstLen*n)
		dst = binary.LittleEndian.AppendUint32(dst, wordLDRLit|distance/InstLen<<5|uint32(n))
	}
	return dst
}

// RecognizeBorrow decodes a block at address at as Encode emits it.
func RecognizeBorrow(at arch.Addr, block []byte) (b Borrow, ok bool) {
	if len(block) != BorrowLen || !bytes.Equal(block[:borrowBack], borrowCode(nil)) ||
		string(block[borrowOwner:][:len(borrowMagic)]) != borrowMagic {
		return Borrow{}, false
	}
	for i := range b.Regs {
		b.Regs[i] = binary.LittleEndian.Uint64(block[borrowSaved+8*i:])
	}
	owner := block[borrowOwner+len(borrowMagic):]
	b.TID, b.Fill = binary.LittleEndian.Uint32(owner[3:]), owner[0]
	same, err := b.Encode(at)
	if err != nil || !bytes.Equal(block, same) { // the branch leads to the saved pc, the rest is zero
		return Borrow{}, false
	}
	return b, true
}

package ptrace

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// Regs are the general registers of a stopped thread: struct user_pt_regs of asm/ptrace.h, which is what NT_PRSTATUS holds.
//
// At the stop of an interrupted system call that is to be restarted, the kernel has already turned them into those of a thread that is about to
// execute the svc instruction, with the call's arguments in place (do_signal in arch/arm64/kernel/signal.c). It says nowhere that the thread
// was in a call: NT_ARM_SYSTEM_CALL is -1.
type Regs struct {
	word [regWords]uint64
}

// Indices into user_pt_regs, behind x0 to x30.
const (
	regX8     = 8 // number of a system call
	regX30    = 30
	regSP     = 31
	regPC     = 32
	regPstate = 33
	regWords  = 34
)

// regSize is what NT_PRSTATUS has for a 64-bit thread, in bytes.
const regSize = regWords * 8

// requestsForRegs is how many ptrace requests a stop makes for the registers of a thread: NT_PRSTATUS and, for the thread pointer, NT_ARM_TLS.
const requestsForRegs = 2

// Fields of PSTATE (Arm ARM, C5.2.19 SPSR_EL1).
const (
	pstateAArch32 = 1 << 4     // M[4], nRW: the thread runs 32-bit code
	pstateBTYPE   = 0b11 << 10 // kind of the indirect branch that has just been taken
)

// Register sets beside NT_PRSTATUS (linux/elf.h).
const (
	ntTLS        = 0x401 // NT_ARM_TLS: the thread pointer
	ntSystemCall = 0x404 // NT_ARM_SYSTEM_CALL: number of the call that the thread is in, 4 bytes; -1: none
	ntSVE        = 0x405 // NT_ARM_SVE
	ntPACMask    = 0x406 // NT_ARM_PAC_MASK
	ntSSVE       = 0x40b // NT_ARM_SSVE: the same in streaming mode
)

// noSyscall is NO_SYSCALL of asm/ptrace.h.
const noSyscall = -1

// DWARF returns the register with DWARF number i (aadwarf64, 4.1): x0 to x30, sp (31), pc (32); false if it is not a general register.
func (r *Regs) DWARF(i int) (uint64, bool) {
	if i < 0 || i > regPC {
		return 0, false
	}
	return r.word[i], true
}

// NumDWARF is the number of registers that [Regs.DWARF] knows, from 0 upwards.
func (r *Regs) NumDWARF() int { return regPC + 1 }

// PC is the address of the next instruction: the svc itself of a system call that is going to be restarted.
func (r *Regs) PC() arch.Addr { return arch.Addr(r.word[regPC]) }

// SP is the stack pointer.
func (r *Regs) SP() arch.Addr { return arch.Addr(r.word[regSP]) }

// Arg returns argument i (0-5) of a system call that is about to be made. Argument 0 is lost once the call has a result.
func (r *Regs) Arg(i int) uint64 { return r.word[i] }

// Result is the result register.
func (r *Regs) Result() int64 { return int64(r.word[0]) }

// setResult changes what [Regs.Result] returns.
func (r *Regs) setResult(v int64) { r.word[0] = uint64(v) }

// setArg replaces argument i.
func (r *Regs) setArg(i int, v uint64) { r.word[i] = v }

// inCall reports whether the thread is known to be in a system call: that is never known.
func (r *Regs) inCall() bool { return false }

// callNR is the number of the system call that the thread makes if its next instruction is svc, or has made if the one before is.
func (r *Regs) callNR() int { return int(int32(r.word[regX8])) }

// call turns the registers into those of a thread that is about to execute the svc instruction at pc, which is no landing pad of an indirect
// branch.
func (r *Regs) call(pc arch.Addr, nr uintptr, args [6]uint64) {
	r.word[regPC] = uint64(pc)
	r.word[regX8] = uint64(nr)
	r.word[regPstate] &^= pstateBTYPE
	for i, a := range args {
		r.setArg(i, a)
	}
}

// unattended returns what the kernel makes of the registers of a stopped thread when it lets the thread go on without a signal: it has made it
// already, but for calls that go on by a restart block, of which [tracer.keepRestart] takes care.
func (r *Regs) unattended() Regs { return *r }

// native reports whether the thread runs 64-bit code.
func (r *Regs) native() bool { return r.word[regPstate]&pstateAArch32 == 0 }

// syscallInst is the instruction that enters the kernel: svc #0 (Arm ARM, C6.2).
var syscallInst = []byte{0x01, 0x00, 0x00, 0xd4}

// threadPointer reads tpidr_el0 of a stopped thread; zero if it has been killed.
func threadPointer(t *tracee) arch.Addr {
	var b [8]byte
	if _, e := regsetBytes(unix.PTRACE_GETREGSET, t.tid, ntTLS, b[:]); e != 0 {
		return 0
	}
	return arch.Addr(binary.LittleEndian.Uint64(b[:]))
}

// hasPAC: whether there are processors of the architecture that sign addresses.
const hasPAC = true

// readPACMasks reads struct user_pac_mask of a stopped thread.
func readPACMasks(tid int) (PACMasks, syscall.Errno) {
	var b [16]byte
	_, e := regsetBytes(unix.PTRACE_GETREGSET, tid, ntPACMask, b[:])
	if e == unix.EINVAL { // neither the processor nor the kernel has authentication codes
		return PACMasks{}, 0
	}
	return PACMasks{Data: binary.LittleEndian.Uint64(b[:]), Code: binary.LittleEndian.Uint64(b[8:])}, e
}

// sveHeaderLen is the length of struct user_sve_header: size, max_size (4 bytes each), vl (the bytes of a vector), max_vl, flags (2 bytes each).
const sveHeaderLen = 16

// Fields of struct user_sve_header.
const (
	sveVL    = 8
	sveFlags = 12
	sveRegs  = 1 // SVE_PT_REGS_SVE in flags: the set holds whole vectors
)

// readVG reads from NT_ARM_SVE how many 64-bit words a scalable vector of a stopped thread has. In SME's streaming mode vectors have another length,
// and a frame that was set up before that the one from then: nothing is told.
func readVG(tid int) (uint64, bool) {
	var sve, ssve [sveHeaderLen]byte
	n, e := regsetBytes(unix.PTRACE_GETREGSET, tid, ntSVE, sve[:])
	if e != 0 || n != len(sve) {
		return 0, false
	}
	if n, e := regsetBytes(unix.PTRACE_GETREGSET, tid, ntSSVE, ssve[:]); e == 0 && (n != len(ssve) || ssve[sveFlags]&sveRegs != 0) {
		return 0, false
	}
	return uint64(binary.LittleEndian.Uint16(sve[sveVL:])) / 8, true
}

// setSyscall changes the number of the call that a stopped thread is in.
func setSyscall(tid, nr int) syscall.Errno {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(nr))
	_, e := regsetBytes(unix.PTRACE_SETREGSET, tid, ntSystemCall, b[:])
	return e
}

// skipCall makes a thread that is stopped at the entry of a system call leave it at once, without its being made.
func skipCall(tid int, _ *Regs) syscall.Errno { return setSyscall(tid, noSyscall) }

// leaveCall makes the kernel forget that a thread which is stopped at the exit of a system call has made it. Otherwise it would take x0 of the
// thread's own registers for the result of that call, and go back by one instruction if that is one to restart a call for. It looks at w0 only
// (retval in do_signal, arch/arm64/kernel/signal.c), and a mask like ^uint32(511) is one.
func leaveCall(tid int, own *Regs) syscall.Errno {
	switch -int32(own.Result()) {
	case eRestartSys, eRestartNoIntr, eRestartNoHand, eRestartResblock:
		return setSyscall(tid, noSyscall)
	}
	return 0
}

// loseInCall says what a system call would take from a stopped thread that is in none; "" if nothing. A call sets what SVE has beyond the 128
// bits of v0 to v31 to zero, and leaves streaming mode (Documentation/arch/arm64/sve.rst and sme.rst, "System call behaviour"). They are never
// written here, so such a thread is left alone until it makes a call itself.
func loseInCall(tid int) string {
	for _, set := range [...]struct {
		note int
		name string
	}{{ntSVE, "SVE"}, {ntSSVE, "SME"}} {
		var b [sveHeaderLen]byte
		n, e := regsetBytes(unix.PTRACE_GETREGSET, tid, set.note, b[:])
		switch {
		case e == unix.EINVAL || e == unix.EIO || e == unix.ENODEV:
			continue // the processor has none
		case e != 0:
			return fmt.Sprintf("its %s state cannot be read: %v", set.name, e)
		case n == len(b) && b[sveFlags]&sveRegs != 0:
			return "has " + set.name + " registers in use, which a system call does not keep"
		}
	}
	return ""
}

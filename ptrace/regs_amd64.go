package ptrace

import (
	"syscall"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// Regs are the general registers of a stopped thread: struct user_regs_struct of
// sys/user.h, which is also what NT_PRSTATUS holds.
type Regs struct {
	word [regWords]uint64
}

// Indices into user_regs_struct.
const (
	regR15 = iota
	regR14
	regR13
	regR12
	regRBP
	regRBX
	regR11
	regR10
	regR9
	regR8
	regRAX
	regRCX
	regRDX
	regRSI
	regRDI
	regOrigRAX
	regRIP
	regCS
	regEflags
	regRSP
	regSS
	regFSBase
	regGSBase
	regDS
	regES
	regFS
	regGS
	regWords
)

// regSize is what NT_PRSTATUS has for a 64-bit thread, in bytes.
const regSize = regWords * 8

// codeSegment64 is __USER_CS, the code segment of a 64-bit thread (asm/segment.h).
const codeSegment64 = 0x33

// dwarfRegs are the registers by DWARF number (System V ABI, x86-64 supplement, figure
// 3.36). Number 16 is the return address column, which holds the pc.
var dwarfRegs = [...]uint8{
	regRAX, regRDX, regRCX, regRBX, regRSI, regRDI, regRBP, regRSP,
	regR8, regR9, regR10, regR11, regR12, regR13, regR14, regR15, regRIP,
}

// DWARF returns the register with DWARF number i; false if it is not a general register.
func (r *Regs) DWARF(i int) (uint64, bool) {
	if i < 0 || i >= len(dwarfRegs) {
		return 0, false
	}
	return r.word[dwarfRegs[i]], true
}

// NumDWARF is the number of registers that [Regs.DWARF] knows, from 0 upwards.
func (r *Regs) NumDWARF() int { return len(dwarfRegs) }

// PC is the address of the next instruction. In a system call it lies behind the
// syscall instruction, also if the call is going to be restarted.
func (r *Regs) PC() arch.Addr { return arch.Addr(r.word[regRIP]) }

// SP is the stack pointer.
func (r *Regs) SP() arch.Addr { return arch.Addr(r.word[regRSP]) }

// Syscall returns the number of the system call that the thread is in; false if it is
// in none (orig_rax is negative).
func (r *Regs) Syscall() (nr int, ok bool) {
	v := int64(r.word[regOrigRAX])
	return int(v), v >= 0
}

// inCall reports whether the thread is known to be in a system call.
func (r *Regs) inCall() bool {
	_, in := r.Syscall()
	return in
}

// Arg returns argument i (0-5) of the system call.
func (r *Regs) Arg(i int) uint64 {
	return r.word[[...]uint8{regRDI, regRSI, regRDX, regR10, regR8, regR9}[i]]
}

// Result is the result register; for a system call that was interrupted a negative errno, which may be
// one of the kernel's own (-ERESTARTSYS and others).
func (r *Regs) Result() int64 { return int64(r.word[regRAX]) }

// setResult changes what [Regs.Result] returns.
func (r *Regs) setResult(v int64) { r.word[regRAX] = uint64(v) }

// setArg replaces argument i.
func (r *Regs) setArg(i int, v uint64) {
	r.word[[...]uint8{regRDI, regRSI, regRDX, regR10, regR8, regR9}[i]] = v
}

// call turns the registers into those of a thread that is about to execute the
// syscall instruction at pc. orig_rax of -1 says that it is in no system call, so the kernel
// restarts none.
func (r *Regs) call(pc arch.Addr, nr uintptr, args [6]uint64) {
	r.word[regRIP] = uint64(pc)
	r.word[regRAX] = uint64(nr)
	r.word[regOrigRAX] = ^uint64(0)
	for i, a := range args {
		r.setArg(i, a)
	}
}

// unattended returns what the kernel makes of the registers of a stopped thread when it lets the thread go on without
// a signal (arch_do_signal_or_restart in arch/x86/kernel/signal.c): a call that is to be restarted is
// made again from its instruction, or goes on through its restart block.
func (r *Regs) unattended() Regs {
	out := *r
	if nr, in := r.Syscall(); in {
		switch -r.Result() {
		case eRestartSys, eRestartNoIntr, eRestartNoHand:
			out.word[regRAX] = uint64(nr)
			out.word[regRIP] -= uint64(len(syscallInst))
		case eRestartResblock:
			out.word[regRAX] = unix.SYS_RESTART_SYSCALL
			out.word[regRIP] -= uint64(len(syscallInst))
		}
	}
	out.word[regOrigRAX] = ^uint64(0)
	return out
}

// native reports whether the thread runs 64-bit code.
func (r *Regs) native() bool { return r.word[regCS] == codeSegment64 }

// syscallInst is the instruction that enters the kernel: syscall (AMD64 manual volume 3).
var syscallInst = []byte{0x0f, 0x05}

// threadPointer is fs_base of a stopped thread.
func threadPointer(t *tracee) arch.Addr { return arch.Addr(t.regs.word[regFSBase]) }

// hasPAC: whether there are processors of the architecture that sign addresses.
const hasPAC = false

// readPACMasks: there are no authentication codes on x86-64.
func readPACMasks(int) (PACMasks, syscall.Errno) { return PACMasks{}, 0 }

// readVG: there are no scalable vectors on x86-64.
func readVG(int) (uint64, bool) { return 0, false }

// skipCall makes a thread that is stopped at the entry of a system call leave it at once, without its being made: regs say that it is in
// none.
func skipCall(tid int, regs *Regs) syscall.Errno {
	_, e := regset(unix.PTRACE_SETREGSET, tid, regs)
	return e
}

// leaveCall makes the kernel forget that a thread which is stopped at the exit of a system call has made it: its own registers say so.
func leaveCall(int, *Regs) syscall.Errno { return 0 }

// loseInCall says what a system call would take from a stopped thread that is in none: nothing but rcx and r11.
func loseInCall(int) string { return "" }

//go:build linux && arm64

package unwind_test

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
	"hotpatch/ptrace/unwind/cfi"
)

// native is the architecture of the machine that the tests run on.
var native = arm64.Arch

// trap is an instruction that stops a tracee (brk #0), and how far behind it the tracee stops.
var trap = struct {
	code  []byte
	moves arch.Addr
}{code: []byte{0x00, 0x00, 0x20, 0xd4}}

// Register sets (include/uapi/linux/elf.h).
const (
	ntPRStatus   = 1
	ntARMTLS     = 0x401
	ntARMPACMask = 0x406
)

// userRegs are the registers of a stopped thread.
type userRegs struct{ unix.PtraceRegsArm64 }

func (tr *tracee) regs() (r userRegs) {
	if err := unix.PtraceGetRegSetArm64(tr.pid, ntPRStatus, &r.PtraceRegsArm64); err != nil {
		tr.t.Fatal(err)
	}
	return r
}

func (tr *tracee) setRegs(r *userRegs) {
	if err := unix.PtraceSetRegSetArm64(tr.pid, ntPRStatus, &r.PtraceRegsArm64); err != nil {
		tr.t.Fatal(err)
	}
}

func (r *userRegs) pc() arch.Addr      { return arch.Addr(r.Pc) }
func (r *userRegs) sp() arch.Addr      { return arch.Addr(r.Sp) }
func (r *userRegs) setPC(pc arch.Addr) { r.Pc = uint64(pc) }

// dwarf numbers registers as AADWARF64 4.1 does.
func (r *userRegs) dwarf() cfi.Regs {
	var d cfi.Regs
	for n, v := range r.Regs {
		d.Set(n, v)
	}
	d.Set(native.DWARF.SP, r.Sp)
	d.Set(native.DWARF.PC, r.Pc)
	return d
}

// threadPointer returns TPIDR_EL0. The kernel gives as much of a register set as there is; the rest of the buffer stays.
func (tr *tracee) threadPointer() arch.Addr {
	var set unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tr.pid, ntARMTLS, &set); err != nil {
		tr.t.Fatal(err)
	}
	return arch.Addr(set.Regs[0])
}

// pacMask returns which bits of a return address are a signature; without PAC there is no such register set.
func (tr *tracee) pacMask() uint64 {
	var set unix.PtraceRegsArm64 // data_mask, insn_mask
	err := unix.PtraceGetRegSetArm64(tr.pid, ntARMPACMask, &set)
	if err != nil && err != unix.EINVAL && err != unix.ENODEV {
		tr.t.Fatal(err)
	}
	return set.Regs[1]
}

// maxExclusive bounds the instructions between a load-exclusive and its store (Arm ARM, B2.10.5 asks for far fewer).
const maxExclusive = 32

// behindExclusive returns where control leaves what stands between a load-exclusive at pc and its store; nil if there is none.
func (s *stepper) behindExclusive(pc arch.Addr) []arch.Addr {
	if _, known := s.insts[pc]; known && !s.exclusive[pc] || !isExclusive(s.word32(pc), true) {
		return nil
	}
	s.exclusive[pc] = true
	var out []arch.Addr
	for at := pc + 4; at < pc+4*maxExclusive; at += 4 {
		in := s.inst(at)
		switch {
		case isExclusive(s.word32(at), false):
			return append(out, at+4)
		case in.Flow == arch.FlowNext:
		case in.Flow == arch.FlowBranch:
			if to := at + arch.Addr(in.Target); to != pc {
				out = append(out, to)
			}
		default:
			s.t.Fatalf("no store for the load-exclusive at %#x in front of %#x", pc, at)
		}
	}
	s.t.Fatalf("no store for the load-exclusive at %#x", pc)
	return nil
}

// isExclusive reports whether an instruction is an exclusive load, or store (Arm ARM, C4.1.93 "Load/store exclusive register" and "pair").
func isExclusive(w uint32, load bool) bool {
	l := uint32(0)
	if load {
		l = 1 << 22
	}
	return w&0x3fe00000 == 0x08000000|l || w&0xbfe00000 == 0x88200000|l
}

// word32 reads an instruction.
func (s *stepper) word32(a arch.Addr) uint32 {
	var b [4]byte
	if err := s.ReadMem(b[:], a); err != nil {
		s.t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(b[:])
}

// called returns the call that has just been made, with the registers behind it: the return address is in x30.
func (tr *tracee) called(r *userRegs) call { return call{pc: arch.Addr(r.Regs[30]), cfa: r.sp()} }

// left reports whether the step from one state to another returns from c.
func (c *call) left(_ arch.Flow, _, to *userRegs) bool { return c.cfa == to.sp() && c.pc == to.pc() }

// Amounts for the single-step test: how many instructions it must go through in total, and how many end a program that does not
// come to its end.
const (
	minSteps = 15_000
	maxSteps = 60_000

	compareAll = false // the guest is emulated
	clockSteps = 50    // steps in the vDSO, after which it is left to run
)

// startIsTold says that crt1.o's call frame information has no caller for _start from its first instruction on. It does from the second.
const startIsTold = false

// bare are functions of crti.o that have no call frame information in Debian's glibc 2.36, and of hand64.c. A walk must end there, and say so.
var bare = []string{"_init", "_fini", "call_weak_fn", "bare", "hidden", "shared", "veneer.moved"}

// stepTests are the programs of the single-step test.
var stepTests = []stepTest{
	{name: "calls O2 signed", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-mbranch-protection=standard"}},
	{name: "signals O2 signed", cc: "gcc", source: "signals.c", output: "signals 147\n", flags: []string{"-O2", "-mbranch-protection=standard"}},
	{name: "hand O2 signed", cc: "gcc", source: "hand64.c", output: "hand 1079\n", flags: []string{"-O2", "-mbranch-protection=standard"}, extent: short},
	{name: "hand O0 static", cc: "gcc", source: "hand64.c", output: "hand 1079\n", flags: []string{"-O0", "-static"}, extent: short},
	{name: "calls O0", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O0"}, extent: short},
	{name: "calls O2 static signed", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-static", "-mbranch-protection=pac-ret+leaf+b-key"}, extent: short},
	{name: "calls clang", cc: "clang", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-Wno-unknown-attributes"}, extent: short, inexact: true},
	{name: "calls clang O0 signed", cc: "clang", source: "calls.c", output: "calls 616\n",
		flags: []string{"-O0", "-Wno-unknown-attributes", "-mbranch-protection=standard"}, extent: short, inexact: true},
	{name: "signals clang Oz outlined", cc: "clang", source: "signals.c", output: "signals 147\n",
		flags: []string{"-Oz", "-moutline", "-Wno-unknown-attributes"}, extent: fromMain, inexact: true},
	{name: "calls musl", cc: "musl-gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2"}, extent: short},
}

// threadFlags are the ways in which the program of the test of threads is compiled.
var threadFlags = [][]string{
	{"-O2", "-mbranch-protection=standard", "-pthread"},
	{"-O0", "-pthread"},
	{"-static", "-O2", "-mbranch-protection=standard", "-pthread"},
}

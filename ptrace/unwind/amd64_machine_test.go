//go:build linux && amd64

package unwind_test

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/x86"
	"hotpatch/ptrace/unwind/cfi"
)

// native is the architecture of the machine that the tests run on.
var native = x86.Arch

// trap is an instruction that stops a tracee, and how far behind it the tracee stops.
var trap = struct {
	code  []byte
	moves arch.Addr
}{code: []byte{0xcc}, moves: 1}

// userRegs are the registers of a stopped thread.
type userRegs struct{ unix.PtraceRegs }

func (tr *tracee) regs() (r userRegs) {
	if err := unix.PtraceGetRegs(tr.pid, &r.PtraceRegs); err != nil {
		tr.t.Fatal(err)
	}
	return r
}

func (tr *tracee) setRegs(r *userRegs) {
	if err := unix.PtraceSetRegs(tr.pid, &r.PtraceRegs); err != nil {
		tr.t.Fatal(err)
	}
}

func (r *userRegs) pc() arch.Addr      { return arch.Addr(r.Rip) }
func (r *userRegs) sp() arch.Addr      { return arch.Addr(r.Rsp) }
func (r *userRegs) setPC(pc arch.Addr) { r.Rip = uint64(pc) }

// dwarf numbers registers as System V ABI, x86-64 supplement, figure 3.36 does.
func (r *userRegs) dwarf() cfi.Regs {
	var d cfi.Regs
	for n, v := range []uint64{r.Rax, r.Rdx, r.Rcx, r.Rbx, r.Rsi, r.Rdi, r.Rbp, r.Rsp,
		r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, r.Rip} {
		d.Set(n, v)
	}
	return d
}

// threadPointer returns the base of the segment fs.
func (tr *tracee) threadPointer() arch.Addr {
	r := tr.regs()
	return arch.Addr(r.Fs_base)
}

// pacMask is for machines that sign return addresses.
func (tr *tracee) pacMask() uint64 { return 0 }

// behindExclusive is for machines that have exclusive access.
func (s *stepper) behindExclusive(arch.Addr) []arch.Addr { return nil }

// called returns the call that has just been made, with the registers behind it: the return address lies on the stack.
func (tr *tracee) called(r *userRegs) call {
	return call{pc: arch.Addr(tr.word(r.sp())), cfa: r.sp() + 8}
}

// left reports whether the step from one state to another returns from c. A return takes the address from c's slot, whatever it is
// by now (a thunk overwrites that of a call that it made itself); an indirect jump goes to an address that was taken off the stack
// first.
func (c *call) left(flow arch.Flow, from, to *userRegs) bool {
	if flow == arch.FlowReturn {
		return c.cfa-8 == from.sp()
	}
	return c.cfa-8 < to.sp() && c.pc == to.pc()
}

// Amounts for the single-step test: how many instructions it must go through in total, and how many end a program that does not
// come to its end.
const (
	minSteps = 100_000
	maxSteps = 200_000

	compareAll = true
	clockSteps = maxSteps // steps in the vDSO, after which it is left to run
)

// startIsTold says that crt1.o's call frame information has no caller for _start from its first instruction on.
const startIsTold = true

// bare are functions of crt1.o, crti.o and crtbegin.o that have no call frame
// information in Debian's gcc 12. A walk must end there, and say so.
var bare = []string{"_init", "_fini", "deregister_tm_clones", "register_tm_clones", "__do_global_dtors_aux", "frame_dummy"}

// stepTests are the programs of the single-step test.
var stepTests = []stepTest{
	{name: "calls O0", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O0", "-fcf-protection=none"}},
	{name: "calls O1", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O1", "-fcf-protection=full"}},
	{name: "calls O2", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-fcf-protection=full"}},
	{name: "calls O2 without endbr64", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-fcf-protection=none"}},
	{name: "calls O3", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O3", "-fcf-protection=none"}},
	{name: "calls with frame pointer", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-fno-omit-frame-pointer", "-mno-red-zone"}},
	{name: "calls through thunks", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-fcf-protection=none", "-mindirect-branch=thunk"}},
	{name: "calls static", cc: "gcc", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-static"}, bare: ".plt"}, // stubs of IFUNCs
	{name: "calls clang", cc: "clang", source: "calls.c", output: "calls 616\n", flags: []string{"-O2", "-Wno-unknown-attributes"}},
	{name: "signals O0", cc: "gcc", source: "signals.c", output: "signals 147\n", flags: []string{"-O0", "-fcf-protection=full"}},
	{name: "signals O2", cc: "gcc", source: "signals.c", output: "signals 147\n", flags: []string{"-O2", "-fcf-protection=none"}},
	{name: "throws O2", cc: "g++", source: "throws.cc", output: "throws 11\n", flags: []string{"-O2", "-fcf-protection=full"}, extent: fromMain},
	{name: "hand O2", cc: "gcc", source: "hand.c", output: "hand 312\n", flags: []string{"-O2", "-fcf-protection=full"}},
	{name: "hand O1", cc: "gcc", source: "hand.c", output: "hand 312\n", flags: []string{"-O1", "-fcf-protection=none"}},
}

// threadFlags are the ways in which the program of the test of threads is compiled.
var threadFlags = [][]string{
	{"-O2", "-fcf-protection=none", "-pthread"},
	{"-O0", "-fcf-protection=full", "-pthread"},
}

// word reads 8 bytes of the tracee.
func (tr *tracee) word(a arch.Addr) uint64 {
	tr.t.Helper()
	var b [8]byte
	if err := tr.ReadMem(b[:], a); err != nil {
		tr.t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

//go:build linux && amd64

package effects

import (
	"encoding/binary"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/x86"
)

// machine is the architecture that is tested.
var machine = x86.Arch

// state is what a thread's registers hold: the general ones and the xmm registers, by bit of an arch.RegSet.
type state struct {
	regs syscall.PtraceRegs
	fp   [maxXState]byte // as XSAVE writes it; SDM volume 1, 13.4
	n    int             // bytes of it
}

// Offsets in an XSAVE area: of the xmm registers, and of the bits that say which parts are not in their initial state.
const (
	xmmAt     = 160
	xstateAt  = 512
	maxXState = 12 << 10
)

// gpr returns the place of general register n as it is encoded in instructions.
func (x *state) gpr(n int) *uint64 {
	r := &x.regs
	return [...]*uint64{&r.Rax, &r.Rcx, &r.Rdx, &r.Rbx, &r.Rsp, &r.Rbp, &r.Rsi, &r.Rdi,
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}[n]
}

// Numbers of registers: 16 general ones, then 16 xmm ones.
const (
	numGPR  = 16
	numRegs = 32
	regSP   = 4
)

func (x *state) value(n int) [2]uint64 {
	if n < numGPR {
		return [2]uint64{*x.gpr(n)}
	}
	at := xmmAt + 16*(n-numGPR)
	return [2]uint64{binary.LittleEndian.Uint64(x.fp[at:]), binary.LittleEndian.Uint64(x.fp[at+8:])}
}

// flip changes all bits of a register, or all but those of its lowest byte (vector registers: element).
func (x *state) flip(n int, spare bool) {
	if n < numGPR {
		mask := ^uint64(0)
		if spare {
			mask <<= 8
		}
		*x.gpr(n) ^= mask
		return
	}
	x.fp[xstateAt] |= 2 // the xmm registers are in use
	at, first := xmmAt+16*(n-numGPR), 0
	if spare {
		first = 8
	}
	for i := first; i < 16; i++ {
		x.fp[at+i] ^= 0xff
	}
}

func (x *state) pc() uint64 { return x.regs.Rip }

// flags returns the status flags.
func (x *state) flags() uint64 { return x.regs.Eflags & 0xfff }

// copyTo copies a state into another place.
func (x *state) copyTo(to *state) {
	to.regs, to.n = x.regs, x.n
	copy(to.fp[:x.n], x.fp[:x.n])
}

const ntX86XState = 0x202 // NT_X86_XSTATE of linux/elf.h

func (s *stepper) get(x *state) {
	if err := syscall.PtraceGetRegs(s.pid, &x.regs); err != nil {
		s.t.Fatal(err)
	}
	x.n = s.regset(unix.PTRACE_GETREGSET, ntX86XState, x.fp[:])
}

func (s *stepper) set(x *state) {
	if err := syscall.PtraceSetRegs(s.pid, &x.regs); err != nil {
		s.t.Fatal(err)
	}
	s.regset(unix.PTRACE_SETREGSET, ntX86XState, x.fp[:x.n])
}

// repeatable reports whether an instruction may be executed again with other registers: it writes no memory, which in the disassembly is the
// last operand, and gives the same every time.
func repeatable(code []byte, in *arch.Inst, text string) bool {
	name, ops, _ := strings.Cut(text, " ")
	if in.Flow != arch.FlowNext && in.Flow != arch.FlowBranch || code[0] == 0xf2 && code[1] < 0x40 || code[0] == 0xf3 && code[1]&0xfe == 0xa4 {
		return false
	}
	for _, p := range []string{"rd", "xgetbv", "cpuid", "push", "pop", "leave", "rep", "stos", "movs ", "lods", "scas", "cmps", "xchg", "lock", "(bad)", "xsave", "xrstor", "fx", "enter",
		"movsb", "movsw", "movsq", "lea ", "div", "idiv"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	last := ops[strings.LastIndexByte(ops, ',')+1:]
	if i := strings.LastIndexByte(ops, '('); i >= 0 && !strings.Contains(ops[i:], "),") {
		return false // the last operand is memory
	}
	return !strings.ContainsAny(last, "(")
}

// together returns which registers are changed at a time: each alone.
func together(regs arch.RegSet) (sets []arch.RegSet) {
	for n := range numRegs {
		if regs.Has(n) {
			sets = append(sets, 1<<n)
		}
	}
	return sets
}

// moved would execute the instruction elsewhere. A jump covers several instructions here: the tests of ptrace/inject execute them.
func (s *stepper) moved([]byte, string, *state, *state) {}

// stopsOf returns how often a thread stops when it executes an instruction step by step.
func stopsOf([]byte) int { return 1 }

// undefinedFlags reports whether some flags are undefined after an instruction (SDM volume 1, appendix A), so that they may be anything.
func undefinedFlags(text string) bool {
	for _, p := range []string{"mul", "imul", "sh", "sa", "ro", "rc", "bsf", "bsr", "bt", "and", "or", "xor", "test", "tzcnt", "lzcnt", "popcnt", "blsr", "bzhi"} {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// programs are executed beside the test's own.
var programs = [][]string{
	{"/bin/ls", "-l", "/usr"},
	{"awk", "BEGIN { for (i = 0; i < 300; i++) s += sqrt(i) * sin(i) / 3; print s, 2^0.5, substr(\"abc\", 2) }"},
	{"bash", "-c", "for i in 1 2 3; do echo $((i * 7 % 5)) >/dev/null; done"},
}

// effort is how many steps are made of a program, and what the test demands.
var effort = struct{ program, own, tried, trials, moves int }{program: 60_000, own: 150_000, tried: 3000, trials: 50_000}

//go:build linux && amd64

package effects

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/x86"
	"hotpatch/internal/victim"
)

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
func (s *state) gpr(n int) *uint64 {
	r := &s.regs
	return [...]*uint64{&r.Rax, &r.Rcx, &r.Rdx, &r.Rbx, &r.Rsp, &r.Rbp, &r.Rsi, &r.Rdi,
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}[n]
}

// Numbers of registers: 16 general ones, then 16 xmm ones.
const (
	numGPR  = 16
	numRegs = 32
	regSP   = 4
)

func (s *state) value(n int) [2]uint64 {
	if n < numGPR {
		return [2]uint64{*s.gpr(n)}
	}
	at := xmmAt + 16*(n-numGPR)
	return [2]uint64{binary.LittleEndian.Uint64(s.fp[at:]), binary.LittleEndian.Uint64(s.fp[at+8:])}
}

// flip changes all bits of a register, or all but those of its lowest byte (vector registers: element).
func (s *state) flip(n int, spare bool) {
	if n < numGPR {
		mask := ^uint64(0)
		if spare {
			mask <<= 8
		}
		*s.gpr(n) ^= mask
		return
	}
	s.fp[xstateAt] |= 2 // the xmm registers are in use
	at, first := xmmAt+16*(n-numGPR), 0
	if spare {
		first = 8
	}
	for i := first; i < 16; i++ {
		s.fp[at+i] ^= 0xff
	}
}

// stepper executes a program step by step.
type stepper struct {
	t       *testing.T
	pid     int
	tried   map[string]bool // instructions that were tried with other registers
	unknown map[string]int  // instructions of which nothing is known
	trials  int
	in, out state
}

// copyTo copies a state into another place.
func (x *state) copyTo(to *state) {
	to.regs, to.n = x.regs, x.n
	copy(to.fp[:x.n], x.fp[:x.n])
}

// step executes one instruction; false: the program has ended, or met a signal.
func (s *stepper) step() bool {
	if err := syscall.PtraceSingleStep(s.pid); err != nil {
		s.t.Fatal(err)
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(s.pid, &ws, 0, nil); err != nil {
		s.t.Fatal(err)
	}
	return ws.Stopped() && ws.StopSignal() == syscall.SIGTRAP
}

// run executes at most n steps of a program and checks what each does against what is known of the instruction.
func (s *stepper) run(n int, path string, args ...string) (done int) {
	runtime.LockOSThread() // ptrace belongs to a thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(s.pid, &ws, 0, nil); err != nil || !ws.Stopped() {
		s.t.Fatalf("%s: %v", path, err)
	}
	before, after := new(state), new(state)
	s.get(before)
	for ; done < n && !s.t.Failed(); done++ {
		var code [24]byte
		k, _ := unix.ProcessVMReadv(s.pid, []unix.Iovec{{Base: &code[0], Len: uint64(len(code))}},
			[]unix.RemoteIovec{{Base: uintptr(before.regs.Rip), Len: len(code)}}, 0)
		if !s.step() {
			return done
		}
		s.get(after)
		s.check(code[:max(k, 0)], before, after)
		before, after = after, before
	}
	return done
}

// check compares an executed instruction with what is known of it.
func (s *stepper) check(code []byte, before, after *state) {
	in, err := x86.Arch.Decode(code)
	if err != nil {
		return // the vDSO's last page, perhaps
	}
	code = code[:in.Len]
	text := x86.Arch.Text(code, before.regs.Rip, nil)
	x, ok := x86.Arch.Effects(code, &in)
	if !ok {
		s.unknown[strings.Fields(text)[0]]++
		return
	}
	if odd := (x.Kill | x.Byte).Minus(x.Write) | (x.Low | x.Saved).Minus(x.Read) | x.Kill&x.Byte; odd != 0 {
		s.t.Errorf("% x  %s: %+v contradicts itself", code, text, x)
	}
	for n := range numRegs {
		if before.value(n) != after.value(n) && !x.Write.Has(n) {
			s.t.Errorf("% x  %s: writes %s", code, text, x86.Arch.Call.Names[n])
		}
	}
	if key := string(code); !s.tried[key] && repeatable(code, &in, text) {
		s.tried[key] = true
		s.vary(code, text, &x, before, after)
	}
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

// vary executes an instruction again, each time with one register changed that does not matter to it.
func (s *stepper) vary(code []byte, text string, x *arch.Effects, before, after *state) {
	in, out := &s.in, &s.out
	for n := range numRegs {
		spare := x.Low.Has(n)
		if n == regSP || x.Read.Has(n) && !spare {
			continue
		}
		before.copyTo(in)
		in.flip(n, spare)
		changed := in.value(n)
		s.set(in)
		if !s.step() {
			s.t.Fatalf("% x  %s: another %s gives a signal", code, text, x86.Arch.Call.Names[n])
		}
		s.get(out)
		s.trials++
		name := x86.Arch.Call.Names[n]
		if out.regs.Rip != after.regs.Rip || (out.regs.Eflags^after.regs.Eflags)&0xfff != 0 && !undefinedFlags(text) {
			s.t.Errorf("% x  %s: %s matters to the flags, or to where it goes", code, text, name)
		}
		for k := range numRegs {
			got, want := out.value(k), after.value(k)
			switch {
			case k != n:
				if got != want {
					s.t.Errorf("% x  %s: %s matters to %s", code, text, name, x86.Arch.Call.Names[k])
				}
			case x.Kill.Has(n) && got != want:
				s.t.Errorf("% x  %s: keeps a part of %s", code, text, name)
			case x.Byte.Has(n) && got[0]&0xff != want[0]&0xff:
				s.t.Errorf("% x  %s: keeps the lowest byte of %s", code, text, name)
			case !x.Write.Has(n) && got != changed:
				s.t.Errorf("% x  %s: writes %s", code, text, name)
			}
		}
	}
	s.set(after)
}

// undefinedFlags reports whether some flags are undefined after an instruction (SDM volume 1, appendix A), so that they may be anything.
func undefinedFlags(text string) bool {
	for _, p := range []string{"mul", "imul", "sh", "sa", "ro", "rc", "bsf", "bsr", "bt", "and", "or", "xor", "test", "tzcnt", "lzcnt", "popcnt", "blsr", "bzhi"} {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// TestEffectsOfRealCode executes programs step by step. No register may change that is not said to be written; an instruction that is executed
// again with another value in a register that is not said to be read must do the same, and where all of a register is said to be replaced, nothing
// of the other value may be left.
func TestEffectsOfRealCode(t *testing.T) {
	s := &stepper{t: t, tried: make(map[string]bool), unknown: make(map[string]int)}
	own := victim.Build(t, "gcc", []string{"effects/mixed.c"}, "-O2", "-lm")
	total := 0
	for _, c := range []struct {
		steps int
		args  []string
	}{
		{60_000, []string{"/bin/ls", "-l", "/usr"}},
		{60_000, []string{"awk", "BEGIN { for (i = 0; i < 300; i++) s += sqrt(i) * sin(i) / 3; print s, 2^0.5, substr(\"abc\", 2) }"}},
		{60_000, []string{"bash", "-c", "for i in 1 2 3; do echo $((i * 7 % 5)) >/dev/null; done"}},
		{150_000, []string{own}},
	} {
		total += s.run(c.steps, c.args[0], c.args[1:]...)
	}
	var names []string
	for n, k := range s.unknown {
		names = append(names, fmt.Sprintf("%s %d", n, k))
	}
	sort.Strings(names)
	t.Logf("%d steps, %d different instructions varied %d times; not known: %s", total, len(s.tried), s.trials, strings.Join(names, ", "))
	if len(s.tried) < 3000 || s.trials < 50_000 {
		t.Error("that is too little to prove anything")
	}
	for _, r := range []arch.RegSet{x86.Arch.Call.Args, x86.Arch.Call.Result, x86.Arch.Call.Count} {
		if r.Minus(x86.Arch.Call.Scratch) != 0 || bits.OnesCount64(uint64(r)) == 0 {
			t.Errorf("convention: %#x", r)
		}
	}
}

//go:build linux && (amd64 || arm64)

package effects

import (
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
	"hotpatch/internal/victim"
)

// stepper executes a program step by step.
type stepper struct {
	t       *testing.T
	cmd     *exec.Cmd
	pid     int
	tried   map[string]bool // instructions that were tried with other registers
	unknown map[string]int  // instructions of which nothing is known
	trials  int
	unmoved map[string]int // why instructions were not executed elsewhere
	moves   int
	in, out state
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

// newStepper returns a stepper that executes nothing yet.
func newStepper(t *testing.T) *stepper {
	return &stepper{t: t, tried: make(map[string]bool), unknown: make(map[string]int), unmoved: make(map[string]int)}
}

// start starts a program, which stops at its first instruction. ptrace belongs to a thread: the goroutine keeps its own until end.
func (s *stepper) start(path string, args ...string) {
	runtime.LockOSThread()
	s.cmd = exec.Command(path, args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.pid = s.cmd.Process.Pid
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(s.pid, &ws, 0, nil); err != nil || !ws.Stopped() {
		s.end()
		s.t.Fatalf("%s: %v", path, err)
	}
}

// end ends the program.
func (s *stepper) end() {
	s.cmd.Process.Kill()
	s.cmd.Wait() // the error is that it was killed
	runtime.UnlockOSThread()
}

// run executes at most n steps of a program and checks what each does against what is known of the instruction.
func (s *stepper) run(n int, path string, args ...string) (done int) {
	s.start(path, args...)
	defer s.end()
	before, after := new(state), new(state)
	s.get(before)
	for ; done < n && !s.t.Failed(); done++ {
		var code [24]byte
		k, _ := unix.ProcessVMReadv(s.pid, []unix.Iovec{{Base: &code[0], Len: uint64(len(code))}},
			[]unix.RemoteIovec{{Base: uintptr(before.pc()), Len: len(code)}}, 0)
		for stops := 1; stops <= stopsOf(code[:max(k, 0)]); stops++ {
			if !s.step() {
				return done
			}
		}
		s.get(after)
		s.check(code[:max(k, 0)], before, after)
		before, after = after, before
	}
	return done
}

// check compares an executed instruction with what is known of it.
func (s *stepper) check(code []byte, before, after *state) {
	in, err := machine.Decode(code)
	if err != nil {
		return // the vDSO's last page, perhaps
	}
	code = code[:in.Len]
	text := machine.Text(code, before.pc(), nil)
	x, ok := machine.Effects(code, &in)
	if !ok {
		s.unknown[strings.Fields(text)[0]]++
		return
	}
	if odd := (x.Kill | x.Byte).Minus(x.Write) | (x.Low | x.Saved).Minus(x.Read) | x.Kill&x.Byte; odd != 0 {
		s.t.Errorf("% x  %s: %+v contradicts itself", code, text, x)
	}
	for n := range numRegs {
		if before.value(n) != after.value(n) && !x.Write.Has(n) {
			s.t.Errorf("% x  %s: writes %s", code, text, machine.Call.Names[n])
		}
	}
	if key := string(code); !s.tried[key] && repeatable(code, &in, text) {
		s.tried[key] = true
		s.vary(code, text, &x, before, after)
		s.moved(code, text, before, after)
	}
}

// vary executes an instruction again, each time with registers changed that do not matter to it.
func (s *stepper) vary(code []byte, text string, x *arch.Effects, before, after *state) {
	free := (^x.Read | x.Low).Minus(1 << regSP)
	for _, set := range together(free) {
		s.varySet(code, text, x, set, before, after)
	}
	s.set(after)
}

// varySet is vary with the registers of one set changed: in all of their bits, or all but those of the lowest byte that is read.
func (s *stepper) varySet(code []byte, text string, x *arch.Effects, set arch.RegSet, before, after *state) {
	in, out := &s.in, &s.out
	before.copyTo(in)
	for n := range numRegs {
		if set.Has(n) {
			in.flip(n, x.Low.Has(n))
		}
	}
	names := set.Names(&machine.Call)
	s.set(in)
	if !s.step() {
		s.t.Fatalf("% x  %s: other values in %s give a signal", code, text, names)
	}
	s.get(out)
	s.trials++
	if out.pc() != after.pc() || out.flags() != after.flags() && !undefinedFlags(text) {
		s.t.Errorf("% x  %s: %s matters to the flags, or to where it goes", code, text, names)
	}
	for k := range numRegs {
		got, want, name := out.value(k), after.value(k), machine.Call.Names[k]
		switch {
		case !set.Has(k):
			if got != want {
				s.t.Errorf("% x  %s: %s matters to %s", code, text, names, name)
			}
		case x.Kill.Has(k) && got != want:
			s.t.Errorf("% x  %s: keeps a part of %s", code, text, name)
		case x.Byte.Has(k) && got[0]&0xff != want[0]&0xff:
			s.t.Errorf("% x  %s: keeps the lowest byte of %s", code, text, name)
		case !x.Write.Has(k) && got != in.value(k):
			s.t.Errorf("% x  %s: writes %s", code, text, name)
		}
	}
}

// TestEffectsOfRealCode executes programs step by step. No register may change that is not said to be written; an instruction that is executed
// again with another value in a register that is not said to be read must do the same, and where all of a register is said to be replaced, nothing
// of the other value may be left.
func TestEffectsOfRealCode(t *testing.T) {
	s := newStepper(t)
	own := victim.Build(t, "gcc", []string{"effects/mixed.c"}, "-O2", "-lm")
	total := s.run(effort.own, own)
	for _, args := range programs {
		total += s.run(effort.program, args[0], args[1:]...)
	}
	t.Logf("%d steps, %d different instructions varied %d times; not known: %s", total, len(s.tried), s.trials, counts(s.unknown))
	t.Logf("%d executed elsewhere; not: %s", s.moves, counts(s.unmoved))
	if len(s.tried) < effort.tried || s.trials < effort.trials || s.moves < effort.moves {
		t.Error("that is too little to prove anything")
	}
	for _, r := range []arch.RegSet{machine.Call.Args, machine.Call.Result} {
		if r.Minus(machine.Call.Scratch) != 0 || bits.OnesCount64(uint64(r)) == 0 {
			t.Errorf("convention: %#x", r)
		}
	}
}

// counts lists what was counted.
func counts(m map[string]int) string {
	var names []string
	for n, k := range m {
		names = append(names, fmt.Sprintf("%s %d", n, k))
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

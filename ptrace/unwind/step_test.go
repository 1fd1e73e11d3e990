//go:build linux

package unwind_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/unwind"
)

// call is an entry of the stack that is kept by counting.
type call struct {
	pc     arch.Addr // where control will return to
	cfa    arch.Addr // the stack pointer in front of the call; signal: the interrupted one
	signal bool      // pc was interrupted, not calling
}

// stepTest is a program of the single-step test.
type stepTest struct {
	name, cc, source, output string
	flags                    []string
	bare                     string // a section without call frame information
	extent                   extent
	inexact                  bool // call frame information says nothing of prologues and epilogues
}

// stepper single-steps one program and compares.
type stepper struct {
	*tracee
	space   *unwind.Space
	images  map[string]image
	stack   unwind.Stack
	bare    []unwind.Range
	thunks  []unwind.Range
	untold  []unwind.Range // functions whose call frame information is wrong
	own     []unwind.Range // where a short run looks
	inexact bool           // see stepTest
	outer   int            // frames that called main, where the run began there: they are not counted
	main    bool           // the run began at main
	open    bool           // what called main has no call frame information (musl)
	clock   int            // steps in the vDSO

	exclusive map[arch.Addr]bool // known instructions that begin exclusive access
	seen      map[state]bool
	entered   arch.Addr     // the function that was called by the last step; 0: none was
	visits    map[visit]int // calls by the dynamic linker
	within    bool          // a target jumped into a thunk, which will jump back
	insts     map[arch.Addr]arch.Inst
	calls     []call
	targets   []unwind.Target
	checker   *unwind.Checker
	count     stepCount
}

// stepCount is what a run saw.
type stepCount struct {
	steps, compared, bare, active, scan, cfi, doubt, signals int
	deepest                                                  int
	why                                                      map[string]int // reasons for doubts
}

func (c *stepCount) add(d stepCount) {
	c.steps += d.steps
	c.compared += d.compared
	c.bare += d.bare
	c.active += d.active
	c.scan += d.scan
	c.cfi += d.cfi
	c.doubt += d.doubt
	c.signals += d.signals
	c.deepest = max(c.deepest, d.deepest)
}

func TestSingleStep(t *testing.T) {
	var total stepCount
	all := true // no program was left out by -run
	for _, tt := range stepTests {
		ran := false
		t.Run(tt.name, func(t *testing.T) {
			path := victim.Build(t, tt.cc, []string{"unwind/" + tt.source}, append(slices.Clone(tt.flags), "-Wl,-z,lazy")...)
			var out bytes.Buffer
			// The output is copied by a goroutine, which newStepper waits for when the test ends: before this.
			t.Cleanup(func() {
				if out.String() != tt.output {
					t.Errorf("output %q, want %q: stepping changed the program", out.String(), tt.output)
				}
			})
			s := newStepper(t, path, &out)
			if r, ok := s.images[path].sections[tt.bare]; ok {
				s.bare = append(s.bare, r)
			}
			s.inexact = tt.inexact
			if tt.extent != whole {
				s.shorten(s.images[path], &tt)
			}
			s.run()
			c := s.count
			t.Logf("%d instructions, %d compared, %d without CFI, deepest %d, %d signals; active %d, idle by scan %d, by CFI %d, doubtful %d %v",
				c.steps, c.compared, c.bare, c.deepest, c.signals, c.active, c.scan, c.cfi, c.doubt, c.why)
			if strings.HasPrefix(tt.name, "signals") != (c.signals > 0) || c.active == 0 || c.scan == 0 {
				t.Errorf("the run did not show what it is for")
			}
			if tt.inexact {
				c.doubt = 0 // they are to be expected
			}
			total.add(c)
			ran = true
		})
		all = all && ran
	}
	if total.steps < minSteps && all {
		t.Errorf("%d instructions in total, want at least %d", total.steps, minSteps)
	}
	if total.cfi == 0 && all || total.doubt*50 > total.steps {
		t.Errorf("of %d threads that are idle, %d were shown by scan, %d by CFI, %d were doubtful: want some by CFI, and less than 2 %% doubtful",
			total.steps-total.active, total.scan, total.cfi, total.doubt)
	}
}

func newStepper(t *testing.T, path string, out *bytes.Buffer) *stepper {
	t.Helper()
	s := &stepper{tracee: startTracee(t, path, out), insts: make(map[arch.Addr]arch.Inst),
		seen: make(map[state]bool), visits: make(map[visit]int), exclusive: make(map[arch.Addr]bool)}
	s.count.why = make(map[string]int)
	s.space, s.images, s.stack = s.tracee.space()
	s.space.PACMask = s.pacMask()
	im := s.images[path]
	for _, name := range bare {
		if sym, ok := im.syms[name]; ok {
			s.bare = append(s.bare, im.upToNext(sym))
		}
	}
	for name, sym := range im.syms {
		if strings.HasPrefix(name, "__x86_indirect_thunk") {
			s.thunks = append(s.thunks, im.upToNext(sym))
		}
		if slices.Contains(untold, name) {
			s.untold = append(s.untold, im.upToNext(sym))
		}
	}
	for i := range s.space.Modules {
		if m := &s.space.Modules[i]; strings.HasPrefix(filepath.Base(m.Name), "libgcc_s.so") {
			s.untold = append(s.untold, m.Range)
		}
	}
	sym, ok := im.syms["replaced"]
	if !ok {
		t.Fatal("no function replaced")
	}
	s.targets = []unwind.Target{s.target(im, "replaced", sym.Value, sym.Size)}
	for name, sym := range im.syms {
		if strings.HasPrefix(name, "replaced.") {
			part := s.target(im, name, sym.Value, sym.Size)
			part.Entries = nil
			s.targets = append(s.targets, part)
		}
	}
	if err := s.space.FindVeneers(s.targets, s.tracee); err != nil {
		t.Fatal(err)
	}
	s.checker = unwind.NewChecker(s.space, s.targets)
	return s
}

// landingLen returns how long the landing pad is that code begins with, if the architecture has such.
func landingLen(code []byte) int {
	if native.Jump.Landing == nil {
		return 0
	}
	return native.Jump.Landing(code)
}

// target makes a target of a function.
func (s *stepper) target(im image, name string, value, size uint64) unwind.Target {
	start := arch.ImageAddr(value).In(im.bias)
	code := make([]byte, 16)
	if err := s.ReadMem(code, start); err != nil {
		s.t.Fatal(err)
	}
	return unwind.Target{
		Range:   unwind.Range{Start: start, End: start + arch.Addr(size)},
		Name:    name,
		Entries: []arch.Addr{start, start + arch.Addr(landingLen(code))},
	}
}

// run steps through the program and compares at every instruction.
func (s *stepper) run() {
	s.t.Helper()
	regs := s.regs()
	signal := 0
	for s.count.steps < maxSteps && !s.t.Failed() {
		if signal == 0 {
			if (s.count.steps > 0 || startIsTold) && !s.inLibrary(regs.pc()) && s.isNew(&regs) {
				s.compare(&regs)
			}
			s.count.steps++
		}
		// The vDSO reads the clock again if it ticked meanwhile, which it always does under emulation.
		if signal == 0 && (s.inClock(regs.pc()) || s.isKnown(regs.pc()) || s.inLibrary(regs.pc())) {
			if !s.returned() {
				return
			}
			regs = s.regs()
			continue
		}
		if s.main && len(s.calls) == 0 {
			s.finish()
			return
		}
		if ends := s.behindExclusive(regs.pc()); ends != nil && signal == 0 {
			// Exclusive access is lost at every stop: a loop that waits for it would never end.
			s.runTo(ends...)
			regs = s.regs()
			continue
		}
		s.step(signal)
		ws := s.wait()
		if ws.Exited() {
			return
		}
		if !ws.Stopped() {
			s.t.Fatalf("step at %#x: %v", regs.pc(), ws)
		}
		next := s.regs()
		switch {
		case signal != 0:
			// The kernel has set up the handler's frame.
			s.calls = append(s.calls, call{pc: regs.pc(), cfa: regs.sp(), signal: true}, s.called(&next))
			s.count.signals++
			signal = 0
		case ws.StopSignal() != unix.SIGTRAP:
			// The signal stops the tracee before it is delivered; a system call that
			// raised it is done, a faulting instruction is not.
			signal = int(ws.StopSignal())
			if next.pc() != regs.pc() {
				s.account(&regs, &next)
			}
		default:
			s.account(&regs, &next)
		}
		regs = next
	}
}

// state is what a comparison is about: the place, and the innermost calls that led there.
type state struct {
	pc     arch.Addr
	calls  [1]arch.Addr
	active bool
}

// isNew reports whether a state was not compared before: loops and the dynamic linker come to the same one again and again, and
// where time is short that is not looked at twice.
func (s *stepper) isNew(regs *userRegs) bool {
	if compareAll {
		s.count.compared++
		return true
	}
	st := state{pc: regs.pc(), active: s.activeByCount(regs.pc())}
	for i, c := range s.calls[max(0, len(s.calls)-len(st.calls)):] {
		st.calls[i] = c.pc
	}
	if s.seen[st] {
		return false
	}
	s.seen[st] = true
	s.count.compared++
	return true
}

// inClock reports whether the tracee has been in the vDSO for long.
func (s *stepper) inClock(pc arch.Addr) bool {
	if m := s.module(pc); m == nil || m.Name != "[vdso]" || len(s.calls) == 0 {
		s.clock = 0
		return false
	}
	s.clock++
	return s.clock > clockSteps && !s.calls[len(s.calls)-1].signal
}

// visit is a call by the dynamic linker: of which function, and whether a target has left its return addresses on the stack by then.
type visit struct {
	function arch.Addr
	stale    bool
}

// isKnown reports whether a function has just been called by the dynamic linker that it has called before. Where time is short, such are
// run through: they bind symbol after symbol, and call no target.
func (s *stepper) isKnown(pc arch.Addr) bool {
	if compareAll || s.entered != pc || len(s.calls) == 0 {
		return false
	}
	if m := s.module(s.calls[len(s.calls)-1].pc - 1); m == nil || !strings.HasPrefix(filepath.Base(m.Name), "ld-linux") {
		return false
	}
	v := visit{pc, s.count.active > 0}
	s.visits[v]++
	return s.visits[v] > 1
}

// account applies one executed instruction to the stack of calls.
func (s *stepper) account(from, to *userRegs) {
	in := s.inst(from.pc())
	s.within = s.inThunk(to.pc()) && (s.within || in.Flow == arch.FlowJump && s.inTarget(from.pc()))
	n := len(s.calls)
	s.entered = 0
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd:
		s.entered = to.pc()
		s.calls = append(s.calls, s.called(to))
		if got, want := s.calls[n].pc, from.pc()+arch.Addr(in.Len); got != want {
			s.t.Fatalf("call at %#x returns to %#x", from.pc(), got)
		}
	case arch.FlowReturn, arch.FlowJumpInd:
		if n > 0 && !s.calls[n-1].signal && s.calls[n-1].left(in.Flow, from, to) {
			s.calls = s.calls[:n-1]
		} else {
			s.landed(to)
		}
	case arch.FlowNext:
		// An exception that is about to land has left the frames below the stack pointer, in libgcc's code only.
		for runsAt(s.untold, from.pc()) && n > 0 && s.calls[n-1].cfa < to.sp() {
			n--
			s.calls = s.calls[:n]
		}
	case arch.FlowSyscall:
		// rt_sigreturn.
		if n > 0 && s.calls[n-1].signal && s.calls[n-1].cfa == to.sp() && s.calls[n-1].pc == to.pc() {
			s.calls = s.calls[:n-1]
		}
	}
}

// inst decodes the instruction at pc.
func (s *stepper) inst(pc arch.Addr) arch.Inst {
	in, ok := s.insts[pc]
	if !ok {
		code := make([]byte, native.MaxInst)
		if err := s.ReadMem(code, pc); err != nil {
			s.t.Fatal(err)
		}
		var err error
		if in, err = native.Decode(code); err != nil {
			s.t.Fatalf("instruction at %#x: %v", pc, err)
		}
		s.insts[pc] = in
	}
	return in
}

// compare compares the walked stack with the counted one, and the check's answer with
// what the counted one says.
func (s *stepper) compare(regs *userRegs) {
	s.count.deepest = max(s.count.deepest, len(s.calls))
	if s.inThunk(regs.pc()) || s.runsIn(s.untold, regs.pc()) {
		// gcc's call frame information for its thunks takes the frame of the function
		// that jumps there for given up; other code has been given a wrong one; and an exception that lands
		// overwrites the frame of libgcc's that it comes from. The check must not fall for it.
		s.compareActivity(regs)
		return
	}
	depth, last := 0, false
	d := regs.dwarf()
	var mismatch string
	err := s.space.Walk(&d, s.tracee, func(f *unwind.Frame) bool {
		if depth > 0 {
			if i := len(s.calls) - depth; i < 0 && depth > len(s.calls)+s.outer || i >= 0 && (s.calls[i].pc != f.PC || f.Return == s.calls[i].signal) {
				mismatch = fmt.Sprintf("frame %d is %#x", depth, f.PC)
				return false
			}
		}
		if i := len(s.calls) - 1 - depth; i >= 0 && f.CFA != 0 && !s.calls[i].signal && f.CFA != s.calls[i].cfa {
			mismatch = fmt.Sprintf("frame %d has CFA %#x", depth, f.CFA)
			return false
		}
		depth++
		last = f.Last
		return true
	})
	inBare := s.inBare(regs.pc())
	switch {
	case mismatch != "":
	case s.open && errors.Is(err, unwind.ErrNoCFI) && !last && depth == len(s.calls)+1+s.outer:
	case inBare && errors.Is(err, unwind.ErrNoCFI) && !last:
		s.count.bare++
	case inBare, err != nil, !last, depth != len(s.calls)+1+s.outer:
		mismatch = fmt.Sprintf("walk ends at frame %d, start reached %v, error %v", depth, last, err)
	}
	if mismatch != "" && !s.inexact {
		s.t.Fatalf("step %d, pc %#x (%s), sp %#x: %s; by counting: %s", s.count.steps, regs.pc(), s.where(regs.pc()), regs.sp(), mismatch, s.list())
	}
	s.compareActivity(regs)
}

// compareActivity checks the thread and compares with the counted stack.
func (s *stepper) compareActivity(regs *userRegs) {
	th := &unwind.Thread{TID: s.pid, Regs: regs.dwarf(), Stacks: []unwind.Stack{s.stack}}
	if sp := regs.sp(); sp < s.stack.Low || sp >= s.stack.High {
		for _, m := range s.writable {
			if m.Contains(sp) {
				th.Stacks = append(th.Stacks, unwind.Stack{Low: m.Start, High: m.End})
			}
		}
	}
	a := s.checker.Check(th, s.tracee)
	want := s.activeByCount(regs.pc())
	switch {
	case want && !a.Active:
		s.t.Fatalf("step %d, pc %#x (%s): idle by %s, but by counting it is active: %s", s.count.steps, regs.pc(), s.where(regs.pc()), a.Proven, s.list())
	case want:
		s.count.active++
	case a.Active:
		s.count.doubt++
		s.count.why[a.Why[strings.LastIndex(a.Why, ": ")+1:]]++
	case a.Proven == unwind.ByScan:
		s.count.scan++
	default:
		s.count.cfi++
	}
}

// where names a place for messages.
func (s *stepper) where(pc arch.Addr) string {
	if m := s.module(pc); m != nil {
		return fmt.Sprintf("%s+%#x", m.Name, uint64(pc-m.Bias))
	}
	return "nowhere"
}

// module returns the module that holds pc, or nil.
func (s *stepper) module(pc arch.Addr) *unwind.Module {
	for i := range s.space.Modules {
		if s.space.Modules[i].Contains(pc) {
			return &s.space.Modules[i]
		}
	}
	return nil
}

// list prints the counted stack, innermost call first.
func (s *stepper) list() string {
	var b strings.Builder
	for i := len(s.calls) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, " %#x", s.calls[i].pc)
		if s.calls[i].signal {
			b.WriteString("(signal)")
		}
	}
	return b.String()
}

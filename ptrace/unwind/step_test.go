//go:build linux && amd64

package unwind_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/x86"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/unwind"
)

// minSteps is the number of instructions that the test must go through in total.
const minSteps = 100_000

// maxSteps ends a program that does not come to its end.
const maxSteps = 200_000

// call is an entry of the stack that is kept by counting.
type call struct {
	pc     arch.Addr // where control will return to
	slot   arch.Addr // where that is stored; signal: the interrupted stack pointer
	signal bool      // pc was interrupted, not calling
}

// bare are functions of crt1.o, crti.o and crtbegin.o that have no call frame
// information in Debian's gcc 12. A walk must end there, and say so.
var bare = []string{"_init", "_fini", "deregister_tm_clones", "register_tm_clones", "__do_global_dtors_aux", "frame_dummy"}

// stepper single-steps one program and compares.
type stepper struct {
	*tracee
	space   *unwind.Space
	images  map[string]image
	stack   unwind.Stack
	bare    []unwind.Range
	thunks  []unwind.Range
	within  bool // a target jumped into a thunk, which will jump back
	insts   map[arch.Addr]arch.Inst
	calls   []call
	targets []unwind.Target
	checker *unwind.Checker
	count   stepCount
}

// stepCount is what a run saw.
type stepCount struct {
	steps, bare, active, scan, cfi, doubt, signals int
	deepest                                        int
	why                                            map[string]int // reasons for doubts
}

func (c *stepCount) add(d stepCount) {
	c.steps += d.steps
	c.bare += d.bare
	c.active += d.active
	c.scan += d.scan
	c.cfi += d.cfi
	c.doubt += d.doubt
	c.signals += d.signals
	c.deepest = max(c.deepest, d.deepest)
}

func TestSingleStep(t *testing.T) {
	tests := []struct {
		name, cc, source, output string
		flags                    []string
		bare                     string // a section without call frame information
	}{
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
		{name: "hand O2", cc: "gcc", source: "hand.c", output: "hand 312\n", flags: []string{"-O2", "-fcf-protection=full"}},
		{name: "hand O1", cc: "gcc", source: "hand.c", output: "hand 312\n", flags: []string{"-O1", "-fcf-protection=none"}},
	}
	var total stepCount
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := victim.Build(t, tt.cc, []string{"unwind/" + tt.source}, append(tt.flags, "-Wl,-z,lazy")...)
			var out bytes.Buffer
			s := newStepper(t, path, &out)
			if r, ok := s.images[path].sections[tt.bare]; ok {
				s.bare = append(s.bare, r)
			}
			s.run()
			// The output is copied by a goroutine, which ends after the program.
			t.Cleanup(func() {
				if out.String() != tt.output {
					t.Errorf("output %q, want %q: stepping changed the program", out.String(), tt.output)
				}
			})
			c := s.count
			t.Logf("%d instructions, %d without CFI, deepest %d, %d signals; active %d, idle by scan %d, by CFI %d, doubtful %d %v",
				c.steps, c.bare, c.deepest, c.signals, c.active, c.scan, c.cfi, c.doubt, c.why)
			if strings.HasPrefix(tt.name, "signals") != (c.signals > 0) || c.active == 0 || c.scan == 0 {
				t.Errorf("the run did not show what it is for")
			}
			total.add(c)
		})
	}
	if total.steps < minSteps {
		t.Errorf("%d instructions in total, want at least %d", total.steps, minSteps)
	}
	if total.cfi == 0 || total.doubt*50 > total.steps {
		t.Errorf("of %d threads that are idle, %d were shown by scan, %d by CFI, %d were doubtful: want some by CFI, and less than 2 %% doubtful",
			total.steps-total.active, total.scan, total.cfi, total.doubt)
	}
}

func newStepper(t *testing.T, path string, out *bytes.Buffer) *stepper {
	t.Helper()
	s := &stepper{tracee: startTracee(t, path, out), insts: make(map[arch.Addr]arch.Inst)}
	s.count.why = make(map[string]int)
	s.space, s.images, s.stack = s.tracee.space()
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
	s.checker = unwind.NewChecker(s.space, s.targets)
	return s
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
		Entries: []arch.Addr{start, start + arch.Addr(x86.Arch.Jump.Landing(code))},
	}
}

// run steps through the program and compares at every instruction.
func (s *stepper) run() {
	s.t.Helper()
	regs := s.regs()
	signal := 0
	for s.count.steps < maxSteps && !s.t.Failed() {
		if signal == 0 {
			s.compare(&regs)
			s.count.steps++
		}
		s.step(signal)
		ws := s.wait()
		if ws.Exited() {
			return
		}
		if !ws.Stopped() {
			s.t.Fatalf("step at %#x: %v", regs.Rip, ws)
		}
		next := s.regs()
		switch {
		case signal != 0:
			// The kernel has set up the handler's frame.
			s.calls = append(s.calls, call{pc: arch.Addr(regs.Rip), slot: arch.Addr(regs.Rsp), signal: true})
			s.push(arch.Addr(next.Rsp))
			s.count.signals++
			signal = 0
		case ws.StopSignal() != unix.SIGTRAP:
			// The signal stops the tracee before it is delivered; a system call that
			// raised it is done, a faulting instruction is not.
			signal = int(ws.StopSignal())
			if next.Rip != regs.Rip {
				s.account(&regs, &next)
			}
		default:
			s.account(&regs, &next)
		}
		regs = next
	}
}

// push adds the return address that lies at slot.
func (s *stepper) push(slot arch.Addr) {
	var b [8]byte
	if err := s.ReadMem(b[:], slot); err != nil {
		s.t.Fatal(err)
	}
	var pc uint64
	for i, v := range b {
		pc |= uint64(v) << (8 * i)
	}
	s.calls = append(s.calls, call{pc: arch.Addr(pc), slot: slot})
}

// account applies one executed instruction to the stack of calls.
func (s *stepper) account(from, to *unix.PtraceRegs) {
	in := s.inst(arch.Addr(from.Rip))
	s.within = s.inThunk(arch.Addr(to.Rip)) && (s.within || in.Flow == arch.FlowJump && s.inTarget(arch.Addr(from.Rip)))
	n := len(s.calls)
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd:
		s.push(arch.Addr(to.Rsp))
		if got, want := s.calls[n].pc, arch.Addr(from.Rip)+arch.Addr(in.Len); got != want {
			s.t.Fatalf("call at %#x pushed %#x", from.Rip, got)
		}
	case arch.FlowReturn:
		// Other returns are jumps to an address that was pushed for them; a thunk
		// overwrites the return address of a call that it made itself.
		if n > 0 && s.calls[n-1].slot == arch.Addr(from.Rsp) {
			s.calls = s.calls[:n-1]
		}
	case arch.FlowJumpInd:
		// A return whose address was taken off the stack first.
		if n > 0 && s.calls[n-1].slot < arch.Addr(to.Rsp) && s.calls[n-1].pc == arch.Addr(to.Rip) {
			s.calls = s.calls[:n-1]
		}
	case arch.FlowSyscall:
		// rt_sigreturn.
		if n > 0 && s.calls[n-1].signal && s.calls[n-1].slot == arch.Addr(to.Rsp) && s.calls[n-1].pc == arch.Addr(to.Rip) {
			s.calls = s.calls[:n-1]
		}
	}
}

// inst decodes the instruction at pc.
func (s *stepper) inst(pc arch.Addr) arch.Inst {
	in, ok := s.insts[pc]
	if !ok {
		code := make([]byte, x86.Arch.MaxInst)
		if err := s.ReadMem(code, pc); err != nil {
			s.t.Fatal(err)
		}
		var err error
		if in, err = x86.Arch.Decode(code); err != nil {
			s.t.Fatalf("instruction at %#x: %v", pc, err)
		}
		s.insts[pc] = in
	}
	return in
}

// compare compares the walked stack with the counted one, and the check's answer with
// what the counted one says.
func (s *stepper) compare(regs *unix.PtraceRegs) {
	s.count.deepest = max(s.count.deepest, len(s.calls))
	if s.inThunk(arch.Addr(regs.Rip)) {
		// gcc's call frame information for its thunks takes the frame of the function
		// that jumps there for given up. The check must not fall for it.
		s.compareActivity(regs)
		return
	}
	depth, last := 0, false
	d := dwarfRegs(regs)
	var mismatch string
	err := s.space.Walk(&d, s.tracee, func(f *unwind.Frame) bool {
		if depth > 0 {
			if i := len(s.calls) - depth; i < 0 || s.calls[i].pc != f.PC || f.Return == s.calls[i].signal {
				mismatch = fmt.Sprintf("frame %d is %#x", depth, f.PC)
				return false
			}
		}
		if i := len(s.calls) - 1 - depth; i >= 0 && f.CFA != 0 && !s.calls[i].signal && f.CFA != s.calls[i].slot+8 {
			mismatch = fmt.Sprintf("frame %d has CFA %#x", depth, f.CFA)
			return false
		}
		depth++
		last = f.Last
		return true
	})
	inBare := s.inBare(arch.Addr(regs.Rip))
	switch {
	case mismatch != "":
	case inBare && errors.Is(err, unwind.ErrNoCFI) && !last:
		s.count.bare++
	case inBare, err != nil, !last, depth != len(s.calls)+1:
		mismatch = fmt.Sprintf("walk ends at frame %d, start reached %v, error %v", depth, last, err)
	}
	if mismatch != "" {
		s.t.Fatalf("step %d, pc %#x (%s), sp %#x: %s; by counting: %s", s.count.steps, regs.Rip, s.where(arch.Addr(regs.Rip)), regs.Rsp, mismatch, s.list())
	}
	s.compareActivity(regs)
}

// compareActivity checks the thread and compares with the counted stack.
func (s *stepper) compareActivity(regs *unix.PtraceRegs) {
	th := &unwind.Thread{TID: s.pid, Regs: dwarfRegs(regs), Stacks: []unwind.Stack{s.stack}}
	if sp := arch.Addr(regs.Rsp); sp < s.stack.Low || sp >= s.stack.High {
		for _, m := range s.writable {
			if m.Contains(sp) {
				th.Stacks = append(th.Stacks, unwind.Stack{Low: m.Start, High: m.End})
			}
		}
	}
	a := s.checker.Check(th, s.tracee)
	want := s.activeByCount(arch.Addr(regs.Rip))
	switch {
	case want && !a.Active:
		s.t.Fatalf("step %d, pc %#x (%s): idle by %s, but by counting it is active: %s", s.count.steps, regs.Rip, s.where(arch.Addr(regs.Rip)), a.Proven, s.list())
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

// activeByCount reports whether a target is being executed or will be returned into.
func (s *stepper) activeByCount(pc arch.Addr) bool {
	if s.within {
		return true
	}
	for _, t := range s.targets {
		entry := func(a arch.Addr) bool { return len(t.Entries) > 0 && (a == t.Entries[0] || a == t.Entries[1]) }
		if t.Contains(pc) && !entry(pc) {
			return true
		}
		for _, c := range s.calls {
			if !c.signal && t.Contains(c.pc-1) || c.signal && t.Contains(c.pc) && !entry(c.pc) {
				return true
			}
		}
	}
	return false
}

// inThunk reports whether pc lies in a retpoline.
func (s *stepper) inThunk(pc arch.Addr) bool {
	for _, r := range s.thunks {
		if r.Contains(pc) {
			return true
		}
	}
	return false
}

// inTarget reports whether pc lies in a target.
func (s *stepper) inTarget(pc arch.Addr) bool {
	for _, t := range s.targets {
		if t.Contains(pc) {
			return true
		}
	}
	return false
}

// inBare reports whether a frame lies in code without call frame information.
func (s *stepper) inBare(pc arch.Addr) bool {
	for _, r := range s.bare {
		if r.Contains(pc) {
			return true
		}
		for _, c := range s.calls {
			if c.signal && r.Contains(c.pc) || !c.signal && r.Contains(c.pc-1) {
				return true
			}
		}
	}
	return false
}

// where names a place for messages.
func (s *stepper) where(pc arch.Addr) string {
	for _, m := range s.space.Modules {
		if m.Contains(pc) {
			return fmt.Sprintf("%s+%#x", m.Name, uint64(pc-m.Bias))
		}
	}
	return "nowhere"
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

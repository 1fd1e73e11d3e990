package unwind_test

import (
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/x86"
	"hotpatch/ptrace/unwind"
)

// fakeImage is what most tests here run in. F is the function that counts as replaced.
var fakeImage = []fn{
	{name: "start", frame: 8, last: true, body: []op{callInd, direct("main"), {code: []byte{0xf4}}}},
	{name: "main", frame: 0x38, body: []op{direct("work"), callInd, direct("F"), direct("stub"), direct("hop"), direct("thunk"), direct("bare"), ret}},
	{name: "work", frame: 0x18, body: []op{system, nop, direct("F"), ret}},
	{name: "F", frame: 0x28, body: []op{nop, direct("work"), callInd, ret}},
	{name: "hop", body: []op{jump("work")}},
	{name: "stub", body: []op{jumpSlot()}},
	{name: "bare", body: []op{landing, jumpSlot()}, bare: true},
	{name: "thunk", body: []op{jumpInd}},
	{name: "other", frame: 0x18, body: []op{nop, system, ret}},
	{name: "dies", frame: 8, body: []op{direct("other")}, cut: true},
	{name: "next", body: []op{landing, nop, ret}},
}

// mid is a frame of size bytes without anything in it, but for what words says by index.
func mid(size int, words map[int]uint64) []uint64 {
	f := make([]uint64, size/8)
	for i, w := range words {
		f[i] = w
	}
	return f
}

// join concatenates pieces of a stack.
func join(parts ...[]uint64) []uint64 {
	var all []uint64
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func u(a arch.Addr) []uint64 { return []uint64{uint64(a)} }

// checkCase is a thread and what is to be said of it.
type checkCase struct {
	name    string
	targets []string // nil: F
	pc      arch.Addr
	words   []uint64 // from sp up
	room    int      // bytes above them
	regs    map[int]uint64
	slot    arch.Addr // what the GOT slot holds
	edit    func(th *unwind.Thread)
	proven  string // "" if active
	where   string // beginning
	why     string // part; "": no doubt
}

// checkTable makes the cases of TestCheck in one process.
type checkTable struct{ *program }

// ra returns the address behind operation i of a function.
func (p checkTable) ra(f string, i int) arch.Addr { return p.after[f][i] }

// inF is a word that leads into F.
func (p checkTable) inF() uint64 { return uint64(p.ra("F", 0)) }

// fromMain is the rest of a stack from the return address behind operation i of main on,
// with words in main's frame.
func (p checkTable) fromMain(i int, words map[int]uint64) []uint64 {
	return join(u(p.ra("main", i)), mid(0x38, words), u(p.ra("start", 1)), mid(8, nil))
}

// workFrame is a frame of work without anything in it.
func workFrame() []uint64 { return mid(0x18, nil) }

// scanCases are cases that the scan decides.
func (p checkTable) scanCases() []checkCase {
	blocked := p.ra("work", 0)
	return []checkCase{
		{name: "nothing matches", pc: blocked, words: join(workFrame(), p.fromMain(0, nil)), proven: "scan"},
		{name: "nothing matches, no CFI needed", pc: 0x1234, words: mid(0x40, nil), proven: "scan"},
		{name: "pc inside", pc: p.start["F"] + 4, words: mid(0x80, nil), where: "pc"},
		{name: "pc at the entry", pc: p.start["F"], words: p.fromMain(2, nil), proven: "scan"},
		{name: "pc at the place of the jump", targets: []string{"next"}, pc: p.start["next"] + 4, words: p.fromMain(1, nil), proven: "scan"},
		{name: "pc within the bytes of the jump", targets: []string{"next"}, pc: p.start["next"] + 5, words: p.fromMain(1, nil), where: "pc"},
		{name: "pc at an entry that the function branches to", pc: p.start["F"], words: p.fromMain(2, nil),
			targets: []string{"F without entries"}, where: "pc"},
		{name: "pc behind the last byte", pc: p.end["F"], words: mid(0x80, nil), proven: "scan"},
		{name: "function pointers", pc: blocked, words: join(mid(0x18, map[int]uint64{0: uint64(p.start["F"])}), p.fromMain(0, nil)),
			regs: map[int]uint64{0: uint64(p.start["F"])}, proven: "scan"},
	}
}

// staleCases are cases of words that are stale, or seem to be.
func (p checkTable) staleCases() []checkCase {
	blocked := p.ra("work", 0)
	return []checkCase{
		{name: "return into F", pc: blocked, words: join(workFrame(), u(p.ra("F", 1)), mid(0x28, nil), p.fromMain(2, nil)), where: "frame 1"},
		{name: "call to another function", pc: p.start["hop"], words: p.fromMain(0, map[int]uint64{0: p.inF()}),
			where: "word at", why: "cannot lead to the frame below"},
		{name: "stale word in a frame", pc: blocked, words: join(workFrame(), p.fromMain(0, map[int]uint64{3: p.inF()})), proven: "cfi"},
		{name: "stale word in the red zone", pc: p.ra("work", 1), words: join(workFrame(), p.fromMain(0, nil)), proven: "cfi",
			edit: func(th *unwind.Thread) { p.mem.put(arch.Addr(th.Regs.Val[7])-128, p.inF()) }},
		{name: "word below the red zone", pc: p.ra("work", 1), words: join(workFrame(), p.fromMain(0, nil)), proven: "scan",
			edit: func(th *unwind.Thread) { p.mem.put(arch.Addr(th.Regs.Val[7])-136, p.inF()) }},
		{name: "stale register in a system call", pc: blocked, words: join(workFrame(), p.fromMain(0, nil)), regs: map[int]uint64{3: p.inF()}, proven: "cfi"},
		{name: "stale register in a plain function", pc: p.ra("other", 0), words: join(workFrame(), p.fromMain(1, nil)), regs: map[int]uint64{3: p.inF()}, proven: "cfi"},
		{name: "jump target in a thunk", pc: p.start["thunk"], words: p.fromMain(5, nil), regs: map[int]uint64{0: p.inF()},
			where: "register rax", why: "could be where its code jumps"},
	}
}

// linkCases are cases of calls that lead to the frame below, or do not.
func (p checkTable) linkCases() []checkCase {
	blocked := p.ra("work", 0)
	return []checkCase{
		{name: "call through a stub", pc: blocked, slot: p.start["work"], words: join(workFrame(), p.fromMain(3, map[int]uint64{0: p.inF()})), proven: "cfi"},
		{name: "call through a stub without CFI", pc: blocked, slot: p.start["work"], words: join(workFrame(), p.fromMain(6, map[int]uint64{0: p.inF()})), proven: "cfi"},
		{name: "call through a stub without CFI to another", pc: blocked, slot: p.start["other"], words: join(workFrame(), p.fromMain(6, map[int]uint64{0: p.inF()})),
			where: "word at", why: "cannot lead to the frame below"},
		{name: "call through a stub to another", pc: blocked, slot: p.start["other"], words: join(workFrame(), p.fromMain(3, map[int]uint64{0: p.inF()})),
			where: "word at", why: "cannot lead to the frame below"},
		{name: "call through a stub and a tail call", pc: blocked, slot: p.start["hop"], words: join(workFrame(), p.fromMain(3, map[int]uint64{0: p.inF()})), proven: "cfi"},
		{name: "tail call", pc: blocked, words: join(workFrame(), p.fromMain(4, map[int]uint64{0: p.inF()})), proven: "cfi"},
		{name: "indirect tail call", pc: blocked, words: join(workFrame(), p.fromMain(5, map[int]uint64{0: p.inF()})), proven: "cfi"},
		{name: "indirect call", pc: blocked, words: join(workFrame(), p.fromMain(1, map[int]uint64{0: p.inF()})), proven: "cfi"},
		{name: "return address within an instruction", pc: blocked, words: join(workFrame(), u(p.ra("main", 0)-1), mid(0x38, map[int]uint64{0: p.inF()}), u(p.ra("start", 1)), mid(8, nil)),
			where: "word at", why: "follow a call"},
		{name: "return address outside of the code", pc: blocked, words: join(workFrame(), []uint64{0x1234}, mid(0x38, map[int]uint64{0: p.inF()})),
			where: "word at", why: "no module holds the pc"},
		{name: "return address to data", pc: blocked, words: join(workFrame(), u(p.start["slot"]), mid(0x38, map[int]uint64{0: p.inF()})),
			where: "word at", why: "not in an executable part"},
		{name: "second return address in the frame", pc: blocked, words: join(mid(0x18, map[int]uint64{1: uint64(p.ra("F", 1))}), p.fromMain(0, nil)),
			where: "word at", why: "another return address that fits"},
	}
}

// edgeCases are cases at the edges of stacks and functions.
func (p checkTable) edgeCases() []checkCase {
	blocked := p.ra("work", 0)
	return []checkCase{
		{name: "word above the thread's start", pc: blocked, room: 0x100, words: join(workFrame(), p.fromMain(0, nil)), where: "word at", why: "outside of the frames",
			edit: func(*unwind.Thread) { p.mem.put(stackHigh-0x80, p.inF()) }},
		{name: "function ends with a call", targets: []string{"dies"}, pc: p.ra("other", 1), words: join(workFrame(), u(p.end["dies"]), mid(8, nil), p.fromMain(1, nil)),
			where: "frame 1"},
		{name: "start of the next function, pointer", targets: []string{"F"}, pc: blocked,
			words: join(mid(0x18, map[int]uint64{0: uint64(p.end["F"])}), p.fromMain(0, nil)), proven: "scan"},
		{name: "stack pointer elsewhere", pc: blocked, words: workFrame(), why: "outside of the thread's known stacks",
			edit: func(th *unwind.Thread) { th.Regs.Set(7, altLow+0x100) }},
		{name: "misaligned stack pointer", pc: blocked, words: workFrame(), why: "misaligned",
			edit: func(th *unwind.Thread) { th.Regs.Val[7]++ }},
		{name: "unreadable stack", pc: blocked, words: workFrame(), why: "cannot be read: not mapped",
			edit: func(th *unwind.Thread) { th.Stacks[0].High += 0x1000 }},
		{name: "no registers", pc: blocked, words: workFrame(), why: "not known", edit: func(th *unwind.Thread) { th.Regs.Has = 0 }},
	}
}

func TestCheck(t *testing.T) {
	p := checkTable{newProgram(t, fakeImage)}
	for _, tt := range slices.Concat(p.scanCases(), p.staleCases(), p.linkCases(), p.edgeCases()) {
		t.Run(tt.name, func(t *testing.T) {
			clear(p.mem.segs[2].data)
			th := p.thread(tt.pc, tt.room, tt.words...)
			for n, v := range tt.regs {
				th.Regs.Set(n, v)
			}
			p.mem.put(p.start["slot"], uint64(tt.slot))
			if tt.edit != nil {
				tt.edit(th)
			}
			names := tt.targets
			if names == nil {
				names = []string{"F"}
			}
			var targets []unwind.Target
			for _, n := range names {
				n, bare := strings.CutSuffix(n, " without entries")
				g := p.target(n)
				if bare {
					g.Entries = nil
				}
				targets = append(targets, g)
			}
			a := unwind.NewChecker(p.space, targets).Check(th, p.mem)
			if a.Active != (tt.proven == "") || a.Proven != tt.proven {
				t.Fatalf("Check = active %v, proven %q, %s: %s; want proven %q", a.Active, a.Proven, a.Where, a.Why, tt.proven)
			}
			if !strings.HasPrefix(a.Where, tt.where) || !strings.Contains(a.Why, tt.why) || tt.why == "" && a.Why != "" {
				t.Errorf("Check: where %q, why %q; want %q and %q", a.Where, a.Why, tt.where, tt.why)
			}
			if a.Active && tt.where != "" && a.Target != 0 {
				t.Errorf("target %d, want 0", a.Target)
			}
			if a.Active != (len(a.Frames) > 0) {
				t.Errorf("%d frames, active %v", len(a.Frames), a.Active)
			}
		})
	}
}

// TestCheckOtherStack checks threads that run on another stack than their own.
func TestCheckOtherStack(t *testing.T) {
	p := newProgram(t, fakeImage)
	inF := uint64(p.after["F"][0])
	put := func(at arch.Addr, words ...uint64) {
		for i, w := range words {
			p.mem.put(at+arch.Addr(8*i), w)
		}
	}
	tests := []struct {
		name   string
		setup  func(sp arch.Addr)
		proven string
		why    string
	}{
		{name: "nothing matches", setup: func(arch.Addr) {}, proven: "scan"},
		{name: "word on the own stack", setup: func(arch.Addr) { put(stackHigh-0x100, inF) }, why: "another stack than the thread's own"},
		{name: "word deep on the own stack", setup: func(arch.Addr) { put(stackLow, inF) }, why: "another stack than the thread's own"},
		{name: "word below sp on the other stack", setup: func(arch.Addr) { put(altLow, inF) }, why: "another stack than the thread's own"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clear(p.mem.segs[2].data)
			clear(p.mem.segs[3].data)
			// A context of its own, with a walk that seems complete.
			sp := arch.Addr(altLow + 0x1000)
			put(sp, join(mid(0x18, nil), u(p.after["main"][0]), mid(0x38, nil), u(p.after["start"][1]), mid(8, nil))...)
			tt.setup(sp)
			th := p.thread(p.after["work"][0], 0)
			th.Regs.Set(x86.Arch.DWARF.SP, uint64(sp))
			th.Stacks = append(th.Stacks, unwind.Stack{Low: altLow, High: altHigh})
			a := unwind.NewChecker(p.space, []unwind.Target{p.target("F")}).Check(th, p.mem)
			if a.Proven != tt.proven || !strings.Contains(a.Why, tt.why) {
				t.Errorf("Check = %+v, want proven %q, why %q", a, tt.proven, tt.why)
			}
		})
	}
}

// TestTargets checks that results refer to the caller's order, and that overlapping and
// adjacent targets all count.
func TestTargets(t *testing.T) {
	p := newProgram(t, fakeImage)
	whole := p.target("F")
	part := unwind.Target{Range: unwind.Range{Start: whole.Start + 8, End: whole.End - 1}, Name: "part"}
	targets := []unwind.Target{p.target("next"), p.target("dies"), {Name: "empty"}, whole, part}
	c := unwind.NewChecker(p.space, targets)
	for _, tt := range []struct {
		name    string
		pc      arch.Addr
		targets []int // any of these; none: idle
	}{
		{name: "first part of F", pc: whole.Start + 4, targets: []int{3}},
		{name: "both", pc: whole.Start + 9, targets: []int{3, 4}},
		{name: "entry of next, behind dies", pc: p.start["next"]},
		{name: "in next", pc: p.start["next"] + 5, targets: []int{0}},
		{name: "in dies", pc: p.start["dies"] + 4, targets: []int{1}},
		{name: "nowhere", pc: p.start["main"]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := c.Check(p.thread(tt.pc, 0, 0, 0, 0), p.mem)
			ok := !a.Active && len(tt.targets) == 0
			for _, w := range tt.targets {
				ok = ok || a.Active && a.Target == w
			}
			if !ok {
				t.Errorf("Check = active %v, target %d; want one of %v", a.Active, a.Target, tt.targets)
			}
		})
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	p := newProgram(t, fakeImage)
	th := p.thread(0x1234, 0x1000)
	c := unwind.NewChecker(p.space, []unwind.Target{p.target("F")})
	if n := testing.AllocsPerRun(100, func() {
		if a := c.Check(th, p.mem); a.Proven != unwind.ByScan {
			t.Fatalf("Check = %+v", a)
		}
	}); n != 0 {
		t.Errorf("Check of an idle thread allocates %v times", n)
	}
}

func TestWalk(t *testing.T) {
	p := newProgram(t, fakeImage)
	th := p.thread(p.after["work"][0], 0, join(mid(0x18, nil), u(p.after["F"][1]), mid(0x28, nil),
		u(p.after["main"][2]), mid(0x38, nil), u(p.after["start"][1]), mid(8, nil))...)
	var got []arch.Addr
	if err := p.space.Walk(&th.Regs, p.mem, func(f *unwind.Frame) bool {
		got = append(got, f.PC)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	want := []arch.Addr{p.after["work"][0], p.after["F"][1], p.after["main"][2], p.after["start"][1]}
	if len(got) != len(want) {
		t.Fatalf("Walk visits %#x, want %#x", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("frame %d is %#x, want %#x", i, got[i], want[i])
		}
	}
	n := 0
	if err := p.space.Walk(&th.Regs, p.mem, func(*unwind.Frame) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("Walk that is told to end visits %d frames, error %v", n, err)
	}
}

// BenchmarkCheckIdle scans a stack of 4 KiB with the usual mixture of small numbers,
// stack addresses and addresses in the image.
func BenchmarkCheckIdle(b *testing.B) {
	p := newProgram(b, fakeImage)
	words := make([]uint64, 512)
	for i := range words {
		switch i % 4 {
		case 0:
			words[i] = stackHigh - uint64(i)
		case 1:
			words[i] = uint64(p.start["main"]) + uint64(i%8)
		}
	}
	th := p.thread(p.after["work"][0], 0, words...)
	var targets []unwind.Target
	for _, n := range []string{"F", "other", "next"} {
		targets = append(targets, p.target(n))
	}
	c := unwind.NewChecker(p.space, targets)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		if a := c.Check(th, p.mem); a.Active {
			b.Fatalf("%+v", a)
		}
	}
}

// BenchmarkCheckStale dismisses one word by a walk of three frames.
func BenchmarkCheckStale(b *testing.B) {
	p := newProgram(b, fakeImage)
	th := p.thread(p.after["work"][0], 0, join(mid(0x18, nil), u(p.after["main"][0]), mid(0x38, map[int]uint64{3: uint64(p.after["F"][0])}),
		u(p.after["start"][1]), mid(8, nil))...)
	c := unwind.NewChecker(p.space, []unwind.Target{p.target("F")})
	b.ReportAllocs()
	for b.Loop() {
		if a := c.Check(th, p.mem); a.Proven != unwind.ByCFI {
			b.Fatalf("%+v", a)
		}
	}
}

// BenchmarkWalk walks four frames.
func BenchmarkWalk(b *testing.B) {
	p := newProgram(b, fakeImage)
	th := p.thread(p.after["work"][0], 0, join(mid(0x18, nil), u(p.after["F"][1]), mid(0x28, nil),
		u(p.after["main"][2]), mid(0x38, nil), u(p.after["start"][1]), mid(8, nil))...)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.space.Walk(&th.Regs, p.mem, func(*unwind.Frame) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}

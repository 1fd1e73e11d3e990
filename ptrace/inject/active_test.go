package inject

import (
	"slices"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/arch/x86"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
)

// TestTrueEntries finds entries that the function itself, or another target, branches to.
func TestTrueEntries(t *testing.T) {
	const base = 0x1000
	pad := []byte{0xf3, 0x0f, 0x1e, 0xfa} // endbr64
	for _, c := range []struct {
		name    string
		code    []byte
		entries []arch.Addr // offsets
		want    int
	}{
		{name: "straight", code: []byte{0x48, 0xff, 0xc7, 0xc3}, want: 1},                           // inc %rdi; ret
		{name: "loop", code: []byte{0x48, 0xff, 0xc7, 0x75, 0xfb, 0xc3}},                            // inc %rdi; jne .-3; ret
		{name: "later loop", code: []byte{0x90, 0x48, 0xff, 0xc7, 0x75, 0xfb, 0xc3}, want: 1},       // nop; inc %rdi; jne .-3; ret
		{name: "recursion", code: []byte{0xe8, 0xfb, 0xff, 0xff, 0xff, 0xc3}, want: 1},              // call .; ret
		{name: "indirect", code: []byte{0x48, 0xff, 0xc7, 0xff, 0xe0}},                              // inc %rdi; jmp *%rax
		{name: "not decoded", code: []byte{0x48, 0xff, 0xc7, 0x06}},                                 // inc %rdi; an opcode that does not exist
		{name: "to the pad", code: append(pad, 0xff, 0xc7, 0x75, 0xf8), entries: []arch.Addr{0, 4}}, // endbr64; inc %edi; jne 0
		{name: "behind the pad", code: append(pad, 0xff, 0xc7, 0x75, 0xfc), entries: []arch.Addr{0, 4}, want: 1},
	} {
		mem := &fakeMemory{base: base, data: c.code}
		tg := target{placedRange: placedRange{"f", base, uint64(len(c.code))}}
		for _, e := range append([]arch.Addr{}, c.entries...) {
			tg.entries = append(tg.entries, base+e)
		}
		if c.entries == nil {
			tg.entries = []arch.Addr{base}
		}
		got, err := trueEntries(x86.Arch, mem, []target{tg})
		if err != nil || len(got[0]) != c.want {
			t.Errorf("%s: %#x, %v; want %d", c.name, got, err, c.want)
		}
	}
	two := []byte{0x48, 0xff, 0xc7, 0xeb, 0x01, 0x90, 0xc3, 0x90} // inc %rdi; jmp second; nop; second: ret; nop
	mem := &fakeMemory{base: base, data: two}
	got, err := trueEntries(x86.Arch, mem, []target{
		{placedRange: placedRange{"first", base, 6}, entries: []arch.Addr{base}},
		{placedRange: placedRange{"second", base + 6, 2}, entries: []arch.Addr{base + 6}},
	})
	if err != nil || len(got[0]) != 1 || len(got[1]) != 0 {
		t.Errorf("tail call between two targets: %#x, %v; want the first one's", got, err)
	}
}

// TestStacksOf says which parts of which mappings are scanned, and which of them is the thread's own.
func TestStacksOf(t *testing.T) {
	table := spanTable{main: 2}
	if err := func() error {
		table.spans = make([]span, 0, 4)
		return table.fill([]byte("10000-20000 rw-p 0 0:0 0\n30000-40000 rw-p 0 0:0 0\n50000-60000 rw-p 0 0:0 0 [stack]\n60000-70000 r--p 0 0:0 0\n"))
	}(); err != nil {
		t.Fatal(err)
	}
	stack := func(low, high arch.Addr, own bool) unwind.Stack { return unwind.Stack{Low: low, High: high, Own: own} }
	for _, c := range []struct {
		name   string
		sp, tp arch.Addr
		first  bool
		want   []unwind.Stack
	}{
		{name: "main thread", sp: 0x58000, tp: 0x38000, first: true, want: []unwind.Stack{stack(0x50000, 0x60000, true)}},
		{name: "main thread elsewhere", sp: 0x38000, first: true, want: []unwind.Stack{stack(0x50000, 0x60000, true), stack(0x30000, 0x40000, false)}},
		{name: "tp above", sp: 0x18000, tp: 0x1f000, want: []unwind.Stack{stack(0x10000, 0x1f000, true)}},
		{name: "tp unaligned", sp: 0x18000, tp: 0x1f001, want: []unwind.Stack{stack(0x10000, 0x1f008, true)}},
		{name: "tp below", sp: 0x18000, tp: 0x11000, want: []unwind.Stack{stack(0x10000, 0x10ff8, true), stack(0x10ff8, 0x20000, false)}},
		{name: "at tp", sp: 0x18000, tp: 0x18000, want: []unwind.Stack{stack(0x10000, 0x17ff8, true), stack(0x17ff8, 0x20000, false)}},
		{name: "at the start", sp: 0x10000, tp: 0x10000, want: []unwind.Stack{stack(0x10000, 0x10000, true), stack(0x10000, 0x20000, false)}},
		{name: "other mapping", sp: 0x38000, tp: 0x1f000, want: []unwind.Stack{
			stack(0x10000, 0x1eff8, true), stack(0x1eff8, 0x20000, false), stack(0x30000, 0x40000, false)}},
		{name: "no tp", sp: 0x18000, want: []unwind.Stack{stack(0x10000, 0x20000, false)}},
		{name: "tp nowhere", sp: 0x18000, tp: 0x28000, want: []unwind.Stack{stack(0x10000, 0x20000, false)}},
		{name: "sp nowhere", sp: 0x68000, tp: 0x1f000, want: []unwind.Stack{stack(0x10000, 0x1eff8, true), stack(0x1eff8, 0x20000, false)}},
		{name: "neither", sp: 0x68000},
	} {
		if got := table.stacksOf(nil, c.sp, c.tp, c.first); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestVDSOIsUnderstood: threads are walked out of the vDSO's functions, by call frame information or because they have no frame.
func TestVDSOIsUnderstood(t *testing.T) {
	v := victim.Start(t, build(t, "chain", 1))
	p, err := ptrace.Open(v.PID, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	snap, err := takeSnapshot(p)
	if err != nil {
		t.Fatal(err)
	}
	k := slices.IndexFunc(snap.mods, func(m *module) bool { return m.name() == "[vdso]" })
	if k < 0 {
		t.Fatal("no vDSO among the modules")
	}
	u := moduleSpace(nativeArch(t, snap), snap, snap.mods[k], quick.log())
	if u.CFI == nil && (len(u.Bare) == 0 || len(u.Sigreturns) != 1) {
		t.Errorf("no call frame information; functions without frames %#x, that handlers return to %#x", u.Bare, u.Sigreturns)
	}
	if u.CFI != nil && len(u.Bare)+len(u.Sigreturns) != 0 {
		t.Errorf("call frame information, and functions without: %#x, %#x", u.Bare, u.Sigreturns)
	}
}

// nativeArch returns the architecture of the process.
func nativeArch(t *testing.T, snap *snapshot) *arch.Arch {
	t.Helper()
	a, err := machines.Lookup(snap.loader.order[0].Machine)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStopAllocatesNothing runs all checks of a stop, on several threads, and counts what they allocate.
func TestStopAllocatesNothing(t *testing.T) {
	v := victim.Start(t, build(t, "chain", 1))
	ask(t, v, "park 40", "parked")
	p, err := ptrace.Open(v.PID, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	report := &Report{}
	tr := &transaction{p: p, opt: &quick, log: quick.log(), clock: newClock(report)}
	if tr.maps, tr.print, err = openMaps(p); err != nil {
		t.Fatal(err)
	}
	defer tr.maps.Close()
	f := chainPatch(t, 1)
	if _, err := tr.makePlan(report, func(pl *planner) (bool, error) { return false, pl.planApply([]*patch.File{f}) }); err != nil {
		t.Fatal(err)
	}
	if err := tr.ready(); err != nil {
		t.Fatal(err)
	}
	_, err = p.Stop(ptrace.StopOptions{}, func(s *ptrace.Stopped) error {
		if err := tr.check(s); err != nil {
			return err
		}
		if n := testing.AllocsPerRun(10, func() { err = tr.check(s) }); n != 0 || err != nil {
			t.Errorf("%v allocations, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	v.End()
}

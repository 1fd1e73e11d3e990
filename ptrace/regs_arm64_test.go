package ptrace

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// What is tested here is how arm64's registers show a call. x86-64's do it in another way: regs_amd64_test.go.

// callsWithBlock are those calls of the victim odd that go on by a restart block.
const callsWithBlock = "futex nanosleep"

// seesStops: whether a stop may end a call with an EINTR that the program sees, and that is named.
const seesStops = true

// keepsHandlers: whether a handler without SA_RESTART ends any call, also when its signal comes while the thread makes borrowed calls.
const keepsHandlers = false

// requestsMore are the ptrace requests that are made on this architecture only, by name, for n threads: each thread's thread pointer, the
// masks of pointer authentication, and whether the borrowed thread uses SVE and SME.
func requestsMore(n int) map[string]int {
	return map[string]int{"GETREGSET": n*(requestsForRegs-1) + 1 + 2}
}

// vdsoHasTail: whether there is room behind the vDSO's segment. The kernel maps pages behind the vDSO's that hold the rest of its file.
const vdsoHasTail = false

// TestCall: a thread that is led to a call has no kind of indirect branch in its PSTATE, and keeps the rest.
func TestCall(t *testing.T) {
	const nzcv, pc = 0xa0000000, 0xaaaa0010
	var r Regs
	for i := range r.word {
		r.word[i] = uint64(1000 + i)
	}
	r.word[regPstate] = nzcv | pstateBTYPE
	saved := r
	r.call(pc, unix.SYS_MMAP, [6]uint64{1, 2, 3, 4, 5, 6})
	for i := range r.word {
		want := saved.word[i]
		switch {
		case i < 6:
			want = uint64(i + 1)
		case i == regX8:
			want = unix.SYS_MMAP
		case i == regPC:
			want = pc
		case i == regPstate:
			want = nzcv
		}
		if r.word[i] != want {
			t.Errorf("word %d: %#x, want %#x", i, r.word[i], want)
		}
	}
	if u := saved.unattended(); u != saved {
		t.Errorf("unattended %v, want %v", u, saved)
	}
}

// TestNative: a thread that runs 32-bit code is told by its PSTATE.
func TestNative(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pstate uint64
		want   bool
	}{
		{name: "EL0t", pstate: 0x60001000, want: true},
		{name: "AArch32 user", pstate: 0x60000010},
		{name: "AArch32 user, Thumb", pstate: 0x60000030},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Regs{}
			r.word[regPstate] = tt.pstate
			if got := r.native(); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// TestDWARFNumbers: x30, sp and pc have the numbers of aadwarf64.
func TestDWARFNumbers(t *testing.T) {
	var r Regs
	r.word[regX30], r.word[regSP], r.word[regPC] = 30, 31, 32
	for i := 30; i < r.NumDWARF(); i++ {
		if v, ok := r.DWARF(i); !ok || v != uint64(i) {
			t.Errorf("register %d: %d %v", i, v, ok)
		}
	}
	if _, ok := r.DWARF(33); ok || r.NumDWARF() != 33 {
		t.Error("a register 33")
	}
}

// TestPACMasks: the masks are those of the address space's size and top byte, and there are none on a processor without pointer
// authentication.
func TestPACMasks(t *testing.T) {
	const hwcapPACA = 1 << 30 // HWCAP_PACA of asm/hwcap.h
	const atHWCAP = 16        // AT_HWCAP
	p := open(t, victim.Start(t, build(t, "threads.c"), "1", "0").PID)
	auxv, err := p.Auxv()
	if err != nil {
		t.Fatal(err)
	}
	var m PACMasks
	if _, err := p.Stop(StopOptions{}, func(s *Stopped) error { m = s.PACMasks(); return nil }); err != nil {
		t.Fatal(err)
	}
	if has := auxv[atHWCAP]&hwcapPACA != 0; has != (m.Code != 0) || has != (m.Data != 0) {
		t.Errorf("masks %#x; the processor has pointer authentication: %v", m, has)
	}
	const code = 0x0000aaaabbbbcccc
	if got := m.Strip(code | m.Code); got != code {
		t.Errorf("%#x is left of a signed %#x", got, code)
	}
	t.Logf("%#x", m)
}

// TestScalableVectorsAreKept: a thread that uses SVE and is in no call is stopped like any other. It is not borrowed, because a call would take
// its registers from it.
func TestScalableVectorsAreKept(t *testing.T) {
	const hwcapSVE, atHWCAP = 1 << 22, 16
	v := victim.Start(t, build(t, "hold.c"), "1", "sve")
	p := open(t, v.PID)
	auxv, err := p.Auxv()
	if err != nil {
		t.Fatal(err)
	}
	threads, err := p.Threads()
	if err != nil || len(threads) != 2 {
		t.Fatal(threads, err)
	}
	stops(t, p, 30)
	err = p.BorrowWith(BorrowOptions{TID: threads[1].TID}, borrowPage)
	if auxv[atHWCAP]&hwcapSVE != 0 {
		wantKind(t, err, ErrNoThread, "has SVE registers in use")
	} else if err != nil {
		t.Error(err)
	}
	if err := p.Borrow(borrowPage); err != nil { // the main thread, which reads
		t.Error(err)
	}
	rounds := func() int { return askCount(t, v, "sum") }
	before := rounds()
	eventually(t, "goes round again", func() bool { return rounds() >= before+2 })
	t.Log(askOK(t, v, "sum"))
}

// TestVG: the length of vectors is that of this process's own, which the kernel gives every process; none on a processor without SVE.
func TestVG(t *testing.T) {
	const hwcapSVE, atHWCAP = 1 << 22, 16
	const prSVEGetVL, prSVEVLMask = 51, 0xffff // PR_SVE_GET_VL of linux/prctl.h
	for _, kind := range []string{"", "sve"} { // reading, and with vectors in use
		p := open(t, victim.Start(t, build(t, "hold.c"), append([]string{"1"}, strings.Fields(kind)...)...).PID)
		auxv, err := p.Auxv()
		if err != nil {
			t.Fatal(err)
		}
		var want uint64
		if auxv[atHWCAP]&hwcapSVE != 0 {
			vl, _, e := unix.RawSyscall6(unix.SYS_PRCTL, prSVEGetVL, 0, 0, 0, 0, 0)
			if e != 0 {
				t.Fatal(e)
			}
			want = uint64(vl) & prSVEVLMask / 8
		}
		if _, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			for i := range s.Threads {
				if vg, ok := s.Threads[i].VG(); vg != want || ok != (want != 0) {
					t.Errorf("thread %d: VG %d %v, want %d", i, vg, ok, want)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestRestartBlockIsKept: a thread that is borrowed in a sleep goes on with the rest of it, not with the whole. In a guest time means little, so
// the sleep is long. One after the other: while one is borrowed the others end.
func TestRestartBlockIsKept(t *testing.T) {
	const timeout = 3 * time.Second
	for _, call := range []string{"nanosleep", "clock_nanosleep", "futex"} {
		w := waiters(t, timeout, call)[0]
		begin := time.Now()
		n := 0
		for ; time.Since(begin) < timeout*3/4; n++ {
			if err := w.p.Borrow(func(r *Remote) error {
				if got := r.saved.callNR(); got != unix.SYS_RESTART_SYSCALL {
					t.Errorf("%s: x8 is %d, want restart_syscall", w.call, got)
				}
				return borrowPage(r)
			}); err != nil {
				t.Fatal(err)
			}
		}
		begun := slices.ContainsFunc(w.p.Afresh(), func(a Afresh) bool { return a.TID == w.PID })
		if d := w.took(); d < timeout-early || d >= timeout*7/4 || begun {
			t.Errorf("%s of %v took %v under %d borrowings over 3/4 of it; begun afresh: %v", w.call, timeout, d, n, begun)
		}
	}
}

// TestHandlerEndsCall: which calls a signal with a handler ends with EINTR, whatever the handler's flags.
func TestHandlerEndsCall(t *testing.T) {
	for _, tt := range []struct {
		name string
		nr   uint64
		op   uint64 // of a futex
		arg3 uint64
		ends bool
	}{
		{name: "ppoll", nr: unix.SYS_PPOLL, ends: true},
		{name: "restart_syscall", nr: unix.SYS_RESTART_SYSCALL, ends: true},
		{name: "epoll_pwait", nr: unix.SYS_EPOLL_PWAIT, ends: true},
		{name: "FUTEX_WAIT with a timeout", nr: unix.SYS_FUTEX, arg3: 1, ends: true},
		{name: "FUTEX_WAIT", nr: unix.SYS_FUTEX},
		{name: "FUTEX_WAIT_BITSET_PRIVATE with a timeout of the clock", nr: unix.SYS_FUTEX, op: 9 | 128 | 256, arg3: 1, ends: true},
		{name: "FUTEX_WAIT_BITSET", nr: unix.SYS_FUTEX, op: 9},
		{name: "FUTEX_CMP_REQUEUE", nr: unix.SYS_FUTEX, op: 4, arg3: 1},
		{name: "FUTEX_WAKE_OP", nr: unix.SYS_FUTEX, op: 5, arg3: 1},
		{name: "FUTEX_LOCK_PI with a timeout", nr: unix.SYS_FUTEX, op: 6, arg3: 1},
		{name: "waitid", nr: unix.SYS_WAITID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Regs
			r.word[regX8] = tt.nr
			r.setArg(1, tt.op)
			r.setArg(3, tt.arg3)
			if got := endsByHandler(&r); got != tt.ends {
				t.Errorf("%v, want %v", got, tt.ends)
			}
		})
	}
}

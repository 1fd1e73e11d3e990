package ptrace

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// TestSeccomp borrows from processes under filters. What a filter does not allow is not tried; the filters hold
// again afterwards.
func TestSeccomp(t *testing.T) {
	suspend := BorrowOptions{SuspendFilters: true}
	tests := []struct {
		name, filter string
		opts         BorrowOptions
		want         error
		says         string
		suspended    bool // the thread that is borrowed
		own          int  // errno of the program's own mmap; -1: not asked, it would kill
	}{
		{name: "another thread is free", filter: "ONE", own: -1},
		{name: "another thread is free, suspending allowed", filter: "ONE", opts: suspend, own: -1},
		{name: "allows it", filter: "OTHER"},
		{name: "allows it, suspending allowed", filter: "OTHER", opts: suspend},
		{name: "kills", filter: "KILL", want: ErrFiltered, says: "answer mmap with KILL_PROCESS", own: -1},
		{name: "kills, suspended", filter: "KILL", opts: suspend, suspended: true, own: -1},
		{name: "the second kills", filter: "TWICE", want: ErrFiltered, says: "answer mmap with KILL_PROCESS", own: -1},
		{name: "errno", filter: "ERRNO", want: ErrFiltered, says: "ERRNO (EACCES)", own: int(unix.EACCES)},
		{name: "errno, suspended", filter: "ERRNO", opts: suspend, suspended: true, own: int(unix.EACCES)},
		{name: "trap", filter: "TRAP", want: ErrFiltered, says: "TRAP", own: -1},
		{name: "trap, suspended", filter: "TRAP", opts: suspend, suspended: true, own: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := victim.Start(t, build(t, "odd.c"), "seccomp", tt.filter)
			p := open(t, v.PID)
			for range 3 {
				var was bool
				err := p.BorrowWith(tt.opts, func(r *Remote) error {
					was = r.Suspended()
					return borrowMuch(r)
				})
				if tt.want != nil {
					wantKind(t, err, tt.want, tt.says)
				} else if err != nil {
					t.Fatal(err)
				}
				if was != tt.suspended {
					t.Errorf("filters suspended: %v", was)
				}
				askOK(t, v, "x")
				stops(t, p, 1)
				if tt.own >= 0 {
					if got := askCount(t, v, "mmap"); got != tt.own {
						t.Errorf("the program's own mmap: errno %d, want %d", got, tt.own)
					}
				}
			}
		})
	}
}

// TestSeccompHoldsAgain: the filter whose suspension ended kills the program for its own call.
func TestSeccompHoldsAgain(t *testing.T) {
	for _, seized := range []bool{true, false} {
		v := victim.Start(t, build(t, "odd.c"), "seccomp", "KILL")
		p := open(t, v.PID)
		if seized {
			if err := p.Seize(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.BorrowWith(BorrowOptions{SuspendFilters: true}, borrowMuch); err != nil {
			t.Fatal(err)
		}
		askOK(t, v, "x")
		v.Send("mmap")
		eventually(t, "killed by its filter", func() bool { return !v.Alive() })
	}
}

// TestSeccompRefusesOneCall: a call that the filters do not allow is refused by itself, and the thread goes on.
func TestSeccompRefusesOneCall(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "seccomp", "OTHER")
	p := open(t, v.PID)
	err := p.Borrow(func(r *Remote) error {
		_, err := r.Syscall(unix.SYS_ACCT, 0)
		return err
	})
	var fe *FilterError
	if !errors.As(err, &fe) || fe.Action != "KILL_PROCESS" || !errors.Is(err, ErrFiltered) {
		t.Errorf("acct: %v", err)
	}
	askOK(t, v, "x")
}

// TestSeccompTrap: a filter that the evaluation does not know of, as another thread may put one in force meanwhile
// (SECCOMP_FILTER_FLAG_TSYNC), answers with a signal. The signal is taken away.
func TestSeccompTrap(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "seccomp", "TRAP")
	err := open(t, v.PID).BorrowWith(BorrowOptions{SuspendFilters: true}, func(r *Remote) error {
		if err := r.tr.holdFilters(r.t); err != nil {
			return err
		}
		r.t.filters = []filterProgram{{{Code: bpfRET, K: seccompAllow}}}
		return borrowPage(r)
	})
	if !errors.Is(err, errTrapped) {
		t.Errorf("error %v, want %v", err, errTrapped)
	}
	askOK(t, v, "x")
}

// TestFilterWithoutRestart: a filter that does not allow restart_syscall kills its thread at any stop that interrupts a call with a restart
// block. Such calls begin again.
func TestFilterWithoutRestart(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "seccomp", "RESTART")
	p := open(t, v.PID)
	var all []ThreadInfo
	eventually(t, "all wait", func() bool {
		var err error
		all, err = p.Threads()
		n := 0
		for _, th := range all {
			if th.Syscall.In && restartRank(&th.Syscall) == 3 {
				n++
			}
		}
		return err == nil && n == len(strings.Fields(callsWithBlock))
	})
	stops(t, p, 10)
	for _, th := range all {
		if err := p.BorrowWith(BorrowOptions{TID: th.TID}, borrowPage); err != nil {
			t.Error(err)
		}
	}
	askOK(t, v, "x")
	var calls []string
	for _, a := range p.Afresh() {
		calls = append(calls, strings.TrimPrefix(a.Call, "clock_"))
	}
	slices.Sort(calls)
	if got := strings.Join(slices.Compact(calls), " "); got != callsWithBlock {
		t.Errorf("begun afresh: %s, want %s", got, callsWithBlock)
	}
}

// filterArgs are the number and the arguments of the call that the victim's child makes under a filter.
var filterArgs = [6]uint64{1, 0x1122334455667788, 3, 0x8000000000000004, 5, ^uint64(0)}

const filterCall = 1000

// randomFilter makes a program that the kernel takes and that allows every call but one. That goes through straight code with
// jumps forward to an errno made of the accumulator.
func randomFilter(r *rand.Rand) filterProgram {
	alu := []uint16{bpfAdd, bpfSub, bpfMul, bpfDiv, bpfOr, bpfAnd, bpfXor, bpfLsh, bpfRsh, bpfNeg}
	jumps := []uint16{bpfJEQ, bpfJGT, bpfJGE, bpfJSET}
	n := 5 + r.IntN(30)
	f := filterProgram{{Code: bpfLD | bpfAbs}, {Code: bpfJMP | bpfJEQ, JT: 1, K: filterCall}, {Code: bpfRET, K: seccompAllow}}
	for i := range uint32(memLen) { // memory is written before it is read
		f = append(f, filterInst{Code: bpfLD | bpfImm, K: r.Uint32()}, filterInst{Code: bpfST, K: i})
	}
	for i := range n {
		in := filterInst{K: r.Uint32() >> (8 * r.UintN(4))}
		switch r.IntN(8) {
		case 0:
			in = filterInst{Code: bpfLD | bpfAbs, K: 4 * r.Uint32N(16)}
			if in.K == 8 || in.K == 12 { // the instruction pointer, which we do not know
				in.K = 16
			}
		case 1:
			in.Code = []uint16{bpfLD | bpfLen, bpfLDX | bpfLen, bpfLD | bpfImm, bpfLDX | bpfImm, bpfMISC, bpfMISC | bpfTXA}[r.IntN(6)]
		case 2:
			in = filterInst{Code: []uint16{bpfLD | bpfMem, bpfLDX | bpfMem, bpfST, bpfSTX}[r.IntN(4)], K: r.Uint32N(memLen)}
		case 3, 4:
			left := uint32(n - i - 1)
			in.JT, in.JF = uint8(r.Uint32N(left+1)), uint8(r.Uint32N(left+1))
			in.Code = bpfJMP | jumps[r.IntN(len(jumps))] | uint16(r.IntN(2))*bpfX
			if r.IntN(8) == 0 {
				in = filterInst{Code: bpfJMP | bpfJA, K: r.Uint32N(left + 1)}
			}
		default:
			op := alu[r.IntN(len(alu))]
			in.Code = bpfALU | op | uint16(r.IntN(2))*bpfX
			switch op {
			case bpfNeg:
				in.Code = bpfALU | op
			case bpfLsh, bpfRsh:
				in.K %= 32
			case bpfDiv:
				in.K |= 1
			}
		}
		f = append(f, in)
	}
	return append(f, filterInst{Code: bpfALU | bpfAnd, K: 0x7f}, filterInst{Code: bpfALU | bpfAdd, K: 1},
		filterInst{Code: bpfALU | bpfOr, K: seccompErrno}, filterInst{Code: bpfRET | bpfRetA})
}

// filterBytes is a program as it lies in memory.
func filterBytes(f filterProgram) []byte {
	var out []byte
	for _, in := range f {
		out = binary.NativeEndian.AppendUint16(out, in.Code)
		out = binary.NativeEndian.AppendUint32(append(out, in.JT, in.JF), in.K)
	}
	return out
}

// TestFiltersAgainstTheKernel: random programs answer as the kernel makes them answer. (A division by an index register of
// zero ends them with 0, KILL_THREAD.)
func TestFiltersAgainstTheKernel(t *testing.T) {
	const rounds, seed = 400, 20
	v := victim.Start(t, build(t, "odd.c"), "filters")
	r := rand.New(rand.NewPCG(seed, seed))
	seen := make(map[string]int)
	for range rounds {
		f := randomFilter(r)
		got, err := judge([]filterProgram{f}, filterCall, filterArgs, 0)
		want := fmt.Sprintf("exit %d", got.errno())
		if uint32(got)&seccompAction == seccompKillThread {
			want = fmt.Sprintf("signal %d", unix.SIGSYS)
		}
		seen[want]++
		if answer := v.Ask(hex.EncodeToString(filterBytes(f))); err != nil || answer != want {
			t.Fatalf("%+v: computed %v %v; the kernel: %s", f, got, err, answer)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only these answers: %v", seen)
	}
}

// TestFilterRead: what is read of a thread's filters is what it put in force, the newest first.
func TestFilterRead(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "seccomp", "TWICE")
	err := open(t, v.PID).BorrowWith(BorrowOptions{SuspendFilters: true}, func(r *Remote) error {
		got, err := r.tr.filtersOf(r.t)
		if err != nil {
			return err
		}
		if len(got) != 2 || len(got[0]) != 4 || len(got[1]) != 4 {
			t.Fatalf("filters %+v", got)
		}
		for _, nr := range []uintptr{unix.SYS_MMAP, unix.SYS_ACCT} {
			if v, err := judge(got, nr, [6]uint64{}, 0); err != nil || v.String() != "KILL_PROCESS" {
				t.Errorf("call %d: %v %v", nr, v, err)
			}
		}
		if v, err := judge(got, unix.SYS_MUNMAP, [6]uint64{}, 0); err != nil || !v.allows() {
			t.Errorf("munmap: %v %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestInvalidFilters(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    filterProgram
	}{
		{name: "empty"},
		{name: "no end", f: filterProgram{{Code: bpfLD | bpfImm}}},
		{name: "jump behind the end", f: filterProgram{{Code: bpfJMP | bpfJA, K: 1 << 31}, {Code: bpfRET}}},
		{name: "load behind the data", f: filterProgram{{Code: bpfLD | bpfAbs, K: 64}, {Code: bpfRET}}},
		{name: "misaligned load", f: filterProgram{{Code: bpfLD | bpfAbs, K: 2}, {Code: bpfRET}}},
		{name: "no such memory", f: filterProgram{{Code: bpfSTX, K: memLen}, {Code: bpfRET}}},
		{name: "division by a constant zero", f: filterProgram{{Code: bpfALU | bpfDiv}, {Code: bpfRET}}},
		{name: "shift by too much", f: filterProgram{{Code: bpfALU | bpfLsh, K: 32}, {Code: bpfRET}}},
		{name: "byte load", f: filterProgram{{Code: bpfLD | bpfAbs | 0x10}, {Code: bpfRET}}},
		{name: "return of the index register", f: filterProgram{{Code: bpfRET | bpfX}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v, err := tt.f.run(new(seccompData)); !errors.Is(err, errFilter) || v != 0 {
				t.Errorf("%#x %v", v, err)
			}
		})
	}
}

// FuzzFilter: any bytes as a program give an answer or an error, and an error gives no answer.
func FuzzFilter(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 4 {
		f.Add(filterBytes(randomFilter(r)), []byte("0123456789abcdef"))
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, code, content []byte) {
		var p filterProgram
		for ; len(code) >= 8 && len(p) < maxFilterLen; code = code[8:] {
			p = append(p, filterInst{binary.NativeEndian.Uint16(code), code[2], code[3], binary.NativeEndian.Uint32(code[4:])})
		}
		var data seccompData
		copy(data[:], content)
		v, err := p.run(&data)
		if err != nil && (v != 0 || !errors.Is(err, errFilter)) {
			t.Errorf("%#x and %v", v, err)
		}
		if _, jerr := judge([]filterProgram{p}, 0, [6]uint64{}, 0); jerr != nil && !errors.Is(jerr, errFilter) {
			t.Error(jerr)
		}
	})
}

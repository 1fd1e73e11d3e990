package ptrace

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What is tested here is how arm64's registers show a call. x86-64's do it in another way: regs_amd64_test.go.

// callsWithBlock are those calls of the victim odd that go on by a restart block.
const callsWithBlock = "futex nanosleep"

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

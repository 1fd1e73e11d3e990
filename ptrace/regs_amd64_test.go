package ptrace

import (
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// What is tested here is how x86-64's registers show an interrupted call. arm64's do it in another way: regs_arm64_test.go.

// callsWithBlock are those calls of the victim odd that go on by a restart block.
const callsWithBlock = "futex nanosleep poll"

// seesStops: whether a stop may end a call with an EINTR that the program sees, and that is named.
const seesStops = false

// keepsHandlers: whether a handler without SA_RESTART ends any call, also when its signal comes while the thread makes borrowed calls.
const keepsHandlers = true

// requestsMore are the ptrace requests that are made on this architecture only, by name, for n threads: none.
func requestsMore(int) map[string]int { return nil }

// vdsoHasTail: whether there is room behind the vDSO's segment. It is in the last page that is mapped.
const vdsoHasTail = true

// TestUnattended: what the kernel makes of an interrupted call.
func TestUnattended(t *testing.T) {
	const pc = 0x401002
	for _, tt := range []struct {
		name   string
		orig   int64
		result int64
		wantAX int64
		wantPC arch.Addr
	}{
		{name: "in no call", orig: -1, result: -eRestartSys, wantAX: -eRestartSys, wantPC: pc},
		{name: "ended", orig: unix.SYS_READ, result: 5, wantAX: 5, wantPC: pc},
		{name: "failed", orig: unix.SYS_READ, result: -int64(unix.EINTR), wantAX: -int64(unix.EINTR), wantPC: pc},
		{name: "ERESTARTSYS", orig: unix.SYS_READ, result: -eRestartSys, wantAX: unix.SYS_READ, wantPC: pc - 2},
		{name: "ERESTARTNOINTR", orig: unix.SYS_FUTEX, result: -eRestartNoIntr, wantAX: unix.SYS_FUTEX, wantPC: pc - 2},
		{name: "ERESTARTNOHAND", orig: unix.SYS_PAUSE, result: -eRestartNoHand, wantAX: unix.SYS_PAUSE, wantPC: pc - 2},
		{name: "ERESTART_RESTARTBLOCK", orig: unix.SYS_NANOSLEEP, result: -eRestartResblock, wantAX: unix.SYS_RESTART_SYSCALL, wantPC: pc - 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Regs
			r.word[regOrigRAX], r.word[regRAX], r.word[regRIP], r.word[regRBX] = uint64(tt.orig), uint64(tt.result), pc, 7
			u := r.unattended()
			if u.Result() != tt.wantAX || u.PC() != tt.wantPC || u.word[regRBX] != 7 {
				t.Errorf("rax %d, pc %#x, rbx %d; want rax %d, pc %#x", u.Result(), uint64(u.PC()), u.word[regRBX], tt.wantAX, uint64(tt.wantPC))
			}
			if _, in := u.Syscall(); in {
				t.Error("still in a call")
			}
		})
	}
}

package ptrace

import "golang.org/x/sys/unix"

// restartRank says how gladly a thread is borrowed by where it waits: 0 is best. It is not in a
// call; in one that the kernel restarts from its arguments; in one that returns EINTR on any stop and is repaired; in
// one that continues through its restart block, which a borrowed call must not touch.
func restartRank(in *SyscallInfo) int {
	if !in.Blocked || !in.In {
		return 0
	}
	switch in.NR {
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_POLL, unix.SYS_RESTART_SYSCALL:
		return 3
	case unix.SYS_FUTEX:
		if in.Args[3] != 0 { // timeout
			return 3
		}
		return 1
	}
	for i := range interruptibles {
		if interruptibles[i].nr == in.NR && in.NR != unix.SYS_READ && in.NR != unix.SYS_WRITE {
			return 2
		}
	}
	return 1
}

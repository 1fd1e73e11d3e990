package ptrace

import (
	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// request is the ptrace request by which a stopped thread goes on. The processor passes over a breakpoint by itself (RF of EFLAGS).
func (t *tracee) request() int { return unix.PTRACE_CONT }

// stepping reports whether a stopped thread has yet to pass over a breakpoint that it has met.
func (t *tracee) stepping() bool { return false }

// breakable reports whether a breakpoint at an address does no harm.
func breakable(int, arch.Addr) bool { return true }

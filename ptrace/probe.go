//go:build !hotpatch_sweep

package ptrace

import "syscall"

// before and after stand around every ptrace request and every access to the target's memory. They do nothing; the
// build that is swept (probe_sweep.go) counts them, dies at one, or lets the operation fail.
func before(op string, what int, where uintptr) syscall.Errno { return 0 }

func after(op string, what int, where uintptr) {}

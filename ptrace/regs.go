package ptrace

import "syscall"

// The kernel's internal results of an interrupted call (linux/errno.h).
const (
	eRestartSys      = 512 // ERESTARTSYS
	eRestartNoIntr   = 513 // ERESTARTNOINTR
	eRestartNoHand   = 514 // ERESTARTNOHAND
	eRestartResblock = 516 // ERESTART_RESTARTBLOCK
)

// errnoOf splits the raw result of a system call.
func errnoOf(v uint64) (uint64, syscall.Errno) {
	if v > ^uint64(4095) {
		return 0, syscall.Errno(-int64(v))
	}
	return v, 0
}

// args returns the arguments of the system call.
func (r *Regs) args() (args [6]uint64) {
	for i := range args {
		args[i] = r.Arg(i)
	}
	return args
}

// PACMasks are the bits of an address that its authentication code takes (arm64, FEAT_PAuth): set in neither of them is what is left of an
// address that has been stripped. Both are zero where the processor or the kernel has no such codes, and on other architectures.
type PACMasks struct {
	Data uint64
	Code uint64 // of return addresses, for one
}

// Strip returns a return address, or another address of code in user space, without its authentication code.
func (m PACMasks) Strip(code uint64) uint64 { return code &^ m.Code }

// PACMasks returns the masks of the process, which the kernel tells of a stopped thread. Both are zero if no thread runs code of the process.
func (s *Stopped) PACMasks() PACMasks {
	if m := s.tr.p.pac.Load(); m != nil {
		return *m
	}
	return PACMasks{}
}

//go:build linux

package unwind_test

import (
	"slices"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind"
	"hotpatch/ptrace/unwind/cfi"
)

// untold are functions whose call frame information is wrong, or of no use: they keep their return address over a call in a register that calls change.
var untold = []string{"untold", "outlined"}

// landed takes away the calls that an exception has ended: control has come to a place with the stack pointer that one of them was made with, in the
// function that made it.
func (s *stepper) landed(to *userRegs) {
	for n := len(s.calls) - 1; n >= 0 && !s.calls[n].signal && s.calls[n].cfa <= to.sp(); n-- {
		if made := s.fde(s.calls[n].pc - 1); s.calls[n].cfa == to.sp() && made != nil && made == s.fde(to.pc()) {
			s.calls = s.calls[:n]
			return
		}
	}
}

// fde returns the call frame information of the function that holds a, or nil.
func (s *stepper) fde(a arch.Addr) *cfi.FDE {
	m := s.module(a)
	if m == nil || m.CFI == nil {
		return nil
	}
	return m.CFI.Find(arch.ImageAddr(a - m.Bias))
}

// activeByCount reports whether a target is being executed or will be returned into.
func (s *stepper) activeByCount(pc arch.Addr) bool {
	if s.within {
		return true
	}
	for _, t := range s.targets {
		for _, v := range t.Veneers {
			if v.Contains(pc) {
				return true
			}
		}
		entry := func(a arch.Addr) bool { return len(t.Entries) > 0 && (a == t.Entries[0] || a == t.Entries[1]) }
		if t.Contains(pc) && !entry(pc) {
			return true
		}
		for _, c := range s.calls {
			if !c.signal && t.Contains(c.pc-1) || c.signal && t.Contains(c.pc) && !entry(c.pc) {
				return true
			}
		}
	}
	return false
}

// inThunk reports whether pc lies in a retpoline.
func (s *stepper) inThunk(pc arch.Addr) bool { return runsAt(s.thunks, pc) }

// runsAt reports whether pc lies in one of several ranges.
func runsAt(ranges []unwind.Range, pc arch.Addr) bool {
	return slices.ContainsFunc(ranges, func(r unwind.Range) bool { return r.Contains(pc) })
}

// inTarget reports whether pc lies in a target.
func (s *stepper) inTarget(pc arch.Addr) bool {
	for _, t := range s.targets {
		if t.Contains(pc) {
			return true
		}
	}
	return false
}

// inBare reports whether a frame lies in code without call frame information.
func (s *stepper) inBare(pc arch.Addr) bool { return s.runsIn(s.bare, pc) }

// runsIn reports whether a frame lies in one of several ranges.
func (s *stepper) runsIn(ranges []unwind.Range, pc arch.Addr) bool {
	for _, r := range ranges {
		if r.Contains(pc) {
			return true
		}
		for _, c := range s.calls {
			if c.signal && r.Contains(c.pc) || !c.signal && r.Contains(c.pc-1) {
				return true
			}
		}
	}
	return false
}

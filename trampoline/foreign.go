package trampoline

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// foreign describes bytes that hotpatch did not put there. want is what belongs at the address.
func (c *Chain) foreign(a *arch.Arch, at arch.Addr, want, got []byte) error {
	r := &patch.Refusal{
		What:  c.Name,
		Why:   "bytes at the function's entry that are neither the build's nor those of an applied patch",
		Found: fmt.Sprintf("at %#x: % x instead of % x", uint64(at), got, want),
		Help:  "find out what wrote them: only a process that runs the build's own bytes can be patched",
	}
	if isTrap(a, want, got) {
		r.Why = "a breakpoint or uprobe is set there"
		r.Help = "detach the debugger or tracer that set it"
	} else if to, ok := a.Jump.Recognize(at, got); ok {
		r.Why = fmt.Sprintf("a jump to %#x that hotpatch did not write", uint64(to))
		r.Help = "take out the hook of the other tool first"
	}
	return r
}

// isTrap reports whether the first bytes that differ are a breakpoint. It is recognised so that a refusal can say what was found;
// other foreign bytes are refused as well.
func isTrap(a *arch.Arch, want, got []byte) bool {
	n := min(len(want), len(got))
	i := 0
	for i < n && want[i] == got[i] {
		i++
	}
	mask, value := a.Breakpoint.Mask, a.Breakpoint.Value
	i -= i % len(value) // instructions of a fixed length are aligned
	if len(got)-i < len(value) {
		return false
	}
	for k := range value {
		if got[i+k]&mask[k] != value[k] {
			return false
		}
	}
	return true
}

package trampoline

import (
	"bytes"
	"debug/elf"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// trap is an instruction that debuggers and uprobes put over code.
type trap struct {
	machine elf.Machine
	mask    []byte
	value   []byte
}

// traps are recognised so that a refusal can say what was found; other foreign
// bytes are refused as well.
var traps = [...]trap{
	{elf.EM_X86_64, []byte{0xff}, []byte{0xcc}},                                      // int3
	{elf.EM_AARCH64, []byte{0x1f, 0x00, 0xe0, 0xff}, []byte{0x00, 0x00, 0x20, 0xd4}}, // brk #imm16
}

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

// isTrap reports whether the first bytes that differ are a trap instruction.
func isTrap(a *arch.Arch, want, got []byte) bool {
	n := min(len(want), len(got))
	i := 0
	for i < n && want[i] == got[i] {
		i++
	}
	for _, t := range traps {
		if t.machine != a.Machine {
			continue
		}
		i -= i % len(t.value) // instructions of a fixed length are aligned
		if len(got)-i < len(t.value) {
			continue
		}
		masked := bytes.Clone(got[i : i+len(t.value)])
		for k := range masked {
			masked[k] &= t.mask[k]
		}
		if bytes.Equal(masked, t.value) {
			return true
		}
	}
	return false
}

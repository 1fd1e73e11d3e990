package unwind

import (
	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Where calls put the return address into a register, call frame information can be compared with the code that it is about: which instructions write that
// register and the stack pointer is plain to see.

// linked reports whether calls put the return address into a register.
func (c *codeReader) linked() bool { return c.space.Arch.Unwind.Touches != nil }

// row returns the row for a in f.
func (c *codeReader) row(f *function, a arch.Addr) (cfi.Row, error) {
	return f.fde.Row(arch.ImageAddr(a - c.space.Modules[f.module].Bias))
}

// returnsElsewhere reports whether the return at a goes, or may go, elsewhere than call frame information says: its register is another one,
// or there is still a frame.
func (c *codeReader) returnsElsewhere(f *function, a arch.Addr) bool {
	row, err := c.row(f, a)
	if err != nil || row.CFA != f.fde.CIE.EntryCFA() {
		return true
	}
	code, err := c.mem.view(a, c.space.Arch.MaxInst)
	if err != nil {
		return true
	}
	reg := c.space.Arch.Unwind.ReturnReg(code)
	switch rule := row.Regs[row.RA]; rule.Kind {
	case cfi.RuleNone, cfi.RuleSameValue:
		return reg != int(row.RA)
	case cfi.RuleRegister:
		return reg != int(rule.Reg)
	}
	return true
}

// replacesReturn reports whether the instruction at a, which goes on behind itself, puts something else into the register that
// holds the return address, by the word of the rows: neither does it restore the register, nor sign or authenticate what is in it.
func (c *codeReader) replacesReturn(f *function, a arch.Addr, in *arch.Inst) bool {
	_, ra, ok := c.touches(a, in)
	if !ok || !ra {
		return !ok
	}
	next := a + arch.Addr(in.Len)
	if !f.Contains(next) {
		return true
	}
	before, err := c.row(f, a)
	if err != nil {
		return true
	}
	after, err := c.row(f, next)
	if err != nil {
		return true
	}
	n := c.space.Arch.DWARF.RA // another one is not what touches tells of
	return before.RA != uint8(n) || inPlace(before.Regs[n]) && inPlace(after.Regs[n]) && before.RASign == after.RASign
}

// inPlace reports whether the return address is in its register.
func inPlace(r cfi.Rule) bool { return r.Kind == cfi.RuleNone || r.Kind == cfi.RuleSameValue }

// touches asks the architecture what the instruction at a, which was decoded last, writes.
func (c *codeReader) touches(a arch.Addr, in *arch.Inst) (sp, ra, ok bool) {
	code, err := c.mem.view(a, in.Len)
	if err != nil {
		return false, false, false
	}
	sp, ra = c.space.Arch.Unwind.Touches(code, in)
	return sp, ra, true
}

// exact reports whether call frame information follows the code of f through its prologue and its epilogues: wherever the CFA
// is counted from the stack pointer and an instruction changes that, the row changes, and returns are what it says. That of clang up to
// version 14 holds for calls only (FACTS: "a few functions"; on arm64 all that have a frame), so that nothing can be proven by it for a function that stands
// in its prologue or in an epilogue.
func (c *codeReader) exact(f *function) bool {
	if !c.linked() || f.fde == nil {
		return true
	}
	k := c.remember(f)
	return k.exact
}

// returnsByRA reports whether every return of f goes to the register that its call frame information names for the return address, and nothing is
// written to that but what was saved of it. In a function that is not exact, the rows are then right where it stands with its frame set up.
func (c *codeReader) returnsByRA(f *function) bool {
	if !c.linked() || f.fde == nil {
		return true
	}
	return c.remember(f).byRA
}

// keepsReturn computes returnsByRA.
func (c *codeReader) keepsReturn(f *function) bool {
	keeps := true
	err := c.each(f, func(at arch.Addr, in *arch.Inst) bool {
		switch in.Flow {
		case arch.FlowReturn:
			row, err := c.row(f, at)
			code, unread := c.mem.view(at, in.Len)
			keeps = err == nil && unread == nil && c.space.Arch.Unwind.ReturnReg(code) == int(row.RA)
		case arch.FlowNext:
			keeps = !c.replacesReturn(f, at, in)
		}
		return keeps
	})
	return keeps && err == nil
}

// followsCode computes exact.
func (c *codeReader) followsCode(f *function) bool {
	exact := true
	err := c.each(f, func(at arch.Addr, in *arch.Inst) bool {
		switch in.Flow {
		case arch.FlowReturn:
			exact = !c.returnsElsewhere(f, at)
		case arch.FlowNext:
			exact = c.rowFollows(f, at, in)
		}
		return exact
	})
	return exact && err == nil
}

// rowFollows reports whether the row changes with the stack pointer at the instruction at a.
func (c *codeReader) rowFollows(f *function, a arch.Addr, in *arch.Inst) bool {
	sp, _, ok := c.touches(a, in)
	next := a + arch.Addr(in.Len)
	if !ok || !sp || !f.Contains(next) {
		return ok
	}
	before, err := c.row(f, a)
	if err != nil {
		return false
	}
	after, err := c.row(f, next)
	return err == nil && (before.CFA.Kind != cfi.RuleRegister || int(before.CFA.Reg) != c.space.Arch.DWARF.SP || before.CFA != after.CFA)
}

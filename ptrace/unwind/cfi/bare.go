package cfi

import "hotpatch/arch"

// BareRow is the row of code that has no call frame information and needs none, on an architecture where calls put the return address into a
// register: nothing was done yet to that register, and all that was done to the stack pointer is that push bytes were put onto the
// stack.
func BareRow(a *arch.Arch, push int) Row {
	return Row{CFA: Rule{Kind: RuleRegister, Reg: uint8(a.DWARF.SP), Off: int64(push)}, RA: uint8(a.DWARF.RA), sec: &section{arch: a}}
}

// SignalRow is the row of the code that handlers of signals return to, where it has no call frame information: the interrupted thread's registers lie
// where the kernel put them. The CFA is the stack pointer, where the kernel's frame begins.
//
// Preconditions: the architecture has [arch.SignalFrame].Regs.
func SignalRow(a *arch.Arch) Row {
	r := BareRow(a, 0)
	r.SignalFrame = true
	for n, off := range a.Unwind.Signal.Regs {
		r.Regs[n] = Rule{Kind: RuleOffset, Off: off}
	}
	return r
}

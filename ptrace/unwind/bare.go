package unwind

import (
	"debug/elf"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Code without call frame information is walked through in three cases, on architectures where calls put the return address into a
// register ([arch.Unwind]). In each the instructions themselves prove the row:
//
//   - a stub of the linker's: up to its jump nothing happens to the return address, and to the stack pointer only what the stub is known to do;
//   - the code that handlers of signals return to, with the kernel's frame on the stack;
//   - a function whose bounds its symbol tells, which calls nothing, and in which no instruction touches either register ([Module].Bare).
//
// All other code without call frame information ends a walk with [ErrNoCFI].

// maxBare bounds the functions of a module without call frame information that are looked at, and the bytes of each.
const (
	maxBare     = 1 << 10
	maxBareSize = 1 << 14
)

// FindBare notes which of a module's functions can be walked through though the module has no call frame information: the vDSO, on arm64. syms are
// its symbols. The module must have its Range, Exec and Bias.
func (m *Module) FindBare(a *arch.Arch, syms []elf.Symbol, mem cfi.Memory) error {
	if a.Unwind.Touches == nil || m.CFI != nil {
		return nil
	}
	for _, s := range syms {
		r := Range{Start: arch.ImageAddr(s.Value).In(m.Bias)}
		r.End = r.Start + arch.Addr(s.Size)
		exec, ok := m.execRange(r.Start)
		if s.Size == 0 || s.Size > maxBareSize || !ok || r.End > exec.End || len(m.Bare)+len(m.Sigreturns) == maxBare {
			continue
		}
		code := make([]byte, s.Size)
		if err := mem.ReadMem(code, r.Start); err != nil {
			return err
		}
		switch {
		case a.Unwind.Signal.Trampoline(code) == len(code):
			m.Sigreturns = append(m.Sigreturns, r)
		case frameless(a, code):
			m.Bare = append(m.Bare, r)
		}
	}
	return nil
}

// frameless reports whether a function with this code never has a frame: from its start to its returns, the return address is in its
// register and the stack pointer is the caller's. It can be left by these returns only.
func frameless(a *arch.Arch, code []byte) bool {
	for at := 0; at < len(code); {
		in, err := a.Decode(code[at:])
		if err != nil || in.Len <= 0 {
			return false
		}
		switch in.Flow {
		case arch.FlowNext, arch.FlowReturn, arch.FlowStop, arch.FlowSyscall:
		case arch.FlowJump, arch.FlowBranch:
			if to := int64(at) + in.Target; to < 0 || to >= int64(len(code)) {
				return false
			}
		default:
			return false
		}
		if sp, ra := a.Unwind.Touches(code[at:], &in); sp || ra {
			return false
		}
		at += in.Len
	}
	return true
}

// bareCode is code without call frame information that is understood.
type bareCode struct {
	Range
	row cfi.Row
}

// bare describes the code without call frame information at the pc of a frame. Architectures that have stubs and trampolines have instructions of
// one length, MaxInst, at multiples of it.
func (s *Space) bare(m *Module, text *window, f *Frame) (b bareCode, ok bool) {
	a := s.Arch
	inst := arch.Addr(a.MaxInst)
	exec, ok := m.execRange(f.PC)
	if !ok || a.Unwind.Touches == nil || f.PC%inst != 0 {
		return b, false
	}
	if r, ok := s.trampoline(text, exec, f); ok {
		return bareCode{Range: r, row: cfi.SignalRow(a)}, true
	}
	if f.Return {
		return b, false // neither of the others calls anything
	}
	for _, r := range m.Bare {
		if r.Contains(f.PC) {
			return bareCode{Range: r, row: cfi.BareRow(a, 0)}, true
		}
	}
	// The longest stub that leads through the pc: what comes before its start is not a part of it.
	for back := maxStub / inst * inst; ; back -= inst {
		if st, ok := s.stub(text, exec, f.PC-back); ok && arch.Addr(st.Len) > back {
			push := 0
			if st.Push != 0 && back >= arch.Addr(st.After) {
				push = st.Push
			}
			return bareCode{Range: Range{Start: f.PC - back, End: f.PC - back + arch.Addr(st.Len)}, row: cfi.BareRow(a, push)}, true
		}
		if back == 0 {
			return b, false
		}
	}
}

// maxTrampoline is the length of the longest code that returns from a handler, in bytes.
const maxTrampoline = 16

// trampoline finds the code that returns from a signal's handler around the pc of a frame. A handler returns to its start.
func (s *Space) trampoline(text *window, exec Range, f *Frame) (Range, bool) {
	find := s.Arch.Unwind.Signal.Trampoline
	if find == nil {
		return Range{}, false
	}
	inst := arch.Addr(s.Arch.MaxInst)
	for back := arch.Addr(0); back < maxTrampoline && f.PC-back >= exec.Start; back += inst {
		code, err := text.view(f.PC-back, int(min(maxTrampoline, exec.End-f.PC+back)))
		if err == nil && arch.Addr(find(code)) > back {
			return Range{Start: f.PC - back, End: f.PC - back + arch.Addr(find(code))}, true
		}
		if f.Return {
			break
		}
	}
	return Range{}, false
}

// stub describes the code at at, which begins in the executable range exec, if it is a stub.
func (s *Space) stub(text *window, exec Range, at arch.Addr) (arch.Stub, bool) {
	if s.Arch.Unwind.Stub == nil || !exec.Contains(at) {
		return arch.Stub{}, false
	}
	code, err := text.view(at, int(min(maxStub, exec.End-at)))
	if err != nil {
		return arch.Stub{}, false
	}
	return s.Arch.Unwind.Stub(code, at)
}

// ignored returns the bits of a code pointer that do not say where it leads. Bit 55 says whether it leads into the kernel's half of the
// address space, whatever is above and below it.
func (s *Space) ignored() uint64 { return (s.PACMask | s.Arch.Unwind.Ignored) &^ (1 << 55) }

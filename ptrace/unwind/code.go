package unwind

import (
	"errors"
	"fmt"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// maxFunc bounds the size of a function whose instructions are decoded, in bytes.
const maxFunc = 1 << 20

// codeReader decodes the target's instructions as they are in memory now, earlier
// jumps included.
type codeReader struct {
	space *Space
	mem   *window // instructions
	data  *window // slots, and bytes in front of single addresses
	cur   arch.Inst
	does  arch.Transfer // of cur
	known [plainCacheSize]plainFunc
}

// plainCacheSize is the number of functions of which it is remembered whether they are plain.
const plainCacheSize = 64

type plainFunc struct {
	start  arch.Addr
	plain  bool
	exact  bool
	byRA   bool // see returnsByRA
	asked  bool // framed is known
	framed bool
}

// function is the code that one FDE describes.
type function struct {
	Range
	module int
	fde    *cfi.FDE // nil: code without call frame information that is understood
}

// functionAt returns the function that covers a; ok is false if there is none, or if
// it is not executable throughout.
func (c *codeReader) functionAt(a arch.Addr) (f function, ok bool) {
	f.module = c.space.find(a)
	if f.module < 0 {
		return f, false
	}
	m := &c.space.Modules[f.module]
	if f.fde = m.fde(a); f.fde == nil {
		return f, false
	}
	f.Range = Range{Start: f.fde.Start.In(m.Bias), End: f.fde.End.In(m.Bias)}
	exec, ok := m.execRange(f.Start)
	return f, ok && f.End <= exec.End && f.End-f.Start <= maxFunc
}

// functionOf returns the function of a frame that was walked.
func (c *codeReader) functionOf(fr *Frame) (f function, ok bool) {
	if fr.FDE == nil {
		return function{Range: fr.bare, module: fr.Module}, fr.bare != Range{}
	}
	return c.functionAt(fr.lookup())
}

// inst decodes the instruction at a, which must end at or before end.
func (c *codeReader) inst(a, end arch.Addr) (arch.Inst, error) {
	n := min(uint64(end-a), uint64(c.space.Arch.MaxInst))
	if off := uint64(a - c.mem.base); off >= uint64(len(c.mem.buf)) || uint64(len(c.mem.buf))-off < n {
		if err := c.mem.load(a, end); err != nil {
			return arch.Inst{}, err
		}
	}
	off := uint64(a - c.mem.base)
	in, err := c.space.Arch.Decode(c.mem.buf[off : off+n])
	if err == nil && in.Len <= 0 {
		err = errors.New("instruction has no length")
	}
	return in, err
}

// each decodes the instructions of f in order and calls fn with each one's address,
// until fn returns false.
func (c *codeReader) each(f *function, fn func(at arch.Addr, in *arch.Inst) bool) error {
	in := &c.cur
	for at := f.Start; at < f.End; at += arch.Addr(in.Len) {
		var err error
		if *in, err = c.inst(at, f.End); err != nil {
			return fmt.Errorf("instruction at %#x: %w", at, err)
		}
		if !fn(at, in) {
			return nil
		}
	}
	return nil
}

var errBoundary = errors.New("no instruction ends there")

// before returns the instruction of f that ends at a, decoding from the start of f, so
// that no bytes within another instruction are taken for one.
func (c *codeReader) before(f *function, a arch.Addr) (at arch.Addr, in arch.Inst, err error) {
	err = c.each(f, func(pos arch.Addr, i *arch.Inst) bool {
		at, in = pos, *i
		return pos+arch.Addr(i.Len) < a
	})
	if err == nil && at+arch.Addr(in.Len) != a {
		err = errBoundary
	}
	return at, in, err
}

// inSyscall reports whether a thread at pc in f is in a system call: it stands
// behind the instruction, or at it, to enter it again.
func (c *codeReader) inSyscall(f *function, pc arch.Addr) bool {
	if in, err := c.inst(pc, f.End); err == nil && in.Flow == arch.FlowSyscall {
		return true
	}
	_, in, err := c.before(f, pc)
	return err == nil && in.Flow == arch.FlowSyscall
}

// plain reports whether control leaves f only by calls, by direct jumps, by jumps
// through slots at fixed addresses, and by returns that take the return address
// which its call frame information names. Indirect jumps in the midst of a standing
// frame are switches, whose targets lie in f. In such a function no word of a register or of the
// frame can be where the thread goes next. A thunk, which jumps to where a
// register says or returns to an address that it pushed itself, is not plain.
func (c *codeReader) plain(f *function) bool {
	if f.fde == nil {
		return true // stubs jump through fixed slots, and what has no frame returns by the register that the walk used
	}
	return c.remember(f).plain
}

// remember returns what is known of f, which has call frame information.
func (c *codeReader) remember(f *function) *plainFunc {
	k := &c.known[uint64(f.Start/16)%plainCacheSize]
	if k.start != f.Start {
		*k = plainFunc{start: f.Start, plain: c.leavesPlainly(f), exact: !c.linked() || c.followsCode(f), byRA: !c.linked() || c.keepsReturn(f)}
	}
	return k
}

// leavesPlainly computes plain.
func (c *codeReader) leavesPlainly(f *function) bool {
	plain := true
	err := c.each(f, func(at arch.Addr, in *arch.Inst) bool {
		plain = !c.leavesByWord(f, at, in)
		return plain
	})
	return plain && err == nil
}

// leavesByWord reports whether an instruction of f can go where a register or a word of
// the stack says, other than by a return to its caller or by a switch: an indirect jump
// with no frame standing, a return with a frame standing, or a call within the function,
// whose return address is there to be overwritten.
func (c *codeReader) leavesByWord(f *function, at arch.Addr, in *arch.Inst) bool {
	switch in.Flow {
	case arch.FlowNext:
		return c.linked() && c.replacesReturn(f, at, in)
	case arch.FlowReturn:
		if c.linked() {
			return c.returnsElsewhere(f, at)
		}
		return !c.atEntryCFA(f, at)
	case arch.FlowJumpInd:
		_, fixed := c.slot(at, in)
		return !fixed && c.atEntryCFA(f, at)
	case arch.FlowCall:
		to := at + arch.Addr(in.Target)
		return f.Contains(to) && to != f.Start
	}
	return false
}

// atEntryCFA reports whether the frame of f is set up at a as where a function starts:
// nothing lies on the stack but what the caller put there, and not even all of that where the function takes some of it off.
func (c *codeReader) atEntryCFA(f *function, a arch.Addr) bool {
	row, err := c.row(f, a)
	if err != nil {
		return false
	}
	entry := f.fde.CIE.EntryCFA()
	return row.CFA == entry || c.linked() && row.CFA.Kind == entry.Kind && row.CFA.Reg == entry.Reg && row.CFA.Off < entry.Off
}

// mayCall reports whether the bytes in front of a can be a call. Where they cannot be
// read, they can.
func (c *codeReader) mayCall(a arch.Addr) bool {
	n := c.space.Arch.MaxInst
	if i := c.space.find(a - 1); i >= 0 {
		if r, ok := c.space.Modules[i].execRange(a - 1); ok && uint64(a-r.Start) < uint64(n) {
			n = int(a - r.Start)
		}
	}
	code, err := c.data.view(a-arch.Addr(n), n)
	if err != nil {
		return true
	}
	_, ok := c.space.Arch.CallBefore(code)
	return ok
}

// isSigreturn reports whether the code at pc does nothing but return from a signal's
// handler: loads a number and enters the kernel.
func (c *codeReader) isSigreturn(f *function, pc arch.Addr) bool {
	for range 2 {
		in, err := c.inst(pc, f.End)
		if err != nil || in.Flow != arch.FlowNext {
			return err == nil && in.Flow == arch.FlowSyscall
		}
		if pc += arch.Addr(in.Len); !f.Contains(pc) {
			return false
		}
	}
	in, err := c.inst(pc, f.End)
	return err == nil && in.Flow == arch.FlowSyscall
}

// slot returns the address of the slot that the instruction at jumps through: its
// pc-relative memory operand, or what a stub's instructions in front of it load.
func (c *codeReader) slot(at arch.Addr, in *arch.Inst) (arch.Addr, bool) {
	if st, ok := c.stubEnding(at + arch.Addr(in.Len)); ok {
		return st.To, st.Slot
	}
	for i := range in.NumOps {
		if op := &in.Ops[i]; op.Kind == arch.OpPC && !op.Addr && !op.Seg {
			return at + arch.Addr(op.Value), true
		}
	}
	return 0, false
}

// stub describes the code at a, if it is a stub.
func (c *codeReader) stub(a arch.Addr) (arch.Stub, bool) {
	i := c.space.find(a)
	if i < 0 {
		return arch.Stub{}, false
	}
	exec, ok := c.space.Modules[i].execRange(a)
	if !ok {
		return arch.Stub{}, false
	}
	return c.space.stub(c.data, exec, a)
}

// stubEnding finds instructions that end at a and are as a stub's: the shortest.
func (c *codeReader) stubEnding(a arch.Addr) (arch.Stub, bool) {
	if c.space.Arch.Unwind.Stub == nil {
		return arch.Stub{}, false
	}
	inst := c.space.Arch.MaxInst
	for n := 2 * inst; n <= maxStub; n += inst {
		if st, ok := c.stub(a - arch.Addr(n)); ok && st.Len == n {
			return st, true
		}
	}
	return arch.Stub{}, false
}

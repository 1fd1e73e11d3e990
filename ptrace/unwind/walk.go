package unwind

import (
	"errors"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Reasons why a frame cannot be left, wrapped in a [WalkError].
var (
	ErrNoModule = errors.New("no module holds the pc")
	ErrNotExec  = errors.New("pc is not in an executable part of its module")
	ErrNoCFI    = errors.New("no call frame information for the pc")
	ErrNoRegs   = errors.New("pc or stack pointer is not known")
	ErrNoSlot   = errors.New("return address lies above the frame, where no stub has put it")
	ErrStuck    = errors.New("caller's frame is not above this one")
	ErrTooDeep  = errors.New("too many frames")
)

// Bounds of one walk. Stack pointers increase from frame to frame, except across
// signal frames, so that only these could make a walk endless.
const (
	maxDepth   = 1 << 16
	maxSignals = 64
)

// rowCacheSize is the number of rows that a checker's walker keeps. Blocked threads share
// most of their frames' program counters.
const rowCacheSize = 128

// cachedRow is the row for a frame's lookup address, which is zero if there is none.
type cachedRow struct {
	pc   arch.Addr
	fde  *cfi.FDE
	bare Range
	push arch.Addr
	row  cfi.Row
}

// walker leads from frame to frame. It allocates nothing.
type walker struct {
	space   *Space
	mem     *window
	text    *window     // code without call frame information
	rows    []cachedRow // direct-mapped by lookup address; at least one
	frame   Frame
	depth   int       // frames that were left
	signals int       // signal frames that were left
	slot    arch.Addr // where step read the return address; zero: not from memory at a fixed offset
}

// Walk visits the frames of a thread from the innermost to its start, until visit
// returns false. The Frame is valid only during the call. regs must hold the program
// counter and the stack pointer. The result is nil if the start was reached or visit ended the
// walk, and a [*WalkError] otherwise; the frame that could not be left is visited too.
//
// What it finds is as good as the call frame information: return addresses are not
// checked against calls. [Checker.Check] does that.
func (s *Space) Walk(regs *cfi.Regs, mem cfi.Memory, visit func(*Frame) bool) error {
	w := newWalker(s, 1)
	w.reset(mem)
	w.begin(regs)
	for {
		next, err := w.step()
		if !visit(&w.frame) {
			return nil
		}
		if err != nil || w.frame.Last {
			return err
		}
		w.advance(&next)
	}
}

// newWalker returns a walker that remembers a number of rows, without a memory.
func newWalker(s *Space, rows int) *walker {
	return &walker{space: s, mem: newWindow(nil, pageSize), text: newWindow(nil, pageSize), rows: make([]cachedRow, rows)}
}

// reset changes to another memory, or to what the memory holds now.
func (w *walker) reset(mem cfi.Memory) {
	w.mem.reset(mem)
	w.text.reset(mem)
}

// begin sets the walker to the innermost frame.
func (w *walker) begin(regs *cfi.Regs) {
	w.frame = Frame{Regs: *regs}
	w.depth, w.signals = 0, 0
}

// step completes the current frame, and returns the registers of its caller unless it
// is the last one. An error is a *WalkError.
func (w *walker) step() (caller cfi.Regs, err error) {
	f := &w.frame
	row, err := w.locate()
	if err != nil {
		return caller, w.fail(err)
	}
	f.Signal = row.SignalFrame
	if row.Outermost() {
		f.Last, f.CFA = true, f.sp(w.space.Arch)
		return caller, nil
	}
	caller, f.CFA, err = row.Step(&f.Regs, w.mem)
	if err != nil {
		return caller, w.fail(err)
	}
	w.slot = 0
	if ra := row.Regs[row.RA]; ra.Kind == cfi.RuleOffset {
		w.slot = f.CFA + arch.Addr(ra.Off)
	}
	f.CFA += f.push
	caller.Val[w.space.Arch.DWARF.SP] += uint64(f.push)
	return caller, w.checkProgress(&caller)
}

// checkProgress makes sure that the walk goes on and ends.
func (w *walker) checkProgress(caller *cfi.Regs) error {
	f := &w.frame
	d := &w.space.Arch.DWARF
	caller.Val[d.PCReg()] &^= w.space.ignored()
	sp, ok := caller.Get(d.SP)
	if !ok {
		return w.fail(ErrNoRegs)
	}
	switch cur := f.sp(w.space.Arch); {
	case f.Signal:
		if w.signals++; w.signals > maxSignals {
			return w.fail(ErrTooDeep)
		}
	case arch.Addr(sp) < cur, arch.Addr(sp) == cur && f.Return:
		// A leaf, or a function that has already taken its return address off the
		// stack, may have no frame at all; who has called another must have one.
		return w.fail(ErrStuck)
	}
	if w.depth >= maxDepth {
		return w.fail(ErrTooDeep)
	}
	return nil
}

// advance makes the caller the current frame.
func (w *walker) advance(caller *cfi.Regs) {
	w.depth++
	w.frame = Frame{Regs: *caller, Return: !w.frame.Signal}
}

// locate finds the current frame's module, FDE and row.
func (w *walker) locate() (*cfi.Row, error) {
	f := &w.frame
	d := &w.space.Arch.DWARF
	f.Module = -1
	pc, okPC := f.Regs.Get(d.PCReg())
	_, okSP := f.Regs.Get(d.SP)
	if !okPC || !okSP {
		return nil, ErrNoRegs
	}
	f.PC = arch.Addr(pc)
	at := f.lookup()
	slot := &w.rows[uint64(at)%uint64(len(w.rows))]
	f.Module = w.space.find(at)
	if f.Module < 0 {
		return nil, ErrNoModule
	}
	if slot.pc == at && at != 0 {
		f.FDE, f.bare, f.push = slot.fde, slot.bare, slot.push
		return &slot.row, nil
	}
	m := &w.space.Modules[f.Module]
	if !m.executable(at) {
		return nil, ErrNotExec
	}
	row, err := w.row(m, at)
	if err != nil {
		return nil, err
	}
	if f.FDE != nil {
		if f.push, err = w.pushed(f.FDE); err != nil {
			return nil, err
		}
	}
	*slot = cachedRow{pc: at, fde: f.FDE, bare: f.bare, push: f.push, row: row}
	return &slot.row, nil
}

// row finds the row for the current frame, whose lookup address is at. A handler of a signal returns to the start of
// code that need not have call frame information, though the code in front of it, where lookup leads, may have.
func (w *walker) row(m *Module, at arch.Addr) (cfi.Row, error) {
	f := &w.frame
	f.FDE = m.fde(at)
	if f.FDE == nil || f.PC != at && f.FDE.End.In(m.Bias) == f.PC {
		if b, ok := w.space.bare(m, w.text, f); ok {
			f.FDE, f.bare = nil, b.Range
			return b.row, nil
		}
	}
	if f.FDE == nil {
		return cfi.Row{}, ErrNoCFI
	}
	return f.FDE.Row(arch.ImageAddr(at - m.Bias))
}

// pushed returns how many bytes the head of the PLT has put onto the stack before the function of an FDE was entered: the resolver of lazy binding,
// whose call frame information (glibc, sysdeps/aarch64/dl-trampoline.S) has its CFA below them, and the return address, which is one of
// them, above the CFA. At its first instruction it does not say so yet; at its last one it does.
func (w *walker) pushed(fde *cfi.FDE) (arch.Addr, error) {
	a := w.space.Arch
	if a.Unwind.PLTPush == 0 {
		return 0, nil
	}
	last, err := fde.Row(fde.End - 1)
	if err != nil {
		return 0, err
	}
	ra := last.Regs[last.RA]
	switch {
	case last.SignalFrame || ra.Kind != cfi.RuleOffset || ra.Off < 0:
		return 0, nil
	case ra.Off != int64(a.Unwind.PLTPush-a.PtrSize):
		return 0, ErrNoSlot
	}
	return arch.Addr(a.Unwind.PLTPush), nil
}

// fde returns the FDE that covers a, or nil.
func (m *Module) fde(a arch.Addr) *cfi.FDE {
	if m.CFI == nil {
		return nil
	}
	return m.CFI.Find(arch.ImageAddr(a - m.Bias))
}

// fail wraps an error of the current frame.
func (w *walker) fail(err error) error {
	e := &WalkError{Depth: w.depth, PC: w.frame.PC, Err: err}
	if w.frame.Module >= 0 {
		e.Module = w.space.Modules[w.frame.Module].Name
	}
	return e
}

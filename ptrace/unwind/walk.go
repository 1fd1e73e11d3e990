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
	pc  arch.Addr
	fde *cfi.FDE
	row cfi.Row
}

// walker leads from frame to frame. It allocates nothing.
type walker struct {
	space   *Space
	mem     *window
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
	w := &walker{space: s, mem: newWindow(mem, pageSize), rows: make([]cachedRow, 1)}
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
	if ra := row.Regs[w.space.Arch.DWARF.RA]; ra.Kind == cfi.RuleOffset {
		w.slot = f.CFA + arch.Addr(ra.Off)
	}
	return caller, w.checkProgress(&caller)
}

// checkProgress makes sure that the walk goes on and ends.
func (w *walker) checkProgress(caller *cfi.Regs) error {
	f := &w.frame
	d := &w.space.Arch.DWARF
	caller.Val[d.PCReg()] &^= w.space.PACMask
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
		f.FDE = slot.fde
		return &slot.row, nil
	}
	m := &w.space.Modules[f.Module]
	if !m.executable(at) {
		return nil, ErrNotExec
	}
	if f.FDE = m.fde(at); f.FDE == nil {
		return nil, ErrNoCFI
	}
	row, err := f.FDE.Row(arch.ImageAddr(at - m.Bias))
	if err != nil {
		return nil, err
	}
	*slot = cachedRow{pc: at, fde: f.FDE, row: row}
	return &slot.row, nil
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

package unwind

import (
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// sawSignal notes that the word w at address at shows a signal frame: it is one's mark, or the return address of a handler.
func (c *Checker) sawSignal(at, w arch.Addr) {
	var sp arch.Addr
	var ok bool
	if c.index.sigreturn(w) {
		sp, ok = c.interruptedSP(at, w)
	} else {
		sp, ok = c.markedSP(at)
	}
	if !ok || !c.home.contains(sp) {
		sp = 0
	}
	c.interrupted = min(c.interrupted, sp)
}

// interruptedSP returns the stack pointer in the signal frame that lies behind the word w
// at address at, if w is the return address of a handler; ok is false if that cannot be told.
func (c *Checker) interruptedSP(at, w arch.Addr) (sp arch.Addr, ok bool) {
	d := &c.space.Arch.DWARF
	i := c.space.find(w)
	if d.PCReg() != d.RA || i < 0 {
		return 0, false // a handler's return address need not lie directly below the signal frame
	}
	m := &c.space.Modules[i]
	fde := m.fde(w)
	if fde == nil {
		return 0, false
	}
	row, err := fde.Row(arch.ImageAddr(w - m.Bias))
	if err != nil {
		return 0, false
	}
	var regs cfi.Regs
	regs.Set(d.SP, uint64(at)+uint64(c.space.Arch.PtrSize))
	caller, _, err := row.Step(&regs, c.walk.mem)
	v, ok := caller.Get(d.SP)
	return arch.Addr(v), ok && err == nil
}

// stranger looks on a stack that is not the thread's own for the frame of a signal that interrupted the thread on a stack that nobody has named: one
// alternate stack after another (SS_AUTODISARM), or an alternate stack when the program had changed to a context of its own. What lies there is not
// seen, so that nothing is proven. sp is on s.
func (c *Checker) stranger(s *Stack, sp arch.Addr) (finding, bool) {
	size := arch.Addr(c.space.Arch.PtrSize)
	for lo, hi := max(sp-min(sp, size), s.Low), s.High&^(size-1); lo < hi; { // the return address of a handler that has just returned lies below sp
		if off := uint64(lo - c.stack.base); off >= uint64(len(c.stack.buf)) {
			if err := c.stack.load(lo, hi); err != nil {
				return finding{target: -1, addr: lo, why: fmt.Sprintf("stack at %#x cannot be read: %v", lo, err)}, true
			}
		}
		buf := c.stack.buf[lo-c.stack.base:]
		buf = buf[:min(uint64(len(buf)), uint64(hi-lo))]
		for ; len(buf) >= int(size); buf, lo = buf[size:], lo+size {
			at, is, ok := c.signalAt(lo, binary.LittleEndian.Uint64(buf))
			if !is {
				continue
			}
			known := false
			for i := range c.stacks {
				known = known || c.stacks[i].contains(at)
			}
			if !ok || !known {
				return finding{target: -1, addr: lo, why: fmt.Sprintf("a signal interrupted the thread at the stack pointer %#x, on a stack that is not known: "+
					"alternate stacks one after another, or contexts that the program changes between", at)}, true
			}
		}
	}
	return finding{}, false
}

// signalAt reports whether the word v at address at shows that a signal frame is there, and the stack pointer in it; ok is false if that cannot be told.
func (c *Checker) signalAt(at arch.Addr, v uint64) (sp arch.Addr, is, ok bool) {
	f := &c.space.Arch.Unwind.Signal
	if f.Mark == 0 {
		if w := arch.Addr(v &^ c.index.mask); c.index.sigreturn(w) {
			sp, ok = c.interruptedSP(at, w)
			return sp, true, ok
		}
		return 0, false, false
	}
	if v != f.Mark {
		return 0, false, false
	}
	sp, ok = c.markedSP(at)
	return sp, true, ok
}

// markedSP returns the stack pointer in the signal frame whose mark is at address at; ok is false if it cannot be read.
func (c *Checker) markedSP(at arch.Addr) (sp arch.Addr, ok bool) {
	f := &c.space.Arch.Unwind.Signal
	v, err := c.walk.mem.ReadUint(at-arch.Addr(f.MarkAt-f.Regs[c.space.Arch.DWARF.SP]), c.space.Arch.PtrSize)
	return arch.Addr(v), err == nil
}

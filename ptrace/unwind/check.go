package unwind

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Stack is a mapping in which a thread has frames.
type Stack struct {
	// Low and High bound the stack. A mapping may hold more above a thread's stack than that, an
	// alternate stack for instance, so High should be the thread pointer where that is
	// in the mapping: all frames of a thread's own stack lie below it.
	Low, High arch.Addr

	// Own: the thread was started on it ([stack], or the mapping that holds the thread
	// pointer). Others are alternate signal stacks and the like, in which SP lies now.
	Own bool
}

// contains reports whether a lies in the stack. The first address of an empty stack,
// High, counts.
func (s *Stack) contains(a arch.Addr) bool { return a >= s.Low && a <= s.High }

// Thread is a stopped thread, as the caller knows it.
type Thread struct {
	TID    int
	Regs   cfi.Regs // all general registers, and the program counter
	Stacks []Stack  // its own one, and the one that holds SP if that is another
}

// Activity is the result of a check.
type Activity struct {
	Active bool
	Proven string  // how idleness was shown: "scan" (no word matches) or "cfi" (a complete walk dismisses those that do)
	Target int     // Active: index of the target in question, or -1 if there was none yet
	Where  string  // Active: what refers to the target: "pc", "register rbx", "word at 0x..., 0x38 above sp", "frame 2"
	Why    string  // Active: what could not be shown; "" where the thread is in the target beyond doubt
	Frames []Frame // Active: the innermost frames, as far as they could be walked; at most MaxFrames
	Walked int     // idle by CFI: the frames that were verified
}

// Proofs of idleness.
const (
	ByScan = "scan"
	ByCFI  = "cfi"
)

// MaxFrames is the greatest number of frames that an Activity holds.
const MaxFrames = 64

// scanBuffer is what a checker reads of a stack at once, in bytes.
const scanBuffer = 64 << 10

// Checker decides whether threads are active in targets. It owns the buffers
// for one check at a time, so it must not be used by two goroutines at once. It
// remembers rows and verified call sites; it may be used again after the process has
// run, but not after modules were unloaded or text was changed.
type Checker struct {
	space *Space
	index *index
	stack window
	code  codeReader
	walk  walker
	sites [siteCacheSize]site
	spans [maxSpans]span

	// interrupted is the lowest stack pointer that a signal frame seen in this check may
	// hold; zero if one could not be read, or lies outside of the stack in home.
	interrupted arch.Addr
	home        Stack   // that holds SP
	stacks      []Stack // of the thread
}

// NewChecker returns a checker for targets, whose order the results refer to. All memory that
// checks of idle threads need is allocated here.
func NewChecker(space *Space, targets []Target) *Checker {
	c := &Checker{space: space, index: newIndex(targets, space.sigreturns(), space.ignored(), space.Arch.Unwind.Signal.Mark)}
	c.stack = *newWindow(nil, scanBuffer)
	c.code = codeReader{space: space, mem: newWindow(nil, scanBuffer), data: newWindow(nil, pageSize)}
	c.walk = *newWalker(space, rowCacheSize)
	return c
}

// Check decides whether t is active in a target. It allocates nothing if a scan shows that it is not.
//
// Preconditions: the thread is stopped, and nothing else runs in its address space.
func (c *Checker) Check(t *Thread, mem cfi.Memory) Activity {
	c.interrupted = ^arch.Addr(0)
	c.index.mask = c.space.ignored()
	c.stack.reset(mem)
	c.code.mem.reset(mem)
	c.code.data.reset(mem)
	c.walk.reset(mem)
	d := &c.space.Arch.DWARF
	pc, okPC := t.Regs.Get(d.PCReg())
	sp, okSP := t.Regs.Get(d.SP)
	if !okPC || !okSP {
		return c.active(t, finding{target: -1, why: ErrNoRegs.Error()})
	}
	if i := c.index.executing(arch.Addr(pc)); i >= 0 {
		return c.active(t, finding{target: i, where: "pc"})
	}
	home := -1 // the stack that holds sp
	for i := range t.Stacks {
		if t.Stacks[i].contains(arch.Addr(sp)) && (home < 0 || t.Stacks[i].Own) {
			home = i
		}
	}
	if home < 0 || sp%uint64(c.space.Arch.PtrSize) != 0 {
		return c.active(t, finding{target: -1, why: fmt.Sprintf("stack pointer %#x is misaligned or outside of the thread's known stacks", sp)})
	}
	c.home, c.stacks = t.Stacks[home], t.Stacks
	hit, found := c.scan(t, home, arch.Addr(sp))
	switch {
	case !found:
		return Activity{Proven: ByScan, Target: -1}
	case hit.why != "":
		return c.active(t, hit)
	}
	if doubt, ok := c.dismiss(t, hit); !ok {
		return c.active(t, doubt)
	}
	return Activity{Proven: ByCFI, Target: -1, Walked: c.walk.depth + 1}
}

// finding is something that speaks for a thread being active.
type finding struct {
	target int       // index in the index's order; -1: none
	where  string    // "" for a word of a stack
	addr   arch.Addr // of the word
	reg    bool      // where is a register
	why    string    // reason for a doubt
}

// sigreturns returns the code that handlers of signals return to, as far as call frame
// information says so (augmentation 'S', which glibc has). On architectures whose signal frames have no mark, a C library without it
// (musl) hides from the scan a handler that runs on an alternate stack within the
// thread's own one; on any other stack the handler is seen by its stack pointer.
func (s *Space) sigreturns() []Range {
	var all []Range
	for i := range s.Modules {
		m := &s.Modules[i]
		all = append(all, m.Sigreturns...)
		if m.CFI == nil {
			continue
		}
		for _, f := range m.CFI.FDEs() {
			if f.SignalFrame {
				all = append(all, Range{Start: f.Start.In(m.Bias), End: f.End.In(m.Bias)})
			}
		}
	}
	return all
}

// scan looks at the registers, and then at the live part of the stacks, and returns
// the first thing that refers to a target.
func (c *Checker) scan(t *Thread, home int, sp arch.Addr) (finding, bool) {
	d := &c.space.Arch.DWARF
	for n := range d.NumRegs {
		v, ok := t.Regs.Get(n)
		w := arch.Addr(v &^ c.index.mask)
		switch i := c.hit(w); {
		case !ok:
		case n == d.PCReg():
			// It was looked at, as one. A handler may have returned by now.
			if c.index.sigreturn(w) {
				c.sawSignal(sp-arch.Addr(c.space.Arch.PtrSize), w)
			}
		case i >= 0:
			return finding{target: i, where: d.Names[n], reg: true}, true
		case c.code.linked() && c.index.sigreturn(w):
			c.interrupted = 0 // a handler's return address, which it has not put onto the stack
		}
	}
	if !t.Stacks[home].Own {
		if f, found := c.stranger(&t.Stacks[home], sp); found {
			return f, true
		}
	}
	for i := range t.Stacks {
		lo, hi := c.live(t, i, home, sp)
		f, found := c.nextHit(lo, hi)
		if i == home && t.Stacks[i].Own {
			// SP may be on an alternate stack that is a part of this one, above the frames
			// that a signal interrupted.
			for bottom, _ := c.live(t, i, -1, 0); !found && c.interrupted < lo && lo > bottom; {
				end := lo
				if lo = bottom; t.Stacks[i].contains(c.interrupted) {
					lo, _ = c.live(t, i, home, c.interrupted)
				}
				f, found = c.nextHit(lo, end)
			}
		}
		if found {
			return f, true
		}
	}
	return finding{}, false
}

// live returns the part of stack i that may hold return addresses: all of it if SP is in
// another stack than the thread's own.
func (c *Checker) live(t *Thread, i, home int, sp arch.Addr) (lo, hi arch.Addr) {
	s := &t.Stacks[i]
	word := arch.Addr(c.space.Arch.PtrSize - 1)
	lo, hi = (s.Low+word)&^word, s.High&^word
	if i == home && s.Own {
		if zone := arch.Addr(c.space.Arch.RedZone); sp >= lo+zone {
			lo = (sp - zone) &^ word
		}
	}
	return lo, max(lo, hi)
}

// hit returns the target that a word may lead into, or -1.
func (c *Checker) hit(w arch.Addr) int {
	i, atEnd := c.index.word(w)
	if atEnd && !c.code.mayCall(w) {
		return -1
	}
	return i
}

// nextHit returns the first word in [lo, hi) that may lead into a target.
func (c *Checker) nextHit(lo, hi arch.Addr) (finding, bool) {
	for lo < hi {
		if off := uint64(lo - c.stack.base); off >= uint64(len(c.stack.buf)) {
			if err := c.stack.load(lo, hi); err != nil {
				return finding{target: -1, addr: lo, why: fmt.Sprintf("stack at %#x cannot be read: %v", lo, err)}, true
			}
		}
		buf := c.stack.buf[lo-c.stack.base:]
		buf = buf[:min(uint64(len(buf)), uint64(hi-lo))]
		off := c.index.next(buf)
		if off < 0 {
			lo += arch.Addr(len(buf))
			continue
		}
		at := lo + arch.Addr(off)
		w := arch.Addr(word(buf[off:]) &^ c.index.mask)
		if i := c.hit(w); i >= 0 {
			return finding{target: i, addr: at}, true
		}
		if c.index.signal(w) {
			c.sawSignal(at, w)
		}
		lo = at + arch.Addr(c.space.Arch.PtrSize)
	}
	return finding{}, false
}

// active builds the result for a thread that is, or may be, active.
func (c *Checker) active(t *Thread, f finding) Activity {
	a := Activity{Active: true, Target: -1, Where: f.where, Why: f.why}
	if f.target >= 0 {
		a.Target = c.index.order[f.target]
	}
	switch {
	case f.reg:
		a.Where = "register " + f.where
	case f.where == "" && f.addr != 0:
		sp := t.Regs.Val[c.space.Arch.DWARF.SP]
		a.Where = fmt.Sprintf("word at %#x, %#x above sp", f.addr, uint64(f.addr)-sp)
		if uint64(f.addr) < sp {
			a.Where = fmt.Sprintf("word at %#x, %#x below sp", f.addr, sp-uint64(f.addr))
		}
	}
	c.walk.begin(&t.Regs)
	for len(a.Frames) < MaxFrames {
		caller, err := c.walk.step()
		a.Frames = append(a.Frames, c.walk.frame)
		if err != nil || c.walk.frame.Last {
			break
		}
		c.walk.advance(&caller)
	}
	return a
}

package unwind

import (
	"encoding/binary"
	"errors"
	"fmt"

	"hotpatch/arch"
)

// maxSpans bounds the contiguous pieces of stack that a walk crosses: one, and two more
// for each change to an alternate stack and back.
const maxSpans = 2 * maxSignals

// signalSpan is how far behind the kernel's signal frame its register state can
// reach, where nothing else bounds it: with AMX tiles about 11 KiB on x86-64, in bytes.
const signalSpan = 16 << 10

// span is a piece of a stack that the frames of a walk cover without a gap.
type span struct {
	Range
	stack int // index in Thread.Stacks
}

// chain is the state of one verified walk.
type chain struct {
	c     *Checker
	t     *Thread
	spans []span

	prev    function // of the frame below
	prevSig bool     // the frame below is a signal frame
	hadPrev bool

	pending    Range // what an unfinished signal frame covers
	hasPending bool
}

// doubt is the reason why a frame cannot be verified.
type doubt struct {
	finding
	err error
}

// dismiss walks the whole stack of t and verifies that all words that refer to targets
// are stale; hit is the first of them. ok is false if the thread is active, or if that
// cannot be excluded; the finding says which.
func (c *Checker) dismiss(t *Thread, hit finding) (f finding, ok bool) {
	ch := chain{c: c, t: t, spans: c.spans[:0]}
	c.walk.begin(&t.Regs)
	for {
		caller, err := c.walk.step()
		if err != nil {
			hit.why = err.Error()
			return hit, false
		}
		if d := ch.frame(&c.walk.frame, arch.Addr(caller.Val[c.space.Arch.DWARF.SP]), hit.reg); d != nil {
			if d.err == nil {
				return d.finding, false // certainly active
			}
			if d.target < 0 {
				d.finding = hit
			}
			d.why = c.walk.fail(d.err).Error()
			return d.finding, false
		}
		if c.walk.frame.Last {
			break
		}
		c.walk.advance(&caller)
	}
	return ch.rest()
}

var (
	errOffStack = errors.New("frame lies outside of the thread's known stacks, or changes the stack by a call")
	errTail     = errors.New("a register or word of the frame could be where its code jumps, and the thread is not in a system call")
	errSecond   = errors.New("the frame holds another return address that fits it")
	errReturn   = errors.New("return address leads to a signal frame, but not to its code")
	errGap      = errors.New("word lies outside of the frames that were walked")
	errNotOwn   = errors.New("walk ends on another stack than the thread's own")
	errSpans    = errors.New("walk changes the stack too often")
	errInexact  = errors.New("call frame information of the function does not follow its code (none for every instruction)")
	errNoFunc   = errors.New("function of the frame is not executable throughout, or too large")
)

// frame verifies one frame, the next one's stack pointer being callerSP. regs says that
// a register refers to a target. Nil: nothing is wrong.
func (ch *chain) frame(f *Frame, callerSP arch.Addr, regs bool) *doubt {
	c := ch.c
	target := -1
	if f.Return {
		target = c.index.returning(f.PC)
	} else {
		target = c.index.executing(f.PC)
	}
	if target >= 0 {
		return &doubt{finding: finding{target: target, where: fmt.Sprintf("frame %d", c.walk.depth)}}
	}
	fn, ok := c.code.functionOf(f)
	if !ok {
		return &doubt{finding: finding{target: -1}, err: errNoFunc}
	}
	if !f.Return && !f.Signal && !c.code.exact(&fn) && !(c.code.returnsByRA(&fn) && c.code.inSyscall(&fn, f.PC)) {
		return &doubt{finding: finding{target: -1}, err: errInexact}
	}
	if err := ch.link(f, &fn); err != nil {
		return &doubt{finding: finding{target: -1}, err: err}
	}
	if regs && !ch.hadPrev && !ch.quiet(f, &fn) {
		return &doubt{finding: finding{target: -1}, err: errTail}
	}
	if d := ch.finishSignal(f, &fn); d != nil {
		return d
	}
	if d := ch.cover(f, &fn, callerSP); d != nil {
		return d
	}
	ch.prev, ch.prevSig, ch.hadPrev = fn, f.Signal, true
	return nil
}

// quiet reports whether no register and no word of f can be where its code jumps to
// next (as a thunk does that dispatches a switch): f was calling, is in the kernel, or has
// no such code.
func (ch *chain) quiet(f *Frame, fn *function) bool {
	return f.Return || ch.c.code.plain(fn) && !ch.aimed(f, fn) || ch.c.code.inSyscall(fn, f.PC)
}

// aimed reports whether f may be in a stub that is about to jump into the midst of a target: where it jumps has been computed.
func (ch *chain) aimed(f *Frame, fn *function) bool {
	if p := ch.c.space.Arch.Pieces; fn.fde == nil && p != nil {
		for n := range ch.c.space.Arch.DWARF.NumRegs {
			if v, ok := f.Regs.Get(n); ok && p.Veneers.Has(arch.Reg(n)) && ch.c.hit(arch.Addr(v&^ch.c.index.mask)) >= 0 {
				return true
			}
		}
	}
	return false
}

// link verifies how control came from this frame to the one below.
func (ch *chain) link(f *Frame, fn *function) error {
	switch {
	case !ch.hadPrev || ch.prevSig:
		return nil // the innermost frame; or one that was interrupted
	case f.Signal:
		if !ch.c.code.isSigreturn(fn, f.PC) {
			return errReturn
		}
		return nil
	}
	return ch.c.code.checkLink(f.PC, ch.prev.Range, &ch.c.sites)
}

// finishSignal covers the signal frame below f, which f was interrupted by.
func (ch *chain) finishSignal(f *Frame, fn *function) *doubt {
	if !ch.hasPending {
		return nil
	}
	ch.hasPending = false
	r := ch.pending
	if sp := f.sp(ch.c.space.Arch); r.Contains(sp) {
		r.End = sp
	}
	if hit, found := ch.c.nextHit(r.Start, r.End); found && (hit.why != "" || !ch.quiet(f, fn)) {
		return &doubt{finding: hit, err: errTail}
	}
	return ch.extend(r)
}

// cover verifies the words of f itself, which reaches up to callerSP, and adds it to the spans.
func (ch *chain) cover(f *Frame, fn *function, callerSP arch.Addr) *doubt {
	a := ch.c.space.Arch
	r := Range{Start: f.sp(a), End: callerSP}
	i := ch.stackOf(r.Start)
	if i < 0 {
		return &doubt{finding: finding{target: -1}, err: errOffStack}
	}
	s := &ch.t.Stacks[i]
	switch {
	case f.Signal:
		ch.pending, ch.hasPending = Range{Start: r.Start, End: min(r.Start+signalSpan, s.High)}, true
		return nil
	case f.Last:
		if !s.Own {
			return &doubt{finding: finding{target: -1}, err: errNotOwn}
		}
		r.End = r.Start
	case r.End > s.High:
		return &doubt{finding: finding{target: -1}, err: errOffStack}
	}
	if hit, found := ch.c.nextHit(r.Start, r.End); found {
		switch {
		case hit.why != "" || !ch.quiet(f, fn):
			return &doubt{finding: hit, err: errTail}
		case ch.rival(r, fn) && !ch.c.code.framed(fn):
			return &doubt{finding: hit, err: errSecond}
		}
	}
	if !f.Return {
		// A leaf may keep data in its red zone; nothing returns to an address below SP.
		r.Start = max(r.Start-min(r.Start, arch.Addr(a.RedZone)), s.Low)
	}
	return ch.extend(r)
}

// stackOf returns the index of the stack that holds a, or -1.
func (ch *chain) stackOf(a arch.Addr) int {
	for i := range ch.t.Stacks {
		if ch.t.Stacks[i].contains(a) {
			return i
		}
	}
	return -1
}

// rival reports whether a frame r of fn holds a word, other than the return address that
// the walk used, that follows a direct call which can lead to fn: if the call frame
// information is wrong, that one may be the return address.
func (ch *chain) rival(r Range, fn *function) bool {
	c := ch.c
	for at := r.Start; at < r.End; at += arch.Addr(c.space.Arch.PtrSize) {
		if at == c.walk.slot {
			continue
		}
		v, err := c.walk.mem.ReadUint(at, c.space.Arch.PtrSize)
		if err != nil {
			return true
		}
		ra := arch.Addr(v &^ c.index.mask)
		site, ok := c.code.functionAt(ra - 1)
		if !ok || !c.code.mayCall(ra) {
			continue
		}
		pos, in, err := c.code.before(&site, ra)
		switch {
		case errors.Is(err, errBoundary):
		case err != nil, in.Flow == arch.FlowCall && c.code.canLead(pos+arch.Addr(in.Target), fn.Range, true):
			return true
		}
	}
	return false
}

// extend adds a piece of stack to the spans.
func (ch *chain) extend(r Range) *doubt {
	i := ch.stackOf(r.Start)
	if n := len(ch.spans); n > 0 {
		if last := &ch.spans[n-1]; last.stack == i && r.Start <= last.End && r.End >= last.End {
			last.Start, last.End = min(last.Start, r.Start), r.End
			return nil
		}
	}
	if len(ch.spans) == cap(ch.spans) {
		return &doubt{finding: finding{target: -1}, err: errSpans}
	}
	ch.spans = append(ch.spans, span{Range: r, stack: i})
	return nil
}

// rest looks for words that refer to targets outside of the frames that were walked.
// Below the innermost frame of the thread's own stack nothing is alive.
func (ch *chain) rest() (f finding, ok bool) {
	c := ch.c
	for i := range ch.t.Stacks {
		s := &ch.t.Stacks[i]
		lo, hi := c.live(ch.t, i, -1, 0)
		if s.Own {
			lo = ch.lowest(i, hi)
		}
		for {
			hit, found := c.nextHit(lo, hi)
			if !found {
				break
			}
			if hit.why != "" {
				return hit, false
			}
			end, covered := ch.covered(i, hit.addr)
			if !covered {
				hit.why = errGap.Error()
				return hit, false
			}
			lo = end
		}
	}
	return finding{}, true
}

// lowest returns the start of the lowest span in stack i, or hi if there is none.
func (ch *chain) lowest(i int, hi arch.Addr) arch.Addr {
	for _, s := range ch.spans {
		if s.stack == i {
			hi = min(hi, s.Start)
		}
	}
	return hi
}

// covered returns the end of the span of stack i that holds a.
func (ch *chain) covered(i int, a arch.Addr) (end arch.Addr, ok bool) {
	for _, s := range ch.spans {
		if s.stack == i && s.Contains(a) {
			return s.End, true
		}
	}
	return 0, false
}

// word returns the first word of b.
func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

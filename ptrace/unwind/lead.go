package unwind

import (
	"errors"
	"fmt"

	"hotpatch/arch"
)

// A call can lead to a frame if, by the code as it stands in memory now, one of these holds:
//
//   - the call is indirect: any function may be its target;
//   - its target lies in the frame's function, the range of one FDE;
//   - its target leads there by jumps that leave functions: the target, or a
//     function reached so, jumps into the frame's function (a tail call; the cold part of
//     a function; a jump that an earlier patch put at the entry), or jumps through a
//     slot that holds an address there (a PLT stub, and the way through PLT0 to the resolver of lazy binding);
//   - one of the functions reached so can go where a register or a word of the stack says: by
//     an indirect jump with no frame standing, which may be a tail call to anywhere (a
//     switch jumps while its function's frame stands, unless it has none), or by a return
//     that is not one (retpolines).
//
// Code that cannot be decoded on the way, or that is more than the limits below, leads nowhere.
const (
	maxLeadFuncs = 64      // functions visited for one call
	maxStraight  = 64      // instructions followed without a branch
	maxLeadInsts = 1 << 16 // instructions decoded for one call
	maxStub      = 32      // bytes of a stub without call frame information
)

var errLead = errors.New("the call cannot lead to the frame below")

// leads explores where a call target leads by jumps.
type leads struct {
	code  *codeReader
	queue [maxLeadFuncs]arch.Addr // visited or to be visited
	n     int
	insts int
	any   bool // code was seen that can go anywhere
}

// canLead reports whether a direct call to target can lead to a frame of the function
// goal. With exact, an indirect tail call does not count: the answer says whether the
// call leads there for certain.
func (c *codeReader) canLead(target arch.Addr, goal Range, exact bool) bool {
	l := leads{code: c}
	l.add(target)
	for i := 0; i < l.n && (exact || !l.any); i++ {
		if goal.Contains(l.queue[i]) {
			return true
		}
		l.follow(l.queue[i])
	}
	return l.any && !exact
}

// add queues a place that is reached by a jump.
func (l *leads) add(a arch.Addr) {
	for _, b := range l.queue[:l.n] {
		if a == b {
			return
		}
	}
	if l.n < len(l.queue) {
		l.queue[l.n] = a
		l.n++
	}
}

// follow adds the places to which the code at a jumps. Stubs are followed along their
// one path, since one FDE covers all of them; other functions are looked at as a whole.
func (l *leads) follow(a arch.Addr) {
	if st, ok := l.code.stub(a); ok {
		l.through(st.To, st.Slot)
		return
	}
	f, known := l.code.functionAt(a)
	if !known {
		// A stub that the linker gave no call frame information.
		i := l.code.space.find(a)
		if i < 0 {
			return
		}
		exec, ok := l.code.space.Modules[i].execRange(a)
		if !ok {
			return
		}
		f.Range = Range{Start: a, End: min(a+maxStub, exec.End)}
	}
	at := a
	for range maxStraight {
		if !f.Contains(at) {
			return
		}
		in, err := l.code.inst(at, f.End)
		if err != nil {
			return
		}
		switch in.Flow {
		case arch.FlowNext:
			at += arch.Addr(in.Len)
			continue
		case arch.FlowJump:
			// Backwards: from a stub to PLT0, in the same FDE.
			if to := at + arch.Addr(in.Target); to < at || !f.Contains(to) {
				l.add(to)
				return
			}
		case arch.FlowJumpInd:
			if l.jump(at, &in) {
				return
			}
		}
		break
	}
	if known {
		l.whole(&f)
	}
}

// whole adds the places to which any instruction of f jumps.
func (l *leads) whole(f *function) {
	// On an error, what was found so far is real code; what lies behind is not known.
	_ = l.code.each(f, func(at arch.Addr, in *arch.Inst) bool {
		l.insts++
		switch in.Flow {
		case arch.FlowJump, arch.FlowBranch:
			if to := at + arch.Addr(in.Target); !f.Contains(to) {
				l.add(to)
			}
		case arch.FlowJumpInd:
			l.jump(at, in)
		}
		l.any = l.any || l.code.leavesByWord(f, at, in)
		return l.insts < maxLeadInsts
	})
}

// jump adds where an indirect jump leads, if it goes through a slot at a fixed address.
func (l *leads) jump(at arch.Addr, in *arch.Inst) bool {
	s, ok := l.code.slot(at, in)
	if ok {
		l.through(s, true)
	}
	return ok
}

// through adds a place that code jumps to, or with slot the place whose address lies there.
func (l *leads) through(to arch.Addr, slot bool) {
	if !slot {
		l.add(to)
		return
	}
	if v, err := l.code.data.ReadUint(to, l.code.space.Arch.PtrSize); err == nil {
		l.add(arch.Addr(v))
	}
}

// site is a verified call site and the frame below, for the cache.
type site struct {
	ra   arch.Addr
	goal Range
}

// siteCacheSize is the number of call sites that a checker remembers as verified.
const siteCacheSize = 256

// checkLink verifies that the return address ra follows a call that can lead to a
// frame of the function goal.
func (c *codeReader) checkLink(ra arch.Addr, goal Range, cache *[siteCacheSize]site) error {
	slot := &cache[uint64(ra)%siteCacheSize]
	if *slot == (site{ra: ra, goal: goal}) {
		return nil
	}
	f, ok := c.functionAt(ra - 1)
	if !ok {
		return fmt.Errorf("return address %#x: %w", ra, ErrNoCFI)
	}
	if !c.mayCall(ra) {
		return fmt.Errorf("return address %#x does not follow a call", ra)
	}
	at, in, err := c.before(&f, ra)
	if err != nil {
		return fmt.Errorf("return address %#x: %w", ra, err)
	}
	switch in.Flow {
	case arch.FlowCallInd:
	case arch.FlowCall:
		if !c.canLead(at+arch.Addr(in.Target), goal, false) {
			return fmt.Errorf("return address %#x, call to %#x, frame in %#x: %w", ra, at+arch.Addr(in.Target), goal.Start, errLead)
		}
	default:
		return fmt.Errorf("return address %#x does not follow a call", ra)
	}
	*slot = site{ra: ra, goal: goal}
	return nil
}

package ptrace

import (
	"encoding/binary"
	"errors"

	"hotpatch/arch"
)

// reclaim finds a stub that a dead tracer has left in one of the places and that no thread is in or will
// return to, and gives its place, or all of them where a stub has to be near the thread's code.
//
// Only the thread that the stub names can be in it. It has left for good if its pc lies outside and no word of
// its stack is an address inside: a handler that interrupted the stub has such a word in its frame.
// Doubt leaves the stub alone.
func (tr *tracer) reclaim(at []arch.Addr) ([]place, error) {
	var out []place
	for _, addr := range at {
		var b [stubLen]byte
		if tr.p.ReadMem(b[:], addr) != nil {
			continue
		}
		owner, ok := recognizeStub(addr, b[:])
		if !ok {
			continue
		}
		left, err := tr.hasLeft(&owner, addr)
		if err != nil {
			return nil, err
		}
		if !left {
			continue
		}
		tr.p.log.Debug("a stub that another tracer left is written over", "addr", addr, "tid", owner.tid)
		if out = append(out, place{addr: addr, fill: owner.fill, rank: tailOther}); stubReach == 0 {
			break
		}
	}
	return out, nil
}

// hasLeft reports whether the thread that a stub names is out of it. It is stopped for a moment.
func (tr *tracer) hasLeft(owner *stubOwner, addr arch.Addr) (bool, error) {
	if _, err := taskStat(tr.p.PID, owner.tid); isGone(err) {
		return true, nil
	}
	t := tr.byTID[owner.tid]
	if t == nil {
		var err error
		if t, err = tr.seizeOne(owner.tid); errors.Is(err, ErrTraced) {
			return false, nil // by the stub's own tracer, it may be
		} else if err != nil || t == nil {
			return t == nil, err
		}
		tr.add(t)
	}
	if t.worker || t.zombie {
		return true, nil // the number belongs to a thread that never makes a call
	}
	maps, err := tr.p.Maps() // while it runs, to stop it for less time; its stack was mapped before
	if err != nil {
		return false, err
	}
	if err := tr.park(t, borrowPatience); err != nil {
		if errors.Is(err, ErrTimeout) {
			return false, nil
		}
		return false, err
	}
	if tr.byTID[owner.tid] != t || t.zombie {
		return true, tr.usable("borrow")
	}
	left := tr.isOutside(t, owner, addr, maps)
	tr.resume(t)
	return left, nil
}

// maxStackScan bounds what is read of one stack, in bytes. A larger one is doubt.
const maxStackScan = 16 << 20

// isOutside reports whether a stopped thread is neither in a stub nor has a word on its stack that leads
// there: on the stack that it uses, from the red zone upwards, and on all of that on which it was borrowed.
func (tr *tracer) isOutside(t *tracee, owner *stubOwner, addr arch.Addr, maps []Mapping) bool {
	if t.regs.PC() >= addr && t.regs.PC() < addr+stubLen {
		return false
	}
	found := false
	for i := range maps {
		m := &maps[i]
		low := m.Start
		switch sp := t.regs.SP(); {
		case sp >= m.Start && sp < m.End:
			found = true
			if owner.sp >= m.Start && owner.sp < m.End {
				low = max(low, (sp-redZone)&^7)
			}
		case owner.sp >= m.Start && owner.sp < m.End:
		default:
			continue
		}
		if !tr.scan(low, m.End, addr) {
			return false
		}
	}
	return found
}

// scan reports whether no aligned word from low to high, signed or not, leads into the stub at addr.
func (tr *tracer) scan(low, high, addr arch.Addr) bool {
	if high-low > maxStackScan {
		return false
	}
	var masks PACMasks // known, as a thread has been stopped
	if m := tr.p.pac.Load(); m != nil {
		masks = *m
	} else if hasPAC {
		return false
	}
	buf := make([]byte, 1<<16)
	for ; low < high; low += arch.Addr(len(buf)) {
		part := buf[:min(uint64(len(buf)), uint64(high-low))]
		if tr.p.ReadMem(part, low) != nil {
			return false
		}
		for i := 0; i+8 <= len(part); i += 8 {
			if v := arch.Addr(masks.Strip(binary.NativeEndian.Uint64(part[i:]))); v >= addr && v < addr+stubLen {
				return false
			}
		}
	}
	return true
}

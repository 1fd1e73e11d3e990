package image

import "hotpatch/arch"

// boundPath is where one of the paths from a lea has come to.
type boundPath struct {
	at    int   // index in Body.Insts
	added int64 // to the lea's register, since the lea
}

// boundPaths looks at the paths of execution behind instruction k, the lea of an address into register r, through jumps and through
// both ways of each branch, up to the first access through the register: useWindow instructions in all. It is BoundInside or
// BoundBelow if every access that was found is of that kind, else BoundNone. A path ends, and says nothing, where the register may have got
// a value that is not known. Where the register is compared with another, or subtracted, nothing is said: the address may be an end.
func (s *transfers) boundPaths(k int, r arch.Reg) BoundUse {
	b := s.b
	found := BoundNone
	seen := make(map[int]bool)
	work := []boundPath{{at: k + 1}}
	for n := 0; n < useWindow && len(work) > 0; n++ {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if p.at < 0 || p.at >= len(b.Insts) || seen[p.at] {
			continue
		}
		seen[p.at] = true
		use, delta, goesOn := s.boundStep(p, r)
		switch {
		case use == BoundCompared, use != BoundNone && found != BoundNone && found != use:
			return BoundNone
		case use != BoundNone:
			found = use
		case goesOn:
			work = append(work, nextOnPaths(&b.Insts[p.at], boundPath{p.at, p.added + delta})...)
		}
	}
	return found
}

// nextOnPaths returns where execution goes on within the body behind an instruction, which is at p.at.
func nextOnPaths(in *Inst, p boundPath) []boundPath {
	next, target := boundPath{p.at + 1, p.added}, boundPath{int(in.Target), p.added}
	switch in.Flow {
	case arch.FlowNext, arch.FlowCall, arch.FlowCallInd:
		return []boundPath{next}
	case arch.FlowBranch:
		return []boundPath{target, next}
	case arch.FlowJump:
		return []boundPath{target}
	}
	return nil
}

// boundStep looks at one instruction on a path: what its use of the register shows, else what it adds to it. goesOn is false
// if it may give the register a value that is not known.
func (s *transfers) boundStep(p boundPath, r arch.Reg) (use BoundUse, delta int64, goesOn bool) {
	in := &s.b.Insts[p.at]
	switch in.Flow {
	case arch.FlowNext:
	case arch.FlowCall, arch.FlowCallInd:
		return BoundNone, 0, calleeSaved(s.a, r)
	default:
		return BoundNone, 0, true
	}
	if in.Nop {
		return BoundNone, 0, true
	}
	t := s.at(p.at)
	switch {
	case accesses(t, r) && t.Mem.Disp+p.added < 0:
		return BoundBelow, 0, false
	case accesses(t, r):
		return BoundInside, 0, false
	case (t.Mem.Base == r || t.Mem.Index == r) && !inPlace(t) && !t.Mem.Minus:
		return BoundNone, 0, false
	case comparesRegisters(t, r):
		return BoundCompared, 0, false
	case !t.Writes.Has(r):
		return BoundNone, 0, true
	}
	delta, ok := step(t, r)
	return BoundNone, delta, ok
}

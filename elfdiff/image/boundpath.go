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
func boundPaths(b *Body, k int, r int8) BoundUse {
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
		use, delta, goesOn := boundStep(b, p, r)
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
func boundStep(b *Body, p boundPath, r int8) (use BoundUse, delta int64, goesOn bool) {
	in := &b.Insts[p.at]
	switch in.Flow {
	case arch.FlowNext:
	case arch.FlowCall, arch.FlowCallInd:
		return BoundNone, 0, calleeSaved(r)
	default:
		return BoundNone, 0, true
	}
	code := b.Code[in.Off:in.End()]
	x, ok := parseX86(code)
	switch {
	case in.Nop:
		return BoundNone, 0, true
	case !ok:
		return BoundNone, 0, keeps(code, r)
	case x.accesses(r) && int64(x.disp)+p.added < 0:
		return BoundBelow, 0, false
	case x.accesses(r):
		return BoundInside, 0, false
	case x.base == r || x.index == r, x.twoByte && (x.reg == r || x.rm == r), x.opcode == 0x8f:
		return BoundNone, 0, false
	case !x.twoByte && (x.reg == r || x.rm == r) && isBoundTest(x.opcode):
		return BoundCompared, 0, false
	case !x.changes(r):
		return BoundNone, 0, true
	}
	delta, ok = x.step(code)
	return BoundNone, delta, ok
}

// isBoundTest reports whether a one-byte opcode compares registers, or subtracts one from another (Intel SDM vol. 2, CMP and SUB).
func isBoundTest(op byte) bool { return op == 0x39 || op == 0x3b || op == 0x29 || op == 0x2b }

// keeps reports whether an instruction without ModRM is one of those that name a general register in the opcode and leave r as
// it was (Intel SDM vol. 2: PUSH 50+r; POP 58+r and MOV imm B8+r of another register).
func keeps(code []byte, r int8) bool {
	var high int8
	if len(code) > 0 && code[0]&0xf0 == 0x40 { // REX
		high = int8(code[0]&1) << 3
		code = code[1:]
	}
	if len(code) == 0 {
		return false
	}
	names := int8(code[0]&7) | high
	switch code[0] & 0xf8 {
	case 0x50:
		return true
	case 0x58, 0xb8:
		return names != r
	}
	return false
}

package arm64

import (
	"encoding/binary"
	"errors"
	"fmt"

	"hotpatch/arch"
)

// Why an instruction cannot be moved.
var (
	errMoveCall    = errors.New("a call, which would return to where it was moved")
	errMoveTrap    = errors.New("a trap, whose address a handler may look at")
	errMoveKernel  = errors.New("a system call, in which a thread can stay for long")
	errMoveInto    = errors.New("a branch into the bytes that are moved")
	errMovePlace   = errors.New("an instruction that signs or authenticates with its own place")
	errMoveUnknown = errors.New("an instruction of which is not known what it does to registers")
	errMoveIP      = errors.New("it takes something in x16 or x17, which code on the way to it changes")
	errMoveScratch = errors.New("a load from a place relative to its own, behind other instructions")
)

// move rewrites the first instructions of code, at least need bytes of them, to run at another address: [arch.Jump.Move]. What it adds changes
// x16 at most, as code on the way to a function's entry may.
func move(code []byte, from, to arch.Addr, need int) (moved []byte, taken int, err error) {
	targets := make([]arch.Addr, 0, 4)
	ends := false
	for taken < need && !ends {
		in, err := Decode(code[min(taken, len(code)):])
		if err == nil {
			w := binary.LittleEndian.Uint32(code[taken:])
			moved, err = moveOne(moved, w, &in, from+arch.Addr(taken), to, taken == 0)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("instruction at +%#x: %w", taken, err)
		}
		if in.Flow == arch.FlowJump || in.Flow == arch.FlowBranch {
			targets = append(targets, from+arch.Addr(int64(taken)+in.Target))
		}
		taken += InstLen
		ends = in.Flow == arch.FlowJump || in.Flow == arch.FlowJumpInd || in.Flow == arch.FlowReturn
	}
	for _, t := range targets {
		if n := max(taken, need); t >= from && t < from+arch.Addr(n) {
			return nil, 0, fmt.Errorf("%w, to +%#x", errMoveInto, uint64(t-from))
		}
	}
	if ends {
		return moved, taken, nil
	}
	back, err := encodeJump(to+arch.Addr(len(moved)), from+arch.Addr(taken))
	if err != nil {
		return nil, 0, err
	}
	return append(moved, back...), taken, nil
}

// moveOne appends instruction in, which is w at from, to what is moved to to.
func moveOne(moved []byte, w uint32, in *Inst, from, to arch.Addr, first bool) ([]byte, error) {
	at := to + arch.Addr(len(moved))
	put := func(words ...uint32) []byte {
		for _, w := range words {
			moved = binary.LittleEndian.AppendUint32(moved, w)
		}
		return moved
	}
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd:
		return nil, errMoveCall
	case arch.FlowStop:
		return nil, errMoveTrap
	case arch.FlowSyscall:
		return nil, errMoveKernel
	case arch.FlowJump:
		b, err := branchWord(wordB, at, from+arch.Addr(in.Target))
		return put(b), err
	}
	switch x, ok := effectsOf(w); {
	case placeSigned(w):
		return nil, errMovePlace
	case !ok:
		return nil, errMoveUnknown
	case first && x.Read&(1<<x16|1<<x17) != 0:
		return nil, errMoveIP
	}
	switch {
	case in.Flow == arch.FlowBranch:
		// The branch goes over a jump to what is behind, to one to the target.
		b, err := branchWord(wordB, at+2*InstLen, from+arch.Addr(in.Target))
		return put(retarget(w, 2), wordB|2, b), err
	case in.Kind == PCRel && in.Rd != NoReg:
		words, err := addressIn(uint32(in.Rd), at, from+arch.Addr(in.Imm))
		return put(words[:]...), err
	case in.Kind == Page && in.Rd != NoReg:
		a, err := adrp(uint32(in.Rd), at, from&^0xfff+arch.Addr(in.Imm))
		return put(a), err
	case in.Kind == Literal:
		base := uint32(in.Rd)
		if in.Rd == NoReg { // a vector register, a prefetch, or the zero register
			if base = x16; !first {
				return nil, errMoveScratch
			}
		}
		words, err := addressIn(base, at, from+arch.Addr(in.Imm))
		return put(words[0], words[1], literalLoad(w)|base<<5), err
	}
	return put(w), nil
}

// addressIn returns what makes an address in a register, for address at.
func addressIn(rd uint32, at, a arch.Addr) (words [2]uint32, err error) {
	words[0], err = adrp(rd, at, a)
	words[1] = wordADDImm | uint32(a&0xfff)<<10 | rd<<5 | rd
	return words, err
}

// literalLoad returns the load from [x0] that does what a load from a literal does (Arm ARM, C4.1, loads and stores).
func literalLoad(w uint32) uint32 {
	const vector = 4
	return w&0x1f | map[uint32]uint32{
		0:          wordLDRW,   // ldr w
		1:          wordLDRX,   // ldr x
		2:          0xb9800000, // ldrsw x
		3:          0xf9800000, // prfm
		vector:     0xbd400000, // ldr s
		vector | 1: 0xfd400000, // ldr d
		vector | 2: 0x3dc00000, // ldr q
	}[w>>30|w>>26&1<<2]
}

// retarget returns a conditional branch with another displacement, in words.
func retarget(w, words uint32) uint32 {
	for i := range branches {
		if b := &branches[i]; b.flow == arch.FlowBranch && w&b.mask == b.value {
			return w&^((1<<b.n-1)<<b.lo) | words<<b.lo
		}
	}
	return 0 // udf; the decoder takes conditional branches from this table
}

// placeSigned reports whether an instruction signs or authenticates with the program counter, or a place that it counts from there
// (FEAT_PAuth_LR: PACIASPPC, PACIBSPPC, PACNBIASPPC, PACNBIBSPPC, AUTIASPPC, RETAASPPC and those with key B).
func placeSigned(w uint32) bool {
	return w&0xffffdbff == 0xdac183fe || w&0xffc0001f == 0xf380001f || w&0xffc0001f == 0x5500001f
}

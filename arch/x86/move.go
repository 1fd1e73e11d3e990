package x86

import (
	"encoding/binary"
	"errors"
	"fmt"

	"hotpatch/arch"
)

// A gate leads to one of two codes, as a word of memory says:
//
//	50                      push rax
//	a1 moffs64              movabs eax, [word]
//	85 c0                   test eax, eax
//	58                      pop rax
//	0f 85 rel32             jnz set
//
// It uses the stack below rsp, which at a function's entry is nobody's red zone (System V ABI, x86-64 supplement, 3.2.2: that is
// the area below a leaf's own frame), and changes the flags, which no function is passed. No register is free: under -fipa-ra a
// caller may rely on any.
const (
	gateLen   = 19
	gateWord  = 2  // offset of moffs64
	gateField = 15 // offset of rel32
)

// gate returns the code of a gate: [arch.Jump.Gate].
func gate(at, word, set arch.Addr) ([]byte, error) {
	code := []byte("\x50" + "\xa1\x00\x00\x00\x00\x00\x00\x00\x00" + "\x85\xc0" + "\x58" + "\x0f\x85\x00\x00\x00\x00")
	binary.LittleEndian.PutUint64(code[gateWord:], uint64(word))
	if err := putRel32(code[gateField:], at+gateLen, set); err != nil {
		return nil, fmt.Errorf("gate at %#x: %w", uint64(at), err)
	}
	return code, nil
}

// Opcodes of branches (SDM volume 2, Jcc and JMP).
const (
	jccShort = 0x70 // and the 15 behind it: the condition
	jccNear  = 0x80 // behind 0f
	jmpShort = 0xeb
)

// errNoMove says why an instruction cannot be moved.
var (
	errMoveCall   = errors.New("a call, which would return to where it was moved")
	errMoveLoop   = errors.New("a branch that has no long form (loop, jrcxz, xbegin)")
	errMoveTrap   = errors.New("a trap, whose address a handler may look at")
	errMoveKernel = errors.New("a system call, in which a thread can stay for long")
	errMoveInto   = errors.New("a branch into the bytes that are moved")
)

// move rewrites the first instructions of code, at least need bytes of them, to run at another address: [arch.Jump.Move].
func move(code []byte, from, to arch.Addr, need int) (moved []byte, taken int, err error) {
	targets := make([]arch.Addr, 0, 4)
	ends := false
	for taken < need && !ends {
		in, err := Decode(code[taken:])
		if err == nil {
			moved, err = moveOne(moved, code[taken:taken+in.Len], &in, from+arch.Addr(taken), to)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("instruction at +%#x: %w", taken, err)
		}
		if in.Flow == arch.FlowJump || in.Flow == arch.FlowBranch {
			targets = append(targets, from+arch.Addr(int64(taken)+in.Target))
		}
		taken += in.Len
		ends = in.Flow == arch.FlowJump || in.Flow == arch.FlowJumpInd || in.Flow == arch.FlowReturn
	}
	if err := leadsInto(targets, from, max(taken, need)); err != nil {
		return nil, 0, err
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

// leadsInto finds a target among the n bytes from from on.
func leadsInto(targets []arch.Addr, from arch.Addr, n int) error {
	for _, t := range targets {
		if t >= from && t < from+arch.Addr(n) {
			return fmt.Errorf("%w, to +%#x", errMoveInto, uint64(t-from))
		}
	}
	return nil
}

// moveOne appends instruction in, which is code at from, to what is moved to to.
func moveOne(moved, code []byte, in *arch.Inst, from, to arch.Addr) ([]byte, error) {
	at := to + arch.Addr(len(moved))
	switch in.Flow {
	case arch.FlowCall, arch.FlowCallInd:
		return nil, errMoveCall
	case arch.FlowStop:
		return nil, errMoveTrap
	case arch.FlowSyscall:
		return nil, errMoveKernel
	case arch.FlowJump, arch.FlowBranch:
		return moveBranch(moved, code, in, at, from+arch.Addr(in.Target))
	}
	moved = append(moved, code...)
	for _, op := range in.Ops[:in.NumOps] {
		if op.Kind != arch.OpPC {
			continue
		}
		field := moved[len(moved)-len(code)+int(op.Off):]
		// Value counts from the instruction's first byte, the field from its end.
		if err := putRel32(field[:4], at+arch.Addr(in.Len), from+arch.Addr(op.Value)); err != nil {
			return nil, fmt.Errorf("operand: %w", err)
		}
	}
	return moved, nil
}

// moveBranch appends a direct jump or branch to target, in its long form, for address at. Prefixes without effect go.
func moveBranch(moved, code []byte, in *arch.Inst, at, target arch.Addr) ([]byte, error) {
	op := code[in.BrOff-1]
	long := []byte{jumpOpcode}
	switch {
	case in.Flow == arch.FlowJump && (op == jumpOpcode || op == jmpShort):
	case in.BrSize == 1 && op&0xf0 == jccShort:
		long = []byte{0x0f, jccNear | op&0xf}
	case in.BrSize == 4 && op&0xf0 == jccNear && in.BrOff >= 2 && code[in.BrOff-2] == 0x0f:
		long = []byte{0x0f, op}
	default:
		return nil, errMoveLoop
	}
	end := at + arch.Addr(len(long)+4)
	long = append(long, 0, 0, 0, 0)
	if err := putRel32(long[len(long)-4:], end, target); err != nil {
		return nil, fmt.Errorf("branch: %w", err)
	}
	return append(moved, long...), nil
}

package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// filterInst is struct sock_filter of linux/filter.h.
type filterInst struct {
	Code   uint16
	JT, JF uint8  // how many instructions to skip if the condition holds, or does not
	K      uint32 // operand
}

// filterProgram is one seccomp filter.
type filterProgram []filterInst

// maxFilterLen is BPF_MAXINSNS of linux/bpf_common.h.
const maxFilterLen = 4096

// seccompData is struct seccomp_data of linux/seccomp.h, in the machine's byte order: number, architecture, instruction
// pointer, six arguments.
type seccompData [64]byte

// Codes of classic BPF (linux/bpf_common.h): class, size and mode, or class, operation and source.
const (
	bpfLD, bpfLDX, bpfST, bpfSTX, bpfALU, bpfJMP, bpfRET, bpfMISC = 0, 1, 2, 3, 4, 5, 6, 7

	bpfImm, bpfAbs, bpfMem, bpfLen = 0x00, 0x20, 0x60, 0x80 // modes; the size is a word, 0

	bpfAdd, bpfSub, bpfMul, bpfDiv, bpfOr, bpfAnd, bpfLsh, bpfRsh, bpfNeg, bpfXor = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0xa0

	bpfJA, bpfJEQ, bpfJGT, bpfJGE, bpfJSET = 0x00, 0x10, 0x20, 0x30, 0x40

	bpfX    = 0x08 // the other operand is the index register, not K
	bpfRetA = 0x10 // return the accumulator, not K
	bpfTXA  = 0x80 // accumulator = index; 0: index = accumulator
	memLen  = 16   // BPF_MEMWORDS
)

// errFilter says that a program is none that seccomp(2) would have taken.
var errFilter = errors.New("no valid filter")

// machine is the state of a running filter.
type machine struct {
	a, x uint32
	mem  [memLen]uint32
}

// run returns what the filter answers, as the kernel would compute it (seccomp_check_filter in kernel/seccomp.c lists the
// instructions). Jumps only lead forward, so it ends.
func (f filterProgram) run(data *seccompData) (uint32, error) {
	var m machine
	for pc := 0; pc < len(f); pc++ {
		in := &f[pc]
		switch in.Code & 7 {
		case bpfRET:
			switch in.Code {
			case bpfRET:
				return in.K, nil
			case bpfRET | bpfRetA:
				return m.a, nil
			}
			return 0, f.invalid(pc)
		case bpfJMP:
			skip, ok := m.jump(in)
			if !ok || skip > len(f) {
				return 0, f.invalid(pc)
			}
			pc += skip
		case bpfALU:
			v, done, ok := m.compute(in)
			if !ok {
				return 0, f.invalid(pc)
			}
			if done {
				return v, nil
			}
		default:
			if !m.move(in, data) {
				return 0, f.invalid(pc)
			}
		}
	}
	return 0, f.invalid(len(f))
}

func (f filterProgram) invalid(pc int) error {
	if pc >= len(f) {
		return fmt.Errorf("%w: it runs past its %d instructions", errFilter, len(f))
	}
	return fmt.Errorf("%w: instruction %d: code %#x, operand %#x", errFilter, pc, f[pc].Code, f[pc].K)
}

// jump returns how many instructions are skipped.
func (m *machine) jump(in *filterInst) (skip int, ok bool) {
	if in.Code == bpfJMP|bpfJA {
		return int(in.K), true
	}
	v := in.K
	if in.Code&bpfX != 0 {
		v = m.x
	}
	var holds bool
	switch in.Code &^ bpfX {
	case bpfJMP | bpfJEQ:
		holds = m.a == v
	case bpfJMP | bpfJGT:
		holds = m.a > v
	case bpfJMP | bpfJGE:
		holds = m.a >= v
	case bpfJMP | bpfJSET:
		holds = m.a&v != 0
	default:
		return 0, false
	}
	if holds {
		return int(in.JT), true
	}
	return int(in.JF), true
}

// compute changes the accumulator. Division by the index register ends the filter with 0 if that is zero
// (bpf_convert_filter in net/core/filter.c).
func (m *machine) compute(in *filterInst) (v uint32, done, ok bool) {
	v = in.K
	if in.Code&bpfX != 0 {
		v = m.x
	}
	switch in.Code &^ bpfX {
	case bpfALU | bpfAdd:
		m.a += v
	case bpfALU | bpfSub:
		m.a -= v
	case bpfALU | bpfMul:
		m.a *= v
	case bpfALU | bpfDiv:
		if v == 0 {
			return 0, in.Code&bpfX != 0, in.Code&bpfX != 0
		}
		m.a /= v
	case bpfALU | bpfOr:
		m.a |= v
	case bpfALU | bpfAnd:
		m.a &= v
	case bpfALU | bpfXor:
		m.a ^= v
	case bpfALU | bpfLsh: // the kernel takes constants below 32 only, and of the index register the low five bits
		m.a <<= v & 31
		return 0, false, in.Code&bpfX != 0 || v < 32
	case bpfALU | bpfRsh:
		m.a >>= v & 31
		return 0, false, in.Code&bpfX != 0 || v < 32
	case bpfALU | bpfNeg:
		m.a = -m.a
		return 0, false, in.Code&bpfX == 0
	default:
		return 0, false, false
	}
	return 0, false, true
}

// move loads and stores.
func (m *machine) move(in *filterInst, data *seccompData) bool {
	switch in.Code {
	case bpfLD | bpfAbs:
		if in.K > uint32(len(data)-4) || in.K%4 != 0 {
			return false
		}
		m.a = binary.NativeEndian.Uint32(data[in.K:])
	case bpfLD | bpfLen:
		m.a = uint32(len(data))
	case bpfLDX | bpfLen:
		m.x = uint32(len(data))
	case bpfLD | bpfImm:
		m.a = in.K
	case bpfLDX | bpfImm:
		m.x = in.K
	case bpfMISC:
		m.x = m.a
	case bpfMISC | bpfTXA:
		m.a = m.x
	case bpfLD | bpfMem, bpfLDX | bpfMem, bpfST, bpfSTX:
		if in.K >= memLen {
			return false
		}
		switch in.Code {
		case bpfLD | bpfMem:
			m.a = m.mem[in.K]
		case bpfLDX | bpfMem:
			m.x = m.mem[in.K]
		case bpfST:
			m.mem[in.K] = m.a
		default:
			m.mem[in.K] = m.x
		}
	default:
		return false
	}
	return true
}

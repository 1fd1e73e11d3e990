package x86

import (
	"encoding/binary"
	"fmt"
	"math"

	"hotpatch/arch"
)

// Templates of the code that is written into a process.
//
//	e9 rel32     jmp  to
//	ff 25 rel32  jmp  *slot(%rip)
//	f3 0f 1e fa  endbr64
const (
	jumpOpcode = 0xe9
	jumpLen    = 5
	stubOpcode = "\xff\x25"
	stubLen    = 6
	endbr64    = "\xf3\x0f\x1e\xfa"
)

var jump = arch.Jump{
	Len:       jumpLen,
	Reach:     math.MaxInt32 + 1 - jumpLen,
	Landing:   landing,
	Encode:    encodeJump,
	Recognize: recognizeJump,
	Stub:      stub,
	StubLen:   stubLen,
	IsPadding: isPadding,
	Move:      move,
	Gate:      gate,
	GateLen:   gateLen,
}

// landing returns the length of endbr64 if code begins with it.
func landing(code []byte) int {
	if len(code) >= len(endbr64) && string(code[:len(endbr64)]) == endbr64 {
		return len(endbr64)
	}
	return 0
}

func encodeJump(from, to arch.Addr) ([]byte, error) {
	b := []byte{jumpOpcode, 0, 0, 0, 0}
	if err := putRel32(b[1:], from+jumpLen, to); err != nil {
		return nil, fmt.Errorf("jump from %#x to %#x: %w", from, to, err)
	}
	return b, nil
}

func recognizeJump(from arch.Addr, code []byte) (to arch.Addr, ok bool) {
	if len(code) < jumpLen || code[0] != jumpOpcode {
		return 0, false
	}
	return from + jumpLen + arch.Addr(disp32(code[1:])), true
}

func stub(from, slot arch.Addr) ([]byte, error) {
	b := append([]byte(stubOpcode), 0, 0, 0, 0)
	if err := putRel32(b[2:], from+stubLen, slot); err != nil {
		return nil, fmt.Errorf("stub at %#x with slot %#x: %w", from, slot, err)
	}
	return b, nil
}

// putRel32 stores the displacement that leads from the end of an instruction to to.
func putRel32(field []byte, end, to arch.Addr) error {
	d := int64(to - end)
	if d != int64(int32(d)) {
		return fmt.Errorf("displacement %#x does not fit in 32 bits", d)
	}
	binary.LittleEndian.PutUint32(field, uint32(d))
	return nil
}

// maxIndirectCall is the length of the longest call through a register or memory
// that is looked for: rep, segment and REX, opcode, ModRM, SIB, displacement.
const maxIndirectCall = 10

// callBefore finds the call that ends at the end of code: [arch.Arch.CallBefore].
func callBefore(code []byte) (arch.CallSite, bool) {
	var site arch.CallSite
	found := false
	if n := len(code); n >= jumpLen && code[n-jumpLen] == 0xe8 {
		site = arch.CallSite{Len: jumpLen, Target: disp32(code[n-4:])}
		found = true
	}
	for n := 2; n <= min(maxIndirectCall, len(code)); n++ {
		tail := code[len(code)-n:]
		in, err := Decode(tail)
		if err != nil || in.Len != n || in.Flow != arch.FlowCallInd {
			continue
		}
		if found {
			site.Either = true
		} else {
			site = arch.CallSite{Len: n, Indirect: true}
		}
		return site, true
	}
	return site, found
}

// aim is [arch.Arch.Aim].
func aim(code []byte, in *arch.Inst, to int64) error {
	v := to - int64(in.Len)
	switch in.BrSize {
	case 1:
		if v != int64(int8(v)) {
			return fmt.Errorf("displacement %#x does not fit in 8 bits", v)
		}
		code[in.BrOff] = byte(v)
		return nil
	case 4:
		return putInt32(code[in.BrOff:], v)
	}
	return fmt.Errorf("no direct branch with a displacement of 1 or 4 bytes")
}

// displace is [arch.Arch.Displace]. A displacement of one byte is no operand.
func displace(code []byte, in *arch.Inst, disp int64) error {
	for i := range in.NumOps {
		if op := &in.Ops[i]; op.Kind == arch.OpDisp && op.Size == 4 {
			return putInt32(code[op.Off:], disp)
		}
	}
	return fmt.Errorf("no instruction with a displacement of 4 bytes")
}

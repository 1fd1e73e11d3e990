package arm64

import (
	"encoding/binary"
	"errors"
	"fmt"

	"hotpatch/arch"
)

var jump = arch.Jump{
	Len:       InstLen,
	Reach:     branchReach,
	Landing:   landing,
	Guard:     featureAnd,
	Signing:   signing,
	Enter:     enter,
	Head:      head(),
	Encode:    encodeJump,
	Recognize: recognizeJump,
	Stub:      jumpStub,
	StubLen:   stubLen,
	Move:      move,
	Gate:      gate,
	GateLen:   gateLen,
	Clobbers:  1 << x16,
	IsPadding: isPadding,
}

// featureAnd is GNU_PROPERTY_AARCH64_FEATURE_1_AND, whose bit 0 is BTI (System V ABI for the Arm 64-bit Architecture, "Program Property").
const featureAnd = 0xc0000000

// branchReach is the largest distance of a B or BL forward, in bytes; back it is InstLen more (Arm ARM, C6.2, B).
const branchReach = 1<<27 - InstLen

// Words of instructions, with registers and immediates of zero unless the name says more (Arm ARM, C6.2).
const (
	wordB       = 0x14000000
	wordBR      = 0xd61f0000
	wordADRP    = 0x90000000
	wordADDImm  = 0x91000000 // add x0, x0, #0
	wordLDRX    = 0xf9400000 // ldr x0, [x0, #0]
	wordAUTIASP = 0xd50323bf
	wordAUTIBSP = 0xd50323ff
)

// x16 and x17 are what code between a caller and a function's entry may change (AAPCS64, 6.1.1, IP0 and IP1).
const (
	x16 = 16
	x17 = 17
)

// A guarded page lets an indirect branch arrive only at a landing pad (Arm ARM, D8.4.5, "Branch target identification"). The pads of a
// function's entry:
//
//	bti c, bti jc    with BTYPE clear, which is how direct branches arrive, they do nothing
//	bti j            for branches within a function; it is no entry, and stays all the same
//	paciasp          signs the return address, and is a pad like bti c
//	pacibsp
//	paciasppc ...    sign it together with their own address (FEAT_PAuth_LR)
//
// Whether a page is guarded is not asked: any pad stays, and the jump stands behind it. `bti` alone is no pad; it is replaced like any
// other instruction. Of `bti c; paciasp` the first is the pad, so that the return address is not signed where the jump is.
const (
	wordBTI       = 0xd503241f // and 1 in bit 6 for c, in bit 7 for j
	wordPACIASP   = 0xd503233f
	wordPACIBSP   = 0xd503237f
	wordPACIASPPC = 0xdac1a3fe
	wordPACIBSPPC = 0xdac1a7fe
)

// firstWord returns the first instruction of code; false: there is none.
func firstWord(code []byte) (uint32, bool) {
	if len(code) < InstLen {
		return 0, false
	}
	return binary.LittleEndian.Uint32(code), true
}

// landing returns the length of a landing pad with which code begins.
func landing(code []byte) int {
	w, ok := firstWord(code)
	if ok && (w&^0xc0 == wordBTI && w != wordBTI || signing(code) != arch.NotSigned) {
		return InstLen
	}
	return 0
}

// signing says how the landing pad at the beginning of code signs the return address.
func signing(code []byte) arch.Signing {
	w, ok := firstWord(code)
	switch {
	case !ok:
	case w == wordPACIASP:
		return arch.SignedA
	case w == wordPACIBSP:
		return arch.SignedB
	case w == wordPACIASPPC, w == wordPACIBSPPC:
		return arch.SignedPC
	}
	return arch.NotSigned
}

// errSignedPC says that nothing but the function's own code can undo what its landing pad did.
var errSignedPC = errors.New("the return address is signed with the place of the instruction that signs it")

// enter returns where a jump leads from behind a landing pad: [arch.Jump.Enter]. The stack pointer is as it was at the entry of either. So a
// return address that is signed already, as the body's own pad would sign it, meets the body behind that pad. Else the signature is
// taken off by the code in front of the body:
//
//	-12  autibsp
//	 -8  b entry
//	 -4  autiasp
//	  0  entry
//
// On a processor without pointer authentication, and where the keys are switched off, signing and this do nothing. After prctl(2) with
// PR_PAC_RESET_KEYS no thread may return into any signed frame, and so none is between the two.
func enter(entry arch.Addr, from, body arch.Signing) (arch.Addr, error) {
	switch {
	case from == arch.NotSigned:
		return entry, nil
	case from == arch.SignedPC:
		return 0, errSignedPC
	case from == body:
		return entry + InstLen, nil
	case from == arch.SignedB:
		return entry - 3*InstLen, nil
	}
	return entry - InstLen, nil
}

// head returns the code in front of a body that enter leads to.
func head() []byte {
	var b []byte
	for _, w := range []uint32{wordAUTIBSP, wordB | 2, wordAUTIASP} {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// encodeJump returns `b to` for address from.
func encodeJump(from, to arch.Addr) ([]byte, error) {
	w, err := branchWord(wordB, from, to)
	if err != nil {
		return nil, fmt.Errorf("jump from %#x to %#x: %w", uint64(from), uint64(to), err)
	}
	return binary.LittleEndian.AppendUint32(nil, w), nil
}

// branchWord returns a B or BL at from, given as its word without a displacement, that leads to to.
func branchWord(word uint32, from, to arch.Addr) (uint32, error) {
	d := int64(to - from)
	switch {
	case from%InstLen != 0 || to%InstLen != 0:
		return 0, fmt.Errorf("an address is no multiple of %d", InstLen)
	case d < -branchReach-InstLen || d > branchReach:
		return 0, fmt.Errorf("displacement %#x does not fit in 28 bits", d)
	}
	return word | uint32(d/InstLen)&(1<<26-1), nil
}

// recognizeJump decodes what encodeJump returns.
func recognizeJump(from arch.Addr, code []byte) (to arch.Addr, ok bool) {
	w, ok := firstWord(code)
	if !ok || from%InstLen != 0 || w>>26 != wordB>>26 {
		return 0, false
	}
	return from + arch.Addr(signed(w, 0, 26)*InstLen), true
}

// adrp returns `adrp rd, to` for address at.
func adrp(rd uint32, at, to arch.Addr) (uint32, error) {
	const page = 12 // bits of an address within a page
	d := int64(to>>page) - int64(at>>page)
	if d < -1<<20 || d >= 1<<20 {
		return 0, fmt.Errorf("page of %#x is out of reach of %#x", uint64(to), uint64(at))
	}
	return wordADRP | uint32(d&3)<<29 | uint32(d>>2)&(1<<19-1)<<5 | rd, nil
}

// stubLen is the length of a stub, in bytes.
const stubLen = 4 * InstLen

// jumpStub returns a stub as linkers make it for calls to other modules:
//
//	adrp x16, slot; ldr x17, [x16, #lo12 slot]; add x16, x16, #lo12 slot; br x17
//
// The slot may not be bound yet: it then leads to the dynamic linker, which tells by x16 whose it is. It is reached by direct branches. A branch to x17 may arrive at any landing pad of an entry.
func jumpStub(from, slot arch.Addr) ([]byte, error) {
	w, err := adrp(x16, from, slot)
	switch {
	case err != nil:
	case from%InstLen != 0:
		err = fmt.Errorf("it is no multiple of %d", InstLen)
	case slot%8 != 0:
		err = errors.New("the slot is no multiple of 8")
	}
	if err != nil {
		return nil, fmt.Errorf("stub at %#x with slot %#x: %w", uint64(from), uint64(slot), err)
	}
	b := binary.LittleEndian.AppendUint32(nil, w)
	b = binary.LittleEndian.AppendUint32(b, wordLDRX|uint32(slot&0xfff)/8<<10|x16<<5|x17)
	b = binary.LittleEndian.AppendUint32(b, wordADDImm|uint32(slot&0xfff)<<10|x16<<5|x16)
	return binary.LittleEndian.AppendUint32(b, wordBR|x17<<5), nil
}

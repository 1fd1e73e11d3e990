package arm64

import (
	"encoding/binary"

	"hotpatch/arch"
)

var unwind = arch.Unwind{
	// TCR_EL1.TBI0 is set by Linux (Documentation/arch/arm64/tagged-pointers.rst), TBID0 is not.
	Ignored: 0xff << 56,
	Touches: touches,
	Stub:    stub,

	ReturnReg: returnReg,
	PLTPush:   pushPLTBytes,

	Signal: arch.SignalFrame{Trampoline: trampoline, Regs: signalRegs(), Mark: fpsimdRecord, MarkAt: sigcontextAt + 288},
}

// touches says whether an instruction may write SP, and whether it may write LR: [arch.Unwind].Touches.
func touches(code []byte, _ *arch.Inst) (sp, ra bool) {
	in, err := Decode(code)
	if err != nil {
		return true, true
	}
	return in.Writes.Has(SP), in.Writes.Has(LR)
}

// returnReg returns the register that the return at the beginning of code goes to: [arch.Unwind].ReturnReg. The processor's numbers of the general registers
// are DWARF's.
func returnReg(code []byte) int {
	in, err := Decode(code)
	if err != nil {
		return -1
	}
	return int(in.Rn)
}

// Words of stubs and trampolines.
const (
	bti       = 0xd503241f // bti, with any operand (Arm ARM, C6.2, BTI)
	btiC      = 0xd503245f // bti c
	autia1716 = 0xd503219f // autia1716
	autib1716 = 0xd50321df // autib1716
	pushPLT   = 0xa9bf7bf0 // stp x16, x30, [sp, #-16]!
	movSysNo  = 0xd2801168 // mov x8, #139 (rt_sigreturn)
	svc0      = 0xd4000001 // svc #0
)

// btiOperand has the bits of a landing pad's operand.
const btiOperand = 0xc0

// pushPLTBytes is what pushPLT puts onto the stack.
const pushPLTBytes = 16

// maxStub is the number of instructions of the longest stub: that of the PLT's head for BTI and PAC.
const maxStub = 7

// value is what is known of X16 or X17 in a stub.
type value struct {
	addr arch.Addr
	kind valueKind
}

type valueKind uint8

const (
	unknown valueKind = iota
	fixed             // addr itself
	loaded            // what lies at addr
)

// stub follows code that computes an address in X16 and X17, the registers that the linker may use between a call and its target (AAPCS64,
// 6.1.1), and jumps there: [arch.Unwind].Stub. What binutils, lld and mold make of a PLT entry differs in which of the instructions are
// there (bti c, autia1716, the add) and is all of this form:
//
//	adrp x16, page
//	ldr  x17, [x16, #offset]
//	add  x16, x16, #offset
//	br   x17
//
// The head of the PLT begins with stp x16, x30, [sp, #-16]!; a veneer has no load.
func stub(code []byte, at arch.Addr) (arch.Stub, bool) {
	var s arch.Stub
	var regs [2]value // X16, X17
	for n := 0; n < maxStub && len(code) >= InstLen; n++ {
		w := binary.LittleEndian.Uint32(code)
		in, err := Decode(code)
		if err != nil {
			return s, false
		}
		s.Len += InstLen
		switch {
		case w == pushPLT && s.Push == 0:
			s.Push, s.After = pushPLTBytes, s.Len
		case w == nop, w&^btiOperand == bti, w == autia1716, w == autib1716:
		case in.Flow == arch.FlowJumpInd:
			v := regs[0]
			if in.Rn == 17 {
				v = regs[1]
			} else if in.Rn != 16 {
				return s, false
			}
			s.To, s.Slot = v.addr, v.kind == loaded
			return s, v.kind != unknown
		case !compute(&regs, &in, at):
			return s, false
		}
		code, at = code[InstLen:], at+InstLen
	}
	return s, false
}

// compute applies an instruction at at that computes an address in X16 or X17.
func compute(regs *[2]value, in *Inst, at arch.Addr) bool {
	if in.Flow != arch.FlowNext || in.Rd != 16 && in.Rd != 17 || in.Writes != 1<<in.Rd {
		return false
	}
	var base value
	if in.Rn == 16 || in.Rn == 17 {
		base = regs[in.Rn-16]
	}
	to := &regs[in.Rd-16]
	switch in.Kind {
	case Page:
		*to = value{kind: fixed, addr: at&^0xfff + arch.Addr(in.Imm)}
	case PCRel:
		*to = value{kind: fixed, addr: at + arch.Addr(in.Imm)}
	case Literal:
		if in.Width != 8 || !in.Load {
			return false
		}
		*to = value{kind: loaded, addr: at + arch.Addr(in.Imm)}
	case AddImm:
		if base.kind != fixed {
			return false
		}
		*to = value{kind: fixed, addr: base.addr + arch.Addr(in.Imm)}
	case Memory:
		if base.kind != fixed || in.Width != 8 || !in.Load || in.Store || in.Index != Offset {
			return false
		}
		*to = value{kind: loaded, addr: base.addr + arch.Addr(in.Imm)}
	default:
		return false
	}
	return true
}

// trampoline recognizes the code that the kernel makes handlers return to (arch/arm64/kernel/vdso/sigreturn.S), and that of C libraries
// which bring their own: [arch.SignalFrame].Trampoline. The vDSO has no call frame information on arm64, and has the bti c in
// some kernels only.
func trampoline(code []byte) int {
	n := 0
	if len(code) >= InstLen && binary.LittleEndian.Uint32(code) == btiC {
		n = InstLen
	}
	if len(code) < n+2*InstLen || binary.LittleEndian.Uint32(code[n:]) != movSysNo || binary.LittleEndian.Uint32(code[n+InstLen:]) != svc0 {
		return 0
	}
	return n + 2*InstLen
}

// sigcontextAt is where struct rt_sigframe (arch/arm64/kernel/signal.c) holds its struct sigcontext: behind a siginfo of 128 bytes, and the uc_flags,
// uc_link, uc_stack and uc_sigmask (padded to 1024 bits) of the ucontext.
const sigcontextAt = 128 + 176

// fpsimdRecord is the head of the record with the floating-point registers, FPSIMD_MAGIC and its size, which the kernel always puts first
// (setup_sigframe_layout): into __reserved, which begins at a multiple of 16 bytes behind the 280 bytes of fault_address, X0 to X30, SP, PC and PSTATE.
const fpsimdRecord = 0x210<<32 | 0x46508001

// signalRegs returns where a signal frame holds the registers: in its sigcontext, behind fault_address. X0 to X30, SP and PC follow each other, as
// their DWARF numbers do.
func signalRegs() []int64 {
	const faultAddress = 8
	regs := make([]int64, dwarfRegs)
	for n := range regs {
		regs[n] = sigcontextAt + faultAddress + 8*int64(n)
	}
	return regs
}

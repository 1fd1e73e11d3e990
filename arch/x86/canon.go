package x86

import "hotpatch/arch"

// Canon appends the canonical bytes of the instruction that in describes:
// [arch.Arch.Canon].
//
// What counts is the order seg, f0, rep, 67, 66, REX, opcode, operands, each prefix at
// most once. Prefixes without effect are left out: cs, ds, es and ss (among
// them notrack and branch hints), f2 and f3 in front of branches (bnd, rep ret),
// 67 where no address is computed, 66 that REX.W overrides.
func Canon(dst, code []byte, in *arch.Inst) []byte {
	var e encoding
	if err := e.decode(code); err != nil {
		return append(dst, code[:min(in.Len, len(code))]...)
	}
	dst = e.canonPrefixes(dst, in.Flow)
	start := e.prefixes.len // where escapes and opcode, or a VEX prefix, begin
	switch op, ok := e.nearBranch(); {
	case ok && op == 0xe9:
		return append(dst, op)
	case ok:
		return append(dst, 0x0f, op)
	}
	for i := start; i < e.n; {
		if n := fieldAt(in, i); n > 0 {
			i += n
			continue
		}
		dst = append(dst, code[i])
		i++
	}
	return dst
}

// nearBranch returns the opcode of the near form of a jmp or jcc (behind 0F for
// the latter).
func (e *encoding) nearBranch() (op byte, ok bool) {
	switch {
	case e.m == map1 && (e.op == 0xe9 || e.op == 0xeb):
		return 0xe9, true
	case e.m == map1 && e.op&0xf0 == 0x70:
		return 0x80 | e.op&0xf, true
	case e.m == map0F && e.op&0xf0 == 0x80:
		return e.op, true
	}
	return 0, false
}

// canonPrefixes appends the prefixes that have an effect.
func (e *encoding) canonPrefixes(dst []byte, flow arch.Flow) []byte {
	addresses := e.memory() || e.form.flags&fImplicit != 0 || e.form.imm == immMoffs
	if e.seg != 0 {
		dst = append(dst, e.seg)
	}
	if e.lock {
		dst = append(dst, 0xf0)
	}
	switch flow {
	case arch.FlowJump, arch.FlowBranch, arch.FlowCall, arch.FlowJumpInd, arch.FlowCallInd, arch.FlowReturn:
	default:
		if e.rep != 0 {
			dst = append(dst, e.rep)
		}
	}
	if e.addr32 && addresses {
		dst = append(dst, 0x67)
	}
	if e.data16 && (e.rex&8 == 0 || e.form.pps != 0xff) {
		dst = append(dst, 0x66)
	}
	if e.rex != 0 {
		dst = append(dst, e.rex)
	}
	return dst
}

// fieldAt returns the size of the operand field or branch displacement that
// begins at offset i, or zero.
func fieldAt(in *arch.Inst, i int) int {
	if in.BrSize != 0 && int(in.BrOff) == i {
		return int(in.BrSize)
	}
	for k := range in.Ops[:in.NumOps] {
		if op := &in.Ops[k]; int(op.Off) == i {
			return int(op.Size)
		}
	}
	return 0
}

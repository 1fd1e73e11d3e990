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
	code = code[:in.Len]
	if prefixKinds[code[0]] != prefixLegacy {
		return canonPlain(dst, code, in)
	}
	return generalCanon(dst, code, in)
}

// canonPlain is Canon for an instruction without legacy prefixes.
func canonPlain(dst, code []byte, in *arch.Inst) []byte {
	next := 0
	if prefixKinds[code[0]] == prefixREX {
		dst = append(dst, code[0])
		next = 1
	}
	switch op := code[next]; {
	case op == 0xe9 || op == 0xeb:
		return append(dst, 0xe9)
	case op&0xf0 == 0x70:
		return append(dst, 0x0f, 0x80|op&0xf)
	case op == 0x0f && code[next+1]&0xf0 == 0x80:
		return append(dst, 0x0f, code[next+1])
	}
	return appendRest(dst, code, next, in)
}

// generalCanon is Canon for all others.
func generalCanon(dst, code []byte, in *arch.Inst) []byte {
	code = code[:in.Len]
	var e encoding
	err := e.head(code)
	if err == nil && (e.addr32 || e.data16) { // only then does the rest tell what a prefix does
		e = encoding{}
		err = e.decode(code)
	}
	if err != nil {
		return append(dst, code...) // not what Decode described: compare it as it is
	}
	dst = e.canonPrefixes(dst, in.Flow)
	switch op, ok := e.nearBranch(); {
	case ok && op == 0xe9:
		return append(dst, op)
	case ok:
		return append(dst, 0x0f, op)
	}
	return appendRest(dst, code, e.prefixes.len, in)
}

// appendRest appends the bytes from next on, where escapes and opcode or a VEX prefix begin, without those of the operands.
func appendRest(dst, code []byte, next int, in *arch.Inst) []byte {
	for i := range in.Ops[:in.NumOps] {
		op := &in.Ops[i] // in the order of their fields
		dst = append(dst, code[next:op.Off]...)
		next = int(op.Off + op.Size)
	}
	if in.BrSize != 0 {
		dst = append(dst, code[next:in.BrOff]...)
		next = int(in.BrOff + in.BrSize)
	}
	return append(dst, code[next:]...)
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
//
// Preconditions: e is decoded as a whole if it has a prefix 66 or 67.
func (e *encoding) canonPrefixes(dst []byte, flow arch.Flow) []byte {
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
	if e.addr32 && (e.memory() || e.form.flags&fImplicit != 0 || e.form.imm == immMoffs) {
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

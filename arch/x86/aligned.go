package x86

// Aligned returns what the address of the first instruction's memory operand has to be a multiple of: [arch.Arch.Aligned].
//
// Legacy SSE operands of 16 bytes have to be aligned, those of AVX do not, and the moves that say so in their names are
// exceptions in both (SDM volume 1, 10.8.3 and 14.9; volume 2, 2.4, tables 2-18 to 2-25).
func Aligned(code []byte) int {
	var e encoding
	if e.decode(code) != nil || !e.memory() || e.ofStack() {
		return 1
	}
	switch {
	case e.vector.kind != vectorNone:
		if e.alignedMove() {
			return max(1, int(e.memWidth()))
		}
	case e.m == map0F && e.op == 0xae: // fxsave, fxrstor; xsave, xrstor, xsaveopt
		switch e.reg() {
		case 0, 1:
			return 16
		case 4, 5, 6:
			if !e.data16 { // clwb, tpause
				return 64
			}
		}
	case e.m == map0F && e.op == 0xc7: // cmpxchg16b; xrstors, xsavec, xsaves
		switch {
		case e.reg() == 1 && e.wbit() == 1:
			return 16
		case e.reg() >= 3 && e.reg() <= 5:
			return 64
		}
	case e.m != map1 && e.memWidth() == 16 && !e.unalignedSSE():
		return 16
	}
	return 1
}

// alignedMove reports whether a VEX or EVEX instruction is vmovaps, vmovapd, vmovdqa, vmovntps, vmovntpd, vmovntdq or vmovntdqa.
func (e *encoding) alignedMove() bool {
	switch {
	case e.m == mapVEX2 || e.m == mapEVEX2:
		return e.op == 0x2a && e.vector.pp == 1
	case e.m != mapVEX1 && e.m != mapEVEX1:
		return false
	}
	switch e.op {
	case 0x28, 0x29, 0x2b:
		return e.vector.pp <= 1
	case 0x6f, 0x7f, 0xe7:
		return e.vector.pp == 1
	}
	return false
}

// unalignedSSE reports whether a legacy instruction accepts any address for its 16 bytes: movups, movupd, movdqu, lddqu and the string
// comparisons of SSE4.2.
func (e *encoding) unalignedSSE() bool {
	switch {
	case e.m == map0F && (e.op == 0x10 || e.op == 0x11):
		return true
	case e.m == map0F && (e.op == 0x6f || e.op == 0x7f):
		return e.rep == 0xf3
	case e.m == map0F && e.op == 0xf0:
		return e.rep == 0xf2
	}
	return e.m == map3A && e.op >= 0x60 && e.op <= 0x63
}

package x86

import "hotpatch/arch"

// Relax appends the canonical bytes that the instruction would have if the
// linker had relaxed it, given that its memory operand is a GOT slot:
// [arch.Arch.Relax]. The transformations are those of the x86-64 supplement to the System V ABI,
// B.2 (R_X86_64_GOTPCRELX and R_X86_64_REX_GOTPCRELX), and of the ELF TLS document for
// R_X86_64_GOTTPOFF:
//
//	RelaxPC    mov slot(%rip), %r     lea sym(%rip), %r
//	           call *slot(%rip)       call sym
//	           jmp *slot(%rip)        jmp sym
//	RelaxAbs   mov slot(%rip), %r     mov $sym, %r
//	           test %r, slot(%rip)    test $sym, %r
//	           OP slot(%rip), %r      OP $sym, %r, OP = adc add and cmp or sbb sub xor
//	           call, jmp              as RelaxPC
//	RelaxTLS   mov slot(%rip), %r     mov $tpoff, %r
//	           add slot(%rip), %r     lea tpoff(%r), %r
func Relax(dst, code []byte, in *arch.Inst, form arch.Relaxation) ([]byte, bool) {
	var e encoding
	if err := e.decode(code); err != nil || !e.rip || e.m != map1 ||
		e.data16 && e.rex&8 == 0 || e.lock || e.seg != 0 || e.rep != 0 && in.Flow == arch.FlowNext {
		return dst, false
	}
	switch {
	case e.op == 0xff && form != arch.RelaxTLS && e.rex == 0:
		switch e.reg() {
		case 2:
			return append(dst, 0xe8), true
		case 4:
			return append(dst, 0xe9), true
		}
		return dst, false
	case e.op == 0x8b && form == arch.RelaxPC:
		return append(appendREX(dst, e.rex), 0x8d, e.modrm), true
	case form == arch.RelaxPC:
		return dst, false
	case form == arch.RelaxTLS && (e.rex&8 == 0 || e.op != 0x8b && e.op != 0x03):
		return dst, false
	}
	return e.relaxImmediate(dst, form)
}

// relaxImmediate spells mov, test and the arithmetic instructions with an
// immediate operand, and the TLS form of add.
func (e *encoding) relaxImmediate(dst []byte, form arch.Relaxation) ([]byte, bool) {
	// The register moves from ModRM.reg to ModRM.rm, its high bit from REX.R to REX.B.
	rex := e.rex &^ 5
	rex |= e.rex >> 2 & 1
	direct := 0xc0 | e.reg()
	switch {
	case e.op == 0x8b:
		return append(appendREX(dst, rex), 0xc7, direct), true
	case e.op == 0x85:
		return append(appendREX(dst, rex), 0xf7, direct), true
	case e.op == 0x03 && form == arch.RelaxTLS:
		if e.reg() == 4 { // as a base, rsp and r12 need a SIB byte: linkers keep add
			return append(appendREX(dst, rex), 0x81, direct), true
		}
		rex |= e.rex & 4
		return append(appendREX(dst, rex), 0x8d, 0x80|e.reg()<<3|e.reg()), true
	case e.op&^0x38 == 0x03:
		return append(appendREX(dst, rex), 0x81, e.op&0x38|direct), true
	}
	return dst, false
}

func appendREX(dst []byte, rex byte) []byte {
	if rex != 0 {
		dst = append(dst, rex)
	}
	return dst
}

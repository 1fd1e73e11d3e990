package image

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
)

// tlsOperand resolves an operand that is an offset from the thread pointer. Its kind is RefTLS
// only if it can be one.
func (r *resolver) tlsOperand(di *arch.Inst, op *arch.Operand, link *LinkReloc) (Place, RefKind) {
	if link != nil {
		switch elf.R_X86_64(link.Type) {
		case elf.R_X86_64_TPOFF32, elf.R_X86_64_DTPOFF32:
			return r.im.tlsNamed(link, op.Value), RefTLS
		case elf.R_X86_64_GOTTPOFF, elf.R_X86_64_TLSGD, elf.R_X86_64_GOTPC32_TLSDESC:
			// The linker relaxed the access to local exec, but kept the type.
			if op.Kind != arch.OpPC {
				return r.im.tlsNamed(link, op.Value), RefTLS
			}
		}
		return Place{}, RefMem
	}
	if r.im.HasRelocs && !op.Seg {
		return Place{}, RefMem
	}
	switch {
	case op.Seg && (op.Kind == arch.OpAbs || op.Kind == arch.OpDisp):
		if op.Value >= 0 {
			// At and above the thread pointer is the thread's control block (the canary at 0x28).
			return Place{Kind: PlaceNone}, RefTLS
		}
		p := r.im.tlsPlace(op.Value)
		p.Proven = p.Kind == PlaceTLS
		if p.Kind == PlaceNone {
			p = Place{Kind: PlaceUnknown, Why: fmt.Sprintf("thread pointer %+d is outside the program's TLS", op.Value)}
		}
		return p, RefTLS
	case r.tls && (op.Kind == arch.OpDisp || op.Kind == arch.OpImm && !op.Arith) && op.Size == 4:
		if p := r.im.tlsPlace(op.Value); p.Kind == PlaceTLS {
			return p, RefTLS
		}
	}
	return Place{}, RefMem
}

// throughFS reports whether an instruction addresses memory through the thread pointer's segment.
func throughFS(code []byte) bool {
	for i := 0; i < len(code) && isLegacyPrefix(code[i]); i++ {
		if code[i] == 0x64 {
			return true
		}
	}
	return false
}

// tlsNamed resolves a thread-local reference whose symbol a link-time relocation names.
func (im *Image) tlsNamed(l *LinkReloc, v int64) Place {
	for _, a := range im.index.byName[l.Sym] {
		if a.Kind == TLSObject && (a.Addr == im.TLS.Addr+l.Value || a.Addr == l.Value) {
			return Place{Kind: PlaceTLS, Atom: a, Addend: tlsAddend(l), Proven: true}
		}
	}
	p := im.tlsPlace(v)
	p.Proven = p.Kind == PlaceTLS
	return p
}

// tlsAddend is the offset from the symbol. Types that were relative to the program counter before
// relaxation carry the distance to the instruction's end in their addend.
func tlsAddend(l *LinkReloc) int64 {
	switch elf.R_X86_64(l.Type) {
	case elf.R_X86_64_TPOFF32, elf.R_X86_64_DTPOFF32:
		return l.Addend
	}
	return l.Addend + 4
}

// tlsPlace resolves an offset from the thread pointer. The TLS block of a program ends at the thread pointer
// (System V ABI, "ELF Handling For Thread-Local Storage", variant II), so the offsets of its objects are negative.
func (im *Image) tlsPlace(off int64) Place {
	block := int64(alignUp(im.TLS.MemSize, im.TLS.Align))
	if off >= 0 || off < -block || block == 0 || im.Type == elf.ET_DYN && !im.PIE && len(im.Needed) > 0 {
		return Place{}
	}
	at := im.TLS.Addr + arch.ImageAddr(off+block)
	a := im.TLSAt(at)
	if a == nil {
		return Place{}
	}
	return Place{Kind: PlaceTLS, Atom: a, Addend: int64(at - a.Addr)}
}

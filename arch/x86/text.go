package x86

import (
	"fmt"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"hotpatch/arch"
)

// text disassembles for people: [arch.Arch.Text]. The words come from x86asm,
// in the syntax of GNU as, and only where x86asm agrees with the decoder on
// length, on branch target and on what is relative to the instruction pointer;
// else the bytes are shown.
func text(code []byte, pc uint64, symname func(addr uint64) (name string, base uint64)) string {
	var e encoding
	if e.decode(code) != nil {
		return bytesText(code[:min(len(code), 1)])
	}
	in := e.inst(code)
	code = code[:in.Len]
	if e.vector.kind == vectorNone {
		if g, err := x86asm.Decode(code, 64); err == nil && e.agrees(&g, &in) {
			return x86asm.GNUSyntax(g, pc, x86asm.SymLookup(symname))
		}
	}
	return bytesText(code)
}

// agrees reports whether g describes the same instruction as e and in, so far
// as both say.
func (e *encoding) agrees(g *x86asm.Inst, in *arch.Inst) bool {
	if g.Len != in.Len || g.Op == 0 {
		return false
	}
	if in.BrSize != 0 {
		rel, ok := g.Args[0].(x86asm.Rel)
		return ok && int64(rel)+int64(g.Len) == in.Target
	}
	memory, rip := false, false
	for _, a := range g.Args {
		if m, ok := a.(x86asm.Mem); ok {
			memory = true
			rip = rip || m.Base == x86asm.RIP
		}
	}
	return rip == e.rip && (memory || !e.memory())
}

// bytesText shows code as data.
func bytesText(code []byte) string {
	var b strings.Builder
	for i, c := range code {
		sep := ","
		if i == 0 {
			sep = ".byte "
		}
		fmt.Fprintf(&b, "%s0x%02x", sep, c)
	}
	return b.String()
}

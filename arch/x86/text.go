package x86

import (
	"fmt"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"hotpatch/arch"
)

// text disassembles for people: [arch.Arch.Text]. The words come from x86asm,
// in the syntax of GNU as, and only where x86asm agrees with the decoder on
// length, on branch target and on the memory operand; else the bytes are shown.
func text(code []byte, pc uint64, symname func(addr uint64) (name string, base uint64)) string {
	var e encoding
	if e.decode(code) != nil {
		return bytesText(code[:min(len(code), 1)])
	}
	code = code[:e.n]
	if string(code) == endbr64 {
		return "endbr64" // which x86asm does not know
	}
	var in arch.Inst
	e.describe(code, &in)
	g, err := x86asm.Decode(code, 64)
	if err != nil || !e.agrees(&g, &in) {
		return bytesText(code)
	}
	if in.BrSize != 0 {
		named := func(addr uint64) (string, uint64) { return namedPlace(addr, symname), addr }
		return shortMnemonic(x86asm.GNUSyntax(g, pc, named))
	}
	s, ok := e.mend(x86asm.GNUSyntax(g, pc, nil), code)
	if !ok {
		return bytesText(code)
	}
	if e.rip {
		s = nameOperand(s, pc+uint64(in.Ops[0].Value), symname)
	}
	return shortMnemonic(s)
}

// shortMnemonic takes off the suffix that a 64-bit mode instruction of one size needs none of.
func shortMnemonic(s string) string {
	word, rest, more := strings.Cut(s, " ")
	switch word {
	case "callq", "jmpq", "retq", "leaveq":
		word = word[:len(word)-1]
	}
	if more {
		return word + " " + rest
	}
	return word
}

// nameOperand puts the name of a place, in angle brackets, where the operand relative to %rip stands; without a name, the address follows.
func nameOperand(s string, addr uint64, symname func(addr uint64) (name string, base uint64)) string {
	const rip = "(%rip)"
	end := strings.Index(s, rip)
	name := namedPlace(addr, symname)
	if name == "" || end < 0 {
		return fmt.Sprintf("%s  # %#x", s, addr)
	}
	start := strings.LastIndexAny(s[:end], " ,*") + 1 // of the displacement
	return s[:start] + name + s[end+len(rip):]
}

// agrees reports whether g describes the same instruction as e and in, so far
// as both say; it restores a lost base register.
func (e *encoding) agrees(g *x86asm.Inst, in *arch.Inst) bool {
	if g.Len != in.Len || g.Op == 0 {
		return false
	}
	if in.BrSize != 0 {
		rel, ok := g.Args[0].(x86asm.Rel)
		return ok && int64(rel)+int64(g.Len) == in.Target
	}
	memory, rip := false, false
	for i, a := range g.Args {
		m, ok := a.(x86asm.Mem)
		if !ok {
			continue
		}
		if e.rip && e.vector.kind != vectorNone && m.Base == 0 && m.Index == 0 {
			m.Base = x86asm.RIP // which x86asm v0.32 forgets
			g.Args[i] = m
		}
		memory = true
		rip = rip || m.Base == x86asm.RIP
	}
	return rip == e.rip && (memory || !e.memory())
}

// mend corrects what x86asm v0.32 spells wrongly: an index %riz where there is
// none, a repeated 66 as data32, notrack as ds, a negative displacement as
// unsigned. It reports whether s now shows the operand that code has.
func (e *encoding) mend(s string, code []byte) (string, bool) {
	s = strings.ReplaceAll(s, ",%riz", "")
	s = strings.ReplaceAll(s, ",%eiz", "")
	s = strings.ReplaceAll(s, "data32 ", "data16 ")
	s = strings.Replace(s, "ds jmp *", "notrack jmp *", 1)
	s = strings.Replace(s, "ds call *", "notrack call *", 1)
	if e.seg == 0 && (strings.Contains(s, "%fs:") || strings.Contains(s, "%gs:")) {
		return s, false // taken from VEX.vvvv
	}
	if e.form.imm == immMoffs {
		return s, false
	}
	if !e.memory() {
		return s, true
	}
	if e.m == map1 && (e.op == 0xde || e.op == 0xdf) && e.form.width == 2 {
		return s, false // the suffix s of fiadds is missing
	}
	if e.dispSize == 0 {
		return s, true
	}
	disp := int64(int8(code[e.dispOff]))
	if e.dispSize == 4 {
		disp = disp32(code[e.dispOff:])
	}
	if e.vector.kind == vectorEVEX && e.dispSize == 1 {
		return s, true // scaled by the size of the operand
	}
	switch {
	case e.absolute:
		return mendAbsolute(s, disp)
	case disp == 0:
		return s, true
	case disp > 0:
		return s, strings.Contains(s, fmt.Sprintf("%#x(", disp))
	}
	want := fmt.Sprintf("-%#x(", -disp)
	s = strings.Replace(s, fmt.Sprintf("%#x(", uint32(disp)), want, 1)
	return s, strings.Contains(s, want)
}

// mendAbsolute corrects the address of an operand without registers: x86asm
// leaves out zero and shows only 32 bits of a negative one.
func mendAbsolute(s string, disp int64) (string, bool) {
	want := fmt.Sprintf("%#x", uint64(disp))
	switch {
	case disp > 0:
	case disp < 0:
		s = strings.Replace(s, fmt.Sprintf("%#x", uint32(disp)), want, 1)
	default:
		for _, seg := range []string{"%fs:", "%gs:"} {
			s = strings.Replace(s, seg+",", seg+want+",", 1)
			if strings.HasSuffix(s, seg) {
				s += want
			}
		}
	}
	return s, strings.Contains(s, want)
}

// namedPlace names an address: <name> or <name+0x8>; "" if it has no name. A name that begins with a sign is an offset, and stays as it is.
func namedPlace(addr uint64, symname func(addr uint64) (name string, base uint64)) string {
	if symname == nil {
		return ""
	}
	switch name, base := symname(addr); {
	case name == "", name[0] == '+', name[0] == '-':
		return name
	case addr == base:
		return "<" + name + ">"
	default:
		return fmt.Sprintf("<%s+%#x>", name, addr-base)
	}
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

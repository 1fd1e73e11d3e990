package arm64

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
)

// text disassembles for people: [arch.Arch.Text]. The words come from arm64asm, in the syntax of GNU as. What it does not know
// but servers execute (atomic operations, pointer authentication, hints) is spelled by the tables below; the rest is shown as
// data.
func text(code []byte, pc uint64, symname func(addr uint64) (name string, base uint64)) string {
	if len(code) < InstLen {
		return bytesText(code)
	}
	w := binary.LittleEndian.Uint32(code)
	in, err := Decode(code)
	if err != nil {
		return wordText(w)
	}
	if s := ownText(w, &in); s != "" {
		return s
	}
	conditional := w&0xff000000 == 0x54000000
	if conditional {
		code = binary.LittleEndian.AppendUint32(nil, w&^0x10) // BC.cond, which arm64asm does not know, as B.cond
	}
	g, err := arm64asm.Decode(code[:InstLen])
	if err != nil {
		return wordText(w)
	}
	s := arm64asm.GNUSyntax(g)
	if conditional {
		s = conditionText(s, w)
	}
	addr, relative := uint64(0), true
	switch {
	case isDirect(in.Flow):
		addr = pc + uint64(in.Target)
	case in.Kind == PCRel || in.Kind == Literal:
		addr = pc + uint64(in.Imm)
	case in.Kind == Page:
		addr = pc&^(pageLen-1) + uint64(in.Imm)
	default:
		relative = false
	}
	const here = ".+0x" // as arm64asm begins a distance
	at := strings.Index(s, here)
	switch {
	case relative != (at >= 0):
		return wordText(w)
	case relative:
		return s[:at] + placeText(addr, symname)
	}
	return s
}

// placeText names an address: <name> or <name+0x8>; without a name it is a number. A name that begins with a sign is an
// offset, and stays as it is.
func placeText(addr uint64, symname func(addr uint64) (name string, base uint64)) string {
	name, base := "", uint64(0)
	if symname != nil {
		name, base = symname(addr)
	}
	switch {
	case name == "":
		return fmt.Sprintf("%#x", addr)
	case name[0] == '+', name[0] == '-':
		return name
	case addr == base:
		return "<" + name + ">"
	}
	return fmt.Sprintf("<%s+%#x>", name, addr-base)
}

// conditionText corrects the mnemonic of a conditional branch: arm64asm shows the condition 1111, which is always true as well,
// as that before it.
func conditionText(s string, w uint32) string {
	if w&15 == 15 {
		s = strings.Replace(s, "b.al", "b.nv", 1)
	}
	if w>>4&1 == 1 {
		s = strings.Replace(s, "b.", "bc.", 1)
	}
	return s
}

// ownText spells what arm64asm does not know, or shows as a number only; else it is "".
func ownText(w uint32, in *Inst) string {
	switch {
	case w>>16 == 0:
		return fmt.Sprintf("udf #%d", w)
	case in.Kind == ReadTP:
		return "mrs " + registerText(w&31, true, orZero) + ", tpidr_el0"
	case w&0xfffff01f == nop:
		return hintNames[field(w, 5, 7)]
	case w&0xfffffbff == 0xd65f0bff:
		return [...]string{"retaa", "retab"}[w>>10&1]
	case w&0xfe1ff800 == 0xd61f0800:
		return signedBranch(w)
	case w&0x3fa07c00 == 0x08a07c00:
		return atomicText(w, "cas")
	case w&0x3f208c00 == 0x38200000:
		return atomicText(w, [...]string{"ldadd", "ldclr", "ldeor", "ldset", "ldsmax", "ldsmin", "ldumax", "ldumin"}[field(w, 12, 3)])
	case w&0x3f20fc00 == 0x38208000:
		return atomicText(w, "swp")
	}
	return ""
}

// hintNames are the hints that have a name, by CRm and op2 (Arm ARM, C4.1.66, "Hints").
var hintNames = map[uint32]string{
	0: "nop", 1: "yield", 2: "wfe", 3: "wfi", 4: "sev", 5: "sevl", 7: "xpaclri",
	8: "pacia1716", 10: "pacib1716", 12: "autia1716", 14: "autib1716", 16: "esb", 17: "psb csync", 18: "tsb csync", 20: "csdb",
	24: "paciaz", 25: "paciasp", 26: "pacibz", 27: "pacibsp", 28: "autiaz", 29: "autiasp", 30: "autibz", 31: "autibsp",
	32: "bti", 34: "bti c", 36: "bti j", 38: "bti jc",
}

// signedBranch spells a branch through a register that holds a signed address: 1101011 Z 0 op 11111 00001 M Rn Rm.
func signedBranch(w uint32) string {
	name := [...]string{"bra", "blra"}[w>>21&1] + [...]string{"a", "b"}[w>>10&1]
	rn := registerText(field(w, 5, 5), true, orZero)
	switch {
	case field(w, 21, 2) > 1: // RETAA and the like
		return ""
	case w>>24&1 == 0:
		return name + "z " + rn
	}
	return name + " " + rn + ", " + registerText(w&31, true, orSP)
}

// atomicText spells an atomic operation: size ... Rs ... Rn Rt, with acquire and release where its group has them.
func atomicText(w uint32, name string) string {
	acquire, release := w>>23&1, w>>22&1
	if name == "cas" {
		acquire, release = w>>22&1, w>>15&1
	}
	wide := w>>30 == 3
	other := ", " + registerText(w&31, wide, orZero)
	if op, ok := strings.CutPrefix(name, "ld"); ok && w&31 == 31 && acquire == 0 { // what is loaded is not wanted: another name
		name, other = "st"+op, ""
	}
	name += [...]string{"", "l", "a", "al"}[acquire<<1|release] + [...]string{"b", "h", "", ""}[w>>30]
	return fmt.Sprintf("%s %s%s, [%s]", name, registerText(field(w, 16, 5), wide, orZero), other, registerText(field(w, 5, 5), true, orSP))
}

// What number 31 stands for where a register is named.
const (
	orZero = "zr"
	orSP   = "sp"
)

// registerText names a general register, of 64 bits or the lower half of it.
func registerText(n uint32, wide bool, last string) string {
	prefix := "w"
	if wide {
		prefix = "x"
	}
	switch {
	case n < 31:
		return fmt.Sprintf("%s%d", prefix, n)
	case wide && last == orSP:
		return last
	}
	return prefix + last
}

// wordText shows a word as data.
func wordText(w uint32) string { return fmt.Sprintf(".inst %#08x", w) }

// bytesText shows less than a word.
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

package mutate

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"hotpatch/arch"
)

// valid reports whether objdump's text is that of an instruction without oddities: a prefix that stands for itself would be one.
func valid(text string) bool {
	return text != "" && !strings.Contains(text, "(bad)") && !strings.HasPrefix(text, "rex") && !strings.HasPrefix(text, "data16") &&
		!strings.HasPrefix(text, ".byte")
}

var number = regexp.MustCompile(`0x[0-9a-f]+`)

// differs reports whether the mutation's instruction became another in the way that its kind says.
func differs(kind Kind, before, after *inst) bool {
	if before.text == after.text {
		return false
	}
	switch kind {
	case Immediate, Offset:
		return number.ReplaceAllString(before.text, "N") == number.ReplaceAllString(after.text, "N")
	}
	return true
}

// eachInst calls f for every instruction of a function that is no padding.
func (p *Program) eachInst(f func(i int, in *inst, unit arch.ImageAddr)) {
	for i := range p.insts {
		in := &p.insts[i]
		if unit := p.unitAt(in.addr); unit != 0 && !in.padding() {
			f(i, in, unit)
		}
	}
}

// change describes a mutation of one byte of an instruction.
func (p *Program) change(kind Kind, i, at int, to byte, unit arch.ImageAddr) Mutation {
	in := &p.insts[i]
	return Mutation{Kind: kind, Addr: in.addr, inst: i, must: []arch.ImageAddr{unit},
		edits: []edit{p.edit(in.addr+arch.ImageAddr(at), to)}, What: fmt.Sprintf("%s: byte %d %#x -> %#x", in.text, at, in.code[at], to)}
}

// opcodeAt returns the index of an instruction's opcode, behind prefixes and the escape byte 0F. It is false for VEX, EVEX and the maps 0F38
// and 0F3A.
func opcodeAt(code []byte) (at int, twoByte, ok bool) {
	for at < len(code) && strings.IndexByte("\x66\xf2\xf3\x2e\x3e\x26\x36\x64\x65\x67\xf0", code[at]) >= 0 {
		at++
	}
	if at < len(code) && code[at]&0xf0 == 0x40 {
		at++
	}
	if at < len(code) && code[at] == 0x0f {
		at, twoByte = at+1, true
	}
	if at >= len(code) || !twoByte && (code[at] == 0xc4 || code[at] == 0xc5 || code[at] == 0x62) || twoByte && (code[at] == 0x38 || code[at] == 0x3a) {
		return 0, false, false
	}
	return at, twoByte, true
}

// eachOpcode is eachInst for those whose opcode opcodeAt finds, at the offset at of the instruction.
func (p *Program) eachOpcode(f func(i int, in *inst, unit arch.ImageAddr, at int, twoByte bool)) {
	p.eachInst(func(i int, in *inst, unit arch.ImageAddr) {
		if at, twoByte, ok := opcodeAt(in.code); ok {
			f(i, in, unit, at, twoByte)
		}
	})
}

// findOpcodes proposes other opcodes of equal length (Intel SDM vol. 2, appendix A). Those that mean nothing are sorted out by objdump.
func findOpcodes(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	p.eachOpcode(func(i int, in *inst, unit arch.ImageAddr, at int, twoByte bool) {
		op := in.code[at]
		if other := otherOpcode(op, twoByte, r); other != op {
			out = append(out, p.change(Opcode, i, at, other, unit))
		}
		if hasExtension(op, twoByte) && at+1 < len(in.code) { // the opcode's other half is in ModRM
			out = append(out, p.change(Opcode, i, at+1, in.code[at+1]^byte(1+r.IntN(7))<<3, unit))
		}
	})
	return out
}

// otherOpcode returns an opcode with operands of the same form, or the same one. A call never becomes a jump: what stands behind it would be dead
// code, and what only that refers to, nobody's; no build has that.
func otherOpcode(op byte, twoByte bool, r *rand.Rand) byte {
	if twoByte {
		switch {
		case op&0xf0 == 0x80, op&0xf0 == 0x40, op&0xf0 == 0x90: // jcc, cmovcc, setcc
			return op ^ byte(1+r.IntN(15))
		case op == 0xb6, op == 0xb7, op == 0xbe, op == 0xbf: // movzx, movsx
			return op ^ 8
		case op == 0x58, op == 0x59, op == 0x5c, op == 0x5e: // SSE arithmetic
			return [4]byte{0x58, 0x59, 0x5c, 0x5e}[r.IntN(4)]
		case op == 0x10, op == 0x11, op == 0x28, op == 0x29: // SSE moves: the other direction
			return op ^ 1
		case op == 0xfc, op == 0xfd, op == 0xfe, op == 0xd4: // paddb..paddq
			return [4]byte{0xfc, 0xfd, 0xfe, 0xd4}[r.IntN(4)]
		}
		return op
	}
	switch {
	case op < 0x40 && op&7 < 6: // add, or, adc, sbb, and, sub, xor, cmp
		return op ^ byte(1+r.IntN(7))<<3
	case op&0xf0 == 0x70: // jcc
		return op ^ byte(1+r.IntN(15))
	case op == 0x84, op == 0x85: // test, xchg
		return op ^ 2
	case op >= 0x88 && op <= 0x8b: // mov: the other direction
		return op ^ 2
	case op == 0x8d: // lea to mov
		return 0x8b
	}
	return op
}

// hasExtension reports whether the reg field of ModRM belongs to the opcode (Intel SDM vol. 2, table A-6).
func hasExtension(op byte, twoByte bool) bool {
	if twoByte {
		return op == 0xba
	}
	switch op {
	case 0x80, 0x81, 0x83, 0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe:
		return true
	}
	return false
}

// regIsOperand reports whether the reg field of ModRM is a register operand, of those opcodes that are mutated.
func regIsOperand(op byte, twoByte bool) bool {
	if twoByte {
		return op&0xf0 == 0x40 || op&0xf6 == 0xb6 || op == 0xaf || op&0xfe == 0x10 || op&0xfe == 0x28 ||
			op >= 0x54 && op <= 0x5f || op == 0x6f || op == 0xef
	}
	return op < 0x40 && op&7 < 4 || op >= 0x84 && op <= 0x8b || op == 0x8d || op == 0x63 || op == 0x69 || op == 0x6b
}

// findRegisters flips one bit of the reg field, where that is an operand, or of the register that is part of the opcode.
func findRegisters(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	p.eachOpcode(func(i int, in *inst, unit arch.ImageAddr, at int, twoByte bool) {
		op := in.code[at]
		switch {
		case !twoByte && (op >= 0x50 && op <= 0x5f || op >= 0xb8 && op <= 0xbf):
			out = append(out, p.change(Register, i, at, op^byte(1<<r.IntN(3)), unit))
		case at+1 < len(in.code) && regIsOperand(op, twoByte):
			out = append(out, p.change(Register, i, at+1, in.code[at+1]^byte(1<<(3+r.IntN(3))), unit))
		}
	})
	return out
}

// trailing returns how many bytes at the end of code hold the value v, sign-extended, as an immediate does.
func trailing(code []byte, v uint64) int {
	for _, n := range []int{8, 4, 2, 1} {
		if n >= len(code) {
			continue
		}
		var b [8]byte
		copy(b[:], code[len(code)-n:])
		got := binary.LittleEndian.Uint64(b[:])
		mask := ^uint64(0)
		if n < 8 {
			mask = 1<<(8*n) - 1
		}
		if got == v&mask && (n > 1 || v <= 0x7f || v >= 0x80 && int64(int8(got)) != int64(v&0x7f)) && (v <= mask || signExtended(v, n)) {
			return n
		}
	}
	return 0
}

// signExtended reports whether v is an n-byte value that was extended to 2, 4 or 8 bytes.
func signExtended(v uint64, n int) bool {
	s := 64 - 8*n
	full := uint64(int64(v<<s) >> s)
	return full == v || uint64(uint32(full)) == v || uint64(uint16(full)) == v
}

// immediate returns the value of the last operand if that is a plain number.
func immediate(text string) (uint64, bool) {
	i := strings.LastIndexAny(text, ", ")
	branch := strings.HasPrefix(text, "j") || strings.HasPrefix(text, "call") || strings.HasPrefix(text, "bnd")
	if i < 0 || branch || !strings.HasPrefix(text[i+1:], "0x") {
		return 0, false
	}
	v, err := strconv.ParseUint(text[i+3:], 16, 64)
	return v, err == nil
}

// free reports whether n bytes of an instruction, from its byte at on, hold nothing that the linker relocated.
func (p *Program) free(in *inst, at, n int) bool {
	for k := range n {
		if p.relocated(in.addr + arch.ImageAddr(at+k)) {
			return false
		}
	}
	return true
}

func findImmediates(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	p.eachInst(func(i int, in *inst, unit arch.ImageAddr) {
		v, ok := immediate(in.text)
		if !ok {
			return
		}
		n := trailing(in.code, v)
		if n == 0 || !p.free(in, len(in.code)-n, n) {
			return
		}
		at := len(in.code) - n + r.IntN(n)
		out = append(out, p.change(Immediate, i, at, in.code[at]^byte(1<<r.IntN(8)), unit))
	})
	return out
}

var displacement = regexp.MustCompile(`\[r[^\]]*([+-])0x([0-9a-f]+)\]`)

// findOffsets flips one bit of the displacement of a memory operand with a register.
func findOffsets(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	p.eachInst(func(i int, in *inst, unit arch.ImageAddr) {
		m := displacement.FindStringSubmatch(in.text)
		if m == nil || strings.Contains(in.text, "[rip") || strings.HasPrefix(in.text, "nop") {
			return
		}
		d, err := strconv.ParseUint(m[2], 16, 64)
		if err != nil {
			return
		}
		if m[1] == "-" {
			d = -d
		}
		tail := 0
		if v, ok := immediate(in.text); ok {
			tail = trailing(in.code, v)
		}
		code := in.code[:len(in.code)-tail]
		for _, n := range []int{4, 1} {
			if n+2 > len(code) || !p.free(in, len(code)-n, n) {
				continue
			}
			if at := len(code) - n; n == 4 && uint32(d) == binary.LittleEndian.Uint32(code[at:]) || n == 1 && byte(d) == code[at] {
				k := at + r.IntN(n)
				out = append(out, p.change(Offset, i, k, code[k]^byte(1<<r.IntN(8)), unit))
				break
			}
		}
	})
	return out
}

// findBranches leads a branch within a function to another of its instructions.
func findBranches(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	p.eachInst(func(i int, in *inst, unit arch.ImageAddr) {
		if !strings.HasPrefix(in.text, "j") || strings.Contains(in.text, "[") {
			return
		}
		fn := p.functionAt(in.addr)
		size := 4
		if len(in.code) == 2 {
			size = 1
		}
		at := len(in.code) - size
		if at < 1 || !p.free(in, at, size) {
			return
		}
		to := in.end() + arch.ImageAddr(int8(in.code[at]))
		if size == 4 {
			to = in.end() + arch.ImageAddr(int32(binary.LittleEndian.Uint32(in.code[at:])))
		}
		k := p.instAt(to)
		if to < fn.start || to >= fn.end || k < 0 || p.insts[k].addr != to {
			return
		}
		other := k + r.IntN(40) - 20
		if size == 1 {
			other = k + r.IntN(8) - 4
		}
		if other < 0 || other >= len(p.insts) || p.onlyPadding(min(k, other), max(k, other)) {
			return
		}
		dest := p.insts[other].addr
		disp := int64(dest - in.end())
		if dest < fn.start || dest >= fn.end || size == 1 && disp != int64(int8(disp)) {
			return
		}
		m := Mutation{Kind: Branch, Addr: in.addr, inst: i, must: []arch.ImageAddr{unit}, What: fmt.Sprintf("%s -> %#x", in.text, uint64(dest))}
		m.edits = []edit{p.edit(in.addr+arch.ImageAddr(at), binary.LittleEndian.AppendUint64(nil, uint64(disp))[:size]...)}
		out = append(out, m)
	})
	return out
}

// onlyPadding reports whether the instructions from i up to j, without j, are all padding.
func (p *Program) onlyPadding(i, j int) bool {
	for ; i < j; i++ {
		if !p.insts[i].padding() {
			return false
		}
	}
	return true
}

// findPadding changes the operands of NOPs, and bytes that belong to no function.
func findPadding(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	for i := range p.insts {
		in := &p.insts[i]
		s := p.section(in.addr)
		if s == nil || s.Name != ".text" || !in.padding() {
			continue
		}
		m := Mutation{Kind: Padding, Addr: in.addr, inst: i, What: in.text}
		if unit := p.unitAt(in.addr); unit != 0 {
			m.keys = []arch.ImageAddr{unit}
		} else if p.inSizeless(in.addr) {
			continue // it may be data
		}
		if at := len(in.code) - 1; len(in.code) >= 4 && strings.Contains(in.text, "[") { // nop DWORD PTR [rax+0x0]
			m.edits = []edit{p.edit(in.addr+arch.ImageAddr(at), in.code[at]^byte(1<<r.IntN(7)))}
			out = append(out, m)
		} else if len(in.code) == 1 && len(m.keys) == 0 {
			m.edits, m.inst = []edit{p.edit(in.addr, 0xcc)}, -1
			out = append(out, m)
		}
	}
	return out
}

package arm64

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"hotpatch/arch"
)

// line is one instruction as objdump prints it.
type line struct {
	addr     uint64
	word     uint32
	mnemonic string
	operands []string // split at commas outside of brackets and braces; the comment is gone
}

func (l *line) String() string {
	return fmt.Sprintf("%x: %08x %s %s", l.addr, l.word, l.mnemonic, strings.Join(l.operands, ", "))
}

// disassemble hands every instruction of a file to visit.
func disassemble(t *testing.T, file string, visit func(*line), args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "aarch64-linux-gnu-objdump", append(args, file)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for in.Scan() {
		if l, ok := parseLine(in.Text()); ok {
			visit(l)
		}
	}
	if err := errors.Join(in.Err(), cmd.Wait()); err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
}

// parseLine reads "  addr:\tword \tmnemonic\toperands // comment".
func parseLine(s string) (*line, bool) {
	parts := strings.SplitN(s, "\t", 4)
	if len(parts) < 3 {
		return nil, false
	}
	addr, err := strconv.ParseUint(strings.Trim(parts[0], " :"), 16, 64)
	word, werr := strconv.ParseUint(strings.TrimSpace(parts[1]), 16, 32)
	if err != nil || werr != nil {
		return nil, false
	}
	l := &line{addr: addr, word: uint32(word), mnemonic: strings.TrimSpace(parts[2])}
	if len(parts) == 4 {
		text, _, _ := strings.Cut(parts[3], "//")
		depth, begin := 0, 0
		for i, c := range text + "," {
			switch {
			case c == '[' || c == '{':
				depth++
			case c == ']' || c == '}':
				depth--
			case c == ',' && depth == 0:
				if op := strings.TrimSpace(text[begin:i]); op != "" {
					l.operands = append(l.operands, op)
				}
				begin = i + 1
			}
		}
	}
	return l, true
}

// known reports whether objdump knows the instruction.
func (l *line) known() bool { return !strings.HasPrefix(l.mnemonic, ".") }

// scalable reports whether it is an instruction of SVE or SME, of which memory operands are not told.
func (l *line) scalable() bool { return l.word>>25&15 == 2 || l.word>>25&15 == 0 }

// refused reports whether it is an instruction that is not for programs, accesses a system register that there is not, or belongs to
// transactional memory, which the architecture has given up. Where objdump shows one, it has taken data for code.
func (l *line) refused() bool {
	switch l.mnemonic {
	case "tstart", "tcommit", "tcancel", "ttest", "hvc", "smc", "eret", "eretaa", "eretab", "drps", "dcps1", "dcps2", "dcps3":
		return true
	case "msr":
		return strings.HasPrefix(l.operand(0), "s0_")
	case "mrs":
		return strings.HasPrefix(l.operand(1), "s0_")
	}
	return false
}

// operand returns operand i, or "".
func (l *line) operand(i int) string {
	if i >= 0 && i < len(l.operands) {
		return l.operands[i]
	}
	return ""
}

// general returns the number of a general register by its name.
func general(name string) (uint8, bool) {
	name = strings.TrimSuffix(name, "!")
	switch name {
	case "sp", "wsp":
		return SP, true
	case "xzr", "wzr", "":
		return NoReg, false
	}
	n, err := strconv.ParseUint(name[1:], 10, 8)
	return uint8(n), err == nil && n < 31 && (name[0] == 'x' || name[0] == 'w')
}

// flow returns what objdump's mnemonic says of the flow of control.
func (l *line) flow() arch.Flow {
	switch m, _, _ := strings.Cut(l.mnemonic, "."); m {
	case "b":
		if l.mnemonic != "b" {
			return arch.FlowBranch
		}
		return arch.FlowJump
	case "bc", "cbz", "cbnz", "tbz", "tbnz":
		return arch.FlowBranch
	case "bl":
		return arch.FlowCall
	case "br", "braa", "brab", "braaz", "brabz":
		return arch.FlowJumpInd
	case "blr", "blraa", "blrab", "blraaz", "blrabz":
		return arch.FlowCallInd
	case "ret", "retaa", "retab":
		return arch.FlowReturn
	case "svc":
		return arch.FlowSyscall
	case "brk", "hlt", "udf":
		return arch.FlowStop
	}
	return arch.FlowNext
}

// address returns an operand that is an address: "1234 <name+0x10>".
func address(op string) (uint64, bool) {
	op, _, _ = strings.Cut(op, " <")
	a, err := strconv.ParseUint(strings.TrimPrefix(op, "0x"), 16, 64)
	return a, err == nil
}

// access is a memory operand as objdump prints it: [x0], [x0, #16], [x0, #16]!, [x0], #16, [x0, x1, lsl #3].
type access struct {
	base, index uint8
	indexed     bool
	imm         int64
	how         Index
}

// memory returns the memory operand of a line.
func (l *line) memory() (access, bool) {
	for i, op := range l.operands {
		in, ok := strings.CutPrefix(op, "[")
		if !ok {
			continue
		}
		a := access{index: NoReg}
		in, pre := strings.CutSuffix(in, "!")
		if pre {
			a.how = Pre
		}
		parts := strings.Split(strings.TrimSuffix(in, "]"), ",")
		a.base, ok = general(parts[0])
		if len(parts) > 1 {
			if p := strings.TrimSpace(parts[1]); strings.HasPrefix(p, "#") {
				a.imm = immediate(p)
			} else {
				a.indexed = true
				a.index, _ = general(p)
			}
		}
		if post := l.operand(i + 1); post != "" {
			a.how, a.imm = Post, immediate(post)
		}
		return a, ok
	}
	return access{}, false
}

// immediate returns the value of #16 or #0x10.
func immediate(op string) int64 {
	v, _ := strconv.ParseInt(strings.TrimPrefix(op, "#"), 0, 64)
	return v
}

// compare returns what the decoder and objdump do not agree on, or "".
func compare(l *line, in *Inst) string {
	if in.Flow != l.flow() {
		return fmt.Sprintf("flow %v, want %v", in.Flow, l.flow())
	}
	last := l.operand(len(l.operands) - 1)
	switch in.Flow {
	case arch.FlowJump, arch.FlowBranch, arch.FlowCall:
		if a, ok := address(last); !ok || a != l.addr+uint64(in.Target) {
			return fmt.Sprintf("target %#x", l.addr+uint64(in.Target))
		}
	case arch.FlowJumpInd, arch.FlowCallInd:
		if r, _ := general(l.operand(0)); r != in.Rn {
			return fmt.Sprintf("goes to register %d", in.Rn)
		}
	}
	if diff := compareAddress(l, in, last); diff != "" {
		return diff
	}
	return compareWrites(l, in)
}

// compareAddress compares the address that the instruction forms, or accesses.
func compareAddress(l *line, in *Inst, last string) string {
	rd, _ := general(l.operand(0))
	if l.scalable() {
		return ""
	}
	switch l.mnemonic {
	case "adr":
		if a, ok := address(last); in.Kind != PCRel || !ok || a != l.addr+uint64(in.Imm) || rd != in.Rd {
			return fmt.Sprintf("kind %v, register %d, %#x", in.Kind, in.Rd, l.addr+uint64(in.Imm))
		}
		return ""
	case "adrp":
		if a, ok := address(last); in.Kind != Page || !ok || a != l.addr&^0xfff+uint64(in.Imm) || rd != in.Rd {
			return fmt.Sprintf("kind %v, register %d, %#x", in.Kind, in.Rd, l.addr&^0xfff+uint64(in.Imm))
		}
		return ""
	case "add", "sub", "mov":
		return compareAdd(l, in, rd)
	case "mrs":
		if tp := l.operand(1) == "tpidr_el0"; tp != (in.Kind == ReadTP) || tp && in.Rd != rd {
			return fmt.Sprintf("kind %v, register %d", in.Kind, in.Rd)
		}
		return ""
	}
	if a, ok := address(last); ok && (l.mnemonic == "ldr" || l.mnemonic == "ldrsw" || l.mnemonic == "prfm") {
		if in.Kind != Literal || a != l.addr+uint64(in.Imm) {
			return fmt.Sprintf("kind %v, %#x", in.Kind, l.addr+uint64(in.Imm))
		}
		return ""
	}
	return compareMemory(l, in)
}

// compareAdd compares an addition of an immediate. A move from or to SP is one of zero.
func compareAdd(l *line, in *Inst, rd uint8) string {
	rn, isReg := general(l.operand(1))
	want := int64(0)
	switch {
	case l.mnemonic == "mov" && (l.operand(0) == "sp" || l.operand(1) == "sp"):
	case l.mnemonic != "mov" && strings.HasPrefix(l.operand(2), "#") && l.operand(0)[0] != 'w' && isReg:
		want = immediate(l.operand(2))
		if shift, ok := strings.CutPrefix(l.operand(3), "lsl #"); ok {
			n, _ := strconv.Atoi(shift)
			want <<= n
		}
		if l.mnemonic == "sub" {
			want = -want
		}
	default:
		if in.Kind != Other {
			return fmt.Sprintf("kind %v", in.Kind)
		}
		return ""
	}
	if in.Kind != AddImm || in.Rd != rd || in.Rn != rn || in.Imm != want {
		return fmt.Sprintf("kind %v: %d = %d + %d", in.Kind, in.Rd, in.Rn, in.Imm)
	}
	return ""
}

// compareMemory compares a memory operand.
func compareMemory(l *line, in *Inst) string {
	a, ok := l.memory()
	if !ok || strings.HasPrefix(l.mnemonic, "cpy") || strings.HasPrefix(l.mnemonic, "set") {
		if in.Kind == Memory || in.Kind == MemoryIn {
			return fmt.Sprintf("kind %v", in.Kind)
		}
		return ""
	}
	if l.scalable() || strings.HasPrefix(l.mnemonic, "st64b") || strings.HasPrefix(l.mnemonic, "ld64b") {
		return ""
	}
	structure := strings.HasPrefix(l.operand(0), "{")
	switch {
	case a.indexed:
		if in.Kind != MemoryIn || in.Rn != a.base || in.Rm != a.index {
			return fmt.Sprintf("kind %v, base %d, index %d", in.Kind, in.Rn, in.Rm)
		}
	case in.Kind != Memory || in.Rn != a.base || in.Index != a.how || in.Imm != a.imm && !(structure && a.how == Post):
		return fmt.Sprintf("kind %v, base %d, %+d, index %d", in.Kind, in.Rn, in.Imm, in.Index)
	}
	if structure {
		return ""
	}
	store := strings.HasPrefix(l.mnemonic, "st") && l.word&0x3b200c00 != 0x38200000 // STADD and the like are LDADD
	if prefetch := strings.HasPrefix(l.mnemonic, "prf"); prefetch == (in.Load || in.Store) || store && (in.Load || !in.Store) {
		return fmt.Sprintf("load %v, store %v", in.Load, in.Store)
	}
	if w := width(l); w != 0 && w != in.Width {
		return fmt.Sprintf("%d bytes, want %d", in.Width, w)
	}
	return ""
}

// width returns the bytes that a plain load or store accesses; 0: not told here.
func width(l *line) uint8 {
	name := l.operand(0)
	if strings.HasPrefix(l.mnemonic, "stx") || strings.HasPrefix(l.mnemonic, "stlx") {
		name = l.operand(1)
	}
	size := map[byte]uint8{'w': 4, 'x': 8, 'b': 1, 'h': 2, 's': 4, 'd': 8, 'q': 16}[name[0]]
	switch m := l.mnemonic; {
	case strings.HasPrefix(m, "prf"), l.word>>24 == 0xd9 && l.word>>21&1 == 1: // prefetches, tags
		return 0
	case strings.HasSuffix(m, "sw"):
		size = 4
	case strings.HasSuffix(m, "b") && name[0] <= 'z' && (name[0] == 'w' || name[0] == 'x'):
		size = 1
	case strings.HasSuffix(m, "h") && (name[0] == 'w' || name[0] == 'x'):
		size = 2
	}
	switch l.mnemonic {
	case "ldp", "stp", "ldnp", "stnp", "ldxp", "ldaxp", "stxp", "stlxp", "stgp", "casp", "caspa", "caspl", "caspal":
		size *= 2
	case "ldpsw":
		size = 8
	case "ldraa", "ldrab":
		size = 8
	}
	return size
}

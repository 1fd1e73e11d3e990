package x86

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"hotpatch/arch"
)

// line is one instruction as objdump prints it in Intel syntax.
type line struct {
	addr uint64
	code []byte // valid until the next line
	text string // valid until the next line
}

// disassemble runs objdump with args and hands every instruction to visit.
func disassemble(t *testing.T, visit func(*line), args ...string) {
	t.Helper()
	args = append([]string{"-M", "intel", "--insn-width=15"}, args...)
	cmd := exec.CommandContext(t.Context(), "objdump", args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	parseErr := parseObjdump(out, visit)
	if parseErr != nil {
		_, _ = io.Copy(io.Discard, out)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("objdump %v: %v", args, err)
	}
	if parseErr != nil {
		t.Fatalf("objdump %v: %v", args, parseErr)
	}
}

// parseObjdump reads lines of the form "  addr:\tbytes\ttext".
func parseObjdump(r io.Reader, visit func(*line)) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	var buf [2 * maxInst]byte
	for in.Scan() {
		addr, rest, ok := bytes.Cut(in.Bytes(), []byte(":\t"))
		if !ok {
			continue
		}
		codeText, text, ok := bytes.Cut(rest, []byte{'\t'})
		if !ok {
			continue
		}
		a, err := strconv.ParseUint(string(bytes.TrimSpace(addr)), 16, 64)
		if err != nil {
			return fmt.Errorf("address in %q: %w", in.Bytes(), err)
		}
		n := 0
		for pair := range bytes.FieldsSeq(codeText) {
			if _, err := hex.Decode(buf[n:n+1], pair); err != nil {
				return fmt.Errorf("bytes in %q: %w", in.Bytes(), err)
			}
			n++
		}
		visit(&line{addr: a, code: buf[:n], text: string(text)})
	}
	return in.Err()
}

// instPrefixes are the words that objdump prints in front of a mnemonic.
var instPrefixes = map[string]bool{
	"bnd": true, "notrack": true, "data16": true, "addr32": true, "lock": true, "rep": true, "repz": true, "repnz": true,
	"es": true, "cs": true, "ss": true, "ds": true, "fs": true, "gs": true, "xacquire": true, "xrelease": true,
	"rex": true, "{vex}": true, "{evex}": true,
}

// split separates text into mnemonic and operands; comment and symbol go.
func (l *line) split() (mnemonic, operands string) {
	text, _, _ := strings.Cut(l.text, " # ")
	text, _, _ = strings.Cut(text, " <")
	for {
		word, rest, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
		if !instPrefixes[word] && !strings.HasPrefix(word, "rex.") || rest == "" {
			return word, strings.TrimSpace(rest)
		}
		text = rest
	}
}

// known reports whether objdump knows the instruction. A doubtful operand is
// marked (bad) as well, but has no effect on the length.
func (l *line) known() bool {
	mnemonic, _ := l.split()
	return mnemonic != "(bad)" && mnemonic != ".byte" && !strings.HasPrefix(mnemonic, "rex")
}

// ptrSizes are objdump's words for the size of a memory operand, in bytes.
var ptrSizes = []struct {
	word string
	size uint8
}{
	{"XMMWORD PTR ", 16}, {"YMMWORD PTR ", 32}, {"ZMMWORD PTR ", 64}, {"QWORD ", 8}, {"DWORD ", 4},
	{"FWORD PTR ", 6}, {"TBYTE PTR ", 10}, {"OWORD PTR ", 16}, {"WORD ", 2}, {"BYTE PTR ", 1},
}

// memoryAt returns the offset of the memory operand, [base+...] or segment:offset, or -1.
func memoryAt(operands string) int { return strings.IndexAny(operands, "[:") }

// memorySize returns the size of the memory operand that objdump printed.
func memorySize(operands string) (uint8, bool) {
	i := memoryAt(operands)
	if i < 0 {
		return 0, false
	}
	start := strings.LastIndexByte(operands[:i], ',') + 1
	operands = operands[start:i]
	for _, p := range ptrSizes {
		if strings.HasPrefix(operands, p.word) {
			return p.size, true
		}
	}
	return 0, false
}

// compare checks the decoder against one line of objdump and returns what
// differs, or "".
func compare(l *line) string {
	var e encoding
	if err := e.decode(l.code); err != nil {
		return err.Error()
	}
	var in arch.Inst
	e.describe(l.code, &in)
	if in.Len != len(l.code) {
		return fmt.Sprintf("length %d", in.Len)
	}
	mnemonic, operands := l.split()
	if in.BrSize != 0 {
		to, err := strconv.ParseUint(strings.TrimPrefix(operands, "0x"), 16, 64)
		if err != nil || to != l.addr+uint64(in.Target) {
			return fmt.Sprintf("target %#x", l.addr+uint64(in.Target))
		}
	}
	if d := compareFlow(mnemonic, operands, &in); d != "" {
		return d
	}
	if strings.Contains(l.text, "bad)") {
		return "" // an operand that objdump doubts
	}
	if d := compareRIP(l, operands, &in); d != "" {
		return d
	}
	return compareMemory(&e, mnemonic, operands)
}

// compareFlow checks that direct branches, and only they, have a target.
func compareFlow(mnemonic, operands string, in *arch.Inst) string {
	direct := mnemonic[0] == 'j' || strings.HasPrefix(mnemonic, "call") || strings.HasPrefix(mnemonic, "loop") || mnemonic == "xbegin"
	indirect := direct && (operands == "" || strings.ContainsAny(operands, "r[:"))
	switch in.Flow {
	case arch.FlowJump, arch.FlowBranch, arch.FlowCall:
		if in.BrSize == 0 || !direct || indirect {
			return fmt.Sprintf("flow %d", in.Flow)
		}
	case arch.FlowJumpInd, arch.FlowCallInd:
		if !indirect {
			return fmt.Sprintf("flow %d", in.Flow)
		}
	case arch.FlowReturn:
		if !strings.Contains(mnemonic, "ret") {
			return "a return"
		}
	default:
		if direct || strings.HasPrefix(mnemonic, "ret") {
			return fmt.Sprintf("flow %d", in.Flow)
		}
	}
	return ""
}

// compareRIP checks position and value of an operand relative to the instruction pointer.
func compareRIP(l *line, operands string, in *arch.Inst) string {
	_, mem, isRIP := strings.Cut(operands, "[rip")
	var op *arch.Operand
	for i := range in.Ops[:in.NumOps] {
		if in.Ops[i].Kind == arch.OpPC {
			op = &in.Ops[i]
		}
	}
	if isRIP != (op != nil) {
		return fmt.Sprintf("relative to rip: %v", op != nil)
	}
	if op == nil {
		return ""
	}
	mem, _, _ = strings.Cut(mem, "]")
	disp, err := strconv.ParseUint(strings.TrimPrefix(mem[1:], "0x"), 16, 64)
	if mem[0] == '-' {
		disp = -disp
	}
	if err != nil || int64(disp) != disp32(l.code[op.Off:]) {
		return fmt.Sprintf("displacement %#x at %d", disp32(l.code[op.Off:]), op.Off)
	}
	_, comment, ok := strings.Cut(l.text, "# 0x")
	if !ok {
		_, comment, ok = strings.Cut(l.text, "# ")
	}
	comment, _, _ = strings.Cut(comment, " ")
	to, err := strconv.ParseUint(comment, 16, 64)
	if !ok || err != nil || to != l.addr+uint64(op.Value) {
		return fmt.Sprintf("operand at %#x", l.addr+uint64(op.Value))
	}
	return ""
}

// compareMemory checks size and direction of a memory operand.
func compareMemory(e *encoding, mnemonic, operands string) string {
	if !e.memory() {
		return ""
	}
	op := arch.Operand{
		Width: e.memWidth(), Write: e.form.flags&fWrite != 0, Addr: e.form.flags&fAddr != 0,
	}
	size, ok := memorySize(operands)
	if op.Addr || accessesNothing[mnemonic] {
		size, ok = 0, true
	}
	if farPointer[mnemonic] && op.Width == 0 {
		ok = false
	}
	if ok && op.Width != size {
		return fmt.Sprintf("memory operand of %d bytes", op.Width)
	}
	mem, comma := memoryAt(operands), strings.IndexByte(operands, ',')
	first := mem >= 0 && (comma < 0 || mem < comma)
	write := first && !readsFirst(mnemonic)
	if op.Write != write && !op.Addr {
		return fmt.Sprintf("memory operand written: %v", op.Write)
	}
	return ""
}

// farPointer lists instructions whose operand is a selector and an offset: its
// size is left unknown.
var farPointer = map[string]bool{"call": true, "jmp": true, "lss": true, "lfs": true, "lgs": true}

// accessesNothing lists instructions whose memory operand is an address only.
var accessesNothing = map[string]bool{
	"nop": true, "ud0": true, "ud1": true, "prefetch": true, "prefetchw": true, "prefetchwt1": true, "prefetchnta": true, "prefetcht0": true,
	"prefetcht1": true, "prefetcht2": true, "prefetchit0": true, "prefetchit1": true,
	"clflush": true, "clflushopt": true, "clwb": true, "cldemote": true, "invlpg": true,
	"vgatherpf0dps": true, "vgatherpf0dpd": true, "vgatherpf0qps": true, "vgatherpf0qpd": true,
	"vgatherpf1dps": true, "vgatherpf1dpd": true, "vgatherpf1qps": true, "vgatherpf1qpd": true,
	"vscatterpf0dps": true, "vscatterpf0dpd": true, "vscatterpf0qps": true, "vscatterpf0qpd": true,
	"vscatterpf1dps": true, "vscatterpf1dpd": true, "vscatterpf1qps": true, "vscatterpf1qpd": true,
}

// readsFirst reports whether the instruction only reads its first operand.
func readsFirst(mnemonic string) bool {
	switch mnemonic {
	case "cmp", "test", "bt", "push", "pushw", "call", "jmp", "mul", "imul", "div", "idiv",
		"ldmxcsr", "vldmxcsr", "fxrstor", "fxrstor64", "xrstor", "xrstor64", "xrstors", "xrstors64", "ldtilecfg",
		"vmptrld", "vmclear", "vmxon", "fldcw", "fldenv", "frstor", "fbld", "lgdt", "lidt", "lldt", "ltr", "lmsw", "verr", "verw", "ptwrite":
		return true
	}
	if accessesNothing[mnemonic] || strings.HasSuffix(mnemonic, "kl") { // Key Locker reads a handle
		return true
	}
	// x87 loads and arithmetic have one operand and write st(0); stores are fst, fist, ...
	return mnemonic[0] == 'f' && !strings.HasPrefix(mnemonic, "fst") && !strings.HasPrefix(mnemonic, "fist") &&
		!strings.HasPrefix(mnemonic, "fn") && mnemonic != "fbstp" && !strings.HasPrefix(mnemonic, "fxsave")
}

package mutate

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hotpatch/arch"
)

// inst is one instruction as objdump shows it.
type inst struct {
	addr arch.ImageAddr
	code []byte
	text string // Intel syntax, without the comment
}

func (in *inst) end() arch.ImageAddr { return in.addr + arch.ImageAddr(len(in.code)) }

// padding reports whether objdump calls the instruction a NOP.
func (in *inst) padding() bool {
	f := strings.Fields(in.text)
	for len(f) > 0 && (f[0] == "data16" || f[0] == "cs") {
		f = f[1:]
	}
	return len(f) > 0 && f[0] == "nop" || in.text == "xchg   ax,ax"
}

// disassemble lists the instructions of a file, by address.
func disassemble(args ...string) ([]inst, error) {
	cmd := exec.Command("objdump", append([]string{"-M", "intel", "-w", "--insn-width=16"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var insts []inst
	s := bufio.NewScanner(out)
	for s.Scan() {
		if in, ok := parseLine(s.Text()); ok {
			insts = append(insts, in)
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%v: %w", cmd, err)
	}
	slices.SortStableFunc(insts, func(a, b inst) int { return int(int64(a.addr - b.addr)) })
	return insts, s.Err()
}

// parseLine reads "  4004:\t48 8b 05 ...\tmov rax,..."; other lines are none of instructions.
func parseLine(line string) (inst, bool) {
	addr, rest, ok := strings.Cut(line, ":\t")
	if !ok {
		return inst{}, false
	}
	bytes, text, _ := strings.Cut(rest, "\t")
	v, err := strconv.ParseUint(strings.TrimSpace(addr), 16, 64)
	if err != nil {
		return inst{}, false
	}
	in := inst{addr: arch.ImageAddr(v)}
	for _, f := range strings.Fields(bytes) {
		b, err := strconv.ParseUint(f, 16, 8)
		if err != nil {
			return inst{}, false
		}
		in.code = append(in.code, byte(b))
	}
	text, _, _ = strings.Cut(text, " #")
	text, _, _ = strings.Cut(text, " <")
	in.text = strings.TrimSpace(text)
	return in, len(in.code) > 0
}

// stride is the distance in bytes of instructions in the file that [decodeAll] makes: more than the longest one.
const stride = 32

// decodeAll has objdump decode each code on its own, padded with NOPs. The result has the first instruction of each.
func decodeAll(codes [][]byte) ([]inst, error) {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	blob := make([]byte, len(codes)*stride)
	for i := range blob {
		blob[i] = 0x90
	}
	for i, c := range codes {
		copy(blob[i*stride:], c)
	}
	path := filepath.Join(dir, "code")
	if err := os.WriteFile(path, blob, 0o600); err != nil {
		return nil, err
	}
	all, err := disassemble("-D", "-b", "binary", "-m", "i386:x86-64", path)
	if err != nil {
		return nil, err
	}
	first := make([]inst, len(codes))
	for _, in := range all {
		if in.addr%stride == 0 && int(in.addr/stride) < len(first) {
			first[in.addr/stride] = in
		}
	}
	return first, nil
}

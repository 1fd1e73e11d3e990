package x86

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTextAgainstObjdump holds the text of every instruction of two libraries
// against objdump's, apart from other names for the same instruction.
func TestTextAgainstObjdump(t *testing.T) {
	for _, name := range []string{"libc.so.6", "libm.so.6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "objdump", "-d", "--insn-width=15", findLibrary(t, name))
			cmd.Env = append(cmd.Environ(), "LC_ALL=C")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			same, asBytes, wrong := 0, 0, 0
			err = parseObjdump(out, func(l *line) {
				if !l.known() || nearFwait(l.code) || excuse(l) != "" {
					return
				}
				got := text(l.code, l.addr, nil)
				switch {
				case strings.HasPrefix(got, ".byte "):
					asBytes++
				case sameText(l.text, got):
					same++
				default:
					if wrong++; wrong <= 20 {
						t.Errorf("% x: %s: text %q, compared as %q and %q", l.code, l.text, got, plainText(l.text), plainText(got))
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d instructions agree, %d are shown as bytes", same, asBytes)
			if asBytes*20 > same {
				t.Errorf("%d instructions shown as bytes, %d as text", asBytes, same)
			}
		})
	}
}

// sameText reports whether objdump and x86asm show the same instruction.
func sameText(objdump, text string) bool {
	a, b := plainText(objdump), plainText(text)
	if a == b {
		return true
	}
	nameA, opsA, _ := strings.Cut(a, " ")
	nameB, opsB, _ := strings.Cut(b, " ")
	// x86asm leaves the predicate or selector of a comparison as an immediate.
	if i := strings.IndexByte(opsB, ','); i > 0 && opsB[0] == '$' && opsB[i+1:] == opsA {
		return strings.HasPrefix(nameA, nameB[:4])
	}
	// and adds a suffix where a register gives the size
	return opsA == opsB && (nameB == nameA+"l" || nameB == nameA+"q")
}

// otherNames gives objdump's name for a word of x86asm.
var otherNames = map[string]string{
	"callq": "call", "jmpq": "jmp", "retq": "ret", "leaveq": "leave", "pushq": "push", "popq": "pop", "lretq": "lret",
	"popfq": "popf", "pushfq": "pushf", "movsxd": "movslq", "movabs": "mov", "icebp": "int1", "enterq": "enter",
	"cdqe": "cltq", "cqo": "cqto", "cdq": "cltd", "cwde": "cwtl", "rep": "repz", "repn": "repnz", "nopw": "nop", "nopl": "nop",
	"lcallq": "lcall", "ljmpq": "ljmp", "xbeginq": "xbegin",
}

var (
	immediate   = regexp.MustCompile(`\$-?(0x)?[0-9a-f]+`)
	zeroDisp    = regexp.MustCompile(`([ ,*:])0x0\(`)
	directPlace = regexp.MustCompile(`^((?:\S+ )*)0x([0-9a-f]+)$`)
)

// plainText removes differences of spelling: comments, symbols, spaces, sizes that registers
// give, zero displacements, signs of immediates (their low 16 bits are kept).
func plainText(s string) string {
	s, _, _ = strings.Cut(s, " #")
	s, _, _ = strings.Cut(s, " <")
	words := strings.Fields(s)
	for i, w := range words {
		if name, ok := otherNames[w]; ok {
			words[i] = name
		}
	}
	if len(words) > 0 && (words[0] == "cs" || words[0] == "data16") {
		words = strings.Fields(strings.ReplaceAll(strings.Join(words, " "), "data16 cs nop ", "data16 nop %cs:"))
		words = strings.Fields(strings.ReplaceAll(strings.Join(words, " "), "cs nop ", "nop %cs:"))
	}
	s = strings.Join(words, " ")
	s = strings.NewReplacer(",1)", ")", ",%riz", "", "%st(0)", "%st", " {", "{", "xchg %ax,%ax", "data16 nop").Replace(s)
	s = zeroDisp.ReplaceAllString(s, "$1(")
	s = directPlace.ReplaceAllString(s, "$1$2")
	return immediate.ReplaceAllStringFunc(s, func(imm string) string {
		v, err := strconv.ParseInt(imm[1:], 0, 64)
		if err != nil {
			u, errU := strconv.ParseUint(imm[1:], 0, 64)
			if errU != nil {
				return imm
			}
			v = int64(u)
		}
		return fmt.Sprintf("$%x", uint16(v))
	})
}

func TestText(t *testing.T) {
	symname := func(addr uint64) (string, uint64) {
		if addr >= 0x2000 && addr < 0x3000 {
			return "table", 0x2000
		}
		return "", 0
	}
	tests := []struct {
		name string
		code string
		want string
	}{
		{name: "named call", code: "e8 fb 0f 00 00", want: "call <table>"},
		{name: "memory relative to rip", code: "48 8b 05 09 10 00 00", want: "mov <table+0x10>,%rax"},
		{name: "call of a pointer with a name", code: "ff 15 fa 0f 00 00", want: "call *<table>"},
		{name: "immediate behind a named place", code: "c7 05 f6 0f 00 00 01 00 00 00", want: "movl $0x1,<table>"},
		{name: "return", code: "c3", want: "ret"},
		{name: "place without a symbol", code: "48 8b 05 00 00 00 00", want: "mov (%rip),%rax  # 0x1007"},
		{name: "negative displacement", code: "66 0f 6f 95 e0 fe ff ff", want: "movdqa -0x120(%rbp),%xmm2"},
		{name: "no index", code: "41 c6 04 24 00", want: "movb $0x0,(%r12)"},
		{name: "vex relative to rip", code: "c5 fb 10 05 00 01 00 00", want: "vmovsd 0x100(%rip),%xmm0  # 0x1108"},
		{name: "thread pointer", code: "64 48 8b 04 25 00 00 00 00", want: "mov %fs:0x0,%rax"},
		{name: "thread pointer added", code: "64 48 03 04 25 00 00 00 00", want: "add %fs:0x0,%rax"},
		{name: "thread-local word", code: "64 8b 04 25 fc ff ff ff", want: "mov %fs:0xfffffffffffffffc,%eax"},
		{name: "store to it", code: "64 89 04 25 00 00 00 00", want: "mov %eax,%fs:0x0"},
		{name: "lost suffix", code: "de 00", want: ".byte 0xde,0x00"},
		{name: "not known to x86asm", code: "0f 01 ee", want: ".byte 0x0f,0x01,0xee"},
		{name: "notrack", code: "3e ff e0", want: "notrack jmp *%rax"},
		{name: "endbr64", code: "f3 0f 1e fa", want: "endbr64"},
		{name: "unknown opcode", code: "06 90", want: ".byte 0x06"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Arch.Text(unhex(t, test.code), 0x1000, symname); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

package x86

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func outlineOf(t *testing.T, code string) (string, [2]bool) {
	t.Helper()
	b := unhex(t, code)
	in, err := Decode(b)
	if err != nil || in.Len != len(b) {
		t.Fatalf("%s: %+v, %v", code, in, err)
	}
	out, covers := Arch.Outline(nil, b, &in)
	return string(out), covers
}

func TestOutline(t *testing.T) {
	tests := []struct {
		name    string
		a, b    string
		differs bool
	}{
		{name: "registers of mov", a: "48 89 d8", b: "4c 89 ee"},
		{name: "registers of 32 bits, with and without REX", a: "89 d8", b: "44 89 ee"},
		{name: "base register", a: "48 8b 43 08", b: "49 8b 46 08"},
		{name: "base register with a SIB byte", a: "48 8b 43 08", b: "49 8b 44 24 08"},
		{name: "index register", a: "8b 04 cb", b: "42 8b 04 f3"},
		{name: "register in the opcode", a: "53", b: "41 57"},
		{name: "eax has a form of its own", a: "3d 00 01 00 00", b: "81 fb 00 01 00 00"},
		{name: "test of al", a: "a8 01", b: "f6 c3 01"},
		{name: "slot of the stack frame", a: "48 8b 44 24 08", b: "48 8b 8c 24 00 01 00 00"},
		{name: "size of the stack frame", a: "48 83 ec 18", b: "48 81 ec 98 00 00 00"},
		{name: "vector registers", a: "c5 f9 6f c1", b: "c4 41 79 6f d3"},

		{name: "direction", a: "48 89 d8", b: "48 8b d8"},
		{name: "operand size", a: "48 89 d8", b: "89 d8", differs: true},
		{name: "operation of a group", a: "48 83 c3 01", b: "48 83 eb 01", differs: true},
		{name: "small immediate", a: "83 c3 01", b: "83 c3 02", differs: true},
		{name: "member", a: "48 8b 43 08", b: "48 8b 43 10", differs: true},
		{name: "scale", a: "8b 04 cb", b: "8b 04 8b", differs: true},
		{name: "condition", a: "0f 94 c0", b: "0f 95 c0", differs: true},
		{name: "stack and other memory", a: "48 8b 44 24 08", b: "48 8b 43 08", differs: true},
		{name: "r12 is not the stack pointer", a: "48 8b 44 24 08", b: "49 8b 44 24 08", differs: true},
		{name: "the stack pointer moves and another register does", a: "48 83 ec 18", b: "48 83 eb 18", differs: true},
		{name: "lock", a: "f0 01 03", b: "01 03", differs: true},
		{name: "vector length", a: "c5 f9 6f c1", b: "c5 fd 6f c1", differs: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := outlineOf(t, tt.a)
			b, _ := outlineOf(t, tt.b)
			if tt.name == "direction" { // two encodings of one instruction stay two
				tt.differs = true
			}
			if (a != b) != tt.differs {
				t.Errorf("% x and % x", a, b)
			}
		})
	}
}

func TestOutlineCovers(t *testing.T) {
	tests := []struct {
		name string
		code string
		want [2]bool
	}{
		{name: "slot", code: "48 8b 8c 24 00 01 00 00", want: [2]bool{true}},
		{name: "slot and immediate", code: "c7 84 24 00 01 00 00 01 00 00 00", want: [2]bool{true}},
		{name: "frame", code: "48 81 ec 98 00 00 00", want: [2]bool{true}},
		{name: "member", code: "48 8b 8b 00 01 00 00"},
		{name: "other register", code: "48 81 eb 98 00 00 00"},
	}
	for _, tt := range tests {
		if _, got := outlineOf(t, tt.code); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

var (
	anyNumber   = regexp.MustCompile(`-?0x[0-9a-f]+|\$-?[0-9a-f]+`)
	stackSlot   = regexp.MustCompile(`N?\(%rsp`)
	anyRegister = regexp.MustCompile(`%[a-z0-9]+`)
	directCall  = regexp.MustCompile(`^(j\w+|call) +[0-9a-f]+`)
)

// registerClass returns what an outline keeps of a register: its size.
func registerClass(name string) string {
	name = name[1:]
	switch {
	case strings.HasPrefix(name, "xmm"), strings.HasPrefix(name, "ymm"), strings.HasPrefix(name, "mm"):
		return strings.TrimRight(name, "0123456789")
	case len(name) >= 2 && name[0] == 'r' && name[1] >= '0' && name[1] <= '9':
		return "r" + strings.TrimLeft(name[1:], "0123456789")
	case strings.HasPrefix(name, "r") && name != "rip":
		return "r"
	case strings.HasPrefix(name, "e"):
		return "rd"
	case strings.HasSuffix(name, "l"), strings.HasSuffix(name, "h") && len(name) == 2:
		return "rb"
	case name == "ax", name == "bx", name == "cx", name == "dx", name == "si", name == "di", name == "bp", name == "sp":
		return "rw"
	}
	return name
}

// TestOutlineAgainstObjdump: instructions of equal canonical form have equal outlines, and for instructions of equal outlines
// objdump prints the same but for registers of one size, places in the stack frame, and numbers.
func TestOutlineAgainstObjdump(t *testing.T) {
	for _, name := range []string{"libm.so.6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "objdump", "-d", "--insn-width=15", findLibrary(t, name))
			cmd.Env = append(cmd.Environ(), "LC_ALL=C")
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			ofCanon, ofOutline := make(map[string]string), make(map[string]string)
			wrong := 0
			err := parseObjdump(&out, func(l *line) {
				in, err := Decode(l.code)
				if err != nil || in.Len != len(l.code) || nearFwait(l.code) || IsNop(l.code, &in) {
					return
				}
				canon := string(Canon(nil, l.code, &in))
				b, _ := Outline(nil, l.code, &in)
				outline := string(b)
				if have, ok := ofCanon[canon]; ok && have != outline && wrong < 20 {
					wrong++
					t.Errorf("% x: %s: outlines % x and % x for one canonical form", l.code, l.text, outline, have)
				}
				ofCanon[canon] = outline
				text := maskedText(l.text)
				if have, ok := ofOutline[outline]; ok && have != text && wrong < 20 {
					wrong++
					t.Errorf("% x: %q and %q have one outline", l.code, have, text)
				}
				ofOutline[outline] = text
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d canonical forms, %d outlines", len(ofCanon), len(ofOutline))
			if len(ofOutline) < 200 || len(ofOutline)*2 > len(ofCanon) {
				t.Errorf("%d outlines of %d canonical forms", len(ofOutline), len(ofCanon))
			}
		})
	}
}

// maskedText takes registers, slots and numbers out of objdump's text.
func maskedText(s string) string {
	s = plainText(s)
	s = strings.NewReplacer("bnd ", "", "repz ret", "ret", "notrack ", "", "addr32 ", "").Replace(s)
	s = directCall.ReplaceAllString(s, "$1")
	s = anyNumber.ReplaceAllString(s, "N")
	s = stackSlot.ReplaceAllString(s, "S(%rsp")
	s = strings.ReplaceAll(s, "N(,", "(,") // of zero is left out above
	return anyRegister.ReplaceAllStringFunc(s, registerClass)
}

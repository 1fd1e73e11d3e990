package arm64

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
)

// words returns the code of instructions that are written as hexadecimal words.
func words(t testing.TB, text string) []byte {
	t.Helper()
	var out []byte
	for f := range strings.FieldsSeq(text) {
		var w uint32
		for _, c := range f {
			d := strings.IndexRune("0123456789abcdef", c)
			if d < 0 || len(f) != 8 {
				t.Fatalf("%q is no word", f)
			}
			w = w<<4 | uint32(d)
		}
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

func TestJump(t *testing.T) {
	const from = 0x7f00_0000_0000
	tests := []struct {
		name string
		to   arch.Addr
		want string // "": an error
	}{
		{name: "forward", to: from + 0x100, want: "14000040"},
		{name: "to itself", to: from, want: "14000000"},
		{name: "back", to: from - 4, want: "17ffffff"},
		{name: "farthest forward", to: from + 1<<27 - 4, want: "15ffffff"},
		{name: "too far forward", to: from + 1<<27},
		{name: "farthest back", to: from - 1<<27, want: "16000000"},
		{name: "too far back", to: from - 1<<27 - 4},
		{name: "from the other end of memory", to: 0x40_0000},
		{name: "into the midst of an instruction", to: from + 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := encodeJump(from, test.to)
			if (err == nil) != (test.want != "") {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if !bytes.Equal(got, words(t, test.want)) {
				t.Errorf("got % x", got)
			}
			if to, ok := recognizeJump(from, got); !ok || to != test.to {
				t.Errorf("recognised %#x, %v", to, ok)
			}
		})
	}
}

func TestRecognizeRefuses(t *testing.T) {
	for _, code := range []string{"", "94000000", "54000000", "d61f0200", "d4200000"} {
		if to, ok := recognizeJump(0x1000, words(t, code)); ok {
			t.Errorf("%q: jump to %#x", code, to)
		}
	}
	if _, ok := recognizeJump(0x1000, []byte{0, 0, 0}); ok {
		t.Error("a jump in three bytes")
	}
}

func TestLanding(t *testing.T) {
	tests := []struct {
		name string
		code string
		want int
		how  arch.Signing
	}{
		{name: "bti c", code: "d503245f a9bf7bfd", want: 4},
		{name: "bti jc alone", code: "d50324df", want: 4},
		{name: "bti j", code: "d503249f d65f03c0", want: 4},
		{name: "bti is no pad", code: "d503241f d65f03c0"},
		{name: "paciasp", code: "d503233f a9bf7bfd", want: 4, how: arch.SignedA},
		{name: "pacibsp", code: "d503237f", want: 4, how: arch.SignedB},
		{name: "bti c; paciasp", code: "d503245f d503233f", want: 4},
		{name: "paciasppc", code: "dac1a3fe d65f03c0", want: 4, how: arch.SignedPC},
		{name: "paciaz is no pad", code: "d503231f d65f03c0"},
		{name: "nop", code: "d503201f"},
		{name: "stp", code: "a9bf7bfd"},
		{name: "nothing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code := words(t, test.code)
			if got, how := Arch.Jump.Landing(code), Arch.Jump.Signs(code); got != test.want || how != test.how {
				t.Errorf("%d bytes, %v", got, how)
			}
		})
	}
	if n := Arch.Jump.Landing([]byte{0x5f, 0x24, 0x03}); n != 0 {
		t.Errorf("three bytes of bti c: %d", n)
	}
}

// TestEnter executes what a jump leads to, of each kind of body, on a model of the link register: when the body's first instructions
// behind its pad are reached, it is signed once as its own pad would have done.
func TestEnter(t *testing.T) {
	const entry = 0x40_0100
	pads := map[arch.Signing]string{arch.NotSigned: "d503201f", arch.SignedA: "d503233f", arch.SignedB: "d503237f"}
	for from := range pads {
		for body, pad := range pads {
			code := append(append([]byte(nil), Arch.Jump.Head...), words(t, pad)...)
			start := arch.Addr(entry - len(Arch.Jump.Head))
			pc, err := Arch.Jump.Lead(entry, from, body)
			if err != nil {
				t.Fatal(err)
			}
			lr := []arch.Signing{from} // what it was signed with, the last one on top
			if from == arch.NotSigned {
				lr = nil
			}
			for steps := 0; pc != entry+4; steps++ {
				if pc < start || pc > entry || steps > 4 {
					t.Fatalf("from %v to a body with %v: runs to %#x", from, body, uint64(pc))
				}
				w, _ := firstWord(code[pc-start:])
				next := pc + InstLen
				switch to, isJump := recognizeJump(pc, code[pc-start:]); {
				case isJump:
					next = to
				case w == wordPACIASP:
					lr = append(lr, arch.SignedA)
				case w == wordPACIBSP:
					lr = append(lr, arch.SignedB)
				case (w == wordAUTIASP || w == wordAUTIBSP) && len(lr) == 1 && (lr[0] == arch.SignedA) == (w == wordAUTIASP):
					lr = nil
				case w != nop:
					t.Fatalf("from %v to a body with %v: %08x at %#x with the link register signed %v", from, body, w, uint64(pc), lr)
				}
				pc = next
			}
			if want := body != arch.NotSigned; (len(lr) == 1) != want || len(lr) > 1 || want && lr[0] != body {
				t.Errorf("from %v to a body with %v: signed %v", from, body, lr)
			}
		}
	}
	if at, err := Arch.Jump.Lead(entry, arch.SignedPC, arch.SignedPC); err == nil {
		t.Errorf("leads to %#x", uint64(at))
	}
	if at, err := Arch.Jump.Lead(entry, arch.NotSigned, arch.SignedPC); err != nil || at != entry {
		t.Errorf("leads to %#x, %v", uint64(at), err)
	}
}

func TestJumpStub(t *testing.T) {
	tests := []struct {
		name string
		slot arch.Addr
		want string // "": an error
	}{
		{name: "near", slot: 0x41_2ff8, want: "90000090 f947fe11 913fe210 d61f0220"}, // adrp x16, 412000; ldr x17, [x16, #4088]; add x16, x16, #4088; br x17
		{name: "before", slot: 0x3f_f000, want: "b0fffff0 f9400211 91000210 d61f0220"},
		{name: "farthest", slot: 0x40_2000 + 1<<32 - 0x1000},
		{name: "too far", slot: 0x40_2000 + 1<<32},
		{name: "not aligned", slot: 0x41_0004},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, err := Arch.Jump.Stub(0x40_2ffc, test.slot)
			if test.name == "farthest" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if (err == nil) != (test.want != "") || err == nil && (!bytes.Equal(code, words(t, test.want)) || len(code) != Arch.Jump.StubLen) {
				t.Errorf("%x, %v", code, err)
			}
		})
	}
}

func TestGate(t *testing.T) {
	const at, flag, set = 0x40_0000, 0x7f12_3456_7898, 0x40_1000
	code, err := Arch.Jump.Gate(at, flag, set)
	if err != nil || len(code) != Arch.Jump.GateLen {
		t.Fatalf("%x, %v", code, err)
	}
	want := []string{"mov x16, #0x7898", "movk x16, #0x3456, lsl #16", "movk x16, #0x7f12, lsl #32", "movk x16, #0x0, lsl #48",
		"ldr w16, [x16]", "cbz w16, 0x40001c", "b 0x401000"}
	if got := texts(t, code, at); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if code, err := Arch.Jump.Gate(at, flag, at+1<<27+gateLen); err == nil {
		t.Errorf("a gate out of reach of what it leads to: %x", code)
	}
}

// texts has objdump disassemble code at an address.
func texts(t *testing.T, code []byte, at arch.Addr) (out []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	disassemble(t, file, func(l *line) { out = append(out, strings.TrimSpace(l.mnemonic+" "+strings.Join(l.operands, ", "))) },
		"-D", "-b", "binary", "-m", "aarch64", fmt.Sprintf("--adjust-vma=%#x", uint64(at)))
	return out
}

package x86

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
)

func TestMove(t *testing.T) {
	const from, to = 0x401000, 0x7fff_0000 // a distance of 0x7fbef000
	tests := []struct {
		name  string
		code  string
		want  string // with the jump back; "": an error
		taken int
		err   error
	}{
		{name: "plain", code: "55 48 89 e5 53 c3", want: "55 48 89 e5 53 e9 fb 0f 41 80", taken: 5},
		{name: "the last one ends behind", code: "55 48 81 ec 00 01 00 00", want: "55 48 81 ec 00 01 00 00 e9 fb 0f 41 80", taken: 8},
		{name: "rip-relative", code: "48 8b 05 f9 0f 00 00", want: "48 8b 05 f9 1f 41 80 e9 fb 0f 41 80", taken: 7},
		{name: "rip-relative with an immediate", code: "83 3d f9 0f 00 00 01", want: "83 3d f9 1f 41 80 01 e9 fb 0f 41 80", taken: 7},
		{name: "vector, rip-relative", code: "c5 f8 10 05 f8 0f 00 00", want: "c5 f8 10 05 f8 1f 41 80 e9 fb 0f 41 80", taken: 8},
		{name: "branch rel8", code: "85 ff 74 10 55", want: "85 ff 0f 84 0c 10 41 80 55 e9 f7 0f 41 80", taken: 5},
		{name: "branch rel32", code: "0f 85 00 01 00 00", want: "0f 85 00 11 41 80 e9 fb 0f 41 80", taken: 6},
		{name: "jump rel8, nothing follows", code: "31 c0 eb 20 cc", want: "31 c0 e9 1d 10 41 80", taken: 4},
		{name: "jump rel32", code: "e9 00 01 00 00", want: "e9 00 11 41 80", taken: 5},
		{name: "bnd jump", code: "f2 e9 00 01 00 00", want: "e9 01 11 41 80", taken: 6},
		{name: "tail call through a pointer", code: "ff 25 00 01 00 00", want: "ff 25 00 11 41 80", taken: 6},
		{name: "return", code: "31 c0 c3 66 90", want: "31 c0 c3", taken: 3},
		{name: "return alone", code: "c3 0f 1f 44 00 00", want: "c3", taken: 1},
		{name: "call", code: "48 83 ec 08 e8 00 00 00 00", err: errMoveCall},
		{name: "call through a pointer", code: "ff 15 00 00 00 00", err: errMoveCall},
		{name: "loop", code: "31 c9 e2 fc 90", err: errMoveLoop},
		{name: "jrcxz", code: "e3 10 90 90 90", err: errMoveLoop},
		{name: "xbegin", code: "c7 f8 00 10 00 00", err: errMoveLoop},
		{name: "system call", code: "0f 05 c3 90 90", err: errMoveKernel},
		{name: "trap", code: "0f 0b 90 90 90", err: errMoveTrap},
		{name: "branch to the first byte", code: "31 c0 75 fc 90", err: errMoveInto},
		{name: "branch to the last one", code: "85 ff 74 00 90", err: errMoveInto},
		{name: "branch right behind", code: "85 ff 75 01 55 c3", want: "85 ff 0f 85 fd 0f 41 80 55 e9 f7 0f 41 80", taken: 5},
		{name: "jump into what it leaves", code: "eb 01 90 90 90", err: errMoveInto},
		{name: "unknown", code: "06 90 90 90 90", err: ErrUnknown},
		{name: "cut off", code: "55 48 8b", err: ErrTruncated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			moved, taken, err := Arch.Jump.Move(unhex(t, test.code), from, to, jumpLen)
			if test.want == "" {
				if !errors.Is(err, test.err) || moved != nil {
					t.Errorf("moved to % x, error %v, want %v", moved, err, test.err)
				}
				return
			}
			if err != nil || !bytes.Equal(moved, unhex(t, test.want)) || taken != test.taken {
				t.Errorf("moved to % x, %d bytes taken, error %v", moved, taken, err)
			}
		})
	}
	for _, code := range []string{"48 8b 05 f9 0f 00 00", "85 ff 74 10 55", "90 90 90 90 90"} {
		if moved, _, err := move(unhex(t, code), from, from+1<<33, jumpLen); err == nil {
			t.Errorf("%s: moved out of reach as % x", code, moved)
		}
	}
}

func TestGate(t *testing.T) {
	const at, word, set = 0x400000, 0x7f12_3456_7890, 0x401000
	code, err := Arch.Jump.Gate(at, word, set)
	if err != nil || len(code) != Arch.Jump.GateLen {
		t.Fatalf("% x, %v", code, err)
	}
	var text []string
	for off := 0; off < len(code); {
		in, err := Decode(code[off:])
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, Arch.Text(code[off:], uint64(at+off), nil))
		off += in.Len
	}
	if got, want := strings.Join(text, "; "), "push %rax; .byte 0xa1,0x90,0x78,0x56,0x34,0x12,0x7f,0x00,0x00; test %eax,%eax; pop %rax; jne 0x401000"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := Arch.Jump.Gate(at, word, at+1<<32); err == nil {
		t.Error("a gate out of reach of what it leads to")
	}
}

// FuzzMove: what is moved is as long as its instructions say, and its branches and operands lead where they led.
func FuzzMove(f *testing.F) {
	for _, seed := range []string{"85 ff 74 10 55 c3", "48 8b 05 f9 0f 00 00", "f2 e9 00 01 00 00", "ff 25 00 01 00 00", "31 c0 c3 90 90"} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		const from, to = 0x10_0000, 0x4000_0000
		moved, taken, err := move(code, from, to, jumpLen)
		if (moved == nil) != (err != nil) {
			t.Fatalf("% x: % x, %v", code, moved, err)
		}
		was, is := leads(t, code, from, taken), leads(t, moved, to, len(moved))
		if err == nil && taken >= jumpLen && len(is) == len(was)+1 { // the jump back
			was = append(was, from+arch.Addr(taken))
		}
		if !slices.Equal(was, is) {
			t.Fatalf("% x leads to %x, moved as % x to %x", code[:taken], was, moved, is)
		}
	})
}

// leads returns where the instructions of n bytes of code lead and what they refer to.
func leads(t *testing.T, code []byte, at arch.Addr, n int) []arch.Addr {
	var out []arch.Addr
	for off := 0; off < n; {
		in, err := Decode(code[off:])
		if err != nil {
			t.Fatalf("% x: %v", code[off:], err)
		}
		here := at + arch.Addr(off)
		if in.BrSize > 0 {
			out = append(out, here+arch.Addr(in.Target))
		}
		for _, op := range in.Ops[:in.NumOps] {
			if op.Kind == arch.OpPC {
				out = append(out, here+arch.Addr(op.Value))
			}
		}
		off += in.Len
	}
	return out
}

// TestMoveSystemCode moves the first instructions of every function of large programs, and has objdump say that they are the same
// ones still. It counts how many can be moved.
func TestMoveSystemCode(t *testing.T) {
	tests := []struct {
		name string
		find func(t testing.TB, name string) string
		min  float64 // of the functions can be moved
	}{
		{name: "libc.so.6", find: findLibrary, min: 0.9},
		{name: "libstdc++.so.6", find: findLibrary, min: 0.9},
		{name: "redis-server", find: findProgram, min: 0.9},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := test.find(t, test.name)
			text, entries := functions(t, path)
			const distance = 0x1000_0000
			var all []byte
			at := make(map[uint64]uint64, len(entries)) // the moved code of each function
			why := make(map[string]int)
			for _, e := range entries {
				code := text.code[e-text.addr:]
				site := e + uint64(landing(code))
				to := text.addr + distance + uint64(len(all))
				moved, _, err := move(code[site-e:min(site-e+64, uint64(len(code)))], arch.Addr(site), arch.Addr(to), jumpLen)
				if err != nil {
					why[reason(err)]++
					continue
				}
				at[site] = to
				all = append(append(all, moved...), 0xcc) // an end, for objdump
			}
			t.Logf("%s: %d of %d functions' first instructions can be moved; %v", test.name, len(at), len(entries), why)
			if part := float64(len(at)) / float64(len(entries)); part < test.min {
				t.Errorf("only %.1f %%", 100*part)
			}
			compareMoved(t, path, all, text.addr+distance, at)
		})
	}
}

// reason is the last part of an error.
func reason(err error) string { return err.Error()[strings.LastIndex(err.Error(), ": ")+2:] }

// textSection is a section of code.
type textSection struct {
	addr uint64
	code []byte
}

// functions returns .text and where functions begin in it, as the table of .eh_frame_hdr says (LSB Core 10.6.2): parts of functions are
// among them.
func functions(t *testing.T, path string) (textSection, []uint64) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hdr, text := f.Section(".eh_frame_hdr"), f.Section(".text")
	b, err := hdr.Data()
	if err != nil || len(b) < 12 || !bytes.Equal(b[:4], []byte{1, 0x1b, 3, 0x3b}) {
		t.Fatalf("%s: .eh_frame_hdr % x, %v", path, b[:min(4, len(b))], err)
	}
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	var entries []uint64
	for b = b[12:]; len(b) >= 8; b = b[8:] {
		if at := hdr.Addr + uint64(int64(int32(binary.LittleEndian.Uint32(b)))); at >= text.Addr && at < text.Addr+text.Size {
			entries = append(entries, at)
		}
	}
	return textSection{text.Addr, code}, entries
}

// compareMoved has objdump disassemble what was moved and what it was moved from. at is by the address where it stood.
func compareMoved(t *testing.T, path string, all []byte, start uint64, at map[uint64]uint64) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "moved")
	if err := os.WriteFile(raw, all, 0o600); err != nil {
		t.Fatal(err)
	}
	moved := lines(t, "-D", "-b", "binary", "-m", "i386:x86-64", fmt.Sprintf("--adjust-vma=%#x", start), raw)
	was := lines(t, "-d", path)
	failed := 0
	for site, to := range at {
		from := site
		for from < site+jumpLen && failed < 20 {
			a, b := was[from], moved[to]
			if a.text == "" {
				break // objdump lost its way in data
			}
			if a.text != b.text {
				t.Errorf("%#x: %s, moved to %#x: %s", from, a.text, to, b.text)
				failed++
			}
			from, to = from+uint64(a.size), to+uint64(b.size)
			if strings.HasPrefix(a.text, "jmp") || strings.HasPrefix(a.text, "ret") {
				from = 0
				break
			}
		}
		if want := fmt.Sprintf("jmp %#x", from); from >= site+jumpLen && moved[to].text != want {
			t.Errorf("%#x: goes on with %s, want %s", site, moved[to].text, want)
		}
	}
}

// short is an instruction as objdump shows it, but for what differs where it is moved.
type short struct {
	text string
	size uint8
}

var displacement = regexp.MustCompile(`\[rip[+-]0x[0-9a-f]+\]`)

// lines returns the instructions by address.
func lines(t *testing.T, args ...string) map[uint64]short {
	out := make(map[uint64]short)
	disassemble(t, func(l *line) {
		mnemonic, operands := l.split()
		_, absolute, _ := strings.Cut(l.text, " # ")
		absolute, _, _ = strings.Cut(absolute, " <")
		if v, ok := strings.CutPrefix(operands, "0x"); ok && mnemonic[0] == 'j' {
			operands = "0x" + v
		} else if mnemonic[0] == 'j' && operands != "" && strings.Trim(operands, "0123456789abcdef") == "" {
			operands = "0x" + operands
		}
		absolute = strings.TrimPrefix(absolute, "0x")
		text := strings.TrimSpace(mnemonic + " " + displacement.ReplaceAllString(operands, "[rip]") + " " + absolute)
		out[l.addr] = short{text, uint8(len(l.code))}
	}, args...)
	return out
}

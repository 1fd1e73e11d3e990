package arm64

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
)

func TestMove(t *testing.T) {
	const from, to = 0x40_1000, 0x200_0000
	tests := []struct {
		name string
		code string
		want []string // as objdump shows it; nil: an error
		err  error
	}{
		{name: "plain", code: "a9bf7bfd", want: []string{"stp x29, x30, [sp, #-16]!", "b 0x401004"}},
		{name: "return", code: "d65f03c0", want: []string{"ret"}},
		{name: "return that authenticates", code: "d65f0bff", want: []string{"retaa"}},
		{name: "sign the return address", code: "d503233f", want: []string{"paciasp", "b 0x401004"}},
		{name: "jump", code: "14000040", want: []string{"b 0x401100"}},
		{name: "jump to a register", code: "d61f0000", want: []string{"br x0"}},
		{name: "condition", code: "54000080", want: []string{"b.eq 0x2000008", "b 0x200000c", "b 0x401010", "b 0x401004"}},
		{name: "compare and branch", code: "b5000085", want: []string{"cbnz x5, 0x2000008", "b 0x200000c", "b 0x401010", "b 0x401004"}},
		{name: "test and branch", code: "b71ff865", want: []string{"tbnz x5, #35, 0x2000008", "b 0x200000c", "b 0x400f0c", "b 0x401004"}},
		{name: "adr", code: "10000040", want: []string{"adrp x0, 0x401000", "add x0, x0, #0x8", "b 0x401004"}},
		{name: "adrp", code: "b0000001", want: []string{"adrp x1, 0x402000", "b 0x401004"}},
		{name: "adr to nowhere", code: "1000005f", want: []string{"adr xzr, 0x2000008", "b 0x401004"}},
		{name: "literal", code: "58000103", want: []string{"adrp x3, 0x401000", "add x3, x3, #0x20", "ldr x3, [x3]", "b 0x401004"}},
		{name: "literal with sign", code: "98000103", want: []string{"adrp x3, 0x401000", "add x3, x3, #0x20", "ldrsw x3, [x3]", "b 0x401004"}},
		{name: "literal of a vector", code: "9c000103", want: []string{"adrp x16, 0x401000", "add x16, x16, #0x20", "ldr q3, [x16]", "b 0x401004"}},
		{name: "prefetch of a literal", code: "d8000100", want: []string{"adrp x16, 0x401000", "add x16, x16, #0x20", "prfm pldl1keep, [x16]", "b 0x401004"}},
		{name: "call", code: "94000010", err: errMoveCall},
		{name: "call through a register", code: "d63f0000", err: errMoveCall},
		{name: "system call", code: "d4000001", err: errMoveKernel},
		{name: "trap", code: "d4200000", err: errMoveTrap},
		{name: "data", code: "00000000", err: errMoveTrap},
		{name: "branch to itself", code: "54000000", err: errMoveInto},
		{name: "jump to itself", code: "14000000", err: errMoveInto},
		{name: "takes x16", code: "f9400210", err: errMoveIP},
		{name: "jumps to x17", code: "d61f0220", err: errMoveIP},
		{name: "signs with its place", code: "dac1a3fe", err: errMovePlace},
		{name: "and so when it returns", code: "5500001f", err: errMovePlace},
		{name: "scalable vectors", code: "04200000", err: errMoveUnknown},
		{name: "not allocated", code: "02000000", err: ErrUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code := words(t, test.code)
			moved, taken, err := Arch.Jump.Move(code, from, to, InstLen)
			if test.want == nil {
				if !errors.Is(err, test.err) || moved != nil {
					t.Errorf("moved to %x, error %v, want %v", moved, err, test.err)
				}
				return
			}
			if got := texts(t, moved, to); err != nil || taken != InstLen || !slices.Equal(got, test.want) {
				t.Errorf("moved to %q, %d bytes taken, error %v", got, taken, err)
			}
		})
	}
	for _, code := range []string{"10000040", "90000000", "54000080", "14000040", "d503201f", "58000100"} {
		if moved, _, err := move(words(t, code), from, from+1<<33, InstLen); err == nil {
			t.Errorf("%s: moved out of reach as %x", code, moved)
		}
	}
	if _, _, err := move(words(t, "d503201f"), from, to, 2*InstLen); err == nil {
		t.Error("moved more than there is")
	}
	if _, _, err := move(words(t, "d503201f 9c000103"), from, to, 2*InstLen); !errors.Is(err, errMoveScratch) {
		t.Errorf("a load that needs x16 in second place: %v", err)
	}
}

// FuzzMove: what is moved leads where it led, and changes no register but x16 beside those that it changed.
func FuzzMove(f *testing.F) {
	for _, w := range []uint32{0xa9bf7bfd, 0x54000080, 0x14000040, 0x10000040, 0x58000103, 0x9c000103, 0xd65f03c0, 0xb71ff865} {
		f.Add(w, uint32(nop))
	}
	f.Fuzz(func(t *testing.T, w0, w1 uint32) {
		const from, to = 0x400_0000, 0x500_0000
		code := binary.LittleEndian.AppendUint32(word(w0), w1)
		moved, taken, err := move(code, from, to, len(code))
		if (moved == nil) != (err != nil) {
			t.Fatalf("%x: %x, %v", code, moved, err)
		}
		if err != nil {
			return
		}
		was, is := leads(t, code[:taken], from), leads(t, moved, to)
		if in, _ := Decode(code[taken-InstLen:]); in.Flow == arch.FlowNext || in.Flow == arch.FlowBranch {
			was[from+arch.Addr(taken)] = true // the jump back
		}
		for a := range is {
			if a >= to && a < to+arch.Addr(len(moved)) {
				delete(is, a)
			}
		}
		if len(was) != len(is) {
			t.Fatalf("%x leads to %v, moved as %x to %v", code, was, moved, is)
		}
		for a := range was {
			if !is[a] {
				t.Fatalf("%x leads to %v, moved as %x to %v", code, was, moved, is)
			}
		}
		if more := changes(t, moved).Minus(changes(t, code[:taken]) | 1<<x16); more != 0 {
			t.Fatalf("%x moved as %x changes %#x", code, moved, more)
		}
	})
}

// leads returns where the branches of code lead.
func leads(t *testing.T, code []byte, at arch.Addr) map[arch.Addr]bool {
	out := make(map[arch.Addr]bool)
	for off := 0; off < len(code); off += InstLen {
		in, err := Decode(code[off:])
		if err != nil {
			t.Fatalf("%x: %v", code, err)
		}
		if in.Flow == arch.FlowJump || in.Flow == arch.FlowBranch {
			out[at+arch.Addr(int64(off)+in.Target)] = true
		}
	}
	return out
}

// changes returns what code writes.
func changes(t *testing.T, code []byte) (s arch.RegSet) {
	for off := 0; off < len(code); off += InstLen {
		x, ok := Effects(code[off:], nil)
		if !ok {
			t.Fatalf("%x: nothing is known of it", code)
		}
		s |= x.Write
	}
	return s
}

// TestMoveSystemCode moves the first instruction of every function of large programs, and has objdump say that it is the same
// one still, or what takes its place. It counts how many can be moved.
func TestMoveSystemCode(t *testing.T) {
	for _, name := range []string{"lib/aarch64-linux-gnu/libc.so.6", "usr/lib/aarch64-linux-gnu/libstdc++.so.6", "usr/bin/redis-check-rdb", "usr/bin/memcached"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(guestRoot(t), name)
			text, start, entries := functions(t, path)
			const distance = 0x100_0000
			var all []byte
			at := make(map[uint64]int, len(entries)) // the moved code of each function
			size := make(map[uint64]int, len(entries))
			why := make(map[string]int)
			for _, e := range entries {
				code := text[e-start:]
				site := e + uint64(landing(code))
				moved, _, err := move(text[site-start:], arch.Addr(site), arch.Addr(start+distance+uint64(len(all))), InstLen)
				if err != nil {
					s := err.Error()
					why[s[strings.LastIndex(s, ": ")+2:]]++
					continue
				}
				at[site], size[site] = len(all), len(moved)
				all = append(all, moved...)
			}
			t.Logf("%d of %d functions' first instructions can be moved; %v", len(at), len(entries), why)
			if len(entries) < 300 || float64(len(at)) < 0.9*float64(len(entries)) {
				t.Errorf("only %d of %d", len(at), len(entries))
			}
			was := make(map[uint64]*line)
			disassemble(t, path, func(l *line) {
				if _, ok := at[l.addr]; ok {
					was[l.addr] = l
				}
			}, "-d")
			got := texts(t, all, arch.Addr(start+distance))
			for site, off := range at {
				want := was[site].moved(site, start+distance+uint64(off))
				if have := got[off/InstLen:][:size[site]/InstLen]; !slices.Equal(have, want) {
					t.Errorf("%v: moved as %q, want %q", was[site], have, want)
				}
			}
		})
	}
}

// moved returns what an instruction at site becomes at another place.
func (l *line) moved(site, to uint64) []string {
	text := strings.TrimSpace(l.mnemonic + " " + strings.Join(l.operands, ", "))
	last := l.operand(len(l.operands) - 1)
	target, _ := address(last)
	back := fmt.Sprintf("b %#x", site+InstLen)
	reg := l.operand(0)
	switch flow := l.flow(); {
	case flow == arch.FlowJump:
		return []string{fmt.Sprintf("b %#x", target)}
	case flow == arch.FlowReturn || flow == arch.FlowJumpInd:
		return []string{text}
	case flow == arch.FlowBranch:
		over := strings.TrimSpace(l.mnemonic + " " + strings.Join(append(slices.Clone(l.operands[:len(l.operands)-1]), fmt.Sprintf("%#x", to+8)), ", "))
		return []string{over, fmt.Sprintf("b %#x", to+12), fmt.Sprintf("b %#x", target), back}
	case l.mnemonic == "adrp":
		return []string{fmt.Sprintf("adrp %s, %#x", reg, target), back}
	case l.mnemonic == "adr":
		return []string{fmt.Sprintf("adrp %s, %#x", reg, target&^0xfff), fmt.Sprintf("add %s, %s, #%#x", reg, reg, target&0xfff), back}
	}
	return []string{text, back}
}

// functions returns .text, its address, and where functions begin in it, as the table of .eh_frame_hdr says (LSB Core 10.6.2).
func functions(t *testing.T, path string) (code []byte, start uint64, entries []uint64) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hdr, text := f.Section(".eh_frame_hdr"), f.Section(".text")
	b, err := hdr.Data()
	if err != nil || len(b) < 12 || !bytes.Equal(b[:4], []byte{1, 0x1b, 3, 0x3b}) {
		t.Fatalf("%s: .eh_frame_hdr %x, %v", path, b[:min(4, len(b))], err)
	}
	if code, err = text.Data(); err != nil {
		t.Fatal(err)
	}
	for b = b[12:]; len(b) >= 8; b = b[8:] {
		if at := hdr.Addr + uint64(int64(int32(binary.LittleEndian.Uint32(b)))); at >= text.Addr && at < text.Addr+text.Size {
			entries = append(entries, at)
		}
	}
	return code, text.Addr, entries
}

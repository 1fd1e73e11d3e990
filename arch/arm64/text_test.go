package arm64

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTextAgainstObjdump holds the text of every word of two libraries and a server against objdump's, where it occurs first.
func TestTextAgainstObjdump(t *testing.T) {
	for _, file := range []string{"lib/aarch64-linux-gnu/libc.so.6", "usr/lib/aarch64-linux-gnu/libstdc++.so.6", "usr/bin/memcached"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			same, asWord, wrong := 0, 0, 0
			seen := make(map[uint32]bool)
			disassemble(t, filepath.Join(guestRoot(t), file), func(l *line) {
				if !l.known() || l.refused() || seen[l.word] {
					return
				}
				seen[l.word] = true
				got := text(codeOf(l.word), l.addr, nil)
				switch {
				case strings.HasPrefix(got, ".inst "):
					asWord++
				case plainText(got) == l.plain():
					same++
				default:
					if wrong++; wrong <= maxShown {
						t.Errorf("%v: text %q, compared as %q and %q", l, got, l.plain(), plainText(got))
					}
				}
			}, "-d")
			t.Logf("%d words agree, %d are shown as data", same, asWord)
			if same < 10000 || asWord*200 > same {
				t.Errorf("%d words shown as data, %d as text", asWord, same)
			}
		})
	}
}

// plain returns the text of a line without differences of spelling.
func (l *line) plain() string {
	ops := append([]string(nil), l.operands...)
	for i, op := range ops {
		if a, ok := address(op); ok && strings.Contains(op, "<") {
			ops[i] = fmt.Sprintf("%#x", a)
		}
	}
	return plainText(l.mnemonic + " " + strings.Join(ops, ","))
}

// plainText removes differences of spelling: spaces, the base of numbers, fractions of zero, names of system registers that arm64asm does not know.
func plainText(s string) string {
	name, ops, _ := strings.Cut(strings.TrimSpace(s), " ")
	ops = strings.NewReplacer(" ", "", "\t", "", "#0.0", "#0", "fpcr", "s3_3_c4_c4_0", "fpsr", "s3_3_c4_c4_1",
		"midr_el1", "s3_0_c0_c0_0", "dczid_el0", "s3_3_c0_c0_7", "ctr_el0", "s3_3_c0_c0_1").Replace(ops)
	parts := strings.Split(ops, "#")
	for i, p := range parts[1:] {
		n := strings.IndexFunc(p, func(c rune) bool { return !strings.ContainsRune("-+x.0123456789abcdef", c) })
		if n < 0 {
			n = len(p)
		}
		if v, err := strconv.ParseInt(p[:n], 0, 64); err == nil {
			parts[i+1] = strconv.FormatInt(v, 10) + p[n:]
		} else if v, err := strconv.ParseUint(p[:n], 0, 64); err == nil {
			parts[i+1] = strconv.FormatInt(int64(v), 10) + p[n:]
		}
	}
	return name + " " + strings.Join(parts, "#")
}

func TestText(t *testing.T) {
	symname := func(addr uint64) (string, uint64) {
		switch {
		case addr >= 0x2000 && addr < 0x3000:
			return "table", 0x2000
		case addr == 0x1010:
			return "+0x10", addr
		}
		return "", 0
	}
	tests := []struct {
		name string
		word uint32
		want string
	}{
		{name: "named call", word: 0x94000400, want: "bl <table>"},
		{name: "call of no name", word: 0x94000800, want: "bl 0x3000"},
		{name: "branch within the function", word: 0x54000080, want: "b.eq +0x10"},
		{name: "branch on a bit", word: 0x37280083, want: "tbnz w3, #5, +0x10"},
		{name: "branch with a hint that it is consistent", word: 0x54000091, want: "bc.ne +0x10"},
		{name: "always, in its other form", word: 0x5400008f, want: "b.nv +0x10"},
		{name: "adr", word: 0x10008083, want: "adr x3, <table+0x10>"},
		{name: "adrp", word: 0xb0000003, want: "adrp x3, <table>"},
		{name: "literal", word: 0x58008044, want: "ldr x4, <table+0x8>"},
		{name: "thread pointer", word: 0xd53bd045, want: "mrs x5, tpidr_el0"},
		{name: "compare and swap", word: 0x88e0fc41, want: "casal w0, w1, [x2]"},
		{name: "compare and swap, from the stack", word: 0xc8a07fff, want: "cas x0, xzr, [sp]"},
		{name: "atomic addition", word: 0x78e00041, want: "ldaddalh w0, w1, [x2]"},
		{name: "atomic or, not loaded", word: 0xf860305f, want: "stsetl x0, [x2]"},
		{name: "swap", word: 0xf8a08041, want: "swpa x0, x1, [x2]"},
		{name: "authenticated call", word: 0xd73f087f, want: "blraa x3, sp"},
		{name: "authenticated call, zero", word: 0xd63f0c7f, want: "blrabz x3"},
		{name: "authenticated jump", word: 0xd71f0864, want: "braa x3, x4"},
		{name: "authenticated return", word: 0xd65f0fff, want: "retab"},
		{name: "landing pad", word: 0xd503245f, want: "bti c"},
		{name: "signing", word: 0xd503233f, want: "paciasp"},
		{name: "hint without a name", word: 0xd503289f, want: "hint #0x44"},
		{name: "udf", word: 5, want: "udf #5"},
		{name: "SVE", word: 0xe400e000, want: ".inst 0xe400e000"},
		{name: "not allocated", word: 0x02000000, want: ".inst 0x02000000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Arch.Text(binary.LittleEndian.AppendUint32(nil, test.word), 0x1000, symname); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if got := Arch.Text([]byte{1, 2}, 0, nil); got != ".byte 0x01,0x02" {
		t.Errorf("half a word: %q", got)
	}
}

package x86

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"hotpatch/arch"
)

// The detour of a load, linked by hand, is the load through a slot, by our own decoder and text.
func TestDetour(t *testing.T) {
	for reg, name := range []string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"} {
		t.Run(name, func(t *testing.T) {
			code := []byte{0x48 | byte(reg>>3)<<2, 0x8b, byte(reg&7)<<3 | 5, 0, 0, 0, 0}
			in, err := Decode(code)
			if err != nil {
				t.Fatal(err)
			}
			const from, to, slot = 0x1000, 0x1080, 0x2000
			site, detour, field, ok := Detour(code, &in, from, to)
			if !ok || len(site) != in.Len {
				t.Fatalf("site % x, ok %v", site, ok)
			}
			binary.LittleEndian.PutUint32(detour[field:], uint32(slot-(to+7)))
			if got, ok := jump.Recognize(from, site); !ok || got != to {
				t.Errorf("the site leads to %#x", uint64(got))
			}
			var text []string
			for at := 0; at < len(detour); {
				in, err := Decode(detour[at:])
				if err != nil {
					t.Fatalf("% x: %v", detour[at:], err)
				}
				text = append(text, Arch.Text(detour[at:], uint64(to+at), nil))
				at += in.Len
			}
			want := fmt.Sprintf("mov 0xf79(%%rip),%%%s  # 0x2000;mov (%%%s),%%%s;", name, name, name)
			got := strings.ReplaceAll(strings.Join(text, ";"), "0x0(", "(")
			if !strings.HasPrefix(got, want) {
				t.Errorf("detour: %s, want %s", got, want)
			}
			if got, ok := jump.Recognize(to+arch.Addr(len(detour)-5), detour[len(detour)-5:]); !ok || got != from+7 {
				t.Errorf("it goes on at %#x", uint64(got))
			}
		})
	}
}

// What is not a plain load of a whole register has no detour.
func TestNoDetour(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
	}{
		{"32-bit load", []byte{0x8b, 0x05, 0, 0, 0, 0}},
		{"store", []byte{0x48, 0x89, 0x05, 0, 0, 0, 0}},
		{"lea", []byte{0x48, 0x8d, 0x05, 0, 0, 0, 0}},
		{"compare", []byte{0x48, 0x3b, 0x05, 0, 0, 0, 0}},
		{"load through a register", []byte{0x48, 0x8b, 0x80, 0, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := Decode(c.code)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, ok := Detour(c.code, &in, 0, 64); ok {
				t.Error("it has one")
			}
		})
	}
}

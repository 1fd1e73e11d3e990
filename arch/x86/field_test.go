package x86

import (
	"debug/elf"
	"slices"
	"testing"

	"hotpatch/arch"
)

func TestFieldReloc(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   []byte
		op     int
		kind   arch.RelocKind
		want   elf.R_X86_64 // R_X86_64_NONE: there is none
		adjust int64
	}{
		{name: "call", code: []byte{0xe8, 0, 0, 0, 0}, op: arch.BranchOp, kind: arch.RelocPC, want: elf.R_X86_64_PC32, adjust: -4},
		{name: "call by way of the PLT", code: []byte{0xe8, 0, 0, 0, 0}, op: arch.BranchOp, kind: arch.RelocPLT, want: elf.R_X86_64_PLT32, adjust: -4},
		{name: "short jump", code: []byte{0xeb, 0}, op: arch.BranchOp, kind: arch.RelocPC},
		{name: "movl $1, x(%rip)", code: []byte{0xc7, 0x05, 0, 0, 0, 0, 1, 0, 0, 0}, kind: arch.RelocPC, want: elf.R_X86_64_PC32, adjust: -8},
		{name: "mov slot(%rip), %rax", code: []byte{0x48, 0x8b, 0x05, 0, 0, 0, 0}, kind: arch.RelocGOTPC, want: elf.R_X86_64_GOTPCREL, adjust: -4},
		{name: "mov $x, %eax", code: []byte{0xb8, 0, 0, 0, 0}, kind: arch.RelocAbs, want: elf.R_X86_64_32S},
		{name: "movabs $x, %rax", code: []byte{0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0}, kind: arch.RelocAbs, want: elf.R_X86_64_64},
	} {
		in, err := Arch.Decode(c.code)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		typ, adjust, ok := fieldReloc(c.code, &in, c.op, c.kind)
		if ok != (c.want != elf.R_X86_64_NONE) || elf.R_X86_64(typ) != c.want || adjust != c.adjust {
			t.Errorf("%s: %v, %d, %v; want %v, %d", c.name, elf.R_X86_64(typ), adjust, ok, c.want, c.adjust)
		}
	}
}

func TestAim(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		to   int64
		want []byte // nil: it is out of reach
	}{
		{name: "short, forward", code: []byte{0xeb, 0}, to: 129, want: []byte{0xeb, 127}},
		{name: "short, back", code: []byte{0x75, 0}, to: -126, want: []byte{0x75, 0x80}},
		{name: "short, too far", code: []byte{0xeb, 0}, to: 130},
		{name: "near", code: []byte{0x0f, 0x85, 0, 0, 0, 0}, to: 0x106, want: []byte{0x0f, 0x85, 0, 1, 0, 0}},
		{name: "near, too far", code: []byte{0xe9, 0, 0, 0, 0}, to: 1 << 31 * 2},
		{name: "no branch", code: []byte{0xc3}, to: 0},
	} {
		in, err := Arch.Decode(c.code)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := aim(c.code, &in, c.to); (err == nil) != (c.want != nil) || c.want != nil && !slices.Equal(c.code, c.want) {
			t.Errorf("%s: % x, %v; want % x", c.name, c.code, err, c.want)
		}
	}
}

func TestDisplace(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		disp int64
		want []byte // nil: there is no such form
	}{
		{name: "mov 0x100(%rdi), %eax", code: []byte{0x8b, 0x87, 0, 1, 0, 0}, disp: -8, want: []byte{0x8b, 0x87, 0xf8, 0xff, 0xff, 0xff}},
		{name: "movl $1, 0x100(%rdi)", code: []byte{0xc7, 0x87, 0, 1, 0, 0, 1, 0, 0, 0}, disp: 0x210,
			want: []byte{0xc7, 0x87, 0x10, 2, 0, 0, 1, 0, 0, 0}},
		{name: "too large", code: []byte{0x8b, 0x87, 0, 1, 0, 0}, disp: 1 << 31},
		{name: "one byte", code: []byte{0x8b, 0x47, 8}, disp: 16},
	} {
		in, err := Arch.Decode(c.code)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := displace(c.code, &in, c.disp); (err == nil) != (c.want != nil) || c.want != nil && !slices.Equal(c.code, c.want) {
			t.Errorf("%s: % x, %v; want % x", c.name, c.code, err, c.want)
		}
	}
}

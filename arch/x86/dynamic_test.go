package x86

import (
	"debug/elf"
	"slices"
	"testing"

	"hotpatch/arch"
)

// TestPLTStub: where stubs of the linkers start, and which slot they jump through.
func TestPLTStub(t *testing.T) {
	const jump = "\xff\x25\x10\x00\x00\x00" // jmp *0x10(%rip)
	for _, c := range []struct {
		name   string
		code   string
		off    int
		slot   arch.ImageAddr // at 0x1000; 0: no stub
		starts []int
	}{
		{name: "ld", code: jump + "\x68\x00\x00\x00\x00", slot: 0x1016, starts: []int{0}},
		{name: "bound", code: "\xf3\x0f\x1e\xfa\xf2" + jump, off: 4, slot: 0x101b, starts: []int{4, 0}},
		{name: "mold", code: "\xf3\x0f\x1e\xfa\x41\xbb\x01\x00\x00\x00" + jump, off: 10, slot: 0x1020, starts: []int{10, 4, 0}},
		{name: "through a register", code: "\xff\xe0"},
		{name: "a jump", code: "\xe9\x00\x00\x00\x00"},
		{name: "cut off", code: "\xff\x25\x10"},
		{name: "behind the code", code: jump, off: 7},
	} {
		slot, starts, ok := pltStub([]byte(c.code), 0x1000, c.off)
		if slot != c.slot || ok != (c.slot != 0) || !slices.Equal(starts, c.starts) {
			t.Errorf("%s: slot %#x, starts %v, %v; want %#x, %v", c.name, uint64(slot), starts, ok, uint64(c.slot), c.starts)
		}
	}
}

// TestUnlocked: what may be entered behind a prefix.
func TestUnlocked(t *testing.T) {
	for _, c := range []struct {
		name, code string
		want       bool
	}{
		{name: "lock cmpxchg", code: "\xf0\x0f\xb1\x17", want: true},
		{name: "cmpxchg", code: "\x0f\xb1\x17"},
		{name: "the prefix alone", code: "\xf0"},
		{name: "lock and a jump", code: "\xf0\xeb\x00"},
		{name: "nothing", code: ""},
	} {
		if got := unlocked([]byte(c.code)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRelocationKinds: relocations for data are described in agreement with those that a patch has, and as the dynamic linker knows them.
func TestRelocationKinds(t *testing.T) {
	for typ, r := range relocs {
		l, ok := link(typ)
		if !ok || l.Size != r.Size {
			t.Errorf("%s: size %d of %v, want %d", r.Name, l.Size, ok, r.Size)
		}
		want := map[arch.RelocKind]arch.LinkReloc{
			arch.RelocAbs:   {Kind: arch.LinkAddress, Size: r.Size},
			arch.RelocPC:    {Kind: arch.LinkAddress, Form: arch.FormPC, Size: r.Size},
			arch.RelocPLT:   {Kind: arch.LinkAddress, Form: arch.FormPC, Size: r.Size},
			arch.RelocGOTPC: {Kind: arch.LinkSlot, Form: arch.FormPC, Size: r.Size},
		}[r.Kind]
		if l != want {
			t.Errorf("%s: %+v, want %+v", r.Name, l, want)
		}
	}
	if d, ok := dynamic(uint32(elf.R_X86_64_TLSDESC)); !ok || d.Size != 16 {
		t.Errorf("a TLS descriptor has %d bytes (%v), want 16", d.Size, ok)
	}
	const unknown = 0xffff
	if d, ok := dynamic(unknown); ok {
		t.Errorf("type %d is known as %+v", unknown, d)
	}
	if l, ok := link(unknown); ok {
		t.Errorf("type %d is known as %+v", unknown, l)
	}
}

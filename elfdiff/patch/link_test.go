package patch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

const (
	testBase = arch.Addr(0x7f0000100000)
	testBias = arch.Addr(0x7f0000000000)
)

func sampleResolver() fixedResolver {
	return fixedResolver{bias: testBias, imports: map[string][2]arch.Addr{"strtoul": {0x7fff00001000, 0}}}
}

func mustLink(t testing.TB, p *Patch, base arch.Addr, r Resolver) *Payload {
	t.Helper()
	pl, err := Link(p, base, r)
	if err != nil {
		t.Fatal(err)
	}
	return pl
}

// target reads the 4-byte PC-relative field at off in a section and returns where it points, for
// an addend of -4.
func target(t *testing.T, p *Patch, pl *Payload, section int, off uint64) arch.Addr {
	t.Helper()
	b := pl.Section(p, section)
	if b == nil {
		t.Fatalf("section %d has no content", section)
	}
	at := pl.Base + arch.Addr(pl.Layout.Sections[section]+off)
	return at + 4 + arch.Addr(int64(int32(binary.LittleEndian.Uint32(b[off:]))))
}

func word(t *testing.T, pl *Payload, at arch.Addr) arch.Addr {
	t.Helper()
	b := pl.Bytes(at, 8)
	if b == nil {
		t.Fatalf("no content at %#x", at)
	}
	return arch.Addr(binary.LittleEndian.Uint64(b))
}

// TestLink follows every reference of the sample to where it must lead.
func TestLink(t *testing.T) {
	p := mustEncode(t, samplePatch(t)).Patch
	pl := mustLink(t, p, testBase, sampleResolver())

	slot := make(map[int]arch.Addr)
	for _, s := range pl.Slots {
		slot[s.Sym] = s.Addr
		if got := word(t, pl, s.Addr); got != s.Value {
			t.Errorf("slot of %s holds %#x, reported %#x", p.Symbols[s.Sym].Name, got, s.Value)
		}
	}
	stub := testBase + arch.Addr(pl.Layout.Stubs[0].Off)
	tests := []struct {
		name    string
		section int
		off     uint64
		want    arch.Addr
	}{
		{name: "call of an import goes to its stub", section: 0, off: 5, want: stub},
		{name: "GOT load of an image object", section: 0, off: 12, want: slot[symState]},
		{name: "lea of a payload table", section: 0, off: 19, want: pl.SymAddr[symTable]},
		{name: "GOT load of a weak import", section: 0, off: 26, want: slot[symTrace]},
		{name: "call of an added function", section: 0, off: 31, want: pl.SymAddr[symHelper]},
		{name: "a replaced function is called at version 0", section: 0, off: 36, want: testBias + 0x1200},
		{name: "counter in bss", section: 1, off: 2, want: pl.SymAddr[symCounter]},
	}
	for _, tt := range tests {
		if got := target(t, p, pl, tt.section, tt.off); got != tt.want || got == 0 {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
	for sym, want := range map[int]arch.Addr{symState: testBias + 0x4010, symStrtoul: 0x7fff00001000, symTrace: 0} {
		if got := word(t, pl, slot[sym]); got != want {
			t.Errorf("slot of %s: %#x, want %#x", p.Symbols[sym].Name, got, want)
		}
	}
	if got := word(t, pl, pl.SymAddr[symTable]); got != pl.SymAddr[symHelper] {
		t.Errorf("table[0] %#x, want %#x", got, pl.SymAddr[symHelper])
	}
	if got := word(t, pl, pl.SymAddr[symTable]+8); got != testBias+0x4018 {
		t.Errorf("table[1] %#x", got)
	}
	a, _ := machines.Lookup(p.Machine)
	want, err := a.Jump.Stub(stub, slot[symStrtoul])
	if err != nil {
		t.Fatal(err)
	}
	if got := pl.Bytes(stub, uint64(a.Jump.StubLen)); !bytes.Equal(got, want) {
		t.Errorf("stub % x, want % x", got, want)
	}
	again := mustLink(t, p, testBase, sampleResolver())
	if !reflect.DeepEqual(pl, again) {
		t.Error("the same answers gave another payload")
	}
}

// TestLinkFrames: .eh_frame leads to the function and ends with a terminator.
func TestLinkFrames(t *testing.T) {
	for _, a := range bothSamples {
		p := a.sample(t)
		pl := mustLink(t, p, testBase, sampleResolver())
		b := pl.Bytes(pl.EHFrame, pl.EHFrameSize)
		if len(b) != 52 || !bytes.Equal(b[48:], []byte{0, 0, 0, 0}) {
			t.Fatalf("%s: .eh_frame is % x", a.name, b)
		}
		begin := pl.EHFrame + 32 + arch.Addr(int64(int32(binary.LittleEndian.Uint32(b[32:]))))
		if begin != pl.SymAddr[symBody] {
			t.Errorf("%s: FDE begins at %#x, function at %#x", a.name, begin, pl.SymAddr[symBody])
		}
	}
}

// TestExistingSlot: a call goes through the image's slot, if there is one, also if it is not bound yet.
func TestExistingSlot(t *testing.T) {
	for _, b := range bothSamples {
		p := b.sample(t)
		r := sampleResolver()
		r.imports["strtoul"] = [2]arch.Addr{0, testBias + 0x3fd8}
		pl := mustLink(t, p, testBase, r)
		a, _ := machines.Lookup(p.Machine)
		stub := testBase + arch.Addr(pl.Layout.Stubs[0].Off)
		want, err := a.Jump.Stub(stub, testBias+0x3fd8)
		if err != nil {
			t.Fatal(err)
		}
		if got := pl.Bytes(stub, uint64(len(want))); !bytes.Equal(got, want) {
			t.Errorf("%s: stub % x, want % x", b.name, got, want)
		}
	}
}

// TestLayout: segments are apart and aligned, sections inside theirs and apart, text has room to be superseded.
func TestLayout(t *testing.T) {
	p := samplePatch(t)
	a, err := machines.Lookup(p.Machine)
	if err != nil {
		t.Fatal(err)
	}
	l, err := LayoutOf(p, a)
	if err != nil {
		t.Fatal(err)
	}
	end := uint64(0)
	for _, s := range l.Segments {
		if s.Off%l.Align != 0 || s.Off < end {
			t.Errorf("segment %d at %#x, the one before ends at %#x", s.Kind, s.Off, end)
		}
		end = s.Off + s.Size
	}
	if l.Align != 4096 || l.Size%l.Align != 0 || l.Size < end {
		t.Errorf("size %#x, align %#x, last segment ends at %#x", l.Size, l.Align, end)
	}
	segment := map[Kind]int{Text: 0, ROData: 1, EHFrame: 1, Data: 2, BSS: 2}
	used := map[uint64]string{}
	for i := range p.Sections {
		s, off := &p.Sections[i], l.Sections[i]
		seg := l.Segments[segment[s.Kind]]
		if off%s.Align != 0 || off < seg.Off || off+s.Size > seg.Off+seg.Size {
			t.Errorf("section %s at %#x, size %#x, segment %+v", s.Name, off, s.Size, seg)
		}
		for b := off; b < off+max(s.Size, 1); b++ {
			if used[b] != "" {
				t.Fatalf("byte %#x belongs to %s and %s", b, used[b], s.Name)
			}
			used[b] = s.Name
		}
	}
	pl := mustLink(t, p, testBase, sampleResolver())
	for i, s := range pl.Segments {
		if s.Size != l.Segments[i].Size || uint64(len(s.Data)) > s.Size || s.Addr != testBase+arch.Addr(l.Segments[i].Off) {
			t.Errorf("segment %d: %#x bytes of %#x at %#x", i, len(s.Data), s.Size, s.Addr)
		}
	}
	text := pl.Bytes(pl.SymAddr[symHelper], minFuncSize)
	if len(text) != minFuncSize || !a.Jump.IsPadding(text[7:]) {
		t.Errorf("room behind a short function: % x", text)
	}
}

// TestLayoutArm64: segments lie apart for the largest page of the architecture's kernels.
func TestLayoutArm64(t *testing.T) {
	p := &Patch{Machine: elf.EM_AARCH64, Sections: []Section{
		{Name: ".text.f", Kind: Text, Align: 4, Data: make([]byte, 8), Size: 8},
		{Name: ".bss.b", Kind: BSS, Align: 8, Size: 100},
	}}
	a, err := machines.Lookup(p.Machine)
	if err != nil {
		t.Fatal(err)
	}
	l, err := LayoutOf(p, a)
	if err != nil {
		t.Fatal(err)
	}
	const page = 64 << 10
	want := [3]Segment{{Kind: Text, Size: 32}, {Kind: ROData, Off: page}, {Kind: Data, Off: page, Size: 100}}
	if l.Align != page || l.Size != 2*page || l.Segments != want {
		t.Errorf("%+v", l)
	}
	if _, err := LayoutOf(samplePatch(t), a); err == nil {
		t.Error("an x86-64 patch was laid out for arm64")
	}
}

// TestHeads: in front of each body there is the code that a jump to it may need.
func TestHeads(t *testing.T) {
	p := &Patch{Machine: elf.EM_AARCH64, Sections: []Section{
		{Name: ".text.f", Kind: Text, Align: 4, Data: make([]byte, 20), Size: 20},
		{Name: ".text.g", Kind: Text, Align: 64, Data: make([]byte, 8), Size: 8},
		{Name: ".rodata", Kind: ROData, Align: 8, Data: make([]byte, 8), Size: 8},
	}, Symbols: []Symbol{{Name: "f", Size: 20, Func: true}, {Name: "g", Section: 1, Size: 8, Func: true}, {Name: "r", Section: 2, Size: 8}}}
	a, err := machines.Lookup(p.Machine)
	if err != nil {
		t.Fatal(err)
	}
	pl := mustLink(t, p, testBase, sampleResolver())
	head := uint64(len(a.Jump.Head))
	if want := []uint64{16, 64, 64 << 10}; head == 0 || !reflect.DeepEqual(pl.Layout.Sections, want) {
		t.Fatalf("sections at %#x, want %#x", pl.Layout.Sections, want)
	}
	for i, at := range pl.SymAddr[:2] {
		if got := pl.Bytes(at-arch.Addr(head), head); !bytes.Equal(got, a.Jump.Head) {
			t.Errorf("in front of body %d: %x, want %x", i, got, a.Jump.Head)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	far := sampleResolver()
	far.bias = 0x100000000000
	tests := []struct {
		name string
		base arch.Addr
		r    Resolver
		edit func(*Patch)
		want []string
	}{
		{name: "image out of reach", r: far, want: []string{"handle+0x24", "R_X86_64_PLT32", "against handle", "value -0x6f00000fee28"}},
		{name: "base not aligned", base: testBase + 16, want: []string{"cannot be placed at 0x7f0000100010"}},
		{name: "base at the end of the address space", base: ^arch.Addr(0) - 4095, want: []string{"cannot be placed"}},
		{name: "unbound import", r: fixedResolver{bias: testBias}, want: []string{"strtoul", "is not known"}},
		{name: "resolver fails", r: failing{}, want: []string{"link: symbol state: no module"}},
		{name: "relocation of an unknown symbol", edit: func(p *Patch) { p.Sections[0].Relocs[0].Sym = 99 }, want: []string{"no such symbol", "99"}},
		{name: "machine without a layout", edit: func(p *Patch) { p.Machine = 0 }, want: []string{"not supported"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := samplePatch(t)
			if tt.edit != nil {
				tt.edit(p)
			}
			if tt.base == 0 {
				tt.base = testBase
			}
			if tt.r == nil {
				tt.r = sampleResolver()
			}
			pl, err := Link(p, tt.base, tt.r)
			if err == nil || pl != nil {
				t.Fatalf("linked: %v", pl)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestUnboundImportIsRefusal(t *testing.T) {
	_, err := Link(samplePatch(t), testBase, fixedResolver{bias: testBias})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("%v is no refusal", err)
	}
	p := samplePatch(t)
	r := sampleResolver()
	r.imports["strtoul"] = [2]arch.Addr{0, testBias + 0x3fd8}
	p.Sections[0].Relocs[3].Sym = symStrtoul // its address is loaded, which a lazy slot does not hold
	if _, err := Link(p, testBase, r); !errors.Is(err, ErrRefused) {
		t.Errorf("address of a lazily bound import: %v", err)
	}
}

type failing struct{}

func (failing) Image(v arch.ImageAddr, _ *Symbol) (arch.Addr, error) {
	return 0, fmt.Errorf("no module maps %#x", uint64(v))
}
func (failing) Import(*Symbol) (addr, slot arch.Addr, err error) { return 0, 0, nil }

func TestOldMatches(t *testing.T) {
	code := []byte{0xe8, 1, 2, 3, 4, 0x31, 0xc0, 0xc3, 9, 9}
	part := NewPart("f", 0x1000, code, []Field{{Off: 1, Size: 4}, {Off: 8, Size: 2}})
	with := func(off int, b byte) []byte {
		c := bytes.Clone(code)
		c[off] = b
		return c
	}
	tests := []struct {
		name    string
		running []byte
		exact   bool
		off     int
		ok      bool
	}{
		{name: "equal", running: code, exact: true, ok: true},
		{name: "field differs, exact", running: with(2, 7), exact: true, off: 2},
		{name: "field differs", running: with(2, 7), ok: true},
		{name: "last field differs", running: with(9, 7), ok: true},
		{name: "opcode before a field differs", running: with(0, 0xe9), off: 0},
		{name: "opcode behind a field differs", running: with(5, 0x33), off: 5},
		{name: "short", running: code[:7], off: 7},
		{name: "short in a field", running: code[:3], off: 3},
		{name: "short in the last field", running: code[:9], off: 9},
		{name: "short and exact", running: code[:3], exact: true, off: 3},
		{name: "empty", off: 0},
		{name: "long", running: append(bytes.Clone(code), 1), off: 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			off, ok := OldMatches(lookupArch(t, elf.EM_X86_64), &part, tt.running, tt.exact)
			if ok != tt.ok || off != tt.off && !ok {
				t.Errorf("%d, %v; want %d, %v", off, ok, tt.off, tt.ok)
			}
		})
	}
}

// TestOldMatchesVeneer compares a load that refers to something with a jump that a linker put in its place.
func TestOldMatchesVeneer(t *testing.T) {
	load, other, jump := []byte{0x01, 0xcc, 0x46, 0xf9}, []byte{0x01, 0xc8, 0x46, 0xf9}, []byte{0x14, 0x28, 0x00, 0x14}
	part := NewPart("f", 0x1000, load, []Field{{Off: 0, Size: 4}})
	a := lookupArch(t, elf.EM_AARCH64)
	if _, ok := OldMatches(a, &part, other, false); !ok {
		t.Error("the same load linked elsewhere does not match")
	}
	for _, trap := range []uint32{0xd4200000, 0xd42000a0} { // brk #0, and brk #5, which is a uprobe's
		if off, ok := OldMatches(a, &part, binary.LittleEndian.AppendUint32(nil, trap), false); ok || off != 0 {
			t.Errorf("a breakpoint %#x in place of the load: offset %d, %v", trap, off, ok)
		}
	}
	if off, ok := OldMatches(a, &part, jump, false); ok || off != 0 {
		t.Errorf("a jump in the place of a load: %d, %v", off, ok)
	}
}

func lookupArch(t *testing.T, machine elf.Machine) *arch.Arch {
	t.Helper()
	a, err := machines.Lookup(machine)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

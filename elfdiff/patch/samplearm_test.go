package patch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// bothSamples are patches with one of everything, by architecture.
var bothSamples = []struct {
	name   string
	sample func(testing.TB) *Patch
	tools  string // begins the names of the binutils
	shown  map[string][]string
}{
	{name: "x86-64", sample: samplePatch, shown: map[string][]string{
		"frames": {"DW_CFA_def_cfa: r7 (rsp) ofs 8"},
		"code":   {"R_X86_64_PLT32\tstrtoul@GLIBC_2.2.5-0x4", "R_X86_64_PC32\t.rodata.table-0x4", "endbr64"},
	}},
	{name: "arm64", sample: sampleArm64, tools: toolA64, shown: map[string][]string{
		"frames": {"DW_CFA_def_cfa: r31 (sp) ofs 0"},
		"code": {"R_AARCH64_CALL26\tstrtoul@GLIBC_2.2.5", "R_AARCH64_ADD_ABS_LO12_NC\t.rodata.table", "R_AARCH64_ADR_GOT_PAGE\ttrace",
			"R_AARCH64_JUMP26\thandle", "bti\tc"},
	}},
}

// sampleArm64 is samplePatch for arm64.
func sampleArm64(t testing.TB) *Patch {
	t.Helper()
	p := samplePatch(t)
	p.Machine = elf.EM_AARCH64
	words := func(w ...uint32) []byte {
		b, err := binary.Append(nil, binary.LittleEndian, w)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const bti, ret = 0xd503245f, 0xd65f03c0
	handle := words(bti,
		0x94000000,             // bl strtoul
		0x90000000, 0xf9400000, // adrp x0, :got:state; ldr x0, [x0, :got_lo12:state]
		0x90000001, 0x91000021, // adrp x1, table; add x1, x1, :lo12:table
		0x90000002, 0xf9400042, // adrp x2, :got:trace; ldr x2, [x2, :got_lo12:trace]
		0x94000000, 0x14000000) // bl helper; b handle
	helper := words(0x90000008, 0xb9400109, 0x11000529, 0xb9000109, ret) // adrp x8; ldr w9, [x8]; add w9, w9, #1; str w9, [x8]
	r := func(off uint64, typ elf.R_AARCH64, sym int, addend int64) Reloc {
		return Reloc{Off: off, Type: uint32(typ), Sym: sym, Addend: addend}
	}
	s := p.Sections
	s[0].Data, s[0].Size, s[0].Relocs = handle, handleSize, []Reloc{
		r(4, elf.R_AARCH64_CALL26, symStrtoul, 0),
		r(8, elf.R_AARCH64_ADR_GOT_PAGE, symState, 0),
		r(12, elf.R_AARCH64_LD64_GOT_LO12_NC, symState, 0),
		r(16, elf.R_AARCH64_ADR_PREL_PG_HI21, symTable, 0),
		r(20, elf.R_AARCH64_ADD_ABS_LO12_NC, symTable, 0),
		r(24, elf.R_AARCH64_ADR_GOT_PAGE, symTrace, 0),
		r(28, elf.R_AARCH64_LD64_GOT_LO12_NC, symTrace, 0),
		r(32, elf.R_AARCH64_CALL26, symHelper, 0),
		r(36, elf.R_AARCH64_JUMP26, symHandle, 0),
	}
	s[1].Data, s[1].Size, s[1].Relocs = helper, uint64(len(helper)), []Reloc{
		r(0, elf.R_AARCH64_ADR_PREL_PG_HI21, symCounter, 4),
		r(4, elf.R_AARCH64_LDST32_ABS_LO12_NC, symCounter, 4),
		r(12, elf.R_AARCH64_LDST32_ABS_LO12_NC, symCounter, 4),
	}
	s[2].Relocs = []Reloc{r(0, elf.R_AARCH64_ABS64, symHelper, 0), r(8, elf.R_AARCH64_ABS64, symState, 8)}
	frames := slices.Clone(s[5].Data) // code alignment 4, return address 30; DW_CFA_def_cfa r31+0
	frames[12], frames[14], frames[18], frames[19], frames[20], frames[21] = 4, 30, 31, 0, 0, 0
	s[5].Data, s[5].Relocs = frames, []Reloc{r(32, elf.R_AARCH64_PREL32, symBody, 0)}
	p.Symbols[symHelper].Size = uint64(len(helper))
	f := &p.Funcs[0]
	f.Old = []Part{NewPart("handle", 0x1200, words(bti, 0x94000000, ret), []Field{{Off: 4, Size: 4}}),
		NewPart("handle.cold", 0x1100, words(0xd4200000), nil)}
	f.Jump = Site{Off: 4, Room: 8, Fixed: "a call"}
	p.Funcs[1].Old = []Part{NewPart("gone", 0x1300, words(0x2a1f03e0, ret), nil)}
	p.Slots[0].Type = uint32(elf.R_AARCH64_JUMP_SLOT)
	p.Changes[0].Old, p.Changes[0].New = &Extent{0x1200, 12}, &Extent{0x1200, handleSize}
	p.Changes[2].New = &Extent{0x1300, uint64(len(helper))}
	return p
}

// TestLinkArm64 follows every reference of the sample to where it must lead.
func TestLinkArm64(t *testing.T) {
	p := mustEncode(t, sampleArm64(t)).Patch
	pl := mustLink(t, p, testBase, sampleResolver())
	a, err := machines.Lookup(p.Machine)
	if err != nil {
		t.Fatal(err)
	}
	slot := make(map[int]arch.Addr)
	for _, s := range pl.Slots {
		slot[s.Sym] = s.Addr
		if got := word(t, pl, s.Addr); got != s.Value || s.Addr%8 != 0 {
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
		{name: "call of an import goes to its stub", section: 0, off: 4, want: stub},
		{name: "GOT load of an image object", section: 0, off: 8, want: slot[symState]},
		{name: "address of a payload table", section: 0, off: 16, want: pl.SymAddr[symTable]},
		{name: "GOT load of a weak import", section: 0, off: 24, want: slot[symTrace]},
		{name: "call of an added function", section: 0, off: 32, want: pl.SymAddr[symHelper]},
		{name: "a replaced function is called at version 0", section: 0, off: 36, want: testBias + 0x1200},
		{name: "counter in bss", section: 1, off: 0, want: pl.SymAddr[symCounter] + 4},
	}
	for _, tt := range tests {
		code := pl.Section(p, tt.section)
		at := pl.Base + arch.Addr(pl.Layout.Sections[tt.section]+tt.off)
		if got := names(t, a, code[tt.off:], at); got != tt.want || got == 0 {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
	want, err := a.Jump.Stub(stub, slot[symStrtoul])
	if err != nil {
		t.Fatal(err)
	}
	if got := pl.Bytes(stub, uint64(len(want))); !bytes.Equal(got, want) {
		t.Errorf("stub % x, want % x", got, want)
	}
	if got := word(t, pl, pl.SymAddr[symTable]+8); got != testBias+0x4018 {
		t.Errorf("table[1] %#x", got)
	}
}

// names returns the address that a branch leads to, or that an ADRP and what follows it name.
func names(t *testing.T, a *arch.Arch, code []byte, at arch.Addr) arch.Addr {
	t.Helper()
	in, err := a.Decode(code)
	if err != nil {
		t.Fatal(err)
	}
	if in.BrSize > 0 {
		return at + arch.Addr(in.Target)
	}
	user, err := a.Decode(code[in.Len:])
	if err != nil || in.Ops[0].Kind != arch.OpPage || user.Ops[0].Kind != arch.OpDisp {
		t.Fatalf("no pair: %+v, %+v, %v", in, user, err)
	}
	return at&^0xfff + arch.Addr(in.Ops[0].Value) + arch.Addr(user.Ops[0].Value)
}

// TestLinkErrorsArm64: what an instruction of arm64 cannot hold is an error that names it.
func TestLinkErrorsArm64(t *testing.T) {
	far := sampleResolver()
	far.bias = testBias - 1<<32
	tests := []struct {
		name string
		r    Resolver
		edit func(*Patch)
		want []string
	}{
		{name: "image out of reach of a branch", r: far, want: []string{"handle+0x24", "R_AARCH64_JUMP26", "against handle"}},
		{name: "object that is not aligned", edit: func(p *Patch) { p.Sections[1].Relocs[1].Addend = 2 },
			want: []string{"helper+0x4", "R_AARCH64_LDST32_ABS_LO12_NC", "not a multiple of 4"}},
		{name: "low part of an access of another size", edit: func(p *Patch) { p.Sections[1].Relocs[1].Type = uint32(elf.R_AARCH64_LDST64_ABS_LO12_NC) },
			want: []string{"helper+0x4", "not an instruction that this relocation is for"}},
		{name: "page out of reach", edit: func(p *Patch) { p.Sections[0].Relocs[3].Addend = 1 << 33 },
			want: []string{"handle+0x10", "R_AARCH64_ADR_PREL_PG_HI21"}},
		{name: "thread-local offset", edit: func(p *Patch) { p.Sections[0].Relocs[4].Type = uint32(elf.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC) },
			want: []string{"not one of a patch", "R_AARCH64_TLSLE_ADD_TPREL_LO12_NC"}},
		{name: "relocation of x86-64", edit: func(p *Patch) { p.Sections[0].Relocs[4].Type = uint32(elf.R_X86_64_PLT32) }, want: []string{"not known for arm64"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := sampleArm64(t)
			if tt.edit != nil {
				tt.edit(p)
			}
			if tt.r == nil {
				tt.r = sampleResolver()
			}
			pl, err := Link(p, testBase, tt.r)
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

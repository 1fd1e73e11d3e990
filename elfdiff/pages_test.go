package elfdiff

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// codeA64 is the code of instructions of arm64.
func codeA64(words ...uint32) (code []byte) {
	for _, w := range words {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	return code
}

// bodyA64 is a body of such instructions; each reference is to the only operand of the one that Ref.Inst says.
func bodyA64(t *testing.T, refs []image.Ref, pages []image.PageUse, words ...uint32) *image.Body {
	t.Helper()
	b := &image.Body{Atom: &image.Atom{Name: "f", Addr: 0x1000, Size: uint64(4 * len(words))}, Code: codeA64(words...), Refs: refs, Pages: pages}
	for k, w := range words {
		in, err := arm64.Arch.Decode(codeA64(w))
		if err != nil {
			t.Fatal(err)
		}
		i := image.Inst{Off: uint32(4 * k), Target: -1, Len: 4, Flow: in.Flow, Nop: arm64.Arch.IsNop(codeA64(w), &in)}
		if in.BrSize > 0 {
			i.Target = int32(k) + int32(in.Target/4)
		}
		b.Insts = append(b.Insts, i)
	}
	for i := range refs {
		refs[i].Off, refs[i].Size = uint32(4*refs[i].Inst), 4
	}
	for i := range pages {
		pages[i].Page.Atom = b.Atom
	}
	return b
}

// Instructions of the tests.
const (
	adrpX0   = 0x90000000 // adrp x0, .
	adrpX1   = 0x90000001 // adrp x1, .
	addX0X0  = 0x91000000 // add x0, x0, #0
	ldrW2X0  = 0xb9400002 // ldr w2, [x0]
	ldrW2X08 = 0xb9400802 // ldr w2, [x0, #8]
	ldrX0X0  = 0xf9400000 // ldr x0, [x0]
	ldrbW2X0 = 0x39400002 // ldrb w2, [x0]
	nopA64   = 0xd503201f
	adrX0    = 0x10000000 // adr x0, .
	retA64   = 0xd65f03c0
)

func TestGroupPages(t *testing.T) {
	for _, c := range []struct {
		name  string
		pages []image.PageUse
		want  []string // of each reference: the pages of its group, by the offsets of what makes them
	}{
		{name: "a pair", pages: []image.PageUse{{Ref: 0, Page: image.Target{Off: 0}}}, want: []string{"0"}},
		{name: "two users", pages: []image.PageUse{{Ref: 0, Page: image.Target{Off: 0}}, {Ref: 1, Page: image.Target{Off: 0}}}, want: []string{"0", "0"}},
		{name: "two makers", pages: []image.PageUse{{Ref: 0, Page: image.Target{Off: 0}}, {Ref: 0, Page: image.Target{Off: 4}}}, want: []string{"0 4"}},
		{name: "joined by a third", pages: []image.PageUse{
			{Ref: 0, Page: image.Target{Off: 0}}, {Ref: 1, Page: image.Target{Off: 4}}, {Ref: 2, Page: image.Target{Off: 0}}, {Ref: 2, Page: image.Target{Off: 4}},
		}, want: []string{"0 4", "0 4", "0 4"}},
		{name: "apart", pages: []image.PageUse{{Ref: 0, Page: image.Target{Off: 0}}, {Ref: 1, Page: image.Target{Off: 4}}}, want: []string{"0", "4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refs := []image.Ref{{Inst: 2}, {Inst: 3}, {Inst: 4}}[:len(c.want)]
			b := bodyA64(t, refs, c.pages, adrpX0, adrpX1, addX0X0, ldrW2X0, ldrW2X08)
			users := groupPages([]*image.Body{b})
			for i, want := range c.want {
				var offs []string
				for _, p := range users[&b.Refs[i]].group.pages {
					offs = append(offs, string(rune('0'+p.Off)))
				}
				slices.Sort(offs)
				if got := strings.Join(offs, " "); got != want {
					t.Errorf("reference %d: pages %s, want %s", i, got, want)
				}
			}
		})
	}
}

// emitterA64 has a section of code, and symbols to name: two of the image in one page and one in another, two objects of the patch and an import.
func emitterA64(b *image.Body) *emitter {
	d := &differ{}
	d.new.im = &image.Image{Arch: arm64.Arch}
	e := newEmitter(d)
	sec, sym := e.section(patch.Section{Name: ".text.f", Kind: patch.Text, Align: 16, Data: slices.Clone(b.Code), Size: uint64(len(b.Code))}, patch.Symbol{Name: "f"})
	e.bodies[b.Atom] = sym
	_ = sec
	e.symbols = append(e.symbols,
		patch.Symbol{Name: "low", Kind: patch.SymImage, Value: 0x20010}, patch.Symbol{Name: "near", Kind: patch.SymImage, Value: 0x20ff8},
		patch.Symbol{Name: "beyond", Kind: patch.SymImage, Value: 0x21000})
	e.section(patch.Section{Name: ".data.big", Kind: patch.Data, Align: 8, Size: 0x3000, Data: make([]byte, 0x3000)}, patch.Symbol{Name: "big"})
	e.section(patch.Section{Name: ".data.other", Kind: patch.Data, Align: 8, Size: 8, Data: make([]byte, 8)}, patch.Symbol{Name: "other"})
	e.symbols = append(e.symbols, patch.Symbol{Name: "puts", Kind: patch.SymImport})
	return e
}

// Symbols of emitterA64.
const (
	symLow = 1 + iota
	symNear
	symBeyond
	symBig
	symOther
	symPuts
)

// boundRef is a reference of a test, by what it is bound to.
type boundRef struct {
	ref    image.Ref
	whole  bool
	sym    int
	addend int64
}

// TestPages emits groups of pages with their users, and looks at the relocations, at sections' alignment, or at what is refused.
func TestPages(t *testing.T) {
	mem := func(inst int32, addr arch.ImageAddr) image.Ref {
		return image.Ref{Inst: inst, Kind: image.RefMem, Width: 4, Place: image.Place{Kind: image.PlaceAtom, Addr: addr}}
	}
	add := func(inst int32, addr arch.ImageAddr) image.Ref {
		return image.Ref{Inst: inst, Kind: image.RefAddr, Place: image.Place{Kind: image.PlaceAtom, Addr: addr}}
	}
	slot := func(inst int32) image.Ref {
		return image.Ref{Inst: inst, Kind: image.RefMem, Width: 8, Place: image.Place{Kind: image.PlaceImport, ViaSlot: true, Addr: 0x1fff8}}
	}
	for _, c := range []struct {
		name  string
		code  []uint32
		users []boundRef
		want  string // types, symbols and addends, or what the refusal says after "!"
		align uint64 // of the section of big; 0: as it was
		disp  int64  // of the third instruction
	}{
		{name: "a pair", code: []uint32{adrpX0, addX0X0}, users: []boundRef{{ref: add(1, 0x20010), sym: symLow}},
			want: "ADD_ABS_LO12_NC low; ADR_PREL_PG_HI21 low"},
		{name: "two of one page", code: []uint32{adrpX0, addX0X0, ldrW2X0}, users: []boundRef{
			{ref: add(1, 0x20010), sym: symLow}, {ref: mem(2, 0x20ff8), sym: symNear}},
			want: "ADD_ABS_LO12_NC low; LDST32_ABS_LO12_NC near; ADR_PREL_PG_HI21 low"},
		{name: "two of two pages", code: []uint32{adrpX0, addX0X0, ldrW2X0}, users: []boundRef{
			{ref: add(1, 0x20010), sym: symLow}, {ref: mem(2, 0x21000), sym: symBeyond}}, want: "!one page of 4 KiB serves low+0x0 and beyond+0x0"},
		{name: "an object of the patch", code: []uint32{adrpX0, ldrW2X0, ldrW2X0}, users: []boundRef{
			{ref: mem(1, 0), sym: symBig, addend: 16}, {ref: mem(2, 0), sym: symBig, addend: 100}},
			want: "LDST32_ABS_LO12_NC big+16; LDST32_ABS_LO12_NC big+100; ADR_PREL_PG_HI21 big+16", align: 128},
		{name: "further into it", code: []uint32{adrpX0, ldrW2X0, ldrW2X0}, users: []boundRef{
			{ref: mem(1, 0), sym: symBig, addend: 0x1010}, {ref: mem(2, 0), sym: symBig, addend: 0x1ff0}},
			want: "LDST32_ABS_LO12_NC big+4112; LDST32_ABS_LO12_NC big+8176; ADR_PREL_PG_HI21 big+4112", align: 4096},
		{name: "two pages of it", code: []uint32{adrpX0, ldrW2X0, ldrW2X0}, users: []boundRef{
			{ref: mem(1, 0), sym: symBig, addend: 0xff0}, {ref: mem(2, 0), sym: symBig, addend: 0x1000}}, want: "!which are not in one page of the patch"},
		{name: "of the patch and the image", code: []uint32{adrpX0, ldrW2X0, ldrW2X0}, users: []boundRef{
			{ref: mem(1, 0), sym: symBig}, {ref: mem(2, 0x20010), sym: symLow}}, want: "!one page of 4 KiB serves big+0x0 and low+0x0"},
		{name: "two of the patch", code: []uint32{adrpX0, ldrW2X0, ldrW2X0}, users: []boundRef{
			{ref: mem(1, 0), sym: symBig}, {ref: mem(2, 0), sym: symOther}}, want: "!one page of 4 KiB serves big+0x0 and other+0x0"},
		{name: "a slot", code: []uint32{adrpX0, ldrX0X0}, users: []boundRef{{ref: slot(1), sym: symPuts}},
			want: "LD64_GOT_LO12_NC puts; ADR_GOT_PAGE puts"},
		{name: "two slots", code: []uint32{adrpX0, ldrX0X0, ldrX0X0}, users: []boundRef{{ref: slot(1), sym: symPuts}, {ref: slot(2), sym: symLow}},
			want: "!one page of 4 KiB serves puts+0x0 and low+0x0"},
		{name: "another module's address", code: []uint32{adrpX0, addX0X0}, users: []boundRef{{ref: add(1, 0x700), sym: symPuts}},
			want: "!it takes the address of puts, which is in another module"},
		{name: "not aligned as it was", code: []uint32{adrpX0, ldrW2X0}, users: []boundRef{{ref: mem(1, 0x30000), sym: symLow, addend: 2}},
			want: "!it accesses low, which is not aligned in the running process as in the new build"},
		{name: "bytes need no alignment", code: []uint32{adrpX0, ldrbW2X0}, users: []boundRef{{ref: mem(1, 0x30000), sym: symLow, addend: 3}},
			want: "LDST8_ABS_LO12_NC low+3; ADR_PREL_PG_HI21 low+3"},
		{name: "no such instruction", code: []uint32{adrpX0, 0xa9400440}, users: []boundRef{{ref: mem(1, 0x20010), sym: symLow}},
			want: "!no relocation is for the instruction"},
		{name: "a distance from an anchor", code: []uint32{adrpX0, addX0X0, ldrW2X08}, users: []boundRef{
			{ref: add(1, 0x40000), sym: symLow}, {ref: mem(2, 0x40008), whole: true, sym: symNear}},
			want: "ADD_ABS_LO12_NC low; ADR_PREL_PG_HI21 low", disp: 0xfe8},
		{name: "an anchor behind", code: []uint32{adrpX0, addX0X0, ldrW2X08}, users: []boundRef{
			{ref: add(1, 0x40000), sym: symNear, addend: 16}, {ref: mem(2, 0x40008), whole: true, sym: symBeyond}},
			want: "ADD_ABS_LO12_NC near+16; ADR_PREL_PG_HI21 near+16", disp: -8},
		{name: "too far from the anchor", code: []uint32{adrpX0, addX0X0, ldrW2X08}, users: []boundRef{
			{ref: add(1, 0x40000), sym: symLow, addend: 2}, {ref: mem(2, 0x40008), whole: true, sym: symBeyond}}, want: "!a section anchor: it reaches beyond"},
		{name: "an anchor in the patch", code: []uint32{adrpX0, addX0X0, ldrW2X08}, users: []boundRef{
			{ref: add(1, 0x40000), sym: symBig}, {ref: mem(2, 0x40008), whole: true, sym: symLow}}, want: "!only one of them is in the patch"},
		{name: "within one object of the patch", code: []uint32{adrpX0, addX0X0, ldrW2X08}, users: []boundRef{
			{ref: add(1, 0x40000), sym: symBig}, {ref: mem(2, 0x40008), whole: true, sym: symBig, addend: 24}},
			want: "ADD_ABS_LO12_NC big; ADR_PREL_PG_HI21 big", disp: 24},
		{name: "from nowhere", code: []uint32{adrpX0, addX0X0, ldrW2X08}, users: []boundRef{
			{ref: add(1, 0x40000), sym: symLow}, {ref: mem(2, 0x50008), whole: true, sym: symNear}}, want: "!of which it cannot be told what it is"},
		{name: "a page that was made shorter", code: []uint32{adrX0, ldrW2X0}, users: []boundRef{{ref: mem(1, 0x20010), sym: symLow}},
			want: "LDST32_ABS_LO12_NC low; ADR_PREL_PG_HI21 low"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var refs []image.Ref
			var pages []image.PageUse
			for i, u := range c.users {
				refs = append(refs, u.ref)
				pages = append(pages, image.PageUse{Ref: int32(i), Whole: u.whole})
			}
			refs = append(refs, image.Ref{Kind: image.RefPage})
			b := bodyA64(t, refs, pages, append(c.code, retA64)...)
			e := emitterA64(b)
			got := emitUsers(t, e, b, c.users)
			if !strings.HasPrefix(c.want, "!") && got != c.want || !strings.HasPrefix(got, "!") == strings.HasPrefix(c.want, "!") ||
				!strings.Contains(got, strings.TrimPrefix(c.want, "!")) {
				t.Fatalf("got %s\nwant %s", got, c.want)
			}
			if got := e.sections[e.symbols[symBig].Section].Align; c.align != 0 && got != c.align {
				t.Errorf("aligned to %d, want %d", got, c.align)
			}
			if c.disp != 0 {
				if in, err := arm64.Decode(e.sections[0].Data[8:]); in.Imm != c.disp {
					t.Errorf("distance %d, %v; want %d", in.Imm, err, c.disp)
				}
			}
		})
	}
}

// emitUsers emits references as if they had been bound, and says what came of it.
func emitUsers(t *testing.T, e *emitter, b *image.Body, users []boundRef) string {
	t.Helper()
	e.pages, e.makers = groupPages([]*image.Body{b}), pageMakers(e.d.new.im, []*image.Body{b})
	var g *pageGroup
	for i, u := range users {
		r := &b.Refs[i]
		in, err := arm64.Arch.Decode(b.Code[r.Off:])
		if err != nil {
			t.Fatal(err)
		}
		f := &field{off: r.Off, ref: r, code: b.Code[r.Off : r.Off+4], in: &in}
		if err := e.pageField(f, e.pages[r], &r.Place, u.sym, u.addend); err != nil {
			return "!" + err.Error()
		}
		g = e.pages[r].group
	}
	if err := e.emitGroup(g); err != nil {
		return "!" + err.Error()
	}
	var out []string
	for _, r := range e.sections[0].Relocs {
		s := strings.TrimPrefix(elf.R_AARCH64(r.Type).String(), "R_AARCH64_") + " " + e.symbols[r.Sym].Name
		if r.Addend != 0 {
			s += "+" + number(r.Addend)
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// TestWideAt: pairs that lld made shorter are told, and others not.
func TestWideAt(t *testing.T) {
	for _, c := range []struct {
		name string
		kind image.PlaceKind
		code []uint32
		want []uint32 // nil: it is none
		n    int      // instructions of the canonical form
	}{
		{name: "an object", kind: image.PlaceAtom, code: []uint32{nopA64, adrX0, retA64}, want: []uint32{adrpX0, addX0X0}, n: 3},
		{name: "a constant", kind: image.PlaceAnon, code: []uint32{nopA64, adrX0, retA64}, want: []uint32{adrpX0, addX0X0}, n: 3},
		{name: "a label of its own", kind: image.PlaceSelf, code: []uint32{nopA64, adrX0, retA64}, n: 2},
		{name: "without a no-op", kind: image.PlaceAtom, code: []uint32{retA64, adrX0, retA64}, n: 3},
		{name: "a branch into it", kind: image.PlaceAtom, code: []uint32{nopA64, adrX0, 0x17ffffff}, n: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			refs := []image.Ref{{Inst: 1, Kind: image.RefAddr, Place: image.Place{Kind: c.kind}}}
			b := bodyA64(t, refs, nil, c.code...)
			if got, ok := wideAt(arm64.Arch, b, 1); ok != (c.want != nil) || !slices.Equal(got, codeA64(c.want...)) {
				t.Errorf("% x, %v", got, ok)
			}
			var x partIndex
			if n := x.number(arm64.Arch, b, 0); n != c.n {
				t.Errorf("%d instructions, want %d", n, c.n)
			}
		})
	}
}

package image

import (
	"testing"

	"hotpatch/arch"
)

// checkBody holds what every body promises.
func checkBody(t testing.TB, im *Image, b *Body) {
	t.Helper()
	end := uint32(0)
	for i, in := range b.Insts {
		overlap := i > 0 && in.Unlocked && in.Off == b.Insts[i-1].Off+1 && in.End() == b.Insts[i-1].End()
		if in.Off < end && !overlap || in.Unlocked && !overlap || int(in.End()) > len(b.Code) || in.Len == 0 || int(in.Target) >= len(b.Insts) || in.Target < -1 {
			t.Fatalf("%s: instruction %d is %+v", b.Atom.Name, i, in)
		}
		end = in.End()
	}
	for i := range b.Refs {
		r := &b.Refs[i]
		if i > 0 && (r.Inst < b.Refs[i-1].Inst || r.Off < b.Refs[i-1].Off) {
			t.Fatalf("%s: reference %d is out of order", b.Atom.Name, i)
		}
		in := b.Insts[r.Inst]
		if r.Off < in.Off || r.Off+uint32(r.Size) > in.End() || r.Size == 0 {
			t.Fatalf("%s: reference %+v lies outside its instruction %+v", b.Atom.Name, r, in)
		}
		checkPlace(t, im, &r.Place)
	}
	for _, g := range b.Gaps {
		if g.Len == 0 || uint64(g.Off)+uint64(g.Len) > uint64(len(b.Code)) {
			t.Fatalf("%s: gap %+v", b.Atom.Name, g)
		}
	}
	for _, tab := range b.Tables {
		if bytes, ok := im.Bytes(tab.Addr, tab.Size); !ok || tab.Size == 0 || len(bytes) != len(tab.Entries)*tab.EntrySize {
			t.Fatalf("%s: table %+v", b.Atom.Name, tab)
		}
		for _, e := range tab.Entries {
			to, err := im.Body(e.Atom)
			if err != nil || e.Atom.head() != b.Atom.head() || to.InstAt(int64(e.Off)) < 0 && uint64(e.Off) != e.Atom.Size {
				t.Fatalf("%s: table entry %+v is no instruction of the unit, nor the end of a part", b.Atom.Name, e)
			}
		}
	}
}

// checkPlace holds what every place promises.
func checkPlace(t testing.TB, im *Image, p *Place) {
	t.Helper()
	bad := p.Proven && p.Ambiguous()
	switch p.Kind {
	case PlaceAtom:
		bad = bad || p.Atom == nil || !p.ViaSlot && p.Import == nil && im.stubs[p.Addr] == nil && p.Atom.Addr+arch.ImageAddr(p.Addend) != p.Addr
	case PlaceSelf:
		bad = bad || p.Atom == nil || uint64(p.Addend) >= p.Atom.Size
	case PlaceImport:
		bad = bad || p.Import == nil
	case PlaceAnon:
		s := im.SectionAt(p.Addr)
		bad = bad || s == nil || s.Data == nil
	case PlaceLinker:
		bad = bad || p.Linker == ""
	case PlaceUnknown:
		bad = bad || p.Why == "" || p.Proven
	}
	if bad {
		t.Fatalf("place %s: %+v", describe(p), p)
	}
}

package elfdiff

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Nothing says where a constant without a symbol ends. A string is compared up to its NUL, an access as wide as
// it is; what follows and that no reference leads to may still belong to it: the second word of a list with NULs in
// between. Such unclaimed bytes of the two builds are compared as sets of pieces, since their order means
// nothing; where a piece is not in the other build, every function that refers to what stands in front of it differs.

// claim is a range of data that a reference accounts for.
type claim struct {
	start, end arch.ImageAddr
}

// unclaimed returns the pieces of read-only data without a symbol that no reference accounts for, each with
// the start of the last claim in front of it.
func (s *side) unclaimed() map[string][]arch.ImageAddr {
	claims := s.claims()
	pieces := make(map[string][]arch.ImageAddr)
	for i := range claims {
		c := &claims[i]
		sec := s.im.SectionAt(c.start)
		if sec == nil || sec.Data == nil {
			continue
		}
		end := sec.End()
		if i+1 < len(claims) {
			end = min(end, claims[i+1].start)
		}
		if c.end >= end {
			continue
		}
		for _, piece := range s.piecesIn(sec.Data[c.end-sec.Addr:end-sec.Addr], c.end) {
			pieces[piece] = append(pieces[piece], c.start)
		}
	}
	return pieces
}

// pointerPiece begins the pieces that are fields with places.
const pointerPiece = "pointer to "

// holdsPointer reports whether some data, claimed or not, has a field that is such a piece.
func (s *side) holdsPointer(piece string) bool {
	for _, sec := range s.im.Sections {
		if sec.Data == nil || sec.Exec() || sec.Type == elf.SHT_DYNAMIC {
			continue
		}
		refs := s.im.DataRefsIn(sec.Addr, sec.End())
		if slices.ContainsFunc(refs, func(r image.DataRef) bool { return !r.Place.Number && pointerPiece+s.leadsTo(&r.Place) == piece }) {
			return true
		}
	}
	return false
}

// piecesIn splits the data at an address at its zeros. A field that holds a place counts as what it leads to: its bytes
// differ wherever the place has moved.
func (s *side) piecesIn(data []byte, at arch.ImageAddr) []string {
	var out []string
	add := func(data []byte) {
		for _, piece := range bytes.Split(data, []byte{0}) {
			if len(piece) > 0 {
				out = append(out, string(piece))
			}
		}
	}
	done := uint64(0)
	for _, r := range s.im.DataRefsIn(at, at+arch.ImageAddr(len(data))) {
		if r.Place.Number || r.Off < done || r.Off+uint64(r.Size) > uint64(len(data)) {
			continue
		}
		add(data[done:r.Off])
		done = r.Off + uint64(r.Size)
		if to := s.leadsTo(&r.Place); to != "" {
			out = append(out, pointerPiece+to)
		}
	}
	add(data[done:])
	return out
}

// leadsTo describes a place that data holds, alike in two builds: its name, or the text that is there; "" if it has neither.
func (s *side) leadsTo(p *image.Place) string {
	switch {
	case p.Kind == image.PlaceAnon:
		if data, ok := s.im.Bytes(p.Addr, s.anonSize(p.Addr)); ok {
			t, _ := text(data)
			return t
		}
		return ""
	case p.Atom != nil:
		return fmt.Sprintf("%s%+d", stem(p.Atom.Name), p.Addend)
	case p.Kind == image.PlaceImport, p.Kind == image.PlaceLinker:
		return placeName(p)
	}
	return ""
}

// accessed lists the ranges of constants without a symbol that instructions access by their addresses, and the jump tables, by start.
func (s *side) accessed() []claim {
	s.accessOnce.Do(func() {
		for _, u := range slices.Concat(s.units, s.start) {
			for i := range u.refs {
				if r := &u.refs[i]; r.to == image.PlaceAnon && r.kind == image.RefMem && r.width > 0 {
					addr := u.addr(r)
					s.accesses = append(s.accesses, claim{addr, addr + arch.ImageAddr(r.width)})
				}
			}
			for _, t := range u.tables {
				s.accesses = append(s.accesses, claim{t.addr, t.addr + arch.ImageAddr(t.size)})
			}
		}
		slices.SortFunc(s.accesses, func(a, b claim) int { return cmp.Compare(a.start, b.start) })
	})
	return s.accesses
}

// claims lists the ranges that references to constants without a symbol account for, named objects and jump tables, by start; the end of each
// is at least that of those in front of it.
func (s *side) claims() []claim {
	hit := make(map[*image.Section]bool)
	var out []claim
	for _, c := range s.anonRefs() {
		// What is in .dynamic is the linker's own, and says where the rest of the file lies.
		if sec := s.im.SectionAt(c.start); sec != nil && sec.Data != nil && !sec.Exec() && sec.Type != elf.SHT_DYNAMIC {
			hit[sec] = true
			out = append(out, c)
		}
	}
	for _, sec := range s.im.Sections { // what stands in front of the first of them, or in a section that nothing refers to
		if sec.Data != nil && !sec.Exec() && (hit[sec] || sec.Name == ".rodata" || strings.HasPrefix(sec.Name, ".rodata.")) {
			hit[sec] = true
			out = append(out, claim{sec.Addr, sec.Addr})
		}
	}
	for _, a := range s.im.Atoms {
		if a.Kind == image.Object && hit[a.Section] {
			out = append(out, claim{a.Addr, a.End()})
		}
	}
	for _, u := range slices.Concat(s.units, s.start) {
		for _, t := range u.tables {
			out = append(out, claim{t.addr, t.addr + arch.ImageAddr(t.size)})
		}
	}
	slices.SortFunc(out, func(a, b claim) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	var end arch.ImageAddr
	for i := range out {
		end = max(end, out[i].end)
		out[i].end = end
	}
	return out
}

// anonRefs lists the constants without a symbol that code and data refer to, each as far as it is compared.
func (s *side) anonRefs() []claim {
	var out []claim
	seen := make(map[arch.ImageAddr]bool)
	taken := func(addr arch.ImageAddr) {
		if seen[addr] {
			return
		}
		seen[addr] = true
		size := s.anonSize(addr)
		if x, ok := s.im.AnonExtent(addr); ok && x.Text > 0 {
			if data, ok := s.im.Bytes(addr, size); ok {
				if t, ok := text(data); ok {
					size = uint64(len(t)) + 1
				}
			}
		}
		out = append(out, claim{addr, addr + arch.ImageAddr(size)})
	}
	for _, u := range slices.Concat(s.units, s.start) {
		for i := range u.refs {
			r := &u.refs[i]
			if r.to != image.PlaceAnon {
				continue
			}
			addr := u.addr(r)
			if r.kind == image.RefMem && r.width > 0 {
				out = append(out, claim{addr, addr + arch.ImageAddr(r.width)})
			} else {
				taken(addr)
			}
		}
	}
	for addr := range s.relTables {
		if s.im.AtomAt(addr) == nil {
			s.claimEntries(s.anon(addr), taken)
		}
	}
	for _, a := range s.im.Atoms {
		if s.relative(a) {
			s.claimEntries(a, taken)
		}
	}
	for _, addr := range s.takenData {
		if s.im.AtomAt(addr) == nil {
			taken(addr)
		}
	}
	return out
}

// claimEntries claims what the entries of a table of distances lead to.
func (s *side) claimEntries(table *image.Atom, claim func(arch.ImageAddr)) {
	for _, r := range s.im.RelativeRefs(table) {
		if r.Place.Kind == image.PlaceAnon {
			claim(r.Place.Addr)
		}
	}
}

// compareUnclaimed returns the functions of the new build, and of the old one, behind whose constants there is data
// that the other build does not have. What is behind the constants that named data leads to, or behind none, is a change of that data, or
// of its own.
func (d *differ) compareUnclaimed() map[*unit]bool {
	var old, new map[string][]arch.ImageAddr
	d.bothSides(func(s *side) {
		if s == &d.old {
			old = s.unclaimed()
		} else {
			new = s.unclaimed()
		}
	})
	found := make(map[*unit]bool)
	for _, x := range []struct {
		s, t          *side
		pieces, other map[string][]arch.ImageAddr
	}{{&d.old, &d.new, old, new}, {&d.new, &d.old, new, old}} {
		at := make(map[arch.ImageAddr]string) // a piece behind each address
		for piece, addrs := range x.pieces {
			if len(x.other[piece]) == 0 && !(strings.HasPrefix(piece, pointerPiece) && x.t.holdsPointer(piece)) {
				for _, a := range addrs {
					at[a] = max(at[a], piece)
				}
			}
		}
		if len(at) == 0 {
			continue
		}
		told := make(map[arch.ImageAddr]bool)
		for _, u := range x.s.units {
			for i := range u.refs {
				if r := &u.refs[i]; r.to == image.PlaceAnon && at[u.addr(r)] != "" {
					found[u] = true
					told[u.addr(r)] = true
				}
			}
		}
		if x.s == &d.new {
			d.unclaimedData(at, told)
		}
	}
	return found
}

// unclaimedData reports data behind constants without a name that no function refers to: at has a piece of it for each constant in front.
func (d *differ) unclaimedData(at map[arch.ImageAddr]string, told map[arch.ImageAddr]bool) {
	for _, b := range d.new.im.Atoms {
		a := d.rev.of(b)
		if b.Kind != image.Object || a == nil {
			continue
		}
		for _, r := range d.new.dataRefs(b) {
			if r.Place.Kind != image.PlaceAnon || at[r.Place.Addr] == "" {
				continue
			}
			told[r.Place.Addr] = true
			if d.objNew[b] == nil {
				o := &objChange{old: a, new: b, delta: objContent}
				if !readOnly(b) {
					o.delta = objInit
				}
				d.objects = append(d.objects, o)
				d.objNew[b] = o
				o.because(patch.ReasonContent, nil, "data behind a constant without a name that it leads to: %.60q", at[r.Place.Addr])
			}
		}
	}
	for _, addr := range slices.Sorted(maps.Keys(at)) {
		if told[addr] {
			continue
		}
		name := fmt.Sprintf("%s+%#x", d.new.im.SectionAt(addr).Name, uint64(addr-d.new.im.SectionAt(addr).Addr))
		d.other = append(d.other, patch.Change{What: "data", Name: name, Change: "changed", Verdict: patch.NeedAck, Ack: "data:" + name,
			Reasons: []patch.Reason{{Kind: patch.ReasonContent, Text: fmt.Sprintf("the old build does not have %.60q, somewhere behind it", at[addr])}},
			Why:     "no function and no data refers to it in a way that can be seen: whoever uses it goes on with what the old build has"})
	}
}

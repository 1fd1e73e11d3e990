package image

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
)

// evidence is what is known of the code that takes an address, for telling neighbours apart.
type evidence struct {
	// used are the addresses of data that the same unit refers to, sorted; the address in question occurs as often as
	// it is used.
	used []arch.ImageAddr
	use  func() pointerUse // how the address itself is used; nil: not known
	crt  bool              // the code belongs to the start files, which name linker symbols rather than objects
	code bool              // the address is in code; else in a word of data
}

// pointerUse returns how the address itself is used, as far as that is known.
func (c *evidence) pointerUse() pointerUse {
	if c.use == nil {
		return pointerUse{}
	}
	return c.use()
}

// refersTo reports whether the unit refers to a byte of a at another address than v.
func (c *evidence) refersTo(a *Atom, v arch.ImageAddr) bool {
	first, _ := slices.BinarySearch(c.used, a.Addr)
	end, _ := slices.BinarySearch(c.used, a.End())
	return first < end && (c.used[first] != v || c.used[end-1] != v)
}

// maxBefore is how many bytes in front of an object a compiler's biased base address may lie.
const maxBefore = 64

// addressPlace resolves an address that is taken, not accessed. If sym is not empty, a link-time
// relocation names it.
func (im *Image) addressPlace(v arch.ImageAddr, sym string, c *evidence) Place {
	if imp, ok := im.stubs[v]; ok {
		return im.importPlace(imp, v, false)
	}
	if sym != "" {
		if p, ok := im.namedPlace(v, sym); ok {
			return p
		}
	}
	p := Place{Kind: PlaceUnknown, Addr: v}
	var first *Atom // the likeliest candidate
	var room [4]*Atom
	cover := im.covering(room[:0], v)
	s := im.SectionAt(v)
	switch mark := im.linkerMark(v); {
	case len(cover) > 0 && cover[0].IsCode() && (cover[0].Addr != v || !isBoundMark(mark)):
		return Place{Kind: PlaceAtom, Atom: cover[0], Addend: int64(v - cover[0].Addr), Addr: v, Proven: cover[0].Addr == v}
	case mark != "" && (len(cover) == 0 || isBoundMark(mark) || c.crt):
		p = Place{Kind: PlaceLinker, Linker: mark, Addr: v, Proven: true}
		if len(cover) > 0 && (!cover[0].CRT && !c.crt || cover[0].IsCode()) {
			p.Proven, p.Candidates = false, []*Atom{cover[0]}
		}
		if im.sharesMark(v, mark) {
			p.Proven, p.Shared = false, true
		}
		if !c.crt {
			im.addBounded(&p)
		}
		return p
	case len(cover) > 0:
		p = Place{Kind: PlaceAtom, Atom: cover[0], Addend: int64(v - cover[0].Addr), Addr: v}
		first = cover[0]
		p.Candidates = dataAtoms(cover[1:])
	case s != nil && s.Exec():
		p.Why = fmt.Sprintf("code at %#x, which is in no function", uint64(v))
		return p
	case s != nil && s.Data != nil && !s.IsTLS() && !isGOT(s):
		p = Place{Kind: PlaceAnon, Addr: v}
	}
	im.addEnding(&p, c)
	im.addFollowing(&p, s, c)
	if first != nil && len(p.Candidates) > 0 {
		p.Candidates = slices.Insert(p.Candidates, 0, first)
	}
	return im.settle(p, s)
}

// dataAtoms returns those of the atoms that are data, in a slice of its own.
func dataAtoms(atoms []*Atom) []*Atom {
	var out []*Atom
	for _, a := range atoms {
		if !a.IsCode() {
			out = append(out, a)
		}
	}
	return out
}

// addEnding adds the objects that end at the place, if something speaks for them. One past the end is a bound: something compares
// with it, and starts from the object itself. That is evidence, not proof; where nothing speaks for an object nor against it,
// the place is Lone.
func (im *Image) addEnding(p *Place, c *evidence) {
	if p.Addr == 0 {
		return
	}
	var room [4]*Atom
	for _, a := range im.covering(room[:0], p.Addr-1) {
		if a.End() != p.Addr || a.IsCode() || IsUnwalked(a.Name) {
			continue
		}
		use := c.pointerUse()
		switch through := use.based && !use.compared; { // memory is accessed through it
		case p.Kind == PlaceUnknown, c.refersTo(a, p.Addr) && !through:
			p.Candidates = append(p.Candidates, a)
		case (!isScalarSize(a.Size) || p.Kind == PlaceAnon && !a.CRT) && !through && !c.refersToStart(p):
			p.Lone = true
		}
	}
}

// addBounded adds the objects that end where the linker put a symbol. Programs that name such a symbol are rare, loops up to the end of
// the last object of a section are not.
func (im *Image) addBounded(p *Place) {
	var room [4]*Atom
	for _, a := range im.covering(room[:0], p.Addr-1) {
		if a.End() == p.Addr && !a.IsCode() && !a.CRT && !IsUnwalked(a.Name) {
			p.Proven, p.Candidates = false, append(p.Candidates, a)
		}
	}
}

// refersToStart reports whether the unit also refers to other bytes of what starts at the place.
func (c *evidence) refersToStart(p *Place) bool {
	return p.Kind == PlaceAtom && (p.Addend != 0 || p.Atom.IsCode() || c.refersTo(p.Atom, p.Addr))
}

// isScalarSize reports whether an object has the size of a number or of a pointer, which nothing walks through to its end. An array may be as short.
func isScalarSize(n uint64) bool { return n <= maxScalar && n&(n-1) == 0 }

// maxScalar is the size in bytes up to which an object counts as a scalar, which nothing walks through to its end.
const maxScalar = 8

// IsUnwalked reports whether an object is one that no program can walk through: what __func__ and its like stand for, and what the compiler
// makes and the source does not name: guards of function-local statics, virtual tables and their tables, type_info and its names (Itanium
// C++ ABI, 3.3.2, 5.1.2 and 5.1.4.1).
func IsUnwalked(name string) bool {
	for _, prefix := range []string{"_ZGV", "_ZTV", "_ZTT", "_ZTC", "_ZTI", "_ZTS", "__func__", "__FUNCTION__", "__PRETTY_FUNCTION__"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// addFollowing adds the object that starts shortly behind the place, if the place may be its biased base (arr - 8).
func (im *Image) addFollowing(p *Place, s *Section, c *evidence) {
	i := im.index.after(p.Addr)
	if i == len(im.index.atoms) || s == nil || !c.code {
		return
	}
	q := im.index.atoms[i]
	if q.IsCode() || q.Section != s || q.Addr-p.Addr > maxBefore {
		return
	}
	switch {
	case p.Kind == PlaceUnknown:
	case p.Kind == PlaceAnon:
		if !im.hole(p.Addr, q.Addr, s) {
			return
		}
	case p.Addend == 0:
		// An object starts here. Only a scalar that is used with an index speaks against it.
		if p.Atom.Size > maxScalar || !c.pointerUse().indexed {
			return
		}
	default:
		if c.refersTo(p.Atom, p.Addr) && !c.refersTo(q, p.Addr) {
			return
		}
	}
	p.Candidates = append(p.Candidates, q)
}

// hole reports whether [start, end) may be padding rather than a constant: zero bytes, of which nothing but the
// start is referred to.
func (im *Image) hole(start, end arch.ImageAddr, s *Section) bool {
	if s.Data == nil || im.places.next(start, end) != end || len(im.DynRelocs(start, end)) > 0 {
		return false
	}
	return allZero(s.Data[start-s.Addr : end-s.Addr])
}

// settle decides a place for which several or no readings were found.
func (im *Image) settle(p Place, s *Section) Place {
	if p.Kind == PlaceUnknown && len(p.Candidates) > 0 {
		p.Kind, p.Atom = PlaceAtom, p.Candidates[0]
		p.Addend = int64(p.Addr - p.Atom.Addr)
	}
	if p.Kind == PlaceAtom && len(p.Candidates) == 1 {
		p.Candidates = nil // the atom itself
	}
	if p.Kind != PlaceUnknown {
		return p
	}
	if s != nil && s.Addr == p.Addr && !s.IsTLS() {
		return Place{Kind: PlaceLinker, Linker: "section " + s.Name, Addr: p.Addr}
	}
	p.Why = fmt.Sprintf("%#x is in no section", uint64(p.Addr))
	if s != nil {
		p.Why = fmt.Sprintf("%#x in %s is in no object", uint64(p.Addr), s.Name)
	}
	return p
}

// namedPlace resolves an address by the symbol of its link-time relocation.
func (im *Image) namedPlace(v arch.ImageAddr, sym string) (Place, bool) {
	if isLinkerName(sym) {
		return Place{Kind: PlaceLinker, Linker: sym, Addr: v, Proven: true}, true
	}
	var best *Atom
	for a := range im.index.names.named(sym) {
		if best == nil || distance(v, a) < distance(v, best) {
			best = a
		}
	}
	if best == nil || best.Kind == TLSObject {
		return Place{}, false
	}
	return Place{Kind: PlaceAtom, Atom: best, Addend: int64(v - best.Addr), Addr: v, Proven: true}, true
}

// distance is how far v lies outside a.
func distance(v arch.ImageAddr, a *Atom) uint64 {
	switch {
	case v < a.Addr:
		return uint64(a.Addr - v)
	case v > a.End():
		return uint64(v - a.End())
	}
	return 0
}

// holder returns the data atom of those that cover v that holds an access of width bytes. Several may, where symbols overlap: then it
// is ambiguous.
func holder(cover []*Atom, v arch.ImageAddr, width uint64) (Place, bool) {
	var p Place
	for _, a := range cover {
		if a.IsCode() || uint64(a.End()-v) < width {
			continue
		}
		if p.Atom == nil {
			p = Place{Kind: PlaceAtom, Atom: a, Addend: int64(v - a.Addr), Addr: v, Proven: true}
			continue
		}
		if p.Proven {
			p.Proven, p.Candidates = false, []*Atom{p.Atom}
		}
		p.Candidates = append(p.Candidates, a)
	}
	return p, p.Atom != nil
}

// accessPlace resolves a memory access of width bytes at v.
func (im *Image) accessPlace(v arch.ImageAddr, width uint64, sym string, c *evidence) Place {
	var room [4]*Atom
	cover := im.covering(room[:0], v)
	if sym != "" && len(cover) > 1 {
		if p, ok := im.namedPlace(v, sym); ok {
			return p
		}
	}
	if p, ok := holder(cover, v, width); ok {
		return p
	}
	s := im.SectionAt(v)
	if len(cover) == 0 && s != nil && s.Exec() {
		return Place{Kind: PlaceAnon, Addr: v, Proven: true} // a table that hand-written code keeps beside itself
	}
	p := im.addressPlace(v, sym, c)
	if p.Kind == PlaceAtom && p.Atom.IsCode() {
		return p // data among the code of a hand-written function
	}
	if p.Kind == PlaceAtom && sym == "" {
		return Place{Kind: PlaceUnknown, Addr: v, Why: fmt.Sprintf("access to %d bytes at %#x, which %s+%#x does not hold",
			width, uint64(v), p.Atom.Name, uint64(p.Addend))}
	}
	if p.Kind == PlaceAnon {
		p.Candidates, p.Lone, p.Proven = nil, false, !s.Writable()
	}
	return p
}

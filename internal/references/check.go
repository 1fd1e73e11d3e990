package references

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// checker is one comparison.
type checker struct {
	im      *image.Image
	relocs  []relocation // by field
	symbols *symbols     // of the twin
	tally   *Tally
}

func (c *checker) wrong(a *image.Atom, field arch.ImageAddr, format string, args ...any) {
	c.tally.Wrong = append(c.tally.Wrong, fmt.Sprintf("%s+%#x: ", a.Name, uint64(field-a.Addr))+fmt.Sprintf(format, args...))
}

// function compares the fields of a function's instructions.
func (c *checker) function(a *image.Atom) {
	relocs := slices.DeleteFunc(slices.Clone(c.in(a.Addr, a.End())), func(r relocation) bool { return r.role == marker })
	body, err := c.im.Body(a)
	if err != nil {
		c.tally.References += len(relocs)
		c.tally.Undecoded += len(relocs)
		return
	}
	refs := make(map[arch.ImageAddr]*image.Ref)
	for i := range body.Refs {
		r := &body.Refs[i]
		if r.Place.Kind != image.PlaceNone && r.Kind != image.RefPage {
			refs[a.Addr+arch.ImageAddr(r.Off)] = r
		}
	}
	for i := range relocs {
		r := &relocs[i]
		c.tally.References++
		if r.role == page || r.role == threadPage {
			c.page(a, body, r)
			continue
		}
		ref := refs[r.field]
		delete(refs, r.field)
		if ref == nil {
			c.missing(a, body, r)
			continue
		}
		if r.sym == "__tls_get_addr" && ref.Place.Kind == image.PlaceTLS && c.rewritten(r.field) {
			c.tally.Dead++ // the call that the linker replaced by the address itself
			continue
		}
		c.compare(a, &ref.Place, r)
	}
	for field, ref := range refs {
		// What stays within a section needs no relocation: the assembler has resolved it, and the field is the truth.
		if s := c.im.SectionAt(ref.Place.Addr); s != nil && s.Exec() && s == c.im.SectionAt(field) {
			c.tally.Local++
		} else if c.anchored(relocs, ref) {
			c.tally.Anchored++
		} else if !ref.Place.Number && !c.rewritten(field) {
			c.wrong(a, field, "%s at %#x, of which the linker knows nothing", describe(&ref.Place), uint64(ref.Place.Addr))
		}
	}
}

// anchored reports whether a reference counts from the address of another object, which the compiler has laid out in one section with the
// reference's: gcc's section anchors; or from a thread-local one's. The address is one that a relocation of the function gives, and a distance
// that an instruction has room for.
func (c *checker) anchored(relocs []relocation, ref *image.Ref) bool {
	const reach = 1 << 16 // bytes: more than 4095 times the 16 of the largest access (Arm ARM, C6.2, "LDR (immediate)", unsigned offset)
	if ref.Place.Kind == image.PlaceTLS {
		return slices.ContainsFunc(relocs, func(r relocation) bool { return r.role == thread && (r.sym == "" || has(ref.Place.Atom, r.sym)) })
	}
	s := c.im.SectionAt(ref.Place.Addr)
	return (ref.Kind == image.RefMem || ref.Kind == image.RefAddr) && s != nil && slices.ContainsFunc(relocs, func(r relocation) bool {
		base := r.value + arch.ImageAddr(r.addend)
		return r.role == address && r.sym == "" && c.im.SectionAt(base) == s && ref.Place.Addr-base+reach < 2*reach
	})
}

// page compares the page that an instruction makes with what its partners name: every one must be in it, and there must be one.
func (c *checker) page(a *image.Atom, body *image.Body, r *relocation) {
	k := body.InstAt(int64(r.field - a.Addr))
	i := slices.IndexFunc(body.Refs, func(ref image.Ref) bool { return ref.Kind == image.RefPage && int(ref.Inst) == k })
	switch {
	case k < 0 || i < 0 && (r.role == threadPage || body.Insts[k].Nop): // the linker has rewritten it
		c.tally.Dead++
		return
	case i < 0 || body.Refs[i].Place.Kind == image.PlaceUnknown:
		c.tally.Unresolved++
		return
	}
	partners := 0
	for p := range c.partners(a, r.field) {
		partners++
		if !c.inPage(p, r) && !c.names(p, r) && !(r.sym == "" && !r.undef && c.sameAddress(p, r)) {
			c.wrong(a, r.field, "the page of %s at %#x, the linker says %s (%#x)%+d", describe(p), uint64(p.Addr), r.sym, uint64(r.value), r.addend)
			return
		}
	}
	if partners == 0 {
		c.tally.Unresolved++
		return
	}
	c.tally.Pages++
}

// inPage reports whether a place is in the page of the relocation's address.
func (c *checker) inPage(p *image.Place, r *relocation) bool {
	const size = 4096 // bytes, whatever the system's pages are (Arm ARM, C6.2, "ADRP")
	return !p.ViaSlot && !r.undef && p.Addr/size == (r.value+arch.ImageAddr(r.addend))/size
}

// partners are the places of the references that the code of the unit makes of a page.
func (c *checker) partners(a *image.Atom, field arch.ImageAddr) iter.Seq[*image.Place] {
	return func(yield func(*image.Place) bool) {
		head := a
		if a.Parent != nil {
			head = a.Parent
		}
		for _, part := range append([]*image.Atom{head}, head.Parts...) {
			body, err := c.im.Body(part)
			if err != nil {
				continue
			}
			for _, u := range body.Pages {
				if !u.Whole && u.Page.Atom.Addr+arch.ImageAddr(u.Page.Off) == field && !yield(&body.Refs[u.Ref].Place) {
					return
				}
			}
		}
	}
}

// rewritten reports whether a field is in a thread-local access that the linker has rewritten: its fields are at other places than the relocations.
func (c *checker) rewritten(field arch.ImageAddr) bool {
	const reach = 16 // bytes of the longest rewritten sequence
	return slices.ContainsFunc(c.in(field-reach, field+reach), func(r relocation) bool { return r.role == thread || r.role == threadPage })
}

// missing counts a relocation at which no reference was found.
func (c *checker) missing(a *image.Atom, body *image.Body, r *relocation) {
	off := uint32(r.field - a.Addr)
	i := slices.IndexFunc(body.Insts, func(in image.Inst) bool { return in.Off <= off && off < in.End() })
	switch {
	case i < 0 || r.role == thread:
		c.tally.Dead++
	case body.Insts[i].Target >= 0: // a branch within the function, whose target is the instruction's own
		c.tally.Address++
	default:
		c.tally.Unresolved++
	}
}

// object compares the words of an object that hold addresses.
func (c *checker) object(a *image.Atom) {
	refs := make(map[arch.ImageAddr]image.DataRef)
	for _, r := range c.im.DataRefs(a) {
		refs[a.Addr+arch.ImageAddr(r.Off)] = r
	}
	for _, r := range c.in(a.Addr, a.End()) {
		if r.role != word {
			continue
		}
		c.tally.References++
		if ref, ok := refs[r.field]; ok {
			c.compare(a, &ref.Place, &r)
		} else {
			c.tally.Unresolved++
		}
	}
}

// compare compares a place with what the relocation says.
func (c *checker) compare(a *image.Atom, p *image.Place, r *relocation) {
	switch {
	case p.Kind == image.PlaceUnknown:
		c.tally.Unresolved++
	case r.sym == "" && !r.undef:
		if p.Kind != image.PlaceTLS && !c.sameAddress(p, r) {
			c.wrong(a, r.field, "%s at %#x, the linker says %#x%+d", describe(p), uint64(p.Addr), uint64(r.value), r.addend)
			return
		}
		c.static(a, p, r)
	case c.names(p, r):
		c.tally.Named++
	case c.reads(p, r):
		c.tally.Ambiguous++
	default:
		c.wrong(a, r.field, "%s, the linker says %s (%#x)%+d", describe(p), r.sym, uint64(r.value), r.addend)
	}
}

// static compares a place, whose address is right, with what the twin's symbols have at that address.
func (c *checker) static(a *image.Atom, p *image.Place, r *relocation) {
	at := placeAddr(p)
	names := c.symbols.covering(at)
	switch {
	case p.Kind == image.PlaceTLS || len(names) == 0:
		c.tally.Address++
	case p.Atom == nil:
		c.wrong(a, r.field, "%s at %#x, where the linker has %s", describe(p), uint64(at), strings.Join(names, ", "))
	case slices.ContainsFunc(names, func(n string) bool { return has(p.Atom, n) }):
		c.tally.Static++
	case at < p.Atom.Addr || at >= p.Atom.End():
		c.tally.Beside++
	default:
		c.wrong(a, r.field, "%s, the linker has %s there", describe(p), strings.Join(names, ", "))
	}
}

// placeAddr is the address of a place, and of what a slot leads to.
func placeAddr(p *image.Place) arch.ImageAddr {
	if p.ViaSlot && p.Atom != nil {
		return p.Atom.Addr + arch.ImageAddr(p.Addend)
	}
	return p.Addr
}

// sameAddress reports whether the place has the address of the relocation.
func (c *checker) sameAddress(p *image.Place, r *relocation) bool {
	if p.ViaSlot && p.Atom == nil {
		return false
	}
	return sameDistance(int64(placeAddr(p)-r.value), r)
}

// sameDistance reports whether d bytes behind the symbol are what the relocation says: S + A, as its type counts.
func sameDistance(d int64, r *relocation) bool { return r.role.skew(d - r.addend) }

// names reports whether the place is the relocation's symbol. The place's addend is that of the relocation if both have the same address.
func (c *checker) names(p *image.Place, r *relocation) bool {
	switch p.Kind {
	case image.PlaceImport:
		return p.Import.Name == r.sym
	case image.PlaceTLS:
		return p.Import != nil && p.Import.Name == r.sym || has(p.Atom, r.sym)
	case image.PlaceLinker:
		return p.Linker == r.sym || c.markAt(r.sym, p.Addr)
	case image.PlaceAtom, image.PlaceSelf:
		return has(p.Atom, r.sym) && sameDistance(p.Addend, r)
	case image.PlaceTable, image.PlaceAnon:
		return r.noType && c.sameAddress(p, r) // a label in assembly
	}
	return false
}

// markAt reports whether the linker defines a symbol at an address.
func (c *checker) markAt(name string, addr arch.ImageAddr) bool {
	at, ok := c.im.LinkerSymbol(name)
	return ok && at == addr
}

// reads reports whether the relocation's symbol is one of the readings of a place that is not certain.
func (c *checker) reads(p *image.Place, r *relocation) bool {
	if p.Proven || !p.Ambiguous() && !p.Lone {
		return false
	}
	for _, a := range p.Candidates {
		if has(a, r.sym) {
			return true
		}
	}
	return p.Shared || p.Lone && slices.ContainsFunc(c.im.EndingAt(p.Addr), func(a *image.Atom) bool { return has(a, r.sym) })
}

// has reports whether an atom has a name.
func has(a *image.Atom, name string) bool {
	return a != nil && (a.Name == name || slices.ContainsFunc(a.Syms, func(s image.Symbol) bool {
		n, _, _ := strings.Cut(s.Name, "@")
		return n == name
	}))
}

func describe(p *image.Place) string {
	s := p.Kind.String()
	if p.Atom != nil {
		s += fmt.Sprintf(" %s%+d", p.Atom.Name, p.Addend)
	}
	if p.Import != nil {
		s += " " + p.Import.Name
	}
	return strings.TrimSpace(s + " " + p.Linker)
}

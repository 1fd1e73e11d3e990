package elfdiff

import (
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// A word of data that holds an address was written by the compiler as the source has it: it lies in the object that is meant or is that object's
// end (C17 6.5.6), as in a table of {name, begin, end}. Nothing accesses memory through it here, so that the old build's same word is all that can
// tell the end of one object from the start of the next.

// wordAt is a word of an object that is carried, or that gets new content where it is.
type wordAt struct {
	holder *image.Atom // of the new build; one without an ID is a constant without a name
	off    uint64      // bytes from its start
}

// weighWord decides what an address means that a word of data holds, as [emitter.weigh] does for code.
func (e *emitter) weighWord(holder *image.Atom, r *image.DataRef) (*image.Place, error) {
	p := &r.Place
	if p.Proven || p.ViaSlot || !mayLieBeside(p.Kind, p.Atom, p.Number) {
		return p, nil
	}
	d := &doubt{e: e, place: p, word: &wordAt{holder, r.Off}, plain: true}
	d.readings = besideData(e.d.new.im, holder, p.Addr)
	return d.settle()
}

// besideData lists the objects that a word of data may be meant for: those that hold the address or end there, and that the source of the word
// can name.
func besideData(im *image.Image, holder *image.Atom, addr arch.ImageAddr) []*image.Atom {
	var out []*image.Atom
	for _, a := range im.Near(addr, 0) {
		inside := addr >= a.Addr && addr < a.End()
		if isNeighbour(a) && (inside || !image.IsUnwalked(a.Name) && mayName(holder, a)) {
			out = append(out, a)
		}
	}
	return out
}

// formerWord returns what the same word of the old build leads to; nil if there is none, or if it holds no address of the old build.
func (e *emitter) formerWord(w *wordAt) *image.Place {
	old := e.d.rev.of(w.holder)
	if old == nil {
		return nil
	}
	refs := e.d.old.dataRefs(old)
	i := slices.IndexFunc(refs, func(r image.DataRef) bool { return r.Off == w.off })
	if i < 0 {
		return nil
	}
	p := &refs[i].Place
	if p.Kind == image.PlaceImport || p.Kind == image.PlaceUnknown && !p.Number {
		return nil
	}
	return p
}

// copiesOthers reports whether the object also holds addresses of constants without a name, of which the payload has copies: an address beside
// such a one could be its end.
func (e *emitter) copiesOthers(w *wordAt) bool {
	return slices.ContainsFunc(e.d.new.dataRefs(w.holder), func(r image.DataRef) bool {
		return r.Place.Kind == image.PlaceAnon && r.Off != w.off
	})
}

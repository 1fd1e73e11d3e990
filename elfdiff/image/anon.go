package image

import (
	"bytes"
	"debug/elf"
	"unicode/utf8"

	"hotpatch/arch"
)

// Extent bounds a constant without a symbol.
type Extent struct {
	Section *Section
	// Next is the distance to the next address that anything refers to, or to the end of the section: the constant
	// is not longer, unless something refers into its middle, as to the tail of a string.
	Next uint64
	// Text is the length, with its NUL, of the text that starts here; 0 if what stands here is not text.
	Text uint64
	// Strings is set for sections that hold nothing but mergeable strings (SHF_MERGE and SHF_STRINGS).
	Strings bool
}

// AnonExtent bounds the constant at addr. It is false if the file holds no bytes there.
func (im *Image) AnonExtent(addr arch.ImageAddr) (Extent, bool) {
	s := im.SectionAt(addr)
	if s == nil || s.Data == nil {
		return Extent{}, false
	}
	limit := s.End()
	if i := im.index.after(addr); i < len(im.index.atoms) && im.index.atoms[i].Addr < limit {
		limit = im.index.atoms[i].Addr
	}
	const strs = elf.SHF_MERGE | elf.SHF_STRINGS
	return Extent{
		Section: s,
		Next:    uint64(im.places.next(addr, limit) - addr),
		Text:    textLen(s.Data[addr-s.Addr : limit-s.Addr]),
		Strings: s.Flags&strs == strs,
	}, true
}

// textLen returns the length of the NUL-terminated text at the start of b, with its NUL, or 0.
func textLen(b []byte) uint64 {
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		return 0
	}
	for t := b[:n]; len(t) > 0; {
		r, size := utf8.DecodeRune(t)
		if r == utf8.RuneError && size == 1 || r < ' ' && (r < '\a' || r > '\r') && r != '\x1b' || r == 0x7f {
			return 0
		}
		t = t[size:]
	}
	return uint64(n) + 1
}

// IsText reports whether a text stands at an address, up to its NUL: of one character at least, or the empty end of another one.
func (im *Image) IsText(addr arch.ImageAddr) bool {
	x, ok := im.AnonExtent(addr)
	switch {
	case !ok || x.Text == 0:
		return false
	case x.Text > 1:
		return true
	}
	before, ok := im.Bytes(addr-1, 1)
	return ok && (before[0] >= ' ' && before[0] < 0x7f || before[0] >= '\a' && before[0] <= '\r')
}

package elfdiff

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// objDelta says in what an object differs.
type objDelta uint8

const (
	objContent objDelta = iota // constant: content, equal size
	objResized                 // constant: size
	objInit                    // variable: initial value
	objGrown                   // variable: more bytes
	objShrunk                  // variable: fewer bytes
	objMoved                   // between read-only and writable memory
	objLabels                  // table of labels of a function: content
	objAdded
	objRemoved
	objTLS     // thread-local: size
	objTLSInit // thread-local: initial value
	objStays   // one that would get a new place, and all functions that refer to it are left out of the patch
)

// objChange is a data object that differs.
type objChange struct {
	old, new *image.Atom // one of them may be nil
	delta    objDelta
	beside   []string // functions that may mean one with a new place by an address beside it, and by which; see readersBeside
	longer   bool     // a variable that grew is shown to be the old one with more behind its end
	entry
	verdict
}

// moves reports whether the object gets a new place, so that its direct readers must be in the patch.
func (o *objChange) moves() bool {
	switch o.delta {
	case objResized, objGrown, objLabels:
		return true
	case objMoved:
		return o.old.Section != nil && o.new.Section != nil
	}
	return false
}

// inPlace reports whether the object gets new content where it is: a constant, or the initial value that threads copy when they start,
// if both builds' files hold it.
func (o *objChange) inPlace() bool {
	if o.delta == objTLSInit {
		return !o.old.Section.NoBits() && !o.new.Section.NoBits()
	}
	return o.delta == objContent
}

// readOnly reports whether an object is constant once the dynamic linker has relocated it.
func readOnly(a *image.Atom) bool {
	return a.Section != nil && !a.Section.Writable() && !a.Section.NoBits()
}

// compareObjects compares every data object with its partner.
func (d *differ) compareObjects() {
	for _, a := range d.old.im.Atoms {
		if c := classOf(a); (c != classObject && c != classTLS) || a.CRT {
			continue
		}
		b := d.fwd.of(a)
		if b == nil {
			d.objects = append(d.objects, &objChange{old: a, delta: objRemoved})
			continue
		}
		if delta, differs := d.compareObject(a, b); differs {
			o := &objChange{old: a, new: b, delta: delta}
			d.objects = append(d.objects, o)
			d.objNew[b] = o
		}
	}
	for _, b := range d.new.im.Atoms {
		if c := classOf(b); (c != classObject && c != classTLS) || b.CRT || d.rev.of(b) != nil {
			continue
		}
		o := &objChange{new: b, delta: objAdded}
		d.objects = append(d.objects, o)
		d.objNew[b] = o
	}
}

func (d *differ) compareObject(a, b *image.Atom) (objDelta, bool) {
	if a.Kind == image.TLSObject {
		if a.Size != b.Size { // where it lies does not matter: accesses are rebound
			return objTLS, true
		}
		return objTLSInit, !d.objectContentEqual(a, b)
	}
	if a.Section == nil || b.Section == nil {
		return objMoved, a.Size != b.Size
	}
	ro := !a.Section.Writable()
	equal := a.Size == b.Size && d.objectContentEqual(a, b) && !d.wordExchanged(a, b)
	switch {
	case ro != !b.Section.Writable():
		return objMoved, true
	case equal:
		return 0, false
	case d.new.holdsLabels(b):
		return objLabels, true
	case ro && (a.Size != b.Size || hasDistances(d.new.dataRefs(b))):
		return objResized, true
	case ro:
		return objContent, true
	case a.Size < b.Size:
		return objGrown, true
	case a.Size > b.Size:
		return objShrunk, true
	}
	return objInit, true
}

// objectContentEqual compares the initial content of two objects: bytes as bytes, addresses as what they mean.
func (d *differ) objectContentEqual(a, b *image.Atom) bool { return d.contentEqual(a, b, 0) }

// maxDepth bounds how far comparison follows addresses from constant to constant without a symbol; rings of them are told to differ.
const maxDepth = 16

func (d *differ) contentEqual(a, b *image.Atom, depth int) bool {
	if a.Size != b.Size {
		return false
	}
	x, ok1 := d.old.im.Content(a)
	y, ok2 := d.new.im.Content(b)
	if !ok1 || !ok2 {
		return zeros(x) && zeros(y)
	}
	ra, rb := likelyAddresses(d.old.dataRefs(a), d.new.dataRefs(b))
	if len(ra) != len(rb) {
		return false
	}
	for i := range ra {
		if ra[i].Off != rb[i].Off || ra[i].Size != rb[i].Size ||
			!d.placesEqual(&ra[i].Place, &rb[i].Place, use{address: true, depth: depth + 1}) {
			return false
		}
	}
	return bytes.Equal(maskPointers(ra, x), maskPointers(rb, y))
}

// likelyAddresses returns the fields of two objects, without those that could as well be numbers and are none of the other's. A word that is
// the address of something in both builds is one: should it be a number in truth, it is the same number in both, and
// told to differ unless it also is the address of the same thing.
func likelyAddresses(ra, rb []image.DataRef) (_, _ []image.DataRef) {
	return likelyAmong(ra, rb), likelyAmong(rb, ra)
}

// likelyAmong returns the fields that are addresses for certain, or that others has at their offsets.
func likelyAmong(refs, others []image.DataRef) []image.DataRef {
	if !slices.ContainsFunc(refs, func(r image.DataRef) bool { return r.Place.Number }) {
		return refs
	}
	var out []image.DataRef
	for _, r := range refs {
		i, ok := slices.BinarySearchFunc(others, r.Off, func(o image.DataRef, off uint64) int { return cmp.Compare(o.Off, off) })
		if ok && others[i].Size == r.Size {
			same := r.Place.Number && r.Place.Addr == others[i].Place.Addr
			r.Place.Number = same && (insideCode(&r.Place) || insideCode(&others[i].Place))
		}
		if !r.Place.Number {
			out = append(out, r)
		}
	}
	return out
}

// relative reports whether the atom is a table of distances from its own start, as the code that uses it shows, or the name that clang
// gives it: the one rule for such tables where no relocations tell of them. It is evidence: numbers that are used in the same way would
// be compared, and carried, as distances. One whose content changed cannot stay where it is, since what the payload holds may be out of
// reach of 32 bits from there.
func (s *side) relative(a *image.Atom) bool {
	return s.relTables[a.Addr] || image.IsRelativeTable(a)
}

// dataRefs returns the fields of a data atom that hold places, relative ones included.
func (s *side) dataRefs(a *image.Atom) []image.DataRef { return s.appendDataRefs(nil, a) }

// appendDataRefs appends what dataRefs returns.
func (s *side) appendDataRefs(refs []image.DataRef, a *image.Atom) []image.DataRef {
	if s.relative(a) {
		return append(refs, s.im.RelativeRefs(a)...)
	}
	return s.im.AppendDataRefs(refs, a)
}

// hasDistances reports whether some of the fields count from the start of what holds them.
func hasDistances(refs []image.DataRef) bool {
	return slices.ContainsFunc(refs, func(r image.DataRef) bool { return r.Relative })
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// anonEqual compares constants without a symbol by content: as many bytes as are read, or, where an
// address is taken, everything up to the next place whose address anything takes, or a string.
func (d *differ) anonEqual(p, q arch.ImageAddr, how use) bool {
	if how.depth > maxDepth {
		return false
	}
	n, m := uint64(how.width), uint64(how.width)
	if how.width == 0 || how.address {
		n, m = d.old.anonSize(p), d.new.anonSize(q)
	}
	if n == m {
		x, ok1 := d.old.plain(p, n)
		y, ok2 := d.new.plain(q, n)
		if ok1 && ok2 && bytes.Equal(x, y) {
			return true // as nearly all are
		}
	}
	if how.width > 0 && !how.address {
		return d.contentEqual(anonAtom(d.old.im, p, uint64(how.width)), anonAtom(d.new.im, q, uint64(how.width)), how.depth)
	}
	a, b := anonAtom(d.old.im, p, n), anonAtom(d.new.im, q, m)
	if n == m && d.contentEqual(a, b, how.depth) {
		return true
	}
	if len(d.old.dataRefs(a)) > 0 || len(d.new.dataRefs(b)) > 0 {
		return d.pointersEqual(a, b, how.depth)
	}
	x, ok1 := d.old.im.Bytes(a.Addr, a.Size)
	y, ok2 := d.new.im.Bytes(b.Addr, b.Size)
	if !ok1 || !ok2 {
		return false
	}
	if bytes.Equal(bytes.TrimRight(x, "\x00"), bytes.TrimRight(y, "\x00")) {
		return true // alignment padding behind them differs
	}
	// What else follows a string is another's, or compared by [differ.unclaimed].
	t, ok1 := text(x)
	u, ok2 := text(y)
	if ok1 && ok2 {
		return t == u
	}
	t, ok1 = wideText(x)
	u, ok2 = wideText(y)
	return ok1 && ok2 && t == u || shortText(x) != "" && shortText(x) == shortText(y) && d.old.onlyText(a) && d.new.onlyText(b)
}

// pointersEqual compares two constants with addresses in them, which other things follow in each build: where each ends at the
// latest is known, so that both do where the shorter one does. A linker merges no such constants, so that no other function
// refers into the middle of one, which would cut it short.
func (d *differ) pointersEqual(a, b *image.Atom, depth int) bool {
	n := min(a.Size, b.Size)
	s, t := d.old.im.SectionAt(a.Addr), d.new.im.SectionAt(b.Addr)
	if n == 0 || a.Size == b.Size || s == nil || t == nil || s.Name != t.Name || d.old.relTables[a.Addr] || d.new.relTables[b.Addr] {
		return false
	}
	return d.contentEqual(anonAtom(d.old.im, a.Addr, n), anonAtom(d.new.im, b.Addr, n), depth)
}

// anonAtom describes size bytes of data without a symbol as an atom that no table lists.
func anonAtom(im *image.Image, addr arch.ImageAddr, size uint64) *image.Atom {
	return &image.Atom{ID: -1, Local: true, Kind: image.Object, Addr: addr, Size: size, Section: im.SectionAt(addr)}
}

// anon bounds a constant without a symbol whose address is taken: it ends where the next one whose address is taken
// begins, or a named object. Other references do not count, because code may refer to the middle of an array, or of
// a string with NULs in it, that other code walks through from its start. Text is never cut in front of its end: strings
// that are the tail of another share its bytes.
func (s *side) anon(addr arch.ImageAddr) *image.Atom { return anonAtom(s.im, addr, s.anonSize(addr)) }

// anonSize returns the size of [side.anon] in bytes; 0 if the file holds none there.
func (s *side) anonSize(addr arch.ImageAddr) uint64 {
	x, ok := s.im.AnonExtent(addr)
	if !ok {
		return 0
	}
	end := x.Section.End()
	if a := s.im.NextAtom(addr); a != nil {
		end = min(end, a.Addr)
	}
	if i, _ := slices.BinarySearch(s.taken, addr+1); i < len(s.taken) {
		end = min(end, s.taken[i])
	}
	return max(uint64(end-addr), x.Text)
}

// plain returns size bytes of the file at an address; false if the file does not hold them, or some of them are addresses.
func (s *side) plain(addr arch.ImageAddr, size uint64) ([]byte, bool) {
	end := addr + arch.ImageAddr(size)
	if s.relTables[addr] || len(s.im.DynRelocs(addr, end)) > 0 || len(s.im.LinkRelocs(addr, end)) > 0 {
		return nil, false
	}
	return s.im.Bytes(addr, size)
}

// text returns the NUL-terminated string that data begins with, if data is certain to be
// text: the string is long enough not to be a number by accident, or everything behind it is
// text as well (strings that the linker merged lie side by side).
func text(data []byte) (string, bool) {
	const certain = 4 // printable bytes in a row
	i := bytes.IndexByte(data, 0)
	if i < 0 || !printable(data[:i]) {
		return "", false
	}
	if i >= certain || printable(bytes.ReplaceAll(data[i:], []byte{0}, nil)) {
		return string(data[:i]), true
	}
	return "", false
}

// wideText returns the text of wide characters (wchar_t, 32 bits) that data begins with, if it is certain to be one: words that end
// with a zero and are characters each, several of them printable ASCII.
func wideText(data []byte) (string, bool) {
	const certain = 4 // printable characters
	var out strings.Builder
	ascii := 0
	for ; len(data) >= 4; data = data[4:] {
		switch c := rune(binary.LittleEndian.Uint32(data)); {
		case c == 0:
			return out.String(), ascii >= certain
		case c < 0x80 && !printable([]byte{byte(c)}), !utf8.ValidRune(c):
			return "", false
		default:
			if c < 0x80 {
				ascii++
			}
			out.WriteRune(c)
		}
	}
	return "", false
}

// shortText returns the printable text that data begins with, with its NUL, however short it is; "" if there is none.
func shortText(data []byte) string {
	i := bytes.IndexByte(data, 0)
	if i < 1 || !printable(data[:i]) {
		return ""
	}
	return string(data[:i+1])
}

// onlyText reports whether a constant that begins with a text ends with it: what follows are zeros, and constants that instructions access
// by their own addresses.
func (s *side) onlyText(a *image.Atom) bool {
	data, ok := s.im.Bytes(a.Addr, a.Size)
	if !ok {
		return false
	}
	accessed := s.accessed()
	at := a.Addr + arch.ImageAddr(len(shortText(data)))
	i := sort.Search(len(accessed), func(i int) bool { return accessed[i].start >= at })
	for ; at < a.End(); i++ {
		end := a.End()
		if i < len(accessed) {
			end = min(end, accessed[i].start)
		}
		if end > at && !zeros(data[at-a.Addr:end-a.Addr]) {
			return false
		}
		if i == len(accessed) {
			break
		}
		at = max(at, accessed[i].end)
	}
	return true
}

func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < 0x20 && !strings.ContainsRune("\a\b\t\n\v\f\r\x1b", rune(c)) || c == 0x7f {
			return false
		}
	}
	return true
}

package elfdiff

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

func number(v int64) string {
	if v > -4096 && v < 65536 {
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprintf("%#x", uint64(v))
}

// describe says in words how two operands differ.
func (d *differ) describe(r, s *image.Ref) reason {
	p, q := &r.Place, &s.Place
	if p.Kind == image.PlaceAnon && q.Kind == image.PlaceAnon {
		return d.describeAnon(r, s)
	}
	if s.Kind != image.RefCall && s.Kind != image.RefJump {
		return newReason(patch.ReasonReference, d.objectEntry(q.Atom), "refers to %s instead of %s", placeName(q), placeName(p))
	}
	var cause *entry
	if c := d.byNew[d.new.unitOf(q.Atom)]; c != nil {
		cause = &c.entry
	}
	if p.Atom != nil && q.Atom != nil && p.Atom.Name != q.Atom.Name && stem(p.Atom.Name) == stem(q.Atom.Name) {
		return newReason(patch.ReasonClone, cause, "calls clone %s instead of %s", placeName(q), placeName(p))
	}
	return newReason(patch.ReasonCall, nil, "calls %s instead of %s", placeName(q), placeName(p))
}

// objectEntry returns the change of an object of the new build, or nil.
func (d *differ) objectEntry(b *image.Atom) *entry {
	if o := d.objNew[b]; o != nil && o.delta != objAdded {
		return &o.entry
	}
	return nil
}

func (d *differ) describeAnon(r, s *image.Ref) reason {
	p, q := &r.Place, &s.Place
	x, ok1 := d.old.im.Bytes(p.Addr, d.old.anonSize(p.Addr))
	y, ok2 := d.new.im.Bytes(q.Addr, d.new.anonSize(q.Addr))
	if !ok1 || !ok2 {
		return newReason(patch.ReasonConstant, nil, "a constant")
	}
	if r.Width == 0 && s.Width == 0 {
		a, ok1 := text(x)
		b, ok2 := text(y)
		if ok1 && ok2 && a != b {
			return newReason(patch.ReasonString, nil, "string %s", quoteBoth(a, b))
		}
	}
	if w := int(min(r.Width, s.Width)); w > 0 && w <= len(x) && w <= len(y) {
		return newReason(patch.ReasonConstant, nil, "constant %s -> %s", constant(x[:w]), constant(y[:w]))
	}
	return newReason(patch.ReasonData, nil, "the content of a constant without a name")
}

// quoteBoth shows two texts that differ, each shortened to what is around the difference.
func quoteBoth(a, b string) string {
	const before, longest = 24, 60 // bytes in front of the difference, and all that are shown
	common := 0
	for common < min(len(a), len(b)) && a[common] == b[common] {
		common++
	}
	from := 0
	if max(len(a), len(b)) > longest && common > before {
		from = common - before
	}
	show := func(s string) string {
		shown := s[from:]
		tail := ""
		if len(shown) > longest {
			shown, tail = shown[:longest], "..."
		}
		shown = strings.ToValidUTF8(shown, "") // a rune may have been cut
		head := ""
		if from > 0 {
			head = "..."
		}
		return strconv.Quote(head + shown + tail)
	}
	return show(a) + " -> " + show(b)
}

func placeName(p *image.Place) string {
	var name string
	switch p.Kind {
	case image.PlaceAtom, image.PlaceTLS, image.PlaceSelf:
		if p.Atom == nil {
			name = fmt.Sprintf("thread-local %#x", uint64(p.Addr))
		} else {
			name = p.Atom.Name
		}
		if p.Import != nil {
			name = p.Import.Name
		}
	case image.PlaceImport:
		name = p.Import.Name
	case image.PlaceLinker:
		name = p.Linker
	default:
		return fmt.Sprintf("%s data at %#x", p.Kind, uint64(p.Addr))
	}
	if p.Addend != 0 {
		name = fmt.Sprintf("%s%+d", name, p.Addend)
	}
	return name
}

// contentReason says what changed in a constant.
func (d *differ) contentReason(o *objChange) string {
	if o.old.Size != o.new.Size {
		return fmt.Sprintf("size %d -> %d", o.old.Size, o.new.Size)
	}
	x, _ := d.old.im.Bytes(o.old.Addr, o.old.Size)
	y, _ := d.new.im.Bytes(o.new.Addr, o.new.Size)
	if s, ok := text(x); ok {
		if t, ok := text(y); ok && s != t {
			return "string " + quoteBoth(s, t)
		}
	}
	where := d.contentDifferences(o, x, y)
	if len(where) == 0 {
		return "an address in it leads elsewhere"
	}
	if len(where) > 1 {
		return fmt.Sprintf("content at %s (and %d more)", where[0], len(where)-1)
	}
	return "content at " + where[0]
}

// contentDifferences lists the fields in which two constants of one size differ: addresses that lead elsewhere, then words.
func (d *differ) contentDifferences(o *objChange, x, y []byte) []string {
	var out []string
	ra, rb := d.old.dataRefs(o.old), d.new.dataRefs(o.new)
	for i := range ra {
		if i >= len(rb) || ra[i].Off != rb[i].Off {
			break
		}
		p, q := &ra[i].Place, &rb[i].Place
		if d.placesEqual(p, q, use{address: true}) {
			continue
		}
		change := placeName(p) + " -> " + placeName(q)
		if p.Kind == image.PlaceAnon && q.Kind == image.PlaceAnon {
			change = d.describeAnon(&image.Ref{Place: *p}, &image.Ref{Place: *q}).text
		}
		out = append(out, fmt.Sprintf("+%d: %s", ra[i].Off, change))
	}
	const word = 4 // bytes
	x, y = maskPointers(ra, x), maskPointers(rb, y)
	for off := 0; off < min(len(x), len(y)); off += word {
		a, b := x[off:min(off+word, len(x))], y[off:min(off+word, len(y))]
		if !bytes.Equal(a, b) {
			out = append(out, fmt.Sprintf("+%d: %s -> %s", off, constant(a), constant(b)))
		}
	}
	return out
}

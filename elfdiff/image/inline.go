package image

import (
	"debug/dwarf"
	"sort"

	"hotpatch/arch"
)

// Inline is a range of code that came from another function.
type Inline struct {
	Name       string // of the function that was inlined
	Start, End arch.ImageAddr
	Depth      int // 1: inlined into the function itself; 2: into what was inlined; ...
}

// maxInlines bounds what is kept for one function, against hostile DWARF data.
const maxInlines = 1 << 16

// Inlines lists the inlined calls in a function by the DWARF data of the file or its debug file (DWARF 5, 3.3.8), by Start, the
// enclosing ones first. It reads the compilation unit's entries, as far as they are needed, on each call.
func (im *Image) Inlines(a *Atom) ([]Inline, error) {
	t := &im.lines
	t.mu.Lock()
	defer t.mu.Unlock()
	units, err := im.dwarfUnits(a)
	if err != nil {
		return nil, err
	}
	var out []Inline
	for _, u := range units {
		w := &inlineWalk{dwarf: t.dwarf, cursor: t.dwarf.Cursor(u.cu.Offset), atom: a}
		if err := w.unit(); err != nil {
			return nil, err
		}
		out = append(out, w.out...)
	}
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].Start != out[j].Start {
			return out[i].Start < out[j].Start
		}
		return out[i].Depth < out[j].Depth
	})
	return out, nil
}

// inlineWalk goes through the entries of one unit.
type inlineWalk struct {
	dwarf  *DWARF
	cursor *Cursor
	atom   *Atom
	out    []Inline
}

// unit finds the function among the unit's entries, and follows those below it.
func (w *inlineWalk) unit() error {
	if _, err := w.cursor.Next(); err != nil { // the unit's own entry
		return err
	}
	for depth := 1; depth > 0; {
		e, err := w.cursor.Next()
		switch {
		case err != nil:
			return err
		case e == nil:
			return nil
		case e.Tag == 0:
			depth--
		case e.Tag == dwarf.TagSubprogram && e.Children && w.covers(e):
			if err := w.inside(); err != nil {
				return err
			}
		case e.Tag == dwarf.TagNamespace && e.Children:
			depth++
		default:
			if err := w.cursor.Skip(); err != nil {
				return err
			}
		}
	}
	return nil
}

// covers reports whether an entry's ranges touch the atom.
func (w *inlineWalk) covers(e *dwarf.Entry) bool {
	ranges, err := w.cursor.Ranges(e)
	if err != nil {
		return false
	}
	for _, x := range ranges {
		if arch.ImageAddr(x[0]) < w.atom.End() && arch.ImageAddr(x[1]) > w.atom.Addr {
			return true
		}
	}
	return false
}

// inside collects the inlined calls below a function's entry, up to the entry's end.
func (w *inlineWalk) inside() error {
	inlined := []bool{false} // for each level: it belongs to an inlined call
	calls := 0               // levels that do
	for len(inlined) > 0 {
		e, err := w.cursor.Next()
		if err != nil || e == nil {
			return err
		}
		if e.Tag == 0 {
			if inlined[len(inlined)-1] {
				calls--
			}
			inlined = inlined[:len(inlined)-1]
			continue
		}
		call := e.Tag == dwarf.TagInlinedSubroutine
		switch {
		case call:
			if err := w.add(e, calls+1); err != nil {
				return err
			}
		case e.Tag == dwarf.TagLexDwarfBlock:
		default:
			if err := w.cursor.Skip(); err != nil {
				return err
			}
			continue
		}
		if e.Children {
			inlined = append(inlined, call)
			if call {
				calls++
			}
		}
	}
	return nil
}

func (w *inlineWalk) add(e *dwarf.Entry, depth int) error {
	ranges, err := w.cursor.Ranges(e)
	if err != nil {
		return err
	}
	name, err := w.origin(e)
	if err != nil {
		return err
	}
	for _, x := range ranges {
		if start, end := arch.ImageAddr(x[0]), arch.ImageAddr(x[1]); start < end && name != "" && len(w.out) < maxInlines {
			w.out = append(w.out, Inline{Name: name, Start: start, End: end, Depth: depth})
		}
	}
	return nil
}

// origin returns the name of the function that an entry is a copy of.
func (w *inlineWalk) origin(e *dwarf.Entry) (string, error) {
	const most = 8 // steps from entry to entry
	d := w.dwarf
	for range most {
		in, next, err := d.Follow(e, dwarf.AttrAbstractOrigin)
		if err == nil && next == nil {
			in, next, err = d.Follow(e, dwarf.AttrSpecification)
		}
		if err != nil || next == nil {
			return "", err
		}
		d, e = in, next
		for _, attr := range [...]dwarf.Attr{dwarf.AttrLinkageName, dwarf.AttrName} {
			if name, err := d.String(e, attr); err != nil || name != "" {
				return name, err
			}
		}
	}
	return "", nil
}

package image

import (
	"debug/dwarf"
	"errors"
	"slices"
	"sort"

	"hotpatch/arch"
)

// Inline is a range of code that came from another function.
type Inline struct {
	Name       string // of the function that was inlined
	Start, End arch.ImageAddr
	Depth      int // 1: inlined into the function itself; 2: into what was inlined; ...
	CallLine   int // line of the call that it took the place of; 0: not known
}

// subprogram is what a compilation unit's entries say of one function with code.
type subprogram struct {
	ranges [][2]uint64
	line   int // of its declaration; 0: not known
	entry  dwarf.Offset

	below   bool // entries below it may tell of inlined calls, and have not been read
	inlines []Inline
	err     error // of reading them
}

// maxInlines bounds what is kept for one compilation unit, against hostile DWARF data.
const maxInlines = 1 << 20

// Inlines lists the inlined calls in a function by the DWARF data of the file or its debug file (DWARF 5, 3.3.8), by Start, the
// enclosing ones first. The functions of a compilation unit are read when one of them is first asked for, what is inlined into each when
// that is.
func (im *Image) Inlines(a *Atom) ([]Inline, error) {
	var out []Inline
	err := im.eachSubprogram(a, func(w *inlineWalk, s *subprogram) error {
		if !s.covers(a) {
			return nil
		}
		inlines, err := w.inlinesOf(s)
		for _, in := range inlines {
			if in.Start < a.End() && in.End > a.Addr {
				out = append(out, in)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].Start != out[j].Start {
			return out[i].Start < out[j].Start
		}
		return out[i].Depth < out[j].Depth
	})
	return out, nil
}

// DeclLine returns the line on which a function is declared, by its compilation unit; 0 if nothing says.
func (im *Image) DeclLine(a *Atom) (int, error) {
	line := 0
	err := im.eachSubprogram(a, func(_ *inlineWalk, s *subprogram) error {
		if s.covers(a) {
			line = s.line
		}
		return nil
	})
	return line, err
}

// Inliners returns where the functions of a's compilation unit start into which the function of that name is inlined.
func (im *Image) Inliners(a *Atom, name string) ([]arch.ImageAddr, error) {
	var out []arch.ImageAddr
	err := im.eachSubprogram(a, func(w *inlineWalk, s *subprogram) error {
		inlines, err := w.inlinesOf(s)
		if slices.ContainsFunc(inlines, func(in Inline) bool { return in.Name == name }) {
			out = append(out, arch.ImageAddr(s.ranges[0][0]))
		}
		return err
	})
	return out, err
}

// covers reports whether the function's ranges touch the atom.
func (s *subprogram) covers(a *Atom) bool {
	for _, x := range s.ranges {
		if arch.ImageAddr(x[0]) < a.End() && arch.ImageAddr(x[1]) > a.Addr {
			return true
		}
	}
	return false
}

// eachSubprogram calls visit for the functions of the compilation units that describe an atom, until it fails.
func (im *Image) eachSubprogram(a *Atom, visit func(*inlineWalk, *subprogram) error) error {
	t := &im.lines
	defer t.use()()
	units, err := im.dwarfUnits(a)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.functions == nil {
			u.functions = &inlineWalk{dwarf: t.dwarf, cursor: t.dwarf.Cursor(u.cu.Offset), names: make(map[dwarf.Offset]string)}
			u.walkErr = u.functions.unit()
		}
		if u.walkErr != nil {
			return u.walkErr
		}
		for i := range u.functions.out {
			if err := visit(u.functions, &u.functions.out[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// inlineWalk goes through the entries of one unit.
type inlineWalk struct {
	dwarf  *DWARF
	cursor *Cursor
	names  map[dwarf.Offset]string // of functions, by their entries in the same file
	out    []subprogram            // with code, in the order of their entries
	count  int                     // inlined calls
}

// unit reads the functions among the unit's entries.
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
		case e.Tag == dwarf.TagSubprogram:
			if err := w.function(e); err != nil {
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

// function enters a function if it has code, and passes over the entries below it.
func (w *inlineWalk) function(e *dwarf.Entry) error {
	ranges, err := w.cursor.Ranges(e)
	if err != nil {
		return err
	}
	if len(ranges) > 0 {
		s := subprogram{ranges: ranges, entry: e.Offset, below: e.Children}
		if s.line, err = w.line(e); err != nil {
			return err
		}
		w.out = append(w.out, s)
	}
	return w.cursor.Skip()
}

// inlinesOf returns the calls that are inlined into a function of the unit; it reads them when they are first asked for.
func (w *inlineWalk) inlinesOf(s *subprogram) ([]Inline, error) {
	if s.below {
		s.below = false
		w.cursor.Seek(s.entry)
		if _, s.err = w.cursor.Next(); s.err == nil { // the function's own entry
			s.inlines, s.err = w.inside()
		}
	}
	return s.inlines, s.err
}

// inside collects the inlined calls below a function's entry, up to the entry's end.
func (w *inlineWalk) inside() ([]Inline, error) {
	var out []Inline
	levels := []int{0} // for each level below the function: inlined calls around it
	for len(levels) > 0 {
		e, err := w.cursor.Next()
		if err != nil || e == nil {
			return out, err
		}
		depth := levels[len(levels)-1]
		switch e.Tag {
		case 0:
			levels = levels[:len(levels)-1]
			continue
		case dwarf.TagInlinedSubroutine:
			depth++
			if out, err = w.add(out, e, depth); err != nil {
				return nil, err
			}
		case dwarf.TagLexDwarfBlock:
		default:
			if err := w.cursor.Skip(); err != nil {
				return nil, err
			}
			continue
		}
		if e.Children {
			levels = append(levels, depth)
		}
	}
	return out, nil
}

func (w *inlineWalk) add(out []Inline, e *dwarf.Entry, depth int) ([]Inline, error) {
	ranges, err := w.cursor.Ranges(e)
	if err != nil {
		return nil, err
	}
	name, err := w.name(e)
	if err != nil {
		return nil, err
	}
	call, _ := e.Val(dwarf.AttrCallLine).(int64)
	for _, x := range ranges {
		if start, end := arch.ImageAddr(x[0]), arch.ImageAddr(x[1]); start < end && name != "" {
			out = append(out, Inline{Name: name, Start: start, End: end, Depth: depth, CallLine: int(call)})
			w.count++
		}
	}
	if w.count > maxInlines {
		return nil, errors.New("too many inlined calls in one compilation unit")
	}
	return out, nil
}

// name returns the name of the function that an entry is a copy of.
func (w *inlineWalk) name(e *dwarf.Entry) (string, error) {
	f := e.AttrField(dwarf.AttrAbstractOrigin)
	if f == nil {
		return "", nil
	}
	off, here := f.Val.(dwarf.Offset) // not in the alternate file
	if name, known := w.names[off]; known && here {
		return name, nil
	}
	name := ""
	err := w.follow(e, func(in *DWARF, o *dwarf.Entry) (bool, error) {
		for _, attr := range [...]dwarf.Attr{dwarf.AttrLinkageName, dwarf.AttrName} {
			var err error
			if name, err = in.String(o, attr); err != nil || name != "" {
				return true, err
			}
		}
		return false, nil
	})
	if here {
		w.names[off] = name
	}
	return name, err
}

// line returns the line of a function's declaration.
func (w *inlineWalk) line(e *dwarf.Entry) (int, error) {
	line, ok := e.Val(dwarf.AttrDeclLine).(int64)
	if ok {
		return int(line), nil
	}
	err := w.follow(e, func(_ *DWARF, o *dwarf.Entry) (found bool, _ error) {
		line, found = o.Val(dwarf.AttrDeclLine).(int64)
		return found, nil
	})
	return int(line), err
}

// follow goes from an entry to what it is a copy or the definition of, until visit is satisfied.
func (w *inlineWalk) follow(e *dwarf.Entry, visit func(in *DWARF, o *dwarf.Entry) (done bool, err error)) error {
	const most = 8 // steps from entry to entry
	d := w.dwarf
	for range most {
		in, next, err := d.Follow(e, dwarf.AttrAbstractOrigin)
		if err == nil && next == nil {
			in, next, err = d.Follow(e, dwarf.AttrSpecification)
		}
		if err != nil || next == nil {
			return err
		}
		if done, err := visit(in, next); done || err != nil {
			return err
		}
		d, e = in, next
	}
	return nil
}

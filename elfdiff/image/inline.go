package image

import (
	"debug/dwarf"
	"errors"
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
	ranges  [][2]uint64
	line    int // of its declaration; 0: not known
	entry   dwarf.Offset
	inlines []Inline
}

// maxInlines bounds what is kept for one compilation unit, against hostile DWARF data.
const maxInlines = 1 << 20

// Inlines lists the inlined calls in a function by the DWARF data of the file or its debug file (DWARF 5, 3.3.8), by Start, the
// enclosing ones first. The entries of the function's compilation unit are read when one of its functions is first asked for.
func (im *Image) Inlines(a *Atom) ([]Inline, error) {
	var out []Inline
	err := im.eachSubprogram(a, func(s *subprogram) {
		if !s.covers(a) {
			return
		}
		for _, in := range s.inlines {
			if in.Start < a.End() && in.End > a.Addr {
				out = append(out, in)
			}
		}
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
	err := im.eachSubprogram(a, func(s *subprogram) {
		if s.covers(a) {
			line = s.line
		}
	})
	return line, err
}

// Inliners returns where the functions of a's compilation unit start into which the function of that name is inlined.
func (im *Image) Inliners(a *Atom, name string) ([]arch.ImageAddr, error) {
	var out []arch.ImageAddr
	err := im.eachSubprogram(a, func(s *subprogram) {
		for i := range s.inlines {
			if s.inlines[i].Name == name {
				out = append(out, arch.ImageAddr(s.ranges[0][0]))
				return
			}
		}
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

// eachSubprogram calls visit for the functions of the compilation units that describe an atom.
func (im *Image) eachSubprogram(a *Atom, visit func(*subprogram)) error {
	t := &im.lines
	defer t.use()()
	units, err := im.dwarfUnits(a)
	if err != nil {
		return err
	}
	for _, u := range units {
		if !u.walked {
			u.walked = true
			w := &inlineWalk{dwarf: t.dwarf, cursor: t.dwarf.Cursor(u.cu.Offset), names: make(map[dwarf.Offset]string)}
			u.walkErr = w.unit()
			u.functions = w.out
		}
		if u.walkErr != nil {
			return u.walkErr
		}
		for i := range u.functions {
			visit(&u.functions[i])
		}
	}
	return nil
}

// inlineWalk goes through the entries of one unit.
type inlineWalk struct {
	dwarf  *DWARF
	cursor *Cursor
	names  map[dwarf.Offset]string // of functions, by their entries in the same file
	out    []subprogram
	count  int // inlined calls
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

// function reads a function's entry and those below it, if it has code.
func (w *inlineWalk) function(e *dwarf.Entry) error {
	ranges, err := w.cursor.Ranges(e)
	if err != nil {
		return err
	}
	if len(ranges) == 0 {
		return w.cursor.Skip()
	}
	s := subprogram{ranges: ranges, entry: e.Offset}
	if s.line, err = w.line(e); err != nil {
		return err
	}
	if e.Children {
		if s.inlines, err = w.inside(); err != nil {
			return err
		}
	}
	w.out = append(w.out, s)
	return nil
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

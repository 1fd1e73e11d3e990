package image

import "debug/dwarf"

// ResultWords returns how many general registers hold a function's result at its return, by the DWARF data: 0 if it returns nothing, 1
// for all that fits into a word, 2 else (System V ABI for x86-64, 3.2.3: rax, then rdx) and where nothing tells.
func (im *Image) ResultWords(a *Atom) int {
	const unknown = 2
	words, found := 0, false
	err := im.eachSubprogram(a, func(_ *inlineWalk, s *subprogram) error {
		if s.covers(a) {
			found = true
			words = max(words, im.lines.dwarf.resultWords(s.entry))
		}
		return nil
	})
	if err != nil || !found {
		return unknown
	}
	return words
}

// resultWords is [Image.ResultWords] of the function with an entry.
func (d *DWARF) resultWords(off dwarf.Offset) int {
	const (
		unknown = 2
		word    = 8  // bytes
		steps   = 32 // from entry to entry
	)
	e, err := d.Entry(off)
	if err != nil {
		return unknown
	}
	typed := false // e is a type
	for range steps {
		if typed {
			switch e.Tag {
			case dwarf.TagPointerType, dwarf.TagReferenceType, dwarf.TagRvalueReferenceType, dwarf.TagEnumerationType:
				return 1
			case dwarf.TagTypedef, dwarf.TagConstType, dwarf.TagVolatileType, dwarf.TagRestrictType:
			default:
				if size, ok := e.Val(dwarf.AttrByteSize).(int64); ok && size <= word {
					return 1
				}
				return unknown
			}
		}
		in, next, err := d.Follow(e, dwarf.AttrType)
		if err == nil && next != nil {
			d, e, typed = in, next, true
			continue
		}
		if typed && err == nil {
			return 0 // const void
		}
		for _, attr := range [...]dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
			if err == nil && next == nil {
				in, next, err = d.Follow(e, attr)
			}
		}
		switch {
		case err != nil:
			return unknown
		case next == nil:
			return 0
		}
		d, e = in, next
	}
	return unknown
}

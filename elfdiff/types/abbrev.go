package types

// attribute is one attribute of an abbreviation.
type attribute struct {
	name, form uint16
	idle       int8  // bytes, in 32-bit DWARF with 8-byte addresses, of a value that is not looked at; idleNot, idleBlock
	implicit   int64 // the value of DW_FORM_implicit_const
}

// Values of attribute.idle that are no sizes.
const (
	idleNot   = -1 // it is looked at, or its size is not fixed
	idleBlock = -2 // a block behind its length, which is not looked at
)

// idle returns attribute.idle of an attribute of entries with a tag.
func idle(tag uint16, a attribute) int8 {
	switch {
	case matters(tag, a.name) || isAggregate(tag) && (a.name == attrDeclFile || a.name == attrDeclLine):
		return idleNot
	case a.form == formExprloc:
		return idleBlock
	}
	return int8(fixedSize([]attribute{a}))
}

// abbrev is the shape of an entry (DWARF 5, 7.5.3).
type abbrev struct {
	tag      uint16
	children bool
	skip     int32 // bytes of all attributes if that is the same for every entry, else -1
	attrs    []attribute
}

// abbrevs are the abbreviations of one unit, by code.
type abbrevs struct {
	dense  []abbrev // codes 1, 2, 3, ...
	others map[uint64]*abbrev
}

func (t *abbrevs) find(code uint64) *abbrev {
	if code-1 < uint64(len(t.dense)) {
		return &t.dense[code-1]
	}
	return t.others[code]
}

// maxCachedTables is how many tables of abbreviations are kept: units that share one lie side by side.
const maxCachedTables = 16

// abbrevsAt returns the table at an offset of .debug_abbrev.
func (r *reader) abbrevsAt(f *file, off uint64) (*abbrevs, error) {
	key := tableKey{f, off}
	if t := r.tables[key]; t != nil {
		return t, nil
	}
	if off > uint64(len(f.Abbrev)) {
		return nil, &FormatError{".debug_abbrev", off, "a unit's abbreviations begin behind the section's end", uint64(len(f.Abbrev))}
	}
	c := &cursor{section: ".debug_abbrev", s: f.Abbrev, off: int(off)}
	t := readAbbrevs(c)
	if c.err == nil {
		c.err = r.spend(uint64(c.off) - off)
	}
	if c.err != nil {
		return nil, c.err
	}
	if len(r.tables) >= maxCachedTables {
		clear(r.tables)
	}
	r.tables[key] = t
	return t, nil
}

type tableKey struct {
	file *file
	off  uint64
}

// readAbbrevs reads up to the table's end.
func readAbbrevs(c *cursor) *abbrevs {
	t := new(abbrevs)
	var attrs []attribute // of all abbreviations, in one piece
	for c.more() {
		code := c.uleb()
		if code == 0 {
			break
		}
		a := abbrev{tag: uint16(min(c.uleb(), 0xffff)), children: c.u8() != 0}
		first := len(attrs)
		for c.err == nil {
			x := attribute{name: uint16(min(c.uleb(), 0xffff)), form: uint16(min(c.uleb(), 0xffff))}
			if x.form == formImplicit {
				x.implicit = c.sleb()
			}
			if x.name == 0 && x.form == 0 {
				break
			}
			x.idle = idle(a.tag, x)
			attrs = append(attrs, x)
		}
		a.attrs = attrs[first:len(attrs):len(attrs)]
		a.skip = fixedSize(a.attrs)
		switch {
		case code == uint64(len(t.dense))+1:
			t.dense = append(t.dense, a)
		default:
			if t.others == nil {
				t.others = make(map[uint64]*abbrev)
			}
			t.others[code] = &a
		}
	}
	return t
}

// fixedSize returns the bytes that the attributes take in 32-bit DWARF with 8-byte addresses, or -1 if that differs from entry to entry.
func fixedSize(attrs []attribute) int32 {
	n := int32(0)
	for i := range attrs {
		switch attrs[i].form {
		case formFlagPresent, formImplicit:
		case formData1, formRef1, formFlag, formStrx1, formAddrx1:
			n++
		case formData2, formRef2, formStrx2, formAddrx2:
			n += 2
		case formStrx3, formAddrx3:
			n += 3
		case formData4, formRef4, formRefSup4, formStrx4, formAddrx4, formStrp, formSecOffset, formLineStrp:
			n += 4
		case formAddr, formData8, formRef8, formRefSig8, formRefSup8:
			n += 8
		case formData16:
			n += 16
		default:
			return -1
		}
	}
	return n
}

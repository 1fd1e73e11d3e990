package types

// ref is the place of an entry: an offset in the section of a space. 0: none.
type ref uint64

// The sections that entries lie in.
const (
	spaceInfo  = iota // .debug_info
	spaceTypes        // .debug_types
	spaceAlt          // .debug_info of the alternate file
)

const spaceShift = 60

func makeRef(space int, off uint64) ref { return ref(space)<<spaceShift | ref(off) }

// class is what a value stands for (DWARF 5, 7.5.5).
type class uint8

const (
	classNone class = iota
	classConst
	classSigned // a constant whose form has a sign
	classString
	classBlock
	classRef
	classOffset // in another section
	classAddr
	classIndex // in .debug_addr, or of a list
)

// value is the value of one attribute.
type value struct {
	class class
	n     uint64
	s     string
}

// constant returns the value as an unsigned constant.
func (v *value) constant() (uint64, bool) {
	return v.n, v.class == classConst || v.class == classSigned
}

// value reads the value of an attribute of the entry at the cursor.
func (u *unit) value(c *cursor, a *attribute) value {
	form := a.form
	for range 4 { // DW_FORM_indirect may lead to another one
		if form != formIndirect {
			return u.formValue(c, form, a.implicit)
		}
		form = uint16(min(c.uleb(), 0xffff))
	}
	c.fail("DW_FORM_indirect that leads to itself", uint64(form))
	return value{}
}

func (u *unit) formValue(c *cursor, form uint16, implicit int64) value {
	switch form {
	case formData1, formFlag:
		return value{class: classConst, n: c.u8()}
	case formData2:
		return value{class: classConst, n: c.fixed(2)}
	case formData4:
		if u.version < 4 {
			return value{class: classOffset, n: c.fixed(4)} // also of constants: DWARF 3 does not tell
		}
		return value{class: classConst, n: c.fixed(4)}
	case formData8:
		return value{class: classConst, n: c.fixed(8)}
	case formUdata:
		return value{class: classConst, n: c.uleb()}
	case formSdata:
		return value{class: classSigned, n: uint64(c.sleb())}
	case formImplicit:
		return value{class: classSigned, n: uint64(implicit)}
	case formFlagPresent:
		return value{class: classConst, n: 1}
	case formAddr:
		return value{class: classAddr, n: c.fixed(int(u.addrSize))}
	case formRef1:
		return u.local(c.u8())
	case formRef2:
		return u.local(c.fixed(2))
	case formRef4:
		return u.local(c.fixed(4))
	case formRef8:
		return u.local(c.fixed(8))
	case formRefUdata:
		return u.local(c.uleb())
	case formSecOffset:
		return value{class: classOffset, n: c.fixed(u.word)}
	case formExprloc, formBlock:
		return value{class: classBlock, s: c.bytes(c.uleb())}
	case formBlock1:
		return value{class: classBlock, s: c.bytes(c.u8())}
	case formBlock2:
		return value{class: classBlock, s: c.bytes(c.fixed(2))}
	case formBlock4:
		return value{class: classBlock, s: c.bytes(c.fixed(4))}
	case formData16:
		return value{class: classBlock, s: c.bytes(16)}
	case formLoclistx, formRnglistx, formAddrx, formGNUAddrIndex:
		return value{class: classIndex, n: c.uleb()}
	case formAddrx1, formAddrx2, formAddrx3, formAddrx4:
		return value{class: classIndex, n: c.fixed(int(form-formAddrx1) + 1)}
	}
	if v, ok := u.stringValue(c, form); ok {
		return v
	}
	return u.foreignRef(c, form)
}

// stringValue reads the forms of strings.
func (u *unit) stringValue(c *cursor, form uint16) (value, bool) {
	f := u.file
	v := value{class: classString}
	switch form {
	case formString:
		v.s = c.str()
	case formStrp:
		v.s = strAt(f.Str, c.fixed(u.word))
	case formLineStrp:
		v.s = strAt(f.LineStr, c.fixed(u.word))
	case formStrx, formGNUStrIndex:
		v.s = u.indexedString(c.uleb())
	case formStrx1, formStrx2, formStrx3, formStrx4:
		v.s = u.indexedString(c.fixed(int(form-formStrx1) + 1))
	case formStrpSup, formGNUStrpAlt:
		off := c.fixed(u.word)
		if f.alt == nil {
			c.fail("a string in an alternate file that is not at hand", off)
			return v, true
		}
		v.s = strAt(f.alt.Str, off)
	default:
		return value{}, false
	}
	return v, true
}

// foreignRef reads the forms of references that leave the unit.
func (u *unit) foreignRef(c *cursor, form uint16) value {
	v := value{class: classRef}
	switch form {
	case formRefAddr:
		size := u.word
		if u.version < 3 {
			size = int(u.addrSize)
		}
		off := c.fixed(size)
		if off >= uint64(len(u.file.Info)) {
			c.fail("a reference leads out of .debug_info", off)
			return v
		}
		space := u.space
		if space == spaceTypes {
			space = spaceInfo
		}
		v.n = uint64(makeRef(space, off))
	case formRefSig8:
		v.n = uint64(u.r.signatures[c.fixed(8)])
	case formGNURefAlt, formRefSup4, formRefSup8:
		size := map[uint16]int{formGNURefAlt: u.word, formRefSup4: 4, formRefSup8: 8}[form]
		off := c.fixed(size)
		if u.file.alt == nil || off >= uint64(len(u.file.alt.Info)) {
			c.fail("a reference to an alternate file that is not at hand", off)
			return v
		}
		v.n = uint64(makeRef(spaceAlt, off))
	default:
		c.fail("an attribute of an unknown form", uint64(form))
	}
	return v
}

// local makes a reference to an entry of the unit itself.
func (u *unit) local(off uint64) value {
	if off >= uint64(u.end-u.start) {
		return value{} // as if it were not there
	}
	return value{class: classRef, n: uint64(makeRef(u.space, uint64(u.start)+off))}
}

// indexedString returns the string with an index in the unit's part of .debug_str_offsets (DWARF 5, 7.26).
func (u *unit) indexedString(i uint64) string {
	at := u.strBase + i*uint64(u.word)
	if i > uint64(len(u.file.StrOffsets)) || at+uint64(u.word) > uint64(len(u.file.StrOffsets)) {
		return ""
	}
	c := cursor{s: u.file.StrOffsets, off: int(at)}
	return strAt(u.file.Str, c.fixed(u.word))
}

// indexedAddr returns the address with an index in the unit's part of .debug_addr (DWARF 5, 7.27).
func (u *unit) indexedAddr(i uint64) (uint64, bool) {
	size := uint64(u.addrSize)
	at := u.addrBase + i*size
	if i > uint64(len(u.file.Addr)) || at+size > uint64(len(u.file.Addr)) {
		return 0, false
	}
	c := cursor{s: u.file.Addr, off: int(at)}
	return c.fixed(int(size)), true
}

package cfi

import (
	"encoding/binary"
	"sort"
	"strings"

	"hotpatch/arch"
)

// Parse reads the .eh_frame section data of an image, which lies at addr. The table
// keeps data; the caller must not change it. An augmentation, a version or an
// encoding that the package does not know is an error of type [*FormatError], as a
// malformed record is: half a table would answer "no frame here" where there is one.
//
// Call frame programs of FDEs are looked at when they are needed, by [FDE.Row] and
// [FDE.PtrFields].
func Parse(a *arch.Arch, data []byte, addr arch.ImageAddr, order binary.ByteOrder) (*Table, error) {
	if a.DWARF.NumRegs > VG || a.DWARF.RA >= a.DWARF.NumRegs || a.DWARF.SP >= a.DWARF.NumRegs {
		return nil, &FormatError{Msg: "architecture has more registers than can be tracked", Val: a.DWARF.NumRegs}
	}
	p := parser{
		table: &Table{sec: section{arch: a, data: data, addr: addr, order: order}},
		cies:  make(map[uint64]*CIE),
	}
	// An FDE takes at least 16 bytes, and the usual one about 40.
	p.fdes = make([]FDE, 0, len(data)/32)
	for off := uint64(0); off < uint64(len(data)); {
		next, err := p.record(off)
		if err != nil {
			return nil, err
		}
		off = next
	}
	p.table.index(p.fdes)
	return p.table, nil
}

// parser holds the state of one Parse.
type parser struct {
	table *Table
	cies  map[uint64]*CIE // by offset
	fdes  []FDE
}

// header is the start of a record.
type header struct {
	off, end uint64 // of the record
	idOff    uint64 // of the CIE id or CIE pointer
	id       uint64 // zero: a CIE; else distance from idOff back to the CIE
	body     uint64 // of what follows
	empty    bool   // length zero: a terminator
}

// header reads the start of the record at off.
func (s *section) header(off uint64) (header, error) {
	h := header{off: off}
	r := s.reader(off, uint64(len(s.data)))
	size := 4
	n := r.uint(4)
	if n == 0xffffffff {
		// The extended length does not change the width of the CIE pointer in
		// .eh_frame (LSB Core 5.0, 10.6.1.1), unlike in .debug_frame.
		n = r.uint(8)
	}
	if r.err != nil {
		return h, r.err
	}
	if n == 0 {
		h.end, h.empty = r.off, true
		return h, nil
	}
	if n > r.end-r.off {
		return h, &FormatError{Off: off, Msg: "record goes beyond the end of the section; its length is", Val: n}
	}
	h.end = r.off + n
	r.end = h.end
	h.idOff = r.off
	h.id = r.uint(size)
	h.body = r.off
	return h, r.err
}

// record reads the record at off and returns the offset of the next one.
func (p *parser) record(off uint64) (next uint64, err error) {
	h, err := p.table.sec.header(off)
	if err != nil {
		return 0, err
	}
	switch {
	case h.empty:
		// crtend.o ends the section so, but linkers may put more behind it.
	case h.id == 0:
		_, err = p.cie(h)
	default:
		err = p.fde(h)
	}
	return h.end, err
}

// cie returns the CIE with the header h, which it reads at most once.
func (p *parser) cie(h header) (*CIE, error) {
	if c := p.cies[h.off]; c != nil {
		return c, nil
	}
	c := &CIE{Off: h.off, Len: h.end - h.off, FDEEnc: encAbsptr, LSDAEnc: encOmit, PersonalityEnc: encOmit, table: p.table}
	r := p.table.sec.reader(h.body, h.end)
	c.Version = r.u8()
	if r.err == nil && c.Version != 1 && c.Version != 3 && c.Version != 4 {
		r.fail(h.body, "CIE version is not 1, 3 or 4", c.Version)
	}
	augOff := r.off
	c.Augmentation = r.cstring()
	if strings.HasPrefix(c.Augmentation, "eh") {
		r.fail(augOff, "augmentation of gcc 2 is not supported", c.Augmentation)
	}
	if c.Version == 4 {
		if off, n := r.off, r.u8(); r.err == nil && int(n) != p.table.sec.arch.PtrSize {
			r.fail(off, "address size of CIE is not the machine's", n)
		}
		if off, n := r.off, r.u8(); n != 0 {
			r.fail(off, "CIE has a segment selector of this size", n)
		}
	}
	c.CodeAlign = r.uleb()
	c.DataAlign = r.sleb()
	raOff := r.off
	ra := uint64(0)
	if c.Version == 1 {
		ra = uint64(r.u8())
	} else {
		ra = r.uleb()
	}
	// glibc's arm64 memory functions have one of their own, which is called with its return address in x15.
	if d := &p.table.sec.arch.DWARF; r.err == nil && ra != uint64(d.RA) && (d.PCReg() == d.RA || ra >= uint64(d.PC)) {
		r.fail(raOff, "return address column is not the machine's", ra)
	}
	c.RA = int(ra)
	p.augmentation(c, &r, augOff)
	if r.err != nil {
		return nil, r.err
	}
	c.prog, c.end = r.off, h.end
	if err := c.start(); err != nil {
		return nil, err
	}
	p.cies[h.off] = c
	return c, nil
}

// augmentation reads the augmentation data of c (LSB Core 5.0, 10.6.1.1.1; 'B' from
// AADWARF64 4.4). augOff is where the augmentation string stands.
func (p *parser) augmentation(c *CIE, r *reader, augOff uint64) {
	if c.Augmentation == "" || r.err != nil {
		return
	}
	if c.Augmentation[0] != 'z' {
		r.fail(augOff, "augmentation is not known", c.Augmentation)
		return
	}
	b := r.block()
	if r.err != nil {
		return
	}
	d := p.table.sec.reader(b.off, b.off+b.len)
	for _, letter := range c.Augmentation[1:] {
		switch letter {
		case 'L':
			c.LSDAEnc = d.u8()
		case 'R':
			c.FDEEnc = d.u8()
		case 'P':
			c.PersonalityEnc = d.u8()
			if d.err == nil && c.PersonalityEnc == encOmit {
				d.fail(d.off-1, "personality is announced and omitted", c.PersonalityEnc)
			}
			c.personality = d.pointer(c.PersonalityEnc)
			c.personality.Kind = PtrPersonality
			c.personality.Off -= c.Off
			c.Personality = c.personality.Value
			c.PersonalityIndirect = c.PersonalityEnc&encIndirect != 0
		case 'S':
			c.SignalFrame = true
		case 'B':
			c.BKey = true
		default:
			d.fail(augOff, "augmentation is not known", c.Augmentation)
		}
	}
	if d.err == nil && (c.FDEEnc == encOmit || c.FDEEnc&encIndirect != 0) {
		d.fail(augOff, "FDE addresses cannot be encoded as", c.FDEEnc)
	}
	if r.err == nil {
		r.err = d.err
	}
}

// fde reads the FDE with the header h.
func (p *parser) fde(h header) error {
	sec := &p.table.sec
	if h.id > h.idOff {
		return &FormatError{Off: h.idOff, Msg: "CIE pointer leads before the section; it is", Val: h.id}
	}
	c := p.cies[h.idOff-h.id]
	if c == nil {
		ch, err := sec.header(h.idOff - h.id)
		if err != nil {
			return err
		}
		if ch.empty || ch.id != 0 {
			return &FormatError{Off: h.idOff, Msg: "CIE pointer does not lead to a CIE; it is", Val: h.id}
		}
		if c, err = p.cie(ch); err != nil {
			return err
		}
	}
	f := FDE{Off: h.off, Len: h.end - h.off, CIE: c, SignalFrame: c.SignalFrame,
		Personality: c.Personality, PersonalityIndirect: c.PersonalityIndirect}
	a, err := c.address(h.body, h.end)
	if err != nil {
		return err
	}
	f.Start, f.End = a.start.Value, a.start.Value+arch.ImageAddr(a.size)
	f.LSDA, f.LSDAIndirect = a.lsda.Value, a.lsda.Value != 0 && c.LSDAEnc&encIndirect != 0
	f.body, f.prog, f.end = h.body, a.prog, h.end
	if f.Start != f.End {
		p.fdes = append(p.fdes, f)
	}
	return nil
}

// addresses is the part of an FDE in front of its instructions.
type addresses struct {
	start, lsda PtrField // offsets in the section
	size        uint64   // bytes of code
	prog        uint64   // offset of the instructions
}

// address reads the addresses of an FDE of c, at [body, end) of the section.
func (c *CIE) address(body, end uint64) (addresses, error) {
	r := c.table.sec.reader(body, end)
	var a addresses
	a.start = r.pointer(c.FDEEnc)
	a.start.Kind = PtrStart
	rangeOff := r.off
	a.size = r.encoded(c.FDEEnc & encForm)
	if a.start.Value+arch.ImageAddr(a.size) < a.start.Value {
		r.fail(rangeOff, "range wraps around the address space; its length is", a.size)
	}
	if c.Augmentation != "" {
		b := r.block()
		if c.LSDAEnc != encOmit && r.err == nil {
			d := c.table.sec.reader(b.off, b.off+b.len)
			a.lsda = d.pointer(c.LSDAEnc)
			a.lsda.Kind = PtrLSDA
			r.err = d.err
		}
	}
	a.prog = r.off
	return a, r.err
}

// index sorts the FDEs and notes overlaps.
func (t *Table) index(fdes []FDE) {
	t.fdes = make([]*FDE, len(fdes))
	for i := range fdes {
		t.fdes[i] = &fdes[i]
	}
	sort.SliceStable(t.fdes, func(i, j int) bool { return t.fdes[i].Start < t.fdes[j].Start })
	overlap := false
	for i := 1; i < len(t.fdes); i++ {
		overlap = overlap || t.fdes[i].Start < t.fdes[i-1].End
	}
	if !overlap {
		return
	}
	t.reach = make([]arch.ImageAddr, len(t.fdes))
	end := arch.ImageAddr(0)
	for i, f := range t.fdes {
		end = max(end, f.End)
		t.reach[i] = end
	}
}

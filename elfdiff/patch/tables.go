package patch

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"

	"hotpatch/arch"
)

// ownSection is one of our own sections, ready to be written.
type ownSection struct {
	name string
	data []byte
}

// ownSections encodes all of our own sections, in file order.
func (p *Patch) ownSections(id ID) []ownSection {
	bodies := encoder{b: make([]byte, 0, p.bodiesSize())}
	funcs := p.encodeFuncs(&bodies)
	consts := p.encodeConsts(&bodies)
	return []ownSection{
		{nameIdentity, p.encodeIdentity(id)},
		{nameFuncs, funcs},
		{nameBodies, bodies.b},
		{nameCode, p.encodeCode()},
		{nameConsts, consts},
		{nameMoves, p.encodeMoves()},
		{nameReach, p.encodeReach()},
		{nameSlots, p.encodeSlots()},
		{nameMap, p.encodeMap()},
		{nameNeeded, p.encodeNeeded()},
		{nameChanges, p.encodeChanges()},
		{nameNotes, p.encodeNotes()},
		{nameAcks, p.encodeAcks(id)},
	}
}

// bodiesSize returns the bytes of all old bodies.
func (p *Patch) bodiesSize() int {
	n := 0
	for i := range p.Funcs {
		for j := range p.Funcs[i].Old {
			n += len(p.Funcs[i].Old[j].Bytes)
		}
	}
	for i := range p.Consts {
		for j := range p.Consts[i].Readers {
			n += len(p.Consts[i].Readers[j].Bytes)
		}
	}
	return n
}

func (p *Patch) encodeIdentity(id ID) []byte {
	e := encoder{b: []byte(fixedMagic)}
	e.b = binary.LittleEndian.AppendUint32(e.b, FormatVersion)
	e.raw(id[:])
	for _, b := range []*Build{&p.Old, &p.New} {
		e.bytes(b.ID)
		e.bool(b.HasBuildID)
		e.str(b.Name)
		e.uint(uint64(b.Type))
		e.str(b.SONAME)
	}
	return e.b
}

// decodeIdentity reads what follows the fixed part.
func (p *Patch) decodeIdentity(d *decoder, where *locator) error {
	where.record(tabIdentity, d.pos())
	for _, b := range []*Build{&p.Old, &p.New} {
		b.ID = d.bytes()
		b.HasBuildID = d.bool()
		b.Name = d.str()
		b.Type = elf.Type(d.max(0xffff, "file type"))
		b.SONAME = d.str()
	}
	return d.done()
}

func encodeFields(e *encoder, fields []Field) {
	e.uint(uint64(len(fields)))
	prev := uint32(0)
	for _, f := range fields {
		e.uint(uint64(f.Off - prev)) // validated to be ascending
		e.uint(uint64(f.Size))
		prev = f.Off
	}
}

func decodeFields(d *decoder) []Field {
	n := d.count(maxFields, 2, "fields")
	if n == 0 {
		return nil
	}
	fields := make([]Field, n)
	off := uint64(0)
	for i := range fields {
		off += d.max(1<<31, "distance of a field")
		if off > 1<<31 {
			d.fail("field offset is too large", off)
			return nil
		}
		fields[i] = Field{Off: uint32(off), Size: uint8(d.max(0xff, "size of a field"))}
	}
	return fields
}

func encodeParts(e, bodies *encoder, parts []Part) {
	e.uint(uint64(len(parts)))
	for i := range parts {
		pt := &parts[i]
		e.str(pt.Name)
		e.uint(uint64(pt.Addr))
		e.uint(pt.Size)
		e.raw(pt.Hash[:])
		encodeFields(e, pt.Fields)
		bodies.raw(pt.Bytes)
	}
}

// partMin is the least number of bytes that a part takes in its table.
const partMin = 1 + 1 + 1 + sha256.Size + 1

func decodeParts(d, bodies *decoder, limit int) []Part {
	n := d.count(limit, partMin, "parts")
	if n == 0 {
		return nil
	}
	parts := make([]Part, n)
	for i := range parts {
		pt := &parts[i]
		pt.Name = d.str()
		pt.Addr = arch.ImageAddr(d.uint())
		pt.Size = d.uint()
		copy(pt.Hash[:], d.raw(sha256.Size))
		pt.Fields = decodeFields(d)
		pt.Bytes = bodies.raw(pt.Size)
	}
	return parts
}

func (p *Patch) encodeFuncs(bodies *encoder) []byte {
	var e encoder
	e.uint(uint64(len(p.Funcs)))
	for i := range p.Funcs {
		f := &p.Funcs[i]
		e.str(f.Name)
		e.str(f.File)
		e.uint(uint64(f.How))
		encodeParts(&e, bodies, f.Old)
		e.uint(uint64(f.New + 1))
		e.uint(uint64(f.Jump.Off))
		e.uint(uint64(f.Jump.Room))
		e.bytes(f.Jump.Pad)
		e.uint(uint64(f.Jump.Take))
		e.str(f.Jump.Fixed)
	}
	return e.b
}

func (p *Patch) decodeFuncs(d, bodies *decoder, where *locator) error {
	n := d.count(maxFuncs, 10, "functions")
	if n > 0 {
		p.Funcs = make([]Func, n)
	}
	for i := range p.Funcs {
		f := &p.Funcs[i]
		where.record(tabFuncs, d.pos())
		f.Name = d.str()
		f.File = d.str()
		f.How = How(d.max(uint64(Removed), "kind of a function's change"))
		f.Old = decodeParts(d, bodies, maxParts)
		f.New = int(d.max(maxSymbols, "symbol index")) - 1
		f.Jump.Off = uint32(d.max(1<<31, "offset of a jump"))
		f.Jump.Room = uint32(d.max(1<<31, "room for a jump"))
		f.Jump.Pad = d.bytes()
		f.Jump.Take = uint8(d.max(maxTake, "bytes of the first instructions"))
		f.Jump.Fixed = d.str()
	}
	return d.done()
}

func (p *Patch) encodeConsts(bodies *encoder) []byte {
	var e encoder
	e.uint(uint64(len(p.Consts)))
	for i := range p.Consts {
		c := &p.Consts[i]
		e.str(c.Name)
		e.str(c.File)
		e.uint(uint64(c.Addr))
		e.bytes(c.Old)
		e.uint(uint64(c.New.Section))
		encodeFields(&e, c.Fields)
		encodeParts(&e, bodies, c.Readers)
	}
	return e.b
}

func (p *Patch) decodeConsts(d, bodies *decoder, where *locator) error {
	n := d.count(maxConsts, 7, "constants")
	if n > 0 {
		p.Consts = make([]Const, n)
	}
	for i := range p.Consts {
		c := &p.Consts[i]
		where.record(tabConsts, d.pos())
		c.Name = d.str()
		c.File = d.str()
		c.Addr = arch.ImageAddr(d.uint())
		c.Old = d.bytes()
		c.New.Section = int(d.max(maxSections, "section index"))
		c.Fields = decodeFields(d)
		c.Readers = decodeParts(d, bodies, maxReaders)
	}
	return d.done()
}

func (p *Patch) encodeMoves() []byte {
	var e encoder
	e.uint(uint64(len(p.Moves)))
	for i := range p.Moves {
		m := &p.Moves[i]
		e.str(m.Name)
		e.str(m.File)
		e.uint(uint64(m.Old))
		e.uint(m.Size)
		e.uint(m.Keep)
		e.uint(uint64(m.New + 1))
	}
	return e.b
}

func (p *Patch) decodeMoves(d *decoder, where *locator) error {
	n := d.count(maxMoves, 6, "moved variables")
	if n > 0 {
		p.Moves = make([]Move, n)
	}
	for i := range p.Moves {
		m := &p.Moves[i]
		where.record(tabMoves, d.pos())
		m.Name = d.str()
		m.File = d.str()
		m.Old = arch.ImageAddr(d.uint())
		m.Size = d.uint()
		m.Keep = d.uint()
		m.New = int(d.max(maxSymbols, "symbol index")) - 1
	}
	return d.done()
}

func (p *Patch) encodeSlots() []byte {
	var e encoder
	e.uint(uint64(len(p.Slots)))
	for _, s := range p.Slots {
		e.str(s.Name)
		e.uint(uint64(s.Type))
		e.uint(uint64(s.Addr))
	}
	return e.b
}

func (p *Patch) decodeSlots(d *decoder, where *locator) error {
	n := d.count(maxSlots, 3, "slots")
	if n > 0 {
		p.Slots = make([]Slot, n)
	}
	for i := range p.Slots {
		where.record(tabSlots, d.pos())
		p.Slots[i] = Slot{Name: d.str(), Type: uint32(d.max(1<<32-1, "relocation type")), Addr: arch.ImageAddr(d.uint())}
	}
	return d.done()
}

// encodeMap writes each entry relative to the one before: atoms that follow
// each other mostly moved by the same distance.
func (p *Patch) encodeMap() []byte {
	e := encoder{b: make([]byte, 0, 8*len(p.Map))} // what an entry usually takes
	e.uint(uint64(len(p.Map)))
	var prev arch.ImageAddr
	var moved int64
	for _, m := range p.Map {
		e.uint(uint64(m.New - prev)) // validated to be ascending
		e.uint(m.Size)
		by := int64(m.Old - m.New)
		e.int(by - moved)
		e.uint(uint64(m.Sym + 1))
		prev, moved = m.New, by
	}
	return e.b
}

func (p *Patch) decodeMap(d *decoder, where *locator) error {
	n := d.count(maxMap, 4, "map entries")
	if n > 0 {
		p.Map = make([]MapEntry, n)
	}
	var prev arch.ImageAddr
	var moved int64
	for i := range p.Map {
		m := &p.Map[i]
		where.record(tabMap, d.pos())
		m.New = prev + arch.ImageAddr(d.uint())
		m.Size = d.uint()
		moved += d.int()
		m.Old = m.New + arch.ImageAddr(moved)
		m.Sym = int(d.max(maxSymbols, "symbol index")) - 1
		prev = m.New
	}
	return d.done()
}

func (p *Patch) encodeNeeded() []byte {
	var e encoder
	e.uint(uint64(len(p.Needed)))
	for _, s := range p.Needed {
		e.str(s)
	}
	return e.b
}

func (p *Patch) decodeNeeded(d *decoder, where *locator) error {
	n := d.count(maxNeeded, 2, "needed libraries")
	if n > 0 {
		p.Needed = make([]string, n)
	}
	for i := range p.Needed {
		where.record(tabNeeded, d.pos())
		p.Needed[i] = d.str()
	}
	return d.done()
}

package patch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"hotpatch/arch/machines"
)

// File is a patch as it is in a file.
type File struct {
	*Patch
	ID  ID
	Raw []byte // the file; Patch refers to it, so it must not be changed
}

// Encode returns the file of a patch, which it checks first. Equal patches give
// equal bytes.
//
// The patch of the result is p as [Decode] reads it. It differs from p in the order of
// the symbols (local ones stand first, as ELF demands, else in p's order; all
// indices follow) and in that fields without meaning for their kind are zero.
// p itself is not changed.
func (p *Patch) Encode() (*File, error) {
	q := p.localsFirst()
	a, err := machines.Lookup(q.Machine)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	if err := q.validate(a); err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	raw, _, err := q.assemble()
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	f, err := Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("encode patch: what was written cannot be read: %w", err)
	}
	return f, nil
}

// assemble writes a validated patch and computes its ID.
func (p *Patch) assemble() ([]byte, ID, error) {
	content := *p
	content.Acks = nil
	raw, idOff, err := content.write(ID{})
	if err != nil {
		return nil, ID{}, err
	}
	id := ID(sha256.Sum256(raw))
	if len(p.Acks) == 0 {
		copy(raw[idOff:], id[:])
		return raw, id, nil
	}
	raw, _, err = p.write(id)
	return raw, id, err
}

// localsFirst returns a copy of p whose local symbols stand before the others. Indices
// that are out of range stay as they are, for validate to find.
func (p *Patch) localsFirst() *Patch {
	order := make([]int, len(p.Symbols)) // old index -> new index
	q := *p
	q.Symbols = make([]Symbol, 0, len(p.Symbols))
	for _, local := range []bool{true, false} {
		for i, s := range p.Symbols {
			if s.Local == local {
				order[i] = len(q.Symbols)
				q.Symbols = append(q.Symbols, s)
			}
		}
	}
	at := func(i int) int {
		if i < 0 || i >= len(order) {
			return i
		}
		return order[i]
	}
	q.Sections = slices.Clone(p.Sections)
	for i := range q.Sections {
		s := &q.Sections[i]
		s.Relocs = slices.Clone(s.Relocs)
		for j := range s.Relocs {
			s.Relocs[j].Sym = at(s.Relocs[j].Sym)
		}
	}
	q.Funcs = slices.Clone(p.Funcs)
	for i := range q.Funcs {
		q.Funcs[i].New = at(q.Funcs[i].New)
	}
	q.Moves = slices.Clone(p.Moves)
	for i := range q.Moves {
		q.Moves[i].New = at(q.Moves[i].New)
	}
	q.Notes = slices.Clone(p.Notes)
	for i := range q.Notes {
		if !q.Notes[i].Old {
			q.Notes[i].Sym = at(q.Notes[i].Sym)
		}
	}
	q.Map = slices.Clone(p.Map)
	for i := range q.Map {
		q.Map[i].Sym = at(q.Map[i].Sym)
	}
	return &q
}

// Decode reads a patch file. Everything is checked: a damaged or hostile file
// gives a [*FormatError], and what Decode accepts is byte for byte what Encode writes.
// The result refers to raw, which must not be changed afterwards.
func Decode(raw []byte) (*File, error) {
	r, err := readELF(raw)
	if err != nil {
		return nil, err
	}
	id, rest, err := r.identity()
	if err != nil {
		return nil, err
	}
	a, err := machines.Lookup(r.machine)
	if err != nil {
		return nil, &FormatError{Off: 18, Msg: err.Error()}
	}
	p := &Patch{Machine: r.machine}
	where := new(locator)
	if err := r.payload(p, where); err != nil {
		return nil, err
	}
	if err := r.tables(p, rest, id, where); err != nil {
		return nil, err
	}
	if err := p.validate(a); err != nil {
		return nil, where.formatError(err)
	}
	again, content, err := p.assemble()
	if err != nil {
		return nil, &FormatError{Off: 0, Msg: err.Error()}
	}
	idAt := rest.base - int64(len(id))
	if content != id {
		return nil, &FormatError{Off: idAt, Msg: "patch id does not fit the content, which has " + content.String(), Val: id}
	}
	if !bytes.Equal(raw, again) {
		off := firstDifference(raw, again)
		return nil, &FormatError{Off: int64(off), Msg: "not as a patch is written", Val: at(raw, off)}
	}
	return &File{Patch: p, ID: id, Raw: raw}, nil
}

// identity reads the fixed part of .hotpatch.identity and returns a decoder for the rest.
func (r *elfReader) identity() (ID, *decoder, error) {
	s := r.find(nameIdentity)
	if s == nil {
		return ID{}, nil, &FormatError{Off: r.secs[0].hdrAt, Msg: "not a patch: no section " + nameIdentity}
	}
	if len(s.data) < fixedLen || string(s.data[:len(fixedMagic)]) != fixedMagic {
		return ID{}, nil, &FormatError{Off: int64(s.Off), Msg: nameIdentity + " does not begin with " + fixedMagic}
	}
	if v := binary.LittleEndian.Uint32(s.data[fixedVersion:]); v != FormatVersion {
		return ID{}, nil, &FormatError{
			Off: int64(s.Off) + int64(fixedVersion),
			Msg: fmt.Sprintf("patch format version %d; this hotpatch reads version %d", v, FormatVersion),
		}
	}
	for _, name := range []string{nameHooks, nameTransform} {
		if k := r.find(name); k != nil {
			return ID{}, nil, &FormatError{Off: k.hdrAt, Msg: "section " + name + " is kept for a later version, this hotpatch cannot apply it"}
		}
	}
	d := &decoder{name: nameIdentity, b: s.data[fixedLen:], base: int64(s.Off) + int64(fixedLen)}
	return ID(s.data[fixedID:fixedLen]), d, nil
}

// tables reads our own sections.
func (r *elfReader) tables(p *Patch, identity *decoder, id ID, where *locator) error {
	open := func(name string) *decoder {
		s := r.find(name)
		if s == nil {
			d := &decoder{name: name, base: r.secs[0].hdrAt}
			d.fail("section is missing", nil)
			return d
		}
		return &decoder{name: name, b: s.data, base: int64(s.Off)}
	}
	bodies := open(nameBodies)
	for _, step := range []func() error{
		func() error { return p.decodeIdentity(identity, where) },
		func() error { return p.decodeFuncs(open(nameFuncs), bodies, where) },
		func() error { return p.decodeConsts(open(nameConsts), bodies, where) },
		bodies.done,
		func() error { return p.decodeCode(open(nameCode), where) },
		func() error { return p.decodeMoves(open(nameMoves), where) },
		func() error { return p.decodeReach(open(nameReach), where) },
		func() error { return p.decodeSlots(open(nameSlots), where) },
		func() error { return p.decodeMap(open(nameMap), where) },
		func() error { return p.decodeNeeded(open(nameNeeded), where) },
		func() error { return p.decodeChanges(open(nameChanges), where) },
		func() error { return p.decodeNotes(open(nameNotes), where) },
		func() error { return p.decodeAcks(open(nameAcks), id, where) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// firstDifference returns the first offset at which a and b differ; the length of the
// shorter one if it is the beginning of the other.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// at returns the byte at off as a value for a FormatError.
func at(b []byte, off int) any {
	if off >= len(b) {
		return "end of file"
	}
	return uint64(b[off])
}

package elfdiff

import (
	"fmt"
	"math/bits"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// emitter builds the payload: it copies code and data of the new build into sections
// and turns every reference into a relocation against what the reference means
// in the running process.
type emitter struct {
	d        *differ
	sections []patch.Section
	symbols  []patch.Symbol
	index    map[symbolKey]int             // symbols by what they mean
	bodies   map[*image.Atom]int           // new functions' parts and carried objects: symbol
	tables   map[arch.ImageAddr]int        // jump tables, by new address: symbol
	blocks   []block                       // constants without a symbol, by address in the new build
	carried  int                           // blocks that have a section
	slots    map[arch.ImageAddr]patch.Slot // old slots that the payload uses
	proven   map[fieldKey]bool             // of the function at hand, see differ.provenFields
	former   map[fieldKey]*image.Place     // of formerOf, see differ.counterparts
	codeSize int64                         // see emitter.textBound
	pages    map[*image.Ref]*pageUser      // of the function at hand, see groupPages
	makers   map[image.Target]*pageMaker   // of the function at hand
	formerOf *funcChange
}

// symbolKey says what a symbol means.
type symbolKey struct {
	kind    patch.SymKind
	name    string
	version string
	value   uint64
}

func newEmitter(d *differ) *emitter {
	return &emitter{
		d:      d,
		index:  make(map[symbolKey]int),
		bodies: make(map[*image.Atom]int),
		tables: make(map[arch.ImageAddr]int),
		slots:  make(map[arch.ImageAddr]patch.Slot),
	}
}

// section adds a section, and a symbol that stands for all of it.
func (e *emitter) section(s patch.Section, sym patch.Symbol) (sec, symbol int) {
	e.sections = append(e.sections, s)
	sym.Kind, sym.Section, sym.Value = patch.SymDefined, len(e.sections)-1, 0
	e.symbols = append(e.symbols, sym)
	return len(e.sections) - 1, len(e.symbols) - 1
}

// symbol returns the index of an image symbol or import, adding it on first use.
func (e *emitter) symbol(s patch.Symbol) int {
	k := symbolKey{s.Kind, s.Name, s.Version, s.Value}
	i, ok := e.index[k]
	if !ok {
		i = len(e.symbols)
		e.symbols = append(e.symbols, s)
		e.index[k] = i
	}
	return i
}

// declare gives every part of a new function its section, so that references to
// it can be made before its code is relocated.
func (e *emitter) declare(u *unit) {
	for i, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			continue // refused by the judge
		}
		name := ".text." + p.Name
		align := uint64(16)
		if i > 0 {
			align = max(2, uint64(u.im.Arch.InstAlign))
		}
		_, sym := e.section(patch.Section{Name: name, Kind: patch.Text, Align: align,
			Data: append([]byte(nil), body.Code...), Size: uint64(len(body.Code))},
			patch.Symbol{Name: p.Name, Size: p.Size, Func: true, Local: p.Local})
		e.bodies[p] = sym
	}
}

// function relocates the code of a new function. Whatever cannot be carried is a refusal of the change.
func (e *emitter) function(c *funcChange) {
	e.proven = e.d.provenFields(c)
	if bodies := c.new.bodies(); c.new.im.Arch.Pieces != nil {
		e.pages, e.makers = groupPages(bodies), pageMakers(c.new.im, bodies)
	}
	for k, p := range c.new.parts {
		body, err := c.new.im.Body(p)
		if err != nil {
			continue
		}
		sec := e.symbols[e.bodies[p]].Section
		if off := unnamedPage(c.new.im, body); off >= 0 {
			c.refuse("the page at %s+%#x cannot be carried: nothing says what it is used for; only a restart with the new build helps", p.Name, off)
		}
		for i := range body.Refs {
			r := &body.Refs[i]
			if err := e.reference(sec, &operandAt{c, k, body, r}); err != nil {
				inst := body.Insts[r.Inst]
				c.refuse("the %s at %s+%#x cannot be carried: %v", refWord(r), p.Name, inst.Off, err)
			}
		}
	}
	e.emitPages(c)
}

func refWord(r *image.Ref) string {
	switch r.Kind {
	case image.RefCall:
		return "call"
	case image.RefJump:
		return "jump"
	}
	return "reference"
}

// reference emits the relocation of one operand of an instruction.
func (e *emitter) reference(sec int, o *operandAt) error {
	u, body, r := o.c.new, o.body, o.ref
	inst, part := &body.Insts[r.Inst], u.parts[o.part]
	place, user := u.placeOf(r), e.pages[r]
	if place.Kind == image.PlaceNone || place.Kind == image.PlaceSelf && place.Atom == part && r.Kind != image.RefImm && user == nil {
		return nil
	}
	in, err := e.d.new.im.Arch.Decode(body.Code[inst.Off:])
	if err != nil {
		return err
	}
	f := &field{sec: sec, off: inst.Off, ref: r, code: body.Code[inst.Off:inst.End()], in: &in}
	if place.Kind == image.PlaceTLS {
		return e.tls(f)
	}
	if b := e.copied(place); b != nil && f.relative() && r.Kind == image.RefMem {
		return e.foreign(sec, part, body, inst, &in, b)
	}
	if r.Kind == image.RefPage { // what adds to it says what it is
		return fmt.Errorf("what the page at %#x is used for cannot be told (%s)", uint64(place.Addr), place.Why)
	}
	if r.Anchor && user != nil { // what is reached from it says what it is
		user.group.anchors = append(user.group.anchors, lateUse{f: f, whole: user.whole, addr: place.Addr})
		return nil
	}
	weighed, err := e.weigh(o, place)
	if err != nil {
		return err
	}
	if err := e.displaced(o, place, weighed); err != nil {
		return err
	}
	place = weighed
	if fixedNumber(place) {
		if place, err = e.settle(place, o.key()); place == nil {
			return err // nil: the bytes stay as they are
		}
	}
	bind := func() (int, int64, error) { return e.bind(place, body, exactWidth(r.Kind, r.Width)) }
	if place.Kind == image.PlaceAnon && e.writable(place.Addr) {
		bind = func() (int, int64, error) { return e.nameless(o, place) }
	}
	sym, addend, err := bind()
	if err != nil {
		return err
	}
	if user != nil {
		return e.pageField(f, user, place, sym, addend)
	}
	kind := arch.RelocAbs
	switch {
	case place.ViaSlot && f.relative():
		kind, addend = arch.RelocGOTPC, 0
	case place.ViaSlot:
		return fmt.Errorf("it reads a GOT slot by its absolute address")
	case e.symbols[sym].Kind == patch.SymImport && f.relative():
		kind = arch.RelocPLT
	case f.relative():
		kind = arch.RelocPC
	}
	if wide, ok := e.widenAt(f, body, r.Inst); ok && kind == arch.RelocPC {
		return e.relocateWide(f, wide, sym, addend)
	}
	if r.Op == image.BranchField && !e.reaches(f, kind, sym) {
		return e.far(f, part, kind, sym, addend)
	}
	return e.relocateField(f, kind, sym, addend)
}

// field is a field of an instruction of the payload that names a place.
type field struct {
	sec  int
	off  uint32 // of the instruction, in the section
	ref  *image.Ref
	code []byte // of the instruction, in the new build
	in   *arch.Inst
}

// relative reports whether the field counts from the program counter.
func (f *field) relative() bool {
	return f.ref.Op == image.BranchField || f.in.Ops[f.ref.Op].Kind == arch.OpPC
}

// relocateField relocates a field of an instruction.
func (e *emitter) relocateField(f *field, kind arch.RelocKind, sym int, addend int64) error {
	typ, adjust, ok := e.d.new.im.Arch.FieldReloc(f.code, f.in, int(f.ref.Op), kind)
	if !ok {
		return fmt.Errorf("its field of %d bytes is too short to reach from the patch", f.ref.Size)
	}
	return e.relocateAs(typ, f.sec, uint64(f.ref.Off), sym, addend+adjust)
}

// relocate relocates a field of data.
func (e *emitter) relocate(sec int, off uint64, size int, kind arch.RelocKind, sym int, addend int64) error {
	typ, ok := relocType(e.d.new.im.Arch, kind, size)
	if !ok {
		return fmt.Errorf("its field of %d bytes is too short to reach from the patch", size)
	}
	return e.relocateAs(typ, sec, off, sym, addend)
}

// relocateAs adds a relocation, with zero in its field.
func (e *emitter) relocateAs(typ uint32, sec int, off uint64, sym int, addend int64) error {
	d, s := e.d.new.im.Arch.Relocs[typ], &e.sections[sec]
	if err := d.Put(s.Data[off:off+uint64(d.Size)], 0); err != nil {
		return err
	}
	s.Relocs = append(s.Relocs, patch.Reloc{Off: off, Type: typ, Sym: sym, Addend: addend})
	return nil
}

// relocType returns the relocation type of an architecture that stores a value in a plain field of
// size bytes: the lowest-numbered one, which is the oldest and best known.
func relocType(a *arch.Arch, kind arch.RelocKind, size int) (uint32, bool) {
	best, found := uint32(0), false
	for t, r := range a.Relocs {
		if r.Kind == kind && r.Size == size && (!found || t < best) {
			best, found = t, true
		}
	}
	return best, found
}

// carry puts an object into the payload, once.
func (e *emitter) carry(b *image.Atom) (int, error) {
	if sym, ok := e.bodies[b]; ok {
		return sym, nil
	}
	s := patch.Section{Kind: patch.Data, Size: b.Size, Align: alignment(b)}
	if b.Size == 0 {
		return 0, fmt.Errorf("object %s has no size", b.Name)
	}
	data, ok := e.d.new.im.Bytes(b.Addr, b.Size)
	switch {
	case !ok:
		s.Kind, s.Name = patch.BSS, ".bss."+b.Name
	case readOnly(b):
		s.Kind, s.Name = patch.ROData, ".rodata."+b.Name
	default:
		s.Name = ".data." + b.Name
	}
	if ok {
		s.Data = append([]byte(nil), data...)
	}
	sec, sym := e.section(s, patch.Symbol{Name: b.Name, Size: b.Size, Local: b.Local})
	e.bodies[b] = sym
	return sym, e.content(sec, 0, b)
}

// alignment returns the alignment that an object has by its address, up to what its section asks for.
func alignment(b *image.Atom) uint64 {
	align := uint64(64)
	if b.Section != nil && b.Section.Align > 0 {
		align = min(max(b.Section.Align, 1), 4096)
	}
	if b.Addr != 0 {
		align = min(align, 1<<bits.TrailingZeros64(uint64(b.Addr)))
	}
	return align
}

// word binds what a field of a data object holds; plain says that it is a number.
func (e *emitter) word(b *image.Atom, r *image.DataRef) (sym int, addend int64, plain bool, err error) {
	if e.isLabel(b, r) {
		sym, addend, err = e.label(b, &r.Place)
		return sym, addend, false, err
	}
	place, err := e.weighWord(b, r)
	if err != nil {
		return 0, 0, false, err
	}
	if fixedNumber(place) {
		if place, err = e.settleWord(place, b, r.Off); err != nil || place == nil {
			return 0, 0, err == nil, err
		}
	}
	sym, addend, err = e.bind(place, nil, 0)
	return sym, addend, false, err
}

// content relocates the addresses in an object that was copied to offset off of section sec.
func (e *emitter) content(sec int, off uint64, b *image.Atom) error {
	refs := e.d.new.dataRefs(b)
	if data := e.sections[sec].Data; uint64(len(data)) >= off+b.Size {
		if err := e.unaligned(b, data[off:off+b.Size], refs); err != nil {
			return err
		}
	}
	e.reserveData(refs)
	for i := range refs {
		r := &refs[i]
		if r.Place.Kind == image.PlaceNone {
			continue
		}
		if r.Off+uint64(r.Size) > b.Size {
			return fmt.Errorf("%s+%#x holds an address of which only a part belongs to it: where it ends cannot be told", b.Name, r.Off)
		}
		sym, addend, plain, err := e.word(b, r)
		if plain {
			continue // the bytes stay as they are
		}
		if err != nil {
			return fmt.Errorf("%s+%#x holds an address that cannot be carried: %w", b.Name, r.Off, err)
		}
		kind := arch.RelocAbs
		if r.Relative { // the distance is from the table's start, not from the field
			kind, addend = arch.RelocPC, addend+int64(r.Off)
		}
		if err := e.relocate(sec, off+r.Off, int(r.Size), kind, sym, addend); err != nil {
			return fmt.Errorf("%s+%#x: %w", b.Name, r.Off, err)
		}
	}
	return nil
}

// table puts a jump table into the payload; its entries lead into the new body.
func (e *emitter) table(t *image.JumpTable) (int, error) {
	if t == nil {
		return 0, fmt.Errorf("its jump table was not found")
	}
	if sym, ok := e.tables[t.Addr]; ok {
		return sym, nil
	}
	if !t.Bounded && !e.d.new.tableEnds(t.Addr, t.Size) {
		return 0, fmt.Errorf("where its jump table at %#x ends cannot be told", uint64(t.Addr))
	}
	data, err := e.distances(t)
	if err != nil {
		return 0, err
	}
	name := fmt.Sprintf("table.%d", len(e.tables))
	sec, sym := e.section(patch.Section{Name: ".rodata." + name, Kind: patch.ROData, Align: uint64(t.EntrySize),
		Data: data, Size: t.Size},
		patch.Symbol{Name: name, Size: t.Size, Local: true})
	e.tables[t.Addr] = sym
	if t.Relative && t.Base != t.Addr {
		return sym, nil
	}
	for i, entry := range t.Entries {
		target, ok := e.bodies[entry.Atom]
		if !ok {
			return 0, fmt.Errorf("its jump table leads to %s, which is not in the patch", entry.Atom.Name)
		}
		off := uint64(i * t.EntrySize)
		kind, addend := arch.RelocAbs, int64(entry.Off)
		switch {
		case t.Own: // entry = target - entry
			kind = arch.RelocPC
		case t.Relative: // entry = target - table
			kind, addend = arch.RelocPC, int64(entry.Off)+int64(off)
		}
		if err := e.relocate(sec, off, t.EntrySize, kind, target, addend); err != nil {
			return 0, err
		}
	}
	return sym, nil
}

// distances returns the content of a jump table in the patch, its relocated entries aside. Those that count from a place in the code stay as they are, as
// long as all that they lead to is in the same part of the function, which is carried as a whole.
func (e *emitter) distances(t *image.JumpTable) ([]byte, error) {
	if !t.Relative || t.Base == t.Addr {
		return make([]byte, t.Size), nil
	}
	for _, entry := range t.Entries {
		if t.Base < entry.Atom.Addr || t.Base >= entry.Atom.End() {
			return nil, fmt.Errorf("its jump table holds distances from %#x to %s, which is another part of the function", uint64(t.Base), entry.Atom.Name)
		}
	}
	data, ok := e.d.new.im.Bytes(t.Addr, t.Size)
	if !ok {
		return nil, fmt.Errorf("nothing with content is at %#x", uint64(t.Addr))
	}
	return append([]byte(nil), data...), nil
}

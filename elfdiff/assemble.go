package elfdiff

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// assemble puts the patch together. Whatever turns out not to be deliverable is
// added to its change as a refusal; the result then holds no patch.
func (d *differ) assemble() (*patch.Patch, error) {
	if d.sameBuild() && len(d.funcs) > 0 {
		return nil, fmt.Errorf("diff: %s and %s have the same build-id %x but differ: the build-id does not identify the build",
			d.old.im.Path, d.new.im.Path, d.old.im.BuildID)
	}
	d.sortChanges()
	e := newEmitter(d)
	for _, c := range d.funcs {
		if c.carried(&d.opt) {
			e.declare(c.new)
		}
	}
	e.reserveCode()
	for _, c := range d.funcs {
		if c.carried(&d.opt) {
			e.function(c)
		}
	}
	p := &patch.Patch{
		Machine: d.new.im.Arch.Machine,
		Old:     build(d.old.im),
		New:     build(d.new.im),
		Needed:  d.new.im.Needed,
	}
	p.Consts = e.constants()
	p.Moves = e.moves()
	e.frames()
	d.payload = e.bodies
	for _, o := range d.objects {
		if o.delta == objAdded && len(o.refused) == 0 && o.new.Kind == image.Object && !o.new.CRT {
			e.addUnused(o)
		}
	}
	p.Funcs = e.functions()
	p.Map = e.atomMap()
	p.Notes = e.notes(p.Funcs)
	p.Sections, p.Symbols = e.sections, e.symbols
	for _, s := range e.slots {
		p.Slots = append(p.Slots, s)
	}
	slices.SortFunc(p.Slots, func(a, b patch.Slot) int { return cmp.Compare(a.Addr, b.Addr) })
	for i := range p.Sections {
		slices.SortFunc(p.Sections[i].Relocs, func(a, b patch.Reloc) int { return cmp.Compare(a.Off, b.Off) })
	}
	localsFirst(p)
	return p, nil
}

func build(im *image.Image) patch.Build {
	return patch.Build{ID: im.BuildID, HasBuildID: im.HasBuildID, Name: filepath.Base(im.Path), Type: im.Type, SONAME: im.SONAME}
}

// sortChanges brings functions into the order of the function table: by old address, then added ones by name.
func (d *differ) sortChanges() {
	slices.SortStableFunc(d.funcs, func(a, b *funcChange) int {
		switch {
		case a.old != nil && b.old != nil:
			return cmp.Compare(a.old.atom().Addr, b.old.atom().Addr)
		case a.old == nil && b.old == nil:
			x, y := a.new.atom(), b.new.atom()
			return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.File, y.File), cmp.Compare(x.Addr, y.Addr))
		case a.old != nil:
			return -1
		}
		return 1
	})
}

// addUnused reports a new object that nothing in the patch refers to: it is not carried.
func (e *emitter) addUnused(o *objChange) {
	if o.new.Copy {
		o.because(patch.ReasonUnused, nil, "another module's variable, used where that module has it")
	} else if _, ok := e.bodies[o.new]; !ok {
		o.because(patch.ReasonUnused, nil, "nothing in the patch refers to it")
	}
}

// functions makes the function table.
func (e *emitter) functions() []patch.Func {
	var out []patch.Func
	for _, c := range e.d.funcs {
		f := patch.Func{How: c.how, New: -1}
		if c.how == patch.Removed {
			f.Name, f.File = c.old.atom().Name, c.old.atom().File
		} else {
			if !c.carried(&e.d.opt) {
				continue
			}
			f.Name, f.File = c.new.atom().Name, c.new.atom().File
			sym, ok := e.bodies[c.new.atom()]
			if !ok {
				continue // refused: it could not be decoded
			}
			f.New = sym
		}
		if c.old != nil {
			f.Old = parts(c.old)
			f.Jump = c.site
		}
		out = append(out, f)
	}
	return out
}

// parts describes the old body of a function, with the fields that differ where the same
// code is linked elsewhere: its parts, and then the code to which the linker has moved instructions of it.
func parts(u *unit) []patch.Part {
	var out, veneers []patch.Part
	for _, a := range u.parts {
		p := partAt(u.im, a.Name, a.Addr, a.Size)
		if body, err := u.im.Body(a); err == nil {
			for i := range body.Refs {
				r := &body.Refs[i]
				if r.Kind == image.RefPage || r.Place.Kind != image.PlaceNone && (r.Place.Kind != image.PlaceSelf || r.Place.Atom != a) {
					p.Fields = append(p.Fields, patch.Field{Off: r.Off, Size: r.Size})
				}
			}
		}
		for _, v := range u.im.Veneers(a.Addr, a.End()) {
			n := uint8(u.im.Arch.InstAlign)
			p.Fields = withField(p.Fields, patch.Field{Off: uint32(v.Site - a.Addr), Size: n})
			code := partAt(u.im, v.Name, v.At, v.Size)
			code.Fields = []patch.Field{{Off: 0, Size: n}, {Off: uint32(n), Size: n}}
			veneers = append(veneers, code)
		}
		out = append(out, p)
	}
	return append(out, veneers...)
}

// partAt describes a part of an old body by what the file has.
func partAt(im *image.Image, name string, addr arch.ImageAddr, size uint64) patch.Part {
	b, _ := im.FileBytes(addr, size)
	return patch.Part{Name: name, Addr: addr, Size: size, Hash: sha256.Sum256(b), Bytes: b}
}

// withField adds a field to others that are in the order of their offsets, in the place of one that is in it.
func withField(fields []patch.Field, f patch.Field) []patch.Field {
	i, _ := slices.BinarySearchFunc(fields, f.Off, func(x patch.Field, off uint32) int { return cmp.Compare(x.Off, off) })
	j := i
	for j < len(fields) && fields[j].Off < f.Off+uint32(f.Size) {
		j++
	}
	return slices.Replace(fields, i, j, f)
}

// constants makes the table of constants that get new content where they are.
func (e *emitter) constants() []patch.Const {
	d := e.d
	var out []patch.Const
	for _, o := range d.objects {
		if !o.inPlace() || len(o.refused) > 0 {
			continue
		}
		old, _ := d.old.im.Bytes(o.old.Addr, o.old.Size)
		data, _ := d.new.im.Bytes(o.new.Addr, o.new.Size)
		sec, _ := e.section(patch.Section{Name: ".rodata." + o.new.Name, Kind: patch.ROData, Align: alignment(o.new),
			Data: append([]byte(nil), data...), Size: o.new.Size},
			patch.Symbol{Name: o.new.Name + ".content", Size: o.new.Size, Local: true})
		if err := e.content(sec, 0, o.new); err != nil {
			o.refuse("%v", err)
			continue
		}
		k := patch.Const{Name: o.new.Name, File: o.new.File, Addr: o.old.Addr, Old: old, New: patch.Ref{Section: sec}}
		for _, r := range d.old.dataRefs(o.old) {
			k.Fields = append(k.Fields, patch.Field{Off: uint32(r.Off), Size: r.Size})
		}
		readers := make(map[*unit]bool)
		through, _ := d.reachedThrough(o.old)
		for _, a := range append(through, o.old) {
			for _, u := range d.old.usersOf(a) {
				if !readers[u] {
					readers[u] = true
					k.Readers = append(k.Readers, parts(u)...)
				}
			}
		}
		sort.Slice(k.Readers, func(i, j int) bool { return k.Readers[i].Addr < k.Readers[j].Addr })
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b patch.Const) int { return cmp.Compare(a.Addr, b.Addr) })
	return out
}

// atomMap says for every atom of the new build where it is once the patch is applied.
func (e *emitter) atomMap() []patch.MapEntry {
	d := e.d
	var out []patch.MapEntry
	for _, b := range d.new.im.Atoms {
		if c := classOf(b); c == classNone && b.Parent == nil || c == classTLS || b.Size == 0 {
			continue
		}
		m := patch.MapEntry{New: b.Addr, Size: b.Size, Sym: -1}
		old := d.oldOf(b)
		sym, carried := e.bodies[b]
		switch o := d.objNew[b]; {
		case carried && b.Parent != nil:
			m.Sym = sym
		case e.leftOut(b):
			continue // the process goes on with another body: a later patch must not count on this one
		case old != nil && (o == nil || !o.moves()):
			m.Old = old.Addr
		case carried:
			m.Sym = sym
		default:
			continue
		}
		if n := len(out); n > 0 && out[n-1].New == m.New && out[n-1].Size <= m.Size {
			continue
		}
		out = append(out, m)
	}
	return out
}

// oldOf returns the old build's atom of one of the new build, or nil. Parts of a function (.cold) are not paired for themselves: equal functions
// have equal parts, in one order.
func (d *differ) oldOf(b *image.Atom) *image.Atom {
	if b.Parent == nil {
		return d.rev.of(b)
	}
	u := d.new.unitOf(b)
	if u == nil {
		return nil
	}
	v := d.old.unitOf(d.rev.of(u.atom()))
	if v == nil || len(v.parts) != len(u.parts) {
		return nil
	}
	return v.parts[slices.Index(u.parts, b)]
}

// localsFirst puts local symbols in front of global ones, as ELF demands, and renumbers every use.
func localsFirst(p *patch.Patch) {
	order := make([]int, len(p.Symbols))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := p.Symbols[i].Local, p.Symbols[j].Local
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	})
	renumber := make([]int, len(order))
	symbols := make([]patch.Symbol, len(order))
	for to, from := range order {
		renumber[from] = to
		symbols[to] = p.Symbols[from]
	}
	p.Symbols = symbols
	for i := range p.Sections {
		for j := range p.Sections[i].Relocs {
			r := &p.Sections[i].Relocs[j]
			r.Sym = renumber[r.Sym]
		}
	}
	for i := range p.Funcs {
		if p.Funcs[i].New >= 0 {
			p.Funcs[i].New = renumber[p.Funcs[i].New]
		}
	}
	for i := range p.Notes {
		if !p.Notes[i].Old {
			p.Notes[i].Sym = renumber[p.Notes[i].Sym]
		}
	}
	for i := range p.Moves {
		p.Moves[i].New = renumber[p.Moves[i].New]
	}
	for i := range p.Map {
		if p.Map[i].Sym >= 0 {
			p.Map[i].Sym = renumber[p.Map[i].Sym]
		}
	}
}

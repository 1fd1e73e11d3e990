package mutate

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"hotpatch/arch"
)

// flip changes one bit of a byte of data.
func (p *Program) flip(kind Kind, at arch.ImageAddr, bit int) Mutation {
	b := p.bytes(at, 1)[0]
	return Mutation{Kind: kind, Addr: at, inst: -1, edits: []edit{p.edit(at, b^1<<bit)}, What: fmt.Sprintf("%#x -> %#x", b, b^1<<bit)}
}

// owners returns the units and objects that hold the references, and whether each has one.
func owners(refs []*ref) (out []arch.ImageAddr, all bool) {
	for _, r := range refs {
		if r.owner == 0 {
			return nil, false
		}
		if !slices.Contains(out, r.owner) {
			out = append(out, r.owner)
		}
	}
	return out, true
}

// findTextBytes flips a bit in a text. Whoever refers to a place in it at or in front of that byte reads it.
func findTextBytes(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	for _, label := range p.labels {
		text := p.text(label)
		if text == "" || p.objectAt(label) != nil {
			continue
		}
		start := p.textStart(label)
		at := label + arch.ImageAddr(r.IntN(len(text)-1))
		m := p.flip(TextByte, at, r.IntN(3))
		if c := m.edits[0].new[0]; c < ' ' || c > '~' {
			continue // it would be another text, or two
		}
		known := true
		for _, l := range p.labelsIn(start, at+1) {
			for _, ref := range p.readers[l] {
				known = known && ref.owner != 0 && (ref.inst < 0 || ref.width == 0)
				if !slices.Contains(m.must, ref.owner) {
					m.must = append(m.must, ref.owner)
				}
			}
		}
		m.keys = append(m.keys, p.labelsIn(start, label+arch.ImageAddr(len(text)))...)
		if known && len(m.must) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// textStart returns the start of the whole text that a text is the tail of. What the linker relocated in front of it is none: a jump table.
func (p *Program) textStart(label arch.ImageAddr) arch.ImageAddr {
	start := label
	for start > 0 && !p.relocated(start-1) {
		if b := p.bytes(start-1, 1); b == nil || !printable(b[0]) {
			break
		}
		start--
	}
	return start
}

// longestAccess is the width in bytes of the widest access to memory.
const longestAccess = 64

// findConstants flips a bit of a constant without a symbol that instructions access by its address.
func findConstants(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	for _, label := range p.labels {
		s := p.section(label)
		if s.Flags&elf.SHF_WRITE != 0 || s.Type != elf.SHT_PROGBITS || p.objectAt(label) != nil || !strings.HasPrefix(s.Name, ".rodata") {
			continue
		}
		width := 0
		for _, ref := range p.readers[label] {
			width = max(width, ref.width)
		}
		if width == 0 {
			continue
		}
		at := label + arch.ImageAddr(r.IntN(width))
		if p.bytes(at, 1) == nil {
			continue
		}
		m := p.flip(Constant, at, r.IntN(8))
		known := true
		for _, l := range p.labelsIn(at-longestAccess, at+1) {
			for _, ref := range p.readers[l] {
				known = known && ref.owner != 0 && ref.inst >= 0
				switch {
				case ref.width == 0 && p.endsBefore(l, at):
				case ref.width == 0: // its address is taken: how far it reaches is not known
					m.may = append(m.may, ref.owner)
				case l+arch.ImageAddr(ref.width) > at:
					m.must = append(m.must, ref.owner)
				}
			}
		}
		m.keys = append(m.keys, p.labelsIn(at-longestAccess, at+1)...)
		if known && len(m.must) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// endsBefore reports whether what starts at l is known to end in front of at: a text, or a jump table.
func (p *Program) endsBefore(l, at arch.ImageAddr) bool {
	if t := p.text(l); t != "" {
		return l+arch.ImageAddr(len(t)) <= at
	}
	return p.isJumpTable(l) && !p.isJumpTable(at&^3)
}

// eachObject calls f with the objects that the file holds the content of.
func (p *Program) eachObject(f func(o *object)) {
	for i := range p.objects {
		o := &p.objects[i]
		if !o.overlaps && o.section.Type == elf.SHT_PROGBITS && o.section.Flags&elf.SHF_EXECINSTR == 0 && !startObject(o.name) {
			f(o)
		}
	}
}

// startObject reports whether an object is the start files' or the linker's.
func startObject(name string) bool {
	switch name {
	case "_IO_stdin_used", "__dso_handle", "completed.0", "__FRAME_END__", "_DYNAMIC", "_GLOBAL_OFFSET_TABLE_", "__TMC_END__":
		return true
	}
	return strings.HasSuffix(name, "_array_entry")
}

// findNamed flips a bit of a read-only object.
func findNamed(p *Program, r *rand.Rand) []Mutation { return p.findContents(Named, true, r) }

// findVariables flips a bit of an initial value.
func findVariables(p *Program, r *rand.Rand) []Mutation { return p.findContents(Variable, false, r) }

func (p *Program) findContents(kind Kind, readOnly bool, r *rand.Rand) []Mutation {
	var out []Mutation
	p.eachObject(func(o *object) {
		if o.readOnly != readOnly {
			return
		}
		for range 1 + min(40, (o.end-o.start)/16) {
			at := o.start + arch.ImageAddr(r.Int64N(int64(o.end-o.start)))
			if p.relocated(at) {
				continue
			}
			m := p.flip(kind, at, r.IntN(8))
			m.must = []arch.ImageAddr{o.start}
			m.What = o.name + ": " + m.What
			p.mayReaders(&m, o)
			out = append(out, m)
		}
	})
	return out
}

// mayReaders allows the readers of an object to be reported with it.
func (p *Program) mayReaders(m *Mutation, o *object) {
	if !o.readOnly {
		return
	}
	for _, l := range p.labelsIn(o.start, o.end) {
		readers, _ := owners(p.readers[l])
		m.may = append(m.may, readers...)
	}
}

// findPointers leads a pointer in an object to another function, or to another object.
func findPointers(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	for i := range p.dyn {
		d := &p.dyn[i]
		o := p.objectAt(d.addr)
		if o == nil || o.overlaps || startObject(o.name) {
			continue
		}
		var to arch.ImageAddr
		if f := p.functionAt(d.addend); f != nil && f.start == d.addend {
			if g := &p.funcs[r.IntN(len(p.funcs))]; g.unit == g.start { // no data holds the address of a part
				to = g.start
			}
		} else if a := p.objectAt(d.addend); a != nil && a.start == d.addend && !a.overlaps {
			b := &p.objects[r.IntN(len(p.objects))]
			if b.overlaps || b.section != a.section || p.equalCopies(a, b) {
				continue
			}
			to = b.start
		}
		if to == 0 || to == d.addend {
			continue
		}
		m := Mutation{Kind: Pointer, Addr: d.addr, inst: -1, must: []arch.ImageAddr{o.start}, reads: []arch.ImageAddr{d.addend, to},
			What:  fmt.Sprintf("%s+%d: %#x -> %#x", o.name, d.addr-o.start, uint64(d.addend), uint64(to)),
			edits: []edit{{off: d.off, old: slices.Clone(p.data[d.off : d.off+8]), new: binary.LittleEndian.AppendUint64(nil, uint64(to))}}}
		if b := p.bytes(d.addr, 8); binary.LittleEndian.Uint64(b) == uint64(d.addend) { // linkers may store it in the word as well
			m.edits = append(m.edits, p.edit(d.addr, binary.LittleEndian.AppendUint64(nil, uint64(to))...))
		}
		p.mayReaders(&m, o)
		out = append(out, m)
	}
	return out
}

// jumpTable is a run of words that the linker relocated, from a place that code takes the address of.
type jumpTable struct {
	start   arch.ImageAddr
	targets []arch.ImageAddr
	unit    arch.ImageAddr
}

// jumpTables finds the tables of distances to code. A table ends where the next place is referred to, and where no further word is relocated.
func (p *Program) jumpTables() []jumpTable {
	var out []jumpTable
	for _, start := range p.labels {
		if !p.isJumpTable(start) || p.objectAt(start) != nil {
			continue
		}
		readers, known := owners(p.readers[start])
		if !known || len(readers) != 1 {
			continue
		}
		t := jumpTable{start: start, unit: readers[0]}
		for at := start; (at == start || len(p.labelsIn(at, at+1)) == 0) && p.isJumpTable(at); at += 4 {
			to := start + arch.ImageAddr(int32(binary.LittleEndian.Uint32(p.bytes(at, 4))))
			if p.unitAt(to) != t.unit {
				break
			}
			t.targets = append(t.targets, to)
		}
		out = append(out, t)
	}
	return out
}

// findTables leads an entry of a jump table to the target of another.
func findTables(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	for _, t := range p.jumpTables() {
		for i, to := range t.targets {
			other := t.targets[r.IntN(len(t.targets))]
			k, l := p.instAt(to), p.instAt(other)
			if other == to || p.onlyPadding(min(k, l), max(k, l)) {
				continue
			}
			at := t.start + arch.ImageAddr(4*i)
			out = append(out, Mutation{Kind: Table, Addr: at, inst: -1, must: []arch.ImageAddr{t.unit},
				What:  fmt.Sprintf("entry %d: %#x -> %#x", i, uint64(to), uint64(other)),
				edits: []edit{p.edit(at, binary.LittleEndian.AppendUint32(nil, uint32(other-t.start))...)}})
		}
	}
	return out
}

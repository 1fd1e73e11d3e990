package image

import (
	"debug/elf"
	"slices"

	"hotpatch/arch"
)

// findTables looks for jump tables among the addresses that the unit uses, and queues their targets. It reports whether
// it found a new one.
//
// Two forms exist on x86-64. Position-independent code adds a 32-bit entry to the table's address; other code
// jumps through a table of 64-bit addresses, which its displacement names. A table ends where its entries stop being targets in the unit, and at the latest
// where something else is referred to.
func (d *decoder) findTables() bool {
	found := false
	for _, addr := range d.leas {
		found = d.tryTable(addr, 4) || found
	}
	for _, addr := range d.disps {
		found = d.tryTable(addr, 8) || found
	}
	if d.im.Type != elf.ET_EXEC {
		return found
	}
	for _, addr := range d.leas { // lea tbl(%rip) with a table of addresses
		found = d.tryTable(addr, 8) || found
	}
	return found
}

// tableKey is a place where a table was looked for.
type tableKey struct {
	addr arch.ImageAddr
	size int // of an entry
}

// tryTable adds the table at addr if there is one.
func (d *decoder) tryTable(addr arch.ImageAddr, size int) bool {
	key := tableKey{addr, size}
	if d.seen[key] {
		return false
	}
	d.seen[key] = true
	s := d.im.SectionAt(addr)
	if s == nil || s.Data == nil || s.Exec() || s.Writable() || addr%4 != 0 {
		return false
	}
	limit := d.im.places.next(addr, s.End())
	if named := d.im.Covering(addr); len(named) > 0 {
		return false // an object with a name is no jump table of a compiler's
	}
	t := &JumpTable{Addr: addr, EntrySize: size, Relative: size == 4}
	t.Bounded = true
	for at := addr; at+arch.ImageAddr(size) <= limit; at += arch.ImageAddr(size) {
		b := s.Data[at-s.Addr:]
		var v arch.ImageAddr
		if t.Relative {
			v = addr + arch.ImageAddr(int64(int32(order.Uint32(b))))
		} else {
			v = arch.ImageAddr(order.Uint64(b))
		}
		to, i, ok := d.locate(v)
		if !ok || d.parts[i].state[to.Off] == byteInside || d.relocDenies(at, size) {
			// A word that leads to no code at all is no entry. One that leads into another
			// function or into an instruction contradicts what is known.
			s := d.im.SectionAt(v)
			t.Bounded = d.im.HasRelocs || !ok && (s == nil || !s.Exec())
			break
		}
		t.Entries = append(t.Entries, to)
	}
	if len(t.Entries) == 0 {
		return false
	}
	t.Size = uint64(len(t.Entries) * size)
	d.table = append(d.table, t)
	d.work = append(d.work, t.Entries...)
	return true
}

// relocDenies reports whether the file has link-time relocations, but none for the entry.
func (d *decoder) relocDenies(at arch.ImageAddr, size int) bool {
	if !d.im.HasRelocs {
		return false
	}
	_, ok := d.im.linkReloc(at)
	return !ok
}

// isTableJump reports whether the indirect jump at t goes through one of the tables: the code in
// front of it, back to the last other jump, uses a table's address; or it is the only kind of
// indirect jump that the unit can have.
func (d *decoder) isTableJump(t Target) bool {
	return len(d.table) > 0 && d.nearTable(t)
}

// tableWindow is how many bytes in front of an indirect jump the table's address is looked for.
const tableWindow = 256

// nearTable reports whether an instruction at most tableWindow bytes in front of the jump, or the jump itself, names a table.
func (d *decoder) nearTable(t Target) bool {
	i := d.partOf(t.Atom)
	p := &d.parts[i]
	start := max(0, int(t.Off)-tableWindow)
	for off := start; off <= int(t.Off); off++ {
		if s := p.state[off]; s != byteStart && s != byteUnseen {
			continue
		}
		in, err := d.im.Arch.Decode(p.code[off:])
		if err != nil {
			continue
		}
		at := t.Atom.Addr + arch.ImageAddr(off)
		for k := range in.NumOps {
			if v, ok := d.im.opAddress(at, &in.Ops[k]); ok && d.tableAt(v) != nil {
				return true
			}
		}
	}
	return false
}

func (d *decoder) tableAt(addr arch.ImageAddr) *JumpTable {
	i := slices.IndexFunc(d.table, func(t *JumpTable) bool { return t.Addr == addr })
	if i < 0 {
		return nil
	}
	return d.table[i]
}

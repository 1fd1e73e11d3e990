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
// jumps through a table of 64-bit addresses, which its displacement names. A table ends where its entries stop
// being targets in the unit, and at the latest where something else is referred to.
func (d *Decoder) findTables() bool {
	if d.im.Arch.Pieces != nil {
		return false // see findSwitches
	}
	found := false
	leas, disps := d.leas[d.triedLeas:], d.disps[d.triedDisps:]
	d.triedLeas, d.triedDisps = len(d.leas), len(d.disps)
	for _, addr := range leas {
		found = d.tryTable(addr, 4) || found
	}
	for _, addr := range disps {
		found = d.tryTable(addr, 8) || found
	}
	if d.im.Type != elf.ET_EXEC {
		return found
	}
	for _, addr := range leas { // lea tbl(%rip) with a table of addresses
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
func (d *Decoder) tryTable(addr arch.ImageAddr, size int) bool {
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
	t := &JumpTable{Addr: addr, EntrySize: size, Relative: size == 4, Base: addr, Signed: true}
	var stop arch.ImageAddr // what the first word leads to that is no entry
	t.Entries, stop = d.entries(t, s, addr, limit)
	if len(t.Entries) == 0 {
		return false
	}
	t.Size = uint64(len(t.Entries) * size)
	end := addr + arch.ImageAddr(t.Size)
	switch {
	case d.im.HasRelocs:
		t.Bounded = true
	case end+arch.ImageAddr(size) > limit:
		t.Bounded = d.endsAt(t, s, end)
	default:
		// A word that leads to no code at all is no entry. One that leads into another
		// function or into an instruction contradicts what is known.
		to := d.im.SectionAt(stop)
		t.Bounded = to == nil || !to.Exec()
	}
	if !t.Bounded {
		t.Further = d.further(t, s, end)
	}
	d.table = append(d.table, t)
	if d.tables[addr] == nil {
		d.tables[addr] = t
	}
	d.work = append(d.work, t.Entries...)
	return true
}

// entries reads the table's words in [at, limit), up to the first that cannot be an entry; it returns what that one leads to. There are none if
// no word leads to an instruction.
func (d *Decoder) entries(t *JumpTable, s *Section, at, limit arch.ImageAddr) (entries []Target, stop arch.ImageAddr) {
	code := false
	for size := arch.ImageAddr(t.EntrySize); at+size <= limit; at += size {
		v := t.target(s.Data[at-s.Addr:], at)
		to, ok := d.entry(v)
		if t.Own && v == at {
			to, ok = noEntry(d.atoms[0]), true
		}
		if !ok || d.relocDenies(at) {
			stop = v
			break
		}
		code = code || uint64(to.Off) < to.Atom.Size
		entries = append(entries, to)
	}
	if !code {
		return nil, stop
	}
	return entries, stop
}

// entry returns what a table's word leads to, if it can be an entry: an instruction of the unit, or the end of one of its parts. There clang
// puts the label of a block that cannot be reached, has no instruction, and is the last one (the default of a switch
// over an enumeration, with llvm_unreachable behind it). Nothing jumps there.
func (d *Decoder) entry(v arch.ImageAddr) (Target, bool) {
	if to, i, ok := d.locate(v); ok {
		return to, d.parts[i].state[to.Off] != byteInside
	}
	for _, a := range d.atoms {
		if v == a.End() {
			return Target{a, uint32(a.Size)}, true
		}
	}
	return Target{}, false
}

// noEntry stands for an entry that leads to itself, where nothing can be executed: one of an index for which there is no jump. It is as good as one
// that leads to the end of a function's code, which nothing jumps to either.
func noEntry(a *Atom) Target { return Target{a, uint32(a.Size)} }

// further returns what could follow the entries of a table: what the words from at on lead to, as far as that is code.
func (d *Decoder) further(t *JumpTable, s *Section, at arch.ImageAddr) []arch.ImageAddr {
	var found []arch.ImageAddr
	for size := arch.ImageAddr(t.EntrySize); at+size <= s.End() && len(found) < MaxFurther; at += size {
		v := t.target(s.Data[at-s.Addr:], at)
		if to := d.im.SectionAt(v); to == nil || !to.Exec() {
			break
		}
		found = append(found, v)
	}
	return found
}

// target returns what the entry leads to that is at an address and that the bytes begin with.
func (t *JumpTable) target(b []byte, at arch.ImageAddr) arch.ImageAddr {
	var v uint64
	switch t.EntrySize {
	case 1:
		v = uint64(b[0])
	case 2:
		v = uint64(order.Uint16(b))
	case 4:
		v = uint64(order.Uint32(b))
	default:
		v = order.Uint64(b)
	}
	if !t.Relative {
		return arch.ImageAddr(v)
	}
	e := arch.Extend{Bits: uint8(8 * t.EntrySize), Signed: t.Signed}
	base := t.Base
	if t.Own {
		base = at
	}
	return base + arch.ImageAddr(e.Of(int64(v))<<t.Scale)
}

// endsAt reports whether the table really ends where something else is referred to. If the word there could be one more
// entry, the unit itself must refer to it, or compare an index with the number of entries.
func (d *Decoder) endsAt(t *JumpTable, s *Section, end arch.ImageAddr) bool {
	if uint64(s.End()-end) < uint64(t.EntrySize) || slices.Contains(d.leas, end) || slices.Contains(d.disps, end) {
		return true
	}
	if _, ok := d.entry(t.target(s.Data[end-s.Addr:], end)); !ok {
		return true
	}
	return d.comparesWith(uint64(len(t.Entries)) - 1)
}

// comparesWith reports whether some instruction of the unit is cmp $n or sub $n, with a register or memory: the range
// check in front of a table with n+1 entries.
func (d *Decoder) comparesWith(n uint64) bool {
	for i := range d.parts {
		p := &d.parts[i]
		for off, state := range p.state {
			if state != byteStart && state != byteUnseen {
				continue
			}
			in := d.instAt(p, uint32(off))
			if v, ok := compareImmediate(d.transferOf(p.code[off:off+in.Len], in)); ok && v == n {
				return true
			}
		}
	}
	return false
}

// compareImmediate returns the number with which an instruction compares a register or memory, or which it subtracts.
func compareImmediate(t *arch.Transfer) (uint64, bool) {
	switch {
	case t.Kind == arch.TransferCompare && t.HasImm:
		return uint64(t.Imm), true
	case inPlace(t) && t.Flags && t.Mem.Index < 0:
		return uint64(-t.Mem.Disp), true
	}
	return 0, false
}

// relocDenies reports whether the file has link-time relocations, but none for the entry. Distances between labels of one section, where
// tables of such exist, are the assembler's.
func (d *Decoder) relocDenies(at arch.ImageAddr) bool {
	if !d.im.HasRelocs || d.im.Arch.Pieces != nil {
		return false
	}
	_, ok := d.im.linkReloc(at)
	return !ok
}

// isTableJump reports whether the indirect jump at t goes through one of the tables: the code in
// front of it, back to the last other jump, uses a table's address; or it is the only kind of
// indirect jump that the unit can have.
func (d *Decoder) isTableJump(t Target) bool {
	if d.im.Arch.Pieces != nil {
		return d.switches[t] != nil
	}
	return len(d.table) > 0 && d.nearTable(t)
}

// tableWindow is how many bytes in front of an indirect jump the table's address is looked for.
const tableWindow = 256

// nearTable reports whether an instruction at most tableWindow bytes in front of the jump, or the jump itself, names a table.
func (d *Decoder) nearTable(t Target) bool {
	i := d.partOf(t.Atom)
	p := &d.parts[i]
	start := max(0, int(t.Off)-tableWindow)
	for off := start; off <= int(t.Off); off++ {
		if s := p.state[off]; s != byteStart && s != byteUnseen {
			continue
		}
		in := d.instAt(p, uint32(off))
		at := t.Atom.Addr + arch.ImageAddr(off)
		for k := range in.NumOps {
			if v, ok := d.im.opAddress(at, &in.Ops[k]); ok && d.tableAt(v) != nil {
				return true
			}
		}
	}
	return false
}

// tableAt returns the first table that was found at the address, or nil.
func (d *Decoder) tableAt(addr arch.ImageAddr) *JumpTable {
	return d.tables[addr]
}

package image

import (
	"slices"

	"hotpatch/arch"
)

// tableEntry is a load of an entry of a jump table.
type tableEntry struct {
	table  arch.ImageAddr
	from   nodeSet // what made the address
	width  uint8   // bytes
	signed bool
	bound  uint64 // number of entries, by a range check of the index; 0: not known
	// own is not zero where the entry is loaded from the address of an element (valueElement): value.same of that address.
	own int32
}

// tableElement is the address of an element of a table: table + index << scale.
type tableElement struct {
	table arch.ImageAddr
	from  nodeSet // what made the address
	scale uint8
	bound uint64 // as in tableEntry
}

// tableTarget is an address made of a label and an entry: label + (entry, extended) << scale.
type tableTarget struct {
	label  arch.ImageAddr
	own    bool    // label is the table, and each entry counts from where it is itself
	from   nodeSet // what made it
	entry  int32   // node
	scale  uint8
	extend arch.Extend
}

// maxEntries bounds the entries of a jump table.
const maxEntries = 1 << 20

// entry notes that node n loads memory at an address that is known plus an index that is not.
func (f *flow) entry(n int32, base value) value {
	t := f.t
	if w := t.Mem.Width; w != 1 && w != 2 && w != 4 || t.Mem.Disp != 0 || t.Mem.Scale != w>>1 {
		return value{}
	}
	e := tableEntry{table: arch.ImageAddr(base.at), from: base.from, width: t.Mem.Width, signed: t.Signed}
	if b := f.s.reg(t.Mem.Index).bound; b <= maxEntries {
		e.bound = b
	}
	f.entries[n] = e
	return value{kind: valueEntry, at: int64(n)}
}

// element notes that node n adds an index that is not known to an address.
func (f *flow) element(n int32, base value) value {
	m := &f.t.Mem
	e := tableElement{table: arch.ImageAddr(base.at), from: base.from, scale: m.Scale}
	if b := f.s.reg(m.Index).bound; b <= maxEntries {
		e.bound = b
	}
	f.elements[n] = e
	return value{kind: valueElement, at: int64(n)}
}

// ownEntry notes that node n loads the element of a table whose address is known.
func (f *flow) ownEntry(n int32, base value) value {
	e, w := f.elements[int32(base.at)], f.t.Mem.Width
	if w != 4 || f.t.Mem.Disp != 0 || e.scale != w>>1 || base.same == 0 {
		return value{}
	}
	f.entries[n] = tableEntry{table: e.table, from: e.from, width: w, signed: f.t.Signed, bound: e.bound, own: base.same}
	return value{kind: valueEntry, at: int64(n)}
}

// ownTarget notes that node n adds an entry to the address that it was loaded from, as hand-written tables of code in another section have it
// (.word label - .). All of it is in one block: value.same is the address of the same element, then.
func (f *flow) ownTarget(n int32, element, entry value) value {
	e, m := f.entries[int32(entry.at)], &f.t.Mem
	if e.own == 0 || e.own != element.same || !f.straight(int32(element.at), n) || !f.straight(int32(entry.at), n) {
		return value{}
	}
	f.targets[n] = tableTarget{label: e.table, own: true, from: e.from, entry: int32(entry.at), scale: m.Scale, extend: m.Extend}
	return value{kind: valueTarget, at: int64(n)}
}

// straight reports whether control that comes to node n has just passed node k, in the same block.
func (f *flow) straight(k, n int32) bool {
	return k < n && f.partOf(k) == f.partOf(n) && !slices.Contains(f.leader[k+1:n+1], true)
}

// target notes that node n adds an entry to a label.
func (f *flow) target(n int32, label, entry value, m arch.Mem) value {
	f.targets[n] = tableTarget{label: arch.ImageAddr(label.at), from: label.from, entry: int32(entry.at), scale: m.Scale, extend: m.Extend}
	return value{kind: valueTarget, at: int64(n)}
}

// maxRounds bounds how often the values are followed again because of tables and labels that were found: switches in switches.
const maxRounds = 128

// findSwitches looks for the tables of indirect jumps, and for labels whose address is taken, by what the values in registers are. It reports
// whether it found any, so that there may be more code to decode.
//
// Code that nothing is known to lead to may be a case of a switch. As long as tables are found without it, it must not say that what is known in
// front of the switch is not: in the end, checkSwitches asks all code.
func (d *Decoder) findSwitches() (bool, error) {
	if err := d.followValues(false); err != nil {
		return false, err
	}
	if d.takeSwitches() {
		return true, nil
	}
	d.jumpsTried = len(d.jumps)
	return d.findInAll()
}

// findInAll is findSwitches by the values in all code.
func (d *Decoder) findInAll() (bool, error) {
	if err := d.followValues(true); err != nil {
		return false, err
	}
	found := d.takeSwitches()
	return d.takeLabels() || found, nil
}

// followValues follows the values in registers once more: in all code, or from the unit's entry.
func (d *Decoder) followValues(whole bool) error {
	if d.rounds++; d.rounds > maxRounds {
		return &DecodeError{Atom: d.atoms[0], Msg: "it has more jump tables behind jump tables than any compiler makes"}
	}
	if from := (flowInput{whole: whole, insts: len(d.insts), inner: len(d.inner), switches: len(d.switches)}); from != d.followed {
		d.followed = flowInput{insts: -1}
		if err := d.flow.run(d, whole); err != nil {
			return err
		}
		d.followed = from
	}
	return nil
}

// flowInput says how far a unit was decoded when the values in its registers were followed: as nothing of it is ever taken back, the values are the same where
// the numbers are.
type flowInput struct {
	whole                  bool // the answer to followValues' question
	insts, inner, switches int
}

// takeSwitches adds the tables that the values in registers lead to. It reports whether there are any.
func (d *Decoder) takeSwitches() (found bool) {
	f := &d.flow
	for _, j := range f.jumps {
		at := f.place(j.node)
		to := f.targets[j.target]
		entry, ok := f.entries[to.entry]
		if !ok || to.own != (entry.own != 0) || d.switches[at] != nil {
			continue
		}
		if t := d.switchTable(&to, &entry); t != nil {
			d.switches[at] = t
			found = true
		}
	}
	return found
}

// settle finds what is left of tables and labels, and what the unit refers to.
func (d *Decoder) settle() error {
	for {
		found, err := d.findInAll()
		if err != nil {
			return err
		}
		if !found {
			break
		}
		if err := d.reach(); err != nil {
			return err
		}
	}
	f := &d.flow
	for i := range f.partners {
		p := &f.partners[i]
		if v := arch.ImageAddr(p.base.at + p.disp); p.base.kind == valuePage || p.base.kind == valueAddress && !d.im.within(arch.ImageAddr(p.base.at), v, uint64(p.width)) {
			d.used = append(d.used, v)
		}
	}
	return d.checkSwitches()
}

// checkSwitches refuses a unit in which, as more code was found, the table of a jump has become another, or its range check does not hold.
func (d *Decoder) checkSwitches() error {
	f := &d.flow
	known := 0
	for _, j := range f.jumps {
		at := f.place(j.node)
		t := d.switches[at]
		if t == nil {
			continue
		}
		known++
		to := f.targets[j.target]
		if e := f.entries[to.entry]; e.table != t.Addr || to.label != t.Base || t.Bounded && e.bound != uint64(len(t.Entries)) {
			known = -1
			break
		}
	}
	if known == len(d.switches) {
		return nil
	}
	return &DecodeError{Atom: d.atoms[0], Msg: "the code behind a jump table makes the table's address or its range unknown"}
}

// takeLabels queues the instructions of the unit whose address is used by itself, for something else than a jump table.
func (d *Decoder) takeLabels() bool {
	f := &d.flow
	found := false
	var taken []int32
	for n, m := range f.makers {
		if m.kind == valueAddress && (f.escaped[n] || f.passedOn[n] && !f.tabled[n]) {
			taken = append(taken, n)
		}
	}
	slices.Sort(taken)
	for _, n := range taken {
		to, k, ok := d.locate(arch.ImageAddr(f.makers[n].at))
		if !ok || k == 0 && to.Off == 0 || d.im.isDataMark(arch.ImageAddr(f.makers[n].at)) {
			continue
		}
		ref := innerRef{to: to, from: f.place(n)}
		if !slices.Contains(d.inner, ref) {
			d.inner = append(d.inner, ref)
			d.work = append(d.work, to)
			found = true
		}
	}
	return found
}

// switchTable reads the table of an indirect jump; nil if that is none.
func (d *Decoder) switchTable(to *tableTarget, e *tableEntry) *JumpTable {
	s := d.im.SectionAt(e.table)
	if s == nil || s.Data == nil || s.Exec() || s.Writable() || len(d.im.Covering(e.table)) > 0 {
		return nil
	}
	size := arch.ImageAddr(e.width)
	t := &JumpTable{Addr: e.table, EntrySize: int(size), Relative: true, Own: to.own, Base: to.label, Scale: to.scale, Signed: e.signed}
	if b := to.extend.Bits; b > 0 {
		if b < 8*e.width {
			return nil
		}
		t.Signed = to.extend.Signed && b == 8*e.width || e.signed && b > 8*e.width
	}
	checked := e.bound > 0 && e.bound != 1<<8 && e.bound != 1<<16 // else a byte or two are loaded that may be anything
	limit := d.im.places.next(e.table, s.End())
	if checked {
		if uint64(s.End()-e.table)/uint64(size) < e.bound {
			return nil
		}
		limit = e.table + size*arch.ImageAddr(e.bound)
	}
	t.Entries, _ = d.entries(t, s, e.table, limit)
	n := uint64(len(t.Entries))
	if n == 0 || checked && n != e.bound {
		return nil
	}
	t.Size = n * uint64(size)
	t.Bounded = checked || n == e.bound
	if !t.Bounded {
		t.Further = d.further(t, s, e.table+arch.ImageAddr(t.Size))
	}
	d.addTable(t)
	return t
}

// addTable adds a table, and queues what it leads to.
func (d *Decoder) addTable(t *JumpTable) {
	d.table = append(d.table, t)
	if d.tables[t.Addr] == nil {
		d.tables[t.Addr] = t
	}
	d.work = append(d.work, t.Entries...)
}

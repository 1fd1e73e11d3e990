package elfdiff

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// block is a run of constants without symbols that the payload carries. Constants that touch each other stay side by
// side, because they may be one: an array and its end, or a string and its middle (HAZARDS D17).
type block struct {
	start, end arch.ImageAddr // in the new build
	sym        int
	shift      int64 // of the first byte in the payload's section, for the alignment of what follows
}

// maxBlock bounds one run of constants.
const maxBlock = 16 << 20

// exactWidth returns how many bytes an instruction reads of what it names, or 0 if it may lead to more.
func exactWidth(kind image.RefKind, width uint8) uint64 {
	if kind == image.RefMem {
		return uint64(width)
	}
	return 0
}

// slack is how many bytes behind the end of a constant whose address is taken are carried with it. It is a heuristic, of which nothing depends
// where the end is right. Where the end is only the next address that other code takes, that may lie inside: nothing tells one list with NULs
// in it, of which a second function names the middle, from two strings that lie side by side. What follows costs only its length. An array that
// another function enters in the middle, and that reaches further than that, would be cut off; its unclaimed bytes are compared all the same.
const slack = 1024

// span returns the range that must be carried for a reference to a constant without a symbol.
func (e *emitter) span(addr arch.ImageAddr, width uint64) (start, end arch.ImageAddr) {
	if width > 0 {
		return addr, addr + arch.ImageAddr(width)
	}
	s := &e.d.new
	end = addr + arch.ImageAddr(s.anonSize(addr))
	sec := s.im.SectionAt(addr)
	if sec == nil || s.relTables[addr] {
		return addr, end
	}
	limit := min(sec.End(), end+slack)
	if i := sort.Search(len(s.im.Atoms), func(i int) bool { return s.im.Atoms[i].Addr >= end }); i < len(s.im.Atoms) {
		limit = min(limit, s.im.Atoms[i].Addr)
	}
	for table := range s.relTables { // its distances count from where it is
		if table >= end {
			limit = min(limit, table)
		}
	}
	if limit > end && len(s.im.DataRefsIn(end, limit)) == 0 {
		end = limit
	}
	return addr, end
}

// reserveCode plans the blocks for the code that is carried.
func (e *emitter) reserveCode() {
	var want []block
	for _, c := range e.d.funcs {
		if !c.carried(&e.d.opt) {
			continue
		}
		var operands []operand // where an address may serve to reach several constants
		if e.d.new.im.Arch.Pieces != nil {
			operands = c.new.operands()
		}
		for i := range c.new.refs {
			r := &c.new.refs[i]
			if r.to != image.PlaceAnon || e.writable(c.new.addr(r)) {
				continue
			}
			start, end := e.span(c.new.addr(r), exactWidth(r.kind, r.width))
			want = append(want, block{start: start, end: end})
			if i < len(operands) && operands[i].ref != nil {
				want = e.reached(want, &operands[i], start)
			}
		}
	}
	e.reserve(want)
}

// reached appends the constants without a symbol that code reaches from the address of one, which starts there, by its distance from that. As the code
// counts on the distance, all that lies between is carried with them.
func (e *emitter) reached(want []block, o *operand, start arch.ImageAddr) []block {
	im := e.d.new.im
	for _, x := range im.Reached(o.body, o.ref) {
		at := start + arch.ImageAddr(x.Disp)
		if x.Disp == 0 || !im.Nameless(min(start, at), max(start, at)+1) {
			continue // another object, with a reference of its own
		}
		first, end := e.span(at, uint64(x.Width))
		want = append(want, block{start: min(start, first), end: max(start, end)})
	}
	return want
}

// reserveData plans the blocks for an object that is carried.
func (e *emitter) reserveData(refs []image.DataRef) {
	var want []block
	for i := range refs {
		if p := &refs[i].Place; p.Kind == image.PlaceAnon {
			if _, ok := e.blockAt(p.Addr, 0); !ok {
				start, end := e.span(p.Addr, 0)
				want = append(want, block{start: start, end: end})
			}
		}
	}
	e.reserve(want)
}

// reserve adds blocks, joining those that touch. They get their sections when they are first referred to.
func (e *emitter) reserve(want []block) {
	slices.SortFunc(want, func(a, b block) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	for len(want) > 0 {
		b := want[0]
		b.sym = -1
		want = want[1:]
		rel := e.d.new.relTables
		for len(want) > 0 && want[0].start <= b.end && (want[0].start == b.start || !rel[b.start] && !rel[want[0].start]) {
			b.end = max(b.end, want[0].end)
			want = want[1:]
		}
		i, _ := slices.BinarySearchFunc(e.blocks, b.start, func(x block, v arch.ImageAddr) int { return cmp.Compare(x.start, v) })
		e.blocks = slices.Insert(e.blocks, i, b)
	}
}

// blockAt returns the index of a block that holds [addr, addr+size].
func (e *emitter) blockAt(addr arch.ImageAddr, size uint64) (int, bool) {
	i, _ := slices.BinarySearchFunc(e.blocks, addr+1, func(x block, v arch.ImageAddr) int { return cmp.Compare(x.start, v) })
	for i--; i >= 0; i-- {
		if b := &e.blocks[i]; addr < b.end && addr+arch.ImageAddr(size) <= b.end {
			return i, true
		}
	}
	return 0, false
}

// anonymous returns the symbol and addend of a constant without a symbol, which the payload carries.
func (e *emitter) anonymous(addr arch.ImageAddr, width uint64) (int, int64, error) {
	start, end := e.span(addr, width)
	i, ok := e.blockAt(start, uint64(end-start))
	if !ok {
		e.reserve([]block{{start: start, end: end}})
		if i, ok = e.blockAt(start, uint64(end-start)); !ok {
			return 0, 0, fmt.Errorf("nothing with content is at %#x", uint64(addr))
		}
	}
	if e.blocks[i].sym < 0 {
		if err := e.carryBlock(i); err != nil {
			return 0, 0, err
		}
		i, _ = e.blockAt(start, uint64(end-start)) // carrying may have added blocks
	}
	b := &e.blocks[i]
	return b.sym, int64(addr-b.start) + b.shift, nil
}

// carryBlock copies a block into the payload.
func (e *emitter) carryBlock(i int) error {
	b := &e.blocks[i]
	a := anonAtom(e.d.new.im, b.start, uint64(b.end-b.start))
	data, ok := e.d.new.im.Bytes(a.Addr, a.Size)
	if !ok || a.Size == 0 || a.Size > maxBlock || !readOnly(a) {
		return fmt.Errorf("nothing with content is at %#x", uint64(b.start))
	}
	align := uint64(1)
	if a.Section.Align > 1 {
		align = min(a.Section.Align, 64)
	}
	b.shift = int64(uint64(a.Addr) & (align - 1))
	a.Name = fmt.Sprintf("anon.%d", e.carried)
	e.carried++
	body := make([]byte, uint64(b.shift)+a.Size)
	copy(body[b.shift:], data)
	sec, sym := e.section(patch.Section{Name: ".rodata." + a.Name, Kind: patch.ROData, Align: align, Data: body, Size: uint64(len(body))},
		patch.Symbol{Name: a.Name, Size: uint64(len(body)), Local: true})
	b.sym = sym
	return e.content(sec, uint64(b.shift), a)
}

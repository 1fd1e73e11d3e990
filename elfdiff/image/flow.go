package image

import (
	"container/heap"
	"debug/elf"
	"math"
	"slices"

	"hotpatch/arch"
)

// flow follows the values in registers, and in the words of the stack frame, through the code of one unit, where the architecture makes
// addresses of several instructions (arch.Pieces): a forward analysis to a fixpoint over the control flow. A value is known where it is the same on
// all paths. What may be left of a page's address is known as well, so that no use of it is missed.
type flow struct {
	d    *Decoder
	im   *Image
	arch *arch.Pieces

	first  []int32 // by part: number of its first node; and of all
	offs   []uint32
	leader []bool
	block  []int32 // by node: the block that starts there
	starts []int32 // by block: its first node; and of all nodes
	in     []saved // by block; the last one is where the indirect jumps meet that may lead to any label
	pads   []padSite
	work   blockHeap
	queued []bool
	visits int
	kept   int // values in all of in
	// behind is what would hold behind calls that do not return, and traps, by the block there. If nothing else leads to the block, its compiler did not know that of the
	// function, and the code is made for that.
	behind  map[int32]saved
	behinds []int32 // its keys, in the order in which they were found

	s      state
	does   []arch.Transfer // by node
	t      *arch.Transfer  // of the node that is looked at
	out    []savedValue
	joined []savedValue
	sets   setTable
	// exposed is the lowest offset from the stack pointer at the entry whose address may be known to others; trusted the highest one of the words
	// of which something was taken to stay known because their address is not.
	exposed, trusted int64

	threaded  bool // the unit reads the thread pointer
	wide      bool // the unit makes constants in pieces that may be addresses
	whole     bool // code to which nothing is known to lead counts
	recording bool
	// left are the registers in which code elsewhere may take values from where the unit is left. A function of the ABI (crossing.own) has what its caller
	// had in the saved registers there: where a page seems to be in one, control does not come.
	left  arch.Regs
	unset arch.Regs // registers whose value at the entry the unit does not use, but saves and restores it: see state.spent
	unitUses
}

// Bounds of the analysis of one unit: runs over its blocks, and values kept in front of them. Compiled code needs three runs, and a dozen values.
const (
	maxRuns   = 32
	maxValues = 256
	fewRuns   = 1 << 12
)

// run analyses the unit as far as it is decoded: the whole of it, or what its entry is known to lead to.
func (f *flow) run(d *Decoder, whole bool) error {
	f.whole = whole
	f.d, f.im, f.arch = d, d.im, d.im.Arch.Pieces
	f.threaded = slices.ContainsFunc(d.insts, func(in arch.Inst) bool { return in.TLSBase })
	f.left, f.unset = f.arch.Saved, 0
	if c := &d.im.crossing; c.known && c.own[d.atoms[0].ID] {
		f.left, f.unset = 0, f.arch.Saved&^f.arch.SP.Bit()
	}
	for _, a := range d.atoms {
		f.left |= d.im.crossing.out[a.ID]
	}
	f.list()
	f.wide = f.im.Type == elf.ET_EXEC && slices.ContainsFunc(f.does, func(t arch.Transfer) bool { return t.Kind == arch.TransferInsert })
	f.findBlocks()
	f.exposed = math.MaxInt64
	for range 4 {
		before := f.exposed
		f.trusted = math.MinInt64
		f.sets.reset()
		f.unitUses.reset()
		if err := f.fixpoint(); err != nil {
			return err
		}
		if f.exposed == before || f.exposed > f.trusted {
			break
		}
		if f.visits > fewRuns { // one more run with the least that can be known
			f.exposed = math.MinInt64
		}
	}
	clear(f.elements)
	clear(f.entries)
	clear(f.targets)
	f.recording = true
	for b := range f.blocks() {
		if f.in[b].reached {
			f.runBlock(b)
		}
	}
	f.recording = false
	f.takeSteps()
	f.dropAsked()
	f.takeBack()
	f.findBegins()
	return nil
}

// list numbers the instructions of all parts.
func (f *flow) list() {
	f.first, f.offs = f.first[:0], f.offs[:0]
	for i := range f.d.parts {
		p := &f.d.parts[i]
		f.first = append(f.first, int32(len(f.offs)))
		for off := 0; off < len(p.state); off++ {
			if s := p.state[off]; s == byteStart || s == byteUnseen {
				p.nth[off] = int32(len(f.offs))
				f.offs = append(f.offs, uint32(off))
			}
		}
	}
	f.first = append(f.first, int32(len(f.offs)))
	f.does = slices.Grow(f.does[:0], len(f.offs))[:len(f.offs)]
	for i := range f.d.parts {
		p := &f.d.parts[i]
		for n := f.first[i]; n < f.first[i+1]; n++ {
			f.im.Arch.Transfer(&f.does[n], p.code[f.offs[n]:], f.d.instAt(p, f.offs[n]))
		}
	}
}

// partOf returns the part that a node is in.
func (f *flow) partOf(n int32) int {
	i, found := slices.BinarySearch(f.first, n)
	for found && i+1 < len(f.first) && f.first[i+1] == n { // parts without instructions
		i++
	}
	if !found {
		i--
	}
	return i
}

// nodeAt returns the node at a place of the unit, or -1.
func (f *flow) nodeAt(t Target) int32 {
	i := f.d.partOf(t.Atom)
	if i < 0 || uint64(t.Off) >= uint64(len(f.d.parts[i].state)) {
		return -1
	}
	if s := f.d.parts[i].state[t.Off]; s != byteStart && s != byteUnseen {
		return -1
	}
	return f.d.parts[i].nth[t.Off]
}

// place returns where a node is.
func (f *flow) place(n int32) Target { return Target{f.d.atoms[f.partOf(n)], f.offs[n]} }

// mark makes a place the start of a block.
func (f *flow) mark(t Target) {
	if n := f.nodeAt(t); n >= 0 {
		f.leader[n] = true
	}
}

// blocks returns the number of blocks.
func (f *flow) blocks() int32 { return int32(len(f.starts)) - 1 }

// fixpoint runs over the blocks until nothing changes.
func (f *flow) fixpoint() error {
	for b := range f.in {
		f.in[b].reached, f.in[b].entries = false, f.in[b].entries[:0]
		f.queued[b] = false
	}
	f.work, f.visits, f.kept, f.behinds = f.work[:0], 0, 0, f.behinds[:0]
	clear(f.behind)
	if f.blocks() == 0 {
		return nil
	}
	f.s.restore(&saved{})
	f.s.regs[f.arch.SP] = value{kind: valueFrame}
	f.s.spent = f.unset
	f.enter(0)
	if err := f.drain(); err != nil || !f.whole {
		return err
	}
	next := 0 // of behinds
	for b := range f.blocks() {
		for ; next < len(f.behinds); next++ {
			after := f.behind[f.behinds[next]]
			if err := f.start(f.behinds[next], &after); err != nil {
				return err
			}
		}
		if err := f.start(b, &saved{}); err != nil {
			return err
		}
	}
	return nil
}

// start runs from a block that nothing leads to.
func (f *flow) start(b int32, from *saved) error {
	if f.in[b].reached {
		return nil
	}
	f.s.restore(from)
	f.enter(b)
	return f.drain()
}

// drain runs over the blocks that are queued.
func (f *flow) drain() error {
	for len(f.work) > 0 {
		b := heap.Pop(&f.work).(int32)
		f.queued[b] = false
		if b == f.blocks() {
			f.enterLabels()
			continue
		}
		if f.visits++; f.visits > maxRuns*len(f.in)+fewRuns || f.kept > maxValues*len(f.in)+1<<16 {
			t := f.place(f.starts[b])
			return &DecodeError{Atom: t.Atom, Off: t.Off, Msg: "its control flow has too many ways for the values of registers to be followed"}
		}
		f.runBlock(b)
	}
	return nil
}

// enter adds what the current state holds to what holds in front of block b.
func (f *flow) enter(b int32) {
	f.out = f.s.entries(f.out[:0])
	f.enterWith(b)
}

// enterWith is enter where f.out is what the current state holds.
func (f *flow) enterWith(b int32) {
	to := &f.in[b]
	changed := !to.reached
	before := len(to.entries)
	if !to.reached {
		to.reached = true
		to.entries, to.spent = append(to.entries[:0], f.out...), f.s.spent
	} else if to.spent != f.s.spent || !slices.Equal(to.entries, f.out) {
		changed = f.merge(to, f.out, f.s.spent)
	}
	f.kept += len(to.entries) - before
	if changed && !f.queued[b] {
		f.queued[b] = true
		heap.Push(&f.work, b)
	}
}

// merge joins the values of entries, and the registers that are spent, to those of to. It reports whether that changes any.
func (f *flow) merge(to *saved, entries []savedValue, spent arch.Regs) bool {
	changed := to.spent&^spent != 0
	join := func(key int64, a, b value) value {
		switch r := arch.Reg(min(key, maxRegs)); {
		case to.spent.Has(r) && !spent.Has(r):
			return f.joinFrom(b, a)
		case spent.Has(r) && !to.spent.Has(r):
			return f.joinFrom(a, b)
		}
		return f.join(a, b)
	}
	joined, differs := f.joined[:0], false // joined is filled in from the first value on that differs from the old one
	i := 0                                 // the next of the old ones
	for i < len(to.entries) || len(entries) > 0 {
		var e savedValue
		var was value
		before := i
		switch old := to.entries[i:]; {
		case len(entries) == 0 || len(old) > 0 && old[0].key < entries[0].key:
			was = old[0].value
			e = savedValue{old[0].key, join(old[0].key, was, value{})}
			i++
		case len(old) == 0 || entries[0].key < old[0].key:
			e = savedValue{entries[0].key, join(entries[0].key, value{}, entries[0].value)}
			entries = entries[1:]
		default:
			was = old[0].value
			if e = entries[0]; e.value != was {
				e.value = join(e.key, was, e.value)
			}
			i, entries = i+1, entries[1:]
		}
		if !differs && e.value != was {
			joined, differs = append(joined, to.entries[:before]...), true
		}
		if differs && !e.isNothing() {
			joined = append(joined, e)
		}
	}
	if f.joined = joined; differs {
		to.entries = append(to.entries[:0], joined...)
	}
	to.spent &= spent
	return changed || differs
}

// joinFrom returns a value that keeps what is known of a, but may be made of b.
func (f *flow) joinFrom(a, b value) value {
	v := f.join(value{}, value{from: b.from})
	v = f.join(v, value{from: a.from})
	a.from, a.same, a.copy = v.from, 0, 0
	return a
}

// join returns what is known of a value that is a or b.
func (f *flow) join(a, b value) value {
	v := a
	if a.kind != b.kind || a.at != b.at {
		v = value{}
	}
	if v.bound = a.bound; a.bound != b.bound {
		v.bound = 0
	}
	if v.copy = a.copy; a.copy != b.copy {
		v.copy = 0
	}
	v.same = 0
	from, ok := f.sets.union(a.from, b.from)
	if !ok {
		const why = "too many instructions may have made it"
		f.lose(a.from, why)
		f.lose(b.from, why)
	}
	v.from = from
	return v
}

// next returns the block that follows node n, or -1.
func (f *flow) next(n int32, part int, in *arch.Inst) int32 {
	if n+1 < f.first[part+1] && f.offs[n+1] == f.offs[n]+uint32(in.Len) {
		return f.block[n+1]
	}
	return -1
}

// runBlock runs over a block, and enters what follows it.
func (f *flow) runBlock(b int32) {
	f.s.restore(&f.in[b])
	n, last := f.starts[b], f.starts[b+1]-1
	part := f.partOf(n)
	p := &f.d.parts[part]
	a := f.d.atoms[part]
	for ; n <= last; n++ {
		in := f.d.instAt(p, f.offs[n])
		at := a.Addr + arch.ImageAddr(f.offs[n])
		f.step(n, in, at)
		if n == last && !f.recording {
			f.leave(n, part, in, at)
		}
	}
}

// leave enters the blocks to which control goes behind node n, the last of a block.
func (f *flow) leave(n int32, part int, in *arch.Inst, at arch.ImageAddr) {
	next := f.next(n, part, in)
	switch in.Flow {
	case arch.FlowJump:
		f.jump(at + arch.ImageAddr(in.Target))
	case arch.FlowBranch:
		f.branch(at+arch.ImageAddr(in.Target), next)
	case arch.FlowJumpInd:
		f.indirect(n)
	case arch.FlowReturn:
	case arch.FlowStop:
		if next >= 0 { // a trap in assembly, say, of which the compiler knows nothing
			f.stay(next)
		}
	case arch.FlowCall:
		switch {
		case next < 0:
		case f.im.comesBack(at + arch.ImageAddr(in.Target)):
			f.enter(next)
		default:
			f.stay(next)
		}
	default:
		if next >= 0 {
			f.enter(next)
		}
	}
}

// stay keeps what would hold in block b if a call in front of it returned.
func (f *flow) stay(b int32) {
	if f.behind == nil {
		f.behind = map[int32]saved{}
	}
	if _, ok := f.behind[b]; !ok {
		f.behinds = append(f.behinds, b)
	}
	f.behind[b] = saved{entries: f.s.entries(nil), spent: f.s.spent}
}

// jump enters the block at an address, if that is in the unit.
func (f *flow) jump(to arch.ImageAddr) {
	if t, _, ok := f.d.locate(to); ok {
		if n := f.nodeAt(t); n >= 0 {
			f.enter(f.block[n])
		}
	}
}

// branch enters both ways of a conditional branch. Where it depends on a comparison, one of them knows a bound.
func (f *flow) branch(to arch.ImageAddr, next int32) {
	c, taken := f.s.cmp, uint64(0)
	fallen := uint64(0)
	if c.valid {
		switch f.t.Cond {
		case arch.CondAbove:
			fallen = c.imm + 1
		case arch.CondAboveEqual:
			fallen = c.imm
		case arch.CondBelow:
			taken = c.imm
		case arch.CondBelowEqual:
			taken = c.imm + 1
		}
	}
	if taken != 0 {
		if next >= 0 {
			f.enter(next)
		}
		f.bound(taken)
		f.jump(to)
		return
	}
	f.jump(to)
	if fallen != 0 {
		f.bound(fallen)
	}
	if next >= 0 {
		f.enter(next)
	}
}

// indirect enters what an indirect jump leads to: the entries of its table, else, unless it is known to leave the unit, every label whose address is taken.
func (f *flow) indirect(n int32) {
	if t := f.d.switches[f.place(n)]; t != nil {
		for _, e := range t.Entries {
			if k := f.nodeAt(e); k >= 0 {
				f.enter(f.block[k])
			}
		}
		return
	}
	if len(f.d.inner) > 0 {
		f.enter(f.blocks())
	}
}

// enterLabels enters every label whose address is taken with what holds at some indirect jump.
func (f *flow) enterLabels() {
	f.s.restore(&f.in[f.blocks()])
	f.out = f.s.entries(f.out[:0])
	for i := range f.d.inner {
		if k := f.nodeAt(f.d.inner[i].to); k >= 0 {
			f.enterWith(f.block[k])
		}
	}
}

package image

import (
	"cmp"
	"slices"

	"hotpatch/arch"
)

// valueKind says what is known of a value in a register or in a slot of the stack frame.
type valueKind uint8

const (
	valueUnknown    valueKind = iota
	valuePage                 // the address of a page, of which addresses are made; at: the address
	valueAddress              // a whole address; at: the address
	valueNumber               // a constant
	valueFrame                // the stack pointer at the entry; at: plus that
	valueThread               // the thread pointer; at: plus that
	valueThreadPage           // the same, with an offset that is not yet whole
	valueBlock                // the start of the module's thread-local storage, in whatever way the ABI counts; at: plus that
	valueSlot                 // what the GOT slot at the address holds
	valueElement              // the address of an element of a table, by an index that is not known; at: the node that makes it
	valueEntry                // an entry of a jump table; at: the node that loads it
	valueTarget               // an address made of an entry; at: the node that makes it
)

// value is what is known of a value. The zero value is one of which nothing is.
type value struct {
	kind valueKind
	// from is the set of the nodes that made the page, the address or the offset. A value of which no more is known has those of all that it may be: an
	// instruction that uses it may use any of their values.
	from nodeSet
	at   int64
	// bound is one more than the greatest value, unsigned, of its low 32 bits; 0: not known.
	bound uint64
	// same is not zero for values that are equal within one run over a block.
	same int32
	// copy is not zero for registers of which one got its value from another: their low 32 bits are equal. It is one more than the node of the move
	// that began it. Unlike same, it holds beyond a block; what a loop's former run left never does, as control first comes to a move without.
	copy int32
}

// isNothing reports whether nothing is known, so that the value need not be kept.
func (v *value) isNothing() bool {
	return v.kind == valueUnknown && v.from == 0 && v.bound == 0 && v.copy == 0
}

// nodeSet is a set of nodes by its number in setTable; 0: the empty one.
type nodeSet int32

// maxSources bounds a set of nodes. Compilers make a page in two or three places.
const maxSources = 256

// tooMany stands for a set of more than maxSources.
const tooMany nodeSet = -1

// setTable holds sets of nodes, each once.
type setTable struct {
	sets  [][]int32 // sorted
	index map[[2]nodeSet]nodeSet
	ones  map[int32]nodeSet
	by    map[string]nodeSet
}

func (t *setTable) reset() {
	if t.index == nil {
		t.index, t.ones, t.by = map[[2]nodeSet]nodeSet{}, map[int32]nodeSet{}, map[string]nodeSet{}
	} else if len(t.sets) > 1 {
		clear(t.index)
		clear(t.ones)
		clear(t.by)
	}
	t.sets = append(t.sets[:0], nil)
}

// one returns the set with only n in it.
func (t *setTable) one(n int32) nodeSet {
	s, ok := t.ones[n]
	if !ok {
		s = nodeSet(len(t.sets))
		t.sets = append(t.sets, []int32{n})
		t.ones[n] = s
	}
	return s
}

// union returns the union of two sets. The second result is false if it would be too large.
func (t *setTable) union(a, b nodeSet) (nodeSet, bool) {
	switch {
	case a == b || b == 0:
		return a, true
	case a == 0:
		return b, true
	case a > b:
		a, b = b, a
	}
	key := [2]nodeSet{a, b}
	if s, ok := t.index[key]; ok {
		return max(s, 0), s >= 0
	}
	all := slices.Concat(t.sets[a], t.sets[b])
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > maxSources {
		t.index[key] = tooMany
		return 0, false
	}
	s := t.find(all)
	t.index[key] = s
	return s, true
}

// find returns the number of a set of two nodes or more, which it may keep.
func (t *setTable) find(all []int32) nodeSet {
	b := make([]byte, 0, 4*len(all))
	for _, n := range all {
		b = order.AppendUint32(b, uint32(n))
	}
	s, ok := t.by[string(b)]
	if !ok {
		s = nodeSet(len(t.sets))
		t.sets = append(t.sets, all)
		t.by[string(b)] = s
	}
	return s
}

// frameSlot is a word of the stack frame.
type frameSlot struct {
	off int64 // from the stack pointer at the entry
	value
	trusted bool // value.same would be 0 if others knew the address
}

// maxSlots bounds the words of a stack frame of which something is known at one place.
const maxSlots = 1 << 10

// state is what is known at one place of the code.
type state struct {
	regs  [maxRegs]value
	slots []frameSlot // by off
	// spent are the registers whose value a call has made meaningless: compiled code does not use it. Where control comes from elsewhere as
	// well, what they hold there counts.
	spent arch.Regs
	cmp   comparison // what the flags are from; within a block only
	same  int32      // last number that was given to equal values
}

// maxRegs is the number of registers of arch.Reg.
const maxRegs = 32

// allValues are the registers of which values are known.
const allValues = arch.Regs(1<<maxRegs - 1)

// comparison is one of a register with a constant.
type comparison struct {
	valid bool
	reg   arch.Reg // NoReg: it has another value by now
	same  int32
	imm   uint64
}

// saved is what of a state is kept between two runs over a block: what is known of registers (by number) and of words of the
// stack frame.
type saved struct {
	entries []savedValue // by key
	spent   arch.Regs
	reached bool
}

type savedValue struct {
	key int64
	value
}

// slotKeys is added to the offset of a word of the stack frame for its key.
const slotKeys = 1 << 40

// restore fills in the state.
func (s *state) restore(from *saved) {
	s.regs = [maxRegs]value{}
	s.slots, s.cmp, s.same, s.spent = s.slots[:0], comparison{}, 0, from.spent
	for i := range from.entries {
		e := &from.entries[i]
		if e.key < maxRegs {
			s.regs[e.key] = e.value
		} else {
			s.slots = append(s.slots, frameSlot{off: e.key - slotKeys, value: e.value})
		}
	}
}

// entries appends what is to be kept of the state.
func (s *state) entries(out []savedValue) []savedValue {
	for i := range s.regs {
		v := s.regs[i]
		if v.same = 0; v.copy != 0 && !s.copied(i) {
			v.copy = 0
		}
		if !v.isNothing() {
			out = append(out, savedValue{int64(i), v})
		}
	}
	for i := range s.slots {
		if v := s.slots[i].value; !v.isNothing() {
			v.same = 0
			out = append(out, savedValue{s.slots[i].off + slotKeys, v})
		}
	}
	return out
}

// copied reports whether another register has the value of register r.
func (s *state) copied(r int) bool {
	for i := range s.regs {
		if i != r && s.regs[i].copy == s.regs[r].copy {
			return true
		}
	}
	return false
}

// copyOf notes that node n, a move, gives the value of register r to another one. It returns what both have as value.copy.
func (s *state) copyOf(r arch.Reg, n int32) int32 {
	if s.regs[r].copy == 0 {
		s.regs[r].copy = n + 1
	}
	return s.regs[r].copy
}

// slot returns the index of the word at off, or where it would be.
func (s *state) slot(off int64) (int, bool) {
	return slices.BinarySearchFunc(s.slots, off, func(w frameSlot, off int64) int { return cmp.Compare(w.off, off) })
}

// wordSize is the size in bytes of a register and of a word of the stack frame.
const wordSize = 8

// store puts a register into a word of the stack frame. It is false if there is no room for what is known of it.
func (s *state) store(off int64, v value) bool {
	s.forget(off, wordSize)
	if v.isNothing() && v.same == 0 {
		return true
	}
	if len(s.slots) >= maxSlots || off < -slotKeys/2 || off > slotKeys/2 {
		return false
	}
	i, _ := s.slot(off)
	s.slots = slices.Insert(s.slots, i, frameSlot{off: off, value: v})
	return true
}

// reg returns what is known of a register; NoReg is zero.
func (s *state) reg(r arch.Reg) value {
	if r < 0 || r >= maxRegs {
		return value{kind: valueNumber, bound: 1}
	}
	return s.regs[r]
}

// set gives a register a value.
func (s *state) set(r arch.Reg, v value) {
	if r < 0 || r >= maxRegs {
		return
	}
	s.regs[r] = v
	s.spent &^= r.Bit()
	if s.cmp.reg == r {
		s.cmp.reg = arch.NoReg
	}
}

// bound notes that what was compared is less than n.
func (f *flow) bound(n uint64) {
	s := &f.s
	c, copied := &s.cmp, int32(0)
	if c.reg >= 0 {
		s.regs[c.reg].bound = n
		copied = s.regs[c.reg].copy
	}
	for i := range s.regs {
		if c.same != 0 && s.regs[i].same == c.same || copied != 0 && s.regs[i].copy == copied {
			s.regs[i].bound = n
		}
	}
	for i := range s.slots {
		if w := &s.slots[i]; c.same != 0 && w.same == c.same {
			if w.bound = n; w.trusted {
				f.trusted = max(f.trusted, w.off)
			}
		}
	}
}

// forget drops what is known of size bytes of the stack frame.
func (s *state) forget(off, size int64) {
	i, _ := s.slot(off - wordSize + 1)
	j := i
	for j < len(s.slots) && s.slots[j].off < off+size {
		j++
	}
	s.slots = slices.Delete(s.slots, i, j)
}

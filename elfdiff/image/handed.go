package image

import (
	"maps"
	"slices"
	"sort"

	"hotpatch/arch"
)

// Handed returns the distances from the address at which memory is accessed for certain by functions of the image that the body hands the address to: at
// a direct call or tail call of which a register holds it and nothing else, by a callee that accesses memory at that distance from it on every path from
// its entry, before it returns, calls or has the address no longer. That memory belongs to the address' object:
// a program that comes to the call comes to the access. Calls through slots and stubs, which may lead to other modules, do not count,
// nor does what the callee's callees do.
//
// It says what the address means in this build, by the code that this build's call leads to. Where the body is carried into a process of another
// build, the address has to be bound to the same object whatever runs there as the callee; that it is this build's code, unchanged or carried as well,
// is a matter of the closure over what differs, as with all that a body counts on.
func (u *AddressUse) Handed() []int64 {
	w := u.walk
	if w == nil {
		return nil
	}
	var out []int64
	for _, k := range slices.Sorted(maps.Keys(w.in)) {
		callee := w.callee(k)
		if callee == nil {
			continue
		}
		for r := range arch.Reg(maxRegs) {
			if !w.in[k].Has(r) {
				continue
			}
			if at := w.im.derefsOf(callee, r); len(at) > 0 && w.onlyFrom(k, r, true) {
				out = append(out, at...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Several reports whether the address leaves the body in several places, by calls, stores or returns, of which Handed does not tell all. Compilers that know
// how objects lie to each other (section anchors, merged globals) use one address as the end of one object and the start of the
// next: what it is in one place is then not so in the others.
func (u *AddressUse) Several() bool {
	w := u.walk
	if w == nil {
		return false
	}
	places, unknown := make(map[int]bool), false
	for v, out := range w.others {
		if !out {
			continue
		}
		callee := w.callee(v.at)
		places[v.at] = true
		unknown = unknown || callee == nil || len(w.im.derefsOf(callee, v.reg)) == 0 || !w.onlyFrom(v.at, v.reg, true)
	}
	return len(places) > 1 && unknown
}

// handedAt returns the registers in which instruction k, a call, a return or a jump out of the body, may hand over what they hold.
func (w *addressWalk) handedAt(k int) arch.Regs {
	if w.a.Pieces == nil {
		return allRegs
	}
	p := w.branchPlace(k)
	callee := w.callee(k)
	switch flow := w.b.Insts[k].Flow; {
	case flow == arch.FlowReturn:
		a := w.b.Atom
		if a.Parent != nil {
			a = a.Parent
		}
		results := w.a.Pieces.Results
		return [...]arch.Regs{0, results & -results, results}[w.im.ResultWords(a)]
	case callee != nil:
		read, asked := w.im.readAt(callee.Addr)
		return read | asked
	case p != nil:
		return w.a.Pieces.Args
	}
	return w.a.Pieces.Args | w.mentions(k)
}

// callee returns the function that instruction k of the body calls or jumps to as that function's only possible target; nil: it does nothing of the kind.
func (w *addressWalk) callee(k int) *Atom {
	if k >= len(w.b.Insts) || w.b.Insts[k].Target >= 0 {
		return nil
	}
	switch w.b.Insts[k].Flow {
	case arch.FlowCall, arch.FlowJump, arch.FlowBranch:
	default:
		return nil
	}
	p := w.branchPlace(k)
	if p == nil || p.Kind != PlaceAtom || p.ViaSlot || p.Addend != 0 || p.Atom.Kind != Func || p.Atom.Parent != nil {
		return nil
	}
	return p.Atom
}

// branchPlace returns what the reference of instruction k leads to, a branch; nil: it has none.
func (w *addressWalk) branchPlace(k int) *Place {
	i := sort.Search(len(w.b.Refs), func(i int) bool { return int(w.b.Refs[i].Inst) >= k })
	if i == len(w.b.Refs) || int(w.b.Refs[i].Inst) != k {
		return nil
	}
	return &w.b.Refs[i].Place
}

// derefKey is a register at the entry of a function.
type derefKey struct {
	atom int // ID
	reg  arch.Reg
}

// derefsOf returns the distances from what a register holds at the entry of a function at which the function accesses memory on every path, before it
// returns or calls. It may be called concurrently. The caller must not change the slice.
func (im *Image) derefsOf(a *Atom, r arch.Reg) []int64 {
	key := derefKey{a.ID, r}
	if v, ok := im.derefs.Load(key); ok {
		return v.([]int64)
	}
	at := im.findDerefs(a, r)
	im.derefs.Store(key, at)
	return at
}

func (im *Image) findDerefs(a *Atom, r arch.Reg) []int64 {
	b, err := im.Body(a)
	if err != nil || len(b.Insts) == 0 || b.Insts[0].Off != 0 || slices.ContainsFunc(b.Gaps, func(g Range) bool { return !g.Padding }) {
		return nil
	}
	d := derefWalk{transfers: transfers{a: im.Arch, b: b}, visited: make(map[derefState]bool)}
	start := derefState{regs: r.Bit()}
	var out []int64
	for _, at := range d.first(start) {
		clear(d.visited)
		if !slices.Contains(out, at) && d.inevitable(start, at) {
			out = append(out, at)
		}
	}
	return out
}

// maxDeref bounds the states in which paths from a function's entry are looked at: what is behind that many says nothing.
const maxDeref = 128

// derefWalk looks for accesses by way of what a register holds at a function's entry, on the paths from there.
type derefWalk struct {
	transfers
	visited map[derefState]bool // false while the paths behind it are looked at
}

// derefState is where execution has come to.
type derefState struct {
	at   int       // index of the next instruction
	regs arch.Regs // that hold for certain what the register held at the entry
}

// first returns the distances of the accesses on one of the paths: what is accessed on all of them is among them.
func (d *derefWalk) first(s derefState) []int64 {
	var out []int64
	for range maxDeref {
		if at, ok := d.access(s); ok {
			out = append(out, at)
		}
		next := d.next(s)
		if len(next) == 0 {
			break
		}
		s = next[0]
	}
	return out
}

// inevitable reports whether execution that has come so far accesses memory at a distance from what the register held. A loop that it may stay in
// for ever is in the way of that.
func (d *derefWalk) inevitable(s derefState, at int64) bool {
	if done, seen := d.visited[s]; seen || len(d.visited) == maxDeref {
		return done
	}
	d.visited[s] = false
	if got, ok := d.access(s); !ok || got != at {
		next := d.next(s)
		if len(next) == 0 || slices.ContainsFunc(next, func(n derefState) bool { return !d.inevitable(n, at) }) {
			return false
		}
	}
	d.visited[s] = true
	return true
}

// access returns the distance at which the next instruction accesses memory.
func (d *derefWalk) access(s derefState) (at int64, ok bool) {
	in := &d.b.Insts[s.at]
	if in.Flow != arch.FlowNext || in.Nop {
		return 0, false
	}
	t := d.at(s.at)
	return t.Mem.Disp, s.regs.Has(t.Mem.Base) && accesses(t, t.Mem.Base) && !t.Mem.Seg
}

// next returns the states that may come next; none if one of the ways leads out of the body, or no register may have the value then.
func (d *derefWalk) next(s derefState) []derefState {
	in := &d.b.Insts[s.at]
	regs := s.regs
	if !in.Nop {
		t := d.at(s.at)
		regs &^= t.Writes
		if moved(t) && s.regs.Has(t.Src) {
			regs |= t.Dst.Bit()
		}
	}
	target, next := int(in.Target), s.at+1
	if next < len(d.b.Insts) && d.b.Insts[next].Unlocked {
		next++
	}
	follows := next < len(d.b.Insts) && d.b.Insts[next].Off == in.End()
	switch {
	case regs == 0:
	case in.Flow == arch.FlowNext && follows:
		return []derefState{{next, regs}}
	case in.Flow == arch.FlowBranch && follows && target >= 0:
		return []derefState{{next, regs}, {target, regs}}
	case in.Flow == arch.FlowJump && target >= 0:
		return []derefState{{target, regs}}
	}
	return nil
}

package elfdiff

import (
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// beyond finds what bodies ask of callers that are further away: a compiler counts as written by a function what those that it calls write. So
// where an unchanged function, or another of the patch, lies between a new body that writes more registers and a call that goes on in
// an old body, that one can keep something in them all the same.
//
// It goes from callee to caller until nothing more is found. Functions that the patch does not have are those of the old build, whatever the direction.
type beyond struct {
	m       *demander
	funcs   []patch.Func // of the patch
	carried []*funcChange
	forward bool                  // the new bodies come, and calls go on in old ones
	callers map[*unit][]int       // by a function of the old build: those of the patch whose bodies that come call it
	asks    map[*unit]arch.RegSet // by a function that the patch does not have: what is asked of its callers
	by      map[*unit][]int       // and which functions of the patch ask it
	counted map[*unit]arch.RegSet // see least
	called  map[*unit][]*unit     // see callees
}

// beyond adds to the patch's functions what is asked through others.
func (m *demander) beyond(funcs []patch.Func, carried []*funcChange, forward bool) {
	b := &beyond{m: m, funcs: funcs, carried: carried, forward: forward, callers: make(map[*unit][]int), asks: make(map[*unit]arch.RegSet),
		by: make(map[*unit][]int), counted: make(map[*unit]arch.RegSet), called: make(map[*unit][]*unit)}
	for i, c := range carried {
		if c.how != patch.Changed {
			continue
		}
		comes := c.old
		if forward {
			comes = c.new
		}
		for _, to := range b.callees(comes) {
			b.callers[to] = append(b.callers[to], i)
		}
	}
	b.spread()
	for i, c := range carried {
		stays, code := c.old, &funcs[i].OldCode
		if !forward {
			stays, code = c.new, &funcs[i].NewCode
		}
		if stays == nil {
			continue
		}
		for _, to := range b.callees(stays) {
			if k, ok := m.index[to]; ok {
				code.Calls = append(code.Calls, k)
			}
			code.Calls = append(code.Calls, b.by[to]...)
		}
		slices.Sort(code.Calls)
		code.Calls = slices.Compact(code.Calls)
	}
}

// spread follows the demands to all callers.
func (b *beyond) spread() {
	var work []*unit
	for i, c := range b.carried {
		if c.how == patch.Changed && b.writes(i) != 0 {
			work = append(work, c.old)
		}
	}
	for ; len(work) > 0; work = work[1:] {
		u := work[0]
		asks, by := b.asks[u], b.by[u]
		if k, ok := b.m.index[u]; ok {
			asks, by = b.writes(k), []int{k}
		}
		for _, i := range b.callers[u] {
			c := b.carried[i]
			if more := asks.Minus(b.demand(i).Writes); more != 0 && more.Minus(b.least(c.old)) != 0 {
				b.demand(i).Writes |= more.Minus(b.least(c.old))
				work = append(work, c.old)
			}
		}
		for _, w := range b.m.d.old.usersOf(u.atom()) {
			more := asks.Minus(b.asks[w])
			if _, ok := b.m.index[w]; ok || more == 0 || !slices.Contains(b.callees(w), u) {
				continue
			}
			if more = more.Minus(b.least(w)); more == 0 {
				continue
			}
			b.asks[w] |= more
			for _, k := range by {
				if b.writes(k)&more != 0 && !slices.Contains(b.by[w], k) {
					b.by[w] = append(b.by[w], k)
				}
			}
			work = append(work, w)
		}
	}
}

// demand returns that of a function's body that comes.
func (b *beyond) demand(i int) *patch.Demand {
	if b.forward {
		return &b.funcs[i].NewCode.More
	}
	return &b.funcs[i].OldCode.More
}

// writes returns the registers that a function's body that comes may write and the other does not.
func (b *beyond) writes(i int) arch.RegSet {
	c := b.carried[i]
	if b.m.flow(&b.m.d.old, c.old).err != "" || b.m.flow(&b.m.d.new, c.new).err != "" {
		return b.m.d.old.im.Arch.Call.Scratch
	}
	return b.demand(i).Writes
}

// least is that of a function of the old build, in the build of which calls go on.
func (b *beyond) least(u *unit) arch.RegSet {
	out, ok := b.counted[u]
	if ok {
		return out
	}
	s, at := &b.m.d.old, u
	if !b.forward {
		s = &b.m.d.new
		at = s.unitOf(b.m.d.fwd.of(u.atom()))
	}
	if at != nil {
		out = b.m.least(s, b.m.flow(s, at))
	}
	b.counted[u] = out
	return out
}

// callees lists whom a function calls or jumps to directly: functions of the old build as far as it has them, else of the new one.
func (b *beyond) callees(u *unit) []*unit {
	if out, ok := b.called[u]; ok {
		return out
	}
	s, d := &b.m.d.old, b.m.d
	if u.im == d.new.im {
		s = &d.new
	}
	var out []*unit
	add := func(a *image.Atom, jump bool) {
		to := s.unitOf(a)
		if to == nil || jump && to == u {
			return
		}
		if s == &d.new {
			if o := d.old.unitOf(d.rev.of(to.atom())); o != nil {
				to = o
			}
		}
		if !slices.Contains(out, to) {
			out = append(out, to)
		}
	}
	for i := range u.refs {
		r := &u.refs[i]
		if r.kind != image.RefCall && r.kind != image.RefJump {
			continue
		}
		p := u.place(r)
		add(p.Atom, r.kind == image.RefJump)
		for _, a := range p.Candidates {
			add(a, r.kind == image.RefJump)
		}
	}
	b.called[u] = out
	return out
}

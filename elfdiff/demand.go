package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// A call that goes on in an old body, because the user lets the function stay active, meets new bodies of what it calls. It was compiled with
// knowledge of the old ones: gcc's -fipa-ra keeps values in registers that the called function does not change, and an argument that
// it does not use need not be passed (HAZARDS D16). What the new body asks beyond that is its demand. Everything is bounded to the safe side:
// what the new body writes or takes from above, what the old one does from below.

// demands fills in what is known of the bodies of a finished patch.
func (d *differ) demands(p *patch.Patch) {
	newDemander(d).fill(p.Funcs)
}

// fill is demands for the functions of the table.
func (m *demander) fill(funcs []patch.Func) {
	d := m.d
	for i, c := range m.table {
		f := &funcs[i]
		if c.old != nil {
			f.OldCode.Loops = m.flow(&d.old, c.old).loops()
			end := f.Jump.Off + uint32(d.old.im.Arch.Jump.Len)
			f.OldCode.Heads = c.how == patch.Changed && slices.ContainsFunc(c.old.branchOffsets(), func(off uint32) bool { return off < end })
		}
		if c.new != nil {
			f.NewCode.Loops = m.flow(&d.new, c.new).loops()
		}
		if c.how == patch.Changed {
			f.NewCode.More, f.OldCode.More = *m.demand(c, true), *m.demand(c, false)
		}
	}
	m.beyond(funcs, m.table, true)
	m.beyond(funcs, m.table, false)
}

// newDemander numbers the functions of the patch in the order of the function table, see emitter.functions.
func newDemander(d *differ) *demander {
	m := &demander{d: d, flows: make(map[*unit]*flow), index: make(map[*unit]int), done: make(map[demandKey]*patch.Demand)}
	for _, c := range d.funcs {
		if c.how != patch.Removed && !c.carried(&d.opt) {
			continue
		}
		for _, u := range []*unit{c.old, c.new} {
			if u != nil {
				m.index[u] = len(m.table)
			}
		}
		m.table = append(m.table, c)
	}
	return m
}

// text says what is asked.
func (m *demander) text(r *patch.Demand) string {
	conv := &m.d.old.im.Arch.Call
	switch {
	case r.Writes != 0:
		return "it writes " + r.Writes.Names(conv) + ", which it did not write before"
	case r.Args != 0:
		return "it may take an argument in " + r.Args.Names(conv) + ", where it took none before"
	}
	return r.Why
}

// demander finds out demands.
type demander struct {
	d     *differ
	table []*funcChange
	flows map[*unit]*flow
	index map[*unit]int // of the patch's functions
	done  map[demandKey]*patch.Demand
}

// demandKey is a function's change, in one of both directions.
type demandKey struct {
	c       *funcChange
	forward bool
}

func (m *demander) flow(s *side, u *unit) *flow {
	f := m.flows[u]
	if f == nil {
		f = newFlow(s, u)
		m.flows[u] = f
	}
	return f
}

// demand says what one body of a function asks of callers that were compiled for the other: the new body forward, else the old one.
func (m *demander) demand(c *funcChange, forward bool) *patch.Demand {
	key := demandKey{c, forward}
	if r := m.done[key]; r != nil {
		return r
	}
	r := new(patch.Demand) // for one that calls itself, by way of others too: see beyond
	m.done[key] = r
	from, to, sFrom, sTo := c.old, c.new, &m.d.old, &m.d.new
	if !forward {
		from, to, sFrom, sTo = to, from, sTo, sFrom
	}
	a, b := m.flow(sFrom, from), m.flow(sTo, to)
	conv := &m.d.old.im.Arch.Call
	switch {
	case a.err != "":
		r.Why = a.err
	case b.err != "":
		r.Why = b.err
	case !c.sameCall:
		r.Why = "that its parameters are the same in both builds is not shown by their debug information"
	case cloned(from.name()) || cloned(to.name()):
		r.Why = "the compiler may have changed how it is called: it is a clone"
	}
	if a.err != "" || b.err != "" {
		return r
	}
	m.writes(r, a, b, sFrom, sTo, forward)
	may, _, passed := b.arguments(conv)
	_, sure, passes := a.arguments(conv)
	if m.asDeclared(from) && m.asDeclared(to) {
		sure |= passes // and what it passes on says nothing more than its parameters do
	} else {
		may |= passed
	}
	r.Args = may.Minus(sure)
	return r
}

// asDeclared reports whether a function's callers pass what its prototype says. Where a compiler sees all callers, it may leave arguments out that
// are not used; gcc makes a clone of another name for that (see cloned), LLVM changes the function itself.
func (m *demander) asDeclared(u *unit) bool {
	by := u.im.Compilers
	return !u.atom().Local || strings.Contains(by, "GCC:") && !strings.Contains(by, "clang") && !strings.Contains(by, "rustc") && !strings.Contains(by, "LLVM")
}

// cloned reports whether a compiler's suffix says that a function was made of another for some of its callers.
func cloned(name string) bool {
	for _, s := range []string{".isra", ".constprop", ".part", ".specialized", ".argprom", ".retelim", ".argelim"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// writes finds the registers that flow b may write and that callers can rely on if they were compiled for flow a.
func (m *demander) writes(r *patch.Demand, a, b *flow, sa, sb *side, forward bool) {
	conv := &m.d.old.im.Arch.Call
	least := m.least(sa, a)
	if least == conv.Scratch {
		return
	}
	counterpart := m.d.rev.of
	if !forward {
		counterpart = m.d.fwd.of
	}
	called := make(map[*unit]bool) // by a
	for i := range a.nodes {
		called[a.nodes[i].to.unit] = true
	}
	var most arch.RegSet
	for i := range b.nodes {
		n := &b.nodes[i]
		most |= n.eff.Write
		switch to := n.to.unit; {
		case !n.call || to == b.u:
		case to == nil:
			most |= conv.Scratch
		default:
			o := sa.unitOf(counterpart(to.atom()))
			if o == nil || !called[o] {
				most |= m.most(sb, to)
				continue
			}
			// Both call it. If it does not change it writes the same; if it does, what it asks is asked of its own callers, too.
			if k, ok := m.index[o]; ok && m.index[to] == k {
				if c := m.change(o, to); c != nil {
					q := m.demand(c, forward)
					most |= q.Writes
					if q.Why != "" && r.Why == "" {
						r.Why = fmt.Sprintf("it calls %s, of which this is not known: %s", to.name(), q.Why)
					}
				}
			}
		}
	}
	r.Writes = (most & conv.Scratch).Minus(least)
}

// change returns the change of a function that has both units.
func (m *demander) change(a, b *unit) *funcChange {
	for _, c := range m.d.funcs {
		if c.old == a && c.new == b || c.old == b && c.new == a {
			return c
		}
	}
	return nil
}

// maxCallees bounds how many functions are looked at for what one of them may write.
const maxCallees = 200

// most returns what a function and all that it calls may write.
func (m *demander) most(s *side, u *unit) arch.RegSet {
	scratch := m.d.old.im.Arch.Call.Scratch
	var out arch.RegSet
	seen := map[*unit]bool{u: true}
	for work := []*unit{u}; len(work) > 0; work = work[1:] {
		f := m.flow(s, work[0])
		if f.err != "" || len(seen) > maxCallees {
			return scratch
		}
		for i := range f.nodes {
			n := &f.nodes[i]
			out |= n.eff.Write
			switch to := n.to.unit; {
			case !n.call:
			case to == nil:
				return scratch
			case !seen[to]:
				seen[to] = true
				work = append(work, to)
			}
		}
		if out&scratch == scratch {
			break
		}
	}
	return out & scratch
}

// least returns what a compiler that compiles a caller certainly counts as written by a function: what its instructions write, and all that the
// ABI allows where it calls what is not known.
func (m *demander) least(s *side, f *flow) arch.RegSet {
	scratch := m.d.old.im.Arch.Call.Scratch
	var out arch.RegSet
	seen := map[*unit]bool{f.u: true}
	for work := []*flow{f}; len(work) > 0; work = work[1:] {
		for i := range work[0].nodes {
			n := &work[0].nodes[i]
			out |= n.eff.Kill | n.eff.Byte
			switch to := n.to.unit; {
			case !n.call || n.to.vague:
			case to == nil:
				return scratch
			case !seen[to] && len(seen) < maxCallees:
				seen[to] = true
				if g := m.flow(s, to); g.err == "" {
					work = append(work, g)
				}
			}
		}
	}
	return out & scratch
}

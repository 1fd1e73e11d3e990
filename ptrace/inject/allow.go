package inject

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
)

// The user may let a function stay active (Options.AllowActive): a main loop that never returns, above all. A call of it that is under way
// goes on in the body that it began in, to its end; all later calls are of the version that is in force then. That body was compiled with
// knowledge of those that it calls, which are replaced. So it is refused all the same if one of them writes a register, or takes an argument,
// that its former body did not (patch.Demand), or if the body branches into the bytes that the jump takes the place of.
//
// What the compiler knew of memory is not looked at: a value of a variable that the call keeps because no former callee wrote that variable
// (-fipa-modref, pure functions) stays what it was, though a new callee writes it. That is the user's to know, and the report says so.
//
// A body that may still run from an earlier transaction is under the same rule: while it does, a function that asks more is not put
// into force. It counts as busy.

// move is a link that a transaction brings into force, or takes out of it.
type move struct {
	v       *moduleView
	l       *link
	forward bool
}

// leaves returns what is known of the body of a function that goes out of force; nil: none does.
func (m *move) leaves(i int) *patch.Code {
	f := &m.l.file.Funcs[i]
	switch {
	case m.forward && f.How != patch.Added:
		return &f.OldCode
	case !m.forward && f.How != patch.Removed:
		return &f.NewCode
	}
	return nil
}

// demand returns what the body that comes into force asks of callers that were compiled for the one before; nil: none comes.
func (m *move) demand(i int) *patch.Demand {
	f := &m.l.file.Funcs[i]
	switch {
	case f.How != patch.Changed:
		return nil
	case m.forward:
		return &f.NewCode.More
	}
	return &f.OldCode.More
}

// ranges returns the code of a body that goes out of force and is mapped.
func (pl *planner) ranges(m *move, i int) []placedRange {
	if m.forward {
		return slices.DeleteFunc(slices.Clone(m.l.e.Bodies[i].Old), func(r placedRange) bool { return pl.future(r.Addr) })
	}
	var out []placedRange
	for _, t := range payloadTargets(m.l) {
		if isPartOf(t.Name, m.l.file.Funcs[i].Name) {
			out = append(out, t.placedRange)
		}
	}
	return out
}

// allowActive takes the functions that the user allows to stay active out of the check.
func (pl *planner) allowActive() error {
	for _, name := range pl.opt.AllowActive {
		found := false
		for k := range pl.moves {
			m := &pl.moves[k]
			for i := range m.l.file.Funcs {
				if f := &m.l.file.Funcs[i]; m.leaves(i) == nil || f.Name != name && pl.opt.demangle(f.Name) != name {
					continue
				}
				found = true
				if err := pl.mayStay(m, i); err != nil {
					return err
				}
				pl.exempt(m, i)
			}
		}
		if !found {
			return refuse(name, "", "name a function that the patch replaces", "it is not replaced, so that it need not be allowed to stay active")
		}
	}
	return nil
}

// mayStay refuses to let a body run on that could not.
func (pl *planner) mayStay(m *move, i int) error {
	name := m.l.file.Funcs[i].Name
	if m.forward && m.leaves(i).Heads {
		return refuse(name, "", "", "it cannot stay active: its own code branches to the instructions that are replaced by the jump, so that the call under way would run into it")
	}
	if n := len(m.l.e.Moves); n > 0 {
		return refuse(name, m.l.e.Moves[0].Name, "", "it cannot stay active: variables get another place with this change, and the call under way may use the old one")
	}
	for k := range pl.moves {
		o := &pl.moves[k]
		switch {
		case o.forward != m.forward:
			return refuse(name, "", "apply or revert the patches one by one", "it cannot stay active while patches are put in and taken out in one stop")
		case o.v == m.v && o.l != m.l:
			for i := range o.l.file.Funcs {
				if d := o.demand(i); d != nil && !d.None() {
					return pl.asks(name, o, i)
				}
			}
		}
	}
	seen := map[int]bool{i: true}
	for work := []int{i}; len(work) > 0; work = work[1:] {
		for _, to := range m.leaves(work[0]).Calls {
			if d := m.demand(to); d != nil && !d.None() {
				return pl.asks(name, m, to)
			}
			// One that no body takes the place of runs on with its caller.
			if m.demand(to) == nil && m.leaves(to) != nil && !seen[to] {
				seen[to] = true
				work = append(work, to)
			}
		}
	}
	return nil
}

// asks refuses because of what the body that comes into force of function i asks of its callers.
func (pl *planner) asks(name string, m *move, i int) error {
	d, called := m.demand(i), m.l.file.Funcs[i].Name
	conv := &pl.arch.Call
	why := d.Why
	switch {
	case d.Writes != 0:
		why = fmt.Sprintf("it writes %s, which it did not write before: the call under way may keep something there", d.Writes.Names(conv))
	case d.Args != 0:
		why = fmt.Sprintf("it may take an argument in %s, where it took none before", d.Args.Names(conv))
	}
	return refuse(name, why, "", "it cannot stay active: it calls %s, itself or through functions that are not replaced, and code that asks more of its callers takes its place", called)
}

// exempt takes the code of a body out of the targets. What remains are the bytes that a jump is written to: nobody may be in the midst of them.
func (pl *planner) exempt(m *move, i int) {
	name := m.l.file.Funcs[i].Name
	for _, r := range pl.ranges(m, i) {
		pl.targets = slices.DeleteFunc(pl.targets, func(t target) bool { return t.Addr == r.Addr && !t.reader })
		for _, w := range m.l.e.Writes {
			if w.Kind != writeConst && m.forward && w.Addr >= r.Addr && w.Addr < r.end() {
				pl.targets = append(pl.targets, target{placedRange: placedRange{Name: name, Addr: w.Addr, Size: uint64(len(w.New))}, entries: []arch.Addr{w.Addr}})
			}
		}
		pl.staying = append(pl.staying, target{placedRange: placedRange{Name: name, Addr: r.Addr, Size: r.Size}, entries: []arch.Addr{r.Addr}})
	}
	if j := pl.journal; m.forward && m.l.j == j && m.l.index < len(j.Record.Entries) {
		e := &j.Record.Entries[m.l.index]
		e.Allowed = append(e.Allowed, name)
	}
}

// lingering counts bodies that an earlier transaction took out of force, and that may still run, as replaced again, if this one brings code
// that asks more of its callers.
func (pl *planner) lingering() {
	for _, v := range pl.views {
		if !slices.ContainsFunc(pl.moves, func(m move) bool { return m.v == v && m.asksMore() }) {
			continue
		}
		for _, l := range v.chain {
			if len(l.e.Allowed) > 0 && !slices.ContainsFunc(pl.moves, func(m move) bool { return m.l == l }) {
				pl.targets = append(pl.targets, pl.mappedCode(oldTargets(v, l))...)
			}
		}
		for _, l := range v.idle { // a revert leaves no word of whom it allowed to stay
			if !slices.ContainsFunc(pl.steps, func(s *step) bool { return s.reused && s.link.e.Base == l.e.Base }) {
				pl.targets = append(pl.targets, pl.mappedCode(payloadTargets(l))...)
			}
		}
	}
}

// asksMore reports whether a function of the move asks more of its callers than before.
func (m *move) asksMore() bool {
	for i := range m.l.file.Funcs {
		if d := m.demand(i); d != nil && !d.None() {
			return true
		}
	}
	return false
}

// mappedCode returns those targets that are mapped as code.
func (pl *planner) mappedCode(list []target) []target {
	return slices.DeleteFunc(list, func(t target) bool {
		mp := mappingAt(pl.snap.maps, t.Addr)
		return mp == nil || mp.Perm&ptrace.PermExec == 0 || mp.End < t.end()
	})
}

// unseen says why contexts that nobody sees could not go on in the bodies that go out of force; nil: they can. Any of these may be on such a
// stack, so that each is under the rule for bodies that run on.
func (pl *planner) unseen() error {
	for k := range pl.moves {
		m := &pl.moves[k]
		for i := range m.l.file.Funcs {
			if m.leaves(i) == nil {
				continue
			}
			if err := pl.mayStay(m, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// stayingThread is a thread that goes on in a body that is not in force any more.
type stayingThread struct {
	tid    int
	target int // index in plan.staying
}

// prepareStaying makes the check that tells who stays active.
func (a *activeness) prepareStaying(pl *plan) error {
	if len(pl.staying) == 0 {
		return nil
	}
	var targets []unwind.Target
	for _, t := range pl.staying {
		targets = append(targets, unwind.Target{Range: unwind.Range{Start: t.Addr, End: t.end()}, Name: t.Name, Entries: t.entries})
	}
	if err := a.space.FindVeneers(targets, pl.snap.mem); err != nil {
		return err
	}
	a.stays = unwind.NewChecker(a.space, targets)
	return nil
}

// findStaying notes the threads that go on in functions that may stay active. Preconditions: check has found nobody active in anything else.
func (a *activeness) findStaying(s *ptrace.Stopped, table *spanTable, pid int) {
	a.staying = a.staying[:0]
	for i := range s.Threads {
		th := &s.Threads[i]
		if a.stays == nil || th.NoUser {
			continue
		}
		if act := a.look(a.stays, s, i, table, pid); act.Active && act.Target >= 0 {
			a.staying = append(a.staying, stayingThread{th.TID, act.Target})
		}
	}
}

// stayingNotes says what goes on in an old version.
func (t *transaction) stayingNotes() []string {
	var out []string
	for _, name := range t.opt.AllowActive {
		is := func(s stayingThread) bool {
			n := t.plan.staying[s.target].Name
			return n == name || t.opt.demangle(n) == name
		}
		k := slices.IndexFunc(t.active.staying, is)
		if k < 0 {
			out = append(out, fmt.Sprintf("%s was allowed to stay active, and nobody was in it", name))
		}
		for _, s := range t.active.staying {
			if is(s) {
				out = append(out, fmt.Sprintf("thread %d (%s) stays in %s: that call goes on in the version that it began in until it ends; the functions that it calls from now on, and all later calls of %s, are of the version that is in force now; whether it notices that they write a variable which their former versions did not is not checked",
					s.tid, threadName(t.p.PID, s.tid), name, name))
			}
		}
	}
	return out
}

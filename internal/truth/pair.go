package truth

import (
	"fmt"
	"slices"
	"strings"
)

// pairing says which entity of the old program is which of the new one.
type pairing struct {
	old, new *program
	fwd, rev map[*entity]*entity
}

// scope is what two entities have in common that could be one.
type scope struct {
	kind   kind   // constants and variables are of one kind here: a table can lose its const
	object string // of local entities: the name of their object; "" for global ones
	name   string
}

// pair finds the partners: global names first, then local ones of one object; numbered ones by who uses them,
// by content, and in their order; last of all names whose scope or object changed.
func pair(old, new *program) *pairing {
	m := &pairing{old: old, new: new, fwd: make(map[*entity]*entity), rev: make(map[*entity]*entity)}
	m.unique(byScope, func(e *entity) bool { return e.kind == function || plainName(e.name()) == e.name() })
	for {
		n := len(m.fwd)
		m.byUsers()
		if len(m.fwd) == n {
			break
		}
	}
	m.unique(byScope, all)
	m.byContent()
	m.inOrder()
	m.unique(byName, all)
	return m
}

func byScope(e *entity) scope {
	s := scope{kind: e.kind, name: withoutHash(e.name())}
	if s.kind == constant {
		s.kind = variable
	}
	if e.local {
		s.object, s.name = e.obj.name, plainName(e.name())
	}
	return s
}

func byName(e *entity) scope {
	s := byScope(e)
	if s.object = ""; e.local && plainName(e.name()) != e.name() {
		s.object = e.obj.name // a numbered name belongs to its object
	}
	return s
}

func (m *pairing) link(a, b *entity) { m.fwd[a], m.rev[b] = b, a }

// free collects the entities without a partner.
func free(p *program, paired map[*entity]*entity, by func(*entity) scope) map[scope][]*entity {
	out := make(map[scope][]*entity)
	for _, e := range p.entities {
		if paired[e] == nil {
			out[by(e)] = append(out[by(e)], e)
		}
	}
	return out
}

func all(*entity) bool { return true }

// unique pairs what is alone in its scope on both sides, if it is wanted.
func (m *pairing) unique(by func(*entity) scope, wanted func(*entity) bool) {
	news := free(m.new, m.rev, by)
	for s, a := range free(m.old, m.fwd, by) {
		if b := news[s]; len(a) == 1 && len(b) == 1 && wanted(a[0]) && wanted(b[0]) {
			m.link(a[0], b[0])
		}
	}
}

// byUsers pairs namesakes by the functions that refer to them: the first that a function refers to is the first of its partner.
// What two functions contradict each other about is left.
func (m *pairing) byUsers() {
	votes := make(map[*entity]*entity)
	bad := make(map[*entity]bool)
	vote := func(from map[*entity]*entity, a, b *entity) {
		if have := from[a]; have != nil && have != b {
			bad[a], bad[b] = true, true
		}
		from[a] = b
	}
	back := make(map[*entity]*entity)
	for a, b := range m.fwd {
		uses, others := m.uses(m.old, a, m.fwd), m.uses(m.new, b, m.rev)
		for s, of := range uses {
			if with := others[s]; len(with) == len(of) {
				for i := range of {
					vote(votes, of[i], with[i])
					vote(back, with[i], of[i])
				}
			}
		}
	}
	for a, b := range votes {
		if !bad[a] && !bad[b] && back[b] == a {
			m.link(a, b)
		}
	}
}

// uses lists the unpaired entities that e refers to, in order, by scope.
func (m *pairing) uses(p *program, e *entity, paired map[*entity]*entity) map[scope][]*entity {
	out := make(map[scope][]*entity)
	for _, x := range e.pieces {
		for _, r := range x.sec.relocsIn(x.lo, x.hi) {
			t := p.target(x.sec, r)
			if t.ent == nil || paired[t.ent] != nil {
				continue
			}
			if s := byScope(t.ent); !slices.Contains(out[s], t.ent) {
				out[s] = append(out[s], t.ent)
			}
		}
	}
	return out
}

// byContent pairs namesakes of equal content, addresses aside, as many as both sides have.
func (m *pairing) byContent() {
	news := free(m.new, m.rev, byScope)
	for s, olds := range free(m.old, m.fwd, byScope) {
		rest := slices.Clone(news[s])
		for _, a := range olds {
			i := slices.IndexFunc(rest, func(b *entity) bool { return looks(a) == looks(b) })
			if i >= 0 {
				m.link(a, rest[i])
				rest = slices.Delete(rest, i, i+1)
			}
		}
	}
}

// looks describes an entity without what it refers to.
func looks(e *entity) string {
	var b strings.Builder
	for _, x := range e.pieces {
		fmt.Fprintf(&b, "%s %d ", x.label, x.hi-x.lo)
		b.Write(x.sec.bytes(x.lo, x.hi))
		for _, r := range x.sec.relocsIn(x.lo, x.hi) {
			fmt.Fprintf(&b, " %d:%d", r.off-x.lo, r.typ)
		}
	}
	return b.String()
}

// inOrder pairs what is left of a scope in its order, if both sides have equally many.
func (m *pairing) inOrder() {
	news := free(m.new, m.rev, byScope)
	for s, olds := range free(m.old, m.fwd, byScope) {
		if len(news[s]) != len(olds) {
			continue
		}
		for i := range olds {
			m.link(olds[i], news[s][i])
		}
	}
}

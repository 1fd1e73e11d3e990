package types

import "slices"

// Concern is what a type of a build touches.
type Concern struct {
	Holding   []*Variable // contain it
	Pointing  []*Variable // lead to it through pointers; those that point to it themselves come first
	Direct    int         // how many of Pointing do
	Functions []int       // name it, or pointers to it: indices in Build.Funcs
	// InMember is a type with a pointer to it among its members, PointerIn a function that has such a pointer in a variable or returns
	// it: objects of the type may exist apart from what the functions keep on their stacks. "": there is none.
	InMember, PointerIn string
	ByValue             bool // some function has one of its own
}

// Graph knows which types contain and point to which.
type Graph struct {
	b       *Build
	parents [][]edge // by ID
}

// edge leads from a type to one that contains it or points to it.
type edge struct {
	to      ID
	pointer bool
}

// Graph prepares the search for what leads to a type.
func (b *Build) Graph() *Graph {
	g := &Graph{b: b, parents: make([][]edge, len(b.types))}
	add := func(from, to ID, pointer bool) { g.parents[from] = append(g.parents[from], edge{to, pointer}) }
	fields := func(l *Layout, id ID) {
		for i := range l.Fields {
			add(l.Fields[i].Type, id, false)
		}
	}
	for i := range b.types {
		t, id := &b.types[i], ID(i)
		switch t.kind {
		case Pointer, Member:
			add(t.elem, id, true)
		case Array:
			add(t.elem, id, false)
		case Anonymous:
			fields(t.layout, id)
		case Named:
			for _, l := range b.named[t.named].Layouts {
				fields(l, id)
			}
		}
	}
	return g
}

// reach returns the types that lead to those of from along edges that follow allows; from itself is among them.
func (g *Graph) reach(from []ID, follow func(edge) bool) map[ID]bool {
	seen := make(map[ID]bool)
	for _, id := range from {
		seen[id] = true
	}
	for todo := slices.Clone(from); len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, e := range g.parents[id] {
			if !seen[e.to] && follow(e) {
				seen[e.to] = true
				todo = append(todo, e.to)
			}
		}
	}
	return seen
}

// Concern finds what a changed type of the old build touches.
func (g *Graph) Concern(c *Change) Concern {
	b := g.b
	var self []ID
	for i := range b.types {
		if t := &b.types[i]; t.kind == Named && b.named[t.named] == c.name {
			self = append(self, ID(i))
		}
	}
	holding := g.reach(self, func(e edge) bool { return !e.pointer })
	leading := g.reach(self, func(edge) bool { return true })
	var held []ID
	for id := range holding {
		held = append(held, id)
	}
	naming := g.reach(held, func(e edge) bool { k := b.types[e.to].kind; return k == Pointer || k == Array })
	out := Concern{InMember: g.inMember(held)}
	var far []*Variable
	for i := range b.Variables {
		switch v := &b.Variables[i]; {
		case holding[v.Type]:
			out.Holding = append(out.Holding, v)
		case naming[v.Type]:
			out.Pointing = append(out.Pointing, v)
		case leading[v.Type]:
			far = append(far, v)
		}
	}
	out.Direct = len(out.Pointing)
	out.Pointing = append(out.Pointing, far...)
	for i := range b.Funcs {
		named := false
		for _, m := range b.Funcs[i].Mentions {
			switch {
			case holding[m.Type]:
				out.ByValue = out.ByValue || m.Use&(UseLocal|UseParam) != 0
			case !naming[m.Type]:
				continue
			case m.Use&(UseLocal|UseReturn) != 0 || !g.direct(m.Type, holding):
				if out.PointerIn == "" {
					out.PointerIn = b.Funcs[i].Name
				}
			}
			named = true
		}
		if named {
			out.Functions = append(out.Functions, i)
		}
	}
	return out
}

// direct reports whether a type is a pointer to one of the set, and not a pointer to a pointer.
func (g *Graph) direct(id ID, set map[ID]bool) bool {
	t := &g.b.types[id]
	return t.kind == Pointer && set[t.elem]
}

// inMember names a type that has a pointer to one of the set among its members, or an array of such.
func (g *Graph) inMember(set []ID) string {
	slices.Sort(set)
	for _, id := range set {
		for _, e := range g.parents[id] {
			if !e.pointer {
				continue
			}
			for _, up := range g.parents[e.to] {
				if k := g.b.types[up.to].kind; k == Named || k == Anonymous || k == Array {
					return g.b.Text(up.to)
				}
			}
		}
	}
	return ""
}

package types

import "slices"

// same reports whether two types are written in the same way, typedefs and qualifiers aside. What goes by one name is the same: how that name's
// own layout changed is reported under the name.
func (c *Comparison) same(a, b ID) bool {
	key := [2]ID{a, b}
	if v, ok := c.identical[key]; ok {
		return v
	}
	c.identical[key] = true // types without a name do not contain themselves
	x, y := &c.Old.types[a], &c.New.types[b]
	v := x.kind == y.kind && x.enc == y.enc && x.size == y.size && x.count == y.count && x.name == y.name && x.variadic == y.variadic &&
		len(x.params) == len(y.params) && (x.elem == 0) == (y.elem == 0)
	switch {
	case !v:
	case x.kind == Named:
		v = c.Old.named[x.named].Qualified == c.New.named[y.named].Qualified
	case x.kind == Anonymous:
		v = x.layout.Enum == y.layout.Enum && len(c.diff(x.layout, y.layout)) == 0
	default:
		v = x.elem == 0 || c.same(x.elem, y.elem)
		for i := range x.params {
			v = v && c.same(x.params[i], y.params[i])
		}
	}
	c.identical[key] = v
	return v
}

// Alike reports whether a value of a type of the old build means the same as one of the new: numbers of equal size and sign,
// structs of the same members at the same places, pointers to such. The names of types and of members do not count.
func (c *Comparison) Alike(a, b ID) bool {
	if c.same(a, b) {
		return true
	}
	key := [2]ID{a, b}
	if v, ok := c.alike[key]; ok {
		return v
	}
	return c.assume(assumption{types: key}, func() bool { return c.compareAlike(a, b) })
}

// assumption is a pair that counts as alike until the opposite is shown: structs lead back to themselves through pointers.
type assumption struct {
	types   [2]ID
	layouts [2]*Layout // not nil: of these
}

func (c *Comparison) set(a assumption, v bool) {
	if a.layouts[0] != nil {
		c.layouts[a.layouts] = v
	} else {
		c.alike[a.types] = v
	}
}

// assume compares a pair under the assumption that it is alike. If it is not, what was concluded from that is forgotten.
func (c *Comparison) assume(a assumption, compare func() bool) bool {
	c.set(a, true)
	mark := len(c.trail)
	c.trail = append(c.trail, a)
	if compare() {
		return true
	}
	for _, x := range c.trail[mark:] {
		if x.layouts[0] != nil {
			delete(c.layouts, x.layouts)
		} else {
			delete(c.alike, x.types)
		}
	}
	c.trail = c.trail[:mark]
	c.set(a, false)
	return false
}

func (c *Comparison) compareAlike(a, b ID) bool {
	x, y := &c.Old.types[a], &c.New.types[b]
	if p, q := c.Old.scalar(x), c.New.scalar(y); p != scalarNone || q != scalarNone {
		return c.Old.size(a, 0) == c.New.size(b, 0) && (p == q || p == scalarEnum && q.whole() || q == scalarEnum && p.whole())
	}
	if l, m := c.Old.definition(x), c.New.definition(y); l != nil && m != nil {
		return c.alikeLayouts(l, m)
	}
	if x.kind != y.kind || x.kind == Void || x.kind == Named || x.kind == Other {
		return false
	}
	if x.size != y.size || x.count != y.count || x.variadic != y.variadic || len(x.params) != len(y.params) {
		return false
	}
	if (x.elem == 0) != (y.elem == 0) || x.elem != 0 && !c.Alike(x.elem, y.elem) {
		return false
	}
	for i := range x.params {
		if !c.Alike(x.params[i], y.params[i]) {
			return false
		}
	}
	return true
}

// alikeLayouts reports whether nothing but names differs.
func (c *Comparison) alikeLayouts(l, m *Layout) bool {
	key := [2]*Layout{l, m}
	if v, ok := c.layouts[key]; ok {
		return v
	}
	return c.assume(assumption{layouts: key}, func() bool {
		return l.Enum == m.Enum && !slices.ContainsFunc(c.diff(l, m), func(x Move) bool { return !x.Harmless })
	})
}

// definition returns the layout of an aggregate that has only one, or nil.
func (b *Build) definition(t *typ) *Layout {
	switch {
	case t.kind == Anonymous:
		return t.layout
	case t.kind == Named && len(b.named[t.named].Layouts) == 1:
		return b.named[t.named].Layouts[0]
	}
	return nil
}

// scalar is what the bits of a number stand for.
type scalar uint8

const (
	scalarNone scalar = iota
	scalarSigned
	scalarUnsigned
	scalarEnum
	scalarOther // its encoding, counted on
)

// whole reports whether it is a number without a fraction.
func (s scalar) whole() bool { return s == scalarSigned || s == scalarUnsigned || s == scalarEnum }

// scalar returns what a type is as a number; scalarNone if it is none.
func (b *Build) scalar(t *typ) scalar {
	if t.kind == Base {
		switch t.enc {
		case encSigned, encSignedChar:
			return scalarSigned
		case encUnsigned, encUnsignedChar, encUTF:
			return scalarUnsigned
		}
		return scalarOther + scalar(t.enc)
	}
	if t.kind == Named && len(b.named[t.named].Layouts) > 0 && b.named[t.named].Layouts[0].Enum || t.kind == Anonymous && t.layout.Enum {
		return scalarEnum
	}
	return scalarNone
}

// Registers reports whether an argument of the old type is handed over as one of the new: whole numbers of one size are, whatever their sign.
func (c *Comparison) Registers(a, b ID) bool {
	x, y := c.Old.scalar(&c.Old.types[a]), c.New.scalar(&c.New.types[b])
	return c.Alike(a, b) || x.whole() && y.whole() && c.Old.size(a, 0) == c.New.size(b, 0)
}

// Prototype compares the prototypes of a function of both builds: whether they are the same but for names, and if not, whether callers
// made for the old one at least hand over their arguments in the same way.
func (c *Comparison) Prototype(f, g *Func) (alike, registers bool) {
	if c.Alike(f.Proto, g.Proto) {
		return true, true
	}
	x, y := &c.Old.types[f.Proto], &c.New.types[g.Proto]
	if x.kind != Function || y.kind != Function || len(x.params) != len(y.params) || x.variadic != y.variadic || !c.Registers(x.elem, y.elem) {
		return false, false
	}
	for i := range x.params {
		if !c.Registers(x.params[i], y.params[i]) {
			return false, false
		}
	}
	return false, true
}

// Walked reports whether a program may walk through a variable of the type by an index: it is an array, or has one in it. It is true
// where that is not known.
func (b *Build) Walked(id ID) bool { return b.walked(id, 0) }

func (b *Build) walked(id ID, depth int) bool {
	const deepest = 32 // levels of members
	t := &b.types[id]
	switch t.kind {
	case Base, Pointer, Member:
		return false
	case Named, Anonymous:
		if b.scalar(t) == scalarEnum {
			return false
		}
		l := b.definition(t)
		return l == nil || depth == deepest ||
			slices.ContainsFunc(l.Fields, func(f Field) bool { return b.walked(f.Type, depth+1) })
	}
	return true
}

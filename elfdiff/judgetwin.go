package elfdiff

import (
	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/types"
)

// sameUse reports whether it is plain that nothing is to be said of types: both builds define the same ones, every variable that is paired
// has the same type in both, and every function that the patch replaces the same prototype. Any doubt, such as a variable that DWARF
// describes in a unit that differs and in one that does not, is a no: then both builds are read as a whole.
func (d *differ) sameUse(x *types.Difference) bool {
	c := types.NewComparison(x.Old, x.New)
	return d.sameVariables(c, x.Variables) && d.samePrototypes(c, x.Funcs)
}

// sameVariables compares the types of variables. The twins have the same in both builds.
func (d *differ) sameVariables(c *types.Comparison, twins []types.Twin) bool {
	olds, news := atomsOf(&d.old, c.Old.Variables), atomsOf(&d.new, c.New.Variables)
	findOld, findNew := d.old.variableFinder(), d.new.variableFinder()
	for i := range twins {
		t := &twins[i]
		a, b := findOld(t.Old, t.TLS), findNew(t.New, t.TLS)
		switch {
		case a == nil && b == nil:
		case a == nil || b == nil || d.fwd.of(a) != b || olds[a] != nil || news[b] != nil:
			return false
		}
	}
	for a, v := range olds {
		if w := d.described(news, a); w != nil && !readOnly(a) && c.Variable(v, w) != nil {
			return false
		}
	}
	return true
}

// described returns what DWARF says of the variable of the new build that an old one is paired with, or nil.
func (d *differ) described(news map[*image.Atom]*types.Variable, a *image.Atom) *types.Variable {
	if b := d.fwd.of(a); b != nil {
		return news[b]
	}
	return nil
}

// samePrototypes compares the prototypes of the functions that the patch replaces. The twins have the same in both builds.
func (d *differ) samePrototypes(c *types.Comparison, twins []types.Twin) bool {
	olds, news := functionsByEntry(c.Old), functionsByEntry(c.New)
	forward, back := make(map[arch.ImageAddr]arch.ImageAddr, len(twins)), make(map[arch.ImageAddr]arch.ImageAddr, len(twins))
	for _, t := range twins {
		a, b := arch.ImageAddr(t.Old), arch.ImageAddr(t.New)
		if to, twice := forward[a]; twice && to != b {
			return false
		}
		if from, twice := back[b]; twice && from != a {
			return false
		}
		forward[a], back[b] = b, a
	}
	for _, f := range d.funcs {
		if f.old == nil || f.new == nil || !f.carried(&d.opt) && f.out == "" {
			continue
		}
		a, b := f.old.atom().Addr, f.new.atom().Addr
		x, y := olds[a], news[b]
		to, oldTwin := forward[a]
		_, newTwin := back[b]
		switch {
		case oldTwin || newTwin:
			if to != b || x != nil || y != nil {
				return false
			}
		case x != nil && y != nil:
			if alike, _ := c.Prototype(x, y); !alike {
				return false
			}
		}
	}
	return true
}

package elfdiff

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// judgeRemoved judges a function that only the old build has (HAZARDS D26).
func (d *differ) judgeRemoved(c *funcChange) {
	a := c.old.atom()
	how, reachable := d.stored[a]
	if !reachable {
		return
	}
	c.lives = true // judgeMeetings goes on
	c.needAck("removed:"+a.Name, "the new build does not have it, but it stays reachable (%s) and keeps running as it was", how)
}

// judgeMeetings judges the functions that only the old build has and that stay reachable: they were compiled for the old bodies of what they call.
// Preconditions: the prototypes have been compared.
func (d *differ) judgeMeetings() {
	if !slices.ContainsFunc(d.funcs, func(c *funcChange) bool { return c.lives }) {
		return
	}
	m := newDemander(d)
	funcs := make([]patch.Func, len(m.table))
	m.fill(funcs)
	for i, c := range m.table {
		if !c.lives {
			continue
		}
		for _, k := range funcs[i].OldCode.Calls {
			if r := &funcs[k].NewCode.More; !r.None() {
				c.refuse("it stays reachable (%s) and calls %s, which is replaced by code that asks more of its caller: %s; "+
					"keep it in the new build, or restart", d.stored[c.old.atom()], m.table[k].old.name(), m.text(r))
			}
		}
	}
}

// storedAddresses finds the atoms of the old build whose address something other than a direct call holds, and those that stay reachable
// with one that only the old build has. It says by what.
func (d *differ) storedAddresses() map[*image.Atom]string {
	m := make(map[*image.Atom]string)
	im := d.old.im
	var refs []image.DataRef
	for _, a := range im.Atoms {
		if a.Kind != image.Object && a.Kind != image.TLSObject {
			continue
		}
		by := ""
		refs = d.old.appendDataRefs(refs[:0], a)
		for i := range refs {
			if to := refs[i].Place.Atom; to != nil {
				if by == "" {
					by = "by " + a.Name
				}
				m[to] = by
			}
		}
	}
	for _, r := range im.DynRelocs(0, ^arch.ImageAddr(0)) {
		if target := relocTarget(im, &r); target != nil && m[target] == "" && im.AtomAt(r.Addr) == nil {
			m[target] = fmt.Sprintf("at %#x", uint64(r.Addr))
		}
	}
	for _, r := range im.LinkRelocs(0, ^arch.ImageAddr(0)) {
		if target := im.AtomAt(r.Value); r.Number && target != nil && m[target] == "" && im.AtomAt(r.Addr) == nil {
			m[target] = fmt.Sprintf("at %#x", uint64(r.Addr))
		}
	}
	for _, u := range d.old.units {
		for i := range u.refs {
			r := &u.refs[i]
			a := u.atomOf(r)
			if a == nil || a.Kind == image.Object || r.kind == image.RefCall || r.kind == image.RefJump || m[a] != "" {
				continue
			}
			m[a] = "taken by " + u.name()
		}
	}
	for _, a := range im.Atoms {
		if a.Dynamic && m[a] == "" {
			m[a] = "exported"
		}
	}
	d.storedByLeftOut(m)
	d.closeOverRemoved(m)
	return m
}

// closeOverRemoved adds the functions that only the old build has and that others of these call, which stay reachable: with them, they do.
func (d *differ) closeOverRemoved(stored map[*image.Atom]string) {
	gone := func(u *unit) bool { return u != nil && u.err == nil && d.fwd.of(u.atom()) == nil }
	var work []*unit
	for _, u := range d.old.units {
		if gone(u) && stored[u.atom()] != "" {
			work = append(work, u)
		}
	}
	for ; len(work) > 0; work = work[1:] {
		u := work[0]
		for i := range u.refs {
			if callee := d.old.unitOf(u.atomOf(&u.refs[i])); gone(callee) && stored[callee.atom()] == "" {
				stored[callee.atom()] = "called by " + u.name()
				work = append(work, callee)
			}
		}
	}
}

// inboundBranches finds branches from other functions to a place behind the entry of a
// function (HAZARDS P11): the jump may not cover such a place.
func (d *differ) inboundBranches() map[*image.Atom][]uint32 {
	m := make(map[*image.Atom][]uint32)
	for _, u := range d.old.units {
		for i := range u.refs {
			if u.refs[i].to != image.PlaceAtom {
				continue
			}
			if p := u.place(&u.refs[i]); p.Atom.IsCode() && p.Addend > 0 {
				m[p.Atom] = append(m[p.Atom], uint32(p.Addend))
			}
		}
	}
	return m
}

// relocTarget returns the atom whose address a dynamic relocation stores, or nil.
func relocTarget(im *image.Image, r *image.DynReloc) *image.Atom {
	switch {
	case r.Defined:
		return im.AtomAt(r.SymDef)
	case r.Sym == "" && r.Size == 8 && r.Addend > 0:
		return im.AtomAt(arch.ImageAddr(r.Addend))
	}
	return nil
}

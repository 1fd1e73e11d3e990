package elfdiff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

func (d *differ) judgeObject(o *objChange) {
	switch o.delta {
	case objContent, objResized:
		o.because(patch.ReasonContent, nil, "%s", d.contentReason(o))
		d.judgeConstant(o)
	case objLabels:
		o.because(patch.ReasonContent, nil, "the labels of a function, which gets a copy of the table that leads into its new body")
	case objInit:
		o.because(patch.ReasonInitial, nil, "initial value changed; the running value is kept")
	case objGrown:
		o.because(patch.ReasonSize, nil, "size %d -> %d", o.old.Size, o.new.Size)
		d.judgeMoved(o)
	case objShrunk:
		o.because(patch.ReasonSize, nil, "size %d -> %d", o.old.Size, o.new.Size)
		o.needAck("shrunk:"+o.old.Name, "it stays where it is, with its value: what it holds behind its first %d bytes is lost to the new code", o.new.Size)
	case objMoved:
		d.judgeSection(o)
	case objTLS:
		o.because(patch.ReasonSize, nil, "size %d -> %d", o.old.Size, o.new.Size)
		if d.usedByPatch(o.new) {
			o.refuse("the size of a thread-local variable changed, and functions of the patch use it: threads that exist have no room for it; " +
				"only a restart gives every thread the new one")
		}
	case objTLSInit:
		o.because(patch.ReasonInitial, nil, "initial value changed; threads that run keep what they have, later ones start with the new one")
		if !o.inPlace() {
			o.needAck("threads:"+o.old.Name, "threads that start later begin with the old initial value, "+
				"since one of the builds has none in its file but zeros")
		}
	case objRemoved:
		o.because(patch.ReasonRemoved, nil, "only the old build has it; its memory stays, for whatever still leads there")
		d.judgeReplaced(o)
	case objAdded:
		d.judgeAdded(o)
	case objStays:
		o.because(patch.ReasonSize, nil, "size %d -> %d; it stays as it is, with the functions that refer to it", o.old.Size, o.new.Size)
	}
}

// judgeConstant judges a constant with other content, or of another size.
func (d *differ) judgeConstant(o *objChange) {
	name := o.old.Name
	if strings.HasPrefix(o.new.Name, "_ZTV") { // Itanium C++ ABI, 5.1.2: the names of vtables
		if o.delta == objResized {
			o.refuse("it is a vtable of another size: objects that exist keep the old one, in which new virtual functions have no place; " +
				"only a restart builds them with the new one")
		} else {
			o.needAck("const:"+name, "it is a vtable: objects that exist call what the new one has at once, whatever they were built for")
		}
		return
	}
	o.askBeside("const:" + name)
	through, how := d.reachedThrough(o.old)
	if how != "" {
		o.needAck("const:"+name, "its address is stored (%s): what reads it from there sees %s", how,
			map[objDelta]string{objContent: "the new content at once", objResized: "the old content for ever"}[o.delta])
	}
	if how == "" && d.readOnce(append(through, o.old)) {
		o.needAck("startup:"+name, "each place that reads it runs at most once in the life of the program (%s): "+
			"what was made of the old content when it started stays as it is", strings.Join(unitNames(d.old.usersOf(o.old)), ", "))
	}
}

// reachedThrough lists the constants by way of which code reaches a constant of the old build, and says what else holds its address, or that
// of one of these; "" if nothing does.
func (d *differ) reachedThrough(a *image.Atom) (through []*image.Atom, how string) {
	seen := map[*image.Atom]bool{a: true}
	for work := []*image.Atom{a}; len(work) > 0; work = work[1:] {
		b := work[0]
		for _, h := range d.old.holdersOf(b) {
			switch {
			case !readOnly(h):
				how = cmp.Or(how, "by "+h.Name)
			case !seen[h]:
				seen[h] = true
				through, work = append(through, h), append(work, h)
			}
		}
		for _, at := range d.old.namelessHolders(b) {
			how = cmp.Or(how, fmt.Sprintf("at %#x", uint64(at)))
		}
		if b.Dynamic {
			how = cmp.Or(how, b.Name+" is exported")
		}
	}
	return through, how
}

// readOnce reports whether every place that refers to one of the constants runs at most once.
func (d *differ) readOnce(constants []*image.Atom) bool {
	if d.once == nil {
		d.once = d.onceOnly()
	}
	used := false
	for _, a := range constants {
		if len(d.old.usersOf(a)) > 0 {
			if used = true; !d.outsideLoops(a, d.once) {
				return false
			}
		}
	}
	return used
}

func unitNames(units []*unit) []string {
	var out []string
	for _, u := range units {
		out = append(out, u.name())
	}
	return out
}

// judgeSection judges what was a constant and is a variable now, or the reverse.
func (d *differ) judgeSection(o *objChange) {
	if !o.moves() {
		o.refuse("what it is in one of the builds cannot be told: it is in no section; link it anew, and strip no sections that it uses")
		return
	}
	if readOnly(o.new) {
		o.because(patch.ReasonData, nil, "it was a variable, and is a constant now")
	} else {
		o.because(patch.ReasonData, nil, "it was a constant, and is a variable now")
	}
	d.judgeMoved(o)
}

// judgeReplaced judges a variable that only the old build has: functions that used it may use a new one in its stead, as after a change of its
// name. That one starts with its initial value, whatever the program has done with the old one.
func (d *differ) judgeReplaced(o *objChange) {
	a := o.old
	if readOnly(a) || a.Kind == image.TLSObject || strings.HasPrefix(a.Name, "_ZGV") { // a guard goes with its variable
		return
	}
	for _, u := range d.old.usersOf(a) {
		v := d.new.unitOf(d.fwd.of(u.atom()))
		if v == nil {
			continue
		}
		if b := d.successorOf(a, u, v); b != nil {
			o.needAck("replaced:"+a.Name, "%s uses %s in its stead, which is new and starts with its initial value: what %s holds by then is lost to it",
				v.name(), b.Name, a.Name)
			return
		}
	}
}

// successorOf returns the variable that a function, u in the old build and v in the new one, uses in the stead of a removed one: a new one of
// the same size, or the only new one where the function loses no other. Nil: there is none.
func (d *differ) successorOf(a *image.Atom, u, v *unit) *image.Atom {
	gone := u.variables(func(b *image.Atom) bool { return d.fwd.of(b) == nil })
	come := v.variables(func(b *image.Atom) bool { return d.rev.of(b) == nil })
	if len(gone) == 1 && len(come) == 1 {
		return come[0]
	}
	if i := slices.IndexFunc(come, func(b *image.Atom) bool { return b.Size == a.Size }); i >= 0 {
		return come[i]
	}
	return nil
}

// variables lists the writable variables among those that a function refers to, each once, but for thread-local ones and guards.
func (u *unit) variables(among func(*image.Atom) bool) []*image.Atom {
	var out []*image.Atom
	for i := range u.refs {
		a := u.atomOf(&u.refs[i])
		if a != nil && classOf(a) == classObject && !readOnly(a) && !strings.HasPrefix(a.Name, "_ZGV") && among(a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func (d *differ) judgeAdded(o *objChange) {
	b := o.new
	d.judgeNames(b, &o.verdict)
	if b.Kind == image.TLSObject {
		o.refuse("new thread-local variables are not handled yet: threads that exist have no memory for them; " +
			"use an ordinary variable, or restart")
		return
	}
	if why, ok := d.amb[b]; ok && !readOnly(b) && d.usedByPatch(b) {
		o.refuse("%s", why)
	}
	if b.Section != nil && isCIdentifier(b.Section.Name) {
		o.refuse("it is an entry of the linker-collected table %s (__start_%[1]s), which cannot grow in a running program; "+
			"only a restart enters it", b.Section.Name)
	}
}

func isCIdentifier(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// usedByPatch reports whether a function of the patch refers to a variable.
func (d *differ) usedByPatch(b *image.Atom) bool {
	for _, v := range d.new.usersOf(b) {
		if c := d.byNew[v]; c != nil && c.carried(&d.opt) {
			return true
		}
	}
	return false
}

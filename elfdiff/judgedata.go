package elfdiff

import (
	"cmp"
	"fmt"
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
			o.refuse("the size of a thread-local variable changed, and functions of the patch use it: threads that exist have no room for it")
		}
	case objTLSInit:
		o.because(patch.ReasonInitial, nil, "initial value changed; threads that run keep what they have, later ones start with the new one")
		if !o.inPlace() {
			o.needAck("threads:"+o.old.Name, "threads that start later begin with the old initial value, since one of the builds has none in its file but zeros")
		}
	case objRemoved:
		o.because(patch.ReasonRemoved, nil, "only the old build has it; its memory stays, for whatever still leads there")
	case objAdded:
		d.judgeAdded(o)
	}
}

// judgeConstant judges a constant with other content, or of another size.
func (d *differ) judgeConstant(o *objChange) {
	name := o.old.Name
	if strings.HasPrefix(o.new.Name, "_ZTV") { // Itanium C++ ABI, 5.1.2: the names of vtables
		if o.delta == objResized {
			o.refuse("it is a vtable of another size: objects that exist keep the old one, in which new virtual functions have no place")
		} else {
			o.needAck("const:"+name, "it is a vtable: objects that exist call what the new one has at once, whatever they were built for")
		}
		return
	}
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
		o.refuse("what it is in one of the builds cannot be told: it is in no section")
		return
	}
	if readOnly(o.new) {
		o.because(patch.ReasonData, nil, "it was a variable, and is a constant now")
	} else {
		o.because(patch.ReasonData, nil, "it was a constant, and is a variable now")
	}
	d.judgeMoved(o)
}

func (d *differ) judgeAdded(o *objChange) {
	b := o.new
	d.judgeNames(b, &o.verdict)
	if b.Kind == image.TLSObject {
		o.refuse("new thread-local variables are not handled yet: threads that exist have no memory for them")
		return
	}
	if why, ok := d.amb[b]; ok && !readOnly(b) && d.usedByPatch(b) {
		o.refuse("%s", why)
	}
	if b.Section != nil && isCIdentifier(b.Section.Name) {
		o.refuse("it is an entry of the linker-collected table %s (__start_%[1]s), which cannot grow in a running program", b.Section.Name)
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

package elfdiff

import (
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

func (d *differ) judgeObject(o *objChange) {
	switch o.delta {
	case objContent, objResized:
		o.because(patch.ReasonContent, nil, "%s", d.contentReason(o))
		if strings.HasPrefix(o.new.Name, "_ZTV") {
			o.refuse("it is a vtable: objects that exist were built for the old one")
		}
		if how, ok := d.stored[o.old]; ok {
			o.needAck("const:"+o.old.Name, "its address is stored (%s): what reads it from there sees %s", how,
				map[objDelta]string{objContent: "the new content at once", objResized: "the old content for ever"}[o.delta])
		}
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
		o.because(patch.ReasonInitial, nil, "initial value or size of a thread-local variable")
		if d.usedByPatch(o.new) {
			o.refuse("the initial value or the size of a thread-local variable changed, and functions of the patch use it")
		}
	case objAdded:
		d.judgeAdded(o)
	}
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

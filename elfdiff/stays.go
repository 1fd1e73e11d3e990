package elfdiff

import (
	"debug/elf"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// staysBusy says why calls of a function's old body are not going to return while the program runs, so that the function is found busy for
// ever; "" if nothing speaks for that. It is said beforehand: what it takes to apply the patch, the user decides.
func (d *differ) staysBusy(c *funcChange) string {
	if c.old == nil || c.old.err != nil || c.how == patch.Changed && !c.carried(&d.opt) {
		return ""
	}
	a := c.old.atom()
	const then = "; apply waits for it in vain, unless --allow-active lets that call go on in the old version"
	switch {
	case a.Name == "main" && !a.Local && (d.old.im.PIE || d.old.im.Type == elf.ET_EXEC):
		return patch.StaysBusy + ": the program begins with it" + then
	case d.threadStarts()[a]:
		return patch.StaysBusy + ": a thread begins with it (pthread_create)" + then
	case newFlow(&d.old, c.old).loops():
		return patch.StaysBusy + ": once it is called it goes round in a loop without a way out" + then
	}
	return ""
}

// startDistance is how many instructions in front of a call that makes a thread the function's address is taken at most.
const startDistance = 16

// threadStarts finds the functions of the old build whose address is taken just in front of a call of pthread_create(3) or thrd_create(3).
func (d *differ) threadStarts() map[*image.Atom]bool {
	if d.starts != nil {
		return d.starts
	}
	d.starts = make(map[*image.Atom]bool)
	for _, u := range d.old.units {
		if !callsImport(u, "pthread_create", "thrd_create") {
			continue
		}
		for _, p := range u.parts {
			if b, err := u.im.Body(p); err == nil {
				d.startsIn(b)
			}
		}
	}
	return d.starts
}

// callsImport reports whether a unit refers to one of the names of other modules.
func callsImport(u *unit, names ...string) bool {
	for i := range u.refs {
		if u.refs[i].to != image.PlaceImport {
			continue
		}
		p := u.place(&u.refs[i])
		for _, n := range names {
			if p.Import != nil && p.Import.Name == n {
				return true
			}
		}
	}
	return false
}

// startsIn is threadStarts for one body.
func (d *differ) startsIn(b *image.Body) {
	for i := range b.Refs {
		r := &b.Refs[i]
		if im := r.Place.Import; r.Place.Kind != image.PlaceImport || im == nil || im.Name != "pthread_create" && im.Name != "thrd_create" {
			continue
		}
		for k := i - 1; k >= 0 && r.Inst-b.Refs[k].Inst <= startDistance; k-- {
			if a := b.Refs[k].Place.Atom; b.Refs[k].Kind != image.RefCall && b.Refs[k].Kind != image.RefJump && a != nil && a.IsCode() && b.Refs[k].Place.Addend == 0 {
				d.starts[a] = true
			}
		}
	}
}

package elfdiff

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// What a program does when it starts, a running one has done: a constructor is not run again, and a constant that is read only
// then has been read.

// judgeStart judges constructors and destructors that one build has and the other has not.
func (d *differ) judgeStart() {
	d.onlyIn(d.new.im, d.new.im.Constructors, &d.rev, d.old.im.Constructors, func(name string) patch.Change {
		return patch.Change{What: "constructor", Name: name, Change: "added", Verdict: patch.Refused,
			Why: "the new build runs it when it starts (.init_array), and a running program does not start again; " +
				"call what it does from a function that the program calls again, or restart"}
	})
	d.onlyIn(d.old.im, d.old.im.Constructors, &d.fwd, d.new.im.Constructors, func(name string) patch.Change {
		return patch.Change{What: "constructor", Name: name, Change: "removed", Verdict: patch.NeedAck, Ack: "constructor:" + name,
			Why: "the new build does not run it when it starts (.init_array); the running program has, and what it did stays done"}
	})
	d.onlyIn(d.new.im, d.new.im.Destructors, &d.rev, d.old.im.Destructors, func(name string) patch.Change {
		return patch.Change{What: "destructor", Name: name, Change: "added", Verdict: patch.NeedAck, Ack: "destructor:" + name,
			Why: "the new build runs it at its end (.fini_array); the running program will not"}
	})
	d.onlyIn(d.old.im, d.old.im.Destructors, &d.fwd, d.new.im.Destructors, func(name string) patch.Change {
		return patch.Change{What: "destructor", Name: name, Change: "removed", Verdict: patch.NeedAck, Ack: "destructor:" + name,
			Why: "the new build does not run it at its end (.fini_array); the running program still will"}
	})
}

// onlyIn reports the functions of a list of one image whose partners are not in the other image's list.
func (d *differ) onlyIn(im *image.Image, list []arch.ImageAddr, partner *matches, other []arch.ImageAddr, change func(name string) patch.Change) {
	theirs := d.new.im
	if im == d.new.im {
		theirs = d.old.im
	}
	for _, addr := range list {
		a := im.AtomAt(addr)
		if a != nil {
			b := partner.of(a)
			if b != nil && slices.ContainsFunc(other, func(v arch.ImageAddr) bool { return theirs.AtomAt(v) == b }) {
				continue
			}
		}
		name := fmt.Sprintf("%#x", uint64(addr))
		if a != nil {
			name = a.Name
		}
		c := change(name)
		c.Reasons = []patch.Reason{}
		d.other = append(d.other, c)
	}
}

// judgeRan says of a changed constructor that it ran.
func (d *differ) judgeRan(c *funcChange) {
	if c.old != nil && !c.closure && slices.Contains(d.old.im.Constructors, c.old.atom().Addr) {
		c.needAck("ran:"+c.old.name(), "it is a constructor, which ran when the program was started: what it set up stays as it is")
	}
}

// onceOnly returns the functions of the old build each of which runs at most once in the life of a program: main, constructors, and
// what only these call, at places that are in no loop.
func (d *differ) onceOnly() map[*unit]bool {
	once := make(map[*unit]bool)
	var work []*unit
	add := func(u *unit) {
		if u != nil && u.err == nil && !once[u] {
			once[u] = true
			work = append(work, u)
		}
	}
	for _, addr := range d.old.im.Constructors {
		add(d.old.unitOf(d.old.im.AtomAt(addr)))
	}
	if isProgram(d.old.im) {
		for _, a := range d.old.im.Named("main") {
			add(d.old.unitOf(a))
		}
	}
	for len(work) > 0 {
		u := work[0]
		work = work[1:]
		for i := range u.refs {
			f := d.old.unitOf(u.atomOf(&u.refs[i]))
			if f == nil || f == u || once[f] {
				continue
			}
			if _, reachable := d.stored[f.atom()]; reachable || !d.outsideLoops(f.atom(), once) {
				continue
			}
			callers := 0
			for _, user := range d.old.usersOf(f.atom()) {
				callers += user.sites(f.atom())
			}
			if callers == 1 {
				add(f)
			}
		}
	}
	return once
}

// outsideLoops reports whether every reference to an atom of the old build is in a function of the set, and in no loop there.
func (d *differ) outsideLoops(a *image.Atom, once map[*unit]bool) bool {
	users := d.old.usersOf(a)
	for _, u := range users {
		if !once[u] || !u.straight(a) {
			return false
		}
	}
	return len(users) > 0
}

// sites counts the references of a function to an atom.
func (u *unit) sites(a *image.Atom) int {
	n := 0
	for i := range u.refs {
		if u.atomOf(&u.refs[i]) == a {
			n++
		}
	}
	return n
}

// straight reports whether no reference of the function to an atom is in a loop: no branch goes back over it. A function
// with indirect jumps, or of several parts, is taken to be full of loops.
func (u *unit) straight(a *image.Atom) bool {
	if len(u.parts) > 1 {
		return false
	}
	body, err := u.im.Body(u.parts[0])
	if err != nil {
		return false
	}
	for i := range body.Refs {
		r := &body.Refs[i]
		if u.placeOf(r).Atom != a {
			continue
		}
		for k := range body.Insts {
			in := &body.Insts[k]
			if in.Flow == arch.FlowJumpInd || in.Target >= 0 && in.Target <= r.Inst && int32(k) >= r.Inst {
				return false
			}
		}
	}
	return true
}

package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// maxReasons is how many reasons of one sort are written out for one function.
const maxReasons = 8

// explain puts into words what was found.
func (x *explainer) explain() {
	c := x.c
	if c.line || x.lineOnly() {
		c.because(patch.ReasonLines, nil, "line numbers only")
		return
	}
	own := x.ownPlaces()
	inlined := x.inlinedReasons()
	change := x.inliningReasons()
	x.explainOwn(own, slices.Concat(inlined, change))
	for _, r := range slices.Concat(change, inlined) {
		c.add(r)
	}
	x.joinPermuted()
	for i, f := range x.findings {
		if i == maxReasons {
			c.because(patch.ReasonOwn, nil, "and %s", count(len(x.findings)-i, "more operand"))
			break
		}
		c.add(f.reason)
	}
	if len(x.places) > 0 || x.tooMany {
		for _, r := range x.useReasons() {
			c.add(r)
		}
	}
	x.explainShift()
	if len(c.reasons) == 0 {
		x.explainRest()
	}
}

// manyNumbers is how many constants have to be the same ones in another order to be told as that, as of a switch whose cases moved.
const manyNumbers = 4

// joinPermuted makes one finding of many constants that are the same ones in another order.
func (x *explainer) joinPermuted() {
	var old, new []int64
	var at span // of the last of them
	for _, f := range x.findings {
		if f.number != nil {
			at = f.at
			old, new = append(old, f.number[0]), append(new, f.number[1])
		}
	}
	slices.Sort(old)
	slices.Sort(new)
	if len(old) < manyNumbers || !slices.Equal(old, new) {
		return
	}
	x.findings = slices.DeleteFunc(x.findings, func(f finding) bool { return f.number != nil })
	joined := newReason(patch.ReasonConstant, nil, "the same %d constants in another order", len(old))
	x.findings = append(x.findings, finding{at: at, reason: joined})
}

// explainOwn speaks of the places that belong to the function itself. If something else is the cause of other places, and
// the function's source is on the same lines as before, these are put down to that as well.
func (x *explainer) explainOwn(own []span, others []reason) {
	var cause *entry
	lines := ""
	if i := slices.IndexFunc(others, func(r reason) bool { return r.cause != nil }); i >= 0 && x.sameLines() {
		cause, lines = others[i].cause, ", on the same source lines"
	}
	c := x.c
	switch {
	case x.tooMany:
		c.because(patch.ReasonOwn, nil, "own code (more than %d instructions differ)", maxEdits)
	case len(own) > 0 && x.reordered(own):
		c.because(patch.ReasonShape, cause, "the same operations in another order (%s)", places(len(own)))
	case len(own) > 0:
		c.because(patch.ReasonOwn, cause, "own code (%s%s)", places(len(own)), lines)
	case x.branches > 0:
		c.because(patch.ReasonOwn, cause, "own code (branches)")
	}
}

// explainShift speaks of instructions that are the same but for registers and stack slots.
func (x *explainer) explainShift() {
	c := x.c
	if x.shifted == 0 || x.tooMany {
		return
	}
	const what = "other registers or stack slots"
	if len(c.reasons) > 0 {
		c.because(patch.ReasonShape, nil, "%s in %s", what, count(x.shifted, "more instruction"))
		return
	}
	c.because(patch.ReasonShape, nil, "the same operations with %s (%s)", what, count(x.shifted, "instruction"))
	for i := range c.new.refs {
		r := &c.new.refs[i]
		if r.kind != image.RefCall && r.kind != image.RefJump {
			continue
		}
		if callee := x.d.byNew[x.d.new.unitOf(c.new.place(r).Atom)]; callee != nil && callee != c && !callee.line {
			c.because(patch.ReasonShape, &callee.entry, "calls %s, which changed, and may rely on the registers that it leaves alone",
				callee.new.name())
		}
	}
}

// explainRest names what instructions do not show.
func (x *explainer) explainRest() {
	c := x.c
	if !sameGaps(c.old, c.new) {
		c.because(patch.ReasonOwn, nil, "data among its code")
	}
	if !x.d.catchesEqual(c.old, c.new) {
		c.because(patch.ReasonCatch, nil, "what it catches, or where it cleans up")
	}
	if !x.d.tablesEqual(c.old, c.new) {
		c.because(patch.ReasonTable, nil, "what could follow its jump table")
	}
	if len(c.reasons) == 0 {
		c.because(patch.ReasonUnknown, nil, "its parts, or what cannot be told")
	}
}

// reordered reports whether the places hold the same operations in both bodies, taken together, registers and branch targets aside.
func (x *explainer) reordered(all []span) bool {
	var old, new []string
	for _, p := range all {
		for i := p.i; i < p.iEnd; i++ {
			old = append(old, x.operation(&x.old[i], x.c.old, true))
		}
		for j := p.j; j < p.jEnd; j++ {
			new = append(new, x.operation(&x.new[j], x.c.new, false))
		}
	}
	slices.Sort(old)
	slices.Sort(new)
	return slices.Equal(old, new)
}

// operation spells what an instruction does: equal words in both builds mean the same.
func (x *explainer) operation(in *instruction, u *unit, old bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%x", in.outline)
	if !in.table {
		fmt.Fprint(&b, in.lits)
	}
	for _, r := range in.refs {
		p := u.placeOf(r)
		switch {
		case p.Kind == image.PlaceAnon:
			s := &x.d.new
			if old {
				s = &x.d.old
			}
			text, _ := s.im.Bytes(p.Addr, s.anonSize(p.Addr))
			fmt.Fprintf(&b, " anon %x", text)
		default:
			b.WriteString(" " + x.placeKey(p, old))
		}
	}
	return b.String()
}

func places(n int) string { return count(n, "place") }

// count returns "1 place" or "2 places".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

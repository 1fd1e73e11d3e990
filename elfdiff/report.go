package elfdiff

import (
	"slices"
	"strings"
	"time"

	"hotpatch/elfdiff/patch"
)

// result makes the report.
func (d *differ) result(p *patch.Patch) *Result {
	r := &Result{d: d, Layouts: d.layouts.said}
	r.Counts = Counts{Functions: len(d.new.units), Equal: d.equal}
	carried := false
	asked := make(map[string]bool)
	add := func(c patch.Change, v *verdict) {
		if v != nil {
			c.Verdict, c.Why = v.value(), v.why()
			if c.Verdict == patch.NeedAck {
				c.Ack = v.ackID
			}
		}
		if c.Verdict == patch.NeedAck && !asked[c.Ack] {
			asked[c.Ack] = true
			if !slices.Contains(d.opt.Acks, c.Ack) {
				r.Missing = append(r.Missing, c.Ack)
			}
		}
		if c.Verdict == patch.Refused {
			r.Refused++
		}
		r.Changes = append(r.Changes, c)
	}
	d.number()
	for _, c := range d.funcs {
		carried = carried || c.carried(&d.opt)
		add(c.report(&r.Counts), &c.verdict)
		if stays, last := d.staysBusy(c), &r.Changes[len(r.Changes)-1]; stays != "" && last.Verdict != patch.Refused {
			last.Why = strings.TrimPrefix(last.Why+"; "+stays, "; ")
		}
	}
	for _, o := range d.objects {
		carried = carried || o.inPlace()
		r.Counts.Objects++
		add(o.report(), &o.verdict)
	}
	for _, c := range d.inlineChanges {
		add(patch.Change{What: "inline", Name: c.name, Change: "changed", Verdict: patch.OK, Reasons: c.reported()}, nil)
	}
	for _, c := range d.layouts.changes {
		why := c.Why
		add(c.report(), &c.verdict)
		last := &r.Changes[len(r.Changes)-1]
		if last.Verdict == patch.OK {
			last.Why = why
		}
		c.Verdict, c.Ack, c.Why = last.Verdict, last.Ack, last.Why
		r.Types = append(r.Types, c.TypeChange)
	}
	for _, c := range d.other {
		add(c, nil)
	}
	for _, id := range d.opt.Acks {
		if !asked[id] {
			r.UnknownAcks = append(r.UnknownAcks, id)
		}
	}
	if r.Refused == 0 && len(r.Missing) == 0 && len(r.UnknownAcks) == 0 && carried {
		r.Patch = d.granted(p, r.Changes)
	}
	return r
}

// granted completes a patch that may be written: with the changes that it makes, and the words that were given for them.
func (d *differ) granted(p *patch.Patch, changes []patch.Change) *patch.Patch {
	p.Changes = changes
	d.reach(p)
	d.demands(p)
	for _, id := range d.opt.Acks {
		p.Acks = append(p.Acks, patch.Ack{ID: id, User: d.opt.User, Date: d.opt.Date.UTC().Format(time.RFC3339)})
	}
	return p
}

// number gives every change of the report its ID, in the report's order.
func (d *differ) number() {
	id := 0
	next := func(e *entry) {
		id++
		e.id = id
	}
	for _, c := range d.funcs {
		next(&c.entry)
	}
	for _, o := range d.objects {
		next(&o.entry)
	}
	for _, c := range d.inlineChanges {
		next(&c.entry)
	}
}

func (c *funcChange) report(n *Counts) patch.Change {
	out := patch.Change{What: "function", Reasons: c.reported()}
	switch {
	case c.out != "":
		out.Change = "left out"
		n.LeftOut++
	case c.how == patch.Added:
		out.Change = "added"
		n.Added++
	case c.how == patch.Removed:
		out.Change = "removed"
		n.Removed++
	case c.line:
		out.Change = "line"
		n.Line++
	default:
		out.Change = "changed"
		n.Changed++
	}
	if c.old != nil {
		a := c.old.atom()
		out.Name, out.File, out.Old = a.Name, a.File, &patch.Extent{Addr: a.Addr, Size: a.Size}
	}
	if c.new != nil {
		a := c.new.atom()
		out.Name, out.File, out.New = a.Name, a.File, &patch.Extent{Addr: a.Addr, Size: a.Size}
	}
	return out
}

func (o *objChange) report() patch.Change {
	out := patch.Change{What: "object", Change: "changed", Reasons: o.reported()}
	switch o.delta {
	case objAdded:
		out.Change = "added"
	case objRemoved:
		out.Change = "removed"
	}
	if o.old != nil {
		out.Name, out.File, out.Old = o.old.Name, o.old.File, &patch.Extent{Addr: o.old.Addr, Size: o.old.Size}
	}
	if o.new != nil {
		out.Name, out.File, out.New = o.new.Name, o.new.File, &patch.Extent{Addr: o.new.Addr, Size: o.new.Size}
	}
	return out
}

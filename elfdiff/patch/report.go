package patch

import (
	"bytes"
	"crypto/sha256"

	"hotpatch/arch"
)

// Which extents follow a change.
const (
	hasOld = 1 << iota
	hasNew
)

func (p *Patch) encodeChanges() []byte {
	var e encoder
	e.uint(uint64(len(p.Changes)))
	for i := range p.Changes {
		c := &p.Changes[i]
		for _, s := range []string{c.What, c.Name, c.File, c.Change, string(c.Verdict), c.Ack, c.Why} {
			e.str(s)
		}
		e.reasons(c.Reasons)
		var has uint64
		if c.Old != nil {
			has |= hasOld
		}
		if c.New != nil {
			has |= hasNew
		}
		e.uint(has)
		for _, x := range []*Extent{c.Old, c.New} {
			if x != nil {
				e.uint(uint64(x.Addr))
				e.uint(x.Size)
			}
		}
	}
	return e.b
}

func (p *Patch) decodeChanges(d *decoder, where *locator) error {
	if len(d.b) > maxReport {
		d.fail("section is too large", uint64(len(d.b)))
		return d.done()
	}
	n := d.count(maxChanges, 9, "changes")
	if n > 0 {
		p.Changes = make([]Change, n)
	}
	for i := range p.Changes {
		where.record(tabChanges, d.pos())
		decodeChange(d, &p.Changes[i])
	}
	return d.done()
}

func decodeChange(d *decoder, c *Change) {
	var verdict string
	for _, s := range []*string{&c.What, &c.Name, &c.File, &c.Change, &verdict, &c.Ack, &c.Why} {
		*s = d.str()
	}
	c.Verdict = Verdict(verdict)
	c.Reasons = d.reasons()
	has := d.max(hasOld|hasNew, "extent flags")
	extent := func(flag uint64) *Extent {
		if has&flag == 0 {
			return nil
		}
		return &Extent{Addr: arch.ImageAddr(d.uint()), Size: d.uint()}
	}
	c.Old = extent(hasOld)
	c.New = extent(hasNew)
}

// encodeAcks writes the acknowledgements behind a seal that ties them to the
// patch. The seal finds damage and a list that was moved to another patch; it
// is no signature: who may write the file may write the list.
func (p *Patch) encodeAcks(id ID) []byte {
	if len(p.Acks) == 0 {
		return nil
	}
	var e encoder
	e.uint(uint64(len(p.Acks)))
	for _, a := range p.Acks {
		e.str(a.ID)
		e.str(a.User)
		e.str(a.Date)
	}
	seal := ackSeal(id, e.b)
	return append(seal[:], e.b...)
}

func ackSeal(id ID, list []byte) [sha256.Size]byte {
	return sha256.Sum256(append(id[:], list...))
}

func (p *Patch) decodeAcks(d *decoder, id ID, where *locator) error {
	if len(d.b) == 0 {
		return nil
	}
	seal := d.raw(sha256.Size)
	if want := ackSeal(id, d.b[d.off:]); d.err == nil && !bytes.Equal(seal, want[:]) {
		d.off = 0
		d.fail("the acknowledgements are damaged, or were given for another patch", nil)
		return d.done()
	}
	n := d.count(maxAcks, 6, "acknowledgements")
	if n > 0 {
		p.Acks = make([]Ack, n)
	}
	for i := range p.Acks {
		where.record(tabAcks, d.pos())
		p.Acks[i] = Ack{ID: d.str(), User: d.str(), Date: d.str()}
	}
	return d.done()
}

package patch

import (
	"hotpatch/arch"
)

// Reach is what the code of a patch leads to, in both builds: a later patch that leads to nothing of an earlier one, and to whose functions
// the earlier one's old bodies lead in no way, stays what it is when the earlier one is taken out from under it. Only functions and named
// objects are listed; what another module has is not.
type Reach struct {
	New []Reached // in the new build, by address: what the new bodies and the data that comes with them lead to
	Old []Reached // in the old build, by address: what the bodies that are replaced or removed lead to
	// Inlined are the functions that the debug information of both builds has as inlined into those bodies, by the names
	// that they have in the source or for the linker, sorted.
	Inlined []string
	Unknown string // what about this could not be found out, and why; "" if all of it is here
}

// Reached is a function or an object that a function of the patch refers to or calls, or another one does that it leads to in this way.
// What a variable holds at first does not count, as it can hold something else by then: a compiler has no knowledge of it.
type Reached struct {
	Addr arch.ImageAddr
	From int // index in Patch.Funcs
}

func (p *Patch) encodeReach() []byte {
	var e encoder
	for _, list := range [][]Reached{p.Reach.New, p.Reach.Old} {
		e.uint(uint64(len(list)))
		var prev arch.ImageAddr
		for _, r := range list {
			e.uint(uint64(r.Addr - prev)) // validated to be ascending
			e.uint(uint64(r.From))
			prev = r.Addr
		}
	}
	e.uint(uint64(len(p.Reach.Inlined)))
	for _, s := range p.Reach.Inlined {
		e.str(s)
	}
	e.str(p.Reach.Unknown)
	return e.b
}

func (p *Patch) decodeReach(d *decoder, where *locator) error {
	for _, list := range []*[]Reached{&p.Reach.New, &p.Reach.Old} {
		n := d.count(maxReach, 2, "what is led to")
		if n == 0 {
			continue
		}
		*list = make([]Reached, n)
		var at arch.ImageAddr
		for i := range *list {
			where.record(tabReach, d.pos())
			at += arch.ImageAddr(d.uint())
			(*list)[i] = Reached{Addr: at, From: int(d.max(maxFuncs, "function index"))}
		}
	}
	if n := d.count(maxInlined, 1, "inlined functions"); n > 0 {
		p.Reach.Inlined = make([]string, n)
	}
	for i := range p.Reach.Inlined {
		p.Reach.Inlined[i] = d.str()
	}
	p.Reach.Unknown = d.str()
	return d.done()
}

// reach checks what the code leads to.
func (c *checker) reach() error {
	r := &c.Reach
	n := 0
	for _, list := range [][]Reached{r.New, r.Old} {
		if len(list) > maxReach {
			return &defect{place{tabReach, n, 0}, "", "too much is led to", len(list)}
		}
		for i := range list {
			switch {
			case i > 0 && list[i].Addr <= list[i-1].Addr:
				return &defect{place{tabReach, n, 0}, "", "out of order", uint64(list[i].Addr)}
			case list[i].From < 0 || list[i].From >= len(c.Funcs):
				return &defect{place{tabReach, n, 0}, "", "no such function", list[i].From}
			}
			n++
		}
	}
	if len(r.Inlined) > maxInlined {
		return &defect{place{tabReach, n, 0}, "", "too many inlined functions", len(r.Inlined)}
	}
	for i, s := range r.Inlined {
		if msg := badString(s); msg != "" || s == "" || i > 0 && s <= r.Inlined[i-1] {
			return &defect{place{tabReach, n, 0}, s, "name of an inlined function is empty or out of order: " + msg, nil}
		}
	}
	if msg := badString(r.Unknown); msg != "" {
		return &defect{place{tabReach, n, 0}, "", msg, nil}
	}
	return nil
}

package patch

import "hotpatch/arch"

// StaysBusy begins the part of Change.Why that says why calls of a function's old body do not end while the program runs.
const StaysBusy = "stays busy"

// Code is what is known of one body of a function for the case that a call goes on in another version than those that it calls, or that call it:
// when the user lets a function stay active.
type Code struct {
	// Calls are functions of the patch, by index, ascending: those that the body calls or jumps to directly, and those that it leads to through
	// functions that the patch does not have, if they ask for registers (More.Writes, or it is not known).
	Calls []int
	Loops bool // it goes round in a loop that it has no way out of
	Heads bool // old bodies: a branch of its own may lead to the bytes that the jump takes the place of
	More  Demand
}

// Demand is what a body asks of a caller that was compiled for the function's other body. An architecture's registers are numbered as
// its arch.Convention says.
type Demand struct {
	Writes arch.RegSet // registers that it may write and the other body does not: the caller may keep something in them (-fipa-ra)
	Args   arch.RegSet // registers in which it may take arguments that the other body does not take
	Why    string      // what is not known about this; "" if all of it is here
}

// None reports whether nothing is asked.
func (d *Demand) None() bool { return d.Writes == 0 && d.Args == 0 && d.Why == "" }

func (p *Patch) encodeCode() []byte {
	var e encoder
	for i := range p.Funcs {
		for _, c := range []*Code{&p.Funcs[i].OldCode, &p.Funcs[i].NewCode} {
			e.uint(uint64(len(c.Calls)))
			prev := 0
			for _, k := range c.Calls {
				e.uint(uint64(k - prev)) // validated to be ascending
				prev = k
			}
			e.bool(c.Loops)
			e.bool(c.Heads)
			e.uint(uint64(c.More.Writes))
			e.uint(uint64(c.More.Args))
			e.str(c.More.Why)
		}
	}
	return e.b
}

// decodeCode reads what is known of the bodies. Preconditions: the functions have been read.
func (p *Patch) decodeCode(d *decoder, where *locator) error {
	for i := range p.Funcs {
		where.record(tabCode, d.pos())
		for _, c := range []*Code{&p.Funcs[i].OldCode, &p.Funcs[i].NewCode} {
			if n := d.count(len(p.Funcs), 1, "called functions"); n > 0 {
				c.Calls = make([]int, n)
			}
			at := uint64(0)
			for k := range c.Calls {
				at += d.max(maxFuncs, "distance of a called function")
				c.Calls[k] = int(min(at, maxFuncs))
			}
			c.Loops = d.bool()
			c.Heads = d.bool()
			c.More.Writes = arch.RegSet(d.uint())
			c.More.Args = arch.RegSet(d.uint())
			c.More.Why = d.str()
		}
	}
	return d.done()
}

// code checks what is known of the bodies.
func (c *checker) code() error {
	for i := range c.Funcs {
		f := &c.Funcs[i]
		for _, x := range []*Code{&f.OldCode, &f.NewCode} {
			for k, to := range x.Calls {
				if to < 0 || to >= len(c.Funcs) || k > 0 && to <= x.Calls[k-1] {
					return &defect{place{tabCode, i, 0}, f.Name, "called function does not exist or is out of order", to}
				}
			}
			if msg := badString(x.More.Why); msg != "" {
				return &defect{place{tabCode, i, 0}, f.Name, msg, nil}
			}
		}
		if f.NewCode.Heads || f.How == Added && f.OldCode.any() || f.How == Removed && f.NewCode.any() {
			return &defect{place{tabCode, i, 0}, f.Name, "something is said of a body that does not exist", nil}
		}
	}
	return nil
}

// any reports whether anything is said.
func (c *Code) any() bool { return len(c.Calls) > 0 || c.Loops || c.Heads || !c.More.None() }

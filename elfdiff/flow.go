package elfdiff

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// flow is the control flow of a unit, and what its instructions do to registers.
type flow struct {
	u     *unit
	nodes []node
	err   string // what could not be found out; the rest then says nothing
}

// node is an instruction of a flow.
type node struct {
	eff   arch.Effects
	next  []int32 // where control can go within the unit
	call  bool    // a call, or a jump out of the unit
	to    callee  // whom it calls, if call
	leave bool    // control can leave the function here: a return, or a jump out of it
}

// callee is who is called: a function of the image, or whatever else there is.
type callee struct {
	unit  *unit  // nil: another module's function, or through a pointer
	name  string // of another module's function; "" if that is not known either
	vague bool   // a function of the image, and it is not known which
}

// maxFlow bounds the size of a unit whose flow is followed, in instructions.
const maxFlow = 1 << 16

// newFlow finds the flow of a unit of a build.
func newFlow(s *side, u *unit) *flow {
	f := &flow{u: u}
	bodies := make([]*image.Body, len(u.parts))
	first := make(map[*image.Atom]int32, len(u.parts)) // number of a part's first instruction
	for i, p := range u.parts {
		b, err := u.im.Body(p)
		if err != nil {
			f.err = fmt.Sprintf("%s cannot be decoded", p.Name)
			return f
		}
		bodies[i], first[p] = b, int32(len(f.nodes))
		f.nodes = append(f.nodes, make([]node, len(b.Insts))...)
	}
	if len(f.nodes) > maxFlow {
		f.err = fmt.Sprintf("%s is too large", u.name())
		return f
	}
	for i, p := range u.parts {
		f.part(s, bodies, i, first)
		if f.err != "" {
			f.err = fmt.Sprintf("%s: %s", p.Name, f.err)
			return f
		}
	}
	return f
}

// part fills in the nodes of one part.
func (f *flow) part(s *side, bodies []*image.Body, i int, first map[*image.Atom]int32) {
	b := bodies[i]
	base := first[b.Atom]
	refs := b.Refs
	var room arch.Inst
	for k := range b.Insts {
		in, n := &b.Insts[k], &f.nodes[base+int32(k)]
		for len(refs) > 0 && refs[0].Inst < int32(k) {
			refs = refs[1:]
		}
		code := b.Code[in.Off:in.End()]
		ops, err := f.u.im.Operands(b, k, &room)
		if err != nil {
			f.err = err.Error()
			return
		}
		var ok bool
		if n.eff, ok = f.u.im.Arch.Effects(code, ops); !ok && !in.Nop {
			f.err = fmt.Sprintf("what %s does to registers is not known", f.u.im.Arch.Text(code, 0, nil))
			return
		}
		if in.Flow == arch.FlowNext || in.Flow == arch.FlowBranch || in.Flow == arch.FlowCall || in.Flow == arch.FlowCallInd || in.Flow == arch.FlowSyscall {
			if k+1 < len(b.Insts) {
				n.next = append(n.next, base+int32(k)+1)
			}
		}
		f.target(s, bodies, first, n, b, k, refs)
	}
}

// target fills in where instruction k of a body leads other than to the next one.
func (f *flow) target(s *side, bodies []*image.Body, first map[*image.Atom]int32, n *node, b *image.Body, k int, refs []image.Ref) {
	in := &b.Insts[k]
	switch in.Flow {
	case arch.FlowReturn:
		n.leave = true
	case arch.FlowCallInd:
		n.call = true
	case arch.FlowJumpInd:
		f.indirect(bodies, first, n, b, k)
	case arch.FlowCall, arch.FlowJump, arch.FlowBranch:
		if in.Target >= 0 && in.Flow != arch.FlowCall {
			n.next = append(n.next, first[b.Atom]+in.Target)
			return
		}
		p := &image.Place{}
		if len(refs) > 0 && refs[0].Inst == int32(k) {
			p = &refs[0].Place
		}
		inside := (p.Kind == image.PlaceSelf || p.Kind == image.PlaceAtom) && s.unitOf(p.Atom) == f.u
		if inside && in.Flow != arch.FlowCall {
			for _, o := range bodies {
				if at := o.InstAt(p.Addend); o.Atom == p.Atom && at >= 0 {
					n.next = append(n.next, first[o.Atom]+int32(at))
					return
				}
			}
		}
		n.call, n.leave = true, in.Flow != arch.FlowCall
		if p.Kind == image.PlaceImport && p.Import != nil {
			n.to.name = p.Import.Name
		} else {
			n.to.unit = s.unitOf(p.Atom)
			n.to.vague = len(p.Candidates) > 1 || p.Kind == image.PlaceUnknown
		}
		if n.to.vague {
			n.to.unit = nil
		}
	}
}

// indirect fills in where an indirect jump leads: a switch, or out of the function.
func (f *flow) indirect(bodies []*image.Body, first map[*image.Atom]int32, n *node, b *image.Body, k int) {
	for _, i := range b.Indirect {
		if int(i) == k {
			n.call, n.leave = true, true
		}
	}
	if n.leave && len(b.Escapes) == 0 {
		return
	}
	add := func(t image.Target) {
		for _, o := range bodies {
			if at := o.InstAt(int64(t.Off)); o.Atom == t.Atom && at >= 0 {
				n.next = append(n.next, first[o.Atom]+int32(at))
			}
		}
	}
	for _, o := range bodies {
		for _, t := range o.Tables {
			for _, e := range t.Entries {
				add(e)
			}
		}
		for i := range o.Escapes {
			add(o.Escapes[i].Target)
		}
	}
}

// loops reports whether the function goes round in a loop that there is no way out of. One that does not return because it ends the program
// does not.
func (f *flow) loops() bool {
	if f.err != "" || len(f.nodes) == 0 {
		return false
	}
	back := false
	seen := make([]bool, len(f.nodes))
	for work := []int32{0}; len(work) > 0; {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		if f.nodes[n].leave {
			return false
		}
		for _, to := range f.nodes[n].next {
			back = back || to <= n
			work = append(work, to)
		}
	}
	return back
}

// arguments finds the registers whose value at the entry matters. may: on some way through the function an instruction reads one that nothing
// has written before. sure: one reads it that nothing can have written before, whatever way was taken.
//
// A call leaves nothing behind in the registers that it may change; what it takes itself does not count here.
func (f *flow) arguments(c *arch.Convention) (may, sure, passed arch.RegSet) {
	if len(f.nodes) == 0 {
		return 0, 0, 0
	}
	in := make([]held, len(f.nodes)) // before each instruction
	in[0] = held{c.Scratch, c.Scratch, c.Scratch, true}
	for work := []int32{0}; len(work) > 0; {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		out := in[n].after(&f.nodes[n], c)
		for _, to := range f.nodes[n].next {
			if in[to].merge(out) {
				work = append(work, to)
			}
		}
	}
	for i := range f.nodes {
		n, h := &f.nodes[i], &in[i]
		if !h.reached {
			continue
		}
		e := &n.eff
		wide := e.Read.Minus(e.Low)
		may |= (wide&h.whole | e.Low&h.low) & (c.Args | c.Count.Minus(e.Saved))
		sure |= e.Read.Minus(e.Saved) & h.certain & (c.Args | c.Count)
		if n.call {
			passed |= h.whole & c.Args
		}
	}
	return may, sure, passed
}

// held is what registers hold at a place.
type held struct {
	whole   arch.RegSet // may hold, in part, what they held at the entry
	low     arch.RegSet // of these: in the lowest byte or element
	certain arch.RegSet // hold that on every way
	reached bool
}

// after returns what is held after an instruction.
func (h held) after(n *node, c *arch.Convention) held {
	e := &n.eff
	h.whole, h.low, h.certain = h.whole.Minus(e.Kill), h.low.Minus(e.Kill|e.Byte), h.certain.Minus(e.Write)
	if n.call {
		h.whole, h.low, h.certain = h.whole.Minus(c.Scratch), h.low.Minus(c.Scratch), h.certain.Minus(c.Scratch)
	}
	return h
}

// merge joins what another way brings, and reports whether that changes anything.
func (h *held) merge(o held) bool {
	was := *h
	if !h.reached {
		*h = o
		return true
	}
	h.whole, h.low, h.certain = h.whole|o.whole, h.low|o.low, h.certain&o.certain
	return *h != was
}

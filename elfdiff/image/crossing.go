package image

import (
	"slices"

	"hotpatch/arch"
)

// crossing is in which registers values go into functions and come out of them, by index in Image.Atoms, as their code shows it and whatever the ABI
// says: functions into which a compiler moved code of several others (clang's OUTLINED_FUNCTION_n), and pieces of a function that are not known as
// such, have their values wherever the other code had them.
type crossing struct {
	in    []arch.Regs // read before they are written; what a function only saves in its stack frame is left out
	any   []arch.Regs // read somewhere in it, whatever was written before
	asked []arch.Regs // of those, not in them: in which a system call may take an argument; see flow.askKernel
	out   []arch.Regs // read by callers behind the call, as what the function may have left there
	kept  []arch.Regs // saved in the stack frame
	own   []bool      // it makes a stack frame: see crossScan.end
	edges [][]crossEdge
	known bool // all functions are taken into account; until then nothing of it is asked, and each function is written by one goroutine
}

// crossEdge is a direct call, or a jump that leaves the atom.
type crossEdge struct {
	to     int32
	entry  bool // it leads to the start
	jump   bool
	mayBe  arch.Regs // registers that may hold what they held when the function was entered
	behind arch.Regs // registers that are read behind the call before they are written
}

func (c *crossing) init(atoms int) {
	c.in, c.any, c.out, c.kept = make([]arch.Regs, atoms), make([]arch.Regs, atoms), make([]arch.Regs, atoms), make([]arch.Regs, atoms)
	c.asked = make([]arch.Regs, atoms)
	c.own, c.edges = make([]bool, atoms), make([][]crossEdge, atoms)
}

// crossNode is one instruction of an atom.
type crossNode struct {
	reads, writes arch.Regs
	asked         arch.Regs // in which a system call may take an argument, none of reads
	mayBe         arch.Regs // in front of it; see crossEdge
	live          arch.Regs // in front of it: read from there on before they are written
	to            int32     // direct branch inside the atom: its node; else -1
	flow          arch.Flow
	start         bool // an instruction is here
	led           bool // some instruction leads here
	outside       *crossEdge
}

// crossScan finds the crossing registers of one atom after the other, in memory that it uses again.
type crossScan struct {
	im    *Image
	nodes []crossNode // one for each place of an instruction
	ind   arch.Regs   // what mayBe is at indirect jumps
	found bool        // one is there
	more  bool        // something changed behind which the last run did not go
	frame bool        // the stack frame is made
}

// begin prepares for an atom of so many bytes.
func (s *crossScan) begin(size int) {
	n := size / s.im.Arch.InstAlign
	s.nodes = slices.Grow(s.nodes[:0], n)[:n]
	clear(s.nodes)
	s.ind, s.found, s.frame = 0, false, false
}

// add takes the instruction at off.
func (s *crossScan) add(a *Atom, in *arch.Inst, t *arch.Transfer, off int) {
	p := s.im.Arch.Pieces
	k := off / s.im.Arch.InstAlign
	if k >= len(s.nodes) {
		return
	}
	n := &s.nodes[k]
	*n = crossNode{reads: t.Reads, writes: t.Writes, to: -1, flow: in.Flow, start: true}
	if in.Flow == arch.FlowSyscall {
		n.asked, n.reads = n.reads&p.Args, n.reads&^p.Args
	}
	if t.Kind == arch.TransferStore && t.Mem.Base == p.SP && !t.Vector {
		stored := t.Src.Bit() | t.Src2.Bit()
		if n.reads &^= stored & p.Saved; s.frame {
			n.reads &^= stored & p.Args // variable arguments, and those that are kept in memory
		}
	}
	s.frame = s.frame || makesFrame(t, p)
	if in.BrSize == 0 {
		return
	}
	to := a.Addr + arch.ImageAddr(off) + arch.ImageAddr(in.Target)
	if in.Flow == arch.FlowCall && !s.im.comesBack(to) {
		n.flow = arch.FlowStop
	}
	s.branch(a, n, to, in.Flow)
}

// makesFrame reports whether an instruction makes a stack frame for more than a return address.
func makesFrame(t *arch.Transfer, p *arch.Pieces) bool {
	const pushed = 16 // bytes
	return t.WriteBack && t.Mem.Base == p.SP && t.Step < -pushed || inPlace(t) && t.Dst == p.SP && t.Mem.Disp < -pushed
}

// branch notes where a direct branch leads.
func (s *crossScan) branch(a *Atom, n *crossNode, to arch.ImageAddr, flow arch.Flow) {
	if to >= a.Addr && to < a.End() && flow != arch.FlowCall {
		n.to = int32(to-a.Addr) / int32(s.im.Arch.InstAlign)
		return
	}
	b := s.im.AtomAt(to)
	if b == nil || !b.IsCode() || s.im.stubAt(to) != nil {
		return
	}
	n.outside = &crossEdge{to: int32(b.ID), entry: b.Addr == to, jump: flow != arch.FlowCall}
}

// end follows what the registers may hold through the atom, and notes what comes of it.
//
// A function that makes a stack frame of its own, and is no piece that is only jumped to, is one of the ABI, which gets no pages: what it seems to read besides
// its arguments is a variable of which the compiler knows that it is set whenever it is used. Code that a compiler moves out of functions only saves
// the return address.
func (s *crossScan) end(a *Atom) {
	if len(s.nodes) == 0 {
		return
	}
	c := &s.im.crossing
	first := &s.nodes[0]
	first.mayBe, first.led = ^arch.Regs(0), true
	for i := range s.nodes {
		n := &s.nodes[i]
		if n.to >= 0 && int(n.to) < len(s.nodes) && n.start {
			s.nodes[n.to].led = true
		}
		if i+1 < len(s.nodes) && n.start && !leaves(n.flow) {
			s.nodes[i+1].led = true
		}
	}
	s.repeat(s.forward)
	s.ind = 0
	s.repeat(s.backward)
	if _, isPart := partBase(a.Name); s.frame && (!isPart || s.im.places.calls[a]) {
		c.own[a.ID] = true
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.start {
			continue
		}
		c.in[a.ID] |= n.reads & n.mayBe
		c.any[a.ID] |= n.reads
		c.asked[a.ID] |= n.asked
		if n.outside == nil {
			continue
		}
		n.outside.mayBe = n.mayBe
		if n.flow == arch.FlowCall && i+1 < len(s.nodes) {
			n.outside.behind = s.nodes[i+1].live
		}
		c.edges[a.ID] = append(c.edges[a.ID], *n.outside)
	}
}

// repeat runs until nothing changes.
func (s *crossScan) repeat(run func()) {
	const most = 64 // each run adds something, and code needs two or three
	for range most {
		s.more = false
		if run(); !s.more {
			return
		}
	}
	for i := range s.nodes {
		s.nodes[i].mayBe, s.nodes[i].live = ^arch.Regs(0), ^arch.Regs(0)
	}
}

// leaves reports whether control does not go on behind an instruction.
func leaves(f arch.Flow) bool {
	return f == arch.FlowJump || f == arch.FlowJumpInd || f == arch.FlowReturn || f == arch.FlowStop
}

// forward finds what the registers may hold, in one run in the order of addresses.
func (s *crossScan) forward() {
	p := s.im.Arch.Pieces
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.start {
			continue
		}
		if !n.led && s.found { // an entry of a jump table, perhaps
			s.join(&n.mayBe, s.ind)
		}
		mayBe := n.mayBe &^ n.writes
		switch n.flow {
		case arch.FlowCall, arch.FlowCallInd:
			mayBe &^= p.Results | p.Veneers
		case arch.FlowJumpInd:
			s.join(&s.ind, mayBe)
			s.found = true
		}
		if n.to >= 0 && int(n.to) < len(s.nodes) {
			s.join(&s.nodes[n.to].mayBe, mayBe)
		}
		if i+1 < len(s.nodes) && !leaves(n.flow) {
			s.join(&s.nodes[i+1].mayBe, mayBe)
		}
	}
}

// backward finds what is read before it is written, in one run against the order of addresses. A call reads nothing here: see crossing.close.
func (s *crossScan) backward() {
	p := s.im.Arch.Pieces
	unled := arch.Regs(0)
	for i := len(s.nodes) - 1; i >= 0; i-- {
		n := &s.nodes[i]
		if !n.start {
			continue
		}
		var live arch.Regs
		if n.to >= 0 && int(n.to) < len(s.nodes) {
			live = s.nodes[n.to].live
		}
		if i+1 < len(s.nodes) && !leaves(n.flow) {
			live |= s.nodes[i+1].live
		}
		switch n.flow {
		case arch.FlowCall, arch.FlowCallInd:
			live &^= p.Results | p.Veneers
		case arch.FlowJumpInd:
			live |= s.ind | n.reads
		default:
			live = live&^n.writes | n.reads | n.asked
		}
		s.join(&n.live, live)
		if !n.led {
			unled |= n.live
		}
	}
	s.join(&s.ind, unled)
}

// join adds registers to a set.
func (s *crossScan) join(to *arch.Regs, regs arch.Regs) {
	if *to|regs != *to {
		*to |= regs
		s.more = true
	}
}

// close adds what goes through functions from and to others.
func (c *crossing) close(changed []arch.Regs, p *arch.Pieces) {
	c.known = true
	into := make([][]int32, len(c.edges)) // by function: those that call it, or jump to it
	for i, edges := range c.edges {
		for _, e := range edges {
			into[e.to] = append(into[e.to], int32(i))
		}
	}
	for j := range into {
		into[j] = slices.Compact(into[j])
	}
	untilStable(into, func(i int32) bool { // what i calls may read what it was given
		in, asked := c.in[i], c.asked[i]
		for _, e := range c.edges[i] {
			in |= e.mayBe & c.read(&e)
			asked |= e.mayBe & c.asked[e.to]
		}
		if c.own[i] {
			in, asked = 0, 0
		}
		changed := in != c.in[i] || asked != c.asked[i]
		c.in[i], c.asked[i] = in, asked
		return changed
	})
	for _, edges := range c.edges {
		passed := arch.Regs(0) // from one that is called to the next
		for _, e := range edges {
			passed |= c.read(&e) &^ p.Args &^ p.Saved
		}
		for _, e := range edges {
			out := (e.behind | passed) & changed[e.to]
			if c.own[e.to] {
				out &= p.Results
			}
			c.out[e.to] |= out
		}
	}
	from := make([][]int32, len(c.edges)) // by function: those that it jumps to
	for i, edges := range c.edges {
		for _, e := range edges {
			if e.jump {
				from[i] = append(from[i], e.to)
			}
		}
	}
	back := make([][]int32, len(c.edges))
	for i := range from {
		for _, j := range from[i] {
			back[j] = append(back[j], int32(i))
		}
	}
	c.edges = nil
	untilStable(from, func(j int32) bool { // what is jumped to returns to the callers of what jumps there
		out := c.out[j]
		for _, i := range back[j] {
			out |= c.out[i]
		}
		changed := out != c.out[j]
		c.out[j] = out
		return changed
	})
}

// read returns the registers that are read where an edge leads.
func (c *crossing) read(e *crossEdge) arch.Regs {
	if e.entry {
		return c.in[e.to]
	}
	return c.any[e.to]
}

// untilStable updates all, and again those that next names for what has changed, until nothing does.
func untilStable(next [][]int32, update func(i int32) bool) {
	work := make([]int32, len(next))
	queued := make([]bool, len(next))
	for i := range work {
		work[i], queued[i] = int32(i), true
	}
	for len(work) > 0 {
		i := work[len(work)-1]
		work = work[:len(work)-1]
		queued[i] = false
		if !update(i) {
			continue
		}
		for _, j := range next[i] {
			if !queued[j] {
				queued[j] = true
				work = append(work, j)
			}
		}
	}
}

// readAt returns the registers that code outside of the unit reads, to which an instruction calls or jumps, as what they held before, and those that it
// may hand to the kernel.
func (im *Image) readAt(to arch.ImageAddr) (read, asked arch.Regs) {
	a := im.AtomAt(to)
	switch {
	case im.stubAt(to) != nil || a == nil || !a.IsCode():
		return 0, 0
	case a.Addr != to:
		return im.crossing.any[a.ID], im.crossing.asked[a.ID]
	}
	return im.crossing.in[a.ID], im.crossing.asked[a.ID]
}

// crossUnit finds the crossing registers of a unit that is decoded.
func (d *Decoder) crossUnit(s *crossScan) {
	for i, a := range d.atoms {
		p := &d.parts[i]
		s.begin(len(p.code))
		for off := range p.code {
			if b := p.state[off]; b == byteStart || b == byteUnseen {
				in := d.instAt(p, uint32(off))
				s.add(a, in, d.transferOf(p.code[off:], in), off)
			}
		}
		s.end(a)
	}
}

// crossRoughly is crossUnit for a unit that cannot be decoded: straight reading has to do.
func (d *Decoder) crossRoughly(s *crossScan) {
	for _, a := range d.atoms {
		s.begin(int(a.Size))
		d.im.eachInst(a, func(in *arch.Inst, at arch.ImageAddr, code []byte) {
			s.add(a, in, d.transferOf(code, in), int(at-a.Addr))
		})
		s.end(a)
	}
}

// keptScan finds the registers that the code of an atom saves, in the order of addresses.
type keptScan struct {
	written arch.Regs
	loaded  arch.Regs // from memory other than the stack frame
	frame   bool      // the stack frame is made
}

// step notes the registers that an instruction saves in the stack frame. In a frame of the function's own, it saves nothing else.
func (k *keptScan) step(kept *arch.Regs, t *arch.Transfer, p *arch.Pieces) {
	k.frame = k.frame || makesFrame(t, p)
	if t.Kind == arch.TransferStore && t.Mem.Base == p.SP && !t.Vector {
		saved := (t.Src.Bit() | t.Src2.Bit()) & p.Saved
		if !k.frame {
			saved &^= k.written
		}
		*kept |= saved
	}
	k.written |= t.Writes
	if t.Kind == arch.TransferLoad && t.Mem.Base >= 0 && t.Mem.Base != p.SP {
		k.loaded |= t.Dst.Bit() | t.Dst2.Bit()
	}
}

// leavesFrame reports whether the code takes all registers that calls preserve from memory, and makes the stack pointer anew, having saved none of them: it
// goes on in the frame of another function, which gets the registers that it had (longjmp, setcontext). Nothing of it comes back to the caller, although
// the jump at the end looks like one that may.
func (k *keptScan) leavesFrame(kept arch.Regs, p *arch.Pieces) bool {
	return !k.frame && kept == 0 && k.written.Has(p.SP) && k.loaded&p.Saved == p.Saved&^p.SP.Bit()
}

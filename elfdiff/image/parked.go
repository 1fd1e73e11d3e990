package image

import (
	"fmt"
	"math"

	"hotpatch/arch"
)

// Compilers that run out of general registers keep values in vector registers for a while (GCC for arm64 does). Addresses are not followed there: of
// one that may come back it is not known to which objects it leads, of those that are made of its page or lie at a distance from it.

// parked is what a unit is found to put into vector registers, and to take out of them.
type parked struct {
	addresses map[int32]bool // nodes that make addresses which are put there
	back      string         // where a general register gets something of one; "": nowhere
	stored    []frameSpan    // bytes of the stack frame that vector registers are stored to
	loaded    []frameLoad    // and general registers loaded from
}

// frameSpan are bytes of the stack frame, from the stack pointer at the entry on.
type frameSpan struct{ off, size int64 }

type frameLoad struct {
	frameSpan
	node int32
}

func (p *parked) reset() {
	clear(p.addresses)
	p.back, p.stored, p.loaded = "", p.stored[:0], p.loaded[:0]
}

// park notes what node n does with vector registers.
func (f *flow) park(n int32, in *arch.Inst) {
	t, p := f.t, &f.parked
	if t.Vector && t.Kind == arch.TransferArith && t.Dst >= 0 && !t.HasMem && p.back == "" {
		p.back = f.placeName(n)
	}
	if t.Vector && t.Kind == arch.TransferArith && !t.HasMem || t.Kind == arch.TransferOther && !t.HasMem && in.Flow == arch.FlowNext {
		for regs := t.Reads & allValues; regs != 0; regs &= regs - 1 { // all, of an instruction that is not known (SVE)
			if from := f.s.reg(regs.First()).from; from != 0 {
				if p.addresses == nil {
					p.addresses = map[int32]bool{}
				}
				f.setAll(p.addresses, from)
			}
		}
	}
	switch span, ok := f.frameSpan(); {
	case !ok:
	case t.Vector && t.Mem.Store:
		p.stored = append(p.stored, span)
	case !t.Vector && t.Mem.Load:
		p.loaded = append(p.loaded, frameLoad{span, n})
	}
}

// frameSpan returns the bytes of the stack frame that the instruction accesses, perhaps; false: it accesses none.
func (f *flow) frameSpan() (frameSpan, bool) {
	const most = 64 // bytes that one instruction accesses
	m := &f.t.Mem
	if !f.t.HasMem || m.Base < 0 || f.t.Kind == arch.TransferAddress {
		return frameSpan{}, false
	}
	base := f.s.reg(m.Base)
	switch at := f.memory(0); {
	case at.kind == valueFrame && m.Width == 0:
		return frameSpan{at.at, most}, true
	case at.kind == valueFrame:
		return frameSpan{at.at, int64(m.Width)}, true
	case base.kind == valueFrame, m.Base == f.arch.SP: // by an index, or in a frame that was aligned
		return frameSpan{math.MinInt64 / 2, math.MaxInt64}, true
	}
	return frameSpan{}, false
}

// takesVector reports whether an instruction gives a general register 8 bytes of a vector register as they are.
func takesVector(t *arch.Transfer) bool {
	return t.Vector && t.Kind == arch.TransferArith && t.Dst >= 0 && t.Wide
}

// takeBack notes that not all uses are known of the addresses that may come back from a vector register.
func (f *flow) takeBack() {
	p := &f.parked
	if len(p.addresses) == 0 {
		return
	}
	back := p.back
	for i := 0; i < len(p.loaded) && back == ""; i++ {
		for _, s := range p.stored {
			if l := &p.loaded[i]; s.off < l.off+l.size && l.off < s.off+s.size {
				back = f.placeName(l.node)
			}
		}
	}
	if back == "" {
		return
	}
	for n := range p.addresses {
		if f.lost[n] == "" {
			f.lost[n] = back + " may get it back from a vector register, in which it is not followed"
		}
	}
}

// placeName returns where a node is, for people.
func (f *flow) placeName(n int32) string {
	at := f.place(n)
	return fmt.Sprintf("%s+%#x", at.Atom.Name, at.Off)
}

// judgeParked says of a reference to an address that node n makes whether what becomes of it is known.
func (r *resolver) judgeParked(ref *Ref, n int32) {
	f := &r.d.flow
	if why := f.lost[n]; why != "" && f.parked.addresses[n] && ref.Kind != RefPage && ref.Kind != RefMem {
		ref.Place = Place{Kind: PlaceUnknown, Addr: ref.Place.Addr, Why: why}
	}
}

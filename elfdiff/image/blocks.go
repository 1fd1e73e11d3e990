package image

import (
	"slices"

	"hotpatch/arch"
)

// padSite is a range of code from which exceptions enter the unit at a landing pad.
type padSite struct {
	start, end, pad arch.ImageAddr
}

// blockHeap is a heap of blocks, lowest first.
type blockHeap []int32

func (h blockHeap) Len() int           { return len(h) }
func (h blockHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h blockHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *blockHeap) Push(x any)        { *h = append(*h, x.(int32)) }
func (h *blockHeap) Pop() any {
	n := len(*h) - 1
	x := (*h)[n]
	*h = (*h)[:n]
	return x
}

// findBlocks cuts the code into blocks.
func (f *flow) findBlocks() {
	n := len(f.offs)
	f.leader = slices.Grow(f.leader[:0], n)[:n]
	clear(f.leader)
	f.pads = f.pads[:0]
	for i, a := range f.d.atoms {
		p := &f.d.parts[i]
		next := uint32(0)
		for k := f.first[i]; k < f.first[i+1]; k++ {
			off := f.offs[k]
			in := f.d.instAt(p, off)
			if off != next || k == f.first[i] {
				f.leader[k] = true
			}
			next = off + uint32(in.Len)
			if in.BrSize > 0 && in.Flow != arch.FlowCall {
				if t, _, ok := f.d.locate(a.Addr + arch.ImageAddr(off) + arch.ImageAddr(in.Target)); ok {
					f.mark(t)
				}
			}
			if in.Flow == arch.FlowCall && k+1 < f.first[i+1] && !f.im.comesBack(a.Addr+arch.ImageAddr(off)+arch.ImageAddr(in.Target)) {
				f.leader[k+1] = true
			}
			if in.Flow != arch.FlowNext && in.Flow != arch.FlowCall && in.Flow != arch.FlowCallInd && in.Flow != arch.FlowSyscall && k+1 < f.first[i+1] {
				f.leader[k+1] = true
			}
		}
		f.addPads(a)
	}
	for _, t := range f.d.table {
		for _, e := range t.Entries {
			f.mark(e)
		}
	}
	for i := range f.d.inner {
		f.mark(f.d.inner[i].to)
	}
	f.number()
}

// addPads notes the landing pads of an atom.
func (f *flow) addPads(a *Atom) {
	fde := f.im.CFI.Find(a.Addr)
	if fde == nil {
		return
	}
	r := f.im.lsda(fde)
	if r == nil {
		return
	}
	for _, s := range r.sites() {
		if t, _, ok := f.d.locate(s.Pad); ok && s.Pad != 0 {
			f.mark(t)
			f.pads = append(f.pads, padSite{s.Start, s.End, s.Pad})
		}
	}
	slices.SortFunc(f.pads, func(a, b padSite) int { return int(int64(a.start) - int64(b.start)) })
}

// number numbers the blocks.
func (f *flow) number() {
	n := len(f.offs)
	f.block = slices.Grow(f.block[:0], n)[:n]
	f.starts = f.starts[:0]
	for k, l := range f.leader {
		if l {
			f.block[k] = int32(len(f.starts))
			f.starts = append(f.starts, int32(k))
		}
	}
	blocks := len(f.starts)
	f.starts = append(f.starts, int32(n))
	f.in = slices.Grow(f.in[:0], blocks+1)[:blocks+1]
	f.queued = slices.Grow(f.queued[:0], blocks+1)[:blocks+1]
}

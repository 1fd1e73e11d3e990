package image

import (
	"runtime"
	"slices"
	"sync"

	"hotpatch/arch"
)

// scanPieces adds to the addresses that something refers to those that code makes of several instructions. It follows the values in
// registers, for which units have to be known, and comes to all places that [Image.Body] comes to.
func (im *Image) scanPieces() {
	var heads []*Atom
	for _, a := range im.Atoms {
		if a.IsCode() && a.Size > 0 && a.Parent == nil {
			heads = append(heads, a)
		}
	}
	results := make([][]arch.ImageAddr, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range results {
		wg.Go(func() {
			d, s := im.NewDecoder(), crossScan{im: im}
			for i := w; i < len(heads); i += len(results) {
				results[w] = d.addresses(results[w], heads[i], &s)
			}
		})
	}
	wg.Wait()
	im.crossing.close(im.changes.regs, im.Arch.Pieces)
	x := &im.places
	for _, r := range results {
		x.addrs = append(x.addrs, r...)
	}
	slices.Sort(x.addrs)
	x.addrs = slices.Clone(slices.Compact(x.addrs))
}

// addresses appends the addresses of data that a function refers to by pieces, and finds its crossing registers.
func (d *Decoder) addresses(out []arch.ImageAddr, a *Atom, s *crossScan) []arch.ImageAddr {
	d.reset(a.unit())
	if err := d.load(); err != nil {
		d.crossRoughly(s)
		return out
	}
	d.seed()
	if err := d.reach(); err == nil && d.fillGaps() == nil && d.settle() == nil {
		d.crossUnit(s)
		return append(out, d.used...)
	}
	d.crossRoughly(s)
	return d.roughly(out)
}

// roughly appends the addresses that a function may refer to that cannot be decoded: what straight reading makes of its pages.
func (d *Decoder) roughly(out []arch.ImageAddr) []arch.ImageAddr {
	for _, a := range d.atoms {
		s := straight{im: d.im}
		d.im.eachInst(a, func(in *arch.Inst, at arch.ImageAddr, code []byte) { out = s.step(out, in, at, code) })
	}
	return out
}

// straight reads instructions in the order of their addresses, and knows of each register the last page that was put into it.
type straight struct {
	im   *Image
	t    arch.Transfer
	page [maxRegs]arch.ImageAddr // 0: none
}

// step appends the address that an instruction makes of a page.
func (s *straight) step(out []arch.ImageAddr, in *arch.Inst, at arch.ImageAddr, code []byte) []arch.ImageAddr {
	s.im.Arch.Transfer(&s.t, code, in)
	t := &s.t
	var made arch.ImageAddr
	switch m := &t.Mem; {
	case t.Kind == arch.TransferAddress && m.From == arch.FromPage:
		made = at&^(pageSize-1) + arch.ImageAddr(m.Disp)
	case t.HasMem && m.Base >= 0 && m.Index < 0 && s.page[m.Base] != 0:
		out = append(out, s.page[m.Base]+arch.ImageAddr(m.Disp))
	case t.Kind == arch.TransferMove && t.Src >= 0:
		made = s.page[t.Src]
	}
	for r := arch.Reg(0); r < maxRegs; r++ {
		if t.Writes.Has(r) {
			s.page[r] = 0
		}
	}
	if t.Dst >= 0 {
		s.page[t.Dst] = made
	}
	return out
}

// eachInst calls do for the instructions of a, read straight on.
func (im *Image) eachInst(a *Atom, do func(in *arch.Inst, at arch.ImageAddr, code []byte)) {
	code, ok := im.Bytes(a.Addr, a.Size)
	if !ok {
		return
	}
	var in arch.Inst
	for off := 0; off < len(code); {
		at := a.Addr + arch.ImageAddr(off)
		if im.isDataMark(at) || im.Arch.DecodeInto(&in, code[off:]) != nil {
			off += im.Arch.InstAlign
			continue
		}
		do(&in, at, code[off:])
		off += in.Len
	}
}

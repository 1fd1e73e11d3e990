package patch

import (
	"fmt"

	"hotpatch/arch"
)

// Segment is a part of a payload with one page protection.
type Segment struct {
	Kind Kind   // Text (r-x), ROData (r--) or Data (rw-)
	Off  uint64 // from the payload's base; a multiple of Layout.Align
	Size uint64 // in memory, not rounded; zero for a segment that is not needed
}

// Place is the place of something that Link makes for a symbol.
type Place struct {
	Sym int    // index in Patch.Symbols
	Off uint64 // from the payload's base
}

// Layout says where everything of a payload lies relative to its base. It
// depends on the patch alone: memory can be reserved before any address is known.
type Layout struct {
	Align    uint64     // alignment of the base and of each segment
	Size     uint64     // of the whole payload, a multiple of Align
	Segments [3]Segment // Text, ROData, Data
	Sections []uint64   // offset from the base, by index in Patch.Sections
	Stubs    []Place    // jump stubs for calls to imports, by symbol
	Slots    []Place    // pointer-sized words that hold a symbol's address, by symbol

	EHFrame     uint64 // offset of .eh_frame from the base
	EHFrameSize uint64 // with its terminator; zero if the patch has no .eh_frame
}

// minFuncSize is the least room, in bytes, and the least alignment that a text section gets. So there is
// always room for a jump behind a landing pad when a later patch supersedes the function.
const minFuncSize = 16

// LayoutOf computes the layout of a patch's payload. a is the architecture of p.Machine.
func LayoutOf(p *Patch, a *arch.Arch) (*Layout, error) {
	if a.Machine != p.Machine {
		return nil, fmt.Errorf("layout: patch is for %v, architecture is %s", p.Machine, a.Name)
	}
	if err := p.validatePayload(a); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	stubs, slots := p.indirect(a)
	l := &Layout{Align: a.MaxPage, Sections: make([]uint64, len(p.Sections))}
	c := cursor{p: p, l: l}

	c.begin(Text)
	c.place(Text, minFuncSize, len(a.Jump.Head))
	c.off = alignUp(c.off, minFuncSize)
	l.Stubs = c.words(stubs, uint64(a.Jump.StubLen), 8)
	c.end(0)

	c.begin(ROData)
	c.place(ROData, 0, 0)
	c.place(EHFrame, 0, 0)
	if l.EHFrameSize > 0 {
		c.off += frameTerminator
		l.EHFrameSize += frameTerminator
	}
	c.end(1)

	c.begin(Data)
	c.place(Data, 0, 0)
	l.Slots = c.words(slots, uint64(a.PtrSize), uint64(a.PtrSize))
	c.place(BSS, 0, 0)
	c.end(2)

	if l.Size = alignUp(c.off, l.Align); l.Size > maxPayload {
		return nil, fmt.Errorf("layout: payload would be %d bytes; the limit is %d", l.Size, maxPayload)
	}
	return l, nil
}

// frameTerminator is the length of the zero word that ends .eh_frame.
const frameTerminator = 4

// cursor walks through the payload while it is laid out. Offsets cannot overflow: the sum of the sections is
// bounded by maxPayload, their number and alignments by maxSections and maxAlign.
type cursor struct {
	p   *Patch
	l   *Layout
	off uint64
	seg Segment
}

func (c *cursor) begin(k Kind) {
	c.off = alignUp(c.off, c.l.Align)
	c.seg = Segment{Kind: k, Off: c.off}
}

func (c *cursor) end(i int) {
	c.seg.Size = c.off - c.seg.Off
	c.l.Segments[i] = c.seg
}

// place lays out all sections of a kind, each with at least room bytes and that alignment, and head bytes in front of it.
func (c *cursor) place(k Kind, room uint64, head int) {
	for i := range c.p.Sections {
		s := &c.p.Sections[i]
		if s.Kind != k {
			continue
		}
		c.off = alignUp(c.off+uint64(head), max(s.Align, room, 1))
		c.l.Sections[i] = c.off
		if k == EHFrame && s.Size > 0 {
			c.l.EHFrame, c.l.EHFrameSize = c.off, s.Size
		}
		c.off += max(s.Size, room)
	}
}

// words lays out one thing of that size and alignment for each symbol.
func (c *cursor) words(syms []int, size, align uint64) []Place {
	if len(syms) == 0 {
		return nil
	}
	places := make([]Place, len(syms))
	for i, sym := range syms {
		c.off = alignUp(c.off, align)
		places[i] = Place{Sym: sym, Off: c.off}
		c.off += size
	}
	return places
}

// indirect returns the symbols that need a stub and those that need a slot, by index: an
// import that is called through a PLT relocation needs both, a symbol that is reached through
// a GOT relocation needs a slot.
func (p *Patch) indirect(a *arch.Arch) (stubs, slots []int) {
	const stub, slot = 1, 2
	need := make([]uint8, len(p.Symbols))
	for i := range p.Sections {
		for _, r := range p.Sections[i].Relocs {
			switch a.Relocs[r.Type].Kind {
			case arch.RelocPLT:
				if p.Symbols[r.Sym].Kind == SymImport {
					need[r.Sym] |= stub | slot
				}
			case arch.RelocGOTPC, arch.RelocGOTPage, arch.RelocGOTAbs:
				need[r.Sym] |= slot
			}
		}
	}
	for i, n := range need {
		if n&stub != 0 {
			stubs = append(stubs, i)
		}
		if n&slot != 0 {
			slots = append(slots, i)
		}
	}
	return stubs, slots
}

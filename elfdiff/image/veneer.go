package image

import (
	"slices"
	"sort"
	"strings"

	"hotpatch/arch"
)

// Veneer is where the linker has moved one instruction of a function to code of its own, to avoid an erratum of the Cortex-A53: a jump to that code
// stands where the instruction was, and the code is the instruction and a jump back. GNU ld and lld do it for 843419, and GNU ld for 835769.
//
// It depends on where the function happens to lie whether there is one. So [Image.Bytes], and all that reads code by it, has the instruction where
// the compiler put it; [Image.FileBytes] has what the file has. The code elsewhere is no atom: it belongs to the function.
type Veneer struct {
	Name string
	Site arch.ImageAddr // of the jump that stands for the instruction
	At   arch.ImageAddr // of the instruction
	Size uint64         // bytes at At
	jump []byte         // the bytes at Site in the file
}

// isVeneerName reports whether a linker gives the name to what [Veneer] describes: bfd/elfnn-aarch64.c of GNU binutils, AArch64ErrataFix.cpp of lld.
func isVeneerName(name string) bool {
	for _, prefix := range []string{"e843419@", "e835769@", "__CortexA53843419_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// undoVeneer puts the instruction at an address back to where it was. It is false if that is not an instruction that means the same anywhere,
// followed by a jump to behind the only jump that is known to lead to it.
func (im *Image) undoVeneer(name string, at arch.ImageAddr) bool {
	n := im.Arch.InstAlign
	code, ok := im.Bytes(at, 2*uint64(n))
	if im.Arch.Pieces == nil || !ok {
		return false
	}
	moved, err1 := im.Arch.Decode(code)
	back, err2 := im.Arch.Decode(code[n:])
	if err1 != nil || err2 != nil || moved.Flow != arch.FlowNext || back.Flow != arch.FlowJump {
		return false
	}
	for _, op := range moved.Ops[:moved.NumOps] {
		if op.Kind == arch.OpPC || op.Kind == arch.OpPage {
			return false
		}
	}
	site := at + arch.ImageAddr(back.Target)
	jump, ok := im.Bytes(site, uint64(n))
	if !ok {
		return false
	}
	to, err := im.Arch.Decode(jump)
	if err != nil || to.Flow != arch.FlowJump || site+arch.ImageAddr(to.Target) != at {
		return false
	}
	v := Veneer{Name: name, Site: site, At: at, Size: 2 * uint64(n), jump: slices.Clone(jump)}
	s := im.SectionAt(site)
	if !slices.ContainsFunc(im.veneers, func(v Veneer) bool { return v.Site >= s.Addr && v.Site < s.End() }) {
		s.Data = slices.Clone(s.Data)
	}
	copy(s.Data[site-s.Addr:], code[:n])
	im.veneers = append(im.veneers, v)
	return true
}

// sortVeneers brings the veneers into the order of their sites.
func (im *Image) sortVeneers() {
	slices.SortFunc(im.veneers, func(a, b Veneer) int { return int(int64(a.Site - b.Site)) })
}

// Veneers returns the veneers of the instructions in [start, end). The caller must not change them.
func (im *Image) Veneers(start, end arch.ImageAddr) []Veneer {
	i := sort.Search(len(im.veneers), func(i int) bool { return im.veneers[i].Site >= start })
	j := i
	for j < len(im.veneers) && im.veneers[j].Site < end {
		j++
	}
	return im.veneers[i:j]
}

// FileBytes is Bytes with what the file has in the place of instructions with a [Veneer].
func (im *Image) FileBytes(addr arch.ImageAddr, size uint64) ([]byte, bool) {
	b, ok := im.Bytes(addr, size)
	if !ok {
		return nil, false
	}
	if veneers := im.Veneers(addr, addr+arch.ImageAddr(size)); len(veneers) > 0 {
		b = slices.Clone(b)
		for i := range veneers {
			copy(b[veneers[i].Site-addr:], veneers[i].jump)
		}
	}
	return b, true
}

package image

import (
	"debug/elf"
	"sort"
	"strings"

	"hotpatch/arch"
)

// findFixedWords lists the words of data that hold addresses of the image, or numbers that look like some. A program that is
// linked for a fixed address (ET_EXEC) has its pointers stored by the linker, and nothing says where, unless it was linked with
// --emit-relocs. Compilers align pointers, so that only aligned words count; see [Image.LooksLikeAddress] for others.
func (im *Image) findFixedWords() {
	if im.Type != elf.ET_EXEC || im.HasRelocs {
		return
	}
	const word = 8 // bytes
	for _, s := range im.Sections {
		if !s.holdsPointers() && !(s.Exec() && im.Arch.Pieces != nil) {
			continue
		}
		for off := -uint64(s.Addr) % word; off+word <= uint64(len(s.Data)); off += word {
			v := arch.ImageAddr(order.Uint64(s.Data[off:]))
			if v != 0 && im.contains(v) && (!s.Exec() || im.mayBeLiteral(s.Addr+arch.ImageAddr(off))) {
				im.links = append(im.links, LinkReloc{Addr: s.Addr + arch.ImageAddr(off), LinkReloc: arch.LinkReloc{Kind: arch.LinkAddress, Size: word},
					Value: v, Section: true, Number: true})
			}
		}
	}
	sort.SliceStable(im.links, func(i, j int) bool { return im.links[i].Addr < im.links[j].Addr })
}

// mayBeLiteral reports whether a word among code that looks like an address may be one (literal pools, in which gcc's large code model of arm64 has
// its addresses): the file says that data is there, or does not tell data from code. No two instructions look like an address below 4 GiB: the second
// would be udf #0.
func (im *Image) mayBeLiteral(addr arch.ImageAddr) bool {
	return len(im.mapping.addrs) == 0 || im.isDataMark(addr)
}

// holdsPointers reports whether a section is one into which compilers put data with addresses in it.
func (s *Section) holdsPointers() bool {
	switch s.Type {
	case elf.SHT_PROGBITS, elf.SHT_INIT_ARRAY, elf.SHT_FINI_ARRAY, elf.SHT_PREINIT_ARRAY:
	default:
		return false
	}
	return s.Data != nil && !s.Exec() && !isGOT(s) &&
		s.Name != ".interp" && s.Name != ".gcc_except_table" && !strings.HasPrefix(s.Name, ".eh_frame")
}

// LooksLikeAddress returns the offset of the first word among the bytes, aligned or not, whose value lies in the image; -1 if there
// is none.
func (im *Image) LooksLikeAddress(b []byte) int {
	for off := 0; off+8 <= len(b); off++ {
		if v := order.Uint64(b[off:]); v != 0 && im.contains(arch.ImageAddr(v)) {
			return off
		}
	}
	return -1
}

// Fixed reports whether the image is linked for a fixed address and does not say where it holds addresses: what looks like one
// has Place.Number set.
func (im *Image) Fixed() bool { return im.Type == elf.ET_EXEC && !im.HasRelocs }

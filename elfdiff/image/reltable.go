package image

import (
	"strings"

	"hotpatch/arch"
)

// Clang turns tables of addresses in read-only data into tables of 32-bit distances from the
// table's start (LLVM's RelLookupTableConverter): code loads an entry, and adds the table's address. The linker
// computes the distances, and no dynamic relocation tells of them.

// relWindow is how many instructions behind a lea the use of a relative table is looked for.
const relWindow = 24

// RelativeTableAt reports whether the address that instruction k of a body computes is used as the start of
// a table of distances: an indexed, sign-extending 32-bit load from it, to whose result it is added.
func (im *Image) RelativeTableAt(b *Body, k int) bool {
	s := &transfers{a: im.Arch, b: b}
	lea := s.at(k)
	if lea.Kind != arch.TransferAddress {
		return false
	}
	table, entry := lea.Dst, arch.NoReg
	for last := min(k+relWindow, len(b.Insts)-1); k < last; {
		k++
		switch b.Insts[k].Flow {
		case arch.FlowNext, arch.FlowBranch:
		default:
			return false
		}
		t := s.at(k)
		m := &t.Mem
		switch {
		case t.Kind == arch.TransferLoad && t.Signed && m.Width == 4 && m.Base == table && m.Index >= 0: // movslq (table,index,4), entry
			entry = t.Dst
			if entry == table {
				return false
			}
		case entry >= 0 && t.Kind == arch.TransferAddress && m.Disp == 0 && (t.Dst == entry || t.Dst == table) &&
			(m.Base == entry && m.Index == table || m.Base == table && m.Index == entry): // add table, entry
			return true
		case overwrites(t, table):
			return false
		}
	}
	return false
}

// IsRelativeTable reports whether an atom is such a table by the name that clang gives it.
func IsRelativeTable(a *Atom) bool {
	return a.Kind == Object && a.Size%4 == 0 &&
		(strings.HasPrefix(a.Name, "reltable.") || strings.HasPrefix(a.Name, "switch.table.") && strings.HasSuffix(a.Name, ".rel"))
}

// RelativeRefs returns the entries of a table of distances: what each leads to, counted from the table's start. It ends
// in front of the first word that leads out of the image.
func (im *Image) RelativeRefs(a *Atom) []DataRef {
	data, ok := im.Bytes(a.Addr, a.Size)
	if !ok {
		return nil
	}
	var refs []DataRef
	for off := 0; off+4 <= len(data); off += 4 {
		distance := int64(int32(order.Uint32(data[off:])))
		if distance == 0 {
			continue // padding; a table holds no address of its own
		}
		to := a.Addr + arch.ImageAddr(distance)
		if im.SectionAt(to) == nil {
			break
		}
		refs = append(refs, DataRef{Off: uint64(off), Size: 4, Relative: true,
			Place: im.addressPlace(to, "", &evidence{})})
	}
	return refs
}

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
	lea, ok := im.operandsAt(b, k)
	if !ok || lea.twoByte || lea.opcode != 0x8d {
		return false
	}
	table, entry := lea.reg, int8(-1)
	for last := min(k+relWindow, len(b.Insts)-1); k < last; {
		k++
		switch b.Insts[k].Flow {
		case arch.FlowNext, arch.FlowBranch:
		default:
			return false
		}
		x, ok := im.operandsAt(b, k)
		if !ok || x.twoByte {
			continue
		}
		switch {
		case x.opcode == 0x63 && x.base == table && x.index >= 0: // movslq (table,index,4), entry
			entry = x.reg
			if entry == table {
				return false
			}
		case entry >= 0 && x.opcode == 0x01 && x.rm == entry && x.reg == table, // add table, entry
			entry >= 0 && x.opcode == 0x03 && x.reg == entry && x.rm == table,
			entry >= 0 && x.opcode == 0x01 && x.rm == table && x.reg == entry,
			entry >= 0 && x.opcode == 0x03 && x.reg == table && x.rm == entry:
			return true
		case x.overwrites(table):
			return false
		}
	}
	return false
}

func (im *Image) operandsAt(b *Body, k int) (x86Operands, bool) {
	in := &b.Insts[k]
	return parseX86(b.Code[in.Off:in.End()])
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

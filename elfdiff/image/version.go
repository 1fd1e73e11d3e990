package image

import "debug/elf"

// versions are the symbol versions of .dynsym (GNU extension: .gnu.version, .gnu.version_r, .gnu.version_d).
type versions struct {
	index []byte            // Elf64_Half by symbol
	names map[uint16]string // by version index
}

// of returns the version of dynamic symbol i, or "".
func (v *versions) of(i int) string {
	if 2*i+2 > len(v.index) {
		return ""
	}
	// Bit 15 hides a version from unversioned lookups.
	// Indices 0 and 1 stand for local and unversioned global symbols.
	index := order.Uint16(v.index[2*i:]) & 0x7fff
	if index < 2 {
		return ""
	}
	return v.names[index]
}

func readVersions(f *file) (*versions, error) {
	v := &versions{names: map[uint16]string{}}
	s := f.byType(elf.SHT_GNU_VERSYM)
	if s == nil {
		return v, nil
	}
	var err error
	if v.index, err = f.read(s); err != nil {
		return nil, err
	}
	if s := f.byType(elf.SHT_GNU_VERNEED); s != nil {
		if err := v.read(f, s, verneedLayout); err != nil {
			return nil, err
		}
	}
	if s := f.byType(elf.SHT_GNU_VERDEF); s != nil {
		if err := v.read(f, s, verdefLayout); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// verLayout says where the fields of Verneed/Vernaux or Verdef/Verdaux records are. Both are
// lists, linked by offsets, of records that each head a list of names.
type verLayout struct {
	size, auxSize   uint64 // bytes of a record and of a name record
	aux, next       uint64 // offsets of vn_aux, vn_next (vd_aux, vd_next)
	auxName, auxNex uint64 // offsets of vna_name, vna_next (vda_name, vda_next)
	index           uint64 // offset of the version index: in the name record (Verneed) or the record (Verdef)
	indexInAux      bool
}

var (
	verneedLayout = verLayout{size: 16, auxSize: 16, aux: 8, next: 12, auxName: 8, auxNex: 12, index: 6, indexInAux: true}
	verdefLayout  = verLayout{size: 20, auxSize: 8, aux: 12, next: 16, auxName: 0, auxNex: 4, index: 4}
)

func (v *versions) read(f *file, s *elf.Section, l verLayout) error {
	data, strs, err := f.readWithStrings(s, int(l.auxSize))
	if err != nil {
		return err
	}
	bad := func(off uint64) error {
		return &FormatError{f.path, s.Offset + off, "section " + s.Name + ": record lies outside the section or the list does not advance", off}
	}
	size := uint64(len(data))
	records := 0
	for off := uint64(0); ; {
		if size < l.size || off > size-l.size {
			return bad(off)
		}
		rec := data[off:]
		for aux := off + uint64(order.Uint32(rec[l.aux:])); ; {
			if records++; size < l.auxSize || aux > size-l.auxSize || records > len(data) {
				return bad(aux)
			}
			a := data[aux:]
			idx := rec
			if l.indexInAux {
				idx = a
			}
			name, err := strs.at(uint64(order.Uint32(a[l.auxName:])))
			if err != nil {
				return err
			}
			v.names[order.Uint16(idx[l.index:])&0x7fff] = name
			next := uint64(order.Uint32(a[l.auxNex:]))
			if next == 0 || !l.indexInAux { // the first name of a Verdef is its own, the others its parents'
				break
			}
			aux += next
		}
		next := uint64(order.Uint32(rec[l.next:]))
		if next == 0 {
			return nil
		}
		off += next
	}
}

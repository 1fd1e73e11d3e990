package image

import "debug/elf"

// guarded reports whether the file says that its text is to be guarded, by bit 0 of a GNU property: the kernel or the dynamic linker then asks for that, and
// the processor lets an indirect branch arrive at landing pads only. What cannot be read says so as well.
func (f *file) guarded(property uint32) (bool, error) {
	if property == 0 {
		return false, nil
	}
	for _, s := range f.elf.Sections {
		if s.Type != elf.SHT_NOTE || s.Name != ".note.gnu.property" {
			continue
		}
		b, err := f.read(s)
		if err != nil {
			return false, err
		}
		if bits, ok := gnuProperty(b, property); !ok || bits&1 != 0 {
			return true, nil
		}
	}
	return false, nil
}

// gnuProperty finds a property of four bytes in the NT_GNU_PROPERTY_TYPE_0 notes (type 5, owner "GNU") of a section, in which notes and properties are aligned
// to 8 bytes (Linux Extensions to gABI, "Program Property"); zero if it is not there. It is false if the section is malformed.
func gnuProperty(b []byte, property uint32) (bits uint32, ok bool) {
	const align = 8
	for len(b) > 0 {
		if len(b) < 16 {
			return 0, false
		}
		name, desc, typ := order.Uint32(b), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		if name != 4 || desc > uint64(len(b)-16) {
			return 0, false
		}
		props, owner := b[16:16+desc], string(b[12:16])
		b = b[min(alignUp(16+desc, align), uint64(len(b))):]
		for typ == 5 && owner == "GNU\x00" && len(props) > 0 {
			if len(props) < 8 {
				return 0, false
			}
			t, size := order.Uint32(props), uint64(order.Uint32(props[4:]))
			if size > uint64(len(props)-8) || t == property && size != 4 {
				return 0, false
			}
			if t == property {
				bits |= order.Uint32(props[8:])
			}
			props = props[min(alignUp(8+size, align), uint64(len(props))):]
		}
	}
	return bits, true
}

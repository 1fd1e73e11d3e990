package image

import (
	"strings"

	"hotpatch/arch"
)

// LinkerSymbol returns the address of what Place.Linker names: a symbol that the linker
// defines, or "section NAME" for the start of a section.
func (im *Image) LinkerSymbol(name string) (arch.ImageAddr, bool) {
	if sec, ok := strings.CutPrefix(name, "section "); ok {
		if s := im.sectionNamed(sec); s != nil {
			return s.Addr, true
		}
		return 0, false
	}
	var at arch.ImageAddr
	found := false
	for addr, names := range im.marks {
		for _, n := range names {
			if n == name && (!found || addr < at) {
				at, found = addr, true
			}
		}
	}
	return at, found
}

package image

import (
	"debug/dwarf"
	"path"
	"slices"
)

// sourceLanguages are those whose compilers tell the source file of every static symbol (DWARF 5, 7.12, table 7.17): versions of C and C++.
var sourceLanguages = [...]int64{0x01, 0x02, 0x04, 0x0c, 0x1a, 0x1d, 0x21, 0x2b, 0x2c}

// NamesStatic reports whether the source of a function can name a static object: both are of one source file, as far as the debug information
// and the symbol table say. It is true where that is not known. Where units were compiled together (LTO), static symbols have no
// source file that is one of the units'.
func (im *Image) NamesStatic(f, object *Atom) bool {
	if !object.Local || object.File == "" {
		return true
	}
	t := &im.lines
	defer t.use()()
	units, err := im.dwarfUnits(f)
	if err != nil || len(units) == 0 {
		return true
	}
	file := path.Base(object.File)
	for _, u := range units {
		language, _ := u.cu.Val(dwarf.AttrLanguage).(int64)
		name := t.sourceName(u)
		if name == "" || name == file || !slices.Contains(sourceLanguages[:], language) {
			return true
		}
	}
	if t.sources == nil {
		t.sources = make(map[string]bool)
		for _, r := range t.units {
			t.sources[t.sourceName(r.unit)] = true
		}
	}
	return !t.sources[file]
}

// sourceName returns the name of a unit's main source file without its directory; "" if it is not known.
func (t *lineTable) sourceName(u *lineUnit) string {
	if u.source == "" {
		if name, err := t.dwarf.String(u.cu, dwarf.AttrName); err == nil && name != "" {
			u.source = path.Base(name)
		}
	}
	return u.source
}

package image

import (
	"debug/dwarf"

	"hotpatch/arch"
)

// EmptyFunction names a function without a byte.
type EmptyFunction struct {
	Addr arch.ImageAddr
	Name string // link name
}

// EmptyFunctions lists the functions without a byte that the debug information describes: their high_pc is their low_pc (DWARF 5, 2.17.2). A
// symbol without a size at another one's address is such a function only if it is among them; else it can be an alias that an
// assembler made. Each call reads the debug information; without any there are none.
func (im *Image) EmptyFunctions() (map[EmptyFunction]bool, error) {
	d, err := im.DWARF()
	if err != nil {
		return nil, err
	}
	found := make(map[EmptyFunction]bool)
	for _, off := range d.Units() {
		if err := d.emptyFunctions(d.Cursor(off), found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// emptyFunctions adds those of one unit.
func (d *DWARF) emptyFunctions(c *Cursor, found map[EmptyFunction]bool) error {
	if _, err := c.Next(); err != nil { // the unit's own entry
		return err
	}
	for depth := 1; depth > 0; {
		e, err := c.Next()
		switch {
		case err != nil:
			return err
		case e == nil:
			return nil
		case e.Tag == 0:
			depth--
			continue
		case e.Tag == dwarf.TagNamespace && e.Children:
			depth++
			continue
		case e.Tag == dwarf.TagSubprogram:
			if err := d.emptyFunction(e, found); err != nil {
				return err
			}
		}
		if err := c.Skip(); err != nil {
			return err
		}
	}
	return nil
}

func (d *DWARF) emptyFunction(e *dwarf.Entry, found map[EmptyFunction]bool) error {
	low, ok := e.Val(dwarf.AttrLowpc).(uint64)
	if !ok {
		return nil
	}
	switch high := e.Val(dwarf.AttrHighpc).(type) {
	case int64: // from low_pc
		ok = high == 0
	case uint64:
		ok = high == low
	default:
		ok = false
	}
	if !ok {
		return nil
	}
	for _, attr := range []dwarf.Attr{dwarf.AttrLinkageName, dwarf.AttrName} {
		name, err := d.String(e, attr)
		if err != nil {
			return err
		}
		if name != "" {
			found[EmptyFunction{arch.ImageAddr(low), name}] = true
			return nil
		}
	}
	return nil
}

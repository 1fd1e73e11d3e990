package patch

import (
	"errors"
	"fmt"
)

// table names a list of a Patch.
type table uint8

const (
	tabIdentity table = iota
	tabSections
	tabRelocs // i: section, j: relocation
	tabSymbols
	tabFuncs
	tabCode
	tabConsts
	tabMoves
	tabReach
	tabSlots
	tabMap
	tabNeeded
	tabChanges
	tabNotes
	tabAcks
	numTables
)

var tableNames = [numTables]string{
	"identity", "section", "relocation of section", "symbol", "function", "code of function", "constant", "moved variable", "reach", "slot", "map entry", "needed library",
	"change", "notes", "acknowledgement",
}

// place is an element of a table.
type place struct {
	table table
	i, j  int
}

// defect is what validate finds: a patch that contradicts itself, wherever it came from.
type defect struct {
	at   place
	name string // of the element, or ""
	msg  string
	val  any
}

// text says what is wrong, without the value.
func (d *defect) text() string {
	s := fmt.Sprintf("%s %d", tableNames[d.at.table], d.at.i)
	if d.name != "" {
		s += fmt.Sprintf(" (%.200q)", d.name)
	}
	if d.at.table == tabRelocs {
		s += fmt.Sprintf(", relocation %d", d.at.j)
	}
	return s + ": " + d.msg
}

func (d *defect) Error() string { return withValue(d.text(), d.val) }

// locator remembers where in the file the elements of a patch were read from.
type locator struct {
	tables [numTables][]int64 // file offset by index
	relocs []int64            // file offset of the .rela section, by payload section
}

func (l *locator) record(t table, off int64) { l.tables[t] = append(l.tables[t], off) }

// formatError turns a defect into an error that names its place in the file.
func (l *locator) formatError(err error) error {
	var d *defect
	if !errors.As(err, &d) {
		return err
	}
	e := &FormatError{Msg: d.text(), Val: d.val}
	switch offs := l.tables[d.at.table]; {
	case d.at.table == tabRelocs && d.at.i < len(l.relocs):
		e.Off = l.relocs[d.at.i] + int64(d.at.j)*relaSize
	case d.at.i < len(offs):
		e.Off = offs[d.at.i]
	}
	return e
}

// Package cfi reads and evaluates call frame information: the .eh_frame section
// of an ELF image.
//
// The section is a list of records. A CIE holds what a group of functions has in
// common; an FDE describes one range of code by a small program, which yields for every
// instruction a [Row]: how to compute the canonical frame address and where the
// caller's registers are. [Row.Step] applies a row to the registers of one
// frame and gives those of its caller.
//
// Sources: Linux Standard Base Core 5.0, chapter 10 (.eh_frame, pointer encodings,
// augmentations); DWARF 5, section 6.4 (call frame instructions) and 2.5
// (expressions); DWARF for the Arm 64-bit Architecture (AADWARF64), section 4.4.
//
// The package is pure: it reads a target's memory through [Memory] only. All input
// counts as hostile: every read is bounded, and an error names the offset in the section
// and the value that was found there.
package cfi

import (
	"fmt"
	"sort"

	"hotpatch/arch"
)

// FormatError says what is wrong with an .eh_frame section, and where.
type FormatError struct {
	Off uint64 // from the start of the section
	Msg string
	Val any // the offending value; nil: there is none
}

func (e *FormatError) Error() string {
	if e.Val == nil {
		return fmt.Sprintf("eh_frame offset %#x: %s", e.Off, e.Msg)
	}
	if s, ok := e.Val.(string); ok {
		return fmt.Sprintf("eh_frame offset %#x: %s: %q", e.Off, e.Msg, s)
	}
	return fmt.Sprintf("eh_frame offset %#x: %s: %#x", e.Off, e.Msg, e.Val)
}

// Table is the .eh_frame section of one image. It is immutable and may be used
// by several goroutines at once.
type Table struct {
	sec  section
	fdes []*FDE // in increasing Start order, none empty

	// reach[i] is the greatest End of fdes[:i+1]. It is nil if no two FDEs
	// overlap, which is so in every file that a linker wrote without a mistake.
	reach []arch.ImageAddr
}

// CIE is a common information entry.
type CIE struct {
	Off, Len        uint64 // of the record in the section, with its length field
	Version         uint8  // 1, 3 or 4
	Augmentation    string // as in the file: "zPLR"
	CodeAlign       uint64 // factor of advances
	DataAlign       int64  // factor of offsets
	RA              int    // return address column: arch.DWARF.RA, or where calls put it into a register also another one
	SignalFrame     bool   // 'S': the caller was interrupted, not calling
	BKey            bool   // 'B': return addresses are signed with the B key (arm64)
	FDEEnc, LSDAEnc byte   // DW_EH_PE_*; encOmit where there is none
	PersonalityEnc  byte

	Personality         arch.ImageAddr // zero: none
	PersonalityIndirect bool           // Personality is that of a slot that holds the routine's address

	table       *Table
	prog, end   uint64 // initial instructions: offsets in the section
	personality PtrField
	initial     Row
}

// FDE is a frame description entry: the call frame information of one range of code.
type FDE struct {
	Start, End arch.ImageAddr
	LSDA       arch.ImageAddr // language specific data (exception table); zero: none
	Off, Len   uint64         // of the record in the section, with its length field
	CIE        *CIE

	Personality         arch.ImageAddr // as in CIE
	PersonalityIndirect bool
	LSDAIndirect        bool // LSDA is that of a slot that holds the address
	SignalFrame         bool // as in CIE

	body, prog, end uint64 // offsets in the section: of the start address, of the instructions, of what follows
}

// FDEs returns the table's entries in increasing Start order. Entries that cover no
// address are left out. The caller must not change the slice.
func (t *Table) FDEs() []*FDE { return t.fdes }

// Find returns the FDE that covers pc, or nil. It is nil as well where
// several FDEs that differ cover pc: nothing says which of them is right.
func (t *Table) Find(pc arch.ImageAddr) *FDE {
	i := sort.Search(len(t.fdes), func(i int) bool { return t.fdes[i].Start > pc }) - 1
	if i < 0 {
		return nil
	}
	if t.reach == nil {
		if f := t.fdes[i]; pc < f.End {
			return f
		}
		return nil
	}
	var found *FDE
	for ; i >= 0 && t.reach[i] > pc; i-- {
		f := t.fdes[i]
		if pc >= f.End {
			continue
		}
		if found != nil && !found.equal(f) {
			return nil
		}
		found = f
	}
	return found
}

// equal reports whether two FDEs give the same rows for the same addresses.
func (f *FDE) equal(g *FDE) bool {
	return f.Start == g.Start && f.End == g.End && f.LSDA == g.LSDA && f.CIE == g.CIE &&
		string(f.CIE.table.sec.data[f.prog:f.end]) == string(g.CIE.table.sec.data[g.prog:g.end])
}

// Bytes returns the record with its length field. The four bytes behind the length
// field (eight behind a 12-byte one) are the distance from themselves back to the CIE;
// who copies the record must write them anew. The caller must not change the slice.
func (f *FDE) Bytes() []byte { return f.CIE.table.sec.data[f.Off : f.Off+f.Len] }

// Bytes returns the record with its length field. The caller must not change the slice.
func (c *CIE) Bytes() []byte { return c.table.sec.data[c.Off : c.Off+c.Len] }

// PtrKind says what a pointer field of a record names.
type PtrKind uint8

const (
	PtrNone        PtrKind = iota
	PtrStart               // FDE.Start
	PtrLSDA                // FDE.LSDA
	PtrPersonality         // CIE.Personality
	PtrSetLoc              // operand of DW_CFA_set_loc
)

// PtrField is a field of a record that holds an address, in one of the encodings
// DW_EH_PE_*. A record that is copied to another place needs these relocated.
type PtrField struct {
	Kind  PtrKind
	Enc   byte           // DW_EH_PE_*
	Off   uint64         // in the record, from the first byte of its length field
	Size  int            // bytes
	Value arch.ImageAddr // what it means; zero: null pointer. With encIndirect it is that of a slot
}

// PtrFields returns the fields of the record that hold addresses. Null pointers are
// left out. It is an error if the record's program is malformed or holds an address in
// a form that cannot be relocated (DW_OP_addr).
func (f *FDE) PtrFields() ([]PtrField, error) {
	a, err := f.CIE.address(f.body, f.end)
	if err != nil {
		return nil, err
	}
	a.start.Off -= f.Off
	fields := []PtrField{a.start}
	if a.lsda.Value != 0 {
		a.lsda.Off -= f.Off
		fields = append(fields, a.lsda)
	}
	return progPtrFields(fields, f.CIE, f.Off, f.prog, f.end)
}

// PtrFields is [FDE.PtrFields] for a CIE.
func (c *CIE) PtrFields() ([]PtrField, error) {
	var fields []PtrField
	if c.personality.Value != 0 {
		fields = append(fields, c.personality)
	}
	return progPtrFields(fields, c, c.Off, c.prog, c.end)
}

// progPtrFields appends the addresses in the program [prog, end) of the record at rec.
func progPtrFields(fields []PtrField, c *CIE, rec, prog, end uint64) ([]PtrField, error) {
	r := c.table.sec.reader(prog, end)
	for !r.done() {
		in := r.inst(c)
		switch {
		case r.err != nil:
			return nil, r.err
		case in.op == cfaSetLoc && in.ptr.Value != 0:
			in.ptr.Kind = PtrSetLoc
			in.ptr.Off -= rec
			fields = append(fields, in.ptr)
		case in.expr.len > 0:
			if err := c.table.sec.exprHasAddr(in.expr); err != nil {
				return nil, err
			}
		}
	}
	return fields, nil
}

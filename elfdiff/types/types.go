// Package types reads the types of one build from its DWARF data, compares those of two builds, and says which variables and functions
// a type concerns.
//
// # The data flow
//
//	cursor.go, forms.go   bytes to attribute values (DWARF 5, 7.5)
//	abbrev.go, unit.go    abbreviations, unit headers
//	collect.go, fill.go   the entries of a unit that matter, as nodes
//	intern.go, content.go nodes to types, each distinct one once
//	function.go           variables with storage, functions with the types that they name
//	files.go, ranges.go   declaration files, entry addresses
//	plan.go, twins.go     units of two builds, entry by entry, without making types of them
//	difference.go         two builds, as far as their units differ
//	compare.go            types of two builds, joined by name
//	move.go               what moved in a layout
//	same.go               types under different names of the same layout
//	reach.go, text.go     what contains or points to a type; types as C writes them
//
// A file of ordinary units, each of which refers to entries of its own only, is read unit by unit: what is kept is in
// proportion to the distinct types and not to the file. Where units refer to each other (link-time optimisation, dwz) all of them
// are held at once.
//
// Most units are the same in two builds of a program. [ReadDifference] finds those by going through both at once, and reads the others; where these
// define the same types, no type changed.
//
// # Names
//
// A struct, union, class or enum is known by its qualified name, without its keyword. A type without a name goes by
// that of its typedef. C has types of one name in several units: all layouts under one name are kept, with the file that declares
// them. Whatever refers to a name refers to all of its layouts. Typedefs and qualifiers (const, volatile, ...) are looked
// through.
//
// The data is not trusted. The errors of reading are [*FormatError]; work and memory are bounded by a multiple of the sections' size.
package types

import (
	"fmt"
	"sort"
)

// Sections are the debug sections of one file, uncompressed; those that the file does not have are empty.
// They are read, never written to.
type Sections struct {
	Info, Abbrev, Str, LineStr, StrOffsets, Addr, Line, Ranges, RngLists string
	Types                                                                string    // .debug_types of DWARF 4
	Alt                                                                  *Sections // of the file that .gnu_debugaltlink names; nil: there is none
}

// FormatError says what is wrong in a debug section, and where.
type FormatError struct {
	Section string
	Off     uint64 // in the section
	Msg     string
	Val     uint64 // the offending value
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: offset %#x: %s: %#x", e.Section, e.Off, e.Msg, e.Val)
}

// ID names a type of one build: an index in Build.types. 0 is void.
type ID int32

// Kind is the form of a type.
type Kind uint8

const (
	Void      Kind = iota
	Base           // a number, a character, a truth value
	Pointer        // pointers and references
	Member         // C++: pointer to member
	Array          // of a fixed or unknown number of elements
	Function       // a prototype
	Named          // struct, union, class or enum with a name
	Anonymous      // one without
	Other          // of a language that is not known here: equal if its name and size are
)

// Unknown is the number of elements of an array that has no bound, and the offset of a member that is not constant.
const Unknown = ^uint64(0)

// typ is one distinct type.
type typ struct {
	kind     Kind
	enc      uint8   // Base: DW_ATE_*; Pointer: 0, or 1 of a reference
	variadic bool    // Function
	name     string  // Base and Other
	size     uint64  // bytes
	count    uint64  // Array
	elem     ID      // Pointer, Member, Array; Function: what it returns
	params   []ID    // Function
	named    int32   // Named: index in Build.named
	layout   *Layout // Anonymous
}

// Name is a struct, union, class or enum with its layouts.
type Name struct {
	Qualified string
	Keyword   string // "struct", "union", "class", "enum"; "" for a type that has its typedef's name
	Layouts   []*Layout
}

// Title is the name as people write it.
func (n *Name) Title() string {
	if n.Keyword == "" {
		return n.Qualified
	}
	return n.Keyword + " " + n.Qualified
}

// Layout is the definition of a struct, union, class or enum.
type Layout struct {
	File    string // base name of the file that declares it, or ""
	Line    uint64
	Unit    string // base name of the unit's source
	Enum    bool
	Size    uint64 // bytes
	Fields  []Field
	Slots   []Slot
	Numbers []Enumerator
}

// Field is a data member or a base class.
type Field struct {
	Name    string // "" of an anonymous struct or union; of a base class its type's name
	Offset  uint64 // bits from the start; Unknown for a virtual base
	Bits    uint64 // of a bit-field; 0 otherwise
	Type    ID
	Base    bool
	Variant string // Rust: the value of the discriminant for which the member exists, or ""
}

// Slot is a virtual function and its place in the vtable.
type Slot struct {
	Index uint64
	Name  string // link name if there is one
}

// Enumerator is a named number.
type Enumerator struct {
	Name  string
	Value int64
}

// Variable is a variable with static storage.
type Variable struct {
	Name string
	Addr uint64 // image address; of a thread-local one the offset in the template
	TLS  bool
	Type ID
}

// Use says how a function names a type.
type Use uint8

const (
	UseLocal  Use = 1 << iota // a local variable
	UseParam                  // a parameter, of itself or of what is inlined
	UseReturn                 // what it returns
	UseStatic                 // a variable of its own with static storage
)

// Mention is a type that a function names.
type Mention struct {
	Type ID
	Use  Use
}

// Func is a function with code.
type Func struct {
	Name     string
	Addr     uint64 // image address of the entry
	Proto    ID     // of kind Function
	Mentions []Mention
}

// Build is what the debug sections of one build say about types.
type Build struct {
	Funcs     []Func      // by Addr
	Variables []Variable  // in the order of the file
	Covered   [][2]uint64 // addresses of the code of units that describe types: starts and ends, by start
	Units     int         // compilation units
	Skeletons int         // units whose content is in another file (.dwo) and was not read

	types  []typ
	named  []*Name
	byName map[string]int32
}

// Names returns the number of named types that have a definition.
func (b *Build) Names() int {
	n := 0
	for _, x := range b.named {
		if len(x.Layouts) > 0 {
			n++
		}
	}
	return n
}

// Name returns the named type, or nil.
func (b *Build) Name(qualified string) *Name {
	if i, ok := b.byName[qualified]; ok {
		return b.named[i]
	}
	return nil
}

// All returns every named type that has a definition, in the order of the file.
func (b *Build) All() []*Name {
	var out []*Name
	for _, x := range b.named {
		if len(x.Layouts) > 0 {
			out = append(out, x)
		}
	}
	return out
}

// Covers reports whether the code at an image address is that of a unit which describes its types.
func (b *Build) Covers(addr uint64) bool {
	i := sort.Search(len(b.Covered), func(i int) bool { return b.Covered[i][0] > addr })
	return i > 0 && addr < b.Covered[i-1][1]
}

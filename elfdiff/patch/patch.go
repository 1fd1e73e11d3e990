// Package patch defines the patch: what a diff found, in a form that can be
// written to a file, read back and linked for one place in one process.
//
// A patch file is a relocatable ELF object (ET_REL). Its payload (new functions,
// new data) is held in ordinary sections with ordinary relocations, so that
// readelf and objdump show it; what is our own stands in sections whose name
// begins with ".hotpatch.". The package is pure: it reads and writes bytes and
// computes addresses, but does not touch a process.
//
// # Identity of code and data
//
// The address of a function is its address in the image that first had it, for
// ever. So every reference from a payload to a function or object that the
// running image has is a [SymImage] symbol, also when the function is replaced by this
// very patch: calls go through the entry of version 0 and the jump there. Only added
// functions and new data are defined ([SymDefined]) in the payload.
package patch

import (
	"debug/elf"
	"encoding/hex"
	"fmt"

	"hotpatch/arch"
)

// FormatVersion is the version of the patch file that this package writes.
const FormatVersion = 5

// ID identifies a patch: the SHA-256 of its content, acknowledgements aside.
type ID [32]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes an ID as it is printed.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what MarshalText has written.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("patch id of %d digits", len(b))
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// Short returns the abbreviated form that people type.
func (id ID) Short() string { return id.String()[:12] }

// Build identifies one linked image.
type Build struct {
	ID         []byte // GNU build-id, or SHA-256 of the allocated sections where there is none (see HasBuildID)
	HasBuildID bool
	Name       string // base name of the file
	Type       elf.Type
	SONAME     string
}

// Patch is the change from one build to another.
//
// All slices are in a fixed, documented order, so that equal inputs give equal bytes.
type Patch struct {
	Machine  elf.Machine
	Old, New Build

	Sections []Section  // payload, in file order
	Symbols  []Symbol   // referred to by index
	Funcs    []Func     // changed, added and removed functions, by old address, then added by name
	Consts   []Const    // named constants that are renewed in place, by address
	Moves    []Move     // variables that get a new place, by old address
	Reach    Reach      // what the code leads to, for a revert in the middle of a chain
	Slots    []Slot     // slots of the old image that the payload uses, for translation between builds
	Map      []MapEntry // the new build's atoms, by New; lets a later patch be bound through this one
	Needed   []string   // DT_NEEDED of the new build: where new imports may be found
	Changes  []Change   // the report: everything that differs, in the patch or not
	Notes    []Notes    // for listings: by function, old before new, by part
	Acks     []Ack      // given acknowledgements; not part of the ID
}

// Kind is what a payload section holds; it decides its page protection.
type Kind uint8

const (
	Text    Kind = iota // r-x
	ROData              // r--
	Data                // rw-
	BSS                 // rw-, zero
	EHFrame             // r--, call frame information of the payload's functions
)

// Section is a section of the payload.
type Section struct {
	Name   string // ".text.NAME", ".rodata.N", ".data.NAME", ".bss.NAME", ".eh_frame"
	Kind   Kind
	Align  uint64
	Data   []byte  // nil for BSS
	Size   uint64  // = len(Data) but for BSS
	Relocs []Reloc // by Off
}

// Reloc is a relocation of a payload section.
type Reloc struct {
	Off    uint64 // in the section
	Type   uint32 // ELF relocation type of the machine
	Sym    int    // index in Patch.Symbols
	Addend int64
}

// SymKind says how a symbol gets its address.
type SymKind uint8

const (
	SymDefined SymKind = iota // in a section of the payload
	SymImage                  // in the old image: Value is an arch.ImageAddr there
	SymImport                 // found by the dynamic linker's rules in another module
)

// Symbol is a symbol of the patch.
type Symbol struct {
	Name    string
	Kind    SymKind
	Section int    // SymDefined: index in Patch.Sections
	Value   uint64 // SymDefined: offset in the section. SymImage: image address in the old build
	Size    uint64
	Func    bool
	Local   bool   // STB_LOCAL in its build
	Version string // SymImport: required symbol version, or ""
	Weak    bool   // SymImport: may be absent (address 0)
}

// How says what happens to a function.
type How uint8

const (
	Changed How = iota // old and new body
	Added              // new body only
	Removed            // old body only: counts as replaced in the activeness check
)

// Func is a function of the function table.
type Func struct {
	Name string // link name, as in the new build (removed: old)
	File string // source file of a local symbol, or ""
	How  How
	Old  []Part // Changed, Removed: entry part first, then .cold and .part ones
	New  int    // Changed, Added: index of the symbol of the new body; else -1
	Jump Site   // Changed: where the jump goes

	OldCode, NewCode Code
}

// Part is one contiguous piece of an old function.
type Part struct {
	Name   string
	Addr   arch.ImageAddr // in the old build
	Size   uint64
	Hash   [32]byte // SHA-256 of the bytes as they are in the file
	Bytes  []byte   // as they are in the file
	Fields []Field  // reference fields, by Off: bytes that differ where the same code is linked elsewhere
}

// Field is a range of bytes in a Part.
type Field struct {
	Off  uint32
	Size uint8
}

// Site is where a jump may be placed in an old function.
type Site struct {
	Off  uint32 // from the function's entry: behind a landing pad
	Room uint32 // bytes that may be overwritten from Off on, including Pad; 0: no room, see Change
	Pad  []byte // the padding behind the function's end that counts in Room, as it is in the file

	// Take is how many bytes from Off on are the instructions that the jump touches, which can run elsewhere as well ([arch.Jump.Move]), because
	// nothing but a call of the function leads to them. Zero: they cannot, and Fixed says why.
	Take  uint8
	Fixed string
}

// Const is a named constant that is given new content where it is.
type Const struct {
	Name   string
	File   string
	Addr   arch.ImageAddr // in the old build
	Old    []byte         // as in the file; relocated fields are listed in Fields
	New    Ref            // the new content: a payload ROData section of the same size, relocated, that is copied over the old
	Fields []Field        // pointer fields of Old, which the dynamic linker relocates
	// Readers are the old functions that refer to the constant directly: they count as replaced in the check.
	Readers []Part
}

// Move is a variable of the old build that gets a new place in the payload, because it grew or because the old place does not suit
// the new code. When the patch is committed, the first Keep bytes of the new place become what the old one holds then; the rest is
// as the payload has it. Nothing in the patch refers to the old place any more. A revert carries the bytes back.
type Move struct {
	Name string         // link name in the new build
	File string         // source file of a local symbol, or ""
	Old  arch.ImageAddr // in the old build
	Size uint64         // bytes at the old place
	Keep uint64         // bytes that are copied: at most Size, and at most the new size
	New  int            // index of the symbol of the new place, which fills a Data or BSS section
}

// Ref names a payload section.
type Ref struct{ Section int }

// Slot is a GOT slot of the old image that the payload refers to through a
// SymImage symbol of the same index order.
type Slot struct {
	Name string // symbol that the slot is for
	Type uint32 // its dynamic relocation type (GLOB_DAT, JUMP_SLOT, TPOFF64, ...)
	Addr arch.ImageAddr
}

// MapEntry says where an atom of the new build is once the patch is applied.
type MapEntry struct {
	New  arch.ImageAddr // in the new build
	Size uint64
	Old  arch.ImageAddr // in the old build, if Sym < 0
	Sym  int            // index of the payload's symbol, or -1
}

// Verdict is the judgement of a change.
type Verdict string

const (
	OK      Verdict = "ok"
	NeedAck Verdict = "ack"
	Refused Verdict = "refused"
)

// Change is one line of the report.
type Change struct {
	What    string   `json:"what"` // function, object, type, import
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Change  string   `json:"change"` // changed, added, removed, line
	Reasons []Reason `json:"reasons"`
	Verdict Verdict  `json:"verdict"`
	Ack     string   `json:"ack,omitempty"` // the ID to give the word for, if Verdict is ack
	Why     string   `json:"why,omitempty"` // of an ack or a refusal: what was found and what would help; and what begins with StaysBusy
	Old     *Extent  `json:"old,omitempty"`
	New     *Extent  `json:"new,omitempty"`
}

// Extent is where something is in its build.
type Extent struct {
	Addr arch.ImageAddr `json:"address"`
	Size uint64         `json:"size"`
}

// Ack is an acknowledgement that a user gave.
type Ack struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Date string `json:"date"` // RFC 3339
}

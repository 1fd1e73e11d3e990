package patch

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// The patch file, format version 5
//
// A little-endian ELF64 file of type ET_REL. The sections, in this order:
//
//	null
//	.text.* .rodata* .data* .bss* .eh_frame   the payload, Patch.Sections in order
//	.rela.NAME                                for each of them that has relocations, in the same order
//	.hotpatch.identity                        fixed part (below), then the two builds
//	.hotpatch.funcs                           the function table
//	.hotpatch.bodies                          old bytes: of each Part of the function table, then of each reader of .hotpatch.consts
//	.hotpatch.code                            what its functions' bodies do, old and new
//	.hotpatch.consts                          constants renewed in place
//	.hotpatch.moves                           variables that get a new place
//	.hotpatch.reach                           what its code leads to
//	.hotpatch.slots                           slots of the old image
//	.hotpatch.map                             the new build's atoms
//	.hotpatch.needed                          DT_NEEDED of the new build
//	.hotpatch.changes                         the report
//	.hotpatch.notes                           operands by name and source lines, for listings
//	.hotpatch.acks                            acknowledgements; empty if there are none
//	.symtab .strtab .shstrtab
//
// The section header table is last. A symbol of the running image is SHN_ABS with its
// address in the old build; an import is SHN_UNDEF and named NAME or
// NAME@VERSION; everything else is defined in a payload section.
//
// The fixed part of .hotpatch.identity has the same place in every version of
// the format: the 8 bytes "HOTPATCH", the format version (4 bytes) and the patch ID (32 bytes).
// Everything else of our own is written with [encoder]: unsigned and zigzag varints
// as in encoding/binary, strings and byte strings behind their length, lists behind their count.
//
// The patch ID is the SHA-256 of the file as it would be without acknowledgements and with
// zeros in place of the ID. There is exactly one file for a patch: [Decode] writes what it has read
// once more and compares.
//
// The names .hotpatch.hooks and .hotpatch.transform are kept for functions that run
// around the commit and for conversions of live objects. A file of this version never has
// them, and a reader of this version refuses one that does.
const (
	fixedMagic   = "HOTPATCH"
	fixedVersion = len(fixedMagic)  // offset of the format version
	fixedID      = fixedVersion + 4 // offset of the patch ID
	fixedLen     = fixedID + len(ID{})
)

// The names of our own sections, in file order.
const (
	nameIdentity = ".hotpatch.identity"
	nameFuncs    = ".hotpatch.funcs"
	nameBodies   = ".hotpatch.bodies"
	nameConsts   = ".hotpatch.consts"
	nameMoves    = ".hotpatch.moves"
	nameCode     = ".hotpatch.code"
	nameReach    = ".hotpatch.reach"
	nameSlots    = ".hotpatch.slots"
	nameMap      = ".hotpatch.map"
	nameNeeded   = ".hotpatch.needed"
	nameChanges  = ".hotpatch.changes"
	nameNotes    = ".hotpatch.notes"
	nameAcks     = ".hotpatch.acks"

	// Kept for later versions.
	nameHooks     = ".hotpatch.hooks"
	nameTransform = ".hotpatch.transform"
)

// MaxFile is the largest size of a patch file, in bytes. A reader of files need not read further.
const MaxFile = 256 << 20

// Limits on what a file may ask for. They are far above what a real patch
// needs (the largest of 179 security fixes changes 324 functions) and keep a hostile file
// from costing more memory than a small multiple of its own size.
const (
	maxPayload  = 512 << 20 // bytes of a linked payload
	maxSections = 30000     // payload sections; each may have a .rela section, and SHN_LORESERVE is 0xff00
	maxSymbols  = 1 << 20
	maxFuncs    = 1 << 18
	maxTake     = 64 // bytes of first instructions: less than a jump and one instruction more
	maxParts    = 64 // parts of one function, readers of one constant times as many
	maxReaders  = 1 << 16
	maxFields   = 1 << 20 // reference fields of one part
	maxConsts   = 1 << 18
	maxMoves    = 1 << 16
	maxReach    = 1 << 22
	maxInlined  = 1 << 18
	maxSlots    = 1 << 18
	maxMap      = 1 << 22
	maxNeeded   = 1 << 12
	maxChanges  = 1 << 20
	maxReasons  = 1 << 12 // reasons of one change
	maxAcks     = 1 << 16
	maxString   = 1 << 20 // bytes of one string; names of C++ templates are long
	maxReport   = 32 << 20
	maxAlign    = 4096
	maxBuildID  = 64
)

// FormatError says where a patch file is wrong.
type FormatError struct {
	Off int64  // offset in the file
	Msg string // what is wrong there
	Val any    // the value that was found, or nil
}

func (e *FormatError) Error() string {
	return withValue(fmt.Sprintf("patch file: offset %#x: %s", e.Off, e.Msg), e.Val)
}

// maxShown is how much of a string from a file an error shows.
const maxShown = 200

// withValue appends the value that was found to a message. Strings are quoted: they come from
// a file that may be hostile, and errors go to terminals.
func withValue(msg string, val any) string {
	switch v := val.(type) {
	case nil:
		return msg
	case string:
		return fmt.Sprintf("%s: %.*q", msg, maxShown, v)
	case uint64:
		return fmt.Sprintf("%s: %#x", msg, v)
	default:
		return fmt.Sprintf("%s: %v", msg, v)
	}
}

// badString says what is wrong with a string of a patch, or "". Control characters
// are refused because names and reasons are printed on terminals.
func badString(s string) string {
	if len(s) > maxString {
		return "string is too long"
	}
	if !utf8.ValidString(s) {
		return "string is not UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return "string has a control character"
		}
	}
	return ""
}

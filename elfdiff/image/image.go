// Package image reads one linked build: an ELF executable or shared library
// together with its separate debug file, if it has one.
//
// [Load] turns the file into atoms (functions and data objects with a name, a scope
// and a range), the meaning of PLT stubs and GOT slots, dynamic relocations and call
// frame information. [Image.Body] decodes one function: its instructions, every
// field of them that names a place, its jump tables, and what could not be decoded.
//
// # From the reference forward
//
// A reference is resolved from its field forward. The address that a field yields is
// looked up among the ranges of the image, and the answer says how sure it is:
// Place.Proven is set where the relocation is known, where the memory access lies
// within the atom, or where the address is one that only that place can have. An address that could also
// belong to a neighbour (one past the end of an array, one before the start) has more than one
// candidate, see [Place].
//
// The package is pure but for reading the files that it is given. Nothing in a file is trusted:
// whatever contradicts itself or the file's size is a [*FormatError].
//
// # Hostile files
//
// Loading a file takes memory in proportion to its size, whatever it claims: at most 64 times the size and 32 MiB
// (memoryFactor, memorySlack). Of these, contents as stored count at most 4 times (readFactor), decompressed ones 16 times (inflateFactor).
// Reading debug information, which happens when it is asked for, has the same bound for what it keeps. The time of each step is
// linear in what it reads; where the format lets records share texts, tables or ranges, what they add up to is bounded as well.
package image

import (
	"debug/elf"
	"sync"
	"time"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Bounds of what loading a file allocates.
const (
	memoryFactor = 64       // times the file's size
	memorySlack  = 32 << 20 // bytes; a decompressor's window is 8 MiB
)

// Options says where to look for what the file itself does not hold.
type Options struct {
	// Debug is the path of the separate debug file. If empty, the file's own symbols
	// are used, else the debug file is searched by build-id and .gnu_debuglink.
	Debug string
	// DebugRoots are the directories of separate debug files; nil means [DebugRoot].
	DebugRoots []string
	// DebugCaches are directories of debuginfod's client, which are read and never filled; nil means the user's.
	DebugCaches []string
	// Phase is called at the end of each phase of loading, if it is not nil.
	Phase func(name string, d time.Duration)
}

// Image is one linked build. It is read-only after Load, and its methods may be
// called concurrently.
type Image struct {
	Path      string // of the file
	DebugPath string // of the file that the symbols are from, or the user's word for debug information, if it is another
	// FuncsOnly is set if the symbols are those of .gnu_debugdata and .dynsym: variables that are not exported have no names.
	FuncsOnly bool
	Arch      *arch.Arch
	Type      elf.Type // ET_EXEC or ET_DYN
	PIE       bool     // ET_DYN that is a program, not a library

	// BuildID is the GNU build-id, or, if HasBuildID is false, the SHA-256 of the
	// allocated sections (names, addresses and contents).
	BuildID    []byte
	HasBuildID bool
	SONAME     string
	Needed     []string // DT_NEEDED, in order
	Compilers  string   // what .comment says: the compilers of all objects, and perhaps the linker; "" if there is no such section

	Sections []*Section // allocated sections by Addr; TLS .tbss may overlap what follows
	Atoms    []*Atom    // by Addr, then by Size (largest first), then by Name
	Imports  []*Import  // what GOT slots and PLT stubs lead to, by ID
	CFI      *cfi.Table // of .eh_frame; empty, never nil, if there is none
	TLS      TLS

	TextRel      bool             // DT_TEXTREL: text is relocated at run time
	Constructors []arch.ImageAddr // .preinit_array and .init_array entries, in order; crt's own left out
	Destructors  []arch.ImageAddr // .fini_array entries, likewise
	Guarded      bool             // indirect branches may arrive at landing pads only; see guard.go
	HasRelocs    bool             // linked with --emit-relocs: references are proven

	// CanUnwind reports whether an exception or a forced unwind may cross functions of the image, as
	// far as the file shows; UnwindWhy names what shows it.
	CanUnwind bool
	UnwindWhy string

	segments []segment
	relRO    [2]uint64 // PT_GNU_RELRO: its start and end, as addresses
	index    index
	dyn      dynamic
	slots    map[arch.ImageAddr]*Import
	stubs    map[arch.ImageAddr]*Import
	// stubRange holds the start of the first section of stubs and the end of the last.
	stubRange [2]arch.ImageAddr
	links     []LinkReloc // by Addr
	marks     marks
	places    refIndex
	changes   changes // where addresses are made in pieces
	returns   returns // the same
	crossing  crossing
	mapping   mapping
	veneers   []Veneer // by Site
	bodies    bodyCache
	derefs    sync.Map // of derefKey: []int64
	lines     lineTable

	options   Options
	debugLink debugLink
}

// Section is an allocated section of the image.
type Section struct {
	Name  string
	Addr  arch.ImageAddr
	Size  uint64
	Align uint64
	Type  elf.SectionType
	Flags elf.SectionFlag
	Data  []byte // contents in the file, as Bytes has them; nil for NOBITS
	RelRO bool   // in PT_GNU_RELRO: written only by the dynamic linker
}

// End is the address behind the section's last byte.
func (s *Section) End() arch.ImageAddr { return s.Addr + arch.ImageAddr(s.Size) }

// Exec reports whether the section holds code.
func (s *Section) Exec() bool { return s.Flags&elf.SHF_EXECINSTR != 0 }

// Writable reports whether the running program may write to the section (RELRO
// sections are not writable).
func (s *Section) Writable() bool { return s.Flags&elf.SHF_WRITE != 0 && !s.RelRO }

// IsTLS reports whether the section is part of the TLS template.
func (s *Section) IsTLS() bool { return s.Flags&elf.SHF_TLS != 0 }

// NoBits reports whether the section has no contents in the file.
func (s *Section) NoBits() bool { return s.Data == nil }

// TLS describes the image's thread-local storage template (PT_TLS).
type TLS struct {
	Addr     arch.ImageAddr
	FileSize uint64
	MemSize  uint64
	Align    uint64
}

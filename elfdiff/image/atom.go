package image

import (
	"debug/elf"

	"hotpatch/arch"
)

// AtomKind says what an atom is.
type AtomKind uint8

const (
	Func      AtomKind = iota // a function, or a .cold or .part piece of one
	Object                    // data
	TLSObject                 // thread-local data; Addr is in the TLS template
	IFunc                     // STT_GNU_IFUNC: the resolver's code
	Code                      // made by the linker or part of the C runtime's start files; never compared
)

func (k AtomKind) String() string {
	return [...]string{"function", "object", "tls object", "ifunc", "linker code"}[k]
}

// Atom is a function or data object: a range of the image with one or more names.
// All symbols with the same address and size are names of one atom.
type Atom struct {
	ID      int    // index in Image.Atoms
	Name    string // stands for the atom: one with a size, global before weak before local, the first by spelling
	Aliases []string
	// Syms are all names with their scopes, Name's first, the others by scope and spelling.
	Syms  []Symbol
	File  string // source file of a local Name (STT_FILE); "" for global ones and where the file does not say
	Local bool   // Name has local scope. Hidden global symbols count as global where the file shows it.
	Kind  AtomKind

	Addr    arch.ImageAddr
	Size    uint64   // bytes; 0 only for labels that nothing bounds
	Section *Section // nil for a thread-local label at the end of the template

	Parent *Atom   // of a .cold or .part atom: the function that it belongs to
	Parts  []*Atom // of a parent: its .cold and .part atoms, by Addr

	Dynamic bool   // some name is in .dynsym (preemptible in a shared library unless its visibility says otherwise)
	Weak    bool   // Name is a weak symbol
	Version string // of the dynamic symbol, if it has one
	Copy    bool   // target of a COPY relocation: the definition's initial value is another module's

	SizeFrom string // "symbol"; "eh_frame", "next symbol" or "section end" for a symbol without a size
	SizeNote string // how .eh_frame contradicts the symbol; "" if it does not
	CRT      bool   // Kind is Code or Object, and the atom belongs to the C runtime's start files

	untyped bool // all symbols are STT_NOTYPE
}

// Symbol is one name of an atom.
type Symbol struct {
	Name   string
	File   string // of a local symbol: the STT_FILE in front of it
	Local  bool
	Weak   bool
	Hidden bool // STV_HIDDEN or STV_INTERNAL, or made local by the linker for that reason

	// Empty is set for a function without a byte (llvm_unreachable is all that clang saw in it): it begins where something else does,
	// and has that for an atom. An assembler's function that gives no size looks the same, if it is another name of one that does.
	Empty bool

	label bool // has no size of its own
}

// End is the address behind the atom's last byte.
func (a *Atom) End() arch.ImageAddr { return a.Addr + arch.ImageAddr(a.Size) }

// unit returns the whole function that a belongs to: the atom with the entry first, then its parts.
func (a *Atom) unit() []*Atom {
	head := a
	if a.Parent != nil {
		head = a.Parent
	}
	return append([]*Atom{head}, head.Parts...)
}

// head returns the atom that holds the entry of the function that a belongs to.
func (a *Atom) head() *Atom {
	if a.Parent != nil {
		return a.Parent
	}
	return a
}

// IsCode reports whether the atom's bytes are instructions.
func (a *Atom) IsCode() bool { return a.Kind == Func || a.Kind == IFunc || a.Kind == Code }

// Import is a symbol that another module may define.
type Import struct {
	ID      int // index in Image.Imports; without meaning for one that is not listed there, such as that of a word of data
	Name    string
	Version string // required version, or ""
	Weak    bool
	Func    bool           // STT_FUNC, or called through a stub
	Kind    arch.DynKind   // of the dynamic relocation that fills Slot
	Slot    arch.ImageAddr // of the GOT slot; 0 if the reference does not go through one
	// Local is the atom that the slot leads to if this very image defines the symbol (a preemptible symbol of a shared
	// library, or an IRELATIVE slot's resolver); nil otherwise.
	Local *Atom
}

// DynReloc is a word of data that the dynamic linker relocates.
type DynReloc struct {
	Addr       arch.ImageAddr
	Addend     int64  // RELATIVE: the image address that is stored
	*DynSymbol        // without a name for RELATIVE and IRELATIVE; never nil
	Type       uint32 // zero for a packed one (SHT_RELR)
	Kind       arch.DynKind
	Size       uint8 // bytes that are written; 0 for COPY
}

// DynSymbol is an entry of .dynsym.
type DynSymbol struct {
	Sym     string // its name
	Version string
	SymDef  arch.ImageAddr // its value, if this image defines it
	Defined bool           // SymDef is valid
	Weak    bool
	Func    bool

	typ  elf.SymType
	bind elf.SymBind
	size uint64
}

// LinkReloc is a relocation that --emit-relocs kept.
type LinkReloc struct {
	Addr           arch.ImageAddr // of the field
	Type           uint32
	arch.LinkReloc        // what the type stands for
	Sym            string // "" for a section symbol
	Value          arch.ImageAddr
	Addend         int64
	// Section is set where the relocation names a section symbol or a compiler's own label (.L*): Value then
	// says only an address, not an object.
	Section bool
	TLS     bool
	Undef   bool
	// Number is set for words of a program that is linked for a fixed address and has no such relocations: the word looks like the
	// address Value, but could hold a number.
	Number bool
}

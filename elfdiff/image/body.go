package image

import (
	"slices"
	"sort"

	"hotpatch/arch"
)

// Body is one decoded atom of code. It must not be changed.
type Body struct {
	Atom    *Atom
	Code    []byte    // the atom's bytes; shared with the file
	Insts   []Inst    // by Off
	Refs    []Ref     // by Inst, then by Off
	Pages   []PageUse // by Ref
	Tables  []*JumpTable
	Escapes []Escape
	Gaps    []Range // bytes that are in no instruction, by Off

	// Indirect are the indices of indirect jumps (Insts) without a jump table: tail
	// calls through pointers, or computed gotos (then Escapes says so).
	Indirect []int32

	// Falls is set if the last instruction runs on into whatever follows the atom.
	Falls bool

	// While a Decoder holds the body: its instructions with their operands, and by index in Insts where there.
	decoded []arch.Inst
	order   []int32
}

// keep returns a copy that stays valid when the decoder goes on.
func (b *Body) keep() *Body {
	c := *b
	c.Insts, c.Refs, c.Gaps = slices.Clone(b.Insts), slices.Clone(b.Refs), slices.Clone(b.Gaps)
	c.Pages = slices.Clone(b.Pages)
	c.Escapes, c.Indirect = slices.Clone(b.Escapes), slices.Clone(b.Indirect)
	c.decoded, c.order = nil, nil
	return &c
}

// Operands returns instruction k of a body with its operands. The caller must not change it. It may be decoded into scratch.
func (im *Image) Operands(b *Body, k int, scratch *arch.Inst) (*arch.Inst, error) {
	if b.decoded != nil {
		return &b.decoded[b.order[k]], nil
	}
	return scratch, im.Arch.DecodeInto(scratch, b.Code[b.Insts[k].Off:])
}

// InstAt returns the index of the instruction that starts at off bytes from the
// atom's start, or -1 if none does.
func (b *Body) InstAt(off int64) int {
	i := sort.Search(len(b.Insts), func(i int) bool { return int64(b.Insts[i].Off) >= off })
	if i == len(b.Insts) || int64(b.Insts[i].Off) != off {
		return -1
	}
	return i
}

// Inst is one instruction, without its operands: [Image.Operands] gives those again.
//
// Instructions do not overlap, with one exception: where a jump leads behind the lock prefix of an instruction, the
// instruction without the prefix follows the one with it, one byte further on and with the same end (see Unlocked).
type Inst struct {
	Off     uint32 // from the atom's start
	Target  int32  // direct branch within the atom: index in Body.Insts; else -1
	Len     uint8
	Flow    arch.Flow
	Nop     bool // without effect: padding
	TLSBase bool // loads the thread pointer
	Unseen  bool // no known path reaches it: dead code, or an entry that is not known
	// Unlocked is set for the second entry of the locked instruction in front of it. Its fields are that one's: a Ref of it
	// is a PlaceSelf that leads to the locked instruction, whose Ref at the same Off says what the field names.
	Unlocked bool
}

// End is the offset behind the instruction.
func (i *Inst) End() uint32 { return i.Off + uint32(i.Len) }

// Range is a part of an atom that holds no instruction.
type Range struct {
	Off, Len uint32
	Padding  bool // NOPs, int3 or zero bytes that no path reaches; else data among the code
}

// RefKind says how an instruction uses a place.
type RefKind uint8

const (
	RefCall RefKind = iota // direct call
	RefJump                // direct jump or branch that leaves the atom
	RefMem                 // memory at the place is read or written (or jumped through)
	RefAddr                // the address is computed relative to the program counter (lea)
	RefImm                 // absolute immediate or displacement (ET_EXEC, or thread pointer offsets)
	RefTLS                 // thread-local: an offset from the thread pointer, or a slot that holds one
	// RefPage is the address of a page (adrp), of which other instructions of the unit make addresses: their references say what is
	// meant; see Body.Pages. By itself it names no place, unless PlaceUnknown says that some use is not known.
	RefPage
)

func (k RefKind) String() string {
	return [...]string{"call", "jump", "mem", "addr", "imm", "tls", "page"}[k]
}

// PlaceKind says what a reference leads to.
type PlaceKind uint8

const (
	PlaceNone    PlaceKind = iota // not a place: a plain number
	PlaceAtom                     // Atom + Addend
	PlaceImport                   // Import, of another module or preemptible
	PlaceAnon                     // read-only data without a symbol, at Addr
	PlaceTable                    // one of Body.Tables, at Addr
	PlaceSelf                     // code of the same unit: Atom (the unit's atom) + Addend
	PlaceTLS                      // Atom + Addend in the TLS template, or Import
	PlaceLinker                   // defined by the linker: Linker is its name
	PlaceUnknown                  // cannot be told
)

func (k PlaceKind) String() string {
	return [...]string{"none", "atom", "import", "anon", "table", "self", "tls", "linker", "unknown"}[k]
}

// Place is what a reference leads to.
//
// Where the linker's relocations are not there, an address can belong to more than one object: one past the end of
// an array is where the next object starts, and arr-8 lies in the object in front. Kind, Atom and Addend then
// hold the likeliest reading, and Candidates all of them, that one first; the addend of candidate c is Addr - c.Addr. A
// neighbour is a candidate only if something speaks for it: see [Image.Body].
//
// Proven means that no other reading is possible: a relocation says so, an access of known width lies wholly in the
// atom, or a branch leads to a function's entry. A place that is neither Proven nor has several Candidates is an address (lea) within
// one object, for which nothing speaks for a neighbour.
type Place struct {
	Kind    PlaceKind
	ViaSlot bool // through a GOT slot at Addr; the place is what the slot holds the address (or TLS offset) of
	Proven  bool
	Number  bool // the field could as well hold a plain number (ET_EXEC and TLS offsets without relocations)
	Shared  bool // PlaceLinker: other linker symbols have the same address, and any of them may be meant
	// Lone: the place is also the end of an object that is no scalar by its size (see [Image.EndingAt]), which is no candidate, and
	// nothing that the unit does speaks for either.
	Lone bool
	// Both: an access to the two Candidates, which lie side by side: compilers that know the order of objects (section anchors) load or store a
	// pair of registers from or to two of them.
	Both       bool
	Atom       *Atom
	Addend     int64
	Import     *Import
	Addr       arch.ImageAddr // the address that the field yields (of the slot, if ViaSlot)
	Candidates []*Atom        // more than one: ambiguous. With PlaceAnon or PlaceLinker: one or more is ambiguous
	Linker     string         // PlaceLinker: "_GLOBAL_OFFSET_TABLE_", "_end", "section .init_array" (its start), ...
	Why        string         // PlaceUnknown: what was found
}

// Ambiguous reports whether the place has more than one reading.
func (p *Place) Ambiguous() bool {
	n := 1
	if p.Kind == PlaceAnon || p.Kind == PlaceLinker {
		n = 0
	}
	return p.Number || p.Shared || len(p.Candidates) > n
}

// BranchField is Ref.Op for the displacement of a branch.
const BranchField = arch.BranchOp

// Ref is a field of an instruction that names a place, or could.
type Ref struct {
	Inst  int32  // index in Body.Insts
	Off   uint32 // of the field, from the atom's start
	Size  uint8  // bytes of the field
	Kind  RefKind
	Width uint8 // bytes accessed; 0: unknown or none
	Op    uint8 // index in arch.Inst.Ops, or BranchField
	// Anchor: the address, of Kind RefAddr, only serves to reach other objects, whose own references have it for a base: a section anchor. Its place
	// is then what happens to be there.
	Anchor bool
	// Indexed: memory is accessed at the address by an index that was compared with a constant; so many bytes from the address on are all that such an
	// access may lead to. 0: there is none, or more.
	Indexed uint16
	Place   Place
}

// PageUse says that the field of a reference is added to the address of a page, or to an address made of one, that an instruction of the unit
// makes. Of several, any may have been executed.
type PageUse struct {
	Ref  int32  // index in Body.Refs
	Page Target // the instruction that makes it, with a RefPage; it may be in another part of the unit
	// Whole: what the field is added to is a whole address, made of the page by another reference's field (adrp, add). It then holds a distance,
	// which no relocation tells; else the low 12 bits of the address.
	Whole bool
}

// Target is a place in the code of a unit.
type Target struct {
	Atom *Atom
	Off  uint32 // from the atom's start; the start of an instruction, or, of a jump table's entry, the atom's size: no instruction
}

// JumpTable is a table of branch targets of one unit.
type JumpTable struct {
	Addr      arch.ImageAddr
	EntrySize int  // bytes
	Relative  bool // entries, shifted left by Scale, are offsets from Base; else they are addresses
	Base      arch.ImageAddr
	Own       bool  // of Relative: each entry is an offset from its own address instead, and Base is Addr
	Scale     uint8 // bits
	Signed    bool  // the entries of Relative
	Entries   []Target
	Size      uint64  // bytes: len(Entries) * EntrySize
	Refs      []int32 // indices in Body.Refs of the references to it
	// Bounded says that the extent is proven by a range check in front of the jump or by what
	// follows the table; else it only ends where entries stop making sense.
	Bounded bool
	// Further is what could follow the entries if the table is not Bounded: what the words behind it lead to, as far as that is
	// code, and MaxFurther words at most.
	Further []arch.ImageAddr
}

// MaxFurther bounds JumpTable.Further, against images with many tables in front of much that looks like entries.
const MaxFurther = 1 << 10

// Escape is the address of an instruction inside the unit, taken other than by one of its jump
// tables: a label as a value (computed goto), or a stored return point.
type Escape struct {
	Target Target
	Inst   int32          // index in Body.Insts of the instruction that takes it; -1: it is stored in data
	Data   arch.ImageAddr // where it is stored, if Inst < 0
}

// DataRef is a pointer-sized (or smaller, link-time relative) field of a data atom that holds a place.
type DataRef struct {
	Off  uint64 // from the atom's start
	Size uint8  // bytes
	// Relative: the field holds the distance from the atom's start to the place, as in clang's relative lookup tables. As
	// a relocation of its own place it has Off added to the addend.
	Relative bool
	Place    Place
}

// LineEntry is one row of the DWARF line table.
type LineEntry struct {
	Addr arch.ImageAddr
	File string
	Line int
}

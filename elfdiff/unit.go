package elfdiff

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"math"
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// unit is a function with its .cold and .part parts: the unit of comparison, of
// replacement and of activeness.
type unit struct {
	im    *image.Image
	parts []*image.Atom // the function itself first
	err   error         // why it could not be decoded; it then has no canonical form

	// The canonical form: everything but the references is hashed into shape,
	// and the references follow in the order in which they occur.
	shape [sha256.Size]byte
	refs  []reference
	count int // instructions, padding aside
	*extras
}

// extras is what few functions have.
type extras struct {
	gaps   *[sha256.Size]byte // hash of the data among the code, which is in shape too; nil: there is none
	places []image.Place      // of references that are not packed

	settled   map[*image.Ref]*image.Place // what references lead to, where the image's reading was not the last word; see placeOf
	relTables []arch.ImageAddr            // tables of distances from their own start that the unit uses
	tables    []table                     // jump tables
}

// noExtras is shared by all functions that have none. It is never written to.
var noExtras = new(extras)

// extra returns what can be added to.
func (u *unit) extra() *extras {
	if u.extras == noExtras {
		u.extras = new(extras)
	}
	return u.extras
}

// table is what the comparison needs to know of a jump table, besides its entries, which are in the shape.
type table struct {
	addr    arch.ImageAddr
	size    uint64 // bytes
	bounded bool
	further []arch.ImageAddr
}

func (u *unit) atom() *image.Atom { return u.parts[0] }

func (u *unit) name() string { return u.parts[0].Name }

// token is one instruction of the canonical form.
type token struct {
	part  int
	body  *image.Body
	off   uint32 // of the instruction, from the start of its part
	in    *arch.Inst
	code  []byte  // from the instruction on, as it was before a linker made it shorter: see wideAt
	paged bool    // it makes the page of the next one, which a linker joined to it
	canon []byte  // canonical bytes; valid until the next token
	local int     // canonical index of the instruction that a branch leads to, or -1
	table bool    // the literals are a jump table's targets
	lits  []int64 // operand values that name no place
	refs  []*image.Ref
}

// partIndex numbers the instructions of one part.
type partIndex struct {
	arch  *arch.Arch
	body  *image.Body
	canon []int32 // by index in body.Insts: canonical index of it, or of the next one that is not padding
}

// isWide reports whether instruction k was one of a pair, the first of which is a no-op now: see wideAt.
func (x *partIndex) isWide(k int32) bool {
	if x.arch.Widen == nil {
		return false
	}
	_, ok := wideAt(x.arch, x.body, k)
	return ok
}

// number numbers the instructions of a body from n on, padding aside, and returns the next number.
func (x *partIndex) number(a *arch.Arch, b *image.Body, n int) int {
	x.arch, x.body, x.canon = a, b, x.canon[:0]
	for i := range b.Insts {
		x.canon = append(x.canon, int32(n))
		if !b.Insts[i].Nop || x.isWide(int32(i)+1) {
			n++
		}
	}
	return n
}

// tokens decodes the unit for good and calls visit for each instruction that is not padding, in the order of the parts.
func (u *unit) tokens(visit func(t *token)) error {
	index := make([]partIndex, len(u.parts))
	n := 0
	for i, a := range u.parts {
		body, err := u.im.Body(a)
		if err != nil {
			return err
		}
		n = index[i].number(u.im.Arch, body, n)
	}
	return u.walk(index, visit)
}

// walk calls visit for each instruction of decoded parts that is not padding.
func (u *unit) walk(index []partIndex, visit func(t *token)) error {
	var t token
	var scratch arch.Inst
	for p := range index {
		body := index[p].body
		refs := body.Refs
		for i := range body.Insts {
			k := 0
			for k < len(refs) && int(refs[k].Inst) == i {
				k++
			}
			mine := refs[:k]
			refs = refs[k:]
			inst := &body.Insts[i]
			if inst.Nop && !index[p].isWide(int32(i)+1) {
				continue
			}
			in, err := u.im.Operands(body, i, &scratch)
			if err != nil {
				return fmt.Errorf("%s+%#x: %w", u.parts[p].Name, inst.Off, err)
			}
			t.part, t.body, t.off, t.in, t.code, t.local, t.table, t.paged = p, body, inst.Off, in, body.Code[inst.Off:], -1, false, false
			t.canon, t.lits, t.refs = t.canon[:0], t.lits[:0], t.refs[:0]
			if inst.Target >= 0 {
				t.local = int(index[p].canon[inst.Target])
			}
			if err := t.widen(u.im.Arch, i, &scratch); err != nil {
				return fmt.Errorf("%s+%#x: %w", u.parts[p].Name, inst.Off, err)
			}
			u.token(&t, mine, index)
			visit(&t)
		}
	}
	return nil
}

// token fills in the canonical form of one instruction.
func (u *unit) token(t *token, refs []image.Ref, index []partIndex) {
	a, code := u.im.Arch, t.code
	named := [2]bool{t.paged} // operands that name a place
	slot := false
	for i := range refs {
		r := &refs[i]
		switch r.Place.Kind {
		case image.PlaceNone:
			if r.Kind != image.RefPage {
				continue // a plain number, whatever it looked like
			}
			// What adds to the page says what is meant.
		case image.PlaceSelf:
			t.local = canonicalTarget(index, r.Place.Atom, uint32(r.Place.Addend))
		case image.PlaceTable:
			t.table = true
			t.lits = tableTargets(t.lits, index, tableAt(t.body, r.Place.Addr))
		default:
			if r.Anchor {
				break // what is reached from it says what is meant
			}
			t.refs = append(t.refs, r)
			slot = slot || (r.Place.ViaSlot && r.Kind != image.RefTLS)
		}
		if r.Op != image.BranchField {
			named[r.Op] = true
		}
	}
	relaxed := false
	if slot {
		form := arch.RelaxPC
		if u.im.Type == elf.ET_EXEC {
			form = arch.RelaxAbs
		}
		t.canon, relaxed = a.Relax(t.canon, code, t.in, form)
	}
	if !relaxed {
		t.canon = a.Canon(t.canon, code, t.in)
	}
	for i := 0; i < t.in.NumOps; i++ {
		if !named[i] {
			t.lits = append(t.lits, t.in.Ops[i].Value)
		}
	}
}

// partEnd stands for the end of the first part of a unit, where no instruction is, as what an entry of a jump table leads to; that of the
// second part is one less, and so on. Other targets are no less than -2-[math.MaxUint32].
const partEnd = math.MinInt32 * 4

// canonicalTarget returns the canonical index of the instruction at offset off of a part, or
// -2-off where there is none.
func canonicalTarget(index []partIndex, a *image.Atom, off uint32) int {
	for p := range index {
		if index[p].body.Atom != a {
			continue
		}
		insts := index[p].body.Insts
		if uint64(off) == a.Size {
			return partEnd - p
		}
		i := sort.Search(len(insts), func(i int) bool { return insts[i].Off >= off })
		if i < len(insts) && insts[i].Off == off {
			return int(index[p].canon[i])
		}
	}
	return -2 - int(off)
}

func tableAt(b *image.Body, addr arch.ImageAddr) *image.JumpTable {
	for _, t := range b.Tables {
		if t.Addr == addr {
			return t
		}
	}
	return nil
}

// tableTargets appends the canonical form of a jump table: what its entries lead to. See also [differ.tablesEqual].
func tableTargets(lits []int64, index []partIndex, t *image.JumpTable) []int64 {
	if t == nil {
		return append(lits, -1)
	}
	lits = append(lits, int64(len(t.Entries)))
	for _, e := range t.Entries {
		lits = append(lits, int64(canonicalTarget(index, e.Atom, e.Off)))
	}
	return lits
}

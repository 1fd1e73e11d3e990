package elfdiff

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"hash"
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
	gaps  [sha256.Size]byte // hash of the data among the code, which is in shape too
	count int               // instructions, padding aside
	refs  []reference

	settled   map[*image.Ref]*image.Place // what references lead to, where the image's reading was not the last word
	relTables []arch.ImageAddr            // tables of distances from their own start that the unit uses
}

// reference is an operand that names a place.
type reference struct {
	inst  int32 // canonical index of the instruction in the unit
	part  int16 // index in unit.parts
	kind  image.RefKind
	width uint8
	place *image.Place
	ref   *image.Ref
}

func (u *unit) atom() *image.Atom { return u.parts[0] }

func (u *unit) name() string { return u.parts[0].Name }

// token is one instruction of the canonical form.
type token struct {
	part  int
	off   uint32 // of the instruction, from the start of its part
	in    arch.Inst
	canon []byte  // canonical bytes; valid until the next token
	local int     // canonical index of the instruction that a branch leads to, or -1
	table bool    // the literals are a jump table's targets
	lits  []int64 // operand values that name no place
	refs  []*image.Ref
}

func (u *unit) canonicalize() {
	h := sha256.New()
	var scratch [8]byte
	u.count, u.err = u.walk(func(index int, t *token) {
		h.Write([]byte{byte(len(t.canon))})
		h.Write(t.canon)
		if t.local != -1 {
			binary.LittleEndian.PutUint32(scratch[:], uint32(t.local))
			h.Write([]byte{'@'})
			h.Write(scratch[:4])
		}
		for _, v := range t.lits {
			binary.LittleEndian.PutUint64(scratch[:], uint64(v))
			h.Write([]byte{'#'})
			h.Write(scratch[:])
		}
		for _, r := range t.refs {
			h.Write([]byte{'&', shapeKind(r, t.in.Flow)})
			u.refs = append(u.refs, reference{inst: int32(index), part: int16(t.part), kind: r.Kind, width: r.Width,
				place: &r.Place, ref: r})
		}
	})
	u.settleBounds()
	u.findRelTables()
	u.hashGaps(h)
	if u.err == nil {
		u.err = u.hashLSDA(h)
	}
	h.Sum(u.shape[:0])
}

// findRelTables notes which data without code in it is a table of distances.
func (u *unit) findRelTables() {
	for i := range u.refs {
		r := &u.refs[i]
		if r.kind != image.RefAddr || r.place.ViaSlot || r.place.Addend != 0 ||
			r.place.Kind != image.PlaceAnon && r.place.Kind != image.PlaceAtom {
			continue
		}
		body, err := u.im.Body(u.parts[r.part])
		if err == nil && u.im.RelativeTableAt(body, int(r.ref.Inst)) {
			u.relTables = append(u.relTables, r.place.Addr)
		}
	}
}

// hashGaps adds data that lies among the code to the shape.
func (u *unit) hashGaps(h hash.Hash) {
	if u.err != nil {
		return
	}
	gaps := sha256.New()
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			return
		}
		for _, g := range body.Gaps {
			if !g.Padding {
				gaps.Write(body.Code[g.Off : g.Off+g.Len])
			}
		}
	}
	gaps.Sum(u.gaps[:0])
	h.Write(u.gaps[:])
}

// shapeKind merges the kinds of reference that linker relaxation turns into each other.
func shapeKind(r *image.Ref, flow arch.Flow) byte {
	switch {
	case r.Kind == image.RefCall, r.Kind == image.RefJump,
		r.Place.ViaSlot && (flow == arch.FlowCallInd || flow == arch.FlowJumpInd):
		return 'c'
	case r.Kind == image.RefTLS:
		return 't'
	}
	return 'm'
}

// partIndex numbers the instructions of one part.
type partIndex struct {
	atom  *image.Atom
	body  *image.Body
	canon []int32 // by index in body.Insts: canonical index of it, or of the next one that is not padding
}

// walk decodes the unit and calls visit for each instruction that is not padding,
// in the order of the parts. It returns how many there are.
func (u *unit) walk(visit func(index int, t *token)) (int, error) {
	index, n, err := u.number()
	if err != nil {
		return 0, err
	}
	var t token
	var canon []byte
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
			if inst.Nop {
				continue
			}
			code := body.Code[inst.Off:]
			in, err := u.im.Arch.Decode(code)
			if err != nil {
				return 0, fmt.Errorf("%s+%#x: %w", u.parts[p].Name, inst.Off, err)
			}
			t = token{part: p, off: inst.Off, in: in, local: -1, lits: t.lits[:0], refs: t.refs[:0]}
			if inst.Target >= 0 {
				t.local = int(index[p].canon[inst.Target])
			}
			canon = u.token(&t, canon[:0], code, mine, index)
			t.canon = canon
			visit(int(index[p].canon[i]), &t)
		}
	}
	return n, nil
}

// number gives every instruction of the unit its canonical index.
func (u *unit) number() ([]partIndex, int, error) {
	index := make([]partIndex, len(u.parts))
	n := 0
	for p, a := range u.parts {
		body, err := u.im.Body(a)
		if err != nil {
			return nil, 0, err
		}
		canon := make([]int32, len(body.Insts))
		for i := range body.Insts {
			canon[i] = int32(n)
			if !body.Insts[i].Nop {
				n++
			}
		}
		index[p] = partIndex{atom: a, body: body, canon: canon}
	}
	return index, n, nil
}

// token fills in the canonical form of one instruction.
func (u *unit) token(t *token, canon, code []byte, refs []image.Ref, index []partIndex) []byte {
	a := u.im.Arch
	var named [2]bool // operands that name a place
	slot := false
	for i := range refs {
		r := &refs[i]
		switch r.Place.Kind {
		case image.PlaceNone:
			continue // a plain number, whatever it looked like
		case image.PlaceSelf:
			t.local = canonicalTarget(index, r.Place.Atom, uint32(r.Place.Addend))
		case image.PlaceTable:
			t.table = true
			t.lits = tableTargets(t.lits, index, tableAt(index[t.part].body, r.Place.Addr))
		default:
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
		canon, relaxed = a.Relax(canon, code, &t.in, form)
	}
	if !relaxed {
		canon = a.Canon(canon, code, &t.in)
	}
	for i := 0; i < t.in.NumOps; i++ {
		if !named[i] {
			t.lits = append(t.lits, t.in.Ops[i].Value)
		}
	}
	return canon
}

// canonicalTarget returns the canonical index of the instruction at offset off of a part, or
// -2-off where there is none.
func canonicalTarget(index []partIndex, a *image.Atom, off uint32) int {
	for p := range index {
		if index[p].atom != a {
			continue
		}
		insts := index[p].body.Insts
		i := sort.Search(len(insts), func(i int) bool { return insts[i].Off >= off })
		if i < len(insts) && insts[i].Off == off {
			return int(index[p].canon[i])
		}
	}
	return -2 - int(off)
}

// tables lists the unit's jump tables.
func (u *unit) tables() []*image.JumpTable {
	var out []*image.JumpTable
	for _, p := range u.parts {
		if body, err := u.im.Body(p); err == nil {
			out = append(out, body.Tables...)
		}
	}
	return out
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

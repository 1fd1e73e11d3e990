package elfdiff

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// canonicalizer brings functions into canonical form, one after the other. Each worker has one; its buffers are used
// again for each function, and what stays of the functions is cut from larger pieces.
type canonicalizer struct {
	decoders map[*image.Image]*image.Decoder
	index    []partIndex
	shape    []byte // what the canonical form's hash is made of
	operands []operand
	refs     []reference // a piece of memory for the references of many functions
}

// operand is a reference while its function is decoded.
type operand struct {
	ref   *image.Ref // nil: of an exception table
	body  *image.Body
	kind  image.RefKind
	width uint8
	place *image.Place
}

// refsPiece is how many references are allocated at a time.
const refsPiece = 1 << 13

// canonicalize decodes a function and fills in what is known of it.
func (c *canonicalizer) canonicalize(u *unit) {
	if c.decoders[u.im] == nil {
		c.decoders[u.im] = u.im.NewDecoder()
	}
	bodies, err := c.decoders[u.im].Unit(u.atom())
	if err != nil {
		u.err = err
		return
	}
	u.count = c.number(u, bodies)
	c.shape, c.operands = c.shape[:0], c.operands[:0]
	u.err = u.walk(c.index, c.add)
	u.settleBounds(c.operands)
	for i := range c.operands {
		if o := &c.operands[i]; isRelTable(u.im, o) {
			u.extra().relTables = append(u.relTables, o.place.Addr)
		}
	}
	c.gaps(u)
	if u.err == nil {
		u.err = c.exceptions(u)
	}
	u.shape = sha256.Sum256(c.shape)
	c.keep(u)
}

// number puts the bodies of a unit's parts into the order of the parts, numbers their instructions, and returns how many these are.
func (c *canonicalizer) number(u *unit, bodies []*image.Body) (count int) {
	c.index = slices.Grow(c.index[:0], len(u.parts))[:len(u.parts)]
	for i, a := range u.parts {
		k := slices.IndexFunc(bodies, func(b *image.Body) bool { return b.Atom == a })
		count = c.index[i].number(u.im.Arch, bodies[k], count)
	}
	return count
}

// add adds an instruction to the shape.
func (c *canonicalizer) add(t *token) {
	s := append(append(c.shape, byte(len(t.canon))), t.canon...)
	if t.local != -1 {
		s = binary.LittleEndian.AppendUint32(append(s, '@'), uint32(t.local))
	}
	for _, v := range t.lits {
		s = binary.LittleEndian.AppendUint64(append(s, '#'), uint64(v))
	}
	for _, r := range t.refs {
		s = append(s, '&', shapeKind(r, t.in.Flow))
		c.operands = append(c.operands, operand{ref: r, body: t.body, kind: r.Kind, width: r.Width, place: &r.Place})
	}
	c.shape = s
}

// gaps adds data that lies among the code to the shape.
func (c *canonicalizer) gaps(u *unit) {
	start := len(c.shape)
	for i := range c.index {
		body := c.index[i].body
		for _, g := range body.Gaps {
			if !g.Padding {
				c.gap(u.im, body, g)
			}
		}
	}
	if start == len(c.shape) {
		return
	}
	sum := sha256.Sum256(c.shape[start:])
	u.extra().gaps = &sum
	c.shape = append(append(c.shape[:start], 'G'), sum[:]...)
}

// gap adds data among code: its bytes, and, for words that hold addresses, what these mean.
func (c *canonicalizer) gap(im *image.Image, body *image.Body, g image.Range) {
	at := len(c.shape)
	c.shape = append(c.shape, body.Code[g.Off:g.Off+g.Len]...)
	start := body.Atom.Addr + arch.ImageAddr(g.Off)
	for _, r := range im.DataRefsIn(start, start+arch.ImageAddr(g.Len)) {
		if end := r.Off + uint64(r.Size); end <= uint64(g.Len) {
			clear(c.shape[at+int(r.Off) : at+int(end)])
		}
		c.operands = append(c.operands, operand{body: body, kind: image.RefImm, place: &r.Place})
	}
}

// keep stores what stays of the function.
func (c *canonicalizer) keep(u *unit) {
	for i := range c.index {
		for _, t := range c.index[i].body.Tables {
			u.extra().tables = append(u.tables, table{addr: t.Addr, size: t.Size, bounded: t.Bounded, further: t.Further})
		}
	}
	if cap(c.refs)-len(c.refs) < len(c.operands) {
		c.refs = make([]reference, 0, max(refsPiece, len(c.operands)))
	}
	first := len(c.refs)
	for i := range c.operands {
		o := &c.operands[i]
		c.refs = append(c.refs, u.pack(o.kind, o.width, o.place))
	}
	u.refs = c.refs[first:len(c.refs):len(c.refs)]
}

// isRelTable reports whether the operand is the start of a table of distances, as the code uses it.
func isRelTable(im *image.Image, o *operand) bool {
	return o.kind == image.RefAddr && !o.place.ViaSlot && o.place.Addend == 0 &&
		(o.place.Kind == image.PlaceAnon || o.place.Kind == image.PlaceAtom) && im.RelativeTableAt(o.body, int(o.ref.Inst))
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

// sameGaps reports whether two functions have the same data among their code.
func sameGaps(u, v *unit) bool {
	if u.gaps == nil || v.gaps == nil {
		return u.gaps == v.gaps
	}
	return *u.gaps == *v.gaps
}

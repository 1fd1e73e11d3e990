package types

// node is an entry that matters. What a and b are depends on the tag.
type node struct {
	off  ref
	name string
	typ  ref // DW_AT_type
	// a: size in bytes (types), offset in bits (members), number of elements (subranges), value (enumerators, variants),
	// address (functions, variables), slot (virtual functions without code).
	a uint64
	// b: bits (members), encoding (base types), entry that completes it (ref: types, functions, variables).
	b           uint64
	parent, end int32 // nodes: the one around it, or -1; the one behind the last below it
	file, line  uint32
	tag         uint16
	flags       uint16
}

// nodeBytes is the least that an entry of interest takes in a real file, on average over a unit. It bounds the nodes of a hostile one.
const nodeBytes = 3

// Flags of nodes.
const (
	declaration uint16 = 1 << iota
	hasAddress
	hasValue // a is valid
	isTLS
	isVirtual
	isBase
)

// maxDepth bounds how deep entries may be nested.
const maxDepth = 4096

// entry is an entry that is being read.
type entry struct {
	name, link            string
	typ, org, sig         ref
	size, bits, enc       uint64
	count, loc, bitOff    uint64
	val, slot, file, line uint64
	low                   value
	ranges                value
	expr                  string // location
	has                   uint32
}

// What an entry has.
const (
	hasSize = 1 << iota
	hasBits
	hasCount
	hasLoc
	hasBitOff
	hasOldBitOff
	hasVal
	hasSlot
	hasDecl
	hasVirtual
	hasOddLoc
)

// interest has the tags that become nodes.
var interest = func() (t [0x4c]bool) {
	for _, tag := range []int{tagArrayType, tagClassType, tagEnumerationType, tagFormalParameter, tagMember, tagPointerType,
		tagReferenceType, tagStringType, tagStructureType, tagSubroutineType, tagTypedef, tagUnionType, tagUnspecifiedParameters,
		tagVariant, tagInheritance, tagInlinedSubroutine, tagPtrToMemberType, tagSetType, tagSubrangeType, tagBaseType, tagConstType,
		tagEnumerator, tagSubprogram, tagTemplateTypeParameter, tagVariantPart, tagVariable, tagVolatileType, tagRestrictType,
		tagInterfaceType, tagNamespace, tagModule, tagUnspecifiedType, tagRvalueReferenceType, tagTemplateAlias, tagAtomicType,
		tagImmutableType} {
		t[tag] = true
	}
	return t
}()

// collect makes nodes of the entries of a unit.
func (r *reader) collect(u *unit) error {
	if err := u.open(); err != nil {
		return err
	}
	if !r.enterUnit(u) {
		return nil
	}
	name, data := u.file.section(u.space)
	w := &walk{r: r, u: u, c: cursor{section: name, s: data[:u.end], off: u.first}, plain: u.word == 4 && u.addrSize == 8}
	if err := r.spend(uint64(u.end - u.start)); err != nil {
		return err
	}
	return w.run()
}

// enterUnit counts an open unit, and enters the addresses of its code. It reports whether the unit's content is here.
func (r *reader) enterUnit(u *unit) bool {
	if u.space != spaceTypes && u.tag != tagPartialUnit && u.tag != tagTypeUnit && u.space != spaceAlt {
		r.b.Units++
	}
	if u.skeleton || u.tag == tagSkeletonUnit {
		r.b.Skeletons++
		return false
	}
	u.covered(r.b)
	return true
}

// walk goes through the entries of a unit.
type walk struct {
	r     *reader
	u     *unit
	c     cursor
	plain bool // abbrev.skip holds
	stack []open
}

// open is an entry whose children are being read.
type open struct {
	node  int32 // the innermost node, or -1
	owner bool  // the entry is that node itself
}

func (w *walk) run() error {
	c, r := &w.c, w.r
	top := int32(-1)
	for first := true; c.more(); first = false {
		off := makeRef(w.u.space, uint64(c.off))
		code := c.uleb()
		if code == 0 {
			if len(w.stack) == 0 {
				break // padding behind the last entry
			}
			if o := w.stack[len(w.stack)-1]; o.owner {
				r.nodes[o.node].end = int32(len(r.nodes))
			}
			if w.stack = w.stack[:len(w.stack)-1]; len(w.stack) == 0 {
				break
			}
			top = w.stack[len(w.stack)-1].node
			continue
		}
		a := w.u.table.find(code)
		if a == nil {
			c.fail("an entry without an abbreviation; code", code)
			break
		}
		made := int32(-1)
		if !first && int(a.tag) < len(interest) && interest[a.tag] {
			made = w.entry(a, off, top)
		} else {
			w.skip(a)
		}
		if len(r.nodes) > r.limit {
			c.fail("the unit has more entries than its size allows", uint64(len(r.nodes)))
		}
		if a.children {
			if len(w.stack) >= maxDepth {
				c.fail("entries are nested too deeply", maxDepth)
			}
			if made >= 0 {
				top = made
			}
			w.stack = append(w.stack, open{top, made >= 0})
		}
		if c.err != nil {
			break
		}
		if len(w.stack) == 0 {
			break
		}
	}
	for _, o := range w.stack { // a unit that ends early
		if o.owner {
			r.nodes[o.node].end = int32(len(r.nodes))
		}
	}
	return c.err
}

func (w *walk) skip(a *abbrev) {
	if w.plain && a.skip >= 0 {
		if int(a.skip) > len(w.c.s)-w.c.off {
			w.c.fail("an entry runs past the end of its unit; bytes", uint64(a.skip))
			return
		}
		w.c.off += int(a.skip)
		return
	}
	for i := range a.attrs {
		w.u.value(&w.c, &a.attrs[i])
	}
}

// entry reads an entry and makes its node; -1: it turned out to be of no interest.
func (w *walk) entry(a *abbrev, off ref, parent int32) int32 {
	e := entry{}
	for i := range a.attrs {
		switch x := &a.attrs[i]; {
		case w.plain && x.idle >= 0:
			w.c.bytes(uint64(x.idle))
		case w.plain && x.idle == idleBlock:
			w.c.bytes(w.c.uleb())
		default:
			v := w.u.value(&w.c, x)
			e.set(x.name, &v)
		}
	}
	if w.c.err != nil {
		return -1
	}
	if err := w.r.spend(uint64(len(e.name) + len(e.link))); err != nil {
		w.c.err = err
		return -1
	}
	n := node{off: off, name: e.name, typ: e.typ, parent: parent, tag: a.tag, file: uint32(e.file), line: uint32(e.line)}
	if e.has&hasDecl != 0 {
		n.flags |= declaration
	}
	if !w.fill(&n, &e, parent) {
		return -1
	}
	i := int32(len(w.r.nodes))
	n.end = i + 1
	w.r.nodes = append(w.r.nodes, n)
	return i
}

// set notes an attribute.
func (e *entry) set(name uint16, v *value) {
	switch name {
	case attrName:
		e.name = v.s
	case attrLinkageName, attrMIPSLinkageName:
		e.link = v.s
	case attrType:
		e.typ = ref(v.n)
	case attrAbstractOrigin, attrSpecification:
		e.org = ref(v.n)
	case attrSignature:
		e.sig = ref(v.n)
	case attrByteSize:
		e.number(&e.size, hasSize, v)
	case attrBitSize:
		e.number(&e.bits, hasBits, v)
	case attrEncoding:
		e.enc = v.n
	case attrCount:
		e.number(&e.count, hasCount, v)
	case attrUpperBound:
		if e.number(&e.count, hasCount, v) {
			e.count++ // the lower bound is 0 in C, C++ and Rust
		}
	case attrDataMemberLoc:
		e.memberLocation(v)
	case attrDataBitOffset:
		e.number(&e.bitOff, hasBitOff, v)
	case attrBitOffset:
		e.number(&e.bitOff, hasOldBitOff, v)
	case attrConstValue, attrDiscrValue:
		e.number(&e.val, hasVal, v)
	case attrVtableElemLoc:
		c := cursor{s: v.s}
		if c.more() && c.u8() == opConstu {
			e.slot = c.uleb()
			e.has |= hasSlot
		}
	case attrVirtuality:
		if v.n != 0 {
			e.has |= hasVirtual
		}
	case attrDeclaration:
		if v.n != 0 {
			e.has |= hasDecl
		}
	case attrLowPC:
		e.low = *v
	case attrRanges:
		e.ranges = *v
	case attrLocation:
		if v.class == classBlock {
			e.expr = v.s
		}
	case attrDeclFile:
		e.file = v.n
	case attrDeclLine:
		e.line = v.n
	}
}

// number notes a value if it is one: sizes can be expressions, too.
func (e *entry) number(to *uint64, flag uint32, v *value) bool {
	if v.class != classConst && v.class != classSigned && v.class != classOffset {
		return false
	}
	*to = v.n
	e.has |= flag
	return true
}

// memberLocation notes where a member is, in bytes (DWARF 5, 5.7.6): a number, or an expression that adds one to the start.
func (e *entry) memberLocation(v *value) {
	if e.number(&e.loc, hasLoc, v) {
		return
	}
	c := cursor{s: v.s}
	if op := c.u8(); op == opPlusUconst || op == opConstu {
		if n := c.uleb(); c.err == nil && !c.more() {
			e.loc = n
			e.has |= hasLoc
			return
		}
	}
	e.has |= hasOddLoc
}

package types

import (
	"encoding/binary"
	"slices"
	"strings"
)

// maxNesting bounds how deep types may be made of types without a name.
const maxNesting = 512

// nameByTypedefs notes which types without a name get that of a typedef: the first one.
func (r *reader) nameByTypedefs() {
	for i := range r.nodes {
		if r.nodes[i].tag != tagTypedef {
			continue
		}
		if t := r.at(r.nodes[i].typ); t >= 0 && r.nodes[t].name == "" && isAggregate(r.nodes[t].tag) && r.nodes[t].b == 0 {
			if _, have := r.alias[t]; !have {
				r.alias[t] = int32(i)
			}
		}
	}
}

func isAggregate(tag uint16) bool {
	switch tag {
	case tagStructureType, tagClassType, tagUnionType, tagInterfaceType, tagEnumerationType:
		return true
	}
	return false
}

// of returns the type that a reference leads to; none is void.
func (r *reader) of(x ref) (ID, error) {
	if x == 0 {
		return 0, nil
	}
	i := r.at(x)
	if i < 0 {
		return r.intern(typ{kind: Other, name: "?"}), nil
	}
	return r.id(i)
}

// id returns the type that a node is.
func (r *reader) id(i int32) (ID, error) {
	switch r.ids[i] {
	case idNone:
	case idBusy:
		return 0, &FormatError{".debug_info", uint64(r.nodes[i].off), "a type without a name contains itself", uint64(r.nodes[i].tag)}
	default:
		return r.ids[i], nil
	}
	if r.depth >= maxNesting {
		return 0, &FormatError{".debug_info", uint64(r.nodes[i].off), "types are nested too deeply", maxNesting}
	}
	r.depth++
	r.ids[i] = idBusy
	id, err := r.make(i)
	r.ids[i] = id
	r.depth--
	if err != nil {
		r.ids[i] = idNone
	}
	return id, err
}

func (r *reader) make(i int32) (ID, error) {
	n := &r.nodes[i]
	switch n.tag {
	case tagTypedef, tagConstType, tagVolatileType, tagRestrictType, tagAtomicType, tagImmutableType, tagTemplateAlias:
		return r.of(n.typ)
	case tagBaseType:
		return r.intern(typ{kind: Base, name: n.name, size: n.a, enc: uint8(n.b)}), nil
	case tagPointerType, tagReferenceType, tagRvalueReferenceType:
		elem, err := r.of(n.typ)
		t := typ{kind: Pointer, elem: elem}
		if n.tag != tagPointerType {
			t.enc = 1
		}
		return r.intern(t), err
	case tagPtrToMemberType:
		elem, err := r.of(n.typ)
		return r.intern(typ{kind: Member, elem: elem, size: n.a}), err
	case tagArrayType:
		return r.array(i)
	case tagSubroutineType, tagSubprogram:
		return r.prototype(i, n.typ)
	case tagStructureType, tagClassType, tagUnionType, tagInterfaceType, tagEnumerationType:
		return r.aggregate(i)
	}
	return r.intern(typ{kind: Other, name: n.name, size: n.a}), nil
}

// array makes the type of an array: one of arrays, if it has several dimensions.
func (r *reader) array(i int32) (ID, error) {
	elem, err := r.of(r.nodes[i].typ)
	if err != nil {
		return 0, err
	}
	var counts []uint64
	for k := i + 1; k < r.nodes[i].end; k = r.nodes[k].end {
		if r.nodes[k].tag == tagSubrangeType {
			counts = append(counts, r.nodes[k].a)
		}
	}
	for k := len(counts) - 1; k >= 0; k-- {
		elem = r.intern(typ{kind: Array, elem: elem, count: counts[k]})
	}
	return elem, nil
}

// prototype makes the type of the function whose parameters lie below a node.
func (r *reader) prototype(i int32, returns ref) (ID, error) {
	t := typ{kind: Function}
	var err error
	if t.elem, err = r.of(returns); err != nil {
		return 0, err
	}
	for k := i + 1; k < r.nodes[i].end; k = r.nodes[k].end {
		if err := r.spend(1); err != nil {
			return 0, err
		}
		switch r.nodes[k].tag {
		case tagFormalParameter:
			p, err := r.of(r.nodes[k].typ)
			if err != nil {
				return 0, err
			}
			t.params = append(t.params, p)
		case tagUnspecifiedParameters:
			t.variadic = true
		}
	}
	return r.intern(t), nil
}

// aggregate makes the type of a struct, union, class or enum. One with a name does not lead to its members, which may lead back to it.
func (r *reader) aggregate(i int32) (ID, error) {
	n := &r.nodes[i]
	other := r.at(ref(n.b)) // the declaration that it completes, or the definition in a type unit
	if n.b != 0 && other >= 0 && n.flags&declaration != 0 && isAggregate(r.nodes[other].tag) {
		return r.id(other)
	}
	qualified, keyword := r.aggregateName(i)
	if qualified != "" {
		return r.intern(typ{kind: Named, named: r.name(qualified, keyword)}), nil
	}
	l, err := r.layout(i)
	if err != nil {
		return 0, err
	}
	return r.internLayout(l), nil
}

// define enters the layout of an aggregate that has a name.
func (r *reader) define(i int32) error {
	id, err := r.id(i)
	if err != nil || r.b.types[id].kind != Named {
		return err
	}
	l := &r.scratch
	*l = Layout{Fields: l.Fields[:0], Slots: l.Slots[:0], Numbers: l.Numbers[:0]}
	if err := r.fillLayout(l, i); err != nil {
		return err
	}
	n, name := &r.nodes[i], r.b.types[id].named
	r.buf = r.layoutKey(binary.AppendUvarint(append(r.buf[:0], 0xff), uint64(name)), l)
	if have := r.layouts[string(r.buf)]; have != nil {
		have.addSlots(l.Slots)
		return nil
	}
	l = &Layout{Enum: l.Enum, Size: l.Size, Fields: slices.Clone(l.Fields), Slots: slices.Clone(l.Slots), Numbers: slices.Clone(l.Numbers)}
	u := r.unitOf(n)
	l.File, l.Line, l.Unit = u.fileName(n.file), uint64(n.line), base(u.name)
	r.layouts[string(r.buf)] = l
	r.b.named[name].Layouts = append(r.b.named[name].Layouts, l)
	return nil
}

// name enters a name, and returns its index.
func (r *reader) name(qualified, keyword string) int32 {
	if i, ok := r.b.byName[qualified]; ok {
		return i
	}
	i := int32(len(r.b.named))
	r.b.named = append(r.b.named, &Name{Qualified: qualified, Keyword: keyword})
	r.b.byName[qualified] = i
	return i
}

// aggregateName returns the qualified name and the keyword of an aggregate; "" if it has no name of its own. An enum without
// a name goes by its first enumerator.
func (r *reader) aggregateName(i int32) (qualified, keyword string) {
	n := &r.nodes[i]
	keyword = keywords[n.tag]
	name := n.name
	switch {
	case n.b != 0:
		if o := r.at(ref(n.b)); o >= 0 && o != i && isAggregate(r.nodes[o].tag) && r.nodes[o].name != "" {
			return r.qualified(o, r.nodes[o].name), keyword
		}
	default:
		if t, ok := r.alias[i]; ok {
			return r.qualified(t, r.nodes[t].name), ""
		}
	}
	if name == "" && n.tag == tagEnumerationType {
		for k := i + 1; k < n.end && name == ""; k++ {
			if r.nodes[k].tag == tagEnumerator {
				name = "{" + r.nodes[k].name + ", ...}"
			}
		}
	}
	if name == "" {
		return "", keyword
	}
	return r.qualified(i, name+r.templateArguments(i, name)), keyword
}

var keywords = map[uint16]string{
	tagStructureType: "struct", tagClassType: "class", tagUnionType: "union", tagInterfaceType: "interface", tagEnumerationType: "enum",
}

// templateArguments returns the arguments of a template where the name leaves them out (clang -gsimple-template-names).
func (r *reader) templateArguments(i int32, name string) string {
	if strings.HasSuffix(name, ">") {
		return ""
	}
	var args []string
	for k := i + 1; k < r.nodes[i].end; k = r.nodes[k].end {
		if r.nodes[k].tag == tagTemplateTypeParameter {
			id, err := r.of(r.nodes[k].typ)
			if err != nil {
				return ""
			}
			args = append(args, r.b.Text(id))
		}
	}
	if args == nil {
		return ""
	}
	return "<" + strings.Join(args, ", ") + ">"
}

// qualified puts the names of what is around a node in front of a name.
func (r *reader) qualified(i int32, name string) string {
	scope := r.scope(r.nodes[i].parent, 0)
	if scope == "" {
		return name
	}
	return scope + "::" + name
}

// scope returns the qualified name of a namespace, type or function.
func (r *reader) scope(i int32, depth int) string {
	if i < 0 || depth > maxNesting {
		return ""
	}
	if s, ok := r.names[i]; ok {
		return s
	}
	n := &r.nodes[i]
	name := n.name
	switch {
	case n.tag == tagSubprogram || n.tag == tagInlinedSubroutine:
		if o := r.at(ref(n.b)); o >= 0 && o != i {
			s := r.scope(o, depth+1)
			r.names[i] = s
			return s
		}
	case n.tag == tagNamespace && name == "":
		name = "(anonymous namespace)"
	case isAggregate(n.tag) && name == "":
		if t, ok := r.alias[i]; ok {
			name = r.nodes[t].name
		}
	}
	s := r.scope(n.parent, depth+1)
	if s != "" && name != "" {
		s += "::"
	}
	if s += name; r.spend(uint64(len(s))) != nil {
		return ""
	}
	r.names[i] = s
	return s
}

// intern returns the ID of a type, one for all equal ones.
func (r *reader) intern(t typ) ID {
	k := append(r.buf[:0], byte(t.kind), t.enc)
	switch t.kind {
	case Void:
		k = k[:1]
	case Base, Other:
		k = binary.AppendUvarint(k, t.size)
		k = append(k, t.name...)
	case Pointer:
		k = binary.AppendUvarint(k, uint64(t.elem))
	case Named:
		k = binary.AppendUvarint(k, uint64(t.named))
	case Function:
		if t.variadic {
			k = append(k, 1)
		} else {
			k = append(k, 0)
		}
		k = binary.AppendUvarint(k, uint64(t.elem))
		for _, p := range t.params {
			k = binary.AppendUvarint(k, uint64(p))
		}
	default:
		k = binary.AppendUvarint(k, uint64(t.elem))
		k = binary.AppendUvarint(k, t.size)
		k = binary.AppendUvarint(k, t.count)
	}
	r.buf = k
	return r.enter(k, &t)
}

// internLayout is intern for an aggregate without a name.
func (r *reader) internLayout(l *Layout) ID {
	k := r.layoutKey(append(r.buf[:0], byte(Anonymous)), l)
	r.buf = k
	return r.enter(k, &typ{kind: Anonymous, layout: l})
}

func (r *reader) enter(key []byte, t *typ) ID {
	if id, ok := r.keys[string(key)]; ok {
		return id
	}
	id := ID(len(r.b.types))
	r.b.types = append(r.b.types, *t)
	r.keys[string(key)] = id
	return id
}

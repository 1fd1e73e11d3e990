package types

import (
	"encoding/binary"
	"path"
	"slices"
	"strconv"
)

// layout reads the definition of an aggregate.
func (r *reader) layout(i int32) (*Layout, error) {
	l := new(Layout)
	return l, r.fillLayout(l, i)
}

// fillLayout enters the definition of an aggregate: what lies directly below its node.
func (r *reader) fillLayout(l *Layout, i int32) error {
	n := &r.nodes[i]
	l.Size, l.Enum = n.a, n.tag == tagEnumerationType
	return r.content(l, i, "")
}

// addSlots adds the virtual functions that another description of the same class has.
func (l *Layout) addSlots(more []Slot) {
	const most = 1 << 12 // virtual functions of one class
	for _, s := range more {
		if len(l.Slots) < most && !slices.Contains(l.Slots, s) {
			l.Slots = append(l.Slots, s)
		}
	}
}

// content adds what lies below node i: members, base classes, enumerators, virtual functions.
func (r *reader) content(l *Layout, i int32, variant string) error {
	end := r.nodes[i].end
	if err := r.spend(uint64(end - i)); err != nil {
		return err
	}
	for k := i + 1; k < end; k = r.nodes[k].end {
		n := &r.nodes[k]
		switch n.tag {
		case tagMember, tagInheritance:
			if n.flags&declaration != 0 {
				continue // a static member of a class
			}
			if err := r.field(l, n, variant); err != nil {
				return err
			}
		case tagEnumerator:
			l.Numbers = append(l.Numbers, Enumerator{n.name, int64(n.a)})
		case tagSubprogram:
			if n.flags&isVirtual != 0 {
				l.addSlots([]Slot{{n.a, n.name}})
			}
		case tagVariantPart:
			if err := r.content(l, k, variant); err != nil {
				return err
			}
		case tagVariant:
			name := "otherwise"
			if n.flags&hasValue != 0 {
				name = strconv.FormatUint(n.a, 10)
			}
			if err := r.content(l, k, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) field(l *Layout, n *node, variant string) error {
	t, err := r.of(n.typ)
	if err != nil {
		return err
	}
	f := Field{Name: n.name, Offset: n.a, Bits: n.b, Type: t, Base: n.tag == tagInheritance, Variant: variant}
	if f.Base {
		f.Name = r.b.Text(t)
	}
	l.Fields = append(l.Fields, f)
	return nil
}

// layoutKey appends what tells a layout from others. Virtual functions do not: a unit describes those that it knows of.
func (r *reader) layoutKey(k []byte, l *Layout) []byte {
	text := func(s string) {
		k = binary.AppendUvarint(k, uint64(len(s)))
		k = append(k, s...)
	}
	k = binary.AppendUvarint(k, l.Size)
	k = binary.AppendUvarint(k, uint64(len(l.Fields)))
	for i := range l.Fields {
		f := &l.Fields[i]
		text(f.Name)
		text(f.Variant)
		k = binary.AppendUvarint(k, f.Offset)
		k = binary.AppendUvarint(k, f.Bits)
		k = binary.AppendUvarint(k, uint64(f.Type))
		if f.Base {
			k = append(k, 1)
		} else {
			k = append(k, 0)
		}
	}
	for _, e := range l.Numbers {
		text(e.Name)
		k = binary.AppendVarint(k, e.Value)
	}
	return k
}

// base returns the last part of a path; "" of an empty one.
func base(p string) string {
	if p == "" {
		return ""
	}
	return path.Base(p)
}

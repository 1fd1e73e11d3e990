package types

import (
	"fmt"
	"slices"
	"strings"
)

// MoveKind says what happened to a part of a layout. The words are part of --json.
type MoveKind string

const (
	MoveSize       MoveKind = "size"       // of the whole
	MoveAdded      MoveKind = "added"      // a member that only the new build has
	MoveRemoved    MoveKind = "removed"    // one that only the old build has
	MovePlace      MoveKind = "moved"      // a member lies elsewhere
	MoveWidth      MoveKind = "resized"    // a member has another size
	MoveType       MoveKind = "retyped"    // a member has another type of the same size
	MoveName       MoveKind = "renamed"    // the same member or number under another name
	MoveEnumerator MoveKind = "enumerator" // a number that goes, comes or changes
	MoveSlot       MoveKind = "slot"       // a virtual function
)

// Move is one difference between two layouts. Offsets and widths are in bits, -1 where there is none.
type Move struct {
	What     MoveKind `json:"what"`
	Member   string   `json:"member,omitempty"`
	Old      int64    `json:"old"` // offset; of a size, width, number or slot that
	New      int64    `json:"new"`
	OldType  string   `json:"old_type,omitempty"`
	NewType  string   `json:"new_type,omitempty"`
	Text     string   `json:"text"`
	Harmless bool     `json:"harmless"`
}

// flat is a member as the code sees it: those of anonymous structs and unions count as the members of what they lie in.
type flat struct {
	Field
	name  string
	width uint64 // bits
}

// maxMembers bounds how many members of one layout are compared.
const maxMembers = 1 << 14

// flatten lists the members of a layout, at most maxMembers.
func (b *Build) flatten(l *Layout, prefix string, offset uint64, depth int) []flat {
	var out []flat
	for i := range l.Fields {
		if len(out) >= maxMembers {
			return out[:maxMembers]
		}
		f := l.Fields[i]
		if f.Offset != Unknown {
			f.Offset += offset
		}
		if t := &b.types[f.Type]; f.Name == "" && t.kind == Anonymous && depth < maxNesting && f.Offset != Unknown {
			out = append(out, b.flatten(t.layout, prefix, f.Offset, depth+1)...)
			continue
		}
		width := f.Bits
		if width == 0 {
			width = b.size(f.Type, 0) * 8
		}
		name := prefix + f.Name
		if f.Variant != "" {
			name = "variant " + f.Variant + ": " + name
		}
		out = append(out, flat{f, name, width})
	}
	return out
}

// size returns the size of a type in bytes, 0 if that is not known.
func (b *Build) size(id ID, depth int) uint64 {
	t := &b.types[id]
	switch t.kind {
	case Base, Other:
		return t.size
	case Pointer:
		return 8
	case Member:
		if b.types[t.elem].kind == Function {
			return 16 // an address and an adjustment (Itanium C++ ABI, 2.3)
		}
		return 8
	case Array:
		if t.count == Unknown || depth > maxNesting {
			return 0
		}
		return t.count * b.size(t.elem, depth+1)
	case Named:
		if l := b.named[t.named].Layouts; len(l) > 0 {
			return l[0].Size
		}
	case Anonymous:
		return t.layout.Size
	}
	return 0
}

// diff returns what differs between a layout of the old build and one of the new. It is empty if nothing does.
func (c *Comparison) diff(o, n *Layout) []Move { return c.diffAt(o, n, "", 0, 0) }

// diffAt is diff for layouts that lie in others, in bits from their starts.
func (c *Comparison) diffAt(o, n *Layout, prefix string, at, to uint64) []Move {
	var out []Move
	if o.Size != n.Size {
		what := "size"
		if prefix != "" {
			what = "size of `" + strings.TrimSuffix(prefix, ".") + "`"
		}
		out = append(out, Move{What: MoveSize, Old: int64(o.Size) * 8, New: int64(n.Size) * 8,
			Text: fmt.Sprintf("%s %d -> %d", what, o.Size, n.Size)})
	}
	if o.Enum || n.Enum {
		return append(out, diffNumbers(o, n)...)
	}
	olds, news := c.Old.flatten(o, prefix, at, 0), c.New.flatten(n, prefix, to, 0)
	if len(olds) == maxMembers || len(news) == maxMembers {
		out = append(out, Move{What: MoveSize, Text: fmt.Sprintf("more than %d members: the rest is not compared", maxMembers)})
	}
	byName := make(map[string]int, len(news))
	for i := range news {
		if _, twice := byName[news[i].name]; !twice {
			byName[news[i].name] = i
		}
	}
	taken := make([]bool, len(news))
	var left []flat
	for i := range olds {
		k, ok := byName[olds[i].name]
		if i < len(news) && news[i].name == olds[i].name {
			k, ok = i, true // names need not be unique
		}
		if !ok || taken[k] {
			left = append(left, olds[i])
			continue
		}
		taken[k] = true
		out = append(out, c.member(&olds[i], &news[k])...)
	}
	out = append(out, c.unmatched(at+o.Size*8, left, olds, news, taken)...)
	return append(out, diffSlots(o, n)...)
}

// member compares two members of one name.
func (c *Comparison) member(a, b *flat) []Move {
	m := Move{Member: a.name, Old: bitOffset(a), New: bitOffset(b)}
	var out []Move
	if a.Offset != b.Offset {
		m.What, m.Text = MovePlace, fmt.Sprintf("`%s` moved %s -> %s", a.name, offset(a), offset(b))
		out = append(out, m)
	}
	if a.Bits != b.Bits {
		m.What, m.Old, m.New, m.Text = MoveWidth, int64(a.width), int64(b.width), fmt.Sprintf("`%s` %d -> %d bits", a.name, a.width, b.width)
		return append(out, m)
	}
	if c.same(a.Type, b.Type) && a.width == b.width {
		return out
	}
	if x, y := c.Old.types[a.Type].layout, c.New.types[b.Type].layout; x != nil && y != nil && a.Offset != Unknown && b.Offset != Unknown {
		return append(out, c.diffAt(x, y, a.name+".", a.Offset, b.Offset)...)
	}
	m.OldType, m.NewType = c.Old.Text(a.Type), c.New.Text(b.Type)
	switch {
	case a.width != b.width:
		m.What, m.Old, m.New = MoveWidth, int64(a.width), int64(b.width)
		m.Text = fmt.Sprintf("`%s` %d -> %d bytes", a.name, a.width/8, b.width/8)
		if m.OldType != m.NewType {
			m.Text += ": " + m.OldType + " -> " + m.NewType
		}
	default:
		m.What, m.Harmless = MoveType, c.Alike(a.Type, b.Type)
		m.Text = fmt.Sprintf("`%s` %s -> %s", a.name, m.OldType, m.NewType)
		if m.Harmless {
			m.Text += ", of the same layout"
		}
	}
	return append(out, m)
}

// unmatched judges members whose name only one build has. At the same place and of the same type they are one member under
// another name, or another name of a member that stays. The old layout ends at bit end; left are those of olds whose name is gone.
func (c *Comparison) unmatched(end uint64, left, olds, news []flat, taken []bool) []Move {
	var out []Move
	at, to := places(olds), places(news) // a member that stays may have several names
	for i := range left {
		a := &left[i]
		m := Move{What: MoveRemoved, Member: a.name, Old: bitOffset(a), New: -1, OldType: c.Old.Text(a.Type),
			Text: fmt.Sprintf("`%s` removed at %s", a.name, offset(a))}
		k := slices.IndexFunc(news, func(b flat) bool { return isAt(at, &b) && c.inPlace(a, &b) })
		if free := c.freeInPlace(a, news, taken); free >= 0 {
			k, taken[free] = free, true
		}
		if k >= 0 {
			m.What, m.Harmless, m.New, m.NewType = MoveName, true, bitOffset(&news[k]), c.New.Text(news[k].Type)
			m.Text = fmt.Sprintf("`%s` renamed to `%s`", a.name, news[k].name)
		}
		out = append(out, m)
	}
	for j := range news {
		if taken[j] {
			continue
		}
		b := &news[j]
		m := Move{What: MoveAdded, Member: b.name, Old: -1, New: bitOffset(b), NewType: c.New.Text(b.Type),
			Text: fmt.Sprintf("`%s` added at %s", b.name, offset(b))}
		if k := slices.IndexFunc(olds, func(a flat) bool { return isAt(to, &a) && c.inPlace(&a, b) }); k >= 0 {
			m.What, m.Harmless, m.Old, m.OldType = MoveName, true, bitOffset(&olds[k]), c.Old.Text(olds[k].Type)
			m.Text = fmt.Sprintf("`%s` added, as another name of `%s`", b.name, olds[k].name)
		} else if b.Offset+b.width <= end && !slices.ContainsFunc(olds, b.overlaps) {
			m.Text += ", which was padding"
		}
		out = append(out, m)
	}
	return out
}

// places returns where the members of each name begin.
func places(l []flat) map[string]uint64 {
	out := make(map[string]uint64, len(l))
	for i := range l {
		out[l[i].name] = l[i].Offset
	}
	return out
}

func isAt(places map[string]uint64, f *flat) bool {
	at, ok := places[f.name]
	return ok && at == f.Offset
}

// inPlace reports whether a member of the new build is one of the old, names aside.
func (c *Comparison) inPlace(a, b *flat) bool {
	return a.Offset == b.Offset && a.Bits == b.Bits && a.width == b.width && a.Variant == b.Variant && a.Base == b.Base && c.Alike(a.Type, b.Type)
}

// freeInPlace returns the first member of the new build that could be a, and that is not another one of the old build; -1: there is none.
func (c *Comparison) freeInPlace(a *flat, news []flat, taken []bool) int {
	for j := range news {
		if !taken[j] && c.inPlace(a, &news[j]) {
			return j
		}
	}
	return -1
}

// overlaps reports whether two members share bits.
func (f *flat) overlaps(x flat) bool {
	return x.Offset < f.Offset+f.width && f.Offset < x.Offset+x.width
}

func bitOffset(f *flat) int64 { return int64(f.Offset) }

// offset writes a place: in bytes, with the bit where that is not 0 or the member is a bit-field.
func offset(f *flat) string {
	switch {
	case f.Offset == Unknown:
		return "a place known at run time"
	case f.Bits > 0 || f.Offset%8 > 0:
		return fmt.Sprintf("%d bit %d", f.Offset/8, f.Offset%8)
	}
	return fmt.Sprint(f.Offset / 8)
}

// diffNumbers compares enumerators.
func diffNumbers(o, n *Layout) []Move {
	if slices.Equal(o.Numbers, n.Numbers) {
		return nil
	}
	news, olds := make(map[string]int64), make(map[string]bool)
	highest := int64(-1) << 63
	for _, e := range o.Numbers {
		olds[e.Name] = true
		highest = max(highest, e.Value)
	}
	fresh := make(map[int64]string) // names of new enumerators, by value
	for _, e := range n.Numbers {
		news[e.Name] = e.Value
		if _, have := fresh[e.Value]; !have && !olds[e.Name] {
			fresh[e.Value] = e.Name
		}
	}
	var out []Move
	renamed := make(map[string]bool)
	for _, e := range o.Numbers {
		v, ok := news[e.Name]
		m := Move{What: MoveEnumerator, Member: e.Name, Old: e.Value, New: v, Text: fmt.Sprintf("`%s` %d -> %d", e.Name, e.Value, v)}
		if ok && v == e.Value {
			continue
		}
		if name := fresh[e.Value]; !ok && name != "" && !renamed[name] {
			renamed[name] = true
			m.What, m.Harmless, m.New = MoveName, true, e.Value
			m.Text = fmt.Sprintf("`%s` (%d) renamed to `%s`", e.Name, e.Value, name)
		} else if !ok {
			m.New = -1
			m.Text = fmt.Sprintf("`%s` (%d) removed", e.Name, e.Value)
		}
		out = append(out, m)
	}
	for _, e := range n.Numbers {
		if olds[e.Name] || renamed[e.Name] {
			continue
		}
		m := Move{What: MoveEnumerator, Member: e.Name, Old: -1, New: e.Value, Harmless: true}
		if m.Text = fmt.Sprintf("`%s` (%d) added", e.Name, e.Value); e.Value > highest {
			m.Text += " at the end"
		}
		out = append(out, m)
	}
	return out
}

// diffSlots compares vtables. A slot in the middle that one build does not describe is none of its own: compilers leave out what no unit uses.
func diffSlots(o, n *Layout) []Move {
	name := func(l *Layout) (m map[uint64]string, end uint64) {
		m = make(map[uint64]string)
		for _, s := range l.Slots {
			m[s.Index] = s.Name
			end = max(end, s.Index+1)
		}
		return m, end
	}
	olds, oldEnd := name(o)
	news, newEnd := name(n)
	var out []Move
	for i := range min(max(oldEnd, newEnd), 1<<16) {
		a, b := olds[i], news[i]
		m := Move{What: MoveSlot, Member: fmt.Sprint("slot ", i), Old: int64(i), New: int64(i), OldType: a, NewType: b}
		switch {
		case a == b || a == "" && i < oldEnd || b == "" && i < newEnd:
			continue
		case a == "":
			m.Old, m.Text = -1, fmt.Sprintf("vtable slot %d added: %s", i, b)
		case b == "":
			m.New, m.Text = -1, fmt.Sprintf("vtable slot %d removed: %s", i, a)
		default:
			m.Text = fmt.Sprintf("vtable slot %d: %s -> %s", i, a, b)
		}
		out = append(out, m)
	}
	return out
}

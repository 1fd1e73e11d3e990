package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/elfdiff/types"
)

// typeJudge judges changes of types.
type typeJudge struct {
	d         *differ
	cmp       *types.Comparison
	graph     *types.Graph
	replaced  map[arch.ImageAddr]bool         // entries of old functions that the patch replaces, or that go away
	described map[*image.Atom]*types.Variable // of the old build
	atomOf    map[*types.Variable]*image.Atom // its reverse
}

func newTypeJudge(d *differ) *typeJudge {
	l := &d.layouts
	j := &typeJudge{d: d, cmp: types.NewComparison(l.old, l.new), graph: l.old.Graph(),
		replaced: make(map[arch.ImageAddr]bool), described: atomsOf(&d.old, l.old.Variables), atomOf: make(map[*types.Variable]*image.Atom)}
	for _, c := range d.funcs {
		if c.old != nil && (c.how == patch.Removed || c.carried(&d.opt)) {
			j.replaced[c.old.atom().Addr] = true
		}
	}
	for a, v := range j.described {
		j.atomOf[v] = a
	}
	return j
}

// layout judges a type that changed. The harm is in the objects that exist: they are laid out as the old build has it.
func (j *typeJudge) layout(c *types.Change) {
	t := &typeChange{TypeChange: TypeChange{Name: c.Name, File: c.Old.File, OldSize: c.Old.Size, NewSize: c.New.Size, Moves: c.Moves}}
	concern := j.graph.Concern(c)
	t.Variables, t.Pointers = variableNames(concern.Holding), variableNames(concern.Pointing)
	for _, i := range concern.Functions {
		f := &j.cmp.Old.Funcs[i]
		j.user(t, f.Name, arch.ImageAddr(f.Addr))
	}
	for _, v := range slices.Concat(concern.Holding, concern.Pointing[:concern.Direct]) {
		j.users(t, j.atomOf[v])
	}
	for _, text := range moveTexts(c.Moves) {
		t.because(patch.ReasonLayout, nil, "%s", text)
	}
	if c.Several > 0 {
		t.because(patch.ReasonLayout, nil, "%d layouts of this name changed, which cannot be told apart: the first is shown", c.Several)
	}
	where, apart := j.where(t, &concern)
	id := "layout:" + c.Name
	switch {
	case c.Harmless():
		t.Why = "objects that exist are as good as new ones"
	case c.Virtual():
		t.refuse("objects that exist have the vtable of the old build (%s); only a restart builds them with the new one", firstSlot(c))
	case c.Old.Enum:
		t.needAck(id, "numbers that exist keep the meaning of the old build (%s)%s", shorten(c.Moves), where)
	case !apart:
		t.Why = "only functions that the patch replaces have objects of it, on their stacks, and none of them runs when it is applied"
	default:
		t.needAck(id, "objects that exist have the old layout (%s)%s", shorten(c.Moves), where)
	}
	j.d.layouts.changes = append(j.d.layouts.changes, t)
}

// users enters the functions that refer to a variable; nil has none.
func (j *typeJudge) users(t *typeChange, a *image.Atom) {
	for _, u := range j.d.old.usersOf(a) {
		j.user(t, u.name(), u.atom().Addr)
	}
}

// user enters a function that uses the type, once.
func (j *typeJudge) user(t *typeChange, name string, entry arch.ImageAddr) {
	to := &t.Unchanged
	if j.replaced[entry] {
		to = &t.Functions
	}
	if !slices.Contains(*to, name) {
		*to = append(*to, name)
	}
}

// where says what has objects of a type. It reports whether some may exist apart from the stacks of replaced functions.
func (j *typeJudge) where(t *typeChange, n *types.Concern) (text string, apart bool) {
	var parts []string
	if len(t.Variables) > 0 {
		parts = append(parts, "in "+some(t.Variables, 4))
	}
	if len(t.Pointers) > 0 {
		parts = append(parts, "reached from "+some(t.Pointers, 4))
	}
	switch {
	case len(parts) > 0:
	case n.InMember != "":
		parts = append(parts, n.InMember+" points to them")
	case n.PointerIn != "":
		parts = append(parts, n.PointerIn+" holds a pointer to them")
	}
	if len(t.Unchanged) > 0 {
		parts = append(parts, fmt.Sprintf("functions that stay as they are use it: %s", some(t.Unchanged, 4)))
	}
	if len(parts) == 0 && !n.ByValue {
		parts = append(parts, "no variable has this type: code reaches it by casts")
	}
	if len(parts) == 0 {
		return "", false
	}
	return ": " + strings.Join(parts, "; "), true
}

func variableNames(l []*types.Variable) []string {
	var out []string
	for _, v := range l {
		if !slices.Contains(out, v.Name) {
			out = append(out, v.Name)
		}
	}
	return out
}

func firstSlot(c *types.Change) string {
	for _, m := range c.Moves {
		if m.What == types.MoveSlot && !m.Harmless {
			return m.Text
		}
	}
	return ""
}

// shorten says the gravest moves in few words.
func shorten(moves []types.Move) string {
	harm := slices.DeleteFunc(slices.Clone(moves), func(m types.Move) bool { return m.Harmless })
	return some(moveTexts(harm), 4)
}

// moveTexts says in words what moved. Members that moved one after the other by the same distance are one item.
func moveTexts(moves []types.Move) []string {
	var out []string
	for i := 0; i < len(moves); i++ {
		m, k := &moves[i], i+1
		for k < len(moves) && m.What == types.MovePlace && moves[k].What == types.MovePlace && moves[k].New-moves[k].Old == m.New-m.Old {
			k++
		}
		if text := m.Text; k-i > 2 {
			out = append(out, fmt.Sprintf("%s, and %d more members as far", text, k-i-1))
			i = k - 1
		} else {
			out = append(out, text)
		}
	}
	const most = 12
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more differences", len(out)-most))
	}
	return out
}

// variables judges variables whose own type changed: the bytes in the running process stay what they are.
func (j *typeJudge) variables() {
	news := atomsOf(&j.d.new, j.cmp.New.Variables)
	for _, a := range j.d.old.im.Atoms {
		b := j.d.fwd.of(a)
		v, w := j.described[a], news[b]
		if o := j.d.objNew[b]; o != nil && o.delta == objGrown {
			o.longer = v != nil && w != nil && j.cmp.Longer(v, w)
		}
		if v == nil || w == nil || readOnly(a) {
			continue
		}
		moves := j.cmp.Variable(v, w)
		if moves == nil {
			continue
		}
		t := &typeChange{TypeChange: TypeChange{Name: a.Name, File: a.File, OldSize: a.Size, NewSize: b.Size, Moves: moves, Variables: []string{a.Name}}}
		j.users(t, a)
		for _, text := range moveTexts(moves) {
			t.because(patch.ReasonLayout, nil, "%s", text)
		}
		if shorten(moves) == "" {
			t.Why = "the running value means the same"
		} else {
			t.needAck("layout:"+a.Name, "the running variable keeps its bytes, which the new code reads in another way (%s)", shorten(moves))
		}
		j.d.layouts.changes = append(j.d.layouts.changes, t)
	}
	slices.SortStableFunc(j.d.layouts.changes, func(a, b *typeChange) int { return strings.Compare(a.Name, b.Name) })
}

// atomsOf finds the variables of a build among its atoms. Where DWARF describes one twice, the first stands.
func atomsOf(s *side, l []types.Variable) map[*image.Atom]*types.Variable {
	find := s.variableFinder()
	out := make(map[*image.Atom]*types.Variable)
	for i := range l {
		if a := find(l[i].Addr, l[i].TLS); a != nil && out[a] == nil {
			out[a] = &l[i]
		}
	}
	return out
}

// variableFinder returns a function that finds the atom of a variable which DWARF describes: by its address, or by its offset in the template of
// thread-local storage.
func (s *side) variableFinder() func(addr uint64, tls bool) *image.Atom {
	threads := make(map[arch.ImageAddr]*image.Atom)
	for _, a := range s.im.Atoms {
		if a.Kind == image.TLSObject {
			threads[a.Addr] = a
		}
	}
	return func(addr uint64, tls bool) *image.Atom {
		a := s.im.AtomAt(arch.ImageAddr(addr))
		if tls {
			a = threads[s.im.TLS.Addr+arch.ImageAddr(addr)]
		}
		if a == nil || a.IsCode() || !tls && a.Addr != arch.ImageAddr(addr) {
			return nil
		}
		return a
	}
}

// signatures judges functions whose parameters changed. Callers that did not change are the new build's too, so they pass what it takes.
// But a pointer that a running variable holds may lead callers to it that the new build would lead elsewhere.
func (j *typeJudge) signatures() {
	olds, news := functionsByEntry(j.cmp.Old), functionsByEntry(j.cmp.New)
	for _, c := range j.d.funcs {
		if c.old == nil || c.new == nil || !c.carried(&j.d.opt) && c.out == "" {
			continue
		}
		f, g := olds[c.old.atom().Addr], news[c.new.atom().Addr]
		if f == nil || g == nil {
			continue
		}
		alike, registers := j.cmp.Prototype(f, g)
		c.sameCall = alike || registers
		if alike {
			continue
		}
		text := j.cmp.Old.Prototype(f) + " -> " + j.cmp.New.Prototype(g)
		c.because(patch.ReasonSignature, nil, "signature %s", text)
		if !registers {
			j.d.refuseBorder(c, text)
		}
		if how, ok := j.d.stored[c.old.atom()]; ok && !registers && c.out == "" {
			c.needAck("signature:"+c.old.name(), "signature %s, and its address is stored (%s): who calls it through a pointer that exists, "+
				"or from another module, passes what the old one takes", text, how)
		}
	}
}

func functionsByEntry(b *types.Build) map[arch.ImageAddr]*types.Func {
	out := make(map[arch.ImageAddr]*types.Func, len(b.Funcs))
	for i := range b.Funcs {
		out[arch.ImageAddr(b.Funcs[i].Addr)] = &b.Funcs[i]
	}
	return out
}

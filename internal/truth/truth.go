// Package truth says which functions and data objects of a program differ between two builds, from the object files of a second
// compilation with -ffunction-sections -fdata-sections. It is the oracle that the product's differ is held against, and shares
// no code with it: it reads no linked file, and decodes no instruction. The compiler has put each function and object into a
// section of its own, so that nothing has to be found; the assembler has left every reference as a relocation, so that nothing
// has to be understood. Two functions are equal if their sections have the same bytes and their relocations lead, one by one, to
// the same things.
//
// # What counts as one function
//
// NAME.cold belongs to NAME, and so does NAME.part.N to which nothing but jumps of NAME lead. NAME.isra.N and NAME.constprop.N are
// functions of their own; their numbers do not count, and neither do those of function-local statics (x.12), which are paired by
// who uses them, by content, and in their order. A function whose kind of suffix changes is one removed and one added.
//
// # What counts as a change
//
// Merged strings and constants count by content, and so do constants without a name, jump tables among them. A named constant
// is an entity of its own: if only its content changed, it has changed, and its readers have not. If its size changed, its
// readers are named (Reads), because a patch must carry them; so are those of a variable that grew.
//
// # Line numbers
//
// A unit that uses __LINE__ is compiled a third time with __LINE__ defined to be 1. A function that differs in the second
// compilation and not in the third differs in nothing but line numbers: every other input of the two compilations is the same.
// The reverse holds as well, but for code that depends on a line's value, as in #if __LINE__ > 5. __builtin_LINE is not seen: it
// counts as a change.
//
// Where all lines have one number, the compiler may specialise a function for it. A unit whose functions are not the same ones
// then is compiled a fourth time, with __LINE__ defined to be the size of the enclosing function's name, which proves the same. A
// function that neither compilation has is undecided.
package truth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Unit is one object of a linked file, and its twins.
type Unit struct {
	Name    string // as the linker names it
	Twin    string // file compiled with -ffunction-sections -fdata-sections
	NoLines string // the same with __LINE__ defined to be 1; "" if the unit does not use it
	Named   string // the same with __LINE__ depending on the function's name; "" if NoLines has the functions of Twin
}

// Change says in what an entity differs.
type Change string

const (
	Changed   Change = "changed"
	Added     Change = "added"
	Removed   Change = "removed"
	Line      Change = "line"    // functions: in line numbers only
	Resized   Change = "resized" // data: size
	Undecided Change = "undecided"
)

// Item is a function or data object that differs, or whose surroundings do.
type Item struct {
	Kind   string // function, constant, variable, thread-local
	Names  []string
	File   string // of local entities: the source file (STT_FILE)
	Object string
	Change Change   // "" for a function that only reads what has changed its size
	Reads  []string // functions: constants of another size, and variables that grew, that they refer to
	Why    string   // of what is undecided
}

// Name stands for the item.
func (i *Item) Name() string { return i.Names[0] }

// Report is what Compare found.
type Report struct {
	Functions int // of the new build
	Items     []Item
}

// Compare compares two links.
func Compare(old, new []Unit) (*Report, error) {
	full, err := compareBy(old, new, func(u *Unit) string { return u.Twin })
	if err != nil {
		return nil, err
	}
	lines := &lineJudge{}
	if lines.bare, err = compareBy(old, new, func(u *Unit) string { return cmp.Or(u.NoLines, u.Twin) }); err != nil {
		return nil, err
	}
	if lines.named, err = compareBy(old, new, func(u *Unit) string { return cmp.Or(u.Named, u.NoLines, u.Twin) }); err != nil {
		return nil, err
	}
	r := &Report{}
	lines.index()
	for _, e := range full.new.entities {
		if e.kind == function {
			r.Functions++
		}
		a := full.rev[e]
		if a == nil {
			r.add(e, Added)
			continue
		}
		if i := full.judge(a, e); i != nil {
			if i.Change == Changed && i.Kind == "function" {
				i.Change, i.Why = lines.judge(a, e)
			}
			r.Items = append(r.Items, *i)
		}
	}
	for _, e := range full.old.entities {
		if full.fwd[e] == nil {
			r.add(e, Removed)
		}
	}
	return r, nil
}

func compareBy(old, new []Unit, pick func(*Unit) string) (*comparison, error) {
	a, err := load(old, pick)
	if err != nil {
		return nil, fmt.Errorf("old: %w", err)
	}
	b, err := load(new, pick)
	if err != nil {
		return nil, fmt.Errorf("new: %w", err)
	}
	return newComparison(pair(a, b)), nil
}

func (r *Report) add(e *entity, change Change) { r.Items = append(r.Items, e.item(change)) }

func (e *entity) item(change Change) Item {
	kinds := [...]string{"function", "constant", "variable", "thread-local"}
	return Item{Kind: kinds[e.kind], Names: e.names, File: e.file, Object: e.obj.name, Change: change}
}

// judge compares two partners. It returns nil if there is nothing to say.
func (c *comparison) judge(a, b *entity) *Item {
	i := b.item("")
	switch {
	case b.kind != function && (a.kind != b.kind || a.size() != b.size()):
		i.Change = Resized
	case !c.equal(a, b):
		i.Change = Changed
	}
	if b.kind == function {
		i.Reads = c.reads(b)
	}
	if i.Change == "" && len(i.Reads) == 0 {
		return nil
	}
	return &i
}

func (e *entity) size() uint64 { return e.pieces[0].hi - e.pieces[0].lo }

// reads lists what a function of the new build refers to and must be given a new place: constants whose size has changed, and
// variables that grew.
func (c *comparison) reads(b *entity) []string {
	var out []string
	for _, x := range b.pieces {
		for _, r := range x.sec.relocsIn(x.lo, x.hi) {
			t := c.new.target(x.sec, r).ent
			if t == nil || slices.Contains(out, t.name()) {
				continue
			}
			a := c.rev[t]
			switch {
			case a == nil || a.kind != t.kind:
			case t.kind == constant && a.size() != t.size(), t.kind == variable && a.size() < t.size():
				out = append(out, t.name())
			}
		}
	}
	return out
}

// identity tells an entity from the others of its program: a compilation without line numbers has the same ones.
func (e *entity) identity() string { return e.obj.name + " " + strings.Join(e.names, " ") }

// lineJudge decides which functions differ in nothing but line numbers.
type lineJudge struct {
	bare, named *comparison
	of          [2]map[string]*entity // of the new builds of bare and named, by identity
}

func (l *lineJudge) index() {
	for i, c := range []*comparison{l.bare, l.named} {
		l.of[i] = make(map[string]*entity)
		for _, e := range c.new.entities {
			l.of[i][e.identity()] = e
		}
	}
}

// judge decides about a function b whose partner a differs from it.
func (l *lineJudge) judge(a, b *entity) (Change, string) {
	known := false
	for i, c := range []*comparison{l.bare, l.named} {
		y := l.of[i][b.identity()]
		if y == nil || c.rev[y] == nil || c.rev[y].identity() != a.identity() {
			continue
		}
		if c.equal(c.rev[y], y) {
			return Line, ""
		}
		known = true
	}
	if !known {
		return Undecided, "the compiler makes no such function where lines have no numbers of their own"
	}
	return Changed, ""
}

// SameFunctions reports whether two object files have functions of the same names.
func SameFunctions(a, b string) (bool, error) {
	var names [2][]string
	for i, path := range []string{a, b} {
		obj, err := readObject(path, path)
		if err != nil {
			return false, err
		}
		for _, s := range obj.symbols {
			if s.sec != nil && s.sec.code() {
				names[i] = append(names[i], s.name)
			}
		}
		slices.Sort(names[i])
	}
	return slices.Equal(names[0], names[1]), nil
}

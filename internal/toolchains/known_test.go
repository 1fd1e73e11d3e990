package toolchains

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// inexactness is what comparisons in rows of certain values report beyond the truth. Nothing is ever allowed to be missed. What else is
// reported than it says, or more often, is a defect.
type inexactness struct {
	values map[string][]string // by axis: a row has one of each
	names  []string            // plain names of what is reported; nil: any
	// library restricts it to functions and objects that the program's own sources do not define.
	library bool
	kinds   []patch.ReasonKind // every reason of the change is of one of them
	shown   func(x *finding) bool
	most    int // changes in one comparison
	why     string
}

// finding is a reported change that is none in truth.
type finding struct {
	change   *patch.Change
	names    []string // plain names of what it speaks of
	from, to *linked
	old, new Build
}

// numberOrAddress are the reasons that follow from a number that was taken for an address or a thread-local offset.
var numberOrAddress = []patch.ReasonKind{patch.ReasonReference, patch.ReasonConstant, patch.ReasonOwn}

// dataWithoutEnd are those that follow from a constant without a name whose end cannot be told, and from an object that is its neighbour.
var dataWithoutEnd = []patch.ReasonKind{patch.ReasonData, patch.ReasonContent, patch.ReasonInitial, patch.ReasonAdded, patch.ReasonRemoved, patch.ReasonUnused}

// inexact are all of them; the README says the same to users.
var inexact = []inexactness{
	{values: map[string][]string{axisKind: {"static"}, axisRelocs: {"no-relocs"}}, library: true, kinds: slices.Concat(numberOrAddress, dataWithoutEnd), most: 80,
		why: "fixed and without relocations: numbers of the libraries that look like addresses or thread-local offsets, constants of theirs without ends"},
	{values: map[string][]string{axisKind: {"static", "static-pie"}}, names: []string{"_nl_locale_subfreeres"}, library: true,
		kinds: numberOrAddress, most: 1,
		why: "offsets of weak thread-local variables that are not linked in: the linker computes them from address 0"},
	{values: map[string][]string{axisKind: {"static", "static-pie"}}, library: true, kinds: []patch.ReasonKind{patch.ReasonUnknown}, most: 3,
		why: "hand-written code of the libraries that moved and cannot be decoded"},
	{values: map[string][]string{axisKind: {"static", "static-pie"}}, library: true,
		names: []string{"call_fini", "buffered_vfprintf", "_IO_helper_jumps", "read_encoded_value", "_dl_map_object_from_fd.constprop", "lock", "handle_amd",
			"__cxa_get_globals", "state", "_IO_strn_jumps", "__mbsrtowcs"},
		kinds: []patch.ReasonKind{patch.ReasonReference, patch.ReasonTable, patch.ReasonConstant, patch.ReasonAdded, patch.ReasonRemoved, patch.ReasonUnused},
		most:  4, why: "sections of static libraries in another order: the ends of tables that are neighbours, and names that several objects have"},
	{values: map[string][]string{axisKind: {"static", "static-pie"}}, library: true, kinds: []patch.ReasonKind{patch.ReasonReference}, shown: besideOther, most: 15,
		why: "sections of static libraries without debug information in another order: an address that is the end of one object or the start of another"},
	{values: map[string][]string{axisKind: {"static", "static-pie"}, axisRelocs: {"no-relocs"}}, library: true,
		kinds: []patch.ReasonKind{patch.ReasonInitial, patch.ReasonContent}, shown: func(x *finding) bool { return x.change.What == "object" }, most: 3,
		why: "sections of static libraries without debug information in another order: a word in data that is the end of one object or the start of another"},
	{values: map[string][]string{axisKind: {"static", "static-pie"}, axisLinker: {"lld", "mold"}}, kinds: []patch.ReasonKind{patch.ReasonContent},
		shown: func(x *finding) bool { return x.change.What == "data" }, most: 2,
		why: "sections of static libraries in another order: bytes behind constants without names, to which nothing that can be seen refers"},
	{values: map[string][]string{axisCode: {gccCXX, clangCXX}, axisKind: {"static"}, axisLinker: {"bfd", "gold"}},
		names: []string{"answer", "_ZNK5TallyIlE4foldIZ6foldedRKS0_E3$_0EEllT_"}, kinds: []patch.ReasonKind{patch.ReasonData}, most: 1,
		why: "constants in another order (--sort-section): those without names whose ends cannot be told"},
	{values: map[string][]string{axisCode: {clangC}, axisKind: {"static", "no-pie"}, axisLinker: {"gold", "lld"}},
		names: []string{"operate", "total"}, kinds: []patch.ReasonKind{patch.ReasonTable, patch.ReasonConstant}, most: 2,
		why: "sections in another order: a jump table whose end cannot be told, and what is its neighbour"},
	{values: map[string][]string{axisCode: {clangC, clangCXX}, axisKind: {"no-pie"}}, names: []string{"total"}, kinds: numberOrAddress, most: 1,
		why: "an index that counts from far behind its table: what it counts from cannot be told"},
	{values: map[string][]string{axisCode: {rustc}}, kinds: []patch.ReasonKind{patch.ReasonData, patch.ReasonString, patch.ReasonInlined}, shown: withoutEnd, most: 3,
		why: "texts without names and without a NUL at their ends: where one ends cannot be told, and what follows moved"},
	{values: map[string][]string{axisCode: {rustc}, axisLTO: {"lto"}}, kinds: []patch.ReasonKind{patch.ReasonAdded, patch.ReasonRemoved}, shown: inBoth, most: 4,
		why: "functions of one name that differ in nothing but such texts, and so are not paired"},
	{values: map[string][]string{axisCode: {rustc}, axisKind: {"static"}, axisRelocs: {"no-relocs"}}, names: []string{"main"}, kinds: numberOrAddress, most: 1,
		why: "fixed and without relocations: a number that looks like an address"},
	{values: map[string][]string{axisKind: {shared}, axisLinker: {"mold"}, axisFolding: {"icf"}}, kinds: []patch.ReasonKind{patch.ReasonCall, patch.ReasonSignature},
		shown: folded, most: 20,
		why: "functions that the linker folded, of which it kept another one: what that calls by its dynamic symbol has another name"},
}

// withoutEnd reports whether texts are told to differ only behind the end of one of them, and nothing is told but that or what follows from it.
func withoutEnd(x *finding) bool {
	told := false
	for _, r := range x.change.Reasons {
		switch r.Kind {
		case patch.ReasonData:
			told = true
		case patch.ReasonString:
			old, new, ok := strings.Cut(strings.TrimPrefix(r.Text, "string "), " -> ")
			old, new = strings.Trim(old, `"`), strings.Trim(new, `"`)
			if !ok || !strings.HasPrefix(old, new) && !strings.HasPrefix(new, old) {
				return false
			}
			told = true
		}
	}
	return told
}

// besideOther reports whether nothing is told but that an address has other objects beside it.
func besideOther(x *finding) bool {
	return len(x.change.Reasons) > 0 && !slices.ContainsFunc(x.change.Reasons, func(r patch.Reason) bool {
		return !strings.HasPrefix(r.Text, "an address that may be meant for ")
	})
}

// inBoth reports whether both builds have functions of the name.
func inBoth(x *finding) bool {
	return slices.ContainsFunc(x.names, func(n string) bool { return x.from.names[n] && x.to.names[n] })
}

// folded reports whether several functions lie where the function lies, in both builds.
func folded(x *finding) bool {
	if x.change.Old == nil || x.change.New == nil {
		return false
	}
	several := func(l *linked, e *patch.Extent) bool {
		names := strings.Fields(l.at[uint64(e.Addr)])
		return slices.ContainsFunc(names, func(n string) bool { return n != names[0] })
	}
	return several(x.from, x.change.Old) && several(x.to, x.change.New)
}

// explains reports whether an inexactness of the row is the whole cause of what was found.
func (k *inexactness) explains(c *Combination, x *finding) bool {
	for axis, values := range k.values {
		if !slices.Contains(values, c.row.value(c.axes, axis).Name) {
			return false
		}
	}
	for _, r := range x.change.Reasons {
		if !slices.Contains(k.kinds, r.Kind) {
			return false
		}
	}
	named := k.names == nil || slices.ContainsFunc(x.names, func(n string) bool { return slices.Contains(k.names, n) })
	return named && (k.shown == nil || k.shown(x)) && !(k.library && own(x.names, []Build{x.old, x.new}))
}

// known explains findings: it returns how many each inexactness explains, by the words for it, and those that none does, or that are too many.
func (c *Combination) known(found []finding) (explained map[string]int, rest []finding) {
	explained = make(map[string]int)
	for i := range found {
		k := slices.IndexFunc(inexact, func(k inexactness) bool { return explained[k.why] < k.most && k.explains(c, &found[i]) })
		if k < 0 {
			rest = append(rest, found[i])
			continue
		}
		explained[inexact[k].why]++
	}
	return explained, rest
}

// own reports whether the program's own sources define something of one of the names.
func own(names []string, builds []Build) bool {
	for _, b := range builds {
		for _, file := range b.Sources {
			f, err := elf.Open(file)
			if err != nil {
				return true
			}
			syms, err := f.Symbols()
			f.Close()
			if err != nil {
				return true
			}
			for _, s := range syms {
				if s.Section != elf.SHN_UNDEF && slices.Contains(names, plainName(s.Name)) {
					return true
				}
			}
		}
	}
	return false
}

// Every entry names values that there are, and no two have the same words, by which they are counted.
func TestInexact(t *testing.T) {
	words := make(map[string]bool)
	for _, x := range inexact {
		if words[x.why] || x.most == 0 || len(x.kinds) == 0 {
			t.Errorf("%q: twice, or without a limit or kinds", x.why)
		}
		words[x.why] = true
		for axis, values := range x.values {
			found := 0
			for _, a := range Axes(elf.EM_X86_64) {
				for _, v := range a.Values {
					if a.Name == axis && slices.Contains(values, v.Name) {
						found++
					}
				}
			}
			if found != len(values) {
				t.Errorf("%s: %d of the values %s exist", axis, found, strings.Join(values, ", "))
			}
		}
	}
}

// TestKnown holds that a change of another kind, of another name, or one too many is not explained.
func TestKnown(t *testing.T) {
	axes := Axes(elf.EM_X86_64)
	row := make(Row, len(axes))
	for i, a := range axes {
		for k, v := range a.Values {
			if v.Name == "static" || v.Name == "no-relocs" || v.Name == clangC || v.Name == "gold" {
				row[i] = k
			}
		}
	}
	c := &Combination{victim.Native(t), axes, row}
	one := func(name string, kind patch.ReasonKind) finding {
		return finding{change: &patch.Change{What: "function", Name: name, Reasons: []patch.Reason{{Kind: kind, Text: "x"}}}, names: []string{name}}
	}
	for _, test := range []struct {
		name  string
		found []finding
		rest  int
	}{
		{name: "a number of a library", found: []finding{one("printf", patch.ReasonReference)}},
		{name: "a table of the program", found: []finding{one("operate", patch.ReasonTable)}},
		{name: "another reason", found: []finding{one("operate", patch.ReasonCall), one("printf", patch.ReasonInlined)}, rest: 2},
		{name: "too many", found: slices.Repeat([]finding{one("printf", patch.ReasonReference)}, 82), rest: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, rest := c.known(test.found); len(rest) != test.rest {
				t.Errorf("%d are not explained, want %d", len(rest), test.rest)
			}
		})
	}
}

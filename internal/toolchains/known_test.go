package toolchains

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
)

// inexactness is what rows of certain values report beyond the truth. Nothing is ever allowed to be missed.
type inexactness struct {
	values  map[string][]string // by axis: a row has one of each
	library bool                // only of functions and objects that the program's own sources do not define
	what    string              // kind of change; "": any
	why     string
}

// inexact are all of them; the README says the same to users.
var inexact = []inexactness{
	{map[string][]string{axisKind: {"static"}, axisRelocs: {"no-relocs"}}, true, "",
		"fixed and without relocations: numbers of the libraries that look like addresses or thread-local offsets, code of theirs that moved and cannot be decoded"},
	{map[string][]string{axisKind: {"static", "static-pie"}, axisLinker: {"lld", "mold"}}, true, "",
		"sections of static libraries in another order: constants without names whose ends cannot be told, hand-written code that moved and cannot be decoded"},
	{map[string][]string{axisKind: {"static", "static-pie"}, axisLinker: {"bfd", "gold"}}, false, "",
		"constants in another order (--sort-section): those without names whose ends cannot be told"},
	{map[string][]string{axisCode: {rustc}, axisLTO: {"lto"}}, false, "",
		"link-time optimisation of the whole standard library: texts without names and without a NUL at their ends lie in another order"},
	{map[string][]string{axisCode: {rustc}}, false, "",
		"texts without names and without a NUL at their ends: where one ends cannot be told, and what follows moved"},
	{map[string][]string{axisCode: {clangCXX}, axisOpt: {"O0"}}, false, "function",
		"a jump to the function's own end, which control never takes, where another function begins"},
	{nil, false, "data", "bytes to which nothing that can be seen refers"},
	{nil, false, "inline", "the program's own inline functions, of which the report tells for others"},
}

// known returns why a change that is none in truth is reported, or "" if nothing that is known explains it.
func (c *Combination) known(change *patch.Change, names []string, builds ...Build) string {
	for i := range inexact {
		x := &inexact[i]
		ok := x.what == "" || x.what == change.What
		for axis, values := range x.values {
			ok = ok && slices.Contains(values, c.row.value(c.axes, axis).Name)
		}
		if ok && (!x.library || !own(names, builds)) {
			return x.why
		}
	}
	return ""
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

// Every entry names values that there are.
func TestInexact(t *testing.T) {
	for _, x := range inexact {
		for axis, values := range x.values {
			found := 0
			for _, a := range Axes() {
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

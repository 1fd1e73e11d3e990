package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// causedChanges are some roots with what follows from them: a long C++ name, a chain, many followers, a ring.
func causedChanges() []patch.Change {
	const long = "_ZNSt6vectorISt4pairINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEmESaIS7_EE17_M_realloc_insertIJS7_EEEvN9__gnu_cxx17__normal_iteratorIPS7_S9_EEDpOT_"
	out := []patch.Change{
		{Name: "root", File: "a.c", Reasons: []patch.Reason{{Kind: patch.ReasonOwn, Text: "own code (3 places)"}, {Kind: patch.ReasonConstant, Text: "constant 40 -> 44"}}},
		{Name: "middle", Reasons: []patch.Reason{{Kind: patch.ReasonInlined, Text: "inlines root, which changed (2 places)", Cause: 1}}},
		{Name: long, Reasons: []patch.Reason{
			{Kind: patch.ReasonOwn, Text: "own code (1 place, on the same source lines)", Cause: 2},
			{Kind: patch.ReasonInlined, Text: "inlines middle, which changed (12 places)", Cause: 2},
			{Kind: patch.ReasonString, Text: `string "_Z3foov is a word of the program" -> "another"`},
		}},
		{Name: "ring1", Reasons: []patch.Reason{{Kind: patch.ReasonInlining, Text: "calls ring2, which it inlined before", Cause: 5}}},
		{Name: "ring2", Reasons: []patch.Reason{{Kind: patch.ReasonInlining, Text: "inlines _ZN3foo3barEi, which it called before", Cause: 4}}},
	}
	for i := range 40 {
		out = append(out, patch.Change{Name: fmt.Sprintf("reader%d", i), Reasons: []patch.Reason{{Kind: patch.ReasonData, Text: "reads table, whose size changed: it has a new place", Cause: 46}}})
	}
	for i := range out {
		out[i].What, out[i].Change, out[i].Verdict = "function", "changed", patch.OK
	}
	return append(out, patch.Change{What: "object", Name: "table", File: "table.c", Change: "changed", Verdict: patch.OK,
		Reasons: []patch.Reason{{Kind: patch.ReasonSize, Text: "size 40 -> 48"}}})
}

func TestCausesGolden(t *testing.T) {
	build := &image.Image{Path: "/usr/bin/server", BuildID: []byte{1, 2, 3, 4, 5, 6}, HasBuildID: true}
	for _, tt := range []struct {
		name    string
		width   int
		all     bool
		mangled bool
	}{
		{name: "causes"},
		{name: "causes_narrow", width: 80},
		{name: "causes_mangled", mangled: true, all: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := textApp()
			a.width, a.mangled = tt.width, tt.mangled
			res := &elfdiff.Result{Patch: &patch.Patch{}, Changes: causedChanges(), Counts: elfdiff.Counts{Functions: 500, Changed: 45, Equal: 455}}
			j := &diffJob{app: a, old: build, new: build, res: res, diffOptions: diffOptions{all: tt.all}}
			if err := j.report(); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name, b.String())
		})
	}
}

func TestWhyGolden(t *testing.T) {
	r := newReport(causedChanges(), true)
	a, b := textApp()
	for _, name := range []string{"root", "std::vector<std::pair<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, unsigned long>, " +
		"std::allocator<std::pair<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, unsigned long> > >::_M_realloc_insert",
		"ring1"} {
		if len(r.find(name)) == 0 && strings.Contains(name, "::") {
			name = causedChanges()[2].Name // the demangler spells it in another way
		}
		if err := a.why(r, name); err != nil {
			t.Fatal(err)
		}
		a.printf("--")
	}
	golden(t, "why", b.String())
	if err := a.why(r, "nothing"); err == nil || !strings.Contains(err.Error(), "no change has that name") {
		t.Errorf("a name that nothing has: %v", err)
	}
}

// TestRoots: what a change is put down to.
func TestRoots(t *testing.T) {
	r := newReport(causedChanges(), true)
	for _, tt := range []struct {
		name string
		want string
	}{
		{name: "root", want: "root"},
		{name: "middle", want: "root"},
		{name: causedChanges()[2].Name, want: "root"},
		{name: "reader7", want: "table"},
		{name: "table", want: "table"},
	} {
		if got := r.change(r.root(r.find(tt.name)[0])).Name; got != tt.want {
			t.Errorf("%s: root %s, want %s", tt.name, got, tt.want)
		}
	}
	if changed, follow := r.counts(); changed != 45 || follow < 42 {
		t.Errorf("%d changed, %d follow", changed, follow)
	}
	own := []patch.Change{
		{What: "function", Name: "a", Change: "changed", Reasons: []patch.Reason{{Kind: patch.ReasonInlined, Text: "inlines b", Cause: 2}, {Kind: patch.ReasonOwn, Text: "own code"}}},
		{What: "function", Name: "b", Change: "changed"},
	}
	if r := newReport(own, true); r.root(1) != 1 {
		t.Error("a change with unexplained code of its own is no root")
	}
}

func TestWords(t *testing.T) {
	a := new(app)
	for in, want := range map[string]string{
		"inlines _ZN3foo3barEi, which changed":             "inlines foo::bar(int), which changed",
		`string "_Z3foov" -> "x \"_Z3foov"`:                `string "_Z3foov" -> "x \"_Z3foov"`,
		"it ends with _Z3foov.":                            "it ends with foo().",
		"my_Z3foov stays":                                  "my_Z3foov stays",
		"_Zx is none":                                      "_Zx is none",
		"calls _Z3foov.isra.0":                             "calls foo() [clone .isra.0]",
		"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE": "core::fmt::Write::write_fmt",
		"_RNvC6_123foo3bar":                                "123foo::bar",
	} {
		if got := a.words(in); got != want {
			t.Errorf("words(%q) is %q, want %q", in, got, want)
		}
	}
	a.mangled = true
	if got := a.words("inlines _ZN3foo3barEi"); got != "inlines _ZN3foo3barEi" {
		t.Errorf("--no-demangle: %q", got)
	}
}

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  []string
	}{
		{text: "", width: 5, want: []string{""}},
		{text: "one two", width: 7, want: []string{"one two"}},
		{text: "one two three", width: 7, want: []string{"one two", "three"}},
		{text: "averylongword x", width: 5, want: []string{"averylongword", "x"}},
		{text: "äöü äöü", width: 7, want: []string{"äöü äöü"}},
	} {
		if got := fold(strings.Fields(tt.text), tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("fold(%q, %d) is %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}

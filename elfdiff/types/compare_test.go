package types

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// versions builds both versions of a source.
func versions(t *testing.T, cc, source string, flags ...string) (old, new string) {
	t.Helper()
	flags = append([]string{"-O0", "-g"}, flags...)
	old = victim.Build(t, cc, []string{source}, append([]string{"-DV=1"}, flags...)...)
	return old, victim.Build(t, cc, []string{source}, append([]string{"-DV=2"}, flags...)...)
}

// changesC is what is found in testdata/types/changes.c: for each type that changed, the moves. "ok " in front: harmless.
var changesC = map[string]string{
	"struct inserted":   "size 8 -> 24; `c` moved 4 -> 16; `b` added at 8",
	"struct appended":   "size 4 -> 8; `b` added at 4",
	"struct in_padding": "`b` added at 1, which was padding",
	"struct removed":    "size 12 -> 8; `c` moved 8 -> 4; `b` removed at 4",
	"struct swapped":    "`a` moved 0 -> 4; `b` moved 4 -> 0",
	"struct renamed":    "ok `a` renamed to `first`",
	"struct widened":    "size 8 -> 16; `b` moved 4 -> 8; `b` 4 -> 8 bytes: INT -> LONG",
	"struct resigned":   "`a` INT -> UNSIGNED",
	"struct floated":    "`a` INT -> float",
	"struct counted":    "ok `a` INT -> enum count, of the same layout",
	"struct same_width": "ok `a` LONG -> LONGLONG, of the same layout",
	"struct pointed":    "`a` struct removed * -> struct widened *",
	"struct retargeted": "ok `a` struct twin_a * -> struct twin_b *, of the same layout",
	"struct to_void":    "`a` void * -> INT *",
	"struct longer":     "size 20 -> 28; `a` 16 -> 24 bytes: INT[4] -> INT[6]; `b` moved 16 -> 24",
	"struct bits":       "`a` 3 -> 4 bits; `b` moved 0 bit 3 -> 0 bit 4",
	"struct anonymous":  "`raw` added at 0",
	"struct nested":     "size 8 -> 12; size of `in` 4 -> 8; `in.y` added at 4; `last` moved 4 -> 8",
	"struct holder":     "size 8 -> 12; `in` 4 -> 8 bytes; `after` moved 4 -> 8",
	"struct called":     "`f` void (*)(INT) -> void (*)(INT, LONG)",
	"union joined":      "size 4 -> 8; `b` added at 0",
	"enum end":          "ok `E2` (2) added at the end",
	"enum middle":       "`M1` 1 -> 2; ok `MX` (1) added",
	"enum taken_away":   "`T1` (1) removed",
	"enum other_name":   "ok `O0` (0) renamed to `P0`",
	"anonymous_enum":    "`A1` 1 -> 2; ok `AX` (1) added",
	"enum {L1, ...}":    "`L1` 1 -> 2; `L2` 2 -> 3; ok `L0` (0) added",
}

// changesCC is the same of testdata/types/changes.cc.
var changesCC = map[string]string{
	"struct n::Base":                       "size 4 -> 8; `b` added at 4",
	"struct n::Derived":                    "size 8 -> 12; `struct n::Base` 4 -> 8 bytes; `c` moved 4 -> 8",
	"class n::Rebased":                     "size 8 -> 16; `x` moved 4 -> 12; `struct n::Base` removed at 0; `struct n::Derived` added at 0",
	"class n::Slots":                       "vtable slot 1: _ZN1n5Slots4lastEv -> _ZN1n5Slots6secondEv; vtable slot 2 added: _ZN1n5Slots4lastEv",
	"class n::Tail":                        "vtable slot 1 added: _ZN1n4Tail4lastEv",
	"struct n::Box<int>":                   "size 8 -> 16; `n` moved 4 -> 8; `n` 4 -> 8 bytes: INT -> LONG",
	"struct n::Box<char*>":                 "`n` 4 -> 8 bytes: INT -> LONG",
	"enum n::Kind":                         "`C` 1 -> 2; ok `B` (1) added",
	"struct (anonymous namespace)::Hidden": "ok `a` renamed to `b`",
	"struct main::Local":                   "size 4 -> 8; `l` 4 -> 8 bytes: INT -> LONG",
}

// spelling evens out how compilers spell types.
var spelling = strings.NewReplacer("long long int", "LONGLONG", "long long", "LONGLONG", "long int", "LONG", "long", "LONG", "unsigned int", "UNSIGNED",
	"int", "INT", "Box<char *>", "Box<char*>", "movINT", "movint")

func found(c *Comparison) map[string]string {
	out := make(map[string]string)
	for _, x := range c.Changes() {
		var l []string
		for _, m := range x.Moves {
			text := m.Text
			if m.Harmless {
				text = "ok " + text
			}
			l = append(l, text)
		}
		out[strings.ReplaceAll(x.Name, "Box<char *>", "Box<char*>")] = strings.Join(l, "; ")
	}
	return out
}

// TestChanges finds each change in each form of DWARF.
func TestChanges(t *testing.T) {
	for _, v := range []struct {
		name, cc, source string
		flags            []string
		want             map[string]string
	}{
		{"gcc", "gcc", "types/changes.c", nil, changesC},
		{"gcc-dwarf-4", "gcc", "types/changes.c", []string{"-gdwarf-4"}, changesC},
		{"gcc-dwarf-3", "gcc", "types/changes.c", []string{"-gdwarf-3", "-gstrict-dwarf"}, changesC},
		{"gcc-lto", "gcc", "types/changes.c", []string{"-flto"}, changesC},
		{"gcc-type-units", "gcc", "types/changes.c", []string{"-fdebug-types-section"}, changesC},
		{"gcc-type-units-4", "gcc", "types/changes.c", []string{"-gdwarf-4", "-fdebug-types-section"}, changesC},
		{"gcc-dwarf64", "gcc", "types/changes.c", []string{"-gdwarf64"}, changesC},
		{"clang", "clang", "types/changes.c", nil, changesC},
		{"clang-dwarf-4", "clang", "types/changes.c", []string{"-gdwarf-4"}, changesC},
		{"c++", "g++", "types/changes.cc", nil, changesCC},
		{"c++-type-units", "g++", "types/changes.cc", []string{"-fdebug-types-section"}, changesCC},
		{"clang++", "clang++", "types/changes.cc", nil, changesCC},
		{"clang++-simple-names", "clang++", "types/changes.cc", []string{"-gsimple-template-names"}, changesCC},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			old, new := versions(t, v.cc, v.source, v.flags...)
			c := NewComparison(readFile(t, old), readFile(t, new))
			got := found(c)
			for _, name := range slices.Sorted(maps.Keys(v.want)) {
				if text, want := spelling.Replace(got[name]), spelling.Replace(v.want[name]); text != want {
					t.Errorf("%s:\n  got  %s\n  want %s", name, text, want)
				}
				delete(got, name)
			}
			for _, name := range slices.Sorted(maps.Keys(got)) {
				t.Errorf("%s changed: %s", name, got[name])
			}
		})
	}
}

// TestVariables: variables and functions whose own types changed.
func TestVariables(t *testing.T) {
	old, new := versions(t, "gcc", "types/changes.c")
	a, b := readFile(t, old), readFile(t, new)
	c := NewComparison(a, b)
	variable := func(b *Build, name string) *Variable {
		i := slices.IndexFunc(b.Variables, func(v Variable) bool { return v.Name == name })
		if i < 0 {
			t.Fatalf("no variable %s", name)
		}
		return &b.Variables[i]
	}
	for _, v := range []struct{ name, want string }{
		{"becomes_float", "int -> float"},
		{"becomes_unsigned", "int -> unsigned int"},
		{"becomes_long_long", "long int -> long long int, of the same layout"},
		{"swapped", ""}, // its type is reported under its name
		{"unchanged", ""},
	} {
		got := ""
		for _, m := range c.Variable(variable(a, v.name), variable(b, v.name)) {
			got += m.Text
		}
		if got != v.want {
			t.Errorf("%s: got %q, want %q", v.name, got, v.want)
		}
	}
	function := func(b *Build, name string) *Func {
		i := slices.IndexFunc(b.Funcs, func(f Func) bool { return f.Name == name })
		if i < 0 {
			t.Fatalf("no function %s", name)
		}
		return &b.Funcs[i]
	}
	for _, v := range []struct {
		name             string
		alike, registers bool
		old              string
	}{
		{"stays", true, true, "int stays(struct unchanged *, char)"},
		{"more", false, false, "int more(int)"},
		{"sign", false, true, "void sign(int)"},
		{"returns", false, false, "int returns()"},
	} {
		f := function(a, v.name)
		if alike, registers := c.Prototype(f, function(b, v.name)); alike != v.alike || registers != v.registers {
			t.Errorf("%s: alike %v, registers %v", v.name, alike, registers)
		}
		if got := a.Prototype(f); got != v.old {
			t.Errorf("%s is %q, want %q", v.name, got, v.old)
		}
	}
}

package elfdiff_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/internal/victim"
)

// What is not known of layouts is said: no debug information, types in other files, single units without any.
func TestLayoutsUnchecked(t *testing.T) {
	heap := filepath.Join(victim.Root(t), "testdata", "pairs", "layoutunits.c")
	other := filepath.Join(victim.Root(t), "testdata", "pairs", "layoutunits_b.c")
	for _, v := range []struct {
		name         string
		first, other []string // flags of the two units
		strip        bool     // of the new build
		want         string
	}{
		{name: "all", first: []string{"-g"}, other: []string{"-g"}, want: elfdiff.LayoutsChecked},
		{name: "dwarf-4", first: []string{"-gdwarf-4"}, other: []string{"-gdwarf-4"}, want: elfdiff.LayoutsChecked},
		{name: "type-units", first: []string{"-g", "-fdebug-types-section"}, other: []string{"-g"}, want: elfdiff.LayoutsChecked},
		{name: "compressed", first: []string{"-g", "-gz"}, other: []string{"-g"}, want: elfdiff.LayoutsChecked},
		{name: "none", first: []string{"-g0"}, other: []string{"-g0"}, want: "unchecked: old build: "},
		{name: "lost", first: []string{"-g"}, other: []string{"-g"}, strip: true, want: "unchecked: new build: "},
		{name: "lines", first: []string{"-g"}, other: []string{"-g0"},
			want: "partly: 1 of 3 functions of the old build have no debug information (other); 1 of 3 functions of the new build"},
		{name: "split", first: []string{"-g", "-gsplit-dwarf"}, other: []string{"-g"},
			want: "partly: 1 of 2 units of the old build keep their types in .dwo files; 1 of 2"},
	} {
		t.Run(v.name, func(t *testing.T) {
			dir := t.TempDir()
			build := func(version string) string {
				var objects []string
				for i, x := range []struct {
					source string
					flags  []string
				}{{heap, v.first}, {other, v.other}} {
					o := filepath.Join(dir, version+string(rune('a'+i))+".o")
					command(t, "gcc", append([]string{"-O2", "-fPIE", "-c", x.source, "-o", o, "-DV=" + version}, x.flags...)...)
					objects = append(objects, o)
				}
				out := filepath.Join(dir, "v"+version)
				command(t, "gcc", append([]string{"-pie", "-Wl,--build-id", "-o", out}, objects...)...)
				return out
			}
			old, new := build("1"), build("2")
			if v.strip {
				command(t, "strip", "-g", new)
			}
			r, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(r.Layouts, v.want) {
				t.Errorf("layouts: %q, want %q", r.Layouts, v.want)
			}
			asked := slices.Contains(r.Missing, "layout:struct item")
			if known := !strings.HasPrefix(r.Layouts, "unchecked") && v.name != "split"; known != asked {
				t.Errorf("layouts %q, asks for %v", r.Layouts, r.Missing)
			}
		})
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// A changed type says what it concerns.
func TestTypeConcerns(t *testing.T) {
	build := func(v string) string {
		return victim.Build(t, "gcc", []string{"types/concern.c"}, "-O1", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-DV="+v)
	}
	r, err := elfdiff.Diff(load(t, build("1")), load(t, build("2")), elfdiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]elfdiff.TypeChange)
	for _, c := range r.Types {
		got[c.Name] = c
	}
	for _, want := range []struct {
		name, verdict                             string
		variables, pointers, functions, unchanged []string
		why                                       string
	}{
		{"struct held", "ack", []string{"table", "one"}, nil, []string{"use_held", "count_held"}, nil, "in table, one"},
		{"struct linked", "ack", nil, []string{"head"}, []string{"use_linked"}, []string{"main"}, "reached from head"},
		{"struct stacked", "ok", nil, nil, []string{"use_stacked"}, nil, "only functions that the patch replaces"},
		{"struct kept", "ack", nil, nil, []string{"peek_kept", "use_kept"}, []string{"main"}, "main holds a pointer"},
		{"struct cast", "ack", nil, nil, nil, nil, "code reaches it by casts"},
		{"struct pointed", "ack", nil, nil, []string{"use_pointed"}, nil, "use_pointed holds a pointer"},
		{"enum numbers", "ack", nil, nil, []string{"use_numbers"}, nil, "`ONE` 1 -> 2"},
		{"struct one_name", "ok", []string{"one_name"}, nil, nil, []string{"use_name"}, "as good as new ones"},
	} {
		c := got[want.name]
		if string(c.Verdict) != want.verdict || !strings.Contains(c.Why, want.why) {
			t.Errorf("%s: %s %q, want %s %q", want.name, c.Verdict, c.Why, want.verdict, want.why)
		}
		for _, l := range []struct {
			what      string
			got, want []string
		}{{"variables", c.Variables, want.variables}, {"pointers", c.Pointers, want.pointers},
			{"functions", c.Functions, want.functions}, {"unchanged", c.Unchanged, want.unchanged}} {
			if sorted(l.got) != sorted(l.want) {
				t.Errorf("%s: %s %v, want %v", want.name, l.what, l.got, l.want)
			}
		}
	}
}

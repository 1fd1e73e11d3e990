package elfdiff_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

// TestRelink: the objects of a program of testdata/relink in another order give no change, and an edit of one of them gives that change alone,
// in any order.
func TestRelink(t *testing.T) {
	for _, p := range []struct {
		name     string
		compiler string
		flags    []string
		edits    []relinkEdit
	}{
		{name: "ends", compiler: "clang", edits: []relinkEdit{
			{macro: "CODE", changed: []string{"kind"}},
			{macro: "ENTRY", changed: []string{"kind"}},
		}},
		{name: "empty", compiler: "clang", flags: []string{"-g"}, edits: []relinkEdit{
			{macro: "BEHIND", changed: []string{"behind"}},
			{macro: "SLOT", changed: []string{"ops"}},
			// What the address of the empty function leads to, where it is stored, is the function behind it.
			{macro: "FILLED", changed: []string{"main", "never", "ops"}, refused: "never was another name of"},
		}},
		{name: "copies", compiler: "clang++", edits: []relinkEdit{
			{macro: "TAG", changed: []string{"_ZL3tag", "_ZL3tag"}, reversed: []string{"_Z4usesi"}},
			{macro: "HELP", changed: []string{"_ZL4helpi", "_ZL4helpi"}, reversed: []string{"_Z4usesi"}},
		}},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			build := func(macro string, reverse bool) string {
				return buildRelink(t, p.name, p.compiler, append([]string{"-D" + macro}, p.flags...), reverse)
			}
			old := build("NONE", false)
			checkRelink(t, old, build("NONE", true), nil, "")
			for _, e := range p.edits {
				checkRelink(t, old, build(e.macro, false), e.changed, e.refused)
				checkRelink(t, old, build(e.macro, true), slices.Concat(e.changed, e.reversed), e.refused)
			}
		})
	}
}

// relinkEdit is an edit that a macro makes.
type relinkEdit struct {
	macro    string
	changed  []string
	reversed []string // those that are changed as well if the order of the link is another
	refused  string   // why no patch can be made
}

// buildRelink compiles the program's files and links them in the order of their names, or in reverse.
func buildRelink(t *testing.T, name, compiler string, flags []string, reverse bool) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "relink", name, "*.c*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%s: %d files, %v", name, len(files), err)
	}
	dir := t.TempDir()
	var objects []string
	for _, f := range files {
		o := filepath.Join(dir, strings.ReplaceAll(filepath.Base(f), ".", "_")+".o")
		run(t, compiler, slices.Concat([]string{"-O2", "-fPIE", "-c", "-o", o}, flags, []string{f})...)
		objects = append(objects, o)
	}
	if reverse {
		slices.Reverse(objects)
	}
	out := filepath.Join(dir, name)
	run(t, compiler, append([]string{"-pie", "-Wl,--build-id", "-o", out}, objects...)...)
	return out
}

// checkRelink compares two builds and the report with the changes that it must have. With every word given that is asked for, a patch is made
// of them, unless it is refused.
func checkRelink(t *testing.T, old, new string, changed []string, refused string) {
	t.Helper()
	diff := func(acks []string) *elfdiff.Result {
		r, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{Acks: acks, User: "test", Date: time.Unix(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := diff(nil)
	var got []string
	for _, c := range r.Changes {
		got = append(got, c.Name)
	}
	if sorted(got) != sorted(changed) {
		for _, c := range r.Changes {
			t.Logf("%s %s %s: %s %v %s", c.What, c.Name, c.Change, c.Verdict, c.Reasons, c.Why)
		}
		t.Errorf("changes: got %q, want %q", got, changed)
	}
	if len(changed) == 0 {
		return
	}
	if refused != "" {
		if !slices.ContainsFunc(r.Changes, func(c patch.Change) bool { return c.Verdict == patch.Refused && strings.Contains(c.Why, refused) }) {
			t.Errorf("no refusal says %q", refused)
		}
		return
	}
	if r = diff(r.Missing); r.Patch == nil {
		t.Fatalf("no patch: %d refused, missing %v", r.Refused, r.Missing)
	}
	if _, err := r.Patch.Encode(); err != nil {
		t.Error(err)
	}
}

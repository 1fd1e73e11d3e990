package elfdiff_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// leftParts builds a version of testdata/leaveout/parts.c.
func leftParts(t *testing.T, version, flag string) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"leaveout/parts.c"}, "-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-DV="+version, flag)
}

func TestLeaveOut(t *testing.T) {
	tests := []struct {
		name       string
		only, skip []string
		flag       string   // of the compiler
		out        string   // functions that are left out
		word       string   // that is asked for
		why        []string // in what is said of the first of them
		refused    string   // in the refusal of one
		err        string
	}{
		{name: "called by the patch", skip: []string{"tax"}, out: "tax", word: "skip:tax",
			why: []string{"total of the patch, compiled for its new body, will call the old one", "will not equal the new build's"}},
		{name: "calls the patch", skip: []string{"total"}, out: "total", word: "skip:total",
			why: []string{"it was compiled for the old body of tax and will call the new one"}},
		{name: "added function goes with it", skip: []string{"alone"}, out: "alone helper", word: "skip:alone",
			why: []string{"no function of the patch calls it itself, and it calls none itself"}},
		{name: "two", skip: []string{"tax", "total"}, out: "tax total", word: "skip:tax skip:total"},
		{name: "only", only: []string{"tax", "sum"}, out: "alone helper name scale scaled total", word: "only:sum,tax"},
		{name: "reads what is renewed", skip: []string{"name"}, out: "name", word: "skip:name", why: []string{"it will read the new content of names"}},
		{name: "other arguments, caller stays", skip: []string{"scaled"}, out: "scaled", refused: "it is left out, but calls scale, whose signature changed"},
		{name: "other arguments, callee stays", skip: []string{"scale"}, out: "scale", refused: "it is left out, but its signature changed"},
		{name: "what would move with it", skip: []string{"sum"}, out: "sum", word: "skip:sum"},
		{name: "what moves", skip: []string{"sum"}, flag: "-DCOUNT", out: "sum", refused: "refers to slots, which gets a new place"},
		{name: "unchanged", skip: []string{"answer"}, err: "answer: no function of that name changed"},
		{name: "added", skip: []string{"helper"}, err: "added functions go with those that call them"},
		{name: "both", only: []string{"tax"}, skip: []string{"total"}, err: "either"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			flag := cmp.Or(tt.flag, "-O2")
			old, new := leftParts(t, "1", flag), leftParts(t, "2", flag)
			opt := elfdiff.Options{User: "test", Date: time.Unix(0, 0), Only: tt.only, Skip: tt.skip}
			r, err := elfdiff.Diff(load(t, old), load(t, new), opt)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var out, refused []string
			var first patch.Change // of those that are left out
			for _, c := range r.Changes {
				if c.Change == "left out" {
					out = append(out, c.Name)
					first = map[bool]patch.Change{true: c, false: first}[len(out) == 1]
				}
				if c.Verdict == patch.Refused {
					refused = append(refused, c.Why)
				}
			}
			if got := sorted(out); got != sorted(strings.Fields(tt.out)) || r.Counts.LeftOut != len(out) {
				t.Errorf("left out: %s (%d), want %s", got, r.Counts.LeftOut, tt.out)
			}
			if tt.refused != "" {
				if r.Patch != nil || !strings.Contains(strings.Join(refused, "\n"), tt.refused) {
					t.Errorf("refused %q, want %q", refused, tt.refused)
				}
				return
			}
			if r.Patch != nil || len(refused) > 0 || sorted(r.Missing) != sorted(strings.Fields(tt.word)) {
				t.Fatalf("refused %q, missing %q, want %q", refused, r.Missing, tt.word)
			}
			for _, want := range tt.why {
				if !strings.Contains(first.Why, want) {
					t.Errorf("%s: %q, want %q", first.Name, first.Why, want)
				}
			}
			opt.Acks = r.Missing
			checkLeftOut(t, old, new, opt, out)
		})
	}
}

// checkLeftOut makes the patch and looks for what is left out of it.
func checkLeftOut(t *testing.T, old, new string, opt elfdiff.Options, out []string) {
	t.Helper()
	im := load(t, new)
	r, err := elfdiff.Diff(load(t, old), im, opt)
	if err != nil || r.Patch == nil {
		t.Fatalf("with the word given: %v, %+v", err, r)
	}
	for i := range r.Patch.Funcs {
		if slices.Contains(out, r.Patch.Funcs[i].Name) {
			t.Errorf("the patch holds %s", r.Patch.Funcs[i].Name)
		}
	}
	for _, name := range out {
		for _, a := range im.Named(name) {
			if slices.ContainsFunc(r.Patch.Map, func(m patch.MapEntry) bool { return m.New == a.Addr }) {
				t.Errorf("a later patch could count on the new %s", name)
			}
		}
	}
	if len(r.Patch.Acks) != len(opt.Acks) {
		t.Errorf("acknowledgements %+v, want %q", r.Patch.Acks, opt.Acks)
	}
}

// Package pairs reads the directives of the programs under testdata/pairs, which
// isolate one hazard each, and builds their two versions.
package pairs

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// Pair is one program in two versions, with what is expected of it.
type Pair struct {
	Name    string
	Sources []string // relative to testdata
	Flags   []string // of both versions
	Flags2  []string // further ones of the second

	Changed, Added, Removed, Line, Objects []string // names, without compiler suffixes where the directive has none
	Types                                  []string // names, with their keywords

	Verdict                 string // "ok", "nothing", "refused TEXT", "ack ID..."
	Before, After, Reverted string // answers of the running program; "" if it is not patched
	Apply                   string // what the refusal to apply names; "" if the patch can be applied

	others []directive // of one target only, which go before the rest
}

// directive is one of one target: TARGET-KEY: VALUE.
type directive struct{ target, key, value string }

// For returns the pair with what is expected of it on a target.
func (p *Pair) For(t testing.TB, target victim.Target) *Pair {
	t.Helper()
	c := *p
	for _, d := range p.others {
		if d.target == target.Name {
			c.set(t, d.key, d.value)
		}
	}
	return &c
}

// Load reads all programs, by name.
func Load(t testing.TB) []*Pair {
	t.Helper()
	return load(t, "pairs")
}

// Libraries reads all shared libraries, by name.
func Libraries(t testing.TB) []*Pair {
	t.Helper()
	return load(t, "libs")
}

func load(t testing.TB, dir string) []*Pair {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(victim.Root(t), "testdata", dir, "*.c*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pairs: %v", err)
	}
	var out []*Pair
	for _, f := range files {
		if p := parse(t, f); p.Verdict != "" {
			out = append(out, p)
		}
	}
	return out
}

func parse(t testing.TB, file string) *Pair {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	base := filepath.Base(file)
	p := &Pair{Name: strings.TrimSuffix(base, filepath.Ext(base)), Sources: []string{filepath.Base(filepath.Dir(file)) + "/" + base}}
	s := bufio.NewScanner(f)
	for s.Scan() {
		line, ok := strings.CutPrefix(s.Text(), "// ")
		if !ok {
			break
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.Contains(key, " ") {
			continue
		}
		if target, of, ok := strings.Cut(key, "-"); ok {
			p.others = append(p.others, directive{target, of, strings.TrimSpace(value)})
			continue
		}
		p.set(t, key, strings.TrimSpace(value))
	}
	return p
}

func (p *Pair) set(t testing.TB, key, value string) {
	t.Helper()
	words := strings.Fields(value)
	switch key {
	case "Sources":
		p.Sources = append(p.Sources, words...)
	case "Flags":
		p.Flags = words
	case "Flags2":
		p.Flags2 = words
	case "Changed":
		p.Changed = words
	case "Added":
		p.Added = words
	case "Removed":
		p.Removed = words
	case "Line":
		p.Line = words
	case "Objects":
		p.Objects = words
	case "Types":
		p.Types = titles(words)
	case "Verdict":
		p.Verdict = value
	case "Before":
		p.Before = value
	case "After":
		p.After = value
	case "Reverted":
		p.Reverted = value
	case "Apply":
		p.Apply = value
	default:
		if strings.Trim(key, "DP0123456789") != "" { // D1, P11: the hazard's name
			t.Fatalf("%s: unknown directive %q", p.Name, key)
		}
	}
}

// Build is [Pair.BuildFor] for this machine.
func (p *Pair) Build(t testing.TB, cc string, flags ...string) (old, new string) {
	t.Helper()
	return p.BuildFor(t, victim.Native(t), cc, flags...)
}

// BuildFor compiles both versions: ordinary position independent executables. C++ sources are for the compiler's C++ driver.
func (p *Pair) BuildFor(t testing.TB, target victim.Target, cc string, flags ...string) (old, new string) {
	t.Helper()
	if strings.HasSuffix(p.Sources[0], ".cc") {
		cc = map[string]string{"gcc": "g++", "clang": "clang++"}[cc]
	}
	flags = append(append([]string{"-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id"}, p.Flags...), flags...)
	flags = known(cc, flags)
	old = target.Build(t, cc, p.Sources, append([]string{"-DV=1"}, flags...)...)
	new = target.Build(t, cc, p.Sources, append(append([]string{"-DV=2"}, flags...), p.Flags2...)...)
	return old, new
}

// BuildLibrary is [Pair.BuildLibraryFor] for this machine.
func (p *Pair) BuildLibrary(t testing.TB, cc string, flags ...string) (old, new string) {
	t.Helper()
	return p.BuildLibraryFor(t, victim.Native(t), cc, flags...)
}

// BuildLibraryFor compiles both versions of a shared library. VERSIONS in its flags stands for its version script.
func (p *Pair) BuildLibraryFor(t testing.TB, target victim.Target, cc string, flags ...string) (old, new string) {
	t.Helper()
	script := filepath.Join(victim.Root(t), "testdata", "libs", p.Name+".map")
	all := append([]string{"-O2", "-g", "-fPIC", "-shared", "-Wl,--build-id", "-Wl,-soname,lib" + p.Name + ".so.1"}, flags...)
	for _, f := range p.Flags {
		all = append(all, strings.ReplaceAll(f, "VERSIONS", script))
	}
	all = known(cc, all)
	old = target.Build(t, cc, p.Sources, append([]string{"-DV=1"}, all...)...)
	new = target.Build(t, cc, p.Sources, append(append([]string{"-DV=2"}, all...), p.Flags2...)...)
	return old, new
}

// known leaves out what only gcc has to be told: clang keeps the order of definitions and has no section anchors by itself.
func known(cc string, flags []string) []string {
	if !strings.HasPrefix(cc, "clang") {
		return flags
	}
	return slices.DeleteFunc(flags, func(f string) bool { return f == "-fno-toplevel-reorder" || f == "-fno-section-anchors" })
}

// titles joins the keyword of a type with its name.
func titles(words []string) []string {
	var out []string
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "struct", "union", "class", "enum":
			out = append(out, words[i]+" "+words[i+1])
			i++
		default:
			out = append(out, words[i])
		}
	}
	return out
}

// Acks splits a list of IDs; those of types hold a space.
func Acks(list string) []string {
	var out []string
	for _, w := range strings.Fields(list) {
		if strings.Contains(w, ":") {
			out = append(out, w)
		} else {
			out[len(out)-1] += " " + w
		}
	}
	return out
}

package victim_test

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hotpatch/internal/victim"
)

// onlyFor are the programs that are for one processor only, because they are written by hand.
func onlyFor() map[string]elf.Machine {
	return map[string]elf.Machine{
		"unwind/hand.c":   elf.EM_X86_64,
		"unwind/hand64.c": elf.EM_AARCH64,
	}
}

// TestAllSources compiles every source of testdata for every target, with every compiler.
func TestAllSources(t *testing.T) {
	top := filepath.Join(victim.Root(t), "testdata")
	for _, target := range victim.Targets(t) {
		for _, cc := range []string{"gcc", "clang"} {
			t.Run(target.Name+"/"+cc, func(t *testing.T) {
				t.Parallel()
				n := 0
				for _, source := range sources(t, top) {
					if only := onlyFor()[source]; only != elf.EM_NONE && only != target.Machine {
						continue
					}
					compile(t, target, cc, source)
					n++
				}
				if n < 100 {
					t.Errorf("%d sources in %s", n, top)
				}
			})
		}
	}
}

// sources lists what a C or C++ compiler takes, below a directory.
func sources(t *testing.T, top string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && slices.Contains([]string{".c", ".cc", ".S"}, filepath.Ext(path)) {
			rel, _ := filepath.Rel(top, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range onlyFor() {
		if _, err := os.Stat(filepath.Join(top, name)); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is in the list and not there", name)
		}
	}
	return out
}

// compile compiles one source, and looks whether the objects are for the target.
func compile(t *testing.T, target victim.Target, cc, source string) {
	t.Helper()
	if cc == "clang" && source == "effects/mixed.c" {
		return // optimisation levels by function, which only gcc has
	}
	if filepath.Ext(source) == ".cc" {
		cc = map[string]string{"gcc": "g++", "clang": "clang++"}[cc]
	}
	path := filepath.Join(victim.Root(t), "testdata", source)
	key := []string{"object", source, victim.Contents(t, path)}
	dir := target.Cached(t, cc, key, func(dir string) []string {
		return []string{"-c", "-w", "-O1", "-fPIC", "-DV=2", "-DVERSION=2", path, "-o", filepath.Join(dir, "object.o")}
	})
	f, err := elf.Open(filepath.Join(dir, "object.o"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != target.Machine {
		t.Errorf("%s: built for %v", source, f.Machine)
	}
}

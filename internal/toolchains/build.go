package toolchains

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// Version is which build of a program is meant.
type Version int

const (
	Old    Version = iota
	Again          // the same sources in another directory, linked in another order
	Edited         // one source with the row's edit
)

// Build is one build of a program.
type Build struct {
	File    string   // linked
	Sources []string // the objects of the program's own sources; for Rust with what it makes of the standard library's
	// Objects were compiled from what File was, in the same way, but with a section of its own for each function and object. They hold
	// all that may differ between two builds of a row.
	Objects []string
}

// Combination is a row with its meaning.
type Combination struct {
	target victim.Target
	axes   []Axis
	row    Row
}

func (c *Combination) is(axis, value string) bool { return c.row.value(c.axes, axis).Name == value }

// options collects the options of all axes but the edit.
func (c *Combination) options(of func(v *Value) []string) []string {
	var out []string
	for i := range c.axes {
		if c.axes[i].Name != axisEdit {
			out = append(out, of(&c.axes[i].Values[c.row[i]])...)
		}
	}
	return out
}

func (c *Combination) compileOptions() []string {
	return append([]string{"-g", "-w"}, c.target.Spell(c.options(func(v *Value) []string { return v.Compile }))...)
}

// dir is the directory of the program's sources.
func (c *Combination) dir() string {
	switch {
	case c.is(axisCode, gccC), c.is(axisCode, clangC):
		return "c"
	case c.is(axisCode, rustc):
		return "rust"
	}
	return "cc"
}

// Build makes one build. Objects are kept from run to run, linked files are not.
func (c *Combination) Build(t testing.TB, v Version) Build {
	t.Helper()
	src := filepath.Join(victim.Root(t), "testdata", "toolchains", c.dir())
	if c.is(axisCode, rustc) {
		return c.rust(t, src, v)
	}
	files, err := filepath.Glob(filepath.Join(src, "*."+c.dir()))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s: %v", src, err)
	}
	if v == Again {
		slices.Reverse(files)
	}
	var objects, truth []string
	for _, f := range files {
		base := strings.TrimSuffix(filepath.Base(f), filepath.Ext(f))
		if base == "main" && c.is(axisKind, shared) {
			continue
		}
		options := c.compileOptions()
		if base == "rules" {
			options = append(options, c.edit(v)...)
		}
		objects = append(objects, c.compile(t, f, options, v))
		if base == "rules" {
			truth = []string{c.compile(t, f, append(options, "-ffunction-sections", "-fdata-sections"), v)}
		}
	}
	var shuffle []string
	if v == Again {
		shuffle = c.row.value(c.axes, axisLinker).Shuffle
	}
	b := Build{File: c.link(t, t.TempDir(), objects, shuffle...), Sources: objects, Objects: truth}
	if c.is(axisLTO, "lto") {
		b.Objects = c.ltoObjects(t, objects)
		b.Sources = b.Objects
	}
	return b
}

// edit is the option by which the edited source is compiled.
func (c *Combination) edit(v Version) []string {
	if v == Edited {
		return c.row.value(c.axes, axisEdit).Compile
	}
	return []string{"-DV=1"}
}

// compile compiles one source, in a directory of its own that the object does not show.
func (c *Combination) compile(t testing.TB, source string, options []string, v Version) string {
	t.Helper()
	key := append([]string{victim.Contents(t, source)}, options...)
	if v == Again {
		key = append(key, "again")
	}
	dir := c.target.Cached(t, c.row.value(c.axes, axisCode).Name, key, func(dir string) []string {
		copySources(t, filepath.Dir(source), dir)
		return append([]string{"-c", "-o", "object.o", filepath.Join(dir, filepath.Base(source)), "-ffile-prefix-map=" + dir + "=/src"}, options...)
	})
	return filepath.Join(dir, "object.o")
}

// link links objects to a file in a directory.
func (c *Combination) link(t testing.TB, dir string, objects []string, more ...string) string {
	t.Helper()
	out := filepath.Join(dir, "program")
	args := append([]string{"-o", out}, objects...)
	args = append(append(args, c.compileOptions()...), c.options(func(v *Value) []string { return v.Link })...)
	args = append(args, "-Wl,--build-id")
	if c.is(axisKind, shared) {
		args = append(args, "-Wl,-soname,libprogram.so")
	}
	cc := c.target.Tool(c.row.value(c.axes, axisCode).Name)
	victim.Run(t, dir, cc[0], slices.Concat(cc[1:], args, more)...)
	return out
}

// ltoObjects links again, to see the objects that link-time optimisation makes on the way.
func (c *Combination) ltoObjects(t testing.TB, objects []string) []string {
	t.Helper()
	dir := t.TempDir()
	keep, pattern := "-save-temps", "program*.ltrans.o"
	if c.is(axisCode, clangC) || c.is(axisCode, clangCXX) {
		keep, pattern = "-Wl,-plugin-opt=save-temps", "program*.lto.o"
	}
	c.link(t, dir, objects, keep, "-ffunction-sections", "-fdata-sections")
	return matching(t, dir, pattern)
}

// rust compiles and links a Rust program. rustc puts each function into a section of its own by itself, and decides on the order of the link.
func (c *Combination) rust(t testing.TB, src string, v Version) Build {
	t.Helper()
	dir := t.TempDir()
	copySources(t, src, dir)
	main := "main.rs"
	if c.is(axisKind, shared) {
		main = "lib.rs"
	}
	args := []string{"--edition=2021", "--cap-lints=allow", "--crate-name=program", "-g", "-Csave-temps", "-Clink-arg=-Wl,--build-id",
		"--remap-path-prefix=" + dir + "=/src", "-o", filepath.Join(dir, "program"), filepath.Join(dir, main)}
	args = append(args, c.options(func(v *Value) []string { return v.Rust })...)
	if c.is(axisKind, shared) {
		args = append(args, "-Clink-arg=-Wl,-soname,libprogram.so")
	}
	if v == Edited {
		args = append(args, c.row.value(c.axes, axisEdit).Rust...)
	}
	victim.Run(t, dir, rustc, args...)
	objects := matching(t, dir, "program*.rcgu.o")
	return Build{File: filepath.Join(dir, "program"), Sources: objects, Objects: objects}
}

// copySources copies the sources and headers of a directory.
func copySources(t testing.TB, from, to string) {
	t.Helper()
	for _, f := range matching(t, from, "*") {
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(f)), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// matching lists the files of a directory that match a pattern; none fails the test.
func matching(t testing.TB, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return files
}

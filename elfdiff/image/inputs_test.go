package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// nowhere are options under which no separate debug file is found.
var nowhere = Options{DebugRoots: []string{}, DebugCaches: []string{}}

// TestDebugFileForms splits programs with the tools that distributions use, in every form of debug file.
func TestDebugFileForms(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		make  func(t *testing.T, s *separated) // rewrites s.bare and s.debug
	}{
		{name: "eu-strip -f", make: func(t *testing.T, s *separated) { tool(t, "eu-strip", "-f", s.debug, "-o", s.bare, s.full) }},
		{name: "zlib", make: recompress("--compress-debug-sections=zlib")},
		{name: "zstd", make: recompress("--compress-debug-sections=zstd")},
		{name: "zlib-gnu", make: recompress("--compress-debug-sections=zlib-gnu")},
		{name: "eu-elfcompress of all sections", make: func(t *testing.T, s *separated) {
			tool(t, "eu-elfcompress", "--force", "--type=zlib", "--name=.debug_*", "--name=.symtab", "--name=.strtab", s.debug)
		}},
		{name: "dwz alone", make: func(t *testing.T, s *separated) { tool(t, "dwz", s.debug) }},
		{name: "DWARF 4", flags: []string{"-gdwarf-4"}, make: func(*testing.T, *separated) {}},
		{name: "DWARF 5 of 64 bits", flags: []string{"-gdwarf-5", "-gdwarf64"}, make: func(*testing.T, *separated) {}},
		{name: "type units", flags: []string{"-fdebug-types-section"}, make: func(*testing.T, *separated) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := separate(t, c.flags...)
			c.make(t, &s)
			im, err := Load(s.bare, Options{Debug: s.debug})
			if err != nil {
				t.Fatal(err)
			}
			s.same(t, im, s.debug)
		})
	}
}

func recompress(option string) func(*testing.T, *separated) {
	return func(t *testing.T, s *separated) { tool(t, "objcopy", option, s.debug) }
}

// TestDebugInformationApart takes a program that keeps its symbols and has its debug information elsewhere.
func TestDebugInformationApart(t *testing.T) {
	s := separate(t)
	cache := t.TempDir()
	debug := copyTo(t, s.debug, filepath.Join(cache, s.id, "debuginfo"))
	stripped := s.full + ".g"
	tool(t, "strip", "--strip-debug", "-o", stripped, s.full)
	im := mustLoad(t, stripped, Options{DebugRoots: []string{}, DebugCaches: []string{t.TempDir(), cache}})
	d, err := im.DWARF()
	if err != nil || d.Path != debug {
		t.Fatalf("debug information %+v: %v, want that of %s", d, err, debug)
	}
	if rows, err := im.Lines(im.atom(t, "uses_switch")); err != nil || len(rows) < 8 {
		t.Errorf("%d line rows: %v", len(rows), err)
	}
	im = mustLoad(t, stripped, nowhere)
	if _, err := im.DWARF(); err == nil || !strings.Contains(err.Error(), ErrNoDWARF.Error()) {
		t.Errorf("got %v, want %v", err, ErrNoDWARF)
	}
}

// TestGivenDebugFile refuses a debug file of another build also where none is needed, and takes one where it is of use.
func TestGivenDebugFile(t *testing.T) {
	s, other := separate(t), separate(t, "-DOTHER", "-O1")
	if _, err := Load(s.full, Options{Debug: other.debug}); err == nil || !strings.Contains(err.Error(), "belongs to another build") {
		t.Errorf("got %v", err)
	}
	s.same(t, mustLoad(t, s.full, Options{Debug: s.debug}), s.debug)
}

// TestDebugFileInstead refuses a debug file in place of the program.
func TestDebugFileInstead(t *testing.T) {
	s := separate(t)
	_, err := Load(s.debug, nowhere)
	if err == nil || !strings.Contains(err.Error(), "a separate debug file, not the program") {
		t.Errorf("got %v", err)
	}
}

// dwzPair builds two programs, splits them and lets dwz move what their debug files share into an alternate one.
func dwzPair(t *testing.T, flags ...string) (programs [2]separated, alt string) {
	t.Helper()
	alt = filepath.Join(t.TempDir(), "common.debug")
	for i, v := range []string{"-DV=1", "-DV=2"} {
		programs[i] = separateFrom(t, []string{"pairs/inlined.c"}, append([]string{v}, flags...)...)
	}
	args := []string{"-m", alt, programs[0].debug, programs[1].debug}
	if slices.Contains(flags, "-gdwarf-5") {
		args = append([]string{"--dwarf-5"}, args...)
	}
	tool(t, "dwz", args...)
	return programs, alt
}

// TestAlternateFile resolves names in a file that dwz made, by its path, beside the debug file, by build-id; and says which one is missing.
func TestAlternateFile(t *testing.T) {
	for _, flags := range [][]string{nil, {"-gdwarf-5"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			programs, alt := dwzPair(t, flags...)
			want := inlinesOf(t, mustLoad(t, programs[0].full, Options{}))
			if len(want) == 0 {
				t.Fatal("nothing is inlined in the program")
			}
			im := mustLoad(t, programs[0].bare, Options{Debug: programs[0].debug})
			if got := inlinesOf(t, im); !slices.Equal(got, want) {
				t.Errorf("inlined: %v, want %v", got, want)
			}
			d, err := im.DWARF()
			if err != nil {
				t.Fatal(err)
			}
			if other, err := d.Alt(); err != nil || other.Path != alt {
				t.Fatalf("alternate file %+v: %v, want %s", other, err, alt)
			}
			if err := os.Remove(alt); err != nil {
				t.Fatal(err)
			}
			im = mustLoad(t, programs[0].bare, Options{Debug: programs[0].debug, DebugCaches: []string{}})
			if d, err = im.DWARF(); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Alt(); err == nil || !strings.Contains(err.Error(), alt+" (made by dwz; build-id ") {
				t.Errorf("got %v, want the missing file's name", err)
			}
			if _, err := im.Inlines(im.atom(t, "left")); err == nil || !strings.Contains(err.Error(), alt) {
				t.Errorf("inlined calls without the alternate file: %v", err)
			}
		})
	}
}

// inlinesOf lists the names of all inlined calls, in order.
func inlinesOf(t *testing.T, im *Image) []string {
	t.Helper()
	var out []string
	for _, a := range im.Atoms {
		if !a.IsCode() || a.CRT {
			continue
		}
		l, err := im.Inlines(a)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range l {
			out = append(out, a.Name+" <- "+in.Name)
		}
	}
	return out
}

// withMiniDebug makes what Fedora's packages are: a stripped program with .gnu_debugdata, which names the functions that .dynsym does not.
func withMiniDebug(t *testing.T, s *separated) string {
	t.Helper()
	dir := t.TempDir()
	mini, keep, out := filepath.Join(dir, "mini"), filepath.Join(dir, "keep"), filepath.Join(dir, "program")
	im := mustLoad(t, s.full, Options{})
	var names []string
	for _, a := range im.Atoms {
		if a.Kind == Func && !a.Dynamic {
			names = append(names, a.Name)
		}
	}
	if err := os.WriteFile(keep, []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, "objcopy", "-S", "--remove-section=.gdb_index", "--remove-section=.comment", "--keep-symbols="+keep, s.debug, mini)
	tool(t, "xz", mini)
	tool(t, "objcopy", "--add-section=.gnu_debugdata="+mini+".xz", s.bare, out)
	return out
}

func TestMiniDebug(t *testing.T) {
	s := separate(t, "-rdynamic")
	im, err := Load(withMiniDebug(t, &s), nowhere)
	if err != nil {
		t.Fatal(err)
	}
	if !im.FuncsOnly || im.DebugPath != "" {
		t.Errorf("FuncsOnly %v, debug file %q", im.FuncsOnly, im.DebugPath)
	}
	full := mustLoad(t, s.full, Options{})
	n := 0
	for _, b := range full.Atoms {
		if b.Kind != Func {
			continue
		}
		n++
		if a := im.AtomAt(b.Addr); a == nil || a.Addr != b.Addr || a.Size != b.Size || !slices.ContainsFunc(a.Syms, func(s Symbol) bool { return s.Name == b.Name }) {
			t.Errorf("%s at %#x: %+v", b.Name, uint64(b.Addr), a)
		}
	}
	if n < 10 {
		t.Errorf("%d functions", n)
	}
	t.Run("a debug file goes first", func(t *testing.T) {
		im := mustLoad(t, withMiniDebug(t, &s), Options{Debug: s.debug})
		s.same(t, im, s.debug)
	})
}

// TestSplitDWARF says that .dwo files are not read, and keeps the lines that the program itself holds.
func TestSplitDWARF(t *testing.T) {
	path := victim.Build(t, "gcc", []string{"image/tiny.c"}, "-O2", "-g", "-gsplit-dwarf", "-nostartfiles")
	im := mustLoad(t, path, Options{})
	d, err := im.DWARF()
	if err != nil || !d.Split {
		t.Fatalf("split DWARF is not noticed: %+v, %v", d, err)
	}
	n := 0
	for _, a := range im.Atoms {
		rows, err := im.Lines(a)
		if err != nil {
			t.Fatal(err)
		}
		n += len(rows)
	}
	if n == 0 {
		t.Error("no lines")
	}
}

// TestDistribution reads the C library as Debian delivers it: stripped, with its debug file by build-id.
func TestDistribution(t *testing.T) {
	im := mustLoad(t, "/lib/x86_64-linux-gnu/libc.so.6", Options{})
	if !strings.HasPrefix(im.DebugPath, filepath.Join(DebugRoot, ".build-id")) {
		t.Errorf("debug file %q", im.DebugPath)
	}
	a := im.atom(t, "_IO_new_fclose") // only .symtab has this name
	rows, err := im.Lines(a)
	if err != nil || len(rows) < 8 || !strings.HasSuffix(rows[0].File, "iofclose.c") {
		t.Errorf("lines %v: %v", rows, err)
	}
	if inlined, err := im.Inlines(a); err != nil || len(inlined) == 0 {
		t.Errorf("inlined calls %v: %v", inlined, err)
	}
}

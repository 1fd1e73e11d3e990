package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

func TestScopes(t *testing.T) {
	im := places(t, "-O2")
	for _, name := range []string{"twin", "table"} {
		as := im.Named(name)
		if len(as) != 2 || as[0].File == as[1].File || !as[0].Local || !as[1].Local {
			t.Errorf("%s: %d atoms, want two local ones of different files", name, len(as))
		}
	}
	if a := im.atom(t, "counter"); a.Local || a.File != "" || a.Kind != Object {
		t.Errorf("counter: %+v", a)
	}
	if a := im.atom(t, "calls"); !slices.Contains(append(a.Aliases, a.Name), "alias_of_calls") {
		t.Errorf("calls has the names %s, %v", a.Name, a.Aliases)
	}
	if a := im.atom(t, "chosen"); a.Kind != IFunc {
		t.Errorf("chosen is a %v", a.Kind)
	}
	if a := im.atom(t, "stderr"); !a.Copy || !a.Dynamic || a.Version != "GLIBC_2.2.5" {
		t.Errorf("stderr: copy %v, dynamic %v, version %q", a.Copy, a.Dynamic, a.Version)
	}
	for _, name := range []string{"_start", "frame_dummy", "_init", "register_tm_clones"} {
		if a := im.atom(t, name); a.Kind != Code || !a.CRT {
			t.Errorf("%s: kind %v, crt %v", name, a.Kind, a.CRT)
		}
	}
	if a := im.atom(t, "main"); a.Kind != Func || a.CRT {
		t.Errorf("main: %+v", a)
	}
	if !slices.Contains(im.Needed, "libc.so.6") || !im.PIE || im.CanUnwind {
		t.Errorf("needed %q, PIE %v, unwinds %v (%s)", im.Needed, im.PIE, im.CanUnwind, im.UnwindWhy)
	}
}

func TestLookup(t *testing.T) {
	im := places(t, "-O2")
	arr := im.atom(t, "arr")
	if a := im.AtomAt(arr.Addr + 9); a != arr {
		t.Errorf("AtomAt inside arr: %v", a)
	}
	if as := im.EndingAt(arr.End()); !slices.Contains(as, arr) {
		t.Errorf("EndingAt the end of arr: %v", as)
	}
	if b, ok := im.Bytes(arr.Addr, arr.Size); !ok || order.Uint64(b[56:]) != 8 {
		t.Errorf("bytes of arr: % x, %v", b, ok)
	}
	if _, ok := im.Bytes(im.atom(t, "counter").Addr, 4); ok {
		t.Error("bytes of counter, which is in .bss")
	}
	if tls := im.atom(t, "tls_buf"); im.TLSAt(tls.Addr+7) != tls || im.AtomAt(tls.Addr) == tls {
		t.Error("thread-local objects mix with others")
	}
}

func TestContent(t *testing.T) {
	im := places(t, "-O2")
	for _, a := range im.Atoms {
		b, ok := im.Content(a)
		switch {
		case a.Section == nil || a.Kind == TLSObject && a.Section.Name == ".tbss":
			if ok {
				t.Errorf("%s, which is zero, has the content % x", a.Name, b)
			}
		case ok == a.Section.NoBits() || ok && uint64(len(b)) != a.Size:
			t.Errorf("%s in %s: %d bytes, %v", a.Name, a.Section.Name, len(b), ok)
		}
	}
	if a := im.atom(t, "tls_buf"); a.Section.Name != ".tbss" {
		t.Errorf("tls_buf is in %s", a.Section.Name)
	}
}

// TestParts looks at cold parts: of plain code, and of a switch.
func TestParts(t *testing.T) {
	for _, c := range []struct {
		source, fn string
	}{
		{source: "pairs/cold.c", fn: "guarded"},
		{source: "image/places.c", fn: "uses_dense_switch"},
	} {
		sources := []string{c.source}
		if c.source == "image/places.c" {
			sources = programs[0].sources
		}
		im := mustLoad(t, victim.Build(t, "gcc", sources, "-O2", "-g", "-lm", "-DV=1"), Options{})
		head := im.atom(t, c.fn)
		if len(head.Parts) != 1 || head.Parts[0].Name != c.fn+".cold" || head.Parts[0].head() != head || len(head.unit()) != 2 {
			t.Fatalf("parts of %s: %v", c.fn, head.Parts)
		}
		cold := head.Parts[0]
		b := im.mustBody(t, c.fn)
		branch := slices.ContainsFunc(b.Refs, func(r Ref) bool {
			return r.Kind == RefJump && r.Place.Kind == PlaceSelf && r.Place.Atom == cold && r.Place.Proven
		})
		if !branch {
			t.Errorf("%s does not jump to its cold part: %+v", c.fn, b.Refs)
		}
		if x := im.mustBody(t, cold.Name); len(x.Insts) < 2 || slices.ContainsFunc(x.Gaps, func(g Range) bool { return !g.Padding }) {
			t.Errorf("%s: %d instructions, gaps %v", cold.Name, len(x.Insts), x.Gaps)
		}
	}
}

// TestPartNames checks the names that parts are recognised by.
func TestPartNames(t *testing.T) {
	for _, c := range []struct {
		name, base string
		part       bool
	}{
		{name: "f.cold", base: "f", part: true},
		{name: "f.cold.3", base: "f", part: true},
		{name: "f.part.0", base: "f", part: true},
		{name: "f.part.0.cold", base: "f.part.0", part: true},
		{name: "f.constprop.0.cold", base: "f.constprop.0", part: true},
		{name: "f.constprop.0"},
		{name: "f.isra.1"},
		{name: "f"},
		{name: ".cold"},
		{name: "x.12"},
	} {
		base, ok := partBase(c.name)
		if ok != c.part || ok && base != c.base {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, base, ok, c.base, c.part)
		}
	}
}

func TestHandWritten(t *testing.T) {
	im := places(t, "-O2")
	a := im.atom(t, "hand_written")
	if a.SizeFrom != "next symbol" || a.End() != im.atom(t, "hand_next").Addr || len(im.Named("inner_label")) != 0 {
		t.Errorf("hand_written: %d bytes from %q, inner labels %d", a.Size, a.SizeFrom, len(im.Named("inner_label")))
	}
	b := im.mustBody(t, "hand_written")
	data := slices.IndexFunc(b.Gaps, func(g Range) bool { return !g.Padding })
	if len(b.Insts) != 3 || data < 0 {
		t.Errorf("%d instructions and gaps %+v, want three and the data behind them", len(b.Insts), b.Gaps)
	}
}

func TestComputedGoto(t *testing.T) {
	im := places(t, "-O2")
	b := im.mustBody(t, "uses_goto")
	if len(b.Escapes) != 3 || len(b.Tables) != 0 || len(b.Indirect) == 0 {
		t.Fatalf("escapes %v, tables %d, indirect jumps %d", b.Escapes, len(b.Tables), len(b.Indirect))
	}
	labels := im.Named("labels.0")
	for _, e := range b.Escapes {
		if e.Inst >= 0 || len(labels) != 1 || im.AtomAt(e.Data) != labels[0] || b.InstAt(int64(e.Target.Off)) < 0 {
			t.Errorf("escape %+v is not an instruction stored in the table of labels", e)
		}
	}
}

// TestNeighbours holds the addresses beside an object: each is bound to the right one, or ambiguous and lists it.
func TestNeighbours(t *testing.T) {
	for _, c := range []struct {
		fn, flag string
		off      int64 // from arr
	}{
		{fn: "before_the_start", flag: "-O2", off: -8},
		{fn: "past_the_end", flag: "-O0", off: 64},
	} {
		im := places(t, c.flag)
		arr := im.atom(t, "arr")
		found := false
		for _, r := range im.mustBody(t, c.fn).Refs {
			p := &r.Place
			if int64(p.Addr)-int64(arr.Addr) != c.off || r.Kind != RefAddr {
				continue
			}
			found = true
			if p.Proven || !p.Ambiguous() || !slices.Contains(p.Candidates, arr) {
				t.Errorf("%s: arr%+d is %+v", c.fn, c.off, *p)
			}
		}
		if !found {
			t.Errorf("%s does not use arr%+d: the test tests nothing", c.fn, c.off)
		}
	}
}

func TestDataRefs(t *testing.T) {
	im := places(t, "-O2")
	var got []string
	for _, r := range im.DataRefs(im.atom(t, "nodes")) {
		name := r.Place.Kind.String()
		if r.Place.Atom != nil {
			name = r.Place.Atom.Name
		}
		got = append(got, name)
	}
	want := []string{"anon", "plus", "head", "anon", "minus", "anon", "twin", "head"}
	if !slices.Equal(got, want) {
		t.Errorf("nodes refers to %q, want %q", got, want)
	}
}

// TestRelativeTables looks at constant arrays of pointers that clang turns into distances, by the code that uses them, with and without
// the linker's relocations.
func TestRelativeTables(t *testing.T) {
	for _, q := range []string{"-Wl,-O1", "-Wl,-q"} {
		t.Run(q, func(t *testing.T) {
			im := mustLoad(t, victim.Build(t, "clang", programs[0].sources, "-O2", "-g", "-fPIE", "-pie", "-lm", q), Options{})
			for fn, want := range map[string][]string{
				"month": {"January", "February", "March", "April", "May", "June"},
				"color": {"red", "green", "blue", "yellow", "violet"},
			} {
				if got := relativeTexts(t, im, fn, len(want)); !slices.Equal(got, want) {
					t.Errorf("%s: table %q, want %q", fn, got, want)
				}
			}
		})
	}
}

// relativeTexts returns the texts that the first n entries of a function's tables of distances lead to.
func relativeTexts(t *testing.T, im *Image, fn string, n int) []string {
	t.Helper()
	var got []string
	body := im.mustBody(t, fn)
	for _, r := range body.Refs {
		if r.Kind != RefAddr || !im.RelativeTableAt(body, int(r.Inst)) {
			continue
		}
		for _, d := range im.RelativeRefs(&Atom{Addr: r.Place.Addr, Size: uint64(4 * n)}) {
			e, _ := im.AnonExtent(d.Place.Addr)
			b, ok := im.Bytes(d.Place.Addr, max(e.Text, 1)-1)
			if !ok || !d.Relative || d.Size != 4 || d.Off != uint64(4*len(got)) {
				t.Errorf("%s: entry %+v", fn, d)
			}
			got = append(got, string(b))
		}
	}
	return got
}

func TestAnonExtent(t *testing.T) {
	im := places(t, "-O2")
	texts := map[string]bool{}
	for _, r := range im.mustBody(t, "uses_switch").Refs {
		if r.Place.Kind != PlaceAnon {
			continue
		}
		e, ok := im.AnonExtent(r.Place.Addr)
		if !ok || e.Text == 0 || e.Next > e.Text {
			t.Errorf("%#x: %+v, %v", uint64(r.Place.Addr), e, ok)
			continue
		}
		b, _ := im.Bytes(r.Place.Addr, e.Text-1)
		texts[string(b)] = true
	}
	if !texts["two"] || !texts["five"] {
		t.Errorf("texts of uses_switch: %v", texts)
	}
}

func TestUnwind(t *testing.T) {
	im := mustLoad(t, victim.Build(t, "g++", []string{"image/throws.cc"}, "-O2", "-g"), Options{})
	if !im.CanUnwind || !strings.Contains(im.UnwindWhy, "_Unwind_Resume") && !strings.Contains(im.UnwindWhy, "__gxx_personality_v0") {
		t.Errorf("CanUnwind %v: %s", im.CanUnwind, im.UnwindWhy)
	}
	for _, a := range im.Atoms {
		if !strings.Contains(a.Name, "parse") || a.Kind != Func {
			continue
		}
		b, err := im.Body(a)
		if err != nil {
			t.Fatal(err)
		}
		// All of it is reached: landing pads come from the exception table.
		for _, in := range b.Insts {
			if in.Unseen && !in.Nop && in.Flow != arch.FlowStop {
				t.Errorf("%s+%#x: nothing leads there", a.Name, in.Off)
			}
		}
		if len(im.landingPads(a)) == 0 && a.Parent == nil {
			t.Errorf("%s has no landing pads", a.Name)
		}
	}
}

func TestRustNames(t *testing.T) {
	for name, want := range map[string]bool{
		"_RNvC5crate4main":                       true,
		"_ZN4core3fmt5write17h0123456789abcdefE": true,
		"_ZNSt6vectorIiE4pushEv":                 false,
		"_Realloc":                               false,
		"main":                                   false,
		"_ZN4core3fmt5write17h0123456789abcdeXE": false,
		"_ZN3foo17hE":                            false,
		"_ZN5alloc7raw_vec17habcdefabcdefabcdE.llvm.12": true,
	} {
		if got := isRust(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestConstructors(t *testing.T) {
	im := mustLoad(t, victim.Build(t, "gcc", []string{"pairs/ctor.c"}, "-DV=2", "-O2", "-g"), Options{})
	if len(im.Constructors) != 1 || im.AtomAt(im.Constructors[0]) == nil {
		t.Errorf("constructors %#x, want one function", im.Constructors)
	}
	if im := places(t, "-O2"); len(im.Constructors) != 0 {
		t.Errorf("constructors %#x where there are none", im.Constructors)
	}
}

// TestMalformed damages one field each of a good file.
func TestMalformed(t *testing.T) {
	good, err := os.ReadFile(victim.Build(t, "gcc", programs[0].sources, "-O2", "-g", "-lm"))
	if err != nil {
		t.Fatal(err)
	}
	ef, err := elf.NewFile(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	header := func(name string) uint64 { // file offset of a section's header
		i := slices.IndexFunc(ef.Sections, func(s *elf.Section) bool { return s.Name == name })
		return order.Uint64(good[40:]) + uint64(i)*64
	}
	symtab := ef.Section(".symtab").Offset
	for _, c := range []struct {
		name string
		edit func(b []byte)
		want string
	}{
		{"empty", func(b []byte) { clear(b[:64]) }, "magic"},
		{"32 bits", func(b []byte) { b[4] = 1 }, ""},
		{"big endian", func(b []byte) { b[5] = 2 }, ""},
		{"machine", func(b []byte) { b[18] = 40 }, "EM_ARM"},
		{"relocatable", func(b []byte) { b[16] = 1 }, "ET_REL"},
		{"section beyond the file", func(b []byte) { order.PutUint64(b[header(".text")+24:], 1<<40) }, ".text"},
		{"huge section", func(b []byte) { order.PutUint64(b[header(".symtab")+32:], 1<<50) }, ".symtab"},
		{"section size", func(b []byte) { order.PutUint64(b[header(".symtab")+32:], 24*3+1) }, ".symtab"},
		{"symbol outside", func(b []byte) {
			for off := symtab + 24; ; off += 24 {
				if b[off+4]&15 == byte(elf.STT_FUNC) && order.Uint64(b[off+16:]) > 0 {
					order.PutUint64(b[off+8:], 1<<40)
					return
				}
			}
		}, "does not lie in its section"},
		{"overlap", func(b []byte) { order.PutUint64(b[header(".data")+16:], uint64(ef.Section(".text").Addr)) }, "overlap"},
		{"wrapping section", func(b []byte) { order.PutUint64(b[header(".bss")+16:], ^uint64(0)) }, "wraps"},
		{"relocation symbol", func(b []byte) { order.PutUint32(b[ef.Section(".rela.plt").Offset+12:], 1<<30) }, "symbol number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := slices.Clone(good)
			c.edit(b)
			_, err := loadBytes("damaged", bytes.NewReader(b), uint64(len(b)))
			var bad *FormatError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a FormatError with %q", err, c.want)
			}
		})
	}
	t.Run("truncated", func(t *testing.T) {
		for n := 0; n < len(good); n += len(good)/97 + 1 {
			if _, err := loadBytes("short", bytes.NewReader(good[:n]), uint64(n)); err == nil {
				t.Errorf("%d of %d bytes are accepted", n, len(good))
			}
		}
	})
}

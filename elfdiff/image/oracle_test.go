package image

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// builds are the ways in which the tests compile a program.
var builds = []struct {
	name, cc string
	flags    []string
}{
	{"gcc -O0", "gcc", []string{"-O0", "-fPIE", "-pie"}},
	{"gcc -O2", "gcc", []string{"-O2", "-fPIE", "-pie"}},
	{"gcc -O3 cet", "gcc", []string{"-O3", "-fPIE", "-pie", "-fcf-protection=full", "-Wl,-z,ibtplt"}},
	{"gcc -Os now", "gcc", []string{"-Os", "-fPIE", "-pie", "-Wl,-z,now"}},
	{"gcc -O2 no plt", "gcc", []string{"-O2", "-fPIE", "-pie", "-fno-plt"}},
	{"gcc -O2 lto", "gcc", []string{"-O2", "-flto", "-fPIE", "-pie"}},
	{"gcc -O2 no pie", "gcc", []string{"-O2", "-fno-pie", "-no-pie"}},
	{"gcc -O2 shared", "gcc", []string{"-O2", "-fPIC", "-shared"}},
	{"gcc -O2 shared tlsdesc", "gcc", []string{"-O2", "-fPIC", "-shared", "-mtls-dialect=gnu2"}},
	{"clang -O0", "clang", []string{"-O0", "-fPIE", "-pie"}},
	{"clang -O2", "clang", []string{"-O2", "-fPIE", "-pie"}},
	{"clang -O2 no pie", "clang", []string{"-O2", "-fno-pie", "-no-pie"}},
}

// arm64Builds are the same for arm64.
var arm64Builds = []struct {
	name, cc string
	flags    []string
}{
	{"gcc -O0", arm64GCC, []string{"-O0", "-fPIE", "-pie"}},
	{"gcc -O1", arm64GCC, []string{"-O1", "-fPIE", "-pie"}},
	{"gcc -O2", arm64GCC, []string{"-O2", "-fPIE", "-pie"}},
	{"gcc -O2 no anchors", arm64GCC, []string{"-O2", "-fPIE", "-pie", "-fno-section-anchors"}},
	{"gcc -O3 branch protection", arm64GCC, []string{"-O3", "-fPIE", "-pie", "-mbranch-protection=standard", "-Wl,-z,pac-plt,-z,force-bti"}},
	{"gcc -Os now", arm64GCC, []string{"-Os", "-fPIE", "-pie", "-Wl,-z,now"}},
	{"gcc -O2 no plt", arm64GCC, []string{"-O2", "-fPIE", "-pie", "-fno-plt"}},
	{"gcc -O2 lto", arm64GCC, []string{"-O2", "-flto", "-fPIE", "-pie"}},
	{"gcc -O2 no pie", arm64GCC, []string{"-O2", "-fno-pie", "-no-pie"}},
	{"gcc -O2 shared", arm64GCC, []string{"-O2", "-fPIC", "-shared"}},
	{"gcc -O2 shared tls trad", arm64GCC, []string{"-O2", "-fPIC", "-shared", "-mtls-dialect=trad"}},
	{"clang -O0", "clang", append([]string{"-O0", "-fPIE", "-pie"}, arm64Clang...)},
	{"clang -O2", "clang", append([]string{"-O2", "-fPIE", "-pie"}, arm64Clang...)},
	{"clang -O3 branch protection", "clang", append([]string{"-O3", "-fPIE", "-pie", "-mbranch-protection=standard"}, arm64Clang...)},
	{"clang -O2 no pie", "clang", append([]string{"-O2", "-fno-pie", "-no-pie"}, arm64Clang...)},
}

// arm64GCC is the cross compiler.
const arm64GCC = "aarch64-linux-gnu-gcc"

// arm64Clang makes clang one, with its own linker.
var arm64Clang = []string{"--target=aarch64-linux-gnu", "-fuse-ld=lld"}

// programs are what is compiled.
var programs = []struct {
	name    string
	sources []string
	libs    []string
}{
	{"places", []string{"image/places.c", "image/places_b.c"}, []string{"-lm"}},
	{"kvd", []string{"kvd/kvd.c", "kvd/command.c", "kvd/queue.c", "kvd/table.c"}, []string{"-lpthread"}},
}

func mustLoad(t testing.TB, path string, opt Options) *Image {
	t.Helper()
	im, err := Load(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Decode(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	return im
}

func places(t testing.TB, flags ...string) *Image {
	t.Helper()
	return mustLoad(t, victim.Build(t, "gcc", programs[0].sources, append(flags, "-g", "-lm")...), Options{})
}

// TestReferences links the same objects with and without --emit-relocs. The code is byte-identical; every reference that is found
// without relocations must be the one that the linker names, or be marked as uncertain with that one among its readings.
func TestReferences(t *testing.T) {
	for _, p := range programs {
		for _, b := range append(slices.Clone(builds), arm64Builds...) {
			t.Run(p.name+" "+b.cc+" "+b.name, func(t *testing.T) {
				flags := append(append([]string{"-g"}, b.flags...), p.libs...)
				plain := mustLoad(t, victim.Build(t, b.cc, p.sources, flags...), Options{})
				truth := mustLoad(t, victim.Build(t, b.cc, p.sources, append(flags, "-Wl,-q")...), Options{})
				if !truth.HasRelocs || plain.HasRelocs {
					t.Fatalf("HasRelocs: %v with -q, %v without", truth.HasRelocs, plain.HasRelocs)
				}
				checkTwins(t, plain, truth)
				checkRelocs(t, truth)
			})
		}
	}
}

// checkTwins compares the references of two images with the same code.
func checkTwins(t *testing.T, plain, truth *Image) {
	t.Helper()
	if a, b := plain.sectionNamed(".text"), truth.sectionNamed(".text"); !bytes.Equal(a.Data, b.Data) {
		t.Fatal("the twins' .text differs")
	}
	compared := 0
	for _, a := range plain.Atoms {
		if !a.IsCode() || a.CRT {
			continue
		}
		b := truth.AtomAt(a.Addr)
		x, errX := plain.Body(a)
		y, errY := truth.Body(b)
		if errX != nil || errY != nil {
			if errX == nil && errY != nil {
				t.Errorf("%s: %v only with relocations", a.Name, errY)
			}
			continue
		}
		if len(x.Insts) != len(y.Insts) || !slices.EqualFunc(x.Tables, y.Tables, sameTable) {
			t.Errorf("%s: %d instructions and %d tables, with relocations %d and %d", a.Name, len(x.Insts), len(x.Tables), len(y.Insts), len(y.Tables))
		}
		found := map[uint32]*Ref{}
		for i := range x.Refs {
			found[x.Refs[i].Off] = &x.Refs[i]
		}
		for i := range y.Refs {
			want := &y.Refs[i]
			got := found[want.Off]
			compared++
			if got == nil {
				t.Errorf("%s+%#x: %s not found", a.Name, want.Off, describe(&want.Place))
			} else if msg := wrong(&got.Place, &want.Place); msg != "" {
				t.Errorf("%s+%#x: found %s, the relocation says %s: %s", a.Name, want.Off, describe(&got.Place), describe(&want.Place), msg)
			}
			delete(found, want.Off)
		}
		for off, r := range found {
			if r.Place.Kind != PlaceNone && !r.Place.Number {
				t.Errorf("%s+%#x: %s without a relocation", a.Name, off, describe(&r.Place))
			}
		}
	}
	if compared < 50 {
		t.Errorf("only %d references compared", compared)
	}
}

func sameTable(a, b *JumpTable) bool { return a.Addr == b.Addr && len(a.Entries) == len(b.Entries) }

// wrong says how a place contradicts the truth; "" if it does not.
func wrong(got, want *Place) string {
	if describe(got) == describe(want) {
		return ""
	}
	if got.Proven {
		return "claimed to be proven"
	}
	if got.Shared && want.Kind == PlaceLinker {
		return ""
	}
	for _, c := range got.Candidates {
		if want.Atom != nil && c.Addr == want.Atom.Addr {
			return ""
		}
	}
	return "not among the candidates"
}

func describe(p *Place) string {
	s := p.Kind.String()
	if p.Atom != nil {
		s += fmt.Sprintf(" %s+%d", p.Atom.Name, p.Addend)
	}
	if p.Import != nil {
		s += " " + p.Import.Name
	}
	if p.Kind == PlaceAnon || p.Kind == PlaceTable {
		s += fmt.Sprintf(" %#x", uint64(p.Addr))
	}
	return s + p.Linker
}

// checkRelocs checks that every link-time relocation in a function is at a reference or at a branch within it.
func checkRelocs(t *testing.T, im *Image) {
	t.Helper()
	for _, a := range im.Atoms {
		if !a.IsCode() || a.CRT {
			continue
		}
		b, err := im.Body(a)
		if err != nil {
			continue
		}
		at := map[arch.ImageAddr]bool{}
		for i := range b.Refs {
			at[a.Addr+arch.ImageAddr(b.Refs[i].Off)] = true
		}
		for _, l := range im.LinkRelocs(a.Addr, a.End()) {
			switch l.Kind {
			case arch.LinkTLSPair, arch.LinkTLSModule, arch.LinkTLSDesc, arch.LinkNone:
				continue // the linker rewrote the instructions under these
			}
			i := slices.IndexFunc(b.Insts, func(in Inst) bool {
				return l.Addr >= a.Addr+arch.ImageAddr(in.Off) && l.Addr < a.Addr+arch.ImageAddr(in.End())
			})
			if !at[l.Addr] && i >= 0 && b.Insts[i].Target < 0 && !l.Undef && !b.Insts[i].Nop {
				t.Errorf("%s+%#x: no reference at the relocation of type %d against %q", a.Name, l.Addr-a.Addr, l.Type, l.Sym)
			}
		}
	}
}

// TestTableEntries counts the entries of all jump tables against the relocations that the linker applied to them.
func TestTableEntries(t *testing.T) {
	for _, b := range builds {
		if !slices.Contains(b.flags, "-pie") {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			flags := append([]string{"-g", "-lm", "-Wl,-q", "-fno-exceptions"}, b.flags...)
			path := victim.Build(t, b.cc, programs[0].sources, flags...)
			truth := mustLoad(t, path, Options{})
			plain := mustLoad(t, stripRelocs(t, path), Options{})
			want := 0
			for _, l := range truth.links {
				from, to := truth.SectionAt(l.Addr), truth.SectionAt(l.Value+arch.ImageAddr(l.Addend))
				if from != nil && from.Name == ".rodata" && to != nil && to.Exec() && elf.R_X86_64(l.Type) == elf.R_X86_64_PC32 {
					want++
				}
			}
			got, tables := 0, map[arch.ImageAddr]bool{}
			for _, a := range plain.Atoms {
				if !a.IsCode() {
					continue
				}
				body, err := plain.Body(a)
				if err != nil {
					continue
				}
				for _, tab := range body.Tables {
					if !tables[tab.Addr] {
						got += len(tab.Entries)
					}
					tables[tab.Addr] = true
					if !tab.Bounded || len(tab.Refs) == 0 {
						t.Errorf("%s: table %#x: bounded %v, %d references", a.Name, tab.Addr, tab.Bounded, len(tab.Refs))
					}
				}
			}
			if got != want || want < 15 {
				t.Errorf("%d entries in %d tables, the linker relocated %d", got, len(tables), want)
			}
		})
	}
}

// stripRelocs copies a file without its link-time relocations.
func stripRelocs(t *testing.T, path string) string {
	t.Helper()
	out := path + ".norelocs"
	tool(t, "objcopy", "--remove-relocations=*", path, out)
	return out
}

// TestStubNames compares the names of PLT stubs with objdump's.
func TestStubNames(t *testing.T) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			im := mustLoad(t, victim.Build(t, b.cc, programs[0].sources, append([]string{"-g", "-lm"}, b.flags...)...), Options{})
			n := 0
			for _, l := range strings.Split(tool(t, "objdump", "-d", "--no-show-raw-insn", im.Path), "\n") {
				var addr uint64
				var name string
				if _, err := fmt.Sscanf(l, "%x <%s", &addr, &name); err != nil {
					continue
				}
				name, ok := strings.CutSuffix(name, "@plt>:")
				if !ok || strings.HasPrefix(name, "*ABS*") {
					continue
				}
				n++
				imp, ok := im.Stub(arch.ImageAddr(addr))
				if !ok || imp.Name != name || imp.Slot == 0 || !imp.Func {
					t.Errorf("stub %#x: got %+v, objdump says %s", addr, imp, name)
				}
			}
			// __cxa_finalize has a stub even where -fno-plt leaves no other.
			if n == 0 && !slices.Contains(b.flags, "-no-pie") {
				t.Error("objdump shows no stub")
			}
		})
	}
}

// TestSymbols compares names, addresses and sizes with readelf's.
func TestSymbols(t *testing.T) {
	im := places(t, "-O2")
	n := 0
	for _, l := range strings.Split(tool(t, "readelf", "-sW", im.Path), "\n") {
		f := strings.Fields(l)
		if len(f) != 8 || f[6] == "UND" || f[6] == "ABS" || f[3] != "FUNC" && f[3] != "OBJECT" && f[3] != "TLS" && f[3] != "IFUNC" {
			continue
		}
		var addr, size uint64
		fmt.Sscanf(f[1], "%x", &addr)
		fmt.Sscan(f[2], &size)
		name, _, _ := strings.Cut(f[7], "@")
		if isLinkerName(name) {
			continue
		}
		if f[3] == "TLS" {
			addr += uint64(im.TLS.Addr)
		}
		n++
		i := slices.IndexFunc(im.Named(name), func(a *Atom) bool {
			return uint64(a.Addr) == addr && (a.Size == size || size == 0)
		})
		if i < 0 {
			t.Errorf("%s at %#x with %d bytes is not among %d atoms of that name", name, addr, size, len(im.Named(name)))
			continue
		}
		a := im.Named(name)[i]
		if kind := map[string]AtomKind{"OBJECT": Object, "TLS": TLSObject, "IFUNC": IFunc, "FUNC": Func}[f[3]]; a.Kind != kind && !(a.CRT && a.Kind == Code) && !(a.Kind == IFunc && name == "ifunc_resolve") {
			t.Errorf("%s: kind %v, want %v", name, a.Kind, kind)
		}
		if size == 0 && a.SizeFrom == "symbol" {
			t.Errorf("%s: no size in the symbol, but SizeFrom %q", name, a.SizeFrom)
		}
	}
	if n < 40 {
		t.Errorf("readelf shows only %d symbols", n)
	}
}

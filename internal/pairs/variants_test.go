package pairs_test

import (
	"debug/elf"
	"flag"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/pairs"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
)

var allVariants = flag.Bool("all-variants", false, "run every pair in every variant, instead of a few of each")

// variant is a way to build a program.
type variant struct {
	name  string
	cc    string
	flags []string
}

var variants = []variant{
	{"gcc-O0", "gcc", []string{"-O0"}},
	{"gcc-O1", "gcc", []string{"-O1"}},
	{"gcc-O3", "gcc", []string{"-O3"}},
	{"gcc-Os", "gcc", []string{"-Os"}},
	{"clang-O0", "clang", []string{"-O0"}},
	{"clang-O1", "clang", []string{"-O1"}},
	{"clang-O2", "clang", []string{"-O2"}},
	{"clang-O3", "clang", []string{"-O3"}},
	{"clang-Os", "clang", []string{"-Os"}},
	{"cet", "gcc", []string{"-fcf-protection=full"}},
	{"no-cet", "gcc", []string{"-fcf-protection=none"}},
	{"no-plt", "gcc", []string{"-fno-plt"}},
	{"gc-sections", "gcc", []string{"-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"}},
	{"now", "gcc", []string{"-Wl,-z,now"}},
	{"lazy", "gcc", []string{"-Wl,-z,lazy"}},
	{"no-pie-q", "gcc", []string{"-fno-pie", "-no-pie", "-Wl,--emit-relocs"}},
	{"no-pie", "gcc", []string{"-fno-pie", "-no-pie"}},
	{"no-pie-O0", "gcc", []string{"-O0", "-fno-pie", "-no-pie"}},
	{"clang-no-pie", "clang", []string{"-fno-pie", "-no-pie"}},
	{fixedStatic, "gcc", []string{"-fno-pie", "-no-pie", "-static"}},
	{"clang-no-pie-q", "clang", []string{"-fno-pie", "-no-pie", "-Wl,--emit-relocs"}},
	{"pie-q", "gcc", []string{"-Wl,--emit-relocs"}},
	{pieStatic, "gcc", []string{"-fPIE", "-static-pie"}},
	{"static", "gcc", []string{"-fno-pie", "-no-pie", "-static", "-Wl,--emit-relocs"}},
	{"lto", "gcc", []string{"-flto"}},
	{"fpic", "gcc", []string{"-fPIC", "-fno-omit-frame-pointer"}},
	{"native-vector", "gcc", []string{"-O3", "-mavx2"}},
	{"lld", "clang", []string{"-fuse-ld=lld"}},
	{"lld-gcc", "gcc", []string{"-fuse-ld=lld", "-B/usr/bin"}},
	{"no-separate-code", "gcc", []string{"-Wl,-z,noseparate-code"}},
	{"sort-section", "gcc", []string{"-ffunction-sections", "-Wl,--sort-section=name"}},
}

// fixedStatic is a variant in which numbers of the C library look like addresses, and constants without names have ends that cannot be told.
const fixedStatic = "static-no-q"

// pieStatic is a variant in which the C library has variables of which neither their types nor link-time relocations tell that nothing walks to their ends.
const pieStatic = "static-pie"

// inexactLibrary is how much of the C library may differ in a variant, at the most, where it lies elsewhere.
func inexactLibrary(variant string) int {
	return map[string]int{fixedStatic: 60, pieStatic: 5}[variant]
}

// weakOffsets is a function of the C library with offsets of weak thread-local variables that a static program does not link in: the linker
// computes them from address 0, and so other numbers in each layout.
const weakOffsets = "_nl_locale_subfreeres"

// variantsEach is how many variants of each pair an ordinary run takes. Which ones goes round, so that together they are all of them.
const variantsEach = 2

// TestVariants builds the pairs with other compilers, at other levels of optimisation and with other linkers and options. What the
// report lists differs, but a patch has to give the answers that the program's header states, or be refused by name. An emulated machine gets round to
// every fifth program.
func TestVariants(t *testing.T) {
	for i, p := range pairs.Load(t) {
		if i%victim.Scale(1, 5) != 0 && !*allVariants {
			continue
		}
		p = p.For(t, victim.Native(t))
		for k, v := range variants {
			if !*allVariants && (k-i*variantsEach%len(variants)+len(variants))%len(variants) >= variantsEach {
				continue
			}
			t.Run(p.Name+"/"+v.name, func(t *testing.T) {
				t.Parallel()
				old, new := p.Build(t, v.cc, v.flags...)
				checkVariant(t, p, v, old, new)
			})
		}
	}
}

// checkVariant compares the two builds of one variant and patches the running program.
func checkVariant(t *testing.T, p *pairs.Pair, v variant, old, new string) {
	r := builds.Compare(t, old, new, nil)
	var refused []string
	for _, c := range r.Changes {
		switch {
		case c.Verdict != patch.Refused:
		case c.Why == "" || c.Name == "":
			t.Errorf("a refusal without a reason: %+v", c)
		default:
			refused = append(refused, c.Name+": "+c.Why)
		}
	}
	switch {
	case p.Verdict == "nothing":
		checkNothing(t, p, v, r.Changes)
		return
	case len(refused) > 0:
		if p.After != "" {
			t.Logf("refused: %s", strings.Join(refused, "; "))
		}
		return
	case len(r.Changes) == 0:
		t.Fatal("the builds are told to be equal")
	case p.After == "":
		return // whether this variant can be applied is not stated
	}
	if len(r.Missing) > 0 {
		r = builds.Compare(t, old, new, r.Missing)
	}
	if r.Patch == nil {
		t.Fatalf("no patch, although nothing is refused: %+v", r)
	}
	f, err := r.Patch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	trial.Run(t, f, trial.Answers{Before: p.Before, After: p.After, Reverted: p.Reverted}, old)
}

// checkNothing holds that there are no changes, but for some of the C library (inexactLibrary), and of weakOffsets in all static programs.
func checkNothing(t *testing.T, p *pairs.Pair, v variant, changes []patch.Change) {
	t.Helper()
	inexact := inexactLibrary(v.name)
	if inexact > 0 && len(changes) > inexact {
		t.Errorf("%d changes, want at most %d, of the C library", len(changes), inexact)
	}
	own := make(map[string]bool)
	if len(changes) > 0 {
		dynamic, _ := p.Build(t, v.cc)
		own = defined(t, dynamic)
	}
	for _, c := range changes {
		switch {
		case own[c.Name], c.What == "file":
		case inexact > 0, c.Name == weakOffsets && strings.HasPrefix(v.name, "static"):
			continue
		}
		t.Errorf("%s %s: %v, want no changes", c.What, c.Name, c.Reasons)
	}
}

// defined lists what a file defines by itself.
func defined(t *testing.T, path string) map[string]bool {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	own := make(map[string]bool)
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			own[s.Name] = true
		}
	}
	return own
}

package elfdiff_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/internal/victim"
)

// TestModels compares two versions of a program in which variables change places, by every way in which code of arm64 comes to an address. Functions that
// mean another variable are changed, also where their bytes are equal, and no others.
func TestModels(t *testing.T) {
	const gcc = "aarch64-linux-gnu-gcc"
	clang := func(flags ...string) []string {
		return append([]string{"clang", "--target=aarch64-linux-gnu", "-fuse-ld=lld"}, flags...)
	}
	bfd := []string{"clang", "--target=aarch64-linux-gnu", "--ld-path=aarch64-linux-gnu-ld"}
	for _, c := range []struct {
		name  string
		cc    []string
		strip []string // what of the symbols goes
	}{
		{name: "gcc small", cc: []string{gcc, "-fno-pie", "-no-pie"}},
		{name: "gcc small pie", cc: []string{gcc, "-fPIE", "-pie"}},
		{name: "gcc small static-pie", cc: []string{gcc, "-fPIE", "-static-pie"}},
		{name: "gcc no-plt", cc: []string{gcc, "-fPIC", "-fno-plt", "-pie"}},
		{name: "gcc hidden", cc: []string{gcc, "-fPIC", "-fvisibility=hidden", "-shared"}},
		{name: "gcc protected", cc: []string{gcc, "-fPIC", "-fvisibility=protected", "-shared"}},
		{name: "gcc tiny", cc: []string{gcc, "-mcmodel=tiny", "-fno-pie", "-no-pie"}},
		{name: "gcc tiny pie", cc: []string{gcc, "-mcmodel=tiny", "-fPIE", "-pie"}},
		{name: "gcc tiny shared", cc: []string{gcc, "-mcmodel=tiny", "-fPIC", "-shared", "-Wl,-Bsymbolic"}},
		{name: "gcc large", cc: []string{gcc, "-mcmodel=large", "-fno-pie", "-no-pie"}},
		{name: "gcc large without marks", cc: []string{gcc, "-mcmodel=large", "-fno-pie", "-no-pie"}, strip: []string{"$x", "$d"}},
		{name: "gcc large literals", cc: []string{gcc, "-mcmodel=large", "-mpc-relative-literal-loads", "-fno-pie", "-no-pie"}},
		{name: "gcc large relocs", cc: []string{gcc, "-mcmodel=large", "-fno-pie", "-no-pie", "-Wl,-q"}},
		{name: "gcc tls 12", cc: []string{gcc, "-mtls-size=12", "-fPIE", "-pie"}},
		{name: "gcc tls 32", cc: []string{gcc, "-mtls-size=32", "-fPIE", "-pie"}},
		{name: "gcc tls 48", cc: []string{gcc, "-mtls-size=48", "-mcmodel=large", "-fno-pie", "-no-pie"}},
		{name: "gcc tls initial exec", cc: []string{gcc, "-ftls-model=initial-exec", "-fPIC", "-shared", "-Wl,-Bsymbolic"}},
		{name: "gcc tls local dynamic", cc: []string{gcc, "-ftls-model=local-dynamic", "-mtls-dialect=trad", "-fPIC", "-shared", "-Wl,-Bsymbolic"}},
		{name: "gcc tls descriptors", cc: []string{gcc, "-mtls-dialect=desc", "-fPIC", "-shared", "-Wl,-Bsymbolic"}},
		{name: "clang small", cc: clang("-fno-pie", "-no-pie")},
		{name: "clang small pie", cc: clang("-fPIE", "-pie")},
		{name: "clang local dynamic", cc: append(bfd, "-ftls-model=local-dynamic", "-fPIC", "-shared", "-Wl,-Bsymbolic",
			"-mllvm", "-aarch64-elf-ldtls-generation=1")},
		{name: "clang large", cc: clang("-mcmodel=large", "-fno-pie", "-no-pie")},
		{name: "clang large relocs", cc: clang("-mcmodel=large", "-fno-pie", "-no-pie", "-Wl,-q")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			build := func(version string) string {
				out := filepath.Join(t.TempDir(), "models"+version)
				args := slices.Concat([]string{"-O2", "-fno-toplevel-reorder", "-DV=" + version, "-nostdlib", "-Wl,--build-id"}, c.cc[1:])
				if c.cc[0] == "clang" {
					args = slices.DeleteFunc(args, func(s string) bool { return s == "-fno-toplevel-reorder" })
				}
				run(t, c.cc[0], append(args, "-o", out, filepath.Join(victim.Root(t), "testdata", "models", "models.c"))...)
				for _, s := range c.strip {
					run(t, "aarch64-linux-gnu-objcopy", "-w", "-N", s+"*", out)
				}
				return out
			}
			r, err := elfdiff.Diff(load(t, build("1")), load(t, build("2")), elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range r.Changes {
				got = append(got, c.Name)
			}
			if want := "pick pick_address pick_own"; sorted(got) != sorted(strings.Fields(want)) {
				t.Errorf("changed %v, want %s", got, want)
				for _, c := range r.Changes {
					t.Logf("%s: %+v", c.Name, c)
				}
			}
		})
	}
}

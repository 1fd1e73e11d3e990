package victim

import (
	"debug/elf"
	"os/exec"
	"runtime"
	"slices"
	"testing"
)

// Target is an architecture that programs are built for, on any machine. Programs for this machine are made by the compilers of the usual
// names, others by Debian's cross compilers.
type Target struct {
	Name    string      // as Go and Debian have it: "amd64", "arm64"
	Machine elf.Machine // of its files
	triple  string      // as GNU has it: what cross tools have in front of their names
}

func targets() []Target {
	return []Target{
		{Name: "amd64", Machine: elf.EM_X86_64, triple: "x86_64-linux-gnu"},
		{Name: "arm64", Machine: elf.EM_AARCH64, triple: "aarch64-linux-gnu"},
	}
}

// Native returns the target that this machine runs.
func Native(t testing.TB) Target {
	t.Helper()
	i := slices.IndexFunc(targets(), func(g Target) bool { return g.Name == runtime.GOARCH })
	if i < 0 {
		t.Fatalf("programs for %s cannot be built", runtime.GOARCH)
	}
	return targets()[i]
}

// Targets returns the targets of tests that read programs and do not run them: both on amd64, where scripts/setup installs cross compilers for
// arm64; elsewhere (in the arm64 guest) what the machine runs.
func Targets(t testing.TB) []Target {
	t.Helper()
	if native := Native(t); native.Name != "amd64" {
		return []Target{native}
	}
	return targets()
}

func (g Target) String() string { return g.Name }

// native reports whether this machine runs the target's programs.
func (g Target) native() bool { return g.Name == runtime.GOARCH }

// Tool returns the command for a compiler or a tool of binutils: gcc, clang++, objcopy.
func (g Target) Tool(name string) []string {
	switch {
	case g.native():
		return []string{name}
	case name == "clang" || name == "clang++":
		return []string{name, "--target=" + g.triple}
	}
	return []string{g.triple + "-" + name}
}

// Command returns the command that runs a tool with arguments.
func (g Target) Command(name string, args ...string) *exec.Cmd {
	tool := append(g.Tool(name), args...)
	return exec.Command(tool[0], tool[1:]...)
}

// Spell returns flags that x86-64's compilers have in the spelling of the target: tests name them in one way.
func (g Target) Spell(flags []string) []string {
	if g.Machine == elf.EM_X86_64 {
		return flags
	}
	spelled := map[string]string{
		"-fcf-protection":        "-mbranch-protection=standard", // landing pads, and what guards returns
		"-fcf-protection=full":   "-mbranch-protection=standard",
		"-fcf-protection=branch": "-mbranch-protection=bti",
		"-fcf-protection=none":   "-mbranch-protection=none",
		"-mavx2":                 "-march=armv8-a+simd", // the widest vectors that every processor of the architecture has
		"-mno-red-zone":          "",                    // there is none
		"-Wl,-z,ibtplt":          "-Wl,-z,force-bti",
		"-mtls-dialect=gnu2":     "-mtls-dialect=desc",
	}
	var out []string
	for _, f := range flags {
		if s, ok := spelled[f]; ok {
			f = s
		}
		if f != "" {
			out = append(out, f)
		}
	}
	return out
}

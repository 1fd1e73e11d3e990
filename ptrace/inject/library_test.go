package inject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// lib builds lib.c as a shared library.
func lib(t testing.TB, v int, flags ...string) string {
	return build(t, "lib", v, append([]string{"-shared", "-fPIC", "-Wl,-soname,liblib.so"}, flags...)...)
}

// host builds host.c linked with version 1 of lib.c.
func host(t testing.TB, v int, flags ...string) string { return hostOf(t, v, lib(t, 1), flags...) }

// hostOf is host with another build of the library.
func hostOf(t testing.TB, v int, l string, flags ...string) string {
	dir := filepath.Dir(l)
	so := filepath.Join(dir, "liblib.so")
	building.Lock()
	if _, err := os.Stat(so); err != nil {
		if err := os.Symlink("lib", so); err != nil {
			t.Fatal(err)
		}
	}
	building.Unlock()
	return build(t, "host", v, append([]string{"-DLINKED", "-L" + dir, "-llib", "-Wl,-rpath," + dir}, flags...)...)
}

// ask sends a command and expects an answer.
func ask(t *testing.T, v *victim.Victim, command, want string) {
	t.Helper()
	if got := v.Ask(command); got != want {
		t.Fatalf("%s: the program answers %q, want %q", command, got, want)
	}
}

// TestProgramAndLibrary patches a program and its library in one stop.
func TestProgramAndLibrary(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, host(t, 1))
	ask(t, v, "go", "7 22")
	r := apply(t, v.PID, builds.Patch(t, lib(t, 1), lib(t, 2)), builds.Patch(t, host(t, 1), host(t, 2)))
	if r.Tries != 1 || len(r.Patches) != 2 || !r.Atomic {
		t.Errorf("report: %+v", r)
	}
	ask(t, v, "go", "70 24")
	// Both go in one stop, as they came; by its id one goes alone, and the report says what stays.
	if r = revert(t, v.PID, ""); r.Tries != 1 || len(r.Patches) != 2 {
		t.Errorf("report of the revert: %+v", r)
	}
	ask(t, v, "go", "7 22")
	first := builds.Patch(t, lib(t, 1), lib(t, 2))
	apply(t, v.PID, first, builds.Patch(t, host(t, 1), host(t, 2)))
	r = revert(t, v.PID, first.ID.Short())
	if len(r.Patches) != 1 || r.Patches[0].ID != first.ID.String() || !strings.Contains(strings.Join(r.Notes, "\n"), "stays in force") {
		t.Errorf("report of the revert of one: %+v", r)
	}
	ask(t, v, "go", "70 22")
	revert(t, v.PID, "")
	ask(t, v, "go", "7 22")
	v.End()
}

// TestLoadedTwice patches every copy of a library, also one that is loaded later.
func TestLoadedTwice(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "host", 1))
	var paths []string
	for i := range 2 {
		b, err := os.ReadFile(lib(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(t.TempDir(), fmt.Sprintf("copy%d.so", i))
		if err := os.WriteFile(p, b, 0o700); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	f := builds.Patch(t, lib(t, 1), lib(t, 2))
	refused(t, v.PID, []*patch.File{f}, "is not what runs")
	ask(t, v, "open "+paths[0], "opened")
	apply(t, v.PID, f)
	ask(t, v, "open "+paths[1], "opened")
	ask(t, v, "go", "7 24 22")
	r := apply(t, v.PID, f)
	if !r.Done || len(r.Patches) != 2 || r.Patches[0].Result == r.Patches[1].Result {
		t.Errorf("report: %+v", r)
	}
	ask(t, v, "go", "7 24 24")
	r = revert(t, v.PID, "")
	if len(r.Patches) != 2 {
		t.Errorf("report of the revert: %+v", r)
	}
	ask(t, v, "go", "7 22 22")
	v.End()
}

// TestUnloaded applies to a library that is then unloaded and loaded again: list tells the truth.
func TestUnloaded(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "host", 1))
	l := lib(t, 1)
	ask(t, v, "open "+l, "opened")
	f := builds.Patch(t, l, lib(t, 2))
	apply(t, v.PID, f)
	ask(t, v, "go", "7 24")
	ask(t, v, "close", "closed")
	s, err := Inspect(v.PID, nil)
	if err != nil || len(s.Patches) != 0 || len(s.Notes) != 1 || len(s.Attention) != 0 {
		t.Errorf("list without the library: %+v, %v", s, err)
	}
	if _, err := Revert(context.Background(), v.PID, "", quick); !errors.Is(err, ErrNoPatch) {
		t.Errorf("revert without the library: %v", err)
	}
	ask(t, v, "open "+l, "opened")
	ask(t, v, "go", "7 22")
	if s, err = Inspect(v.PID, nil); err != nil || len(s.Patches) != 0 || len(s.Attention) != 0 {
		t.Errorf("list after loading it again: %+v, %v", s, err)
	}
	apply(t, v.PID, f)
	ask(t, v, "go", "7 24")
	revert(t, v.PID, "")
	ask(t, v, "go", "7 22")
	v.End()
}

// TestSlots applies a patch to a patched library whose new code reaches variables through slots of the image that was
// started: the addresses of the build in between mean nothing in the process.
func TestSlots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		flags []string
	}{{name: "general dynamic"}, {name: "initial exec", flags: []string{"-ftls-model=initial-exec"}}, {name: "descriptors", flags: []string{"-mtls-dialect=gnu2"}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := lib(t, 1, c.flags...)
			v := victim.Start(t, build(t, "host", 1))
			ask(t, v, "open "+l, "opened")
			ask(t, v, "go", "7 22")
			apply(t, v.PID, builds.Patch(t, l, lib(t, 2, c.flags...)))
			ask(t, v, "go", "7 24")
			apply(t, v.PID, builds.Patch(t, lib(t, 2, c.flags...), lib(t, 4, c.flags...)))
			ask(t, v, "go", "7 226") // three calls of lib_calls, and 100
			revert(t, v.PID, "")
			revert(t, v.PID, "")
			ask(t, v, "go", "7 22")
			v.End()
		})
	}
}

// TestLocalSlots refuses what TestSlots does where the variable has no symbol by which its slot could be found.
func TestLocalSlots(t *testing.T) {
	t.Parallel()
	flags := []string{"-DSTATIC", "-ftls-model=initial-exec"}
	l := lib(t, 1, flags...)
	v := victim.Start(t, build(t, "host", 1))
	ask(t, v, "open "+l, "opened")
	apply(t, v.PID, builds.Patch(t, l, lib(t, 2, flags...)))
	refused(t, v.PID, []*patch.File{builds.Patch(t, lib(t, 2, flags...), lib(t, 4, flags...))}, "static thread-local variable")
	ask(t, v, "go", "7 24")
	v.End()
}

// TestChurn applies to a program that loads and unloads another library all the time: a plan that is overtaken
// is made anew.
func TestChurn(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, host(t, 1))
	ask(t, v, "churn "+lib(t, 2, "-Wl,-soname,other.so"), "churning")
	f := builds.Patch(t, host(t, 1), host(t, 2))
	for range 5 {
		apply(t, v.PID, f)
		ask(t, v, "go", "70 22")
		revert(t, v.PID, "")
		ask(t, v, "go", "7 22")
	}
	v.End()
}

// TestPreempted refuses to change a function that another module's definition hides.
func TestPreempted(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, host(t, 1, "-DOWN", "-rdynamic"))
	ask(t, v, "go", "7 2020")
	refused(t, v.PID, []*patch.File{builds.Patch(t, lib(t, 1), lib(t, 2))}, "lib_value", "comes first", "host")
}

// TestPreemptedConstant refuses to renew a constant of a library of which the program has a copy (COPY relocation): everybody reads that one. A
// position independent program has none on arm64.
func TestPreemptedConstant(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, hostOf(t, 1, lib(t, 1, "-DTEXT"), "-DTEXT", "-fno-pie", "-no-pie"))
	ask(t, v, "go", "7 22")
	refused(t, v.PID, []*patch.File{builds.Patch(t, lib(t, 1, "-DTEXT"), lib(t, 2, "-DTEXT"))}, "lib_text", "comes first", "host")
	v.End()
}

// TestPreemptedWord applies such a patch when the user says that it is known: the program is as it was, and the list has the word. A library
// that was preloaded hides the function as well as the program does.
func TestPreemptedWord(t *testing.T) {
	t.Parallel()
	f := builds.Patch(t, lib(t, 1), lib(t, 2))
	for name, start := range map[string]func() *victim.Victim{
		"program": func() *victim.Victim { return victim.Start(t, host(t, 1, "-DOWN", "-rdynamic")) },
		"preloaded": func() *victim.Victim {
			cmd := exec.Command(host(t, 1))
			cmd.Env = append(os.Environ(), "LD_PRELOAD="+build(t, "host", 2, "-DOWN", "-shared", "-fPIC", "-Wl,-soname,libown.so"))
			return victim.StartCmd(t, cmd)
		},
	} {
		v := start()
		before := v.Ask("go")
		refused(t, v.PID, []*patch.File{f}, "lib_value", "comes first", "--ack preempted:lib_value")
		opt := quick
		opt.Acks = []string{"preempted:lib_value", "preempted:nothing"}
		r, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
		if err != nil || !slices.Contains(r.Notes, "nothing asked for --ack preempted:nothing") {
			t.Fatalf("%s: with the word given: %v, notes %q", name, err, r.Notes)
		}
		ask(t, v, "go", before)
		s, err := Inspect(v.PID, nil)
		if err != nil || len(s.Patches) != 1 || len(s.Patches[0].Acks) != 1 || s.Patches[0].Acks[0].ID != "preempted:lib_value" || s.Patches[0].Acks[0].User != "test" {
			t.Errorf("%s: list: %+v, %v", name, s, err)
		}
		revert(t, v.PID, "")
		ask(t, v, "go", before)
		v.End()
	}
}

// TestNewImport binds imports that the running build does not have, or says why it cannot.
func TestNewImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, with string
		flags      []string // of the host
		libs       []string // of the new library
		want       string   // answer, or a word of the refusal
		refused    []string
	}{
		{name: "libc", with: "'l'", want: "7 174"},
		{name: "libm", with: "'f'", flags: []string{"-Wl,--no-as-needed", "-lm"}, libs: []string{"-lm", "-fno-builtin-floor"}, refused: []string{"floor", "indirect function"}},
		{name: "missing library", with: "'f'", libs: []string{"-lm", "-fno-builtin-floor"}, refused: []string{"floor@GLIBC_2.", "libm.so.6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, host(t, 1, c.flags...))
			ask(t, v, "go", "7 22")
			f := builds.Patch(t, lib(t, 1), lib(t, 3, append([]string{"-DWITH=" + c.with}, c.libs...)...))
			if c.refused != nil {
				refused(t, v.PID, []*patch.File{f}, c.refused...)
				ask(t, v, "go", "7 22")
				return
			}
			apply(t, v.PID, f)
			ask(t, v, "go", c.want)
			revert(t, v.PID, "")
			ask(t, v, "go", "7 22")
		})
	}
}

// TestIndirectFunction takes the implementation that another module has been bound to.
func TestIndirectFunction(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, host(t, 1, "-Wl,-z,now"))
	f := builds.Patch(t, lib(t, 1), lib(t, 3, "-DWITH='i'", "-fno-builtin"))
	apply(t, v.PID, f)
	ask(t, v, "go", "7 600")
	revert(t, v.PID, "")
	ask(t, v, "go", "7 22")
}

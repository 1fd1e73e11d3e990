package inject

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
)

// building keeps two tests from building one program at the same time.
var building sync.Mutex

// build builds testdata/inject/NAME.c as version v.
func build(t testing.TB, name string, v int, flags ...string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	// Section anchors, which gcc has on arm64, make the address of an object and the end of its neighbour the same instructions: nothing
	// that these programs are to show.
	all := append([]string{"-O2", "-g", "-pthread", "-fno-optimize-sibling-calls", "-fno-section-anchors", "-Wl,--build-id=sha1", fmt.Sprintf("-DV=%d", v)}, flags...)
	return victim.Build(t, "gcc", []string{"inject/" + name + ".c"}, all...)
}

// chainPatch is the patch from version v of chain.c to the next.
func chainPatch(t testing.TB, v int, flags ...string) *patch.File {
	t.Helper()
	return builds.Patch(t, build(t, "chain", v, flags...), build(t, "chain", v+1, flags...))
}

var quick = Options{Wait: 10 * time.Second, User: "test"}

func apply(t testing.TB, pid int, files ...*patch.File) *Report {
	t.Helper()
	r, err := Apply(context.Background(), pid, files, quick)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return r
}

func revert(t testing.TB, pid int, id string) *Report {
	t.Helper()
	r, err := Revert(context.Background(), pid, id, quick)
	if err != nil {
		t.Fatalf("revert: %v", err)
	}
	return r
}

// footprint is all that a transaction changes in a process: text, read-only data, and the mappings that
// hotpatch makes.
func footprint(t testing.TB, pid int) string {
	t.Helper()
	p, err := ptrace.Open(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for {
		maps, err := p.Maps()
		if err != nil {
			t.Fatal(err)
		}
		lines, err := footprintOf(p, maps)
		if err == nil {
			return strings.Join(lines, "\n")
		}
		if now, merr := p.Maps(); merr != nil || slices.Equal(now, maps) { // else a library was just being loaded
			t.Fatal(err, merr)
		}
	}
}

// footprintOf is a line for each mapping of a footprint.
func footprintOf(p *ptrace.Process, maps []ptrace.Mapping) ([]string, error) {
	var lines []string
	for _, m := range maps {
		ours := m.Path == journalPath || m.Path == "" && m.Perm&ptrace.PermWrite == 0 && m.Perm&ptrace.PermRead != 0
		if m.Perm&ptrace.PermExec == 0 && !strings.Contains(m.Path, "hotpatch-test") && !ours || m.Path == "[vsyscall]" {
			continue
		}
		sum := ""
		if m.Perm&ptrace.PermWrite == 0 && m.Perm&ptrace.PermRead != 0 { // the gaps of a library may lie beyond its file's end
			b := make([]byte, m.End-m.Start)
			if err := p.ReadMem(b, m.Start); err != nil {
				return nil, err
			}
			h := sha256.Sum256(b)
			sum = hex.EncodeToString(h[:8])
		}
		lines = append(lines, fmt.Sprintf("%x-%x %v %s %s", uint64(m.Start), uint64(m.End), m.Perm, m.Path, sum))
	}
	sort.Strings(lines)
	return lines, nil
}

// textOf is the part of a footprint that is not the memory that patches leave mapped.
func textOf(print string) string {
	var out []string
	for _, l := range strings.Split(print, "\n") {
		if strings.Contains(l, "hotpatch-test") || strings.Contains(l, "/lib/") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// programOf is the program's own part of a footprint. A killed hotpatch may leave the stub of a borrowed call in the unused end of
// the dynamic linker's text.
func programOf(print string) string {
	var out []string
	for _, l := range strings.Split(print, "\n") {
		if strings.Contains(l, "hotpatch-test") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// refused applies and expects a refusal that says all of want and leaves the process as it is.
func refused(t *testing.T, pid int, files []*patch.File, want ...string) {
	t.Helper()
	before := footprint(t, pid)
	_, err := Apply(context.Background(), pid, files, quick)
	if !errors.Is(err, patch.ErrRefused) {
		t.Fatalf("apply: %v, want a refusal", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the refusal %q does not say %q", err, w)
		}
	}
	if after := footprint(t, pid); after != before {
		t.Errorf("the process has changed:\n%s\nbefore:\n%s", after, before)
	}
}

// fileBuildID returns a file's build-id in hexadecimal.
func fileBuildID(t testing.TB, path string) string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := f.Section(".note.gnu.build-id").Data()
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b[16:])
}

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper())
	}
	os.Exit(m.Run())
}

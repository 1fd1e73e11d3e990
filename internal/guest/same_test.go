package guest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch/internal/pairs"
	"hotpatch/internal/victim"
)

// everyPair is how many of testdata/pairs stand for one that is compared in the guest.
const everyPair = 4

// TestSameBytes compares builds for arm64 on this machine and in the guest: the patches have the same bytes, and so has the report of what is
// refused.
func TestSameBytes(t *testing.T) {
	m := machine(t)
	dirs := armPairs(t)
	own := filepath.Join(t.TempDir(), "same")
	if text, err := exec.Command("go", "build", "-o", own, "./testdata/same").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := exec.Command(own, append([]string{"write"}, dirs...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	written := strings.TrimPrefix(string(text), "write on amd64")

	same, job := compile(t, "./testdata/same"), Job{Name: "same", Args: []string{"/bin/same", "check"}}
	for _, dir := range dirs {
		job.Args = append(job.Args, "/pairs/"+filepath.Base(dir))
	}
	var out bytes.Buffer
	r, err := m.Boot(context.Background(), []Job{job}, func(a *Archive) {
		a.AddFile("/bin/same", same)
		for _, dir := range dirs {
			a.AddTree("/pairs/"+filepath.Base(dir), dir, []string{"old", "new", "result"})
		}
	}, 15*time.Minute, &out)
	if err != nil || r.Status[0] != 0 {
		t.Fatalf("status %v, %v\n%s", r.Status, err, out.String())
	}
	if want := "check on arm64" + written; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
	t.Log(strings.TrimSpace(out.String()))
}

// armPairs builds pairs for arm64, each in a directory of its own with the files old and new: small programs, and two versions of a server.
func armPairs(t *testing.T) []string {
	t.Helper()
	targets := victim.Targets(t)
	arm64 := targets[slices.IndexFunc(targets, func(g victim.Target) bool { return g.Name == "arm64" })]
	top := t.TempDir()
	var dirs []string
	add := func(name, old, new string) {
		dir := filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for link, file := range map[string]string{"old": old, "new": new} {
			if err := os.Symlink(file, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	for i, p := range pairs.Load(t) {
		if i%everyPair == 0 {
			old, new := p.BuildFor(t, arm64, "gcc")
			add(p.Name, old, new)
		}
	}
	var server [2]string
	for i, v := range []string{"1", "2"} {
		server[i] = arm64.Build(t, "gcc", []string{"kvd/kvd.c", "kvd/command.c", "kvd/table.c", "kvd/queue.c"},
			"-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-pthread", "-DVERSION="+v)
	}
	add("kvd", server[0], server[1])
	return dirs
}

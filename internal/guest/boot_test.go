package guest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine returns the machine that scripts/guest has fetched.
func machine(t *testing.T) *Machine {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "hotpatch", "guest")
	m := &Machine{QEMU: filepath.Join(dir, "emulate"), Kernel: filepath.Join(dir, "Image"), CPU: "max,pauth-impdef=on", Memory: 512}
	if _, err := os.Stat(m.Kernel); err != nil {
		t.Fatalf("no guest: run scripts/guest setup: %v", err)
	}
	m.Init = compile(t, "./init")
	return m
}

// compile compiles a program for the guest.
func compile(t *testing.T, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return out
}

// bootLimit is for a boot and a few small programs on a busy machine.
const bootLimit = 5 * time.Minute

func boot(t *testing.T, m *Machine, limit time.Duration, how ...string) (*Result, string, error) {
	t.Helper()
	probe := compile(t, "./testdata/probe")
	var jobs []Job
	for _, h := range how {
		j := Job{Name: h, Args: []string{"/bin/probe", h}, Env: []string{"PROBE=" + h}}
		if h == "never" {
			j.Limit = time.Second
		}
		jobs = append(jobs, j)
	}
	var out bytes.Buffer
	r, err := m.Boot(context.Background(), jobs, func(a *Archive) { a.AddFile("/bin/probe", probe) }, limit, &out)
	return r, out.String(), err
}

func TestJobsEnd(t *testing.T) {
	r, out, err := boot(t, machine(t), bootLimit, "well", "three", "signal", "never", "liar", "warning", "well")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := []int{0, 3, 128 + 9, ExitLimit, 1, ExitKernel, 0}; !slices.Equal(r.Status, want) {
		t.Errorf("status %v, want %v\n%s", r.Status, want, out)
	}
	for _, want := range []string{"in arm64 well\n\n\nthree\n", "in arm64 three\n", "in arm64 signal", "ended: not done in 1s\n",
		"the kernel warns of itself:\n\tWARNING: CPU: a test's\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\r") {
		t.Error("carriage returns in the output")
	}
}

// A panic of the kernel ends QEMU with status 0. It must not count as success, and what ran before keeps its status.
func TestPanic(t *testing.T) {
	r, out, err := boot(t, machine(t), bootLimit, "well", "panic", "well")
	if !errors.Is(err, ErrGuest) || !strings.Contains(err.Error(), "in panic") {
		t.Errorf("error %v\n%s", err, out)
	}
	if want := []int{0, NotRun, NotRun}; !slices.Equal(r.Status, want) {
		t.Errorf("status %v, want %v", r.Status, want)
	}
}

// In the guest, the host's compilers work on the guest's files.
func TestHostTool(t *testing.T) {
	m, probe, tool, scratch := machine(t), compile(t, "./testdata/probe"), compile(t, "./hosttool"), t.TempDir()
	jobs := []Job{{
		Name: "compile", Args: []string{"/bin/probe", "compile"},
		Env: []string{"HOST_SOURCES=" + t.TempDir(), "HOST_SCRATCH=" + scratch},
	}}
	var out bytes.Buffer
	r, err := m.Boot(context.Background(), jobs, func(a *Archive) {
		a.AddFile("/bin/probe", probe)
		a.AddFile("/bin/hosttool", tool)
		a.Link("/bin/gcc", "hosttool")
	}, bootLimit, &out)
	if err != nil || r.Status[0] != 0 {
		t.Fatalf("status %v, %v\n%s", r.Status, err, out.String())
	}
	for _, want := range []string{`it says "compiled\n"`, "gcc: exit status 1: /tmp/probe", "bad.c:1:21: error: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
		t.Errorf("left on the host: %v, %v", left, err)
	}
}

func TestNoKernel(t *testing.T) {
	m := machine(t)
	m.Kernel = filepath.Join(t.TempDir(), "none")
	if _, _, err := boot(t, m, bootLimit, "well"); !errors.Is(err, ErrGuest) {
		t.Errorf("error %v", err)
	}
}

package inject

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
)

// TestConditions applies to processes that are restricted in one way or another.
func TestConditions(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	for _, c := range []struct {
		name    string
		refused []string
	}{
		{name: "nofd"},
		{name: "mdwe"},
		{name: "anon"},
		{name: "int3", refused: []string{"price", "not those of build", "cc"}},
		{name: "shared", refused: []string{"shared mapping"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "chain", 1))
			ask(t, v, c.name, "ok")
			if c.refused != nil {
				refused(t, v.PID, []*patch.File{f}, c.refused...)
				return
			}
			before := textOf(footprint(t, v.PID))
			apply(t, v.PID, f)
			ask(t, v, "go", "112 dos")
			s, err := Inspect(v.PID, nil)
			if err != nil || len(s.Patches) != 1 || len(s.Attention) != 0 {
				t.Errorf("list: %+v, %v", s, err)
			}
			all, err := Patched(nil)
			if err != nil || !lists(all, v.PID) {
				t.Errorf("list of all processes does not have %d: %v", v.PID, err)
			}
			revert(t, v.PID, "")
			ask(t, v, "go", "10 two")
			if textOf(footprint(t, v.PID)) != before {
				t.Error("the text is not as it was")
			}
			v.End()
		})
	}
}

func lists(all []*Status, pid int) bool {
	for _, s := range all {
		if s.PID == pid {
			return true
		}
	}
	return false
}

// TestLimits fails where the process may not have memory, or may not be stopped for as long as it takes.
func TestLimits(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	for _, c := range []struct {
		name, command string
		max           time.Duration
		want          error
	}{
		{name: "no memory", command: "noas", want: syscall.ENOMEM},
		{name: "maximum pause", command: "park 20", max: time.Nanosecond, want: ptrace.ErrPause},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "chain", 1))
			v.Ask(c.command)
			before := footprint(t, v.PID)
			opt := quick
			opt.MaxPause = c.max
			if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt); !errors.Is(err, c.want) {
				t.Errorf("apply: %v, want %v", err, c.want)
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
			v.End()
		})
	}
}

// TestDeleted applies to a program whose file is gone.
func TestDeleted(t *testing.T) {
	t.Parallel()
	path := copyTo(t, build(t, "chain", 1), t.TempDir())
	v := victim.Start(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	apply(t, v.PID, chainPatch(t, 1))
	ask(t, v, "go", "112 dos")
	revert(t, v.PID, "")
	ask(t, v, "go", "10 two")
	v.End()
}

// copyTo copies a program. Another process does it: a descriptor that this one has open for writing could be inherited by what another test
// starts at the same time, and the program be busy (ETXTBSY).
func copyTo(t *testing.T, path, dir string) string {
	t.Helper()
	to := filepath.Join(dir, filepath.Base(path))
	if out, err := exec.Command("cp", "--", path, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return to
}

// libraries are the absolute paths of what a program needs, its dynamic linker included.
func libraries(t *testing.T, path string) []string {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "LD_TRACE_LOADED_OBJECTS=1") // what ldd does
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range strings.Fields(string(out)) {
		if strings.HasPrefix(f, "/") {
			paths = append(paths, f)
		}
	}
	return paths
}

// loadedBy is the path of the library of that name which a program loads.
func loadedBy(t *testing.T, path, name string) string {
	t.Helper()
	for _, l := range libraries(t, path) {
		if filepath.Base(l) == name {
			return l
		}
	}
	t.Fatalf("%s loads no %s", path, name)
	return ""
}

// TestElsewhere applies to a program in a chroot, as PID 1 of namespaces of its own.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := build(t, "chain", 1)
	copyTo(t, old, dir)
	for _, l := range libraries(t, old) {
		to := filepath.Join(dir, filepath.Dir(l))
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		copyTo(t, l, to)
	}
	cmd := exec.Command("/chain")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	v := victim.StartCmd(t, cmd)
	apply(t, v.PID, chainPatch(t, 1))
	ask(t, v, "go", "112 dos")
	s, err := Inspect(v.PID, nil)
	if err != nil || len(s.Patches) != 1 || s.Patches[0].Inherited {
		t.Errorf("list: %+v, %v", s, err)
	}
	revert(t, v.PID, "")
	ask(t, v, "go", "10 two")
	v.End()
}

// TestForked patches a parent, whose child inherits the patch and is reverted for itself.
func TestForked(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	f := chainPatch(t, 1)
	apply(t, v.PID, f)
	child, err := strconv.Atoi(v.Ask("fork"))
	if err != nil {
		t.Fatal(err)
	}
	ask(t, v, "go", "112 dos")
	s, err := Inspect(child, nil)
	if err != nil || len(s.Patches) != 1 || !s.Patches[0].Inherited || s.PPID != v.PID || len(s.Attention) != 0 {
		t.Errorf("list of the child: %+v, %v", s, err)
	}
	revert(t, child, "")
	ask(t, v, "go", "10 two")
	if s, err = Inspect(v.PID, nil); err != nil || len(s.Patches) != 1 || s.Patches[0].State != "applied" {
		t.Errorf("list of the parent: %+v, %v", s, err)
	}
	v.End()
}

// TestWorker names the parent when a worker alone is patched.
func TestWorker(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	child, err := strconv.Atoi(v.Ask("fork"))
	if err != nil {
		t.Fatal(err)
	}
	r := apply(t, child, chainPatch(t, 1))
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "process "+strconv.Itoa(v.PID)) {
		t.Errorf("notes: %q", r.Notes)
	}
	ask(t, v, "go", "112 dos")
	v.End()
}

// TestForkedUnfinished forks while a hotpatch is at work: in the child nothing is in force, and nothing is asked for.
func TestForkedUnfinished(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	f := chainPatch(t, 1)
	end := heldAt(t, "apply", v.PID, "staged", 1, f)
	child, err := strconv.Atoi(v.Ask("fork"))
	if err != nil {
		t.Fatal(err)
	}
	end()
	s, err := Inspect(child, nil)
	if err != nil || len(s.Patches) != 0 || len(s.Attention) != 0 {
		t.Errorf("list of the child: %+v, %v", s, err)
	}
	apply(t, child, f)
	ask(t, v, "go", "112 dos")
	if s, err = Inspect(v.PID, nil); err != nil || len(s.Attention) != 1 {
		t.Errorf("list of the parent: %+v, %v", s, err)
	}
	v.End()
}

// poke writes into a process as another tool would.
func poke(t *testing.T, pid int, at arch.Addr, data []byte) {
	t.Helper()
	f, err := os.OpenFile(procPath(pid, "mem"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// TestForeignBytes changes what a patch has written behind hotpatch's back: nothing more is done, and list says why.
func TestForeignBytes(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	for _, c := range []struct {
		name string
		at   func(s *snapshot) arch.Addr
		want string
	}{
		{"journal", func(s *snapshot) arch.Addr { return s.journals[0].At + journalHeader + 5 }, "damaged"},
		{"jump", func(s *snapshot) arch.Addr { return s.journals[0].Record.Entries[0].Writes[0].Addr }, "price"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "chain", 1))
			apply(t, v.PID, f)
			p, err := ptrace.Open(v.PID, nil)
			if err != nil {
				t.Fatal(err)
			}
			snap, err := takeSnapshot(p)
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			poke(t, v.PID, c.at(snap), []byte{0xcc})
			before := footprint(t, v.PID)
			s, err := Inspect(v.PID, nil)
			if err != nil || !strings.Contains(strings.Join(s.Attention, "\n"), c.want) {
				t.Errorf("list: %+v, %v", s, err)
			}
			if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, quick); !errors.Is(err, ErrAttention) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("apply: %v", err)
			}
			if _, err := Revert(context.Background(), v.PID, "", quick); !errors.Is(err, ErrAttention) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("revert: %v", err)
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
		})
	}
}

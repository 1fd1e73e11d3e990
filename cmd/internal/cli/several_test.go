package cli

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// master is a running testdata/cli/prefork.c.
type master struct {
	*victim.Victim
	t       *testing.T
	workers []int // their PIDs
}

func prefork(t *testing.T, version int) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"cli/prefork.c"}, "-O2", "-g", "-DVERSION="+strconv.Itoa(version))
}

// preforkFix makes the patch from version 1 to version 2.
func preforkFix(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fix.patch")
	if r := hotpatch("diff", prefork(t, 1), prefork(t, 2), "-o", path); r.code != exitDone {
		t.Fatalf("diff: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	return path
}

func startMaster(t *testing.T, workers int) *master {
	t.Helper()
	m := &master{Victim: victim.Start(t, prefork(t, 1)), t: t}
	for range workers {
		m.fork()
	}
	return m
}

// fork makes another worker.
func (m *master) fork() int {
	m.t.Helper()
	pid, err := strconv.Atoi(strings.TrimPrefix(m.Ask("fork"), "worker "))
	if err != nil {
		m.t.Fatal(err)
	}
	m.workers = append(m.workers, pid)
	return pid
}

// runs fails unless the processes, the master first, run these versions.
func (m *master) runs(versions ...int) {
	m.t.Helper()
	for i, want := range versions {
		if got := m.Ask(fmt.Sprintf("ask %d", i)); got != fmt.Sprintf("reply %d", 200+want) {
			m.t.Errorf("process %d answers %q, want version %d", i, got, want)
		}
	}
}

// wantLines fails unless the command ended with the code and printed, for each of the processes in order, one line that begins with
// it and holds the text.
func (r result) wantLines(t *testing.T, code int, text string, pids ...int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	if r.code != code || len(lines) != len(pids) {
		t.Fatalf("exit code %d, want %d; %d lines, want %d\n%s%s", r.code, code, len(lines), len(pids), r.out, r.err)
	}
	for i, pid := range pids {
		if !strings.HasPrefix(lines[i], fmt.Sprintf("prefork[%d] ", pid)) || !strings.Contains(lines[i], text) {
			t.Errorf("line %q, want process %d: %q", lines[i], pid, text)
		}
	}
}

// TestSeveral: a master with workers, patched and reverted by each of the ways to name several processes.
func TestSeveral(t *testing.T) {
	if !alone(t) {
		return
	}
	fix := preforkFix(t)
	m := startMaster(t, 3)
	other := startMaster(t, 0)
	tree := append([]int{m.PID}, m.workers...)

	hotpatch("apply", "--tree", pidOf(m.Victim), "--dry-run", fix).wantLines(t, exitDone, "would be applied", tree...)
	m.runs(1, 1, 1, 1)
	hotpatch("apply", "--tree", pidOf(m.Victim), fix).wantLines(t, exitDone, ": patch "+idOf(t, fix)+" applied, paused ", tree...)
	m.runs(2, 2, 2, 2)
	other.runs(1)
	tree = append(tree, m.fork()) // inherits
	m.runs(2, 2, 2, 2, 2)

	hotpatch("apply", "--all", fix).wantLines(t, exitDone, "applied", append([]int{m.PID, other.PID}, m.workers...)...)
	other.runs(2)
	hotpatch("apply", "--all", fix).wantLines(t, exitDone, "already applied", append([]int{m.PID, other.PID}, m.workers...)...)
	hotpatch("revert", "--tree", pidOf(m.Victim)).wantLines(t, exitDone, "reverted", tree...)
	m.runs(1, 1, 1, 1, 1)
	other.runs(2)
	hotpatch("revert", "--everywhere", idOf(t, fix)).wantLines(t, exitDone, "reverted", other.PID)
	other.runs(1)
	hotpatch("revert", "--everywhere").wantError(t, exitFailed, "no process has what is to be reverted")

	hotpatch("apply", "-p", itoa(m.workers[1]), "-p", pidOf(other.Victim), fix).wantNote(t, "its parent, process "+pidOf(m.Victim))
	m.runs(1, 1, 2, 1, 1)
	hotpatch("revert", "-p", itoa(m.workers[1]), "-p", pidOf(other.Victim)).wantLines(t, exitDone, "reverted", m.workers[1], other.PID)
	m.runs(1, 1, 1, 1, 1)
}

// wantNote fails unless the command did well with two processes and printed a note below the first one's line.
func (r result) wantNote(t *testing.T, note string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	if r.code != exitDone || len(lines) != 3 || !strings.HasPrefix(lines[1], "  note: ") || !strings.Contains(lines[1], note) {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
}

// idOf is the short id of a patch file.
func idOf(t *testing.T, path string) string {
	t.Helper()
	f, err := readPatch(path)
	if err != nil {
		t.Fatal(err)
	}
	return f.ID.Short()
}

// TestSeveralReplace: of a master and its workers some are patched, with one patch or another; all of them come to exactly one.
func TestSeveralReplace(t *testing.T) {
	if !alone(t) {
		return
	}
	two, three := preforkFix(t), filepath.Join(t.TempDir(), "other.patch")
	if r := hotpatch("diff", prefork(t, 1), prefork(t, 3), "-o", three); r.code != exitDone {
		t.Fatalf("diff: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	m := startMaster(t, 2)
	tree := append([]int{m.PID}, m.workers...)
	apply := func(pid int, path string) {
		t.Helper()
		if r := hotpatch("apply", "-p", strconv.Itoa(pid), path); r.code != exitDone {
			t.Fatalf("apply: exit code %d\n%s%s", r.code, r.out, r.err)
		}
	}
	apply(m.workers[0], two)
	apply(m.workers[1], three)
	m.runs(1, 2, 3)
	hotpatch("apply", "--tree", strconv.Itoa(m.PID), "--replace", three).wantLines(t, exitDone, idOf(t, three), tree...)
	m.runs(3, 3, 3)
	hotpatch("apply", "--all", "--replace", two).wantLines(t, exitDone, idOf(t, three)+" reverted", tree...)
	m.runs(2, 2, 2)
	hotpatch("revert", "--everywhere", "--all").wantLines(t, exitDone, "reverted", tree...)
	m.runs(1, 1, 1)
}

// TestSeveralFail: what one process cannot take does not keep the others from it, and the exit code is the gravest one's.
func TestSeveralFail(t *testing.T) {
	if !alone(t) {
		return
	}
	fix := preforkFix(t)
	m := startMaster(t, 2)
	if got := m.Ask("hold 1"); got != "held" {
		t.Fatal(got)
	}
	r := hotpatch("apply", "--all", "--wait", "0", fix)
	lines := strings.Split(r.out, "\n")
	if r.code != exitBusy || !strings.Contains(lines[1], fmt.Sprintf("prefork[%d] busy: ", m.workers[0])) || !strings.Contains(lines[1], "reply") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if !strings.HasPrefix(r.err, "hotpatch: apply: 1 of 3 processes are not as asked for, the gravest: busy\n") &&
		!strings.HasSuffix(r.err, "hotpatch: apply: 1 of 3 processes are not as asked for, the gravest: busy\n") {
		t.Errorf("says %q", r.err)
	}
	m.runs(2)
	if got := m.Ask("ask 2"); got != "reply 202" {
		t.Error(got)
	}

	// A refusal outweighs it.
	stranger := victim.Start(t, greet(t, 1))
	r = hotpatch("apply", "--json", "--wait", "0", "-p", itoa(m.workers[0]), "-p", pidOf(stranger), "-p", pidOf(m.Victim), fix)
	out := r.object(t)
	if e := out["error"].(map[string]any); r.code != exitRefused || e["kind"] != "refused" || e["code"] != float64(exitRefused) {
		t.Errorf("exit code %d, JSON says %v", r.code, e)
	}
	var kinds []string
	for _, p := range out["processes"].([]any) {
		o := p.(map[string]any)
		kind := "done"
		if e, ok := o["error"].(map[string]any); ok {
			kind = e["kind"].(string)
		}
		kinds = append(kinds, fmt.Sprintf("%v %s", o["pid"], kind))
	}
	if got, want := strings.Join(kinds, ", "), fmt.Sprintf("%d busy, %d refused, %d done", m.workers[0], stranger.PID, m.PID); got != want {
		t.Errorf("JSON has %s, want %s", got, want)
	}

	// Once it is left, it alone is patched.
	if got := m.Ask("free 1"); got != "reply 201" {
		t.Fatal(got)
	}
	hotpatch("apply", "--all", fix).wantLines(t, exitDone, "applied", append([]int{m.PID}, m.workers...)...)
	m.runs(2, 2, 2)
}

// TestSeveralNone: no process is meant.
func TestSeveralNone(t *testing.T) {
	if !alone(t) {
		return
	}
	fix := preforkFix(t)
	hotpatch("apply", "--all", fix).wantError(t, exitFailed, "no process runs a build that the patch is for")
	v := victim.Start(t, greet(t, 1))
	hotpatch("apply", "--tree", pidOf(v), fix).wantError(t, exitFailed, "no process of the tree runs a build that the patch is for")
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	hotpatch("apply", "--tree", itoa(gone.Process.Pid), fix).wantError(t, exitFailed, "no such process")
	for _, args := range [][]string{{"-p", pidOf(v), "--all"}, {"--tree", pidOf(v), "--all"}, {"-p", pidOf(v), "--tree", "1"}} {
		hotpatch(append([]string{"apply", fix}, args...)...).wantError(t, exitUsage, "give one of them")
	}
}

// TestShown: --time and --json say what a stop was made of and what it has shown.
func TestShown(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	r := hotpatch("apply", "--time", "-p", pidOf(v), fix(t, 1, 2))
	for _, want := range []string{"\n  stop ", "\n  check ", "\n  write ", "\n  resume ", "\n1 attempt, 1 thread stopped, paused ", "\nshown: no thread was in code that changed"} {
		if r.code != exitDone || !strings.Contains(r.err, want) {
			t.Errorf("exit code %d, does not say %q:\n%s", r.code, want, r.err)
		}
	}
	r = hotpatch("revert", "--json", "-p", pidOf(v))
	out := r.object(t)
	stacks := out["stacks"].([]any)
	if len(stacks) != 1 || len(out["shown"].([]any)) == 0 {
		t.Fatalf("exit code %d\n%s", r.code, r.out)
	}
	if s := stacks[0].(map[string]any); s["tid"] != float64(v.PID) || s["comm"] != "greet" || s["proven"] != "scan" && s["proven"] != "cfi" {
		t.Errorf("stack %v", s)
	}
}

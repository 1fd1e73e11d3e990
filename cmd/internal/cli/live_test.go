package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotpatch/internal/victim"
)

// footprint is what of a process must not change: its mappings and its code.
func footprint(t testing.TB, pid int) string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var b bytes.Buffer
	b.Write(maps)
	for s := bufio.NewScanner(bytes.NewReader(maps)); s.Scan(); {
		if strings.HasSuffix(s.Text(), "[vsyscall]") {
			continue // not of this process, and not readable
		}
		var start, end int64
		var perm string
		if _, err := fmt.Sscanf(s.Text(), "%x-%x %s", &start, &end, &perm); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		if !strings.Contains(perm, "x") {
			continue
		}
		code := make([]byte, end-start)
		if _, err := mem.ReadAt(code, start); err != nil {
			t.Fatalf("read %q: %v", s.Text(), err)
		}
		b.Write(code)
	}
	return b.String()
}

// procField returns a field of /proc/PID/status, or "" if the process is gone.
func procField(pid int, name string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(victim.Patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, victim.Patience)
		}
	}
}

// untouched runs f and checks that the process is afterwards as it was, and lives.
func untouched(t testing.TB, v *victim.Victim, f func()) {
	t.Helper()
	before := footprint(t, v.PID)
	f()
	if footprint(t, v.PID) != before {
		t.Error("the process's mappings or its code changed")
	}
	if tracer := procField(v.PID, "TracerPid"); tracer != "0" {
		t.Errorf("process %s still traces it", tracer)
	}
}

func pidOf(v *victim.Victim) string { return strconv.Itoa(v.PID) }

// badPatch is a patch that cannot be applied to greet.
type badPatch struct {
	name    string
	version int // of greet that runs
	patch   func(t *testing.T) string
	code    int
	want    string // in the error
}

// check holds the patch against apply: one line, its exit code, and an untouched process.
func (b *badPatch) check(t *testing.T) {
	v := victim.Start(t, greet(t, b.version))
	path := b.patch(t)
	answer := v.Ask("call")
	untouched(t, v, func() {
		hotpatch("apply", "-p", pidOf(v), path).wantError(t, b.code, b.want)
		r := hotpatch("apply", "-p", pidOf(v), "--json", path)
		r.wantError(t, b.code, b.want)
		if e := r.object(t)["error"].(map[string]any); e["code"] != float64(b.code) || e["kind"] != kindOf(b.code) {
			t.Errorf("JSON says %v, want code %d", e, b.code)
		}
	})
	if got := v.Ask("call"); got != answer {
		t.Errorf("answered %q before and %q afterwards", answer, got)
	}
}

// Files that are not the patch that diff wrote.
func TestApplyCorrupt(t *testing.T) {
	good := fix(t, 1, 2)
	copied := func(edit func([]byte) []byte) func(*testing.T) string {
		return func(t *testing.T) string { return edited(t, good, edit) }
	}
	tests := []badPatch{
		{name: "no such file", patch: func(t *testing.T) string { return filepath.Join(t.TempDir(), "none.patch") }, want: "none.patch: no such file"},
		{name: "empty file", patch: copied(cut(0)), want: "edited"},
		{name: "a program", patch: func(t *testing.T) string { return greet(t, 1) }, want: "greet"},
		{name: "truncated", patch: copied(func(b []byte) []byte { return b[:len(b)*2/3] }), want: "edited"},
		{name: "one bit of it changed", patch: copied(func(b []byte) []byte { b[len(b)/3] ^= 1; return b }), want: "edited"},
		{name: "section count forged", patch: copied(func(b []byte) []byte { b[60], b[61] = 0xff, 0xff; return b }), want: "edited"},
	}
	for _, tt := range tests {
		tt.version, tt.code = 1, exitFailed
		t.Run(tt.name, tt.check)
	}
}

// Patches for something else than what runs.
func TestApplyOtherBuild(t *testing.T) {
	tests := []badPatch{
		{name: "for another build", version: 1, patch: func(t *testing.T) string { return fix(t, 3, 4) }, want: "build"},
		{name: "swapped: the new build is running", version: 2, patch: func(t *testing.T) string { return fix(t, 1, 2) }, want: "new build"},
		{name: "backwards", version: 1, patch: func(t *testing.T) string { return fix(t, 2, 1) }, want: "new build"},
	}
	for _, tt := range tests {
		tt.code = exitRefused
		t.Run(tt.name, tt.check)
	}
}

// Processes that cannot be worked on.
func TestApplyBadProcess(t *testing.T) {
	good := fix(t, 1, 2)
	tests := []struct {
		name string
		pid  func(t *testing.T) int
		want string
	}{
		{
			name: "gone", want: "no such process",
			pid: func(t *testing.T) int {
				c := exec.Command("true")
				if err := c.Run(); err != nil {
					t.Fatal(err)
				}
				return c.Process.Pid
			},
		},
		{
			name: "a zombie", want: "zombie",
			pid: func(t *testing.T) int {
				v := victim.Start(t, greet(t, 1))
				if err := syscall.Kill(v.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				until(t, "the process is a zombie", func() bool { return strings.HasPrefix(procField(v.PID, "State"), "Z") })
				return v.PID
			},
		},
		{name: "a kernel thread", want: "kernel thread", pid: kernelThread},
		{name: "hotpatch itself", want: "own process", pid: func(*testing.T) int { return os.Getpid() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pid := strconv.Itoa(tt.pid(t))
			for _, args := range [][]string{{"apply", "-p", pid, good}, {"revert", "-p", pid}, {"list", "-p", pid}} {
				hotpatch(args...).wantError(t, exitFailed, "process "+pid, tt.want)
			}
		})
	}
}

// kernelThread finds one: its flags have PF_KTHREAD (include/linux/sched.h; field 9 of proc_pid_stat(5)).
func kernelThread(t *testing.T) int {
	const kthread = 0x00200000
	dir, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range dir {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		s := string(b)
		f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
		flags, err := strconv.Atoi(f[9-3])
		if err != nil {
			t.Fatal(err)
		}
		if flags&kthread != 0 {
			pid, err := strconv.Atoi(strings.Fields(s)[0])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("no kernel thread is visible here: the test needs the machine's own PID namespace")
	return 0
}

func TestApplyTraced(t *testing.T) {
	good := fix(t, 1, 2)
	v := victim.Start(t, greet(t, 1))
	before := footprint(t, v.PID)
	runtime.LockOSThread() // ptrace belongs to a thread
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(v.PID); err != nil {
		t.Fatal(err)
	}
	defer syscall.PtraceDetach(v.PID)
	if _, err := syscall.Wait4(v.PID, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	hotpatch("apply", "-p", pidOf(v), "--wait", "0", good).wantError(t, exitFailed, "already traced: by process")
	hotpatch("list", "-p", pidOf(v)).wantError(t, exitFailed, "process "+pidOf(v)+" cannot be looked at", "already traced: by process")
	if footprint(t, v.PID) != before {
		t.Error("the process's mappings or its code changed")
	}
}

// A user may not work on another user's process.
func TestApplyNotOurs(t *testing.T) {
	const nobody = 65534
	good := fix(t, 1, 2)
	dir, err := os.MkdirTemp("", "hotpatch-nobody.") // not t.TempDir: nobody must come in
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var copies []string
	for _, path := range []string{self, good} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(out, b, 0o755); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, out)
	}
	v := victim.Start(t, greet(t, 1))
	untouched(t, v, func() {
		p := prepare(copies[0], "apply", "-p", pidOf(v), copies[1])
		p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		p.wait(t).wantError(t, exitFailed, "not permitted", "root")
	})
}

// A limit on the pause that cannot be kept: nothing is changed.
func TestApplyMaxPause(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	good := fix(t, 1, 2)
	untouched(t, v, func() {
		hotpatch("apply", "-p", pidOf(v), "--max-pause", "1ns", good).wantError(t, exitFailed, "pause")
	})
	if got := v.Ask("call"); got != "greet 2" {
		t.Errorf("it answers %q", got)
	}
}

// Several patches in one command, in any order, one leading on from the other.
func TestApplyTwo(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	one, two := fix(t, 1, 2), fix(t, 2, 3)
	r := hotpatch("apply", "-p", pidOf(v), "--json", two, one)
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if n := len(r.object(t)["patches"].([]any)); n != 2 {
		t.Errorf("%d patches reported, want 2", n)
	}
	if got := v.Ask("call"); got != "greet 4" {
		t.Errorf("it answers %q", got)
	}
}

// Something else has written over a jump: exit code 5 from whatever would change the process, and list
// says so.
func TestAttention(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	one := fix(t, 1, 2)
	r := hotpatch("apply", "-p", pidOf(v), "--json", one)
	var report struct {
		Patches []struct {
			Functions []struct{ Entry int64 }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitDone {
		t.Fatalf("apply: exit code %d, %v\n%s", r.code, err, r.err)
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", v.PID), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	if _, err := mem.WriteAt([]byte{0x90}, report.Patches[0].Functions[0].Entry); err != nil { // in the jump's place: a nop
		t.Fatal(err)
	}
	untouched(t, v, func() {
		for _, args := range [][]string{{"apply", "-p", pidOf(v), fix(t, 2, 3)}, {"revert", "-p", pidOf(v)}} {
			hotpatch(args...).wantError(t, exitAttention, "process "+pidOf(v), "needs attention")
		}
	})
	if r := hotpatch("list", "-p", pidOf(v)); r.code != exitAttention || !strings.Contains(r.out, "needs attention:") {
		t.Errorf("list: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	r = hotpatch("list", "-p", pidOf(v), "--json")
	r.wantError(t, exitAttention, "process "+pidOf(v)+" needs attention")
	o := r.object(t)
	if e := o["error"].(map[string]any); e["kind"] != "attention" || len(o["processes"].([]any)) != 1 {
		t.Errorf("JSON says %v", o)
	}
}

// One patch given twice is one patch.
func TestApplySameTwice(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	one := fix(t, 1, 2)
	r := hotpatch("apply", "-p", pidOf(v), one, edited(t, one, func(b []byte) []byte { return b }))
	if r.code != exitDone || strings.Count(r.out, "applied") != 1 || strings.Contains(r.out, "already") || !strings.Contains(r.err, "it is taken once") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if got := v.Ask("call"); got != "greet 3" {
		t.Errorf("it answers %q", got)
	}
}

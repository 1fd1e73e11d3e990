package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"hotpatch/internal/victim"
)

// mustApply applies a patch and checks that the process answers accordingly.
func mustApply(t *testing.T, v *victim.Victim, path, answer string) {
	t.Helper()
	if r := hotpatch("apply", "-p", pidOf(v), path); r.code != exitDone {
		t.Fatalf("apply: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if got := v.Ask("call"); got != answer {
		t.Fatalf("patched, it answers %q, want %q", got, answer)
	}
}

// listed returns the states of a process's patches as list --json says, in order of the alphabet. Each
// patch must be one of greet.
func listed(t *testing.T, v *victim.Victim) string {
	t.Helper()
	r := hotpatch("list", "-p", pidOf(v), "--json")
	r.object(t)
	var out struct {
		Processes []struct {
			Patches []struct {
				State     string
				Functions []struct{ Name string }
			}
		}
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil || r.code != exitDone || len(out.Processes) != 1 {
		t.Fatalf("list: exit code %d, %v\n%s", r.code, err, r.out)
	}
	var states []string
	for _, p := range out.Processes[0].Patches {
		if len(p.Functions) != 1 || p.Functions[0].Name != "greet" {
			t.Errorf("functions %v, want greet", p.Functions)
		}
		states = append(states, p.State)
	}
	slices.Sort(states)
	return strings.Join(states, " ")
}

// From version 1 to 3 by two patches and back, with what list says on the way.
func TestApplyListRevert(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	one, two := fix(t, 1, 2), fix(t, 2, 3)
	steps := []struct {
		name   string
		args   []string
		result string // in the output
		answer string
		states string
	}{
		{name: "dry run", args: []string{"apply", "--dry-run", one}, result: "would be applied", answer: "greet 2"},
		{name: "apply", args: []string{"apply", one}, result: "applied", answer: "greet 3", states: "applied"},
		{name: "again", args: []string{"apply", one}, result: "already applied", answer: "greet 3", states: "applied"},
		{name: "chain", args: []string{"apply", two}, result: "applied", answer: "greet 4", states: "applied applied"},
		{name: "revert newest", args: []string{"revert"}, result: "reverted", answer: "greet 3", states: "applied reverted"},
		{name: "revert by file", args: []string{"revert", one}, result: "reverted", answer: "greet 2", states: "reverted reverted"},
		{name: "revert once more", args: []string{"revert", one}, result: "already reverted", answer: "greet 2", states: "reverted reverted"},
	}
	for _, s := range steps {
		args := append([]string{s.args[0], "-p", pidOf(v)}, s.args[1:]...)
		r := hotpatch(args...)
		if r.code != exitDone || !strings.Contains(r.out, s.result) || r.err != "" {
			t.Fatalf("%s: exit code %d, want %q\n%s%s", s.name, r.code, s.result, r.out, r.err)
		}
		if got := v.Ask("call"); got != s.answer {
			t.Fatalf("%s: it answers %q, want %q", s.name, got, s.answer)
		}
		if got := listed(t, v); got != s.states {
			t.Errorf("%s: list says %q, want %q", s.name, got, s.states)
		}
	}
	hotpatch("revert", "-p", pidOf(v)).wantError(t, exitFailed, "process "+pidOf(v), "it has none")
}

// From any set of patches to exactly one, and everything back, each in one stop.
func TestReplaceAndRevertAll(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	one, two, both := fix(t, 1, 2), fix(t, 2, 3), fix(t, 1, 3)
	id := func(path string) string {
		f, err := readPatch(path)
		if err != nil {
			t.Fatal(err)
		}
		return f.ID.Short()
	}
	steps := []struct {
		name   string
		args   []string
		result []string // in the output, in this order
		answer string
		states string
	}{
		{name: "two", args: []string{"apply", one, two}, result: []string{id(one), "applied", id(two), "applied"}, answer: "greet 4", states: "applied applied"},
		{name: "dry run", args: []string{"apply", "--replace", "--dry-run", both}, result: []string{id(two), "would be reverted", id(one), "would be reverted", id(both), "would be applied"},
			answer: "greet 4", states: "applied applied"},
		{name: "replace", args: []string{"apply", "--replace", both}, result: []string{id(two), "reverted", id(one), "reverted", id(both), "applied", "paused"},
			answer: "greet 4", states: "applied reverted reverted"},
		{name: "again", args: []string{"apply", "--replace", both}, result: []string{id(both), "already applied"}, answer: "greet 4", states: "applied reverted reverted"},
		{name: "back", args: []string{"apply", "--replace", two, one}, result: []string{id(both), "reverted", id(one), "applied", id(two), "applied"},
			answer: "greet 4", states: "applied applied reverted"},
		{name: "both by their ids", args: []string{"revert", id(one), id(two)}, result: []string{id(two), "reverted", id(one), "reverted"}, answer: "greet 2", states: "reverted reverted reverted"},
		{name: "two again", args: []string{"apply", one, two}, result: []string{"applied"}, answer: "greet 4", states: "applied applied reverted"},
		{name: "one of them", args: []string{"revert", two}, result: []string{id(two), "reverted"}, answer: "greet 3", states: "applied reverted reverted"},
		{name: "both, one of which is gone", args: []string{"revert", id(two), id(one)}, result: []string{id(two), "already reverted", id(one), "reverted"}, answer: "greet 2",
			states: "reverted reverted reverted"},
		{name: "one", args: []string{"apply", both}, result: []string{"applied"}, answer: "greet 4", states: "applied reverted reverted"},
		{name: "all", args: []string{"revert", "--all"}, result: []string{id(both), "reverted"}, answer: "greet 2", states: "reverted reverted reverted"},
	}
	for _, s := range steps {
		r := hotpatch(append([]string{s.args[0], "-p", pidOf(v)}, s.args[1:]...)...)
		rest := r.out
		for _, want := range s.result {
			var ok bool
			if _, rest, ok = strings.Cut(rest, want); !ok {
				t.Fatalf("%s: exit code %d, want %q\n%s%s", s.name, r.code, want, r.out, r.err)
			}
		}
		if got := v.Ask("call"); r.code != exitDone || got != s.answer {
			t.Fatalf("%s: exit code %d, it answers %q, want %q", s.name, r.code, got, s.answer)
		}
		if got := listed(t, v); got != s.states {
			t.Errorf("%s: list says %q, want %q", s.name, got, s.states)
		}
	}
	hotpatch("revert", "-p", pidOf(v), "--all").wantError(t, exitFailed, "process "+pidOf(v), "it has none")
}

// A patch that another one is based on is not taken away from under it.
func TestRevertOutOfOrder(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	one, two := fix(t, 1, 2), fix(t, 2, 3)
	mustApply(t, v, one, "greet 3")
	mustApply(t, v, two, "greet 4")
	untouched(t, v, func() {
		hotpatch("revert", "-p", pidOf(v), one).wantError(t, exitRefused, "revert that one first")
	})
	if got := v.Ask("call"); got != "greet 4" {
		t.Errorf("it answers %q", got)
	}
}

func TestRevertUnknown(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	tests := []struct {
		name string
		arg  string
		want string
	}{
		{name: "an id that it does not have", arg: "00112233", want: "00112233"},
		{name: "a patch that it does not have", arg: fix(t, 1, 2), want: "no such patch"},
		{name: "neither an id nor a file", arg: "nonsense", want: `"nonsense" is no patch id`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			untouched(t, v, func() { hotpatch("revert", "-p", pidOf(v), tt.arg).wantError(t, exitFailed, tt.want) })
		})
	}
}

// ownMachine, in the environment, says that the test runs in a PID namespace of its own, where no
// other test's processes are seen.
const ownMachine = "HOTPATCH_TEST_OWN_MACHINE"

// alone runs the calling test again in PID and mount namespaces of its own; it returns false in the outer run.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMachine) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), ownMachine+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a PID namespace of its own (needs root): %v\n%s", err, out)
	}
	return false
}

// Without -p, revert means the one process that can be meant, and otherwise asks.
func TestRevertWhich(t *testing.T) {
	if !alone(t) {
		return
	}
	hotpatch("revert").wantError(t, exitFailed, "no process of this machine is patched")
	if r := hotpatch("list"); r.code != exitDone || r.out != "no patched process\n" {
		t.Errorf("list: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	one, two := fix(t, 1, 2), fix(t, 2, 3)
	a, b := victim.Start(t, greet(t, 1)), victim.Start(t, greet(t, 2))
	mustApply(t, a, one, "greet 3")
	mustApply(t, b, two, "greet 4")

	r := hotpatch("list")
	for _, want := range []string{"greet[" + pidOf(a) + "]", "greet[" + pidOf(b) + "]", "applied", "by root"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("list does not say %q:\n%s", want, r.out)
		}
	}
	words, _ := complete(t, "revert", "-p", pidOf(a), "")
	if len(words) != 1 || !strings.Contains(words[0], "\tapplied in greet["+pidOf(a)+"]") {
		t.Errorf("completion offers %q", words)
	}

	r = hotpatch("revert")
	if r.code != exitUsage || r.out != "" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	for _, v := range []*victim.Victim{a, b} {
		if !strings.Contains(r.err, "  hotpatch revert -p "+pidOf(v)+" ") {
			t.Errorf("does not say what to type for process %d:\n%s", v.PID, r.err)
		}
	}
	if got := a.Ask("call"); got != "greet 3" {
		t.Errorf("it answers %q", got)
	}

	// A patch that only one of them has says which.
	if r := hotpatch("revert", two); r.code != exitDone || b.Ask("call") != "greet 3" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	// Now one is left.
	if r := hotpatch("revert"); r.code != exitDone || a.Ask("call") != "greet 2" {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	hotpatch("revert").wantError(t, exitFailed, "no process of this machine is patched")
}

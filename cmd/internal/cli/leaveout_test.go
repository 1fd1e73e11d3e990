package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// --skip and --only list what stays out, ask for the word, and write it into the patch.
func TestDiffLeavesOut(t *testing.T) {
	build := func(version string) string {
		return victim.Build(t, "gcc", []string{"leaveout/parts.c"}, "-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-DV="+version)
	}
	old, next := build("1"), build("2")
	out := filepath.Join(t.TempDir(), "fix.patch")
	asked := []string{"1 more left out of the patch", "functions that differ and are left out\n  ack      tax ", "--ack skip:tax",
		"total of the patch, compiled for its new body, will call the old one"}
	r := hotpatch("diff", old, next, "--skip", "tax", "-o", out)
	r.wantError(t, exitRefused, "1 acknowledgement not given")
	wantAll(t, r.out, asked...)
	r = hotpatch("diff", old, next, "--skip", "tax", "--ack", "skip:tax", "-o", out)
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	wantAll(t, hotpatch("inspect", out).out, "skip:tax", "left out", "total of the patch")
	totals := hotpatch("diff", old, next, "--only", "tax", "--json").object(t)["totals"].(map[string]any)
	if totals["left_out"] != 7.0 || totals["changed"] != 1.0 {
		t.Errorf("totals %v", totals)
	}
	// The patch of before is not left under its name without a word, whatever is printed.
	for _, how := range []string{"--all", "--json", "--why=tax"} {
		hotpatch("diff", old, next, "--skip", "tax", "-o", out, how).wantError(t, exitRefused, out+" is of an earlier diff and stays as it is")
	}
	hotpatch("diff", old, next, "--skip", "answer").wantError(t, exitFailed, "answer: no function of that name changed")
}

// wantAll checks that a text holds all of some others.
func wantAll(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
}

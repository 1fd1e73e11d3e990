package inject

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// guarded builds guarded.c, whose indirect branches are checked where the processor does that.
func guarded(t *testing.T, v int) string {
	t.Helper()
	return build(t, "guarded", v, "-fcf-protection", "-Wl,-z,ibtplt", "-ffreestanding", "-nostdlib", "-nostartfiles", "-static", "-no-pie", "-fno-pie",
		"-fno-stack-protector", "-Wl,--eh-frame-hdr")
}

// TestGuarded applies and reverts while a program calls what changes through pointers, with each indirect branch checked for a landing pad
// (arm64: FEAT_BTI; Linux has no such check for programs on x86-64), and with signed return addresses. The payload's own
// memory is not mapped with PROT_BTI: it needs no landing pads.
func TestGuarded(t *testing.T) {
	t.Parallel()
	old := guarded(t, 1)
	v := victim.Start(t, old)
	enforced := map[string]string{"amd64": "open", "arm64": "enforced"}[victim.Native(t).Name]
	ask(t, v, "guard", enforced)
	file := builds.Patch(t, old, guarded(t, 2))
	for range 3 {
		apply(t, v.PID, file)
		if news := called(t, v); news == 0 {
			t.Error("no call is one of version 2")
		}
		if got := guardedText(t, v.PID); got != (enforced == "enforced") {
			t.Errorf("the program's text is guarded: %v", got)
		}
		revert(t, v.PID, "")
		if news := called(t, v); news != 0 {
			t.Errorf("%d calls are of version 2", news)
		}
	}
	ask(t, v, "guard", enforced)
	v.End()
}

// called waits until the program has called its functions some more times, and returns how many of these calls were of version 2. One
// call may have begun before.
func called(t *testing.T, v *victim.Victim) (news int) {
	t.Helper()
	const more = 1000
	var from, before int
	for end := time.Now().Add(victim.Patience); time.Now().Before(end); {
		var calls, all, bad int
		line := v.Ask("sum")
		if _, err := fmt.Sscanf(line, "calls %d new %d bad %d", &calls, &all, &bad); err != nil || bad != 0 {
			t.Fatalf("the program says %q", line)
		}
		switch {
		case from == 0:
			from, before = calls, all
		case calls >= from+more:
			return all - before
		}
	}
	t.Fatal("the program calls nothing any more")
	return 0
}

// guardedText reports whether the kernel guards the program's text (proc(5), VmFlags: bt), and that it guards no other.
func guardedText(t *testing.T, pid int) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	found, path := false, ""
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "VmFlags:") && strings.Contains(line+" ", " bt "):
			if !strings.HasSuffix(path, "/guarded") && path != "[vdso]" {
				t.Errorf("guarded: %q", path)
			}
			found = found || strings.HasSuffix(path, "/guarded")
		case len(f) >= 5 && strings.Contains(f[0], "-"):
			path = strings.Join(f[5:], " ")
		}
	}
	return found
}

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"hotpatch/internal/kvload"
	"hotpatch/internal/victim"
)

// build says how the versions of kvd are compiled.
type build struct {
	cc    string
	flags string
}

// ordinary is how Debian's servers are compiled.
var ordinary = build{cc: "gcc", flags: "-O2 -fPIE -pie"}

func (b build) kvd(t *testing.T, version int) string {
	t.Helper()
	flags := append(strings.Fields(b.flags), "-g", "-pthread", fmt.Sprintf("-DVERSION=%d", version))
	return victim.Build(t, b.cc, []string{"kvd/kvd.c", "kvd/command.c", "kvd/table.c", "kvd/queue.c"}, flags...)
}

// patches returns the patches from each version to the next: patches[v] leads from v to v+1.
func (b build) patches(t *testing.T, h *tool) (patches [4]string) {
	t.Helper()
	for v := 1; v < 4; v++ {
		patches[v] = h.diff(b.kvd(t, v), b.kvd(t, v+1))
	}
	return patches
}

// start runs version 1 and returns its address as well.
func (b build) start(t *testing.T, args ...string) (*victim.Victim, string) {
	t.Helper()
	v := victim.Start(t, b.kvd(t, 1), args...)
	return v, "127.0.0.1:" + strings.TrimPrefix(v.Line(), "port ")
}

// TestServerUnderLoad takes kvd from version 1 to 4 and back under a client that never
// stops and checks every reply. A second round uses the mappings of the first again.
func TestServerUnderLoad(t *testing.T) {
	built := buildTool(t)
	for _, tc := range []struct {
		name    string
		build   build
		threads int // of the pool
		rounds  int
	}{
		{name: "as Debian builds", build: ordinary, threads: 4, rounds: 2},
		{name: "many workers", build: ordinary, threads: victim.Scale(64, 24), rounds: 1},
		{name: "gcc -O0", build: build{cc: "gcc", flags: "-O0 -fPIE -pie"}, threads: 4, rounds: 1},
		{name: "gcc -O3", build: build{cc: "gcc", flags: "-O3 -fPIE -pie"}, threads: 4, rounds: 1},
		{name: "gcc -Os", build: build{cc: "gcc", flags: "-Os -fPIE -pie"}, threads: 4, rounds: 1},
		{name: "gcc hardened", build: build{cc: "gcc", flags: "-O2 -fPIE -pie -fcf-protection -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now"}, threads: 4, rounds: 1},
		{name: "gcc without PIE, with relocations", build: build{cc: "gcc", flags: "-O2 -fno-pie -no-pie -Wl,--emit-relocs"}, threads: 4, rounds: 1},
		{name: "clang -O2", build: build{cc: "clang", flags: "-O2 -fPIE -pie"}, threads: 4, rounds: 1},
	} {
		t.Run(tc.name, func(t *testing.T) { upAndDown(t, &tool{t: t, path: built.path}, tc.build, tc.threads, tc.rounds) })
	}
}

func upAndDown(t *testing.T, h *tool, b build, threads, rounds int) {
	conns, settle := victim.Scale(12, 4), int64(victim.Scale(200, 60))
	patches := b.patches(t, h)
	v, addr := b.start(t, "-t", strconv.Itoa(threads))
	load, err := kvload.Start(addr, conns, 1)
	if err != nil {
		t.Fatal(err)
	}
	step := func(to int, args ...string) {
		t.Helper()
		if err := load.Switch(to, func() error { return h.try(args...) }); err != nil {
			t.Fatal(err)
		}
		if err := load.Settle(settle); err != nil {
			t.Fatalf("after hotpatch %s: %v", strings.Join(args, " "), err)
		}
	}
	for range rounds {
		for from := 1; from < 4; from++ {
			step(from+1, "apply", "-p", pid(v), patches[from])
		}
		for to := 3; to >= 1; to-- {
			step(to, "revert", "-p", pid(v))
		}
	}
	r, err := load.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if r.Keys == 0 {
		t.Error("no key was read back")
	}
	t.Logf("%d connections, %d replies, %d keys, slowest reply %v", r.Conns, r.Replies, r.Keys, r.Slowest)
	v.End()
}

// TestThreeAtOnce applies the three patches in one stop.
func TestThreeAtOnce(t *testing.T) {
	h := buildTool(t)
	patches := ordinary.patches(t, h)
	v, addr := ordinary.start(t)
	load, err := kvload.Start(addr, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	err = load.Switch(4, func() error { return h.try("apply", "-p", pid(v), patches[1], patches[2], patches[3]) })
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Settle(300); err != nil {
		t.Error(err)
	}
	if _, err := load.Stop(); err != nil {
		t.Error(err)
	}
	v.End()
}

func TestKVDRefusals(t *testing.T) {
	h := buildTool(t)
	patches := ordinary.patches(t, h)
	v, addr := ordinary.start(t)
	load, err := kvload.Start(addr, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		args  []string
		code  int
		print string
	}{
		{name: "a patch for a later version", args: []string{"apply", "-p", pid(v), patches[2]}, code: exitRefused, print: "not what runs"},
		{name: "nothing to revert", args: []string{"revert", "-p", pid(v)}, code: exitFailed, print: "no such patch"},
		{name: "a dry run", args: []string{"apply", "-p", pid(v), "--dry-run", patches[1]}, code: exitDone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, code := h.run(tc.args...)
			if code != tc.code || !strings.Contains(out, tc.print) {
				t.Errorf("exit code %d, want %d; printed %q, want %q in it", code, tc.code, out, tc.print)
			}
			if err := load.Settle(100); err != nil {
				t.Errorf("the target was touched: %v", err)
			}
		})
	}
	for _, want := range []string{"applied", "already"} {
		if err := load.Switch(2, func() error {
			out, code := h.run("apply", "-p", pid(v), patches[1])
			if code != exitDone || !strings.Contains(out, want) {
				return fmt.Errorf("exit code %d, printed %q, want %q in it", code, out, want)
			}
			return load.Settle(50)
		}); err != nil {
			t.Error(err)
		}
	}
	if _, err := load.Stop(); err != nil {
		t.Error(err)
	}
}

package e2e

import (
	"path/filepath"
	"testing"

	"hotpatch/internal/victim"
)

func buildTariff(t *testing.T, flags ...string) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"libpair/tariff.c"},
		append([]string{"-O2", "-g", "-fPIC", "-shared", "-Wl,-soname,tariff"}, flags...)...)
}

// buildDaemon builds the daemon of a version against the library of version 1, which is the
// one that runs.
func buildDaemon(t *testing.T, version string) string {
	t.Helper()
	lib := buildTariff(t, "-DVERSION=1")
	return victim.Build(t, "gcc", []string{"libpair/daemon.c"},
		"-O2", "-g", "-pthread", "-fPIE", "-pie", version, lib, "-Wl,-rpath,"+filepath.Dir(lib))
}

// quotes checks what the daemon answers for 10, -5 and 150 units.
func quotes(t *testing.T, v *victim.Victim, ten, negative, many string) {
	t.Helper()
	for _, q := range []struct{ ask, want string }{
		{ask: "quote 10", want: ten}, {ask: "quote -5", want: negative}, {ask: "quote 150", want: many},
	} {
		if got := v.Ask(q.ask); got != q.want {
			t.Fatalf("%s: %q, want %q", q.ask, got, q.want)
		}
	}
}

func TestLibrary(t *testing.T) {
	h := buildTool(t)
	fix := h.diff(buildTariff(t, "-DVERSION=1"), buildTariff(t, "-DVERSION=1", "-DFIXED"))
	v := victim.Start(t, buildDaemon(t, "-DVERSION=1"))
	quotes(t, v, "30", "-15", "400")
	h.must("apply", "-p", pid(v), fix)
	quotes(t, v, "30", "0", "400")
	h.must("revert", "-p", pid(v))
	quotes(t, v, "30", "-15", "400")
	v.End()
}

// TestDaemonAndLibraryInOneStop patches two modules that agree about a unit. While both
// go in, no thread sees one without the other; nor while both go out again, by one revert. They can be taken back one
// by one as well.
func TestDaemonAndLibraryInOneStop(t *testing.T) {
	h := buildTool(t)
	lib := h.diff(buildTariff(t, "-DVERSION=1"), buildTariff(t, "-DVERSION=2"))
	daemon := h.diff(buildDaemon(t, "-DVERSION=1"), buildDaemon(t, "-DVERSION=2"))
	v := victim.Start(t, buildDaemon(t, "-DVERSION=1"))
	for range victim.Scale(5, 2) {
		quotes(t, v, "30", "-15", "400")
		v.Ask("mixed")
		h.must("apply", "-p", pid(v), daemon, lib)
		quotes(t, v, "30.00", "-15.00", "400.00")
		if got := v.Ask("mixed"); got != "mixed 0" {
			t.Fatalf("patched in one stop: %s quotes", got)
		}
		h.must("revert", "-p", pid(v))
		quotes(t, v, "30", "-15", "400")
		if got := v.Ask("mixed"); got != "mixed 0" {
			t.Fatalf("reverted in one stop: %s quotes", got)
		}
	}
	h.must("apply", "-p", pid(v), daemon, lib)
	h.must("revert", "-p", pid(v), lib)
	quotes(t, v, "0.30", "-0.15", "4.00")
	h.must("revert", "-p", pid(v), daemon)
	quotes(t, v, "30", "-15", "400")
	v.End()
}

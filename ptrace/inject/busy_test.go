package inject

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// busyPatch is the patch between the two versions of busy.c.
func busyPatch(t *testing.T, flags ...string) (one string, f *patch.File) {
	t.Helper()
	one = build(t, "busy", 1, flags...)
	return one, builds.Patch(t, one, build(t, "busy", 2, flags...))
}

// works asks how often work() has ended, and how often in version 2.
func works(t *testing.T, v *victim.Victim) (calls, news int) {
	t.Helper()
	line := v.Ask("sum")
	if _, err := fmt.Sscanf(line, "calls %d new %d", &calls, &news); err != nil {
		t.Fatalf("victim said %q", line)
	}
	return calls, news
}

// goesOn waits until work() has ended n times more, and reports how many of these were in version 2.
func goesOn(t *testing.T, v *victim.Victim, n int) (news int) {
	t.Helper()
	calls, before := works(t, v)
	for end := time.Now().Add(victim.Patience); time.Now().Before(end); {
		if now, all := works(t, v); now >= calls+n {
			return all - before
		}
	}
	t.Fatal("work() is not called any more")
	return 0
}

// TestBusyRounds changes a function that some thread or other is always in.
func TestBusyRounds(t *testing.T) {
	one, f := busyPatch(t)
	half := fmt.Sprintf("half %d", victim.Scale(16, 3))
	for _, c := range []struct {
		args     string
		maxPause time.Duration
	}{
		{args: half + " 1000"},
		{args: half + " 1000", maxPause: time.Duration(victim.Scale(500, 20000)) * time.Millisecond},
		{args: half + " 300"},
		{args: "spin 2 1000"},
		{args: "lock"},
		{args: "jump"},
		{args: "deep 5"},
		{args: "deep 200"},
	} {
		t.Run(c.args, func(t *testing.T) {
			v := victim.Start(t, one, strings.Fields(c.args)...)
			for range 2 {
				opt := Options{Wait: victim.Patience, MaxPause: c.maxPause, User: "test"}
				r, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
				if err != nil {
					t.Fatalf("apply: %v", err)
				}
				if c.maxPause > 0 && r.Pause > c.maxPause {
					t.Errorf("paused for %v", r.Pause)
				}
				t.Logf("%d tries, paused %v", r.Tries, r.Pause)
				if news := goesOn(t, v, 40); news < 20 {
					t.Errorf("%d new of 40 calls", news)
				}
				if r, err = Revert(context.Background(), v.PID, "", opt); err != nil {
					t.Fatalf("revert: %v", err)
				}
				t.Logf("%d tries, paused %v", r.Tries, r.Pause)
				goesOn(t, v, 20)
				if news := goesOn(t, v, 20); news != 0 {
					t.Errorf("%d of 20 calls are new after the revert", news)
				}
			}
		})
	}
}

// symbols names places in a program.
func symbols(t *testing.T, path string) func(string, []byte, arch.ImageAddr) string {
	im, err := image.Load(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return func(module string, _ []byte, at arch.ImageAddr) string {
		if a := im.AtomAt(at); a != nil && module == path {
			return a.Name + " (" + filepath.Base(path) + ")"
		}
		return ""
	}
}

// TestBusyReport says who is busy and for how long, and recognises calls that do not end.
func TestBusyReport(t *testing.T) {
	one, f := busyPatch(t)
	leafOne, leafFix := busyPatch(t, "-static", "-DONLYLEAF", "-Wl,--emit-relocs,--eh-frame-hdr")
	mainOne, mainFix := busyPatch(t, "-DMAIN", "-fno-ipa-cp")
	for _, c := range []struct {
		name, args, function, loop string
		one                        string
		f                          *patch.File
		frames, help               []string
	}{
		{name: "it may return", args: "long", function: "work", one: one, f: f, help: []string{"--wait"}},
		{name: "thread", args: "own", function: "own", loop: loopStart, one: one, f: f, help: []string{"--allow-active own"}},
		{name: "main", args: "main", function: "main", loop: loopStart, one: mainOne, f: mainFix, help: []string{"--allow-active main"}},
		{name: "no way out", args: "loop", function: "never", loop: loopCode, one: one, f: f, help: []string{"--allow-active never"}},
		{name: "static", args: "leaf", function: "leaf", loop: loopStart, one: leafOne, f: leafFix, help: []string{"--allow-active leaf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := victim.Start(t, c.one, c.args)
			begin := time.Now()
			th, busy := firstBusy(t, v.PID, c.f, c.one)
			if th.Func != c.function || th.Comm != "busy" || !strings.HasPrefix(th.Loop, c.loop) || c.loop == "" && th.Loop != "" {
				t.Errorf("%+v", th)
			}
			if th.Stay > time.Since(begin)+time.Second {
				t.Errorf("there for %v, asked %v ago", th.Stay, time.Since(begin))
			}
			if help := strings.Join(busy.Help, "\n"); !strings.Contains(help, c.help[0]) {
				t.Errorf("help: %s", help)
			}
			if !strings.Contains(strings.Join(th.Frames, "\n"), c.function+" (busy)") {
				t.Errorf("frames: %q", th.Frames)
			}
		})
	}
}

// firstBusy applies a patch that finds its one thread busy, and returns what is said of it. It waits long enough for the thread to be seen at two
// looks: the second one tells how long it has been there. On a slow machine the first look alone can take all of a short time.
func firstBusy(t *testing.T, pid int, f *patch.File, program string) (BusyThread, *BusyError) {
	t.Helper()
	for wait := 300 * time.Millisecond; ; wait *= 3 {
		_, err := Apply(context.Background(), pid, []*patch.File{f}, Options{Wait: wait, Symbolize: symbols(t, program)})
		var busy *BusyError
		if !errors.As(err, &busy) || len(busy.Threads) != 1 {
			t.Fatalf("apply: %v", err)
		}
		if th := busy.Threads[0]; th.Stay >= wait/20 {
			return th, busy
		} else if wait > 10*time.Second {
			t.Fatalf("there for %v, waited for %v", th.Stay, wait)
		}
	}
}

// TestBusyInCallee: a thread that is in what a replaced function has called is busy. Where return addresses are signed, the one into work() is on the
// stack in no other form: who does not know which bits are the signature sees nothing.
func TestBusyInCallee(t *testing.T) {
	one, f := busyPatch(t, "-fcf-protection=full", "-Wl,--emit-relocs")
	v := victim.Start(t, one, "half", "1", "100000000") // microseconds in which stay() sleeps
	_, err := Apply(context.Background(), v.PID, []*patch.File{f}, Options{Wait: 50 * time.Millisecond, Symbolize: symbols(t, one)})
	var busy *BusyError
	if !errors.As(err, &busy) || len(busy.Threads) != 1 {
		t.Fatalf("apply: %v", err)
	}
	if th := busy.Threads[0]; th.Func != "work" || !strings.HasPrefix(th.Where, "frame ") || !strings.Contains(strings.Join(th.Frames, "\n"), "stay (busy)\nwork (busy)") {
		t.Errorf("%+v", th)
	}
}

// TestBusyText says in one line who is in the way, however many there are, and advises what can be done about each.
func TestBusyText(t *testing.T) {
	may := BusyThread{TID: 7, Comm: "server", Func: "take", Where: "frame 2", Why: "it executes it", Stay: 1900 * time.Millisecond}
	brief, loop, idle, mangled := may, may, may, may
	mangled.Func = "_ZN6server4takeEv"
	brief.Stay = 10 * time.Millisecond
	loop.Loop = loopStart
	idle.Loop, idle.idle = loopStart, true
	for _, c := range []struct {
		name         string
		e            BusyError
		text         string
		help, unhelp string
	}{
		{name: "one", e: BusyError{PID: 1, Threads: []BusyThread{brief}}, help: "--wait", unhelp: "--allow-active",
			text: "process 1: busy: nothing has changed; thread 7 (server) has been for 10ms in take (frame 2: it executes it)"},
		{name: "two", e: BusyError{PID: 1, Threads: []BusyThread{may, may}}, help: "--allow-active take",
			text: "process 1: busy: nothing has changed; thread 7 (server) has been for 1.9s in take (frame 2: it executes it); and 1 thread more"},
		{name: "many", e: BusyError{PID: 1, Threads: []BusyThread{loop, may}, More: 3}, help: "--allow-active take",
			text: "process 1: busy: nothing has changed; thread 7 (server) has been for 1.9s in take (frame 2: it executes it), " +
				"which does not return: the thread began with it; and 4 threads more"},
		{name: "mangled", e: BusyError{PID: 1, Threads: []BusyThread{mangled}}, help: "--allow-active '_ZN6server4takeEv'",
			text: "process 1: busy: nothing has changed; thread 7 (server) has been for 1.9s in _ZN6server4takeEv (frame 2: it executes it)"},
		{name: "when idle", e: BusyError{PID: 1, Threads: []BusyThread{idle}}, help: "--when-idle take", unhelp: "--allow-active",
			text: "process 1: busy: nothing has changed; thread 7 (server) has been for 1.9s in take (frame 2: it executes it), " +
				"which does not return: the thread began with it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.e.Error(); got != c.text {
				t.Errorf("got  %s\nwant %s", got, c.text)
			}
			help := strings.Join(c.e.help(), "\n")
			if !strings.Contains(help, c.help) || c.unhelp != "" && strings.Contains(help, c.unhelp) {
				t.Errorf("help: %s", help)
			}
		})
	}
}

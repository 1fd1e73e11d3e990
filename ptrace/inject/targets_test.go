package inject

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
)

// The tests here apply a patch to processes out of the ordinary, and revert it. testdata/README.md says which line of the
// list of hazards each is for.

// worldsPatch is the patch from version 1 of worlds.c to version 2: answer(1) is 2, then 12.
func worldsPatch(t *testing.T) *patch.File {
	t.Helper()
	return builds.Patch(t, build(t, "worlds", 1), build(t, "worlds", 2))
}

// patched applies, asks, reverts, asks, and checks that the program's text is as it was.
func patched(t *testing.T, v *victim.Victim, f *patch.File, opt Options) *Report {
	t.Helper()
	before := programOf(footprint(t, v.PID))
	r, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	ask(t, v, "1", "12")
	if _, err := Revert(context.Background(), v.PID, "", opt); err != nil {
		t.Fatalf("revert: %v", err)
	}
	ask(t, v, "1", "2")
	if programOf(footprint(t, v.PID)) != before {
		t.Error("the text is not as it was")
	}
	checkProofs(t, r)
	return r
}

// patchedAfter applies, during which the victim says a word, and then does what patched does.
func patchedAfter(t *testing.T, v *victim.Victim, f *patch.File, opt Options, word string) {
	t.Helper()
	if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt); err != nil {
		t.Fatalf("apply: %v", err)
	}
	v.Expect(word)
	ask(t, v, "1", "12")
	revert(t, v.PID, "")
	patched(t, v, f, quick)
}

// checkProofs fails unless the report says of every thread that was stopped how it was shown to be idle.
func checkProofs(t *testing.T, r *Report) {
	t.Helper()
	frames := 0
	for _, s := range r.Stacks {
		if s.Proven != unwind.ByScan && s.Proven != unwind.ByCFI || (s.Proven == unwind.ByCFI) != (s.Frames > 0) {
			t.Errorf("stack %+v", s)
		}
		frames += s.Frames
	}
	if len(r.Stacks) != r.Threads || frames != r.Frames || len(r.Shown) == 0 {
		t.Errorf("%d stacks of %d threads, %d frames of %d; shown: %q", len(r.Stacks), r.Threads, frames, r.Frames, r.Shown)
	}
}

// TestProvenByFrames: a thread whose stack holds a stale word that leads into the replaced function is shown to be idle by its
// call frames.
func TestProvenByFrames(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "worlds", 1))
	ask(t, v, "stale", "ok")
	r := apply(t, v.PID, worldsPatch(t))
	checkProofs(t, r)
	if len(r.Stacks) != 1 || r.Stacks[0].Proven != unwind.ByCFI || r.Frames < 3 {
		t.Errorf("stacks %+v, shown %q", r.Stacks, r.Shown)
	}
	ask(t, v, "1", "12")
}

// TestWorlds patches processes in which nothing needs a word.
func TestWorlds(t *testing.T) {
	t.Parallel()
	f := worldsPatch(t)
	for _, tt := range []struct {
		name     string
		commands []string
		threads  int // that the report is to say were stopped, at least
		after    map[string]string
	}{
		{name: "main thread ended", commands: []string{"leader"}, threads: 1},
		{name: "worker of io_uring", commands: []string{"uring"}, threads: 1, after: map[string]string{"end": "1"}},
		{name: "a thread without the filter", commands: []string{"seccomp one"}, threads: 2},
		{name: "filter that allows it", commands: []string{"seccomp name", "threads 3"}, threads: 4},
		{name: "waiting in calls", commands: []string{"sleepers"}, threads: 5},
		{name: "more spinning threads than CPUs", commands: []string{"spinners 16"}, threads: 17},
		{name: "a thousand threads", commands: []string{"threads 999"}, threads: 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := victim.Start(t, build(t, "worlds", 1))
			for _, c := range tt.commands {
				ask(t, v, c, "ok")
			}
			if r := patched(t, v, f, quick); r.Threads < tt.threads {
				t.Errorf("%d threads were stopped, want %d", r.Threads, tt.threads)
			} else {
				t.Logf("%d threads, paused %v", r.Threads, r.Pause)
			}
			for q, want := range tt.after {
				ask(t, v, q, want)
			}
		})
	}
}

// TestMaxPauseOfManyThreads: a pause that a thousand threads exceed is not made.
func TestMaxPauseOfManyThreads(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "worlds", 1))
	ask(t, v, "threads 999", "ok")
	before := footprint(t, v.PID)
	opt := quick
	opt.MaxPause = 100 * time.Microsecond
	if _, err := Apply(context.Background(), v.PID, []*patch.File{worldsPatch(t)}, opt); !errors.Is(err, ptrace.ErrPause) {
		t.Errorf("apply: %v, want %v", err, ptrace.ErrPause)
	}
	if footprint(t, v.PID) != before {
		t.Error("the process has changed")
	}
	ask(t, v, "1", "2")
}

// TestFilterNeedsAck: where every thread has a filter that kills on mmap, the user's word lets it be suspended, and stands in the
// journal. Afterwards it holds again.
func TestFilterNeedsAck(t *testing.T) {
	t.Parallel()
	f := worldsPatch(t)
	for _, filter := range []string{"kill", "strict"} {
		t.Run(filter, func(t *testing.T) {
			v := victim.Start(t, build(t, "worlds", 1))
			ask(t, v, "threads 2", "ok")
			v.Send("seccomp " + filter) // sets it for the main thread only
			v.Expect("ok")
			alone := victim.Start(t, build(t, "worlds", 1))
			ask(t, alone, "seccomp "+filter, "ok")
			refused(t, alone.PID, []*patch.File{f}, "--ack seccomp", "would answer mmap with KILL_PROCESS", "killed")
			patched(t, v, f, quick) // a thread without it is borrowed

			opt := quick
			opt.DryRun = true
			dry, err := Apply(context.Background(), alone.PID, []*patch.File{f}, opt)
			if err != nil || !strings.Contains(strings.Join(dry.Unread, "; "), "seccomp filters") {
				t.Errorf("dry run: %+v, %v", dry, err)
			}
			opt = quick
			opt.Acks = []string{ackSeccomp}
			r, err := Apply(context.Background(), alone.PID, []*patch.File{f}, opt)
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(r.Notes, "\n"); strings.Count(notes, "were suspended") != 1 {
				t.Errorf("notes: %s", notes)
			}
			ask(t, alone, "1", "12")
			s, err := Inspect(alone.PID, nil)
			if err != nil || len(s.Patches) != 1 || len(s.Patches[0].Acks) != 1 || s.Patches[0].Acks[0].ID != ackSeccomp {
				t.Errorf("list: %+v, %v", s, err)
			}
			if _, err := Revert(context.Background(), alone.PID, "", opt); err != nil {
				t.Fatal(err)
			}
			ask(t, alone, "1", "2")
			alone.Send("threads 1") // maps a stack
			for end := time.Now().Add(victim.Patience); alone.Alive(); {
				if time.Now().After(end) {
					t.Fatal("the filter does not kill any more")
				}
			}
		})
	}
}

// TestSharedMemory: a process that shares the memory is waited for as long as the user's --wait allows.
func TestSharedMemory(t *testing.T) {
	t.Parallel()
	f := worldsPatch(t)
	for _, how := range []string{"vfork", "clonevm"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "worlds", 1))
			ask(t, v, how, "ok")
			before := footprint(t, v.PID)
			opt := quick
			opt.Wait = 0
			_, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
			if !errors.Is(err, ptrace.ErrShared) && !errors.Is(err, ptrace.ErrTimeout) {
				t.Errorf("apply: %v, want %v", err, ptrace.ErrShared)
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
			ask(t, v, "1", "2")
			opt.Wait = victim.Patience
			asked := false
			opt.Progress = func(s string) {
				if strings.Contains(s, "shares its memory") && !asked {
					asked = true
					v.Send("end")
				}
			}
			patchedAfter(t, v, f, opt, "ok")
		})
	}
}

// TestStoppedBySignal: a process that SIGSTOP has stopped is patched and stays stopped.
func TestStoppedBySignal(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "worlds", 1))
	ask(t, v, "threads 3", "ok")
	if err := unix.Kill(v.PID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := func() bool { return stateOf(t, v.PID) == "T" }
	await(t, "stopped", stopped)
	apply(t, v.PID, worldsPatch(t))
	await(t, "stopped still", stopped)
	if err := unix.Kill(v.PID, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ask(t, v, "1", "12")
}

// TestAfresh: a thread whose timeout cannot be kept is named.
func TestAfresh(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "worlds", 1))
	ask(t, v, "timed", "ok")
	await(t, "in sigtimedwait", func() bool {
		tasks, _ := os.ReadDir(procPath(v.PID, "task"))
		b, err := os.ReadFile(procPath(v.PID, "task/"+tasks[len(tasks)-1].Name()+"/syscall"))
		return err == nil && strings.HasPrefix(string(b), strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT)+" ")
	})
	r := patched(t, v, worldsPatch(t), quick)
	if notes := strings.Join(r.Notes, "\n"); strings.Count(notes, "waits in sigtimedwait: a timeout that was running began afresh") != 1 {
		t.Errorf("notes: %s", notes)
	}
}

// stateOf is the state letter of a process.
func stateOf(t *testing.T, pid int) string {
	t.Helper()
	status, err := statusFields(pid)
	if err != nil {
		t.Fatal(err)
	}
	return status["State"][:1]
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(victim.Patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestForkServer: children of a patched process have the patch; what it executes does not.
func TestForkServer(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "worlds", 1))
	ask(t, v, "child", "2")
	apply(t, v.PID, worldsPatch(t))
	for range 3 {
		ask(t, v, "child", "12")
		ask(t, v, "exec", "2")
	}
	revert(t, v.PID, "")
	ask(t, v, "child", "2")
}

// TestExplain: a system call that the kernel refuses the process is explained.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{name: "limits", err: &ptrace.CallError{Call: "mmap()", Err: unix.ENOMEM}, want: "RLIMIT_AS"},
		{name: "SELinux", err: &ptrace.CallError{Call: "mmap()", Err: unix.EACCES}, want: "SELinux execmem"},
		{name: "MDWE", err: &ptrace.CallError{Call: "mprotect()", Err: unix.EPERM}, want: "executable memory"},
		{name: "another call", err: &ptrace.CallError{Call: "close()", Err: unix.EBADF}},
		{name: "no call", err: ptrace.ErrExited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := explain(tt.err)
			if !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) || tt.want == "" && got != tt.err {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestEndedBetweenLooks: a process that ends while all are looked at is passed over.
func TestEndedBetweenLooks(t *testing.T) {
	t.Parallel()
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := statusFields(gone.Process.Pid); err == nil || !skippable(err) {
		t.Errorf("error %v is not passed over", err)
	}
}

// TestPointersIntoReverted: what a patch has stored of its own code and data can be used when it is reverted.
func TestPointersIntoReverted(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "kept", 1))
	ask(t, v, "keep", "1001")
	ask(t, v, "use", "nothing")
	apply(t, v.PID, builds.Patch(t, build(t, "kept", 1), build(t, "kept", 2)))
	ask(t, v, "keep", "2001")
	r := revert(t, v.PID, "")
	ask(t, v, "keep", "1001")
	ask(t, v, "use", "12 of version 2")
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "triple was added by the patch and stays mapped") {
		t.Errorf("notes: %s", notes)
	}
	v.End()
}

// TestThreadAtEveryStep makes a thread at every point of an apply and of a revert at which the main thread runs.
func TestThreadAtEveryStep(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "worlds", 1))
	points := 0
	opt := quick
	opt.fault = func(point string) error {
		switch point {
		case "payload-mapped": // the main thread may be the borrowed one
			return nil
		case pointBegun, pointCopied, pointGated, pointGo, pointText, pointEnded: // all threads are stopped
			return nil
		}
		points++
		ask(t, v, "threads 1", "ok")
		return nil
	}
	r := patched(t, v, worldsPatch(t), opt)
	if points < 5 || r.Threads < 2 {
		t.Errorf("%d points, %d threads", points, r.Threads)
	}
}

// TestReplacedOnDisk: another file has taken the program's name.
func TestReplacedOnDisk(t *testing.T) {
	t.Parallel()
	path := copyTo(t, build(t, "worlds", 1), t.TempDir())
	v := victim.Start(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copyTo(t, build(t, "worlds", 2), t.TempDir()), path); err != nil {
		t.Fatal(err)
	}
	patched(t, v, worldsPatch(t), quick)
}

// TestUserNamespace: the program is root in a user namespace of its own, and nobody outside.
func TestUserNamespace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := copyTo(t, build(t, "worlds", 1), dir)
	for p := dir; p != "/"; p = p[:max(1, strings.LastIndexByte(p, '/'))] {
		if err := os.Chmod(p, 0o777); err != nil && !os.IsPermission(err) {
			t.Fatal(err)
		}
		if p == os.TempDir() {
			break
		}
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	const nobody = 65534
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		UidMappings: ids, GidMappings: ids, Credential: &syscall.Credential{},
	}
	v := victim.StartCmd(t, cmd)
	status, err := statusFields(v.PID)
	if err != nil || !strings.HasPrefix(status["Uid"], strconv.Itoa(nobody)) {
		t.Fatalf("uid %s, %v", status["Uid"], err)
	}
	patched(t, v, worldsPatch(t), quick)
}

// TestLinkage patches programs that are linked in every way, with two C libraries.
func TestLinkage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, cc string
		flags    []string
	}{
		{name: "glibc", cc: "gcc"},
		{name: "glibc static", cc: "gcc", flags: []string{"-static", "-Wl,--emit-relocs"}},
		{name: "glibc static-PIE", cc: "gcc", flags: []string{"-static-pie", "-DPAD=1024"}},
		{name: "glibc not PIE", cc: "gcc", flags: []string{"-no-pie"}},
		{name: "musl", cc: "musl-gcc"},
		{name: "musl static", cc: "musl-gcc", flags: []string{"-static"}},
		{name: "musl not PIE", cc: "musl-gcc", flags: []string{"-no-pie"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var built [3]string
			for v := 1; v <= 2; v++ {
				flags := append([]string{"-O2", "-g", "-pthread", "-Wl,--build-id=sha1", "-DV=" + strconv.Itoa(v)}, tt.flags...)
				built[v] = victim.Build(t, tt.cc, []string{"inject/plain.c"}, flags...)
			}
			v := victim.Start(t, built[1], "3")
			r := apply(t, v.PID, builds.Patch(t, built[1], built[2]))
			ask(t, v, "5", "2000010")
			if r.Threads != 4 {
				t.Errorf("%d threads", r.Threads)
			}
			revert(t, v.PID, "")
			ask(t, v, "5", "1000005")
			v.End()
		})
	}
}

package inject

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
)

// brief makes the error for the last check without reading symbols: the process may go on any moment.
func (a *activeness) brief(pid int, w *waiting) *BusyError {
	e := &BusyError{PID: pid, More: max(0, len(a.busy)-maxBusy)}
	for i := range a.busy[:min(len(a.busy), maxBusy)] {
		b := &a.busy[i]
		t := BusyThread{TID: b.tid, Comm: threadName(pid, b.tid), Func: "a replaced function, perhaps", Where: b.act.Where, Why: b.act.Why, Stay: w.stays(&a.goals[i])}
		outer := a.outermost(b)
		if outer >= 0 {
			t.Func, t.idle = a.targets[outer].Name, a.targets[outer].idle
		}
		if t.Why == "" {
			t.Why = "it executes it, or returns into it"
		}
		if t.Where == "" {
			t.Where = "its stack"
		}
		if why := a.loops(b, outer); why != "" {
			t.Loop = why
			if age := threadAge(pid, b.tid); why == loopStart && age > 0 {
				t.Stay = age
			}
		}
		e.Threads = append(e.Threads, t)
	}
	e.Help = e.help()
	return e
}

// describe makes the error for the last check, with stacks.
func (a *activeness) describe(pid int, w *waiting) *BusyError {
	e := a.brief(pid, w)
	for i := range e.Threads {
		frames := a.busy[i].act.Frames
		for k := range frames {
			name := a.names.frame(a.space, &frames[k])
			if at := a.targetAt(&frames[k]); at >= 0 && frames[k].Module >= 0 && !strings.HasPrefix(name, a.targets[at].Name) {
				name = fmt.Sprintf("%s (%s)", a.targets[at].Name, a.space.Modules[frames[k].Module].Name)
			}
			e.Threads[i].Frames = append(e.Threads[i].Frames, name)
		}
	}
	return e
}

// outermost returns the target of the outermost frame that is in one: what the thread has to return from. Without such a frame it
// is what the check found; -1: not known.
func (a *activeness) outermost(b *busyThread) int {
	at := b.act.Target
	for i := range b.act.Frames {
		if k := a.targetAt(&b.act.Frames[i]); k >= 0 {
			at = k
		}
	}
	return at
}

// targetAt returns the target that a frame is in, or -1.
func (a *activeness) targetAt(f *unwind.Frame) int {
	pc := f.PC
	if f.Return {
		pc--
	}
	return slices.IndexFunc(a.targets, func(t target) bool { return pc >= t.Addr && pc < t.end() })
}

// Why a call is not going to end.
const (
	loopStart = "the thread began with it"
	loopCode  = "it goes round in a loop without a way out"
)

// loops says why the outermost call of a busy thread is not going to return; "" if nothing speaks for that. target is the one that the
// call is of.
func (a *activeness) loops(b *busyThread, target int) string {
	frames := b.act.Frames
	outer := -1
	for i := range frames {
		if a.targetAt(&frames[i]) >= 0 {
			outer = i
		}
	}
	if outer < 0 || target < 0 {
		return ""
	}
	above := frames[outer+1:]
	first := len(above) > 0 && len(above) <= maxStartFrames && above[len(above)-1].Last
	for i := range above {
		first = first && a.starts(&above[i])
	}
	switch {
	case first:
		return loopStart
	case a.targets[target].noReturn:
		return loopCode
	}
	return ""
}

// maxStartFrames is how many frames of the C library a program's main function stands on at most: _start, __libc_start_main and
// __libc_start_call_main.
const maxStartFrames = 3

// starts reports whether a frame is of the code that begins a thread or a program, of which nothing is known but that it calls one
// function: the C library's, or the program's first instructions. In a static program the names tell.
func (a *activeness) starts(f *unwind.Frame) bool {
	if f.Module < 0 {
		return false
	}
	name := a.space.Modules[f.Module].Name
	if f.Last || strings.HasPrefix(name, "libc.so") || strings.HasPrefix(name, "libc-") || strings.HasPrefix(name, "ld-musl-") ||
		strings.HasPrefix(name, "libpthread") {
		return true
	}
	pc := f.PC
	if f.Return {
		pc--
	}
	s, _, _ := strings.Cut(a.names.name(pc), " ")
	return slices.Contains(startNames[:], s)
}

// startNames are the C libraries' functions that call main or a thread's first function: glibc's csu/libc-start.c,
// sysdeps/nptl/libc_start_call_main.h and nptl/pthread_create.c; musl's __libc_start_main.c and pthread_create.c.
var startNames = [...]string{"__libc_start_main", "__libc_start_main_impl", "__libc_start_call_main", "generic_start_main", "start_thread",
	"libc_start_main_stage2", "start", "start_c11"}

// threadAge returns how long a thread has existed; 0 if that cannot be read.
func threadAge(pid, tid int) time.Duration {
	b, err := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(tid)+"/stat"))
	if err != nil {
		return 0
	}
	st, err := ptrace.ParseStat(b)
	var now unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	const ticks = 100 // USER_HZ, in which /proc counts on all supported architectures (proc(5))
	return max(0, time.Duration(now.Nano())-time.Duration(st.StartTime)*(time.Second/ticks))
}

// longStay is how long a call lasts at least that waits for something: waiting for it is then not all that can be done.
const longStay = time.Second

// flagWord returns a name as it is typed behind a flag: one that is shown demangled has blanks then, and what a shell reads as its own.
func flagWord(name string) string {
	if strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") { // Itanium C++ ABI 5.1, Rust RFC 2603
		return "'" + name + "'"
	}
	return name
}

// help lists what can be done about busy threads.
func (e *BusyError) help() []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for i := range e.Threads {
		t := &e.Threads[i]
		if t.Loop != "" && t.idle {
			add(fmt.Sprintf("%s does not return while the program goes on: leave out --when-idle %s, or name what it calls", t.Func, flagWord(t.Func)))
			continue
		}
		if t.Loop == "" {
			add("allow more time (--wait): the change is made the moment the function returns")
			if t.Stay >= longStay && !t.idle {
				add(fmt.Sprintf("where calls of %s that are under way may go on in the old version to their end: --allow-active %s", t.Func, flagWord(t.Func)))
			}
			continue
		}
		add(fmt.Sprintf("%s does not return while the program goes on: --allow-active %s lets that call go on in the old version, and changes all later ones", t.Func, flagWord(t.Func)))
		add("if the program ends and begins such threads by itself (a reload, a worker that is replaced): have it do so while hotpatch waits")
		add(fmt.Sprintf("move what is to change out of %s into a function that it calls, and make the patch of that", t.Func))
	}
	return out
}

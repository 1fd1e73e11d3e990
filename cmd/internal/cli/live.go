package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ianlancetaylor/demangle"
	"github.com/spf13/cobra"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/inject"
)

// defaultWait is how long apply and revert wait for a busy function unless told otherwise.
const defaultWait = 10 * time.Second

// liveFlags are the options that apply and revert have in common.
type liveFlags struct {
	processFlags
	dryRun   bool
	wait     time.Duration
	maxPause time.Duration
	acks     []string
	whenIdle []string
	allow    []string
	json     bool
	time     bool
}

// add defines the flags. all is the name of the one for every process, and what it means.
func (l *liveFlags) add(c *cobra.Command, all, usage string) {
	f := c.Flags()
	l.processFlags.add(f, all, usage)
	f.BoolVar(&l.dryRun, "dry-run", false, "plan everything and touch nothing; not checked are whether a thread is in a\n"+
		"changed function, and whether memory can be mapped and code written")
	l.wait = defaultWait
	f.Var((*timeValue)(&l.wait), "wait", "keep trying for this `TIME` (as in 30s) while a function is busy; 0: try once")
	f.Var((*timeValue)(&l.maxPause), "max-pause", "give up rather than stop the process for more than this `TIME` (as in 5ms); 0: no limit")
	f.StringArrayVar(&l.acks, "ack", nil, "give the word for what is refused under this `ID` (repeatable)")
	f.StringArrayVar(&l.allow, "allow-active", nil, "let a call of `FUNC` that is under way go on in the old version to its end, as of a\nmain loop that never returns; all else is changed (repeatable)")
	f.StringArrayVar(&l.whenIdle, "when-idle", nil, "change nothing while `FUNC` (or FILE:FUNC, MODULE:FUNC) is being executed: each\ncall of it then sees one version only (repeatable)")
	f.BoolVar(&l.json, "json", false, "print the result as JSON")
	f.BoolVar(&l.time, "time", false, "show how long each phase took")
	completePIDs(c, "pid", "tree")
}

// check refuses values that make no sense. all is the name of the flag for every process.
func (l *liveFlags) check(all string) error {
	if l.wait < 0 || l.maxPause < 0 {
		return usagef("--wait and --max-pause cannot be negative")
	}
	return l.processFlags.check(all)
}

// pidValue is the value of -p and --tree; zero means that it was not given.
type pidValue int

func (p *pidValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return errors.New("not a process id")
	}
	*p = pidValue(n)
	return nil
}

func (p *pidValue) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.Itoa(int(*p))
}

func (p *pidValue) Type() string { return "PID" }

// timeValue is the value of --wait and --max-pause.
type timeValue time.Duration

func (v *timeValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("not a time: a number and its unit are needed, as in 5s, 200ms or 1m30s")
	}
	*v = timeValue(d)
	return nil
}

func (v *timeValue) String() string {
	if *v == 0 {
		return "0"
	}
	return time.Duration(*v).String()
}

func (v *timeValue) Type() string { return "TIME" }

// transaction runs f, which is inject.Apply or inject.Revert, under a context that ends with the
// first interrupt. Before the commit that leaves the target as it was; later the
// commit is finished, and f's result says so.
func (a *app) transaction(ctx context.Context, l *liveFlags, pid int, opt inject.Options,
	f func(context.Context, inject.Options) (*inject.Report, error)) (*inject.Report, error) {
	who, err := userName()
	if err != nil {
		who = "uid " + itoa(os.Getuid()) // a process without a password file entry, as in a container
	}
	show, end := a.progress()
	defer end()
	opt.DryRun, opt.Wait, opt.MaxPause, opt.Acks, opt.User, opt.Progress = l.dryRun, l.wait, l.maxPause, l.acks, who, show
	symbols := newSymbolizer(pid)
	opt.Symbolize, opt.Functions, opt.WhenIdle = symbols.name, symbols.functions, l.whenIdle
	opt.AllowActive, opt.Demangle = l.allow, func(link string) string { return demangle.Filter(link) }
	start := time.Now()
	r, err := f(ctx, opt)
	took := time.Since(start)
	for _, ph := range r.Phases {
		if !strings.Contains(ph.Name, "/") { // no part of another
			took -= ph.Duration
		}
	}
	r.Phases = append(r.Phases, inject.Phase{Name: "open, release", Duration: took})
	switch {
	case err == nil || errors.Is(err, patch.ErrRefused) || errors.Is(err, inject.ErrNoPatch):
		return r, err
	case r.Comm != "" && (errors.Is(err, inject.ErrExited) || ended(pid)): // it was there when the transaction began
		return r, &reworded{fmt.Sprintf("process %d (%s) ended before the %s was done", pid, r.Comm, r.Verb), err}
	case ctx.Err() != nil && !errors.Is(err, inject.ErrAttention):
		return r, fmt.Errorf("process %d: interrupted: nothing was changed", pid)
	}
	return r, err
}

// ended reports whether a process is gone, or dead and not yet reaped. A main thread that has ended before the others
// looks dead as well (proc_pid_stat(5)), but is not alone.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
	}
	_, state, ok := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	if !ok || state == "" || !strings.ContainsRune("ZX", rune(state[0])) {
		return false
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err != nil || len(tasks) <= 1
}

// reportJSON is what apply --json and revert --json print.
type reportJSON struct {
	Version int `json:"version"`
	*inject.Report
}

// finish prints what a transaction did.
func (a *app) finish(l *liveFlags, before phases, r *inject.Report) error {
	if r.Done && !r.DryRun {
		a.changed = r.PID
	}
	r.Phases = append(before, r.Phases...)
	if l.time {
		a.times(r.Phases, 0)
		a.shownText(r)
	}
	if l.json {
		fillReport(r)
		a.json(reportJSON{jsonVersion, r})
		return nil
	}
	a.transactionText(r)
	return nil
}

// fillReport makes lists of a report that are missing empty, for JSON.
func fillReport(r *inject.Report) {
	r.Notes, r.Unread, r.Patches = filled(r.Notes), filled(r.Unread), filled(r.Patches)
	r.Stacks, r.Shown, r.Phases, r.WhenIdle = filled(r.Stacks), filled(r.Shown), filled(r.Phases), filled(r.WhenIdle)
}

// shownText prints, beside the times, how often the process was stopped and what that has shown.
func (a *app) shownText(r *inject.Report) {
	if len(r.Shown) == 0 {
		return
	}
	a.note("%s, %s stopped, paused %s", count(r.Tries, "attempt"), count(r.Threads, "thread"), ms(r.Pause))
	for _, s := range r.Shown {
		a.note("shown: %s", a.words(s))
	}
}

// transactionText prints what a transaction did for people.
func (a *app) transactionText(r *inject.Report) {
	for _, p := range r.Patches {
		would := ""
		if r.DryRun && !strings.HasPrefix(p.Result, "already") {
			would = "would be "
		}
		a.printf("%s[%d] %s: patch %s %s%s", clean(r.Comm), r.PID, clean(base(p.Module)), short(p.ID), would, a.paint(bold, clean(p.Result)))
		if r.Verb == "revert" || p.Result == "reverted" {
			a.backText(&p)
		} else {
			a.patchText(&p)
		}
	}
	if r.Done && !r.DryRun && r.Threads > 0 {
		a.printf("paused %s, %s, %s", ms(r.Pause), count(r.Threads, "thread"), writesText(r))
		a.apartText(r)
		if r.Staging > 0 {
			a.printf("staged by one thread in %s, while the others ran", ms(r.Staging))
		}
	}
	if r.Done && r.DryRun && len(r.NotAtomic) > 0 {
		a.printf("not by one write (atomic: false):")
		a.apartText(r)
	}
	if len(r.WhenIdle) > 0 && r.Done && !r.DryRun {
		a.printf("not being executed then: %s", clean(strings.Join(r.WhenIdle, ", ")))
	}
	for _, s := range r.Notes {
		a.printf("note: %s", a.words(s))
	}
	if len(r.Unread) > 0 {
		a.printf("not checked: %s", clean(strings.Join(r.Unread, "; ")))
	}
}

// apartText prints what is not put into force by the one write that does so for the rest.
func (a *app) apartText(r *inject.Report) {
	var names []string
	for _, n := range r.NotAtomic {
		names = append(names, a.name(n.Name))
	}
	width := column(nameWidth, names...)
	for i, n := range r.NotAtomic {
		a.printf("  apart  %s  %s", pad(names[i], width), clean(n.Why))
	}
}

// writesText says what the commit wrote, and whether a death in the middle could have left a part of it.
func writesText(r *inject.Report) string {
	var what []string
	if r.Jumps > 0 {
		what = append(what, count(r.Jumps, "jump"))
	}
	if n := r.Writes - r.Jumps; n > 0 {
		what = append(what, count(n, "constant"))
	}
	how := "put into force by one write (atomic: true)"
	switch {
	case r.Writes == 0:
		return "nothing written to its code"
	case !r.Atomic:
		how = "not by one write (atomic: false)"
	}
	return strings.Join(what, " and ") + " in " + bytesText(uint64(r.Bytes)) + ", " + how
}

// backText prints what runs now in place of the functions and constants of a patch that was taken back.
func (a *app) backText(p *inject.PatchReport) {
	var names []string
	for _, f := range p.Funcs {
		names = append(names, a.name(f.Name))
	}
	width := column(nameWidth, names...)
	for i, f := range p.Funcs {
		s := "  back  " + pad(names[i], width)
		if f.Change == "added" {
			s = "  gone  " + pad(names[i], width)
		}
		switch {
		case f.From != 0 && f.To != 0:
			s += "  " + hexAddr(uint64(f.From)) + " -> " + hexAddr(uint64(f.To))
			if f.Chain > 1 {
				s += ", version " + itoa(f.Chain-1)
			} else {
				s += ", as built"
			}
		case f.From != 0 || f.To != 0:
			s += "  " + hexAddr(uint64(f.From|f.To))
		}
		a.printf("%s", strings.TrimRight(s, " "))
	}
	for _, c := range p.Consts {
		a.printf("  back  %s", a.name(c))
	}
}

// patchText prints the functions and constants of a patch in a process.
func (a *app) patchText(p *inject.PatchReport) {
	var names []string
	for _, f := range p.Funcs {
		names = append(names, a.name(f.Name))
	}
	width := column(nameWidth, names...)
	back := p.From != "" && p.From == p.New // a revert: what ran, and what runs now
	if back {
		a.printf("  build %s -> %s", clean(p.From[:min(12, len(p.From))]), clean(p.To[:min(12, len(p.To))]))
	}
	for i, f := range p.Funcs {
		s := "  " + pad(clean(f.Change), 7) + "  " + pad(names[i], width)
		switch {
		case back && f.From != 0 && f.To != 0:
			s += "  " + hexAddr(uint64(f.From)) + " -> " + hexAddr(uint64(f.To))
		case back && f.From != 0:
			s += "  " + hexAddr(uint64(f.From)) + ", no longer called"
		case back && f.To != 0:
			s += "  " + hexAddr(uint64(f.To)) + ", called again"
		case f.Entry != 0 && f.Body != 0 && f.Entry != f.Body:
			s += "  " + hexAddr(uint64(f.Entry)) + " -> " + hexAddr(uint64(f.Body))
		case f.Body != 0:
			s += "  " + hexAddr(uint64(f.Body))
		case f.Entry != 0:
			s += "  " + hexAddr(uint64(f.Entry))
		}
		if f.Chain > 1 && !back {
			s += ", version " + itoa(f.Chain)
		}
		a.printf("%s", strings.TrimRight(s, " "))
	}
	for _, c := range p.Consts {
		a.printf("  renewed  %s", a.name(c))
	}
	for _, m := range p.Moved {
		from, to := m.Old, m.New
		if back {
			from, to = to, from
		}
		a.printf("  moved  %s  %s -> %s, its first %s as they were", a.name(m.Name), hexAddr(uint64(from)), hexAddr(uint64(to)), bytesText(m.OldSize))
	}
	if p.Reused {
		a.printf("  its memory was still there and is used again: its variables keep their values")
	}
}

// busyText prints who is in the way, and what can be done.
func (a *app) busyText(e *errorJSON) {
	a.busyThreads(e.Threads)
	if e.More > 0 {
		a.note("  and %s more", count(e.More, "thread"))
	}
	for _, h := range e.Help {
		a.note("  %s", a.words(h))
	}
}

// busyThreads prints the stacks of the threads that are in the way, and once only what several have alike.
func (a *app) busyThreads(threads []inject.BusyThread) {
	alike := func(t, u *inject.BusyThread) bool {
		return t.Comm == u.Comm && t.Func == u.Func && t.Loop == u.Loop && slices.Equal(t.Frames, u.Frames)
	}
	for i := range threads {
		t := &threads[i]
		if slices.ContainsFunc(threads[:i], func(u inject.BusyThread) bool { return alike(t, &u) }) {
			continue
		}
		who, stay, most := "thread "+itoa(t.TID), t.Stay, t.Stay
		for k := i + 1; k < len(threads); k++ {
			if u := &threads[k]; alike(t, u) {
				who += ", " + itoa(u.TID)
				stay, most = min(stay, u.Stay), max(most, u.Stay)
			}
		}
		if strings.Contains(who, ",") {
			who = "threads" + strings.TrimPrefix(who, "thread")
		}
		a.note("  %s (%s) in %s%s:", who, clean(t.Comm), a.words(t.Func), stayText(stay, most, t.Loop))
		for _, f := range t.Frames {
			a.note("    %s", a.words(f))
		}
	}
}

// stayText says for how long threads have been in a function, and why they are not going to leave it.
func stayText(least, most time.Duration, loop string) string {
	if most < time.Millisecond {
		return ""
	}
	text := func(d time.Duration) string {
		if d < time.Second {
			return d.Round(time.Millisecond).String()
		}
		return d.Round(time.Second / 10).String()
	}
	s := ", for " + text(least)
	if text(least) != text(most) {
		s += " to " + text(most)
	}
	if loop != "" {
		return s + ": " + loop
	}
	return s + " at least"
}

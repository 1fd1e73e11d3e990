package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/inject"
)

// processFlags say which processes a verb works on.
type processFlags struct {
	pids []int
	tree int  // this one and all that descend from it; 0: not given
	all  bool // every process that it concerns
}

// add defines the flags. all is the name of the one for every process, and what it means.
func (p *processFlags) add(f *pflag.FlagSet, all, usage string) {
	f.VarP((*pidsValue)(&p.pids), "pid", "p", "the process, by its `PID` (repeatable)")
	f.Var((*pidValue)(&p.tree), "tree", "the process with this `PID` and those that descend from it: a master and its workers")
	f.BoolVar(&p.all, all, false, usage)
}

// one returns the process that is meant if it is a single one, named by its PID.
func (p *processFlags) one() (pid int, ok bool) {
	if len(p.pids) == 1 && p.tree == 0 && !p.all {
		return p.pids[0], true
	}
	return 0, false
}

// check refuses flags that exclude each other. all is the name of the flag for every process.
func (p *processFlags) check(all string) error {
	given := 0
	for _, is := range []bool{len(p.pids) > 0, p.tree != 0, p.all} {
		if is {
			given++
		}
	}
	if given > 1 {
		return usagef("-p, --tree and --%s each say which processes are meant: give one of them", all)
	}
	return nil
}

// pidsValue is the value of a -p that may be repeated.
type pidsValue []int

func (p *pidsValue) Set(s string) error {
	var v pidValue
	if err := v.Set(s); err != nil {
		return err
	}
	if !slices.Contains(*p, int(v)) {
		*p = append(*p, int(v))
	}
	return nil
}

func (p *pidsValue) String() string {
	var all []string
	for _, pid := range *p {
		all = append(all, itoa(pid))
	}
	return strings.Join(all, ",")
}

func (p *pidsValue) Type() string { return "PID" }

// task is one process that a verb works on.
type task struct {
	pid  int
	comm string // as far as it is known before
	// found: it was not named by the user but found, so that it is no failure if it ends before its turn.
	found bool
	run   func(context.Context, inject.Options) (*inject.Report, error)
}

// outcome is what became of one process, and what --json prints of it.
type outcome struct {
	*inject.Report
	Error *errorJSON `json:"error,omitempty"`

	err error
}

// severalJSON is what apply --json and revert --json print for several processes.
type severalJSON struct {
	Version   int        `json:"version"`
	Processes []outcome  `json:"processes"`
	Error     *errorJSON `json:"error,omitempty"`
}

// several runs the tasks one after the other, each a transaction of its own, and prints one line for each. more, which may be nil, is
// asked for further tasks when those are done: processes that were made meanwhile.
//
// The error says how many failed; its exit code is that of the gravest of them. That further tasks could not be found counts
// if nothing else failed; that the tree has ended since is no failure.
func (a *app) several(l *liveFlags, before phases, tasks []task, more func() ([]task, error)) error {
	ctx, undo := holdSteady()
	defer undo()
	const maxRounds = 20 // a program that forks all the time and is not patched by it
	var done []outcome
	var pids []int
	var unfound error
	for round := 0; len(tasks) > 0 && round < maxRounds; round++ {
		for i := range tasks {
			pids = append(pids, tasks[i].pid)
		}
		for i := range tasks {
			o := a.one(ctx, l, &tasks[i], inject.Options{Together: pids})
			done = append(done, o)
			if !l.json {
				a.outcomeText(&o)
			}
			if l.time {
				a.note("%s[%d]", clean(o.Comm), o.PID)
				a.times(append(slices.Clone(before), o.Phases...), 0)
				a.shownText(o.Report)
			}
		}
		tasks = nil
		if more != nil && ctx.Err() == nil && !l.dryRun {
			if tasks, unfound = more(); l.tree != 0 && ended(l.tree) {
				unfound = nil
			}
		}
	}
	err := gravest(done)
	if err == nil && unfound != nil {
		err = fmt.Errorf("whether processes were made meanwhile is not known: %w", unfound)
	}
	if err == nil && len(tasks) > 0 {
		err = fmt.Errorf("process %d and others: made faster than they can be patched: patch what makes them first", tasks[0].pid)
	}
	if !l.json {
		return err
	}
	out := severalJSON{Version: jsonVersion, Processes: done}
	if err != nil {
		out.Error = newErrorJSON(err)
		err = &shownError{err}
	}
	a.json(out)
	return err
}

// one carries out one task.
func (a *app) one(ctx context.Context, l *liveFlags, t *task, opt inject.Options) outcome {
	if ctx.Err() != nil {
		return outcome{Report: &inject.Report{PID: t.pid, Comm: t.comm}, err: fmt.Errorf("process %d: interrupted before its turn: nothing was changed", t.pid)}.filled()
	}
	r, err := a.transaction(ctx, l, t.pid, opt, t.run)
	if r.Comm == "" {
		r.Comm = t.comm
	}
	if r.Done && !r.DryRun && err == nil {
		a.changed = r.PID
	}
	if err != nil && t.found && ended(t.pid) {
		err = nil
		r.Notes = append(r.Notes, "it has ended")
	}
	return outcome{Report: r, err: err}.filled()
}

// filled completes what JSON shows.
func (o outcome) filled() outcome {
	fillReport(o.Report)
	if o.err != nil {
		o.Error = newErrorJSON(o.err)
	}
	return o
}

// outcomeText prints the line of one process, and its notes below.
func (a *app) outcomeText(o *outcome) {
	r := o.Report
	who := fmt.Sprintf("%s[%d]", clean(r.Comm), r.PID)
	if o.err != nil {
		a.printf("%s %s: %s", who, a.paint(red, o.Error.Kind), a.words(strings.TrimPrefix(o.Error.Message, fmt.Sprintf("process %d: ", r.PID))))
		a.busyText(o.Error)
		return
	}
	var what []string
	for _, p := range r.Patches {
		would := ""
		if r.DryRun && !strings.HasPrefix(p.Result, "already") {
			would = "would be "
		}
		what = append(what, fmt.Sprintf("%s: patch %s %s%s", clean(base(p.Module)), short(p.ID), would, a.paint(bold, clean(p.Result))))
	}
	if r.Done && !r.DryRun && r.Threads > 0 {
		what = append(what, "paused "+ms(r.Pause), count(r.Threads, "thread"))
	}
	if len(what) == 0 && len(r.Notes) > 0 {
		a.printf("%s %s", who, a.words(strings.Join(r.Notes, "; ")))
		return
	}
	a.printf("%s %s", who, strings.Join(what, ", "))
	for _, s := range r.Notes {
		a.printf("  note: %s", a.words(s))
	}
}

// graver are the exit codes of failures in order of their gravity: what must be looked after, what will never pass as
// it is, what may pass later, and the rest.
var graver = [...]int{exitAttention, exitRefused, exitBusy, exitFailed}

// gravest returns the error for several processes, nil if none failed: the gravest of theirs with a text of its own.
func gravest(done []outcome) error {
	var worst error
	failed, rank := 0, len(graver)
	for i := range done {
		if done[i].err == nil {
			continue
		}
		failed++
		at := slices.Index(graver[:], exitCode(done[i].err))
		if at < 0 {
			at = len(graver) - 1 // as any other failure
		}
		if worst == nil || at < rank {
			worst, rank = done[i].err, at
		}
	}
	if worst == nil {
		return nil
	}
	msg := fmt.Sprintf("%d of %d processes are not as asked for, the gravest: %s", failed, len(done), kindOf(exitCode(worst)))
	return &reworded{msg, quiet{worst}}
}

// quiet is an error whose busy threads have been shown already.
type quiet struct{ cause error }

func (q quiet) Error() string { return q.cause.Error() }

// Is makes errors.Is find the kinds of the cause.
func (q quiet) Is(target error) bool { return errors.Is(q.cause, target) }

// revertTasks are the processes that a revert concerns: with --tree and --everywhere those that have one of the patches, in force or
// unfinished.
func (a *app) revertTasks(l *liveFlags, w *which) ([]task, error) {
	var tasks []task
	for _, pid := range l.pids {
		tasks = append(tasks, revertTask(pid, comm(pid), w))
	}
	if len(l.pids) > 0 {
		return tasks, nil
	}
	all, err := inject.Patched(nil)
	if err != nil {
		return nil, err
	}
	var within []int
	if l.tree != 0 {
		if within, err = inject.Descendants(l.tree); err != nil {
			return nil, err
		}
	}
	for _, s := range all {
		switch {
		case l.tree != 0 && !slices.Contains(within, s.PID):
		case w.revertible(s):
			t := w.within(s)
			t.found = true
			tasks = append(tasks, t)
		case s.Exe == "":
			a.note("note: process %d (%s): %s", s.PID, clean(s.Comm), clean(strings.Join(s.Notes, "; ")))
		}
	}
	if l.tree != 0 { // parents first, so that what they fork meanwhile is without the patch
		slices.SortStableFunc(tasks, func(x, y task) int { return slices.Index(within, x.pid) - slices.Index(within, y.pid) })
	}
	if len(tasks) == 0 {
		return nil, fmt.Errorf("no process has what is to be reverted: %w", inject.ErrNoPatch)
	}
	return tasks, nil
}

// within is the task for a process that was found: of the patches that are named, those that it has.
func (w *which) within(s *inject.Status) task {
	has := &which{all: w.all}
	for _, id := range w.ids {
		if one := (&which{ids: []string{id}}); one.revertible(s) {
			has.ids = append(has.ids, id)
		}
	}
	return revertTask(s.PID, s.Comm, has)
}

func revertTask(pid int, name string, w *which) task {
	return task{pid: pid, comm: name, run: func(ctx context.Context, opt inject.Options) (*inject.Report, error) {
		return w.revert(ctx, pid, opt)
	}}
}

// revert reverts in one process. Patches that it once had and has been rid of are no failure.
func (w *which) revert(ctx context.Context, pid int, opt inject.Options) (*inject.Report, error) {
	if w.all {
		return inject.RevertAll(ctx, pid, opt)
	}
	if len(w.ids) == 0 {
		return inject.Revert(ctx, pid, "", opt)
	}
	r, err := inject.RevertIDs(ctx, pid, w.ids, opt)
	if errors.Is(err, inject.ErrNoPatch) {
		if done := w.alreadyReverted(r); done != nil {
			return done, nil
		}
	}
	return r, err
}

// applyTasks are the processes that an apply concerns. With --tree and --all they are those that run a build that one of
// the patches is for; more finds the ones that were made meanwhile.
func (a *app) applyTasks(l *liveFlags, how applier, files []*patch.File) (tasks []task, more func() ([]task, error), err error) {
	if len(l.pids) > 0 {
		for _, pid := range l.pids {
			tasks = append(tasks, how.task(pid, comm(pid), files))
		}
		return tasks, nil, nil
	}
	had := make(map[int]bool)
	more = func() ([]task, error) {
		found, unseen, err := how.matching(files, l.tree, nil)
		if err != nil {
			return nil, err
		}
		var out []task
		for _, m := range found {
			if had[m.PID] || len(had) > 0 && !m.Todo {
				continue
			}
			t := how.task(m.PID, m.Comm, m.Patches)
			t.found = true
			out = append(out, t)
		}
		if len(had) == 0 {
			for _, s := range unseen {
				a.note("note: not looked at: %s", a.words(s))
			}
		}
		for _, t := range out {
			had[t.pid] = true
		}
		return out, nil
	}
	tasks, err = more()
	if err == nil && len(tasks) == 0 {
		err = fmt.Errorf("no process%s runs a build that %s for", map[bool]string{true: " of the tree"}[l.tree != 0],
			map[bool]string{true: "the patch is", false: "one of the patches is"}[len(files) == 1])
	}
	return tasks, more, err
}

// applier is how patches are brought into processes, and which these are.
type applier struct {
	run      func(context.Context, int, []*patch.File, inject.Options) (*inject.Report, error)
	matching func(files []*patch.File, root int, log *slog.Logger) ([]inject.Match, []string, error)
}

// applierOf returns that of apply, or of apply --replace.
func applierOf(replace bool) applier {
	if replace {
		return applier{inject.Replace, inject.MatchingSet}
	}
	return applier{inject.Apply, inject.Matching}
}

func (how applier) task(pid int, name string, files []*patch.File) task {
	return task{pid: pid, comm: name, run: func(ctx context.Context, opt inject.Options) (*inject.Report, error) {
		return how.run(ctx, pid, files, opt)
	}}
}

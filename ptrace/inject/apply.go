package inject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// maxPlans bounds how often a plan is made anew because the process changed under it.
const maxPlans = 50

// Apply applies patches to a process in one transaction: one stop, one commit. The order of the patches does
// not matter; one may lead on from another. A patch that is applied already is reported and nothing more.
//
// The report is never nil. The error wraps patch.ErrRefused, ErrBusy (a [*BusyError]), ErrAttention or an error of package
// ptrace; unless it wraps ErrAttention, nothing has changed.
func Apply(ctx context.Context, pid int, patches []*patch.File, opt Options) (*Report, error) {
	if len(patches) == 0 {
		return &Report{PID: pid, Verb: "apply"}, errors.New("apply: no patch given")
	}
	return transact(ctx, pid, "apply", &opt, func(pl *planner) (bool, error) {
		mixed, left := pl.unfinished()
		pl.drop = left
		if len(mixed) == 0 {
			return false, pl.planApply(patches)
		}
		finish, ok := concluding(mixed, true, func(id patch.ID) bool {
			return slices.ContainsFunc(patches, func(f *patch.File) bool { return f.ID == id })
		})
		if !ok {
			return false, pl.halfDone(mixed[0])
		}
		return true, pl.planConclusion(mixed, finish)
	})
}

// chooser decides what a plan is for. If it answers true, there is more to plan once that is done.
type chooser func(*planner) (again bool, err error)

// transact opens a process, makes a plan and carries it out. A process that somebody else traces, another hotpatch
// perhaps, is waited for as a busy function is.
func transact(ctx context.Context, pid int, verb string, opt *Options, choose chooser) (*Report, error) {
	report := &Report{PID: pid, Verb: verb, DryRun: opt.DryRun}
	end := time.Now().Add(opt.Wait)
	p, err := open(ctx, pid, opt, end)
	if err != nil {
		return report, err
	}
	defer p.Close()
	var notes []string // of what was finished before
	var before *settled
	for n := 0; n < maxPlans; n++ {
		report = &Report{PID: pid, Comm: p.Comm, Verb: verb, DryRun: opt.DryRun, Tries: report.Tries, Phases: report.Phases, Notes: slices.Clone(notes)}
		t := &transaction{p: p, opt: opt, end: end, log: opt.log(), clock: newClock(report), before: before}
		again, err := t.once(ctx, report, choose)
		switch {
		case err == nil && (!again || opt.DryRun):
			return report, nil
		case err == nil:
			notes, before = report.Notes, t.before
		case errors.Is(err, errChanged) && ctx.Err() == nil:
			opt.log().Debug("planning again", "cause", err)
		case errors.Is(err, ptrace.ErrTraced) && waitTraced(ctx, opt, err, end):
			n--
		default:
			return report, ended(p, err)
		}
	}
	return report, fmt.Errorf("process %d: %w, %d times in a row: it loads and unloads libraries all the time; nothing was changed", pid, errChanged, maxPlans)
}

// exitPatience is how long a process may take to end once its memory is gone.
const exitPatience = time.Second

// ended turns an error of a process that has ended into one that says so: whatever was wrong with it, nothing is left to do.
func ended(p *ptrace.Process, err error) error {
	if errors.Is(err, errKilled) || errors.Is(err, ptrace.ErrExited) && !errors.Is(err, ErrAttention) {
		return err
	}
	for end := time.Now().Add(exitPatience); errors.Is(err, syscall.ESRCH) && !p.Ended() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if !p.Ended() {
		return err
	}
	return fmt.Errorf("process %d: %w meanwhile (%v)", p.PID, ptrace.ErrExited, err)
}

// open opens a process, once nobody else traces it.
func open(ctx context.Context, pid int, opt *Options, end time.Time) (*ptrace.Process, error) {
	for {
		p, err := ptrace.Open(pid, opt.Log)
		if !errors.Is(err, ptrace.ErrTraced) || !waitTraced(ctx, opt, err, end) {
			return p, err
		}
	}
}

// tracedNap is the time between two looks at a process that somebody else traces.
const tracedNap = 20 * time.Millisecond

// waitTraced waits for a moment; false if there is no time left.
func waitTraced(ctx context.Context, opt *Options, cause error, end time.Time) bool {
	if time.Until(end) <= 0 {
		return false
	}
	opt.progress(cause.Error())
	return sleep(ctx, tracedNap) == nil
}

// once makes one plan and carries it out.
func (t *transaction) once(ctx context.Context, report *Report, choose chooser) (bool, error) {
	t.opt.progress("reading the process")
	var err error
	if t.maps, t.print, err = openMaps(t.p); err != nil {
		return false, err
	}
	defer t.maps.Close()
	defer func() { // it reads the process
		if t.spaces != nil {
			<-t.spaces
		}
	}()
	again, err := t.makePlan(report, choose)
	if err != nil {
		return false, t.overtaken(err)
	}
	if len(t.plan.writes) == 0 && len(t.plan.marks) == 0 && len(t.plan.drop) == 0 {
		return again, nil
	}
	if t.opt.DryRun {
		report.Unread = []string{"whether a thread is executing a function that is replaced", "whether memory can be mapped and text written"}
		if t.filtered {
			report.Unread = append(report.Unread, "whether the seccomp filters, which every thread has, allow that")
		}
		return again, nil
	}
	report.Notes = append(report.Notes, t.plan.snap.contextNotes()...)
	if err := t.own(); err != nil {
		return false, err
	}
	return again, t.run(ctx)
}

// makePlan reads the process and plans.
func (t *transaction) makePlan(report *Report, choose chooser) (bool, error) {
	snap, err := takeSnapshot(t.p)
	t.clock.lap("read")
	t.plan = &plan{snap: snap, report: report}
	if err != nil {
		return false, err
	}
	if t.plan.arch, err = machines.Lookup(snap.loader.order[0].Machine); err != nil {
		return false, err
	}
	t.spaces = readSpaces(t.plan.arch, snap, t.log) // while the plan is made
	again, err := t.planWith(choose)
	t.clock.lap("plan")
	return again, err
}

// overtaken turns an error of the plan into errChanged if the process has changed since the plan was begun: what
// was read then does not fit together.
func (t *transaction) overtaken(err error) error {
	text, rerr := readFrom(t.maps, nil)
	table := newSpanTable(text)
	if rerr == nil && table.fill(text) == nil && table.print != t.print || t.plan != nil && t.plan.snap.overtaken(t.p) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

// planWith makes the plan.
func (t *transaction) planWith(choose chooser) (bool, error) {
	views, _, err := t.plan.snap.views()
	if err != nil {
		return false, err
	}
	for _, v := range views {
		if len(v.stray) > 0 {
			return false, attention(t.p.PID, "%s has been patched, and something else was written over it: %s; "+
				"take back what wrote it (a debugger's breakpoint, another tool's hook), or restart the program",
				v.m.name(), strings.Join(v.stray, ", "))
		}
	}
	for _, d := range t.plan.snap.damaged {
		if d.Err != errTorn {
			return false, attention(t.p.PID, "%v", &d)
		}
	}
	t.plan.views = views
	pl := &planner{plan: t.plan, opt: t.opt, vmf: func(a arch.Addr) (string, error) { return vmFlags(t.p.PID, a) }}
	if err := t.askFilters(pl); err != nil {
		return false, err
	}
	again, err := pl.choose(t, choose)
	if err != nil {
		return false, err
	}
	if !again {
		pl.needless()
	}
	if len(pl.steps)+len(pl.targets) > 0 {
		if err := pl.bounds(); err != nil {
			return false, err
		}
	}
	if err := pl.conclude(); err != nil {
		return false, err
	}
	if j := t.plan.journal; j != nil {
		status, err := statusFields(t.p.PID)
		if err != nil {
			return false, err
		}
		j.setOwner(t.plan.raw, innermostPID(status), t.p.StartTime)
		t.plan.report.Notes = append(t.plan.report.Notes, parentNote(status, t.plan.steps, t.opt)...)
	}
	return again, nil
}

// choose plans to settle what an earlier transaction left in the middle, or what the command is for.
func (pl *planner) choose(t *transaction, choose chooser) (again bool, err error) {
	if pl.snap.pending != nil {
		t.before = pl.settledOf(pl.snap.pending)
	}
	if pl.settled = t.before; pl.snap.pending != nil && !t.opt.DryRun {
		pl.planSettle()
		return true, nil
	}
	return choose(pl)
}

// own makes every thread ours, so that no other hotpatch can work on the process, and looks whether one has since the
// plan was made.
func (t *transaction) own() error {
	if err := t.p.Seize(); err != nil {
		return err
	}
	t.clock.lap("seize")
	maps, err := t.p.Maps()
	if err != nil {
		return err
	}
	if heads(t.p, maps) != t.plan.snap.heads {
		return fmt.Errorf("%w: by another hotpatch", errChanged)
	}
	return nil
}

// openMaps opens /proc/PID/maps and takes the fingerprint of what it says now. The open file stays bound to the
// process's memory.
func openMaps(p *ptrace.Process) (*os.File, uint64, error) {
	if f, print, err := openMapsOf(p.PID, p.PID); f != nil || err != nil {
		return f, print, err
	}
	threads, err := p.Threads()
	if err != nil {
		return nil, 0, err
	}
	for _, th := range threads { // that of a main thread which has ended is empty
		if f, print, err := openMapsOf(p.PID, th.TID); f != nil || err != nil {
			return f, print, err
		}
	}
	return nil, 0, fmt.Errorf("process %d: no thread's mappings can be read", p.PID)
}

// openMapsOf is openMaps through one thread. It returns nil if the thread has ended.
func openMapsOf(pid, tid int) (*os.File, uint64, error) {
	f, err := os.Open(procPath(pid, "task/"+strconv.Itoa(tid)+"/maps"))
	if err != nil {
		return nil, 0, nil
	}
	text, err := readFrom(f, nil)
	if err != nil || len(text) == 0 {
		f.Close()
		return nil, 0, nil
	}
	table := newSpanTable(text)
	if err := table.fill(text); err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return f, table.print, nil
}

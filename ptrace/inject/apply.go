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
		for _, m := range mixed {
			if !slices.ContainsFunc(patches, func(f *patch.File) bool { return f.ID == m.l.file.ID }) {
				return false, pl.halfDone(m)
			}
		}
		pl.moveNotes(mixed, true)
		return true, pl.planTransit(mixed, true, "finished")
	})
}

// Revert takes patches back, in one stop: all that the newest transaction applied if id is empty, else the one whose
// ID begins with id. What an earlier hotpatch left half done is undone first of all.
//
// The report and the error are those of [Apply]; ErrNoPatch says that there is nothing to revert.
func Revert(ctx context.Context, pid int, id string, opt Options) (*Report, error) {
	return transact(ctx, pid, "revert", &opt, func(pl *planner) (bool, error) {
		mixed, left := pl.unfinished()
		pl.drop = left
		if len(mixed) > 0 {
			for _, m := range mixed {
				if !strings.HasPrefix(m.l.file.ID.String(), id) {
					return false, pl.halfDone(m)
				}
			}
			pl.moveNotes(mixed, false)
			return false, pl.planTransit(mixed, false, "undone")
		}
		if pl.settled.reverted(pl.report, strings.ToLower(id)) {
			return false, nil
		}
		links, err := pl.chosen(id)
		if errors.Is(err, ErrNoPatch) && len(left) > 0 {
			pl.report.Notes = append(pl.report.Notes, "memory that an interrupted apply left behind is unmapped")
			pl.report.Done = true
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if err := pl.moveBack(links); err != nil {
			return false, err
		}
		return false, pl.planTransit(links, false, "reverted")
	})
}

func (pl *planner) halfDone(m placed) error {
	return attention(pl.report.PID, "patch %s is half %s in %s, an earlier hotpatch died; apply it again to finish it, or revert it",
		m.l.file.ID.Short(), map[bool]string{true: "reverted", false: "applied"}[m.l.state() == reverting], m.v.m.name())
}

// chosen returns the links to revert, oldest first: with an id those of that patch, without one those of all patches of the
// newest transaction, which are taken back in one stop as they were applied in one; in every module that has them.
func (pl *planner) chosen(id string) ([]placed, error) {
	best, err := pl.meant(strings.ToLower(id))
	if err != nil {
		return nil, err
	}
	ids := []patch.ID{best.file.ID}
	for _, v := range pl.views {
		for _, l := range v.chain {
			if id == "" && l.j == best.j {
				ids = append(ids, l.file.ID)
			}
		}
	}
	goes := func(l *link) bool { return slices.Contains(ids, l.file.ID) }
	var out []placed
	for _, v := range pl.views {
		first := slices.IndexFunc(v.chain, goes)
		if first < 0 {
			continue
		}
		for _, l := range v.chain[first:] {
			if !goes(l) {
				return nil, refuse("patch "+best.file.ID.Short(), "patch "+l.file.ID.Short()+" in "+v.m.name(), "revert that one first",
					"a later patch is based on it")
			}
			out = append(out, placed{v, l})
		}
	}
	pl.revertNotes(best, out)
	return out, nil
}

// meant returns the newest link that an id means; "" means any.
func (pl *planner) meant(id string) (*link, error) {
	var best *link
	ids := make(map[patch.ID]bool)
	for _, v := range pl.views {
		for _, l := range v.chain {
			if !strings.HasPrefix(l.file.ID.String(), id) {
				continue
			}
			ids[l.file.ID] = true
			if best == nil || l.j.Seq > best.j.Seq || l.j == best.j && l.index > best.index {
				best = l
			}
		}
	}
	switch {
	case best == nil && id == "":
		return nil, fmt.Errorf("process %d: %w: it has none", pl.report.PID, ErrNoPatch)
	case best == nil:
		return nil, fmt.Errorf("process %d: %w: %s", pl.report.PID, ErrNoPatch, id)
	case id != "" && len(ids) > 1:
		return nil, fmt.Errorf("process %d: %d patches begin with %s: give more of the ID", pl.report.PID, len(ids), id)
	}
	return best, nil
}

// revertNotes says what a revert leaves: functions that were added, and patches of the same transaction.
func (pl *planner) revertNotes(best *link, gone []placed) {
	note := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(pl.report.Notes, s) {
			pl.report.Notes = append(pl.report.Notes, s)
		}
	}
	for _, p := range gone {
		for i := range p.l.file.Funcs {
			if f := &p.l.file.Funcs[i]; f.How == patch.Added {
				note("%s was added by the patch and stays mapped: a pointer to it that the program has stored still leads there", f.Name)
			}
		}
	}
	for _, v := range pl.views {
		for _, l := range v.chain {
			if l.j == best.j && !slices.ContainsFunc(gone, func(p placed) bool { return p.l == l }) {
				note("patch %s in %s was applied in the same stop and stays in force", l.file.ID.Short(), v.m.name())
			}
		}
	}
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
	if err != nil {
		return false, err
	}
	t.plan = &plan{snap: snap, report: report}
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
	if rerr == nil && table.fill(text) == nil && table.print != t.print {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

// planWith makes the plan.
func (t *transaction) planWith(choose chooser) (bool, error) {
	views, _ := t.plan.snap.views()
	for _, v := range views {
		if len(v.stray) > 0 {
			return false, attention(t.p.PID, "%s has been patched, and something else was written over it: %s", v.m.name(), strings.Join(v.stray, ", "))
		}
	}
	for _, d := range t.plan.snap.damaged {
		if d.Err != errTorn {
			return false, attention(t.p.PID, "mapping at %#x: %v: what is in force is not known", uint64(d.At), d.Err)
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

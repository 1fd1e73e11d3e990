package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// Status is what one process has of patches, judged by the bytes in its text.
type Status struct {
	PID       int           `json:"pid"`
	PPID      int           `json:"ppid"`
	Comm      string        `json:"comm"`
	Exe       string        `json:"exe"`
	Patches   []PatchStatus `json:"patches"`
	Attention []string      `json:"attention"` // what an earlier hotpatch left unfinished, and what helps
	Notes     []string      `json:"notes"`
	Tracer    int           `json:"tracer,omitempty"` // who traces it now: perhaps a hotpatch at work
}

// PatchStatus is one patch in one module of a process.
type PatchStatus struct {
	PatchReport
	State     string      `json:"state"` // applied, reverted, unfinished
	Journal   string      `json:"journal_state"`
	Seq       uint64      `json:"sequence"`
	Since     time.Time   `json:"since"`
	User      string      `json:"user"`
	Missing   bool        `json:"missing"`   // reverted from under later ones that are in force: no other patch fits until it is applied again
	Inherited bool        `json:"inherited"` // from a parent that was patched before it forked
	Acks      []patch.Ack `json:"acks,omitempty"`
}

// Inspect returns what patches a process has. It changes nothing and stops nobody. A process without patches
// gives a status without patches.
func Inspect(pid int, log *slog.Logger) (*Status, error) {
	p, err := ptrace.Open(pid, log)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	snap, err := takeSnapshot(p)
	if err != nil {
		return nil, err
	}
	views, gone, err := snap.views()
	if err != nil {
		return nil, err
	}
	status, err := statusFields(pid)
	if err != nil {
		return nil, err
	}
	s := &Status{PID: pid, Comm: p.Comm, Exe: snap.loader.order[0].Path}
	s.PPID, _ = strconv.Atoi(status["PPid"])
	s.Tracer, _ = strconv.Atoi(status["TracerPid"])
	own := owner{innermostPID(status), p.StartTime}
	unsettled := snap.pending.unsettled()
	for _, v := range views {
		s.module(v, own, unsettled)
	}
	if unsettled {
		s.Attention = append(s.Attention, snap.pending.String())
	}
	for _, j := range snap.journals {
		if len(j.Record.Entries) == 0 && !j.Hosted && j.Phase == phasePrepared && own.of(j) {
			s.Attention = append(s.Attention, fmt.Sprintf("a hotpatch died in %s before it changed anything; the next apply or revert unmaps what it left",
				j.Record.Intent.Verb))
		}
	}
	for _, l := range gone {
		s.Notes = append(s.Notes, fmt.Sprintf("patch %s was in %s at %#x, which is no longer mapped there", l.file.ID.Short(), l.e.Path, uint64(l.e.Start)))
	}
	for _, d := range snap.damaged {
		s.Attention = append(s.Attention, d.String())
	}
	return s, nil
}

// owner tells a process from a child that inherited its journal.
type owner struct {
	pid   int
	start uint64
}

func (o owner) of(j *journal) bool { return o.pid == j.PID && o.start == j.Start }

// module adds one module's patches. unsettled says that what a transaction left behind is told elsewhere.
func (s *Status) module(v *moduleView, own owner, unsettled bool) {
	add := func(l *link, what string) {
		s.Patches = append(s.Patches, PatchStatus{
			PatchReport: v.reportOf(l, what), State: what, Journal: l.state().String(), Seq: l.j.Seq,
			Since: l.j.Record.Time, User: l.j.Record.User, Inherited: !own.of(l.j), Acks: slices.Concat(l.file.Acks, l.j.Record.Acks),
		})
	}
	for _, l := range v.chain {
		add(l, "applied")
	}
	for _, l := range v.mixed {
		add(l, "unfinished")
		why := "because something else wrote over the others"
		if l.moving() {
			why = "because a hotpatch died in the middle; apply it again to finish it, or revert it"
		}
		s.Attention = append(s.Attention, fmt.Sprintf("patch %s in %s: %d of %d writes are in force, %s", l.file.ID.Short(), v.m.name(), l.force, len(l.e.Writes), why))
	}
	for _, l := range v.idle {
		switch st := l.state(); {
		case (st == reverted || st == reverting && !unsettled) && !v.reused(l): // all of its writes are undone, whatever the journal says
			add(l, "reverted")
			s.Patches[len(s.Patches)-1].Missing = v.lacks(l.file.ID)
		case l.moving() && unsettled:
		case st != reverted && st != applied && own.of(l.j) && !v.reused(l):
			s.Attention = append(s.Attention, fmt.Sprintf("patch %s in %s: an apply ended before it changed anything (%v); apply it again, or revert to clear it",
				l.file.ID.Short(), v.m.name(), st))
		}
	}
	if v.hole() >= 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%s runs no build: patch %s; apply it again before anything else, or revert what was put on it", v.m.name(), v.holes()))
	}
	for _, w := range v.stray {
		s.Attention = append(s.Attention, fmt.Sprintf("%s: bytes that no hotpatch wrote stand where a patch was: %s", v.m.name(), w))
	}
}

// reused reports whether a later application uses the memory of l.
func (v *moduleView) reused(l *link) bool {
	for _, other := range append(append([]*link{}, v.chain...), v.idle...) {
		if other != l && other.e.Base == l.e.Base && other.j.Seq > l.j.Seq {
			return true
		}
	}
	return false
}

// Patched returns the processes of this machine that have patches, or leftovers of some. Processes that may not be looked at
// are left out.
func Patched(log *slog.Logger) ([]*Status, error) {
	dir, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []*Status
	for _, d := range dir {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || !mayBePatched(pid) {
			continue
		}
		s, err := Inspect(pid, log)
		switch {
		case err == nil && (len(s.Patches) > 0 || len(s.Attention) > 0):
			out = append(out, s)
		case errors.Is(err, ptrace.ErrTraced): // by a debugger, or by a hotpatch at work
			out = append(out, &Status{PID: pid, Comm: threadName(pid, pid), Notes: []string{"not looked at: " + err.Error()}})
		case err != nil && !skippable(err):
			return nil, err
		}
	}
	return out, nil
}

// skippable reports whether a process cannot be looked at for reasons of its own: it may have ended between two looks.
func skippable(err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return true
	}
	for _, kind := range []error{
		ptrace.ErrGone, ptrace.ErrExited, ptrace.ErrZombie, ptrace.ErrKernelThread, ptrace.ErrPermission, ptrace.ErrSelf,
		ptrace.ErrNotLeader, ptrace.ErrForeignABI,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// mayBePatched looks for a journal in /proc/PID/maps: by name, or a mapping of the kind that a journal without
// a memfd has.
func mayBePatched(pid int) bool {
	b, err := os.ReadFile(procPath(pid, "maps"))
	if err != nil {
		return false
	}
	maps, err := ptrace.ParseMaps(b)
	if err != nil {
		return false
	}
	for i := range maps {
		if maybeJournal(&maps[i]) {
			return true
		}
	}
	return false
}

// parentNote names the parent of a worker if it maps the same modules without the patches: the workers that it forks
// next will not have the patch. A parent that the user's command concerns as well is left out.
func parentNote(status map[string]string, steps []*step, opt *Options) []string {
	ppid, err := strconv.Atoi(status["PPid"])
	if err != nil || ppid <= 0 || len(steps) == 0 || slices.Contains(opt.Together, ppid) {
		return nil
	}
	p, err := ptrace.Look(ppid, opt.Log)
	if err != nil {
		return nil
	}
	defer p.Close()
	snap, err := takeSnapshot(p)
	if err != nil {
		return nil
	}
	views, _, err := snap.views()
	if err != nil {
		return nil
	}
	var names []string
	for _, v := range views {
		var newest *link // that the process gets in this module
		for _, s := range steps {
			if bytes.Equal(v.m.BuildID, s.view.m.BuildID) {
				newest = s.link
			}
		}
		has := func(l *link) bool { return l.file.ID == newest.file.ID }
		if newest != nil && !bytes.Equal(v.build(), newest.file.New.ID) && !slices.ContainsFunc(v.chain, has) {
			names = append(names, v.m.name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("its parent, process %d (%s), runs %s without the patch: processes that it forks from now on will not have it; apply it there too",
		ppid, p.Comm, strings.Join(names, ", "))}
}

package inject

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// Match is a process that some patches are for.
type Match struct {
	PID, PPID int
	Comm      string
	Patches   []*patch.File // those whose old build it runs, those that lead on from them, and those that are applied already
	Todo      bool          // not all of them are applied
}

// Matching returns the processes of this machine that run a build that one of the patches is for, found by build-id
// in their memory. Parents come before their children, so that what is forked meanwhile inherits. root, if not 0,
// restricts it to that process and its descendants. unseen says which processes could not be looked at, and why.
//
// It changes nothing and stops nobody.
func Matching(files []*patch.File, root int, log *slog.Logger) (found []Match, unseen []string, err error) {
	return matching(root, log, func(m *Match, v *moduleView) { m.fits(v, files) })
}

// MatchingSet is [Matching] for [Replace]: it returns the processes that were started as a build from which the patches lead on, or
// have some of them; Todo says that what they have is not exactly those of the patches that concern them.
func MatchingSet(files []*patch.File, root int, log *slog.Logger) (found []Match, unseen []string, err error) {
	return matching(root, log, func(m *Match, v *moduleView) { m.fitsSet(v, files) })
}

// matching finds processes by what fits says of each of their modules.
func matching(root int, log *slog.Logger, fits func(*Match, *moduleView)) (found []Match, unseen []string, err error) {
	all, err := processTree(root)
	if err != nil {
		return nil, nil, err
	}
	for _, st := range all {
		m := Match{PID: st.PID, PPID: st.PPID, Comm: st.Comm}
		switch err := m.look(fits, log); {
		case err == nil && len(m.Patches) > 0:
			found = append(found, m)
		case errors.Is(err, ptrace.ErrPermission), err != nil && !skippable(err):
			unseen = append(unseen, err.Error())
		}
	}
	return found, unseen, nil
}

// look fills in which of the patches are for the process.
func (m *Match) look(fits func(*Match, *moduleView), log *slog.Logger) error {
	p, err := ptrace.Look(m.PID, log)
	if err != nil {
		return err
	}
	defer p.Close()
	snap, err := takeSnapshot(p)
	if err != nil {
		if p.Ended() {
			return fmt.Errorf("%w: %w", ptrace.ErrExited, err)
		}
		return fmt.Errorf("process %d: %w", m.PID, err)
	}
	views, _, err := snap.views()
	if err != nil {
		return fmt.Errorf("process %d: %w", m.PID, err)
	}
	for _, v := range views {
		fits(m, v)
	}
	return nil
}

// fits adds the patches that an apply concerns in a module.
func (m *Match) fits(v *moduleView, files []*patch.File) {
	has := func(list []*link, f *patch.File) bool {
		return slices.ContainsFunc(list, func(l *link) bool { return l.file.ID == f.ID })
	}
	build := v.build()
	for again := true; again; {
		again = false
		for _, f := range files {
			switch {
			case v.m.Machine != f.Machine || slices.Contains(m.Patches, f):
			case v.find(f.ID) != nil:
				m.Patches = append(m.Patches, f)
			case has(v.mixed, f) || has(v.path, f): // to be finished, or missing under others
				m.Patches, m.Todo = append(m.Patches, f), true
			case v.m.BuildID != nil && f.Old.HasBuildID && bytes.Equal(build, f.Old.ID):
				m.Patches, m.Todo = append(m.Patches, f), true
				build, again = f.New.ID, true // one may lead on from it
			}
		}
	}
}

// fitsSet adds the patches that a replace concerns in a module. One that is refused is to be tried, to say why.
func (m *Match) fitsSet(v *moduleView, files []*patch.File) {
	x, err := v.exchange(files)
	for _, f := range files {
		if err == nil && !x.used[f] {
			continue
		}
		m.Todo = m.Todo || err != nil || v.find(f.ID) == nil
		if !slices.Contains(m.Patches, f) {
			m.Patches = append(m.Patches, f)
		}
	}
	m.Todo = m.Todo || err == nil && len(x.used) > 0 && len(x.gone) > 0
}

// processTree returns the processes of this machine, or only root and its descendants, each behind its parent. Kernel
// threads and zombies are left out; those that end meanwhile may be.
func processTree(root int) ([]ptrace.Stat, error) {
	dir, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]ptrace.Stat) // by parent, in increasing order of PID
	var queue []ptrace.Stat
	seen := make(map[int]bool)
	for _, d := range dir {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(procPath(pid, "stat"))
		if err != nil {
			continue
		}
		st, err := ptrace.ParseStat(b)
		if err != nil {
			return nil, err
		}
		seen[pid] = true
		children[st.PPID] = append(children[st.PPID], st)
		if pid == root {
			queue = append(queue, st)
		}
	}
	if root != 0 && len(queue) == 0 {
		return nil, fmt.Errorf("process %d: %w", root, ptrace.ErrGone)
	}
	if root == 0 {
		for ppid, list := range children { // processes of other namespaces have a parent that is not seen
			if !seen[ppid] {
				queue = append(queue, list...)
			}
		}
		slices.SortFunc(queue, func(a, b ptrace.Stat) int { return a.PID - b.PID })
	}
	var out []ptrace.Stat
	for len(queue) > 0 && len(out) <= len(seen) {
		st := queue[0]
		queue = append(queue[1:], children[st.PID]...)
		if st.VSize > 0 || st.State == 'Z' && st.NumThreads > 1 {
			out = append(out, st)
		}
	}
	return out, nil
}

// Descendants returns a process and all that descend from it, each behind its parent.
func Descendants(root int) ([]int, error) {
	all, err := processTree(root)
	var out []int
	for _, st := range all {
		out = append(out, st.PID)
	}
	return out, err
}

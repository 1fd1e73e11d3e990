package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/patch"
)

// Revert takes patches back, in one stop: all that the newest transaction applied if id is empty, else the one whose
// ID begins with id. What an earlier hotpatch left half done is undone first of all.
//
// A patch on which later ones are based is only taken out from under them if they are independent of it (independent.go).
//
// The report and the error are those of [Apply]; ErrNoPatch says that there is nothing to revert.
func Revert(ctx context.Context, pid int, id string, opt Options) (*Report, error) {
	return RevertIDs(ctx, pid, []string{id}, opt)
}

// RevertIDs is [Revert] for several patches in one stop, each named by the beginning of its ID. It takes back all of them or none; one
// that was reverted before is reported.
func RevertIDs(ctx context.Context, pid int, ids []string, opt Options) (*Report, error) {
	lower := make([]string, len(ids))
	for i, id := range ids {
		lower[i] = strings.ToLower(id)
	}
	return revertWith(ctx, pid, &opt, lower, false, func(pl *planner) ([]patch.ID, error) { return pl.meant(lower) })
}

// RevertAll takes all patches of a process back, in one stop: its text is as it was built.
func RevertAll(ctx context.Context, pid int, opt Options) (*Report, error) {
	return revertWith(ctx, pid, &opt, []string{""}, true, (*planner).all)
}

// revertWith reverts the patches that choose names, once what an earlier hotpatch left half done is undone. That has to be among
// what the ids mean, and, unless all are meant, is all that is done.
func revertWith(ctx context.Context, pid int, opt *Options, ids []string, all bool, choose func(*planner) ([]patch.ID, error)) (*Report, error) {
	means := func(p string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(p, id) })
	}
	var first []PatchReport // what was half done and undone in a stop before
	return transact(ctx, pid, "revert", opt, func(pl *planner) (bool, error) {
		mixed, left := pl.unfinished()
		pl.drop = left
		if len(mixed) > 0 {
			finish, ok := concluding(mixed, false, func(id patch.ID) bool { return means(id.String()) })
			if !ok {
				return false, pl.halfDone(mixed[0])
			}
			err := pl.planConclusion(mixed, finish)
			first = pl.report.Patches
			return all, err
		}
		pl.report.Patches = append(pl.report.Patches, first...)
		undone := false
		for _, id := range ids {
			undone = pl.settled.reverted(pl.report, id) || undone
		}
		if undone && !all {
			return false, nil
		}
		gone, err := choose(pl)
		if errors.Is(err, ErrNoPatch) && (undone || len(first) > 0) {
			pl.report.Done = true
			return false, nil
		}
		if errors.Is(err, ErrNoPatch) && len(left) > 0 {
			pl.report.Notes = append(pl.report.Notes, "memory that an interrupted apply left behind is unmapped")
			pl.report.Done = true
			return false, nil
		}
		if err != nil {
			return false, err
		}
		links, err := pl.linksOf(gone)
		if err != nil {
			return false, err
		}
		if err := pl.moveBack(links); err != nil {
			return false, err
		}
		return false, pl.planTransit(movement{back: links, backResult: "reverted"})
	})
}

func (pl *planner) halfDone(m placed) error {
	return attention(pl.report.PID, "patch %s is half %s in %s, an earlier hotpatch died; apply it again to finish it, or revert it",
		m.l.file.ID.Short(), map[bool]string{true: "reverted", false: "applied"}[m.l.state() == reverting], m.v.m.name())
}

// all returns the patches that are in force.
func (pl *planner) all() ([]patch.ID, error) {
	var out []patch.ID
	for _, v := range pl.views {
		for _, l := range v.chain {
			out = append(out, l.file.ID)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("process %d: %w: it has none", pl.report.PID, ErrNoPatch)
	}
	return out, nil
}

// meant returns the patches in force that the beginnings of IDs mean; "" means all those that the newest transaction applied, which are
// taken back in one stop as they were applied in one.
func (pl *planner) meant(ids []string) ([]patch.ID, error) {
	var out []patch.ID
	var no error
	for _, id := range ids {
		best, err := pl.newest(id)
		if errors.Is(err, ErrNoPatch) && len(ids) > 1 && pl.alreadyReverted(id) {
			no = err
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, best.file.ID)
		for _, v := range pl.views {
			for _, l := range v.chain {
				if id == "" && l.j == best.j {
					out = append(out, l.file.ID)
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, no
	}
	return out, nil
}

// alreadyReverted reports whether the process once had a patch whose ID begins so, and puts that into the report.
func (pl *planner) alreadyReverted(id string) bool {
	found := false
	for _, v := range pl.views {
		for _, l := range v.idle {
			if l.state() == reverted && !v.reused(l) && strings.HasPrefix(l.file.ID.String(), id) {
				pl.report.Patches = append(pl.report.Patches, v.reportOf(l, "already reverted"))
				found = true
			}
		}
	}
	return found
}

// newest returns the newest link that the beginning of an ID means; "" means any.
func (pl *planner) newest(id string) (*link, error) {
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

// linksOf returns the links of patches in every module that has them, oldest first, if they can go without what is based on them.
func (pl *planner) linksOf(ids []patch.ID) ([]placed, error) {
	var out []placed
	for _, v := range pl.views {
		links, err := v.leave(func(l *link) bool { return slices.Contains(ids, l.file.ID) })
		if err != nil {
			return nil, err
		}
		out = append(out, links...)
	}
	pl.revertNotes(out)
	return out, nil
}

// leave returns the links of a module that go, oldest first, if what stays is independent of them.
func (v *moduleView) leave(goes func(*link) bool) ([]placed, error) {
	var out []placed
	for i, l := range v.path {
		if l.out || !goes(l) {
			continue
		}
		for k := i + 1; k < len(v.path); k++ {
			if later := v.path[k]; later.out || goes(later) {
				continue
			}
			if err := v.independent(i, k); err != nil {
				return nil, err
			}
		}
		out = append(out, placed{v, l})
	}
	return out, nil
}

// note adds a note to the report, once.
func (pl *planner) note(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(pl.report.Notes, s) {
		pl.report.Notes = append(pl.report.Notes, s)
	}
}

// revertNotes says what a revert leaves: functions that were added, patches of the same transaction, and later ones.
func (pl *planner) revertNotes(gone []placed) {
	goes := func(l *link) bool { return slices.ContainsFunc(gone, func(p placed) bool { return p.l == l }) }
	for _, p := range gone {
		for i := range p.l.file.Funcs {
			if f := &p.l.file.Funcs[i]; f.How == patch.Added {
				pl.note("%s was added by the patch and stays mapped: a pointer to it that the program has stored still leads there", f.Name)
			}
		}
		for _, l := range p.v.path[slices.Index(p.v.path, p.l):] {
			if !l.out && !goes(l) {
				pl.note("patch %s stays in force without patch %s: no code of either leads to what the other brought or changed, and neither holds "+
					"inlined code of the other; what one leaves in a variable for the other, and numbers that both were compiled with, are yours to know",
					l.file.ID.Short(), p.l.file.ID.Short())
			}
		}
	}
	for _, v := range pl.views {
		for _, l := range v.chain {
			if pl.report.Verb == "revert" && !goes(l) && slices.ContainsFunc(gone, func(p placed) bool { return p.l.j == l.j }) {
				pl.note("patch %s in %s was applied in the same stop and stays in force", l.file.ID.Short(), v.m.name())
			}
		}
	}
}

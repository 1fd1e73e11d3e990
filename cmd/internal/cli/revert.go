package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hotpatch/ptrace/inject"
)

// newRevert makes the verb revert.
func newRevert(a *app) *cobra.Command {
	var l liveFlags
	var w which
	c := &cobra.Command{
		Use:   "revert [-p PID... | --tree PID | --everywhere] [--all | PATCH...]",
		Short: "Take a patch back, or several",
		Long: `Take patches back out of a running process, in one stop: those that PATCH names by the beginning of
their ids or by their files, with --all everything, or else all that the newest apply put in. Without -p the
one patched process of this machine is meant; where there are several, they are listed with what to type.
Several processes are taken one after the other, as with apply: --tree takes a process and those that
descend from it, --everywhere all of this machine, as far as they have the patches.

A patch on which later ones were put is taken out from under them only if it is shown that no code
of theirs leads to what it brought or changed, and none of what comes back leads to theirs; else the
refusal says what does. What runs then is no build: no other patch fits until the missing one is applied again.

Waiting and interrupting are as with apply. The memory of a reverted patch stays in the process,
because pointers into it may live on.`,
		Example: `  hotpatch revert
  hotpatch revert -p 1234
  hotpatch revert -p 1234 57bdefc9 4a08bf6f
  hotpatch revert -p 1234 --all
  hotpatch revert --everywhere 57bdefc9
  hotpatch revert -p 1234 fix.patch`,
		Args: usage(cobra.ArbitraryArgs),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			pid, _ := l.one()
			return patchIDs(pid), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := l.check(everyPatched); err != nil {
				return err
			}
			if w.all && len(args) > 0 {
				return usagef("--all means every patch: it takes no PATCH")
			}
			for _, arg := range args {
				id, err := patchID(arg)
				if err != nil {
					return err
				}
				w.ids = append(w.ids, id)
			}
			if len(l.pids) == 0 && l.tree == 0 && !l.all {
				pid, err := a.onlyPatched(&w, args)
				if err != nil {
					return err
				}
				l.pids = []int{pid}
			}
			return a.revert(&l, &w)
		},
	}
	l.add(c, everyPatched, "every process that has the patches")
	c.Flags().BoolVar(&w.all, "all", false, "every patch that the process has")
	return c
}

// everyPatched is revert's flag for every process.
const everyPatched = "everywhere"

// which says what to revert: the patches whose IDs begin so, everything, or, if neither is given, what the newest apply put in.
type which struct {
	ids []string
	all bool
}

// revert takes patches back in the processes that are meant.
func (a *app) revert(l *liveFlags, w *which) error {
	pid, one := l.one()
	if !one {
		tasks, err := a.revertTasks(l, w)
		if err != nil {
			return err
		}
		return a.several(l, nil, tasks, nil)
	}
	ctx, undo := holdSteady()
	defer undo()
	r, err := a.transaction(ctx, l, pid, inject.Options{}, revertTask(pid, "", w).run)
	if err != nil {
		return err
	}
	return a.finish(l, nil, r)
}

// patchID turns what a user names a patch by into the beginning of its id: hexadecimal digits are
// one, anything else is a patch file.
func patchID(s string) (string, error) {
	if strings.Trim(strings.ToLower(s), "0123456789abcdef") == "" && len(s) <= 64 && s != "" {
		return strings.ToLower(s), nil
	}
	f, err := readPatch(s)
	if err != nil {
		return "", fmt.Errorf("%q is no patch id, and as a file: %w", s, err)
	}
	return f.ID.String(), nil
}

// onlyPatched returns the one process that has a patch in force or unfinished (with ids: one of those patches). If
// there are several, it prints them with what to type.
func (a *app) onlyPatched(w *which, args []string) (int, error) {
	all, err := inject.Patched(nil)
	if err != nil {
		return 0, err
	}
	var has []*inject.Status
	for _, s := range all {
		if w.revertible(s) {
			has = append(has, s)
		} else if s.Exe == "" { // it could not be looked at
			a.note("note: process %d (%s): %s", s.PID, clean(s.Comm), clean(strings.Join(s.Notes, "; ")))
		}
	}
	switch {
	case len(has) == 1:
		return has[0].PID, nil
	case len(has) == 0 && len(w.ids) > 0:
		return 0, fmt.Errorf("no process of this machine has patch %s: %w", short(w.ids[0]), inject.ErrNoPatch)
	case len(has) == 0:
		return 0, fmt.Errorf("no process of this machine is patched: %w", inject.ErrNoPatch)
	}
	if w.all {
		args = []string{"--all"}
	}
	a.note("%d processes could be meant; type one of:", len(has))
	for _, s := range has {
		a.note("  hotpatch revert -p %s    (%s: %s)", strings.Join(append([]string{itoa(s.PID)}, args...), " "), clean(s.Comm), patchList(s))
	}
	return 0, usagef("which process? -p PID names it")
}

// revertible reports whether revert has something to do in a process.
func (w *which) revertible(s *inject.Status) bool {
	for i := range s.Patches {
		if p := &s.Patches[i]; p.State != "reverted" && (len(w.ids) == 0 || w.names(p.ID)) {
			return true
		}
	}
	return len(w.ids) == 0 && len(s.Attention) > 0
}

// names reports whether one of the ids names a patch.
func (w *which) names(id string) bool {
	return slices.ContainsFunc(w.ids, func(p string) bool { return strings.HasPrefix(id, p) })
}

// patchList names the patches that are in force.
func patchList(s *inject.Status) string {
	var ids []string
	for _, p := range s.Patches {
		if p.State != "reverted" {
			ids = append(ids, short(p.ID))
		}
	}
	return strings.Join(ids, ", ")
}

// alreadyReverted returns a report that says so if the process once had the patches and has been rid of them: then
// what was asked for is already done. Otherwise it returns nil.
func (w *which) alreadyReverted(r *inject.Report) *inject.Report {
	s, err := inject.Inspect(r.PID, nil)
	if err != nil {
		return nil
	}
	out := &inject.Report{PID: s.PID, Comm: s.Comm, Verb: r.Verb, DryRun: r.DryRun, Atomic: true}
	for _, p := range s.Patches {
		if p.State == "reverted" && w.names(p.ID) {
			p.Result = "already reverted"
			out.Patches = append(out.Patches, p.PatchReport)
		}
	}
	if len(out.Patches) == 0 {
		return nil
	}
	return out
}

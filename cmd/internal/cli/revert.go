package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hotpatch/ptrace/inject"
)

// newRevert makes the verb revert.
func newRevert(a *app) *cobra.Command {
	var l liveFlags
	c := &cobra.Command{
		Use:   "revert [-p PID... | --tree PID | --everywhere] [PATCH]",
		Short: "Take a patch back",
		Long: `Take a patch back out of a running process: the one that PATCH names by the beginning of its
id or by its file, or else all that the newest apply put in. Without -p the one patched process of
this machine is meant; where there are several, they are listed with what to type. Several processes
are taken one after the other, as with apply: --tree takes a process and those that descend from it,
--everywhere all of this machine, as far as they have the patch.

Waiting and interrupting are as with apply. The memory of a reverted patch stays in the process,
because pointers into it may live on.`,
		Example: `  hotpatch revert
  hotpatch revert -p 1234
  hotpatch revert -p 1234 57bdefc9
  hotpatch revert --everywhere 57bdefc9
  hotpatch revert -p 1234 fix.patch`,
		Args: usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			pid, _ := l.one()
			return patchIDs(pid), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := l.check(everyPatched); err != nil {
				return err
			}
			id := ""
			if len(args) > 0 {
				var err error
				if id, err = patchID(args[0]); err != nil {
					return err
				}
			}
			if len(l.pids) == 0 && l.tree == 0 && !l.all {
				pid, err := a.onlyPatched(id, args)
				if err != nil {
					return err
				}
				l.pids = []int{pid}
			}
			return a.revert(&l, id)
		},
	}
	l.add(c, everyPatched, "every process that has the patch")
	return c
}

// everyPatched is revert's flag for every process.
const everyPatched = "everywhere"

// revert takes a patch, or with "" the newest transaction, back in the processes that are meant.
func (a *app) revert(l *liveFlags, id string) error {
	pid, one := l.one()
	if !one {
		tasks, err := a.revertTasks(l, id)
		if err != nil {
			return err
		}
		return a.several(l, nil, tasks, nil)
	}
	ctx, undo := holdSteady()
	defer undo()
	r, err := a.transaction(ctx, l, pid, inject.Options{}, revertTask(pid, "", id).run)
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

// onlyPatched returns the one process that has a patch in force or unfinished (with an id: that patch). If
// there are several, it prints them with what to type.
func (a *app) onlyPatched(id string, args []string) (int, error) {
	all, err := inject.Patched(nil)
	if err != nil {
		return 0, err
	}
	var has []*inject.Status
	for _, s := range all {
		if revertible(s, id) {
			has = append(has, s)
		} else if s.Exe == "" { // it could not be looked at
			a.note("note: process %d (%s): %s", s.PID, clean(s.Comm), clean(strings.Join(s.Notes, "; ")))
		}
	}
	switch {
	case len(has) == 1:
		return has[0].PID, nil
	case len(has) == 0 && id != "":
		return 0, fmt.Errorf("no process of this machine has patch %s: %w", short(id), inject.ErrNoPatch)
	case len(has) == 0:
		return 0, fmt.Errorf("no process of this machine is patched: %w", inject.ErrNoPatch)
	}
	a.note("%d processes could be meant; type one of:", len(has))
	for _, s := range has {
		a.note("  hotpatch revert -p %s    (%s: %s)", strings.Join(append([]string{itoa(s.PID)}, args...), " "), clean(s.Comm), patchList(s))
	}
	return 0, usagef("which process? -p PID names it")
}

// revertible reports whether revert has something to do in a process.
func revertible(s *inject.Status, id string) bool {
	for i := range s.Patches {
		if p := &s.Patches[i]; p.State != "reverted" && strings.HasPrefix(p.ID, id) {
			return true
		}
	}
	return id == "" && len(s.Attention) > 0
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

// alreadyReverted returns a report that says so if the process once had the patch and has been rid of it: then
// what was asked for is already done. Otherwise it returns nil.
func alreadyReverted(r *inject.Report, id string) *inject.Report {
	s, err := inject.Inspect(r.PID, nil)
	if err != nil {
		return nil
	}
	out := &inject.Report{PID: s.PID, Comm: s.Comm, Verb: r.Verb, DryRun: r.DryRun, Atomic: true}
	for _, p := range s.Patches {
		if p.State == "reverted" && strings.HasPrefix(p.ID, id) {
			p.Result = "already reverted"
			out.Patches = append(out.Patches, p.PatchReport)
		}
	}
	if len(out.Patches) == 0 {
		return nil
	}
	return out
}

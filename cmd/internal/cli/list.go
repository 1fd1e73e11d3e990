package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotpatch/ptrace/inject"
)

// newList makes the verb list.
func newList(a *app) *cobra.Command {
	var pid int
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [-p PID]",
		Short: "Show which processes are patched, with what, since when",
		Long: `Show which processes of this machine are patched: with what, since when, by whom, and
which functions. What is shown is judged by the bytes in the processes themselves; no
process is stopped, and nothing is kept on disk. Processes that the caller may not look at are left out.

What an interrupted hotpatch left behind is shown with what helps; the exit code is then 5.`,
		Example: `  hotpatch list
  hotpatch list -p 1234
  sudo hotpatch list --json | jq '.processes[].pid'`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			all, err := statuses(pid)
			if err != nil {
				return err
			}
			if asJSON {
				return a.listJSON(all)
			}
			a.list(all)
			return attention(all)
		},
	}
	c.Flags().VarP((*pidValue)(&pid), "pid", "p", "only the process with this `PID`")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	completePIDs(c, "pid")
	return c
}

// listJSON is what list --json prints.
type listJSON struct {
	Version   int              `json:"version"`
	Processes []*inject.Status `json:"processes"`
	Error     *errorJSON       `json:"error,omitempty"` // some need attention
}

// listJSON prints processes for programs.
func (a *app) listJSON(all []*inject.Status) error {
	for _, s := range all {
		s.Patches, s.Attention, s.Notes = filled(s.Patches), filled(s.Attention), filled(s.Notes)
	}
	out := listJSON{Version: jsonVersion, Processes: filled(all)}
	err := attention(all)
	if err == nil {
		a.json(out)
		return nil
	}
	out.Error = newErrorJSON(err)
	a.json(out)
	return &shownError{err}
}

// attention returns the error that the processes stand for, or nil.
func attention(all []*inject.Status) error {
	var who []string
	for _, s := range all {
		if len(s.Attention) > 0 {
			who = append(who, itoa(s.PID))
		}
	}
	switch len(who) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("process %s %w", who[0], inject.ErrAttention)
	}
	return &reworded{fmt.Sprintf("processes %s need attention", strings.Join(who, ", ")), inject.ErrAttention}
}

// statuses looks at one process, or at all that are patched if pid is 0.
func statuses(pid int) ([]*inject.Status, error) {
	if pid == 0 {
		return inject.Patched(nil)
	}
	s, err := inject.Inspect(pid, nil)
	if err != nil {
		why := strings.TrimPrefix(err.Error(), fmt.Sprintf("open process %d: ", pid))
		return nil, &reworded{fmt.Sprintf("process %d cannot be looked at, what patches it has is not known: %s", pid, why), err}
	}
	return []*inject.Status{s}, nil
}

// list prints processes and their patches.
func (a *app) list(all []*inject.Status) {
	if len(all) == 0 {
		a.printf("no patched process")
	}
	for i, s := range all {
		if i > 0 {
			a.printf("")
		}
		a.status(s)
	}
}

// status prints one process.
func (a *app) status(s *inject.Status) {
	a.printf("%s", strings.TrimRight(a.paint(bold, clean(s.Comm)+"["+itoa(s.PID)+"]")+" "+clean(s.Exe), " "))
	if len(s.Patches) == 0 && len(s.Attention) == 0 && s.Exe != "" { // without: it could not be looked at
		a.printf("  not patched")
	}
	for i := range s.Patches {
		a.patchStatus(&s.Patches[i])
	}
	for _, w := range s.Attention {
		a.printf("  %s %s", a.paint(red, "needs attention:"), a.words(w))
	}
	for _, n := range s.Notes {
		a.printf("  note: %s", a.words(n))
	}
	if s.Tracer != 0 {
		a.printf("  note: traced by process %d (%s)", s.Tracer, comm(s.Tracer))
	}
}

// patchStatus prints one patch of a process.
func (a *app) patchStatus(p *inject.PatchStatus) {
	colour := map[string]string{"applied": green, "unfinished": red}[p.State]
	state := clean(p.State)
	if colour != "" {
		state = a.paint(colour, state)
	}
	from := ""
	if p.Inherited {
		from = ", inherited from its parent"
	}
	if p.Missing {
		from += ", missing under later ones"
	}
	since := " since"
	if p.State != "applied" { // the journal has the time of the last application only
		since = ", applied"
	}
	a.printf("  %s %s in %s%s %s by %s%s", short(p.ID), state, clean(base(p.Module)), since,
		p.Since.Local().Format(time.DateTime), clean(p.User), from)
	var names []string
	for _, f := range p.Funcs {
		names = append(names, a.name(f.Name))
	}
	if len(names) > 0 {
		a.printf("    %s", strings.Join(names, ", "))
	}
	if len(p.Consts) > 0 {
		a.printf("    constants %s", clean(strings.Join(p.Consts, ", ")))
	}
	if len(p.Moved) > 0 {
		var moved []string
		for _, m := range p.Moved {
			moved = append(moved, a.name(m.Name))
		}
		a.printf("    moved %s", strings.Join(moved, ", "))
	}
	for _, k := range p.Acks {
		a.printf("    acknowledged %s by %s, %s", clean(k.ID), clean(k.User), clean(k.Date))
	}
}

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
	"hotpatch/ptrace/inject"
)

// TestSeveralCodes: what is said of several processes is the gravest of what became of them, also if no further ones could be looked for.
func TestSeveralCodes(t *testing.T) {
	gone := fmt.Errorf("process 7: %w", ptrace.ErrGone)
	for _, c := range []struct {
		name string
		errs []error // of the tasks
		tree int     // that of --tree
		more error   // of the search for further ones
		want int
	}{
		{name: "done", errs: []error{nil, nil}, want: exitDone},
		{name: "the tree has ended meanwhile", errs: []error{nil}, tree: 1 << 30, more: gone, want: exitDone},
		{name: "further ones are not known", errs: []error{nil}, more: errors.New("no /proc"), want: exitFailed},
		{name: "attention, and the tree has ended", errs: []error{nil, inject.ErrAttention}, tree: 1 << 30, more: gone, want: exitAttention},
		{name: "attention, and further ones are not known", errs: []error{inject.ErrAttention}, more: errors.New("no /proc"), want: exitAttention},
		{name: "busy and refused", errs: []error{&inject.BusyError{}, &patch.Refusal{}, errors.New("x")}, want: exitRefused},
		{name: "usage is no graver than attention", errs: []error{usagef("x"), inject.ErrAttention}, want: exitAttention},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tasks []task
			for i, err := range c.errs {
				tasks = append(tasks, task{pid: 1<<30 + i, comm: "none", run: func(context.Context, inject.Options) (*inject.Report, error) {
					return &inject.Report{PID: 1<<30 + i}, err
				}})
			}
			more := func() ([]task, error) { return nil, c.more }
			for _, json := range []bool{false, true} {
				var out, text bytes.Buffer
				a := &app{out: &out, err: &text}
				l := &liveFlags{json: json}
				l.tree = c.tree
				if got := exitCode(a.several(l, nil, tasks, more)); got != c.want {
					t.Errorf("json %t: exit code %d, want %d", json, got, c.want)
				}
				if json && !strings.Contains(out.String(), `"processes"`) {
					t.Errorf("what became of the processes is not said: %s", &out)
				}
			}
		})
	}
}

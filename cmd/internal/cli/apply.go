package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/inject"
)

// newApply makes the verb apply.
func newApply(a *app) *cobra.Command {
	var l liveFlags
	c := &cobra.Command{
		Use:   "apply -p PID FILE...",
		Short: "Apply patches to a running process",
		Long: `Apply one or more patch files to a running process, all in one stop: either every
one of them is in force afterwards or none.

A patch fits only the build that it was made for, which the process must be running. While a
changed function is being executed the process runs on and another attempt is made, until --wait
has passed (exit code 4). Ctrl-C before the change leaves the process as it was; later the change
is finished first. The same holds for SIGTERM, SIGHUP and SIGQUIT. Ctrl-Z is ignored: it would stop
hotpatch with the process in its hands.`,
		Example: `  hotpatch apply -p 1234 fix.patch
  hotpatch apply -p 1234 --dry-run fix.patch
  hotpatch apply -p $(pidof -s redis-server) --wait 30s --max-pause 5ms server.patch library.patch`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: patchFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if l.pid == 0 {
				return usagef("no process given: usage: %s", c.UseLine())
			}
			if err := l.check(); err != nil {
				return err
			}
			var before phases
			start := time.Now()
			files, err := a.readPatches(args)
			if err != nil {
				return err
			}
			before.add("read patches", time.Since(start))
			opt := inject.Options{Symbolize: newSymbolizer(l.pid, files).name}
			r, err := a.transaction(&l, opt, func(ctx context.Context, opt inject.Options) (*inject.Report, error) {
				return inject.Apply(ctx, l.pid, files, opt)
			})
			if err != nil {
				return err
			}
			return a.finish(&l, before, r)
		},
	}
	l.add(c)
	return c
}

// readPatches reads the patch files, all of them before anything is done with one. The same patch
// given twice counts once.
func (a *app) readPatches(paths []string) ([]*patch.File, error) {
	var files []*patch.File
	first := make(map[patch.ID]string)
	for _, path := range paths {
		f, err := readPatch(path)
		if err != nil {
			return nil, err
		}
		if same, ok := first[f.ID]; ok {
			a.note("note: %s holds the same patch as %s, %s: it is taken once", clean(path), clean(same), f.ID.Short())
			continue
		}
		first[f.ID] = path
		files = append(files, f)
	}
	return files, nil
}

package cli

import (
	"time"

	"github.com/spf13/cobra"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/inject"
)

// newApply makes the verb apply.
func newApply(a *app) *cobra.Command {
	var l liveFlags
	var replace bool
	c := &cobra.Command{
		Use:   "apply {-p PID... | --tree PID | --all} FILE...",
		Short: "Apply patches to running processes",
		Long: `Apply one or more patch files to a running process, all in one stop: either every
one of them is in force afterwards or none.

Several processes are taken one after the other, each for itself, parents before what they
fork; one line says what became of each. --all takes every process that maps a build that a patch is
for, --tree a process and those that descend from it, as far as they do. The exit code is then that of the
gravest failure: 5, 3, 4, 1, in this order.

With --replace they are all that the process has afterwards: what else is in force is reverted in the same
stop, so that the process goes from any set of patches to exactly this one. A patch that leads from the
build that was started straight to a new one takes the place of several in this way. What a new variable
holds is lost where both bring one of the same name, which --ack anew:NAME allows.

A patch fits only the build that it was made for, which the process must be running. While a
changed function is being executed the process runs on and another attempt is made, until --wait
has passed (exit code 4). Ctrl-C before the change leaves the process as it was; later the change
is finished first. The same holds for SIGTERM, SIGHUP and SIGQUIT. Ctrl-Z is ignored: it would stop
hotpatch with the process in its hands.`,
		Example: `  hotpatch apply -p 1234 fix.patch
  hotpatch apply -p 1234 --dry-run fix.patch
  hotpatch apply -p 1234 --replace cumulative.patch
  hotpatch apply --tree $(cat /run/nginx.pid) nginx.patch
  hotpatch apply --all libcrypto.patch
  hotpatch apply -p $(pidof -s redis-server) --wait 30s --max-pause 5ms server.patch library.patch`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: patchFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if len(l.pids) == 0 && l.tree == 0 && !l.all {
				return usagef("no process given: usage: %s", c.UseLine())
			}
			if err := l.check(everyMatching); err != nil {
				return err
			}
			return a.apply(&l, applierOf(replace), args)
		},
	}
	l.add(c, everyMatching, "every process that maps the build that a patch is for")
	c.Flags().BoolVar(&replace, "replace", false, "revert what else the process has, in the same stop")
	return c
}

// everyMatching is apply's flag for every process.
const everyMatching = "all"

// apply applies the patches of files to the processes that are meant.
func (a *app) apply(l *liveFlags, how applier, paths []string) error {
	var before phases
	start := time.Now()
	files, err := a.readPatches(paths)
	if err != nil {
		return err
	}
	before.add("read patches", time.Since(start))
	pid, one := l.one()
	if !one {
		tasks, more, err := a.applyTasks(l, how, files)
		if err != nil {
			return err
		}
		return a.several(l, before, tasks, more)
	}
	ctx, undo := holdSteady()
	defer undo()
	r, err := a.transaction(ctx, l, pid, inject.Options{}, how.task(pid, "", files).run)
	if err != nil {
		return err
	}
	return a.finish(l, before, r)
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

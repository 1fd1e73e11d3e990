package cli

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// diffOptions are the flags of diff.
type diffOptions struct {
	output    string    // FILE, or ""
	debug     [2]string // separate debug files of OLD and NEW, or ""
	debugDirs []string  // where they are looked for
	acks      []string
	lines     bool
	only      []string // functions of the patch; none: all that differ
	skip      []string // functions that are left out of it
	wantJSON  bool
	timed     bool
	all       bool     // nothing is left out
	whyFunc   string   // a name, or ""
	listed    bool     // --disasm
	funcs     []string // of these functions; none: of all
}

// newDiff makes the verb diff.
func newDiff(a *app) *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use:   "diff OLD NEW [-o FILE] [--disasm [FUNC...]]",
		Short: "Compare two builds and write what changed into a patch file",
		Long: `Compare two linked builds of one program or shared library, say what differs and
whether it can be applied to a process that runs OLD, and write the patch to FILE.
Without -o nothing is written; the report and the exit code are the same.

Exit codes: 0 nothing differs, or everything that does can be applied; 3 a change is refused, or
asks for a word (--ack) that was not given, and no patch is written; 2 an --ack that no change asks
for; 1 the builds could not be compared. FILE may be an earlier patch, which is replaced only by a
new one; any other file is left alone.

A patch holds every function that differs, so that the running code equals the new build's. --only
and --skip leave functions out and so break that proof: the report names each of them, what
calls what across the border, and the --ack that says that it is right all the same.

--why follows the chain of causes of one function. With --disasm the old code of each function
that differs, or of FUNC alone, stands beside its new code; see "hotpatch inspect --help".`,
		Example: `  hotpatch diff redis-server.old redis-server -o fix.patch
  hotpatch diff redis-server.old redis-server --disasm processCommand
  hotpatch diff libexpat.so.1.8 build/libexpat.so.1.9 -o fix.patch --debug-old libexpat.debug
  hotpatch diff a.out b.out -o fix.patch --ack remove:old_handler`,
		Args: usage(cobra.MinimumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if o.funcs = args[2:]; len(o.funcs) > 0 && !o.listed {
				return usagef("%s: two builds are compared, and only --disasm takes names of functions: usage: %s", args[2], c.UseLine())
			}
			if len(o.only) > 0 && len(o.skip) > 0 {
				return usagef("--only and --skip: either names the functions of the patch, or those that stay out of it")
			}
			return a.diff(o, args[:2])
		},
	}
	f := c.Flags()
	f.StringVarP(&o.output, "output", "o", "", "write the patch to `FILE`")
	f.StringArrayVar(&o.acks, "ack", nil, "give the word for the change with this `ID` (repeatable)")
	f.BoolVar(&o.lines, "lines", false, "take in functions that differ only in line numbers")
	f.StringArrayVar(&o.only, "only", nil, "change `FUNC` and no other function (repeatable); asks for a word")
	f.StringArrayVar(&o.skip, "skip", nil, "leave `FUNC` as it is (repeatable); asks for a word")
	f.StringVar(&o.debug[0], "debug-old", "", "separate debug `FILE` of OLD")
	f.StringVar(&o.debug[1], "debug-new", "", "separate debug `FILE` of NEW")
	f.StringArrayVar(&o.debugDirs, "debug-dir", nil, "look for debug files below `DIR` before "+image.DebugRoot+" (repeatable)")
	f.BoolVar(&o.listed, "disasm", false, "show old code beside new, of all functions that differ or of FUNC alone")
	f.BoolVar(&o.all, "all", false, "leave nothing out of long lists and listings")
	f.StringVar(&o.whyFunc, "why", "", "show only why `FUNC` differs: the chain of causes, and what follows from it")
	f.BoolVar(&o.wantJSON, "json", false, "print the result as JSON")
	f.BoolVar(&o.timed, "time", false, "show how long each phase took, and how much code a second")
	completeFiles(c, "output", "patch")
	return c
}

// diff compares two builds and reports.
func (a *app) diff(o diffOptions, builds []string) error {
	job := &diffJob{app: a, diffOptions: o, inputs: []inputFile{
		{"OLD", builds[0]}, {"NEW", builds[1]}, {"--debug-old", o.debug[0]}, {"--debug-new", o.debug[1]},
	}}
	if err := job.outputFree(); err != nil {
		return err
	}
	who, err := userName()
	if err != nil && len(o.acks) > 0 {
		return fmt.Errorf("who gives the word: %w", err)
	}
	phase := job.phases.add
	if err := job.load(builds, o.debug, phase); err != nil {
		return err
	}
	opt := elfdiff.Options{Acks: o.acks, User: who, Date: time.Now().UTC(), Lines: o.lines, Only: o.only, Skip: o.skip, Named: isNamed, Phase: phase}
	if err := job.run(opt); err != nil {
		return err
	}
	return job.report()
}

// diffJob is one comparison on its way to the report.
type diffJob struct {
	*app
	diffOptions
	inputs []inputFile
	phases phaseRecorder

	old, new *image.Image
	res      *elfdiff.Result
	file     *patch.File // as written; nil if none was
}

// load reads both images at the same time.
func (j *diffJob) load(paths []string, debug [2]string, phase func(string, time.Duration)) error {
	show, end := j.progress()
	defer end()
	show("reading " + paths[0] + " and " + paths[1])
	start := time.Now()
	tuneCollector(paths[:2])
	var im [2]*image.Image
	var errs [2]error
	var wg sync.WaitGroup
	for i := range im {
		wg.Go(func() {
			which := [...]string{"old", "new"}[i]
			defer func(start time.Time) { phase("load/"+which, time.Since(start)) }(time.Now())
			im[i], errs[i] = j.loadImage(paths[i], debug[i], j.phases.under("load/"+which))
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	j.old, j.new = im[0], im[1]
	phase("load", time.Since(start))
	return nil
}

// tuneCollector sets how often the garbage collector runs, by the size of both files together, unless GOGC does. Large ones: a tenth more time for a
// quarter less memory, measured with 240 MB. Small ones: a twentieth less time for some megabytes, measured with 15 MB.
func tuneCollector(paths []string) {
	const small, large = 32 << 20, 64 << 20
	const seldom, often = 200, 25 // percent
	if os.Getenv("GOGC") != "" {
		return
	}
	var total int64
	for _, p := range paths {
		if st, err := os.Stat(p); err == nil { // else opening it will say what is wrong
			total += st.Size()
		}
	}
	switch {
	case total < small:
		debug.SetGCPercent(seldom)
	case total >= large:
		debug.SetGCPercent(often)
	}
}

// loadImage reads one build. A debug file that is given must be that build's, even where it is not needed.
func (j *diffJob) loadImage(path, debug string, phase func(string, time.Duration)) (*image.Image, error) {
	if err := checkELF(path); err != nil {
		return nil, err
	}
	opt := image.Options{Debug: debug, Phase: phase}
	if len(j.debugDirs) > 0 {
		opt.DebugRoots = append(slices.Clone(j.debugDirs), image.DebugRoot)
	}
	return image.Load(path, opt)
}

// run compares the images and writes the patch if there is one to write.
func (j *diffJob) run(opt elfdiff.Options) error {
	show, end := j.progress()
	defer end()
	opt.Begin = func(phase string) { show("comparing: " + phase) }
	var err error
	if j.res, err = elfdiff.Diff(j.old, j.new, opt); err != nil {
		return err
	}
	if j.output == "" || j.res.Patch == nil || len(j.res.UnknownAcks) > 0 {
		return nil
	}
	start := time.Now()
	if j.file, err = j.res.Patch.Encode(); err != nil {
		return err
	}
	// An interrupt waits until the file is there: a temporary file must not be left.
	_, release := holdSteady()
	defer release()
	if err := j.outputFree(); err != nil { // it may have come into being meanwhile
		return err
	}
	if err := writeFile(j.output, j.file.Raw); err != nil {
		return err
	}
	if opt.Phase != nil {
		opt.Phase("write", time.Since(start))
	}
	return nil
}

// verdict returns the error that the result stands for, or nil.
func (j *diffJob) verdictErr() error {
	r := j.res
	if len(r.UnknownAcks) > 0 {
		return usagef("no change asks for --ack %s: the report lists the IDs", strings.Join(r.UnknownAcks, ", "))
	}
	if r.Refused == 0 && len(r.Missing) == 0 {
		return nil
	}
	var why []string
	if r.Refused > 0 {
		why = append(why, count(r.Refused, "change")+" cannot be applied soundly")
	}
	if n := len(r.Missing); n > 0 {
		why = append(why, count(n, "acknowledgement")+" not given")
	}
	help := "no patch is written; the report says why, for each"
	refused := func(c patch.Change) bool { return changedFunction(&c) && c.Verdict == patch.Refused }
	if slices.ContainsFunc(r.Changes, refused) {
		help += "; --skip FUNC leaves a changed function as it is, if you know that the rest is right without it"
	}
	if j.stale() {
		help += "; " + j.staleText()
	}
	return &patch.Refusal{What: j.new.Path, Why: strings.Join(why, ", "), Help: help}
}

// report prints the result and returns the error that it stands for.
func (j *diffJob) report() error {
	err := j.verdictErr()
	if j.timed {
		j.times(j.phases.phases, codeSize(j.old)+codeSize(j.new))
	}
	if j.whyFunc != "" && !j.wantJSON {
		return errors.Join(j.app.why(newReport(j.res.Changes, true), j.whyFunc), err)
	}
	if !j.wantJSON {
		if len(j.funcs) == 0 {
			j.human()
		}
		return errors.Join(j.listings(), err)
	}
	j.app.json(j.asJSON(err))
	if err != nil {
		return &shownError{err}
	}
	return nil
}

// listings prints the code of the functions that --disasm asks for.
func (j *diffJob) listings() error {
	if !j.listed {
		return nil
	}
	missing := slices.Clone(j.funcs)
	r := newReport(j.res.Changes, j.lines || len(j.funcs) > 0)
	for _, id := range r.shown(func(c *patch.Change) bool { return c.What == "function" }) {
		c := r.change(id)
		if len(j.funcs) > 0 {
			k := slices.IndexFunc(j.funcs, func(n string) bool { return isNamed(c.Name, n) })
			if k < 0 {
				continue
			}
			missing = slices.DeleteFunc(missing, func(n string) bool { return n == j.funcs[k] })
		}
		j.sideBySide(j.listing(id, j.titled(c)), j.all)
	}
	if len(missing) > 0 {
		return fmt.Errorf("--disasm %s: no function of that name differs: it is the same in both builds, or in neither", missing[0])
	}
	return nil
}

// listing disassembles the function of a change in both builds.
func (j *diffJob) listing(id int, title string) *listing {
	l := &lister{j.old.Arch, j.words}
	old, next := j.res.Code(id)
	return &listing{title: title, old: l.lines(old), new: l.lines(next)}
}

// userName names who runs hotpatch: under sudo the user who called it.
func userName() (string, error) {
	if s := os.Getenv("SUDO_USER"); s != "" {
		return s, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", err
	}
	return u.Username, nil
}

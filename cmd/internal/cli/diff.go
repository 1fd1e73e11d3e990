package cli

import (
	"encoding/hex"
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

// newDiff makes the verb diff.
func newDiff(a *app) *cobra.Command {
	var (
		output, debugOld, debugNew string
		acks, debugDirs            []string
		lines, asJSON, timed, all  bool
		disasm                     bool
		why                        string
	)
	c := &cobra.Command{
		Use:   "diff OLD NEW [-o FILE] [--disasm [FUNC...]]",
		Short: "Compare two builds and write what changed into a patch file",
		Long: `Compare two linked builds of one program or shared library, say what differs and
whether it can be applied to a process that runs OLD, and write the patch to FILE.

Where a change is refused, or asks for a word (ack) that is not given, no patch is written and the
exit code is 3. Where nothing differs, none is written either. FILE may be an earlier patch, which is
replaced only by a new one; any other file is left alone.`,
		Example: `  hotpatch diff redis-server.old redis-server -o fix.patch
  hotpatch diff libexpat.so.1.8 build/libexpat.so.1.9 -o fix.patch --debug-old libexpat.debug
  hotpatch diff a.out b.out -o fix.patch --ack remove:old_handler`,
		Args: usage(cobra.MinimumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			job := &diffJob{app: a, json: asJSON, output: output, all: all, timed: timed, why: why, list: disasm, funcs: args[min(2, len(args)):], debugDirs: debugDirs, inputs: []inputFile{
				{"OLD", args[0]}, {"NEW", args[1]}, {"--debug-old", debugOld}, {"--debug-new", debugNew},
			}}
			if len(args) > 2 && !disasm {
				return usagef("%s: two builds are compared, and only --disasm takes names of functions: usage: %s", args[2], c.UseLine())
			}
			if err := job.outputFree(); err != nil {
				return err
			}
			phase := job.phases.add
			who, err := userName()
			if err != nil && len(acks) > 0 {
				return fmt.Errorf("who gives the word: %w", err)
			}
			opt := elfdiff.Options{Acks: acks, User: who, Date: time.Now().UTC(), Lines: lines, Phase: phase}
			if err := job.load(args, [2]string{debugOld, debugNew}, phase); err != nil {
				return err
			}
			if err := job.run(opt); err != nil {
				return err
			}
			return job.report()
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "write the patch to `FILE`")
	f.StringArrayVar(&acks, "ack", nil, "give the word for the change with this `ID` (repeatable)")
	f.BoolVar(&lines, "lines", false, "take in functions that differ only in line numbers")
	f.StringVar(&debugOld, "debug-old", "", "separate debug `FILE` of OLD")
	f.StringVar(&debugNew, "debug-new", "", "separate debug `FILE` of NEW")
	f.StringArrayVar(&debugDirs, "debug-dir", nil, "look for debug files below `DIR` before "+image.DebugRoot+" (repeatable)")
	f.BoolVar(&disasm, "disasm", false, "show old code beside new, of all functions that differ or of FUNC alone")
	f.BoolVar(&all, "all", false, "leave nothing out of long lists and listings")
	f.StringVar(&why, "why", "", "show only why `FUNC` differs: the chain of causes, and what follows from it")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	f.BoolVar(&timed, "time", false, "show how long each phase took")
	completeFiles(c, "output", "patch")
	return c
}

// diffJob is one comparison on its way to the report.
type diffJob struct {
	*app
	json      bool
	all       bool // list everything
	timed     bool
	why       string   // a name, or ""
	list      bool     // --disasm
	funcs     []string // names that --disasm is asked for; none: all
	output    string   // FILE, or ""
	debugDirs []string // directories of separate debug files
	inputs    []inputFile
	phases    phaseRecorder

	old, new *image.Image
	lines    bool
	res      *elfdiff.Result
	file     *patch.File // as written; nil if none was
}

// load reads both images at the same time.
func (j *diffJob) load(paths []string, debug [2]string, phase func(string, time.Duration)) error {
	show, end := j.progress()
	defer end()
	show("reading " + paths[0] + " and " + paths[1])
	start := time.Now()
	collectOften(paths[:2])
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

// collectOften makes the garbage collector trade time for memory where both files together are large: a tenth more time for a quarter
// less memory, measured with 240 MB. With small ones it would be a third more time for ten megabytes.
func collectOften(paths []string) {
	const large, percent = 64 << 20, 25
	var total int64
	for _, p := range paths {
		if st, err := os.Stat(p); err == nil { // else opening it will say what is wrong
			total += st.Size()
		}
	}
	if total >= large && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
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
	j.lines = opt.Lines
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
	return &patch.Refusal{
		What: j.new.Path,
		Why:  strings.Join(why, ", "),
		Help: "no patch is written; the report says for each what would help",
	}
}

// report prints the result and returns the error that it stands for.
func (j *diffJob) report() error {
	err := j.verdictErr()
	if j.timed {
		j.times(j.phases.phases, codeSize(j.old)+codeSize(j.new))
	}
	if j.why != "" && !j.json {
		return errors.Join(j.app.why(newReport(j.res.Changes, true), j.why), err)
	}
	if !j.json {
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
	if !j.list {
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

// diffJSON is what diff --json prints.
type diffJSON struct {
	Version     int                  `json:"version"`
	Old         buildJSON            `json:"old"`
	New         buildJSON            `json:"new"`
	Counts      elfdiff.Counts       `json:"counts"`
	Layouts     string               `json:"layouts"` // of types: see elfdiff.Result
	Functions   []changeJSON         `json:"functions"`
	Others      []changeJSON         `json:"others"` // objects, types, imports
	Types       []elfdiff.TypeChange `json:"types"`  // what moved in each type of others
	Refused     int                  `json:"refused"`
	MissingAcks []string             `json:"missing_acks"`
	UnknownAcks []string             `json:"unknown_acks,omitempty"`
	Patch       *patchJSON           `json:"patch"` // null if no file was written
	Phases      phases               `json:"phases,omitempty"`
	Error       *errorJSON           `json:"error,omitempty"`
}

type buildJSON struct {
	File    string `json:"file"`
	BuildID string `json:"build_id"`
	// Derived says that the file has no build-id and that build_id is a hash of its content.
	Derived bool   `json:"derived,omitempty"`
	Debug   string `json:"debug,omitempty"` // the separate file that the symbols are from
}

// changeJSON is a change with its name as a person reads it.
type changeJSON struct {
	ID int `json:"id"` // its place in the report, from 1: what a reason's cause refers to
	patch.Change
	Demangled string    `json:"demangled,omitempty"`
	Disasm    []rowJSON `json:"disasm,omitempty"` // with --disasm
}

type patchJSON struct {
	File string `json:"file"`
	ID   string `json:"id"`
	Size int    `json:"size"` // bytes
}

func imageJSON(im *image.Image) buildJSON {
	return buildJSON{File: im.Path, BuildID: hex.EncodeToString(im.BuildID), Derived: !im.HasBuildID, Debug: im.DebugPath}
}

func (j *diffJob) asJSON(err error) *diffJSON {
	out := &diffJSON{
		Version: jsonVersion, Old: imageJSON(j.old), New: imageJSON(j.new),
		Counts: j.res.Counts, Layouts: j.res.Layouts, Refused: j.res.Refused,
		MissingAcks: filled(j.res.Missing), UnknownAcks: j.res.UnknownAcks,
	}
	if j.timed {
		out.Phases = j.phases.tree()
	}
	out.Functions, out.Others = changesJSON(j.res.Changes)
	for i := range out.Functions {
		f := &out.Functions[i]
		if j.list && (len(j.funcs) == 0 || slices.ContainsFunc(j.funcs, func(n string) bool { return isNamed(f.Name, n) })) {
			f.Disasm = j.listing(f.ID, "").json()
		}
	}
	out.Types = typesJSON(j.res.Types)
	if j.file != nil {
		out.Patch = &patchJSON{File: j.output, ID: j.file.ID.String(), Size: len(j.file.Raw)}
	}
	if err != nil {
		out.Error = newErrorJSON(err)
	}
	return out
}

// changesJSON parts the changes into functions and others. Neither is nil.
func changesJSON(all []patch.Change) (functions, others []changeJSON) {
	functions, others = []changeJSON{}, []changeJSON{}
	for i, c := range all {
		j := changeJSON{ID: i + 1, Change: c, Demangled: demangled(c.Name)}
		if c.What == "function" {
			functions = append(functions, j)
		} else {
			others = append(others, j)
		}
	}
	return functions, others
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

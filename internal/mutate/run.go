package mutate

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"hotpatch/arch"
	"hotpatch/internal/table"
)

// Change is something that a differ reports.
type Change struct {
	What string         // function, object, ...
	Name string         // for people
	Addr arch.ImageAddr // in the unchanged file; 0: it has none
	// Undecoded is set for a function that the differ cannot decode and refuses for that reason.
	Undecoded bool
}

// Differ compares the unchanged file with another one. It is called by several goroutines at a time.
type Differ func(mutant string) ([]Change, error)

// Outcome counts what became of the mutations of one kind.
type Outcome struct {
	Mutations int
	Right     int // each function and object is reported, and nothing else
	None      int // without effect, and nothing is reported
	Missed    int
	Invented  int // something else is reported as well
	// Undecoded counts those that leave no function that can be decoded: it is refused, and with it those are reported that have to do with
	// data that only it referred to. It is no failure, since no compiler's code is meant.
	Undecoded int
}

// Failure is a mutation of which not the right thing was reported.
type Failure struct {
	Mutation
	Missed, Invented []string
	Together         bool                    // only in a file with other mutations
	undecoded        map[arch.ImageAddr]bool // functions that must be reported, and are refused since they cannot be decoded
	missed           []arch.ImageAddr
}

// Report is the result of a run.
type Report struct {
	Files    int
	Outcomes map[Kind]*Outcome
	Failures []Failure
}

// runner is one run. Its files are tried by several goroutines.
type runner struct {
	p    *Program
	dir  string
	diff Differ

	mu     sync.Mutex
	report *Report // under mu
}

// Run applies the mutations to copies of the file in dir and asks the differ about each copy, which several goroutines do at a time. Where it
// is wrong about a copy, those of its mutations that can be the cause are tried on their own. Progress goes to log; nil is silent.
func Run(p *Program, all []Mutation, dir string, diff Differ, log *slog.Logger) (*Report, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &runner{p: p, dir: dir, diff: diff, report: &Report{Outcomes: map[Kind]*Outcome{}}}
	files := batches(all)
	log.Info("mutations", "number", len(all), "files", len(files))
	var next, done atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(files))
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				if _, errs[i] = r.settle(files[i]); errs[i] != nil {
					next.Store(int64(len(files))) // the others stop, too
				}
				if n := done.Add(1); n%progressStep == 0 {
					log.Info("mutations", "files", n, "of", len(files))
				}
			}
		})
	}
	wg.Wait()
	r.report.sort()
	return r.report, errors.Join(errs...)
}

// progressStep is after how many files there is a word about progress.
const progressStep = 20

// sort orders the failures: which file was tried first is chance.
func (r *Report) sort() {
	slices.SortFunc(r.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.What, b.What))
	})
}

// settle counts the mutations of a file. It reports whether the differ was wrong about it and one of them was found to be the cause.
func (r *runner) settle(file []*Mutation) (bool, error) {
	right, f, err := r.try(file)
	switch {
	case err != nil:
		return false, err
	case right:
		r.count(nil, file...)
		return false, nil
	case len(f.Missed) == 0 && f.refusesAll(file):
		r.count(f, file...)
		return true, nil
	case len(file) == 1:
		r.count(f, file...)
		return true, nil
	}
	return r.search(file, f)
}

// search tries those mutations of a file on their own that can be the cause of what is wrong with it.
func (r *runner) search(file []*Mutation, f *Failure) (bool, error) {
	parts := r.p.suspects(file, f)
	if len(f.Invented) > 0 { // by any of them, but most likely by those that leave what cannot be decoded
		a, b := file[:len(file)/2], file[len(file)/2:]
		if refused, rest := f.split(file); len(refused) > 0 && len(rest) > 0 {
			a, b = refused, rest
		}
		parts = [][]*Mutation{a, b}
	}
	found, settled := false, 0
	for _, part := range parts {
		was, err := r.settle(part)
		if err != nil {
			return false, err
		}
		found, settled = found || was, settled+len(part)
	}
	if settled < len(file) {
		r.count(nil, slices.DeleteFunc(slices.Clone(file), func(m *Mutation) bool {
			return slices.ContainsFunc(parts, func(p []*Mutation) bool { return slices.Contains(p, m) })
		})...)
	}
	if !found {
		f.Together, f.What = true, describe(r.p.suspects(file, f))
		r.mu.Lock()
		defer r.mu.Unlock()
		r.report.Failures = append(r.report.Failures, *f)
	}
	return true, nil
}

// suspects returns the mutations of a file that should have been reported and were not, each by itself.
func (p *Program) suspects(file []*Mutation, f *Failure) [][]*Mutation {
	var out [][]*Mutation
	for _, m := range file {
		if slices.ContainsFunc(m.must, func(a arch.ImageAddr) bool { return slices.Contains(f.missed, a) }) {
			out = append(out, []*Mutation{m})
		}
	}
	return out
}

// refused reports whether the mutation leaves a function that the differ cannot decode.
func (f *Failure) refused(m *Mutation) bool {
	return slices.ContainsFunc(m.must, func(a arch.ImageAddr) bool { return f.undecoded[a] })
}

func (f *Failure) refusesAll(file []*Mutation) bool {
	_, rest := f.split(file)
	return len(rest) == 0
}

// split parts the mutations of a file into those that leave a function which cannot be decoded, and the others.
func (f *Failure) split(file []*Mutation) (refused, rest []*Mutation) {
	for _, m := range file {
		if f.refused(m) {
			refused = append(refused, m)
		} else {
			rest = append(rest, m)
		}
	}
	return refused, rest
}

func describe(all [][]*Mutation) string {
	var out []string
	for _, l := range all {
		out = append(out, fmt.Sprintf("%s at %#x: %s", l[0].Kind, uint64(l[0].Addr), l[0].What))
	}
	return strings.Join(out, "; ")
}

// count notes what became of mutations; f is nil if nothing is wrong with them.
func (r *runner) count(f *Failure, all ...*Mutation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range all {
		r.report.count(m, f)
	}
}

func (r *Report) count(m *Mutation, f *Failure) {
	o := r.Outcomes[m.Kind]
	if o == nil {
		o = &Outcome{}
		r.Outcomes[m.Kind] = o
	}
	o.Mutations++
	switch {
	case f == nil && len(m.must) == 0:
		o.None++
	case f == nil:
		o.Right++
	case len(f.Missed) == 0 && f.refused(m):
		o.Undecoded++
	default:
		if len(f.Missed) > 0 {
			o.Missed++
		}
		if len(f.Invented) > 0 {
			o.Invented++
		}
		r.Failures = append(r.Failures, *f)
	}
}

// try makes one file and compares what is reported with what must be.
func (r *runner) try(file []*Mutation) (bool, *Failure, error) {
	data := slices.Clone(r.p.data)
	must, may := map[arch.ImageAddr]bool{}, map[arch.ImageAddr]bool{}
	for _, m := range file {
		for _, e := range m.edits {
			if string(data[e.off:e.off+uint64(len(e.new))]) != string(e.old) {
				return false, nil, fmt.Errorf("%s at %#x: the file offset %#x does not hold what is to be changed", m.Kind, uint64(m.Addr), e.off)
			}
			copy(data[e.off:], e.new)
		}
		for _, a := range m.must {
			must[a] = true
		}
		for _, a := range m.may {
			may[a] = true
		}
	}
	changes, err := r.ask(data)
	if err != nil {
		return false, nil, fmt.Errorf("%s at %#x and %d more: %w", file[0].Kind, uint64(file[0].Addr), len(file)-1, err)
	}
	f := r.p.judge(changes, must, may)
	f.Mutation = *file[0]
	return len(f.Missed)+len(f.Invented) == 0, f, nil
}

// ask writes a mutant and has it compared.
func (r *runner) ask(data []byte) ([]Change, error) {
	r.mu.Lock()
	r.report.Files++
	n := r.report.Files
	r.mu.Unlock()
	r.p.stampBuildID(data, n)
	path := filepath.Join(r.dir, fmt.Sprintf("mutant%d", n))
	if err := os.WriteFile(path, data, 0o700); err != nil {
		return nil, err
	}
	defer os.Remove(path)
	return r.diff(path)
}

// judge compares what is reported with what must be and what may be.
func (p *Program) judge(changes []Change, must, may map[arch.ImageAddr]bool) *Failure {
	f := &Failure{undecoded: map[arch.ImageAddr]bool{}}
	got := map[arch.ImageAddr]bool{}
	for _, c := range changes {
		at := c.Addr
		if c.What == "function" {
			at = p.unitAt(c.Addr)
		}
		got[at] = true
		if c.Undecoded && must[at] {
			f.undecoded[at] = true
		}
		if at == 0 || !must[at] && !may[at] {
			f.Invented = append(f.Invented, fmt.Sprintf("%s %s", c.What, c.Name))
		}
	}
	for a := range must {
		if !got[a] {
			f.Missed, f.missed = append(f.Missed, p.name(a)), append(f.missed, a)
		}
	}
	slices.Sort(f.Missed)
	return f
}

// stampBuildID gives a file another build-id: what differs is another build.
func (p *Program) stampBuildID(data []byte, n int) {
	for _, s := range p.sections {
		if s.Name == ".note.gnu.build-id" {
			binary.LittleEndian.PutUint32(data[s.Offset+s.Size-4:], uint32(n))
		}
	}
}

// name names what starts at an address.
func (p *Program) name(a arch.ImageAddr) string {
	if f := p.functionAt(a); f != nil {
		return f.name
	}
	if o := p.objectAt(a); o != nil {
		return o.name
	}
	return fmt.Sprintf("%#x", uint64(a))
}

// Print writes the report as a table, and the failures.
func (r *Report) Print(w io.Writer) {
	var sum Outcome
	var t table.Table
	t.Row("mutated", "mutations", "reported", "no effect", "undecoded", "missed", "invented")
	row := func(name string, o *Outcome) {
		t.Row(name, o.Mutations, o.Right, o.None, o.Undecoded, o.Missed, o.Invented)
	}
	for _, k := range Kinds() {
		if o := r.Outcomes[k]; o != nil {
			row(string(k), o)
			sum.add(o)
		}
	}
	row("all", &sum)
	t.Write(w)
	fmt.Fprintf(w, "%d files\n", r.Files)
	for _, f := range r.Failures {
		fmt.Fprintln(w, f.String())
	}
}

func (o *Outcome) add(more *Outcome) {
	o.Mutations += more.Mutations
	o.Right += more.Right
	o.None += more.None
	o.Undecoded += more.Undecoded
	o.Missed += more.Missed
	o.Invented += more.Invented
}

// String says what went wrong.
func (f *Failure) String() string {
	s := fmt.Sprintf("%s at %#x (%s): missed [%s], invented [%s]",
		f.Kind, uint64(f.Addr), f.What, strings.Join(f.Missed, " "), strings.Join(f.Invented, ", "))
	if f.Together {
		s += " (only together with others)"
	}
	return s
}

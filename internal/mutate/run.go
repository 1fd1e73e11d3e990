package mutate

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hotpatch/arch"
)

// Change is something that a differ reports.
type Change struct {
	What string         // function, object, ...
	Name string         // for people
	Addr arch.ImageAddr // in the unchanged file; 0: it has none
	// Undecoded is set for a function that the differ cannot decode and refuses for that reason.
	Undecoded bool
}

// Differ compares the unchanged file with another one.
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
	Together         bool // only in a file with other mutations
	undecoded        bool
}

// Report is the result of a run.
type Report struct {
	Files    int
	Outcomes map[Kind]*Outcome
	Failures []Failure
}

// batches puts the mutations into files: those of one file have nothing to do with each other.
func batches(all []Mutation) [][]*Mutation {
	var out [][]*Mutation
	var busy []map[arch.ImageAddr]bool
	for i := range all {
		m := &all[i]
		touched := m.touched()
		free := func(b map[arch.ImageAddr]bool) bool {
			return !slices.ContainsFunc(touched, func(a arch.ImageAddr) bool { return b[a] })
		}
		k := slices.IndexFunc(busy, free)
		if k < 0 {
			k = len(out)
			out, busy = append(out, nil), append(busy, map[arch.ImageAddr]bool{})
		}
		out[k] = append(out[k], m)
		for _, a := range touched {
			busy[k][a] = true
		}
	}
	return out
}

// runner is one run.
type runner struct {
	p      *Program
	dir    string
	diff   Differ
	report *Report
}

// Run applies the mutations to copies of the file in dir and asks the differ about each copy. Where it is wrong about a copy, its
// mutations are tried in ever smaller groups.
func Run(p *Program, all []Mutation, dir string, diff Differ) (*Report, error) {
	r := &runner{p: p, dir: dir, diff: diff, report: &Report{Outcomes: map[Kind]*Outcome{}}}
	for _, b := range batches(all) {
		if _, err := r.settle(b); err != nil {
			return nil, err
		}
	}
	return r.report, nil
}

// settle counts the mutations of a batch. If the differ is wrong about their file, both halves are tried. It reports whether one of them
// was found to be the cause.
func (r *runner) settle(batch []*Mutation) (bool, error) {
	right, f, err := r.try(batch)
	switch {
	case err != nil:
		return false, err
	case right:
		for _, m := range batch {
			r.count(m, nil)
		}
		return false, nil
	case len(batch) == 1:
		r.count(batch[0], f)
		return true, nil
	}
	a, err := r.settle(batch[:len(batch)/2])
	if err != nil {
		return false, err
	}
	b, err := r.settle(batch[len(batch)/2:])
	if err != nil {
		return false, err
	}
	if !a && !b {
		f.Together, f.What = true, r.p.suspects(batch, f)
		r.report.Failures = append(r.report.Failures, *f)
	}
	return true, nil
}

// suspects lists the mutations of a batch that should have been reported and were not.
func (p *Program) suspects(batch []*Mutation, f *Failure) string {
	var out []string
	for _, m := range batch {
		if slices.ContainsFunc(m.must, func(a arch.ImageAddr) bool { return slices.Contains(f.Missed, p.name(a)) }) {
			out = append(out, fmt.Sprintf("%s at %#x: %s", m.Kind, uint64(m.Addr), m.What))
		}
	}
	return strings.Join(out, "; ")
}

// count notes what became of a mutation.
func (r *runner) count(m *Mutation, f *Failure) {
	o := r.report.Outcomes[m.Kind]
	if o == nil {
		o = &Outcome{}
		r.report.Outcomes[m.Kind] = o
	}
	o.Mutations++
	switch {
	case f == nil && len(m.must) == 0:
		o.None++
	case f == nil:
		o.Right++
	case f.undecoded && len(f.Missed) == 0:
		o.Undecoded++
	default:
		if len(f.Missed) > 0 {
			o.Missed++
		}
		if len(f.Invented) > 0 {
			o.Invented++
		}
		r.report.Failures = append(r.report.Failures, *f)
	}
}

// try makes one file and compares what is reported with what must be.
func (r *runner) try(batch []*Mutation) (bool, *Failure, error) {
	data := slices.Clone(r.p.data)
	f := &Failure{Mutation: *batch[0]}
	must, may := map[arch.ImageAddr]bool{}, map[arch.ImageAddr]bool{}
	for _, m := range batch {
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
	r.report.Files++
	r.p.stampBuildID(data, r.report.Files)
	path := filepath.Join(r.dir, "mutant")
	if err := os.WriteFile(path, data, 0o700); err != nil {
		return false, nil, err
	}
	changes, err := r.diff(path)
	if err != nil {
		return false, nil, fmt.Errorf("%s at %#x and %d more: %w", batch[0].Kind, uint64(batch[0].Addr), len(batch)-1, err)
	}
	got := map[arch.ImageAddr]bool{}
	for _, c := range changes {
		at := c.Addr
		if c.What == "function" {
			at = r.p.unitAt(c.Addr)
		}
		got[at] = true
		f.undecoded = f.undecoded || c.Undecoded && must[at]
		if at == 0 || !must[at] && !may[at] {
			f.Invented = append(f.Invented, fmt.Sprintf("%s %s", c.What, c.Name))
		}
	}
	for a := range must {
		if !got[a] {
			f.Missed = append(f.Missed, r.p.name(a))
		}
	}
	slices.Sort(f.Missed)
	return len(f.Missed)+len(f.Invented) == 0, f, nil
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
	fmt.Fprintf(w, "%-22s %10s %10s %10s %10s %8s %10s\n", "mutated", "mutations", "reported", "no effect", "undecoded", "missed", "invented")
	row := func(name string, o *Outcome) {
		fmt.Fprintf(w, "%-22s %10d %10d %10d %10d %8d %10d\n", name, o.Mutations, o.Right, o.None, o.Undecoded, o.Missed, o.Invented)
	}
	for _, k := range Kinds() {
		o := r.Outcomes[k]
		if o == nil {
			continue
		}
		row(string(k), o)
		sum.Mutations += o.Mutations
		sum.Right += o.Right
		sum.None += o.None
		sum.Undecoded += o.Undecoded
		sum.Missed += o.Missed
		sum.Invented += o.Invented
	}
	row("all", &sum)
	fmt.Fprintf(w, "%d files\n", r.Files)
	for _, f := range r.Failures {
		fmt.Fprintln(w, f.String())
	}
}

// String says what went wrong.
func (f *Failure) String() string {
	s := fmt.Sprintf("%s at %#x (%s): missed [%s], invented [%s]", f.Kind, uint64(f.Addr), f.What, strings.Join(f.Missed, " "), strings.Join(f.Invented, ", "))
	if f.Together {
		s += " (only together with others)"
	}
	return s
}

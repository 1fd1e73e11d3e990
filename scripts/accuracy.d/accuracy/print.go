package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"hotpatch/internal/table"
)

// inventedLimit is what may be invented, as a share of what truly changed. Nothing may be missed.
const inventedLimit = 0.005

// nothing is the outcome of a patch to code that the build at hand does not have.
const nothing = "changes nothing in this build"

// print writes both tables and returns an error if the differ is not as exact as it must be.
func print(out io.Writer, results []result) error {
	var total, data score
	var failed []error
	t := &table.Table{}
	t.Row("pair", "changed", "added", "removed", "line", "readers", "reported", "lines", "missed", "invented", "line as change",
		"data", "reported", "missed", "invented")
	for i := range results {
		r := &results[i]
		if r.err != nil {
			t.Row(r.pair.String())
			t.Note("error: " + r.err.Error())
			failed = append(failed, fmt.Errorf("%s: %w", &r.pair, r.err))
			continue
		}
		figures(t, r.pair.String(), &r.functions, &r.data)
		mistakes(t, &r.functions, &r.data)
		total.add(&r.functions)
		data.add(&r.data)
	}
	figures(t, fmt.Sprintf("%d pairs", len(results)), &total, &data)
	t.Write(out)
	fmt.Fprintln(out)
	fates(out, results)
	if n := len(total.missed); n > 0 {
		failed = append(failed, fmt.Errorf("%d functions were missed", n))
	}
	if n, of := len(total.invented)+len(total.lineAsChange), total.real(); float64(n) > inventedLimit*float64(of) {
		failed = append(failed, fmt.Errorf("%d functions were invented where %d changed: more than %g %%", n, of, 100*inventedLimit))
	}
	if n := len(data.missed); n > 0 {
		failed = append(failed, fmt.Errorf("%d data objects were missed", n))
	}
	return errors.Join(failed...)
}

// figures adds a row of figures.
func figures(t *table.Table, title string, f, d *score) {
	t.Row(title, f.changed, f.added, f.removed, f.line, f.readers, f.reported, f.reportedLine, len(f.missed), len(f.invented),
		len(f.lineAsChange), d.real(), d.reported, len(d.missed), len(d.invented))
}

// mistakes writes beneath a row the names of what went wrong.
func mistakes(t *table.Table, f, d *score) {
	for _, s := range []struct {
		what  string
		names []string
	}{
		{"missed", f.missed}, {"invented", f.invented}, {"line number told as a change", f.lineAsChange}, {"undecided", f.undecided},
		{"missed", d.missed}, {"invented", d.invented},
	} {
		for _, name := range s.names {
			t.Note(s.what + ": " + name)
		}
	}
}

func (s *score) add(t *score) {
	s.changed += t.changed
	s.added += t.added
	s.removed += t.removed
	s.line += t.line
	s.readers += t.readers
	s.resized += t.resized
	s.reported += t.reported
	s.reportedLine += t.reportedLine
	s.missed = append(s.missed, t.missed...)
	s.invented = append(s.invented, t.invented...)
	s.lineAsChange = append(s.lineAsChange, t.lineAsChange...)
	s.undecided = append(s.undecided, t.undecided...)
}

// fates writes what becomes of each fix.
func fates(out io.Writer, results []result) {
	t := &table.Table{}
	t.Row("pair", "outcome", "acks", "refusals", "atomic")
	count := make(map[string]int)
	acks, notAtomic := 0, 0
	for i := range results {
		r := &results[i]
		if r.err != nil {
			continue
		}
		f, outcome := &r.fate, r.fate.outcome
		if r.functions.real()+r.data.real() == 0 {
			outcome = nothing
		}
		count[outcome]++
		atomic := ""
		if f.outcome == "patch" {
			atomic = fmt.Sprint(len(f.apart) == 0)
			if len(f.apart) > 0 {
				notAtomic++
			}
		}
		if len(f.acks) > 0 {
			acks++
		}
		t.Row(r.pair.String(), outcome, len(f.acks), len(f.refused), atomic)
		for _, why := range f.refused {
			t.Note("refused: " + shorten(why))
		}
		for _, why := range f.apart {
			t.Note("apart: " + shorten(why))
		}
		for _, id := range f.acks {
			t.Note("ack: " + id)
		}
	}
	t.Write(out)
	fmt.Fprintf(out, "%d pairs: %d patches (%d of them atomic: false), %d refused, %d without a patch, %d that change no code here; "+
		"%d need an ack\n", len(results), count["patch"], notAtomic, count["refused"], count["no patch"], count[nothing], acks)
}

// shorten cuts a text to a line.
func shorten(s string) string {
	const longest = 160 // characters
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "..."
	}
	return s
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// inventedLimit is what may be invented, as a share of what truly changed. Nothing may be missed.
const inventedLimit = 0.005

// nothing is the outcome of a patch to code that the build at hand does not have.
const nothing = "changes nothing in this build"

// table is text in columns, with notes beneath its rows.
type table struct {
	rows  [][]string
	notes map[int][]string // by row
}

func (t *table) row(title string, cells ...any) {
	row := []string{title}
	for _, c := range cells {
		row = append(row, fmt.Sprint(c))
	}
	t.rows = append(t.rows, row)
}

// note writes a line beneath the last row.
func (t *table) note(what, text string) {
	if t.notes == nil {
		t.notes = make(map[int][]string)
	}
	last := len(t.rows) - 1
	t.notes[last] = append(t.notes[last], what+": "+text)
}

func (t *table) write(out io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	for k, row := range t.rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
		for _, n := range t.notes[k] {
			fmt.Fprintln(out, "    "+n)
		}
	}
}

// print writes both tables and returns an error if the differ is not as exact as it must be.
func print(out io.Writer, results []result) error {
	var total, data score
	var failed []error
	t := &table{}
	t.row("pair", "changed", "added", "removed", "line", "readers", "reported", "lines", "missed", "invented", "line as change",
		"data", "reported", "missed", "invented")
	for i := range results {
		r := &results[i]
		if r.err != nil {
			t.row(r.pair.String())
			t.note("error", r.err.Error())
			failed = append(failed, fmt.Errorf("%s: %w", &r.pair, r.err))
			continue
		}
		t.score(r.pair.String(), &r.functions, &r.data)
		total.add(&r.functions)
		data.add(&r.data)
	}
	t.score(fmt.Sprintf("%d pairs", len(results)), &total, &data)
	delete(t.notes, len(t.rows)-1) // they stand above
	t.write(out)
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

// score adds a row of figures, and beneath it the names of what went wrong.
func (t *table) score(title string, f, d *score) {
	t.row(title, f.changed, f.added, f.removed, f.line, f.readers, f.reported, f.reportedLine, len(f.missed), len(f.invented),
		len(f.lineAsChange), d.real(), d.reported, len(d.missed), len(d.invented))
	for _, s := range []struct {
		what  string
		names []string
	}{
		{"missed", f.missed}, {"invented", f.invented}, {"line number told as a change", f.lineAsChange}, {"undecided", f.undecided},
		{"missed", d.missed}, {"invented", d.invented},
	} {
		for _, name := range s.names {
			t.note(s.what, name)
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
	t := &table{}
	t.row("pair", "outcome", "acks", "refusals", "atomic")
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
			atomic = fmt.Sprint(f.atomic)
			if !f.atomic {
				notAtomic++
			}
		}
		if len(f.acks) > 0 {
			acks++
		}
		t.row(r.pair.String(), outcome, len(f.acks), len(f.refused), atomic)
		for _, why := range f.refused {
			t.note("refused", shorten(why))
		}
		for _, id := range f.acks {
			t.note("ack", id)
		}
	}
	t.write(out)
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

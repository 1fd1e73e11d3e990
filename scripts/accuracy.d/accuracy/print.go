package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// inventedLimit is what may be invented, as a share of what truly changed. Nothing may be missed.
const inventedLimit = 0.005

// nothing is the outcome of a patch to code that the build at hand does not have.
const nothing = "changes nothing in this build"

// print writes both tables and returns an error if the differ is not as exact as it must be.
func print(out io.Writer, results []result) error {
	var total, data score
	var failed []error
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "pair\tchanged\tadded\tremoved\tline\treaders\treported\tlines\tmissed\tinvented\tline as change\t"+
		"data\treported\tmissed\tinvented")
	for i := range results {
		r := &results[i]
		if r.err != nil {
			fmt.Fprintf(w, "%s\t%v\n", &r.pair, r.err)
			failed = append(failed, fmt.Errorf("%s: %w", &r.pair, r.err))
			continue
		}
		row(w, r.pair.String(), &r.functions, &r.data)
		for _, s := range []struct {
			what  string
			names []string
		}{
			{"missed", r.functions.missed}, {"invented", r.functions.invented}, {"line number told as a change", r.functions.lineAsChange},
			{"undecided", r.functions.undecided}, {"missed", r.data.missed}, {"invented", r.data.invented},
		} {
			for _, name := range s.names {
				fmt.Fprintf(w, "    %s: %s\n", s.what, name)
			}
		}
		total.add(&r.functions)
		data.add(&r.data)
	}
	row(w, fmt.Sprintf("%d pairs", len(results)), &total, &data)
	w.Flush()
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

func row(w io.Writer, title string, f, d *score) {
	fmt.Fprint(w, title)
	for _, n := range []int{
		f.changed, f.added, f.removed, f.line, f.readers, f.reported, f.reportedLine, len(f.missed), len(f.invented), len(f.lineAsChange),
		d.real(), d.reported, len(d.missed), len(d.invented),
	} {
		fmt.Fprintf(w, "\t%d", n)
	}
	fmt.Fprintln(w)
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
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "pair\toutcome\tacks\trefusals\tatomic")
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
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", &r.pair, outcome, len(f.acks), len(f.refused), atomic)
		for _, why := range f.refused {
			fmt.Fprintf(w, "    refused: %s\n", shorten(why))
		}
		for _, id := range f.acks {
			fmt.Fprintf(w, "    ack: %s\n", id)
		}
	}
	w.Flush()
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

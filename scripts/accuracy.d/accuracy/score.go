package main

import (
	"fmt"
	"slices"

	"hotpatch/internal/truth"
)

// score says how a report compares with the truth.
type score struct {
	changed, added, removed, line, readers, resized int // truly
	reported                                        int // without those that differ in line numbers only
	reportedLine                                    int
	missed, invented                                []string // with what they are
	lineAsChange                                    []string // differ in line numbers only, and were reported as changed
	undecided                                       []string
}

// real counts what truly differs in more than line numbers.
func (s *score) real() int { return s.changed + s.added + s.removed + s.resized }

// ledger keeps the lines of a report that nothing has accounted for yet.
type ledger []change

// take removes and returns the line about an item with one of the given kinds of change: by name and file, or by name if only
// one is left.
func (l *ledger) take(i *truth.Item, kinds ...string) bool {
	match := func(file bool) []int {
		var out []int
		for k, c := range *l {
			if slices.Contains(i.Names, c.Name) && slices.Contains(kinds, c.Change) && (!file || c.File == i.File) {
				out = append(out, k)
			}
		}
		return out
	}
	hits := match(true)
	if len(hits) == 0 {
		if hits = match(false); len(hits) > 1 {
			return false
		}
	}
	if len(hits) == 0 {
		return false
	}
	*l = slices.Delete(*l, hits[0], hits[0]+1)
	return true
}

// compareFunctions accounts for every function of the truth and of the report.
func compareFunctions(t *truth.Report, d *diffReport) score {
	var s score
	left := ledger(slices.Clone(d.Functions))
	for _, c := range left {
		if c.Change == "line" {
			s.reportedLine++
		} else {
			s.reported++
		}
	}
	for k := range t.Items {
		i := &t.Items[k]
		if i.Kind != "function" {
			continue
		}
		s.function(i, &left)
	}
	for _, c := range left {
		s.invented = append(s.invented, fmt.Sprintf("%s (%s): %s", c.Name, c.File, c.Change))
	}
	return s
}

func (s *score) function(i *truth.Item, left *ledger) {
	miss := func(format string, args ...any) {
		s.missed = append(s.missed, fmt.Sprintf("%s (%s): ", i.Name(), i.Object)+fmt.Sprintf(format, args...))
	}
	switch i.Change {
	case truth.Changed, truth.Undecided:
		if i.Change == truth.Undecided {
			s.undecided = append(s.undecided, i.Name()+": "+i.Why)
			if left.take(i, "line") {
				return
			}
		}
		s.changed++
		if left.take(i, "changed") {
			return
		}
		if left.take(i, "line") {
			miss("changed, and told for a line number")
			return
		}
		miss("changed")
	case truth.Added:
		s.added++
		if !left.take(i, "added") {
			miss("added")
		}
	case truth.Removed:
		s.removed++
		if !left.take(i, "removed") {
			miss("removed")
		}
	case truth.Line:
		s.line++
		if left.take(i, "line") {
			return
		}
		if left.take(i, "changed") {
			if len(i.Reads) == 0 {
				s.lineAsChange = append(s.lineAsChange, fmt.Sprintf("%s (%s)", i.Name(), i.Object))
			}
			return
		}
		miss("line number")
	default:
		s.readers++
		if !left.take(i, "changed") {
			miss("reads %v, of another size", i.Reads)
		}
	}
}

// compareData accounts for every constant and variable.
func compareData(t *truth.Report, d *diffReport) score {
	var s score
	left := ledger(slices.Clone(d.Data))
	s.reported = len(left)
	for k := range t.Items {
		i := &t.Items[k]
		if i.Kind == "function" {
			continue
		}
		kind := "changed"
		switch i.Change {
		case truth.Added:
			s.added++
			kind = "added"
		case truth.Removed:
			s.removed++
			kind = "removed"
		case truth.Resized:
			s.resized++
		default:
			s.changed++
		}
		if !left.take(i, kind) {
			s.missed = append(s.missed, fmt.Sprintf("%s %s (%s): %s", i.Kind, i.Name(), i.Object, i.Change))
		}
	}
	for _, c := range left {
		s.invented = append(s.invented, fmt.Sprintf("object %s (%s): %s", c.Name, c.File, c.Change))
	}
	return s
}

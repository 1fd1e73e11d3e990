package cli

import (
	"fmt"
	"strings"

	"hotpatch/elfdiff/patch"
)

const (
	// nearby is how many equal instructions are shown around those that differ, and foldFrom is how long a run of others must be to be left
	// out.
	nearby   = 4
	foldFrom = 4
	// Columns of one side where there is no terminal, which longer lines push to the right.
	minSide, maxSide = 40, 72
)

// listing is one function, old beside new.
type listing struct {
	title    string
	old, new []line
}

// sideBySide prints a listing. Without all, long runs of equal instructions are left out.
func (a *app) sideBySide(l *listing, all bool) {
	a.printf("\n%s", a.paint(bold, l.title))
	if len(l.old) == 0 && len(l.new) == 0 {
		a.printf("    it cannot be disassembled")
		return
	}
	rows := align(l.old, l.new)
	marks := marks(rows, l.old, l.new)
	shown := shownRows(marks, all)
	left := a.side(l.old)
	right := a.side(l.new)
	width := a.sideWidth(l.old, left)
	var lastOld, lastNew string // source
	hidden := 0
	for i, r := range rows {
		if !shown[i] {
			hidden++
			continue
		}
		if hidden > 0 {
			a.printf("    ... %s", count(hidden, "equal instruction"))
			hidden, lastOld, lastNew = 0, "", ""
		}
		a.row(marks[i], left.text(l.old, r.old, &lastOld), right.text(l.new, r.new, &lastNew), width)
	}
	if hidden > 0 {
		a.printf("    ... %s", count(hidden, "equal instruction"))
	}
}

// row prints one row.
func (a *app) row(mark, left, right string, width int) {
	if a.width > 0 {
		left, right = cutTo(left, width), cutTo(right, width)
	}
	s := strings.TrimRight("    "+pad(left, width)+" "+mark+" "+right, " ")
	if colour := map[string]string{"|": yellow, "<": red, ">": green}[mark]; colour != "" {
		s = a.paint(colour, s)
	}
	a.printf("%s", s)
}

// shownRows says which rows are shown: those that differ, what is near them, and what would leave out too little.
func shownRows(marks []string, all bool) []bool {
	shown := make([]bool, len(marks))
	near := len(marks) + nearby // rows since the last one that differs
	for pass := range 2 {
		for k := range marks {
			i := k
			if pass == 1 {
				i = len(marks) - 1 - k
			}
			near++
			if marks[i] != " " {
				near = 0
			}
			shown[i] = shown[i] || near <= nearby || all
		}
		near = len(marks) + nearby
	}
	for i := 0; i < len(marks); {
		end := i
		for end < len(marks) && !shown[end] {
			end++
		}
		if end-i < foldFrom {
			for k := i; k < end; k++ {
				shown[k] = true
			}
		}
		i = max(end, i+1)
	}
	return shown
}

// side is how one side of a listing is shown.
type side struct {
	a      *app
	file   string // the file that most lines are from: only others are named
	source int    // columns of the source's line
}

func (a *app) side(lines []line) *side {
	s := &side{a: a}
	for i := range lines {
		if file, _, ok := strings.Cut(lines[i].source, ":"); ok {
			s.file = file
			break
		}
	}
	for i := range lines {
		s.source = max(s.source, len([]rune(s.label(lines[i].source))))
	}
	return s
}

// label returns the place of the source, without the file if that is the function's.
func (s *side) label(source string) string {
	file, number, ok := strings.Cut(source, ":")
	if ok && file == s.file {
		return number
	}
	return clean(source)
}

// text returns a line as it is shown; its source only where that is another than in the line before.
func (s *side) text(lines []line, i int, last *string) string {
	if i < 0 {
		return ""
	}
	ln := &lines[i]
	label := ""
	if ln.source != *last {
		*last, label = ln.source, s.label(ln.source)
	}
	text := fmt.Sprintf("%5x  ", ln.off)
	if s.source > 0 {
		text += pad(label, s.source) + "  "
	}
	if ln.part != "" {
		text += "[" + s.a.name(ln.part) + "] "
	}
	return text + ln.text
}

// sideWidth returns the columns of the left side.
func (a *app) sideWidth(old []line, s *side) int {
	const around = 4 + 3 // the margin, and the mark between the sides
	if a.width > 0 {
		return max((a.width-around)/2, 20)
	}
	width := minSide
	last := ""
	for i := range old {
		if n := len([]rune(s.text(old, i, &last))); n <= maxSide {
			width = max(width, n)
		}
	}
	return width
}

// cutTo shortens a text to a number of columns.
func cutTo(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// rowJSON is a row of a listing for programs.
type rowJSON struct {
	Mark string    `json:"mark"` // " " the same, "|" changed, "<" only old, ">" only new
	Old  *lineJSON `json:"old,omitempty"`
	New  *lineJSON `json:"new,omitempty"`
}

type lineJSON struct {
	Part   string `json:"part,omitempty"` // link name of the part that begins here, if it is not the first
	Off    uint64 `json:"offset"`         // from the start of its part
	Source string `json:"source,omitempty"`
	Text   string `json:"text"`
}

func (l *listing) json() []rowJSON {
	rows := align(l.old, l.new)
	marks := marks(rows, l.old, l.new)
	out := make([]rowJSON, len(rows))
	of := func(lines []line, i int) *lineJSON {
		if i < 0 {
			return nil
		}
		return &lineJSON{lines[i].part, lines[i].off, lines[i].source, lines[i].text}
	}
	for i, r := range rows {
		out[i] = rowJSON{marks[i], of(l.old, r.old), of(l.new, r.new)}
	}
	return out
}

// patchListing lists a function of a patch.
func (l *lister) patchListing(p *patch.Patch, i int, title string) *listing {
	return &listing{title: title, old: l.lines(oldCode(p, i)), new: l.lines(newCode(p, i))}
}

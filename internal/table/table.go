// Package table prints figures in columns.
package table

import (
	"fmt"
	"io"
	"strings"
)

// Table is text in columns, as wide as they must be: the first is flush left, the others are flush right. The zero value is an empty one.
type Table struct {
	rows []row
}

type row struct {
	cells []string
	notes []string // lines beneath it
}

// Row adds a row.
func (t *Table) Row(title string, cells ...any) {
	r := row{cells: []string{title}}
	for _, c := range cells {
		r.cells = append(r.cells, fmt.Sprint(c))
	}
	t.rows = append(t.rows, r)
}

// Note writes a line beneath the last row.
func (t *Table) Note(text string) {
	last := &t.rows[len(t.rows)-1]
	last.notes = append(last.notes, text)
}

// Write prints the table.
func (t *Table) Write(out io.Writer) {
	var widths []int
	for i := range t.rows {
		for k, cell := range t.rows[i].cells {
			if k == len(widths) {
				widths = append(widths, 0)
			}
			widths[k] = max(widths[k], len(cell))
		}
	}
	for i := range t.rows {
		r := &t.rows[i]
		line := fmt.Sprintf("%-*s", widths[0], r.cells[0])
		for k, cell := range r.cells[1:] {
			line += fmt.Sprintf("  %*s", widths[k+1], cell)
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
		for _, n := range r.notes {
			fmt.Fprintln(out, "    "+n)
		}
	}
}

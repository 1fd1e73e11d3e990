package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"hotpatch/elfdiff/patch"
)

// jsonVersion is the "version" field of everything that --json prints. It changes when a
// field is removed or changes its meaning.
const jsonVersion = 2

// json prints v, which has a "version" field, on stdout. A failed write is seen in [Run].
func (a *app) json(v any) {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v)
}

// filled returns s, or an empty slice for nil, so that JSON has a list and never null.
func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// printf prints a line of the result. Names from files and processes go through
// [clean] or [display] first.
func (a *app) printf(format string, args ...any) {
	fmt.Fprintf(a.out, format+"\n", args...)
}

// note prints a line beside the result.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// terminalWidth returns the columns of a terminal; 0 for anything else.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col) // 0 where the terminal does not know
}

// The SGR colours (ECMA-48 8.3.117) of verdicts and headings.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint gives s a colour if the output takes one.
func (a *app) paint(colour, s string) string {
	if !a.color {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// verdict returns a verdict as it is shown, width columns wide.
func (a *app) verdict(v patch.Verdict, width int) string {
	colour := map[patch.Verdict]string{patch.OK: green, patch.NeedAck: yellow, patch.Refused: red}[v]
	return a.paint(colour, fmt.Sprintf("%-*s", width, clean(string(v))))
}

// clean replaces what could steer a terminal. Names come from ELF files and from
// processes, and anyone can have made those.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// pad returns s, width columns wide; longer strings are kept whole.
func pad(s string, width int) string {
	if n := len([]rune(s)); n < width {
		return s + strings.Repeat(" ", width-n)
	}
	return s
}

// column returns the width that most of the strings fit in, at most limit.
func column(limit int, all ...string) int {
	width := 0
	for _, s := range all {
		if n := len([]rune(s)); n <= limit {
			width = max(width, n)
		}
	}
	return width
}

// bytesText returns a number of bytes for people.
func bytesText(n uint64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// count returns "1 function" or "2 functions".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %s", n, plural(what))
}

// plural is the word for several of what.
func plural(what string) string {
	if what == "data" {
		return what
	}
	return what + "s"
}

// ms returns a time in milliseconds.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d.Nanoseconds())/1e6)
}

func itoa(n int) string { return strconv.Itoa(n) }

// hexAddr returns an address.
func hexAddr(v uint64) string { return fmt.Sprintf("%#x", v) }

// base returns the last element of a path.
func base(path string) string { return filepath.Base(path) }

// short abbreviates a patch id in its hexadecimal form.
func short(id string) string { return clean(id[:min(len(id), 12)]) }

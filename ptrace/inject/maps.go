package inject

import (
	"bytes"
	"errors"
	"slices"

	"hotpatch/arch"
	"hotpatch/ptrace"
)

// mappingAt returns the mapping that holds a, or nil. maps is in increasing order.
func mappingAt(maps []ptrace.Mapping, a arch.Addr) *ptrace.Mapping {
	lo, hi := 0, len(maps)
	for lo < hi {
		mid := (lo + hi) / 2
		if maps[mid].End <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(maps) && maps[lo].Start <= a {
		return &maps[lo]
	}
	return nil
}

// spanTable is what the stop reads from /proc/PID/maps: where stacks can be, and a
// fingerprint of everything that the plan relied on. It is filled without allocation: the
// capacity of spans bounds how many writable mappings it takes.
type spanTable struct {
	spans []span
	main  int    // index of [stack]; -1: none
	print uint64 // fingerprint of the relevant lines
	code  []span // mappings without a name that the plan took for a module's or a payload's code
	there int    // how many of code are mapped, readable and executable
}

// newSpanTable returns a table with room for the mappings of text.
func newSpanTable(text []byte) spanTable {
	return spanTable{spans: make([]span, 0, bytes.Count(text, []byte{'\n'})+1), main: -1}
}

// span is a readable and writable mapping.
type span struct{ start, end arch.Addr }

var (
	errMapsLine     = errors.New("/proc/PID/maps: a line is not understood")
	errManyMappings = errors.New("/proc/PID/maps: more mappings than there is room for")
)

// fill parses text, the content of /proc/PID/maps.
func (t *spanTable) fill(text []byte) error {
	t.spans, t.main, t.there = t.spans[:0], -1, 0
	h := uint64(fnvOffset)
	for len(text) > 0 {
		line, rest := text, []byte(nil)
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, rest = text[:i], text[i+1:]
		}
		text = rest
		l, ok := cutMapping(line)
		if !ok {
			return errMapsLine
		}
		if string(l.perm[:]) == "r-xp" && slices.Contains(t.code, span{l.start, l.end}) {
			t.there++
		}
		if l.relevant() {
			for _, c := range line {
				h = (h ^ uint64(c)) * fnvPrime
			}
		}
		if l.perm[0] != 'r' || l.perm[1] != 'w' {
			continue
		}
		if len(t.spans) == cap(t.spans) {
			return errManyMappings
		}
		if string(l.path) == "[stack]" {
			t.main = len(t.spans)
		}
		t.spans = append(t.spans, span{l.start, l.end})
	}
	t.print = h
	return nil
}

// FNV-1a, 64 bits (draft-eastlake-fnv).
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// mapLine is a line of /proc/PID/maps, cut but not copied.
type mapLine struct {
	start, end arch.Addr
	perm       [4]byte
	inode      uint64
	path       []byte
}

// cutMapping cuts "START-END PERM OFFSET DEV INODE PATH".
func cutMapping(line []byte) (l mapLine, ok bool) {
	start, line, ok1 := number(line, 16, '-')
	end, line, ok2 := number(line, 16, ' ')
	if !ok1 || !ok2 || end <= start || len(line) < 5 || line[4] != ' ' {
		return l, false
	}
	l.start, l.end = arch.Addr(start), arch.Addr(end)
	copy(l.perm[:], line)
	_, line, ok1 = number(line[5:], 16, ' ')
	i := bytes.IndexByte(line, ' ') // DEV
	if !ok1 || i < 0 {
		return l, false
	}
	l.inode, line, ok = number(line[i+1:], 10, ' ')
	l.path = bytes.TrimLeft(line, " ")
	return l, ok
}

// number cuts an unsigned number in the given base that ends at sep, or at the end of b.
func number(b []byte, base uint64, sep byte) (v uint64, rest []byte, ok bool) {
	for i, c := range b {
		d := uint64(99)
		switch {
		case c == sep:
			return v, b[i+1:], i > 0
		case '0' <= c && c <= '9':
			d = uint64(c - '0')
		case 'a' <= c && c <= 'f':
			d = uint64(c-'a') + 10
		}
		if d >= base || i >= 20 {
			return 0, nil, false
		}
		v = v*base + d
	}
	return v, nil, len(b) > 0
}

// relevant reports whether a line belongs to the plan's generation: code of files and the vDSO. Every module has
// some. Heaps, stacks, mapped files and generated code come and go and do not count, and neither do the mappings
// that the transaction itself makes. Nameless code that the plan relies on is counted apart.
func (l *mapLine) relevant() bool { return l.perm[2] == 'x' && len(l.path) > 0 }

// find returns the index of the span that holds a, or -1.
func (t *spanTable) find(a arch.Addr) int {
	lo, hi := 0, len(t.spans)
	for lo < hi {
		mid := (lo + hi) / 2
		if t.spans[mid].end <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(t.spans) && t.spans[lo].start <= a {
		return lo
	}
	return -1
}

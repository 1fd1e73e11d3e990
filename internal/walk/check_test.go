package walk

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"hotpatch/ptrace"
	"hotpatch/ptrace/inject"
)

// check compares the process with the model: what is listed, what every function answers, the bytes, the memory.
func (w *walker) check() {
	w.t.Helper()
	s, err := inject.Inspect(w.pid, nil)
	if err != nil {
		w.fatalf("list: %v", err)
	}
	w.checkList(s)
	if got, want := w.v.Ask("ask"), w.answerOf(w.forms()); got != want {
		w.fatalf("the program answers\n%s\nwant\n%s", got, want)
	}
	w.checkText(s)
	w.checkMemory()
}

// checkList compares the list with the model.
func (w *walker) checkList(s *inject.Status) {
	w.t.Helper()
	var have, want []string
	for _, p := range s.Patches {
		if p.State == "applied" {
			have = append(have, p.ID)
		} else if p.State != "reverted" {
			w.fatalf("list: patch %s is %s", p.ID, p.State)
		}
	}
	for _, l := range w.model.inForce() {
		want = append(want, l.file.ID.String())
	}
	if missing := strings.Contains(strings.Join(s.Notes, "\n"), "is missing under"); missing != (w.model.hole() >= 0) {
		w.fatalf("list: notes %q", s.Notes)
	}
	if !slices.Equal(have, want) || len(s.Attention) > 0 {
		w.fatalf("list: %v, want %v; %q", have, want, s.Attention)
	}
}

// text is what the program's mappings of its file hold that it cannot write to.
type text map[ptrace.Mapping][]byte

// text reads the program's.
func (w *walker) text() text {
	w.t.Helper()
	p := w.open()
	defer p.Close()
	all, err := p.Maps()
	if err != nil {
		w.fatalf("%v", err)
	}
	out := make(text)
	for _, m := range all {
		if strings.HasSuffix(m.Path, "/walk") && m.Perm&ptrace.PermWrite == 0 {
			b := make([]byte, m.End-m.Start)
			if err := p.ReadMem(b, m.Start); err != nil {
				w.fatalf("%v", err)
			}
			out[m] = b
		}
	}
	if len(out) == 0 {
		w.fatalf("no text of the program is mapped")
	}
	return out
}

func (w *walker) open() *ptrace.Process {
	w.t.Helper()
	p, err := ptrace.Open(w.pid, nil)
	if err != nil {
		w.fatalf("%v", err)
	}
	return p
}

// prelude is how many bytes at the entry of a replaced function may differ: a landing pad and a jump.
const prelude = 4 + 5

// checkText compares the text with what it was in the beginning. Only the first bytes of functions that are replaced may differ, and constants
// where one is renewed.
func (w *walker) checkText(s *inject.Status) {
	w.t.Helper()
	now := w.text()
	if len(now) != len(w.clean) {
		w.fatalf("the program has %d mappings of its file, not %d", len(now), len(w.clean))
	}
	consts := false
	for _, p := range s.Patches {
		if p.State != "applied" {
			continue
		}
		consts = consts || len(p.Consts) > 0
		for _, f := range p.Funcs {
			if f.Change != "changed" {
				continue
			}
			for m, b := range now {
				if f.Entry >= m.Start && f.Entry < m.End {
					at := f.Entry - m.Start
					copy(b[at:at+prelude], w.clean[m][at:])
				}
			}
		}
	}
	for m, b := range now {
		if consts && m.Perm&ptrace.PermExec == 0 {
			continue
		}
		if !bytes.Equal(b, w.clean[m]) {
			off := 0
			for b[off] == w.clean[m][off] {
				off++
			}
			w.fatalf("the program's own bytes differ at %#x, %#x of %s", uint64(m.Start)+uint64(off), off, m.Path)
		}
	}
}

// memory is what a process may use.
type memory struct {
	base  map[string]bool // mappings that it had in the beginning
	files int             // open descriptors
	seen  map[string]bool // patches that were applied, each with those below it
	bytes uint64          // of payloads: no more than what these need
}

func (m *memory) clone() memory {
	return memory{base: m.base, files: m.files, seen: maps.Clone(m.seen), bytes: m.bytes}
}

// inherit adds the mappings that a child has made for itself to those of the beginning.
func (m *memory) inherit(before, after map[string]bool) {
	m.base = maps.Clone(m.base)
	for line := range after {
		if !before[line] {
			m.base[line] = true
		}
	}
}

// maps lists the mappings of the process, by range, protection and name; those of its file and of libraries by start and name.
func (w *walker) maps() map[string]bool {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", w.pid))
	if err != nil {
		w.fatalf("%v", err)
	}
	out := make(map[string]bool)
	for line := range strings.Lines(string(b)) {
		out[strings.TrimSpace(line)] = true
	}
	return out
}

func (w *walker) files() int {
	w.t.Helper()
	d, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.pid))
	if err != nil {
		w.fatalf("%v", err)
	}
	return len(d)
}

// checkMemory holds the memory that patches use to what the patches need: a payload for each way in which a patch was linked, a journal for
// each of them at most.
func (w *walker) checkMemory() {
	w.t.Helper()
	m := &w.model.memory
	fresh := false
	below := ""
	for _, l := range w.model.path {
		below += " " + l.String()
		fresh = fresh || !m.seen[below]
		m.seen[below] = true
	}
	if n := w.files(); n != m.files {
		w.fatalf("%d descriptors are open, %d were", n, m.files)
	}
	bytes, journals := uint64(0), 0
	for line := range w.maps() {
		if m.base[line] {
			continue
		}
		var start, end uint64
		var perm string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &perm); err != nil {
			w.fatalf("%q: %v", line, err)
		}
		switch {
		case strings.Contains(line, "hotpatch-journal"):
			journals++
		case strings.Contains(perm, "w") && strings.Contains(perm, "x"):
			w.fatalf("writable and executable: %s", line)
		default:
			bytes += end - start
		}
	}
	if !fresh && bytes > m.bytes {
		w.fatalf("%d bytes of payloads, %d were enough before", bytes, m.bytes)
	}
	m.bytes = max(m.bytes, bytes)
	if journals > len(m.seen) {
		w.fatalf("%d journals for %d payloads", journals, len(m.seen))
	}
}

// payloads lists the mappings that patches have made, journals aside.
func (w *walker) payloads() []string {
	w.t.Helper()
	var out []string
	for line := range w.maps() {
		if !w.model.memory.base[line] && !strings.Contains(line, "hotpatch-journal") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

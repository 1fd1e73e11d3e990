package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"hotpatch/elfdiff/image"
	"hotpatch/ptrace/inject"
)

// phases collects what --time shows. A name with a slash is of a part of another phase: "load/old/symbols".
type phases []inject.Phase

// add appends a phase. It may be called from one goroutine at a time.
func (p *phases) add(name string, d time.Duration) {
	*p = append(*p, inject.Phase{Name: name, Duration: d})
}

// phaseRecorder collects phases from several goroutines.
type phaseRecorder struct {
	mu sync.Mutex
	phases
}

func (r *phaseRecorder) add(name string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phases.add(name, d)
}

// under returns an add for the parts of a phase.
func (r *phaseRecorder) under(name string) func(string, time.Duration) {
	return func(part string, d time.Duration) { r.add(name+"/"+part, d) }
}

// tree returns the phases in the order of their ends, each with its parts behind it.
func (p phases) tree() phases {
	var out phases
	var visit func(parent string)
	visit = func(parent string) {
		for _, ph := range p {
			at := strings.LastIndexByte(ph.Name, '/')
			if ph.Name[:max(at, 0)] == parent {
				out = append(out, ph)
				visit(ph.Name)
			}
		}
	}
	visit("")
	return out
}

// times prints the phases as a tree and the time since the program started. code is what they worked on, in bytes of instructions; 0 if
// that says nothing of their speed.
func (a *app) times(p phases, code uint64) {
	const rate = 1e6 // bytes: MB are decimal
	label := func(name string) string {
		depth := strings.Count(name, "/")
		return strings.Repeat("  ", depth) + name[strings.LastIndexByte(name, '/')+1:]
	}
	width := len("total")
	for _, ph := range p {
		width = max(width, len(label(ph.Name)))
	}
	show := func(name string, d time.Duration, speed bool) {
		s := fmt.Sprintf("%s %12s", pad(label(name), width), ms(d))
		if speed && code > 0 && d > 0 {
			s += fmt.Sprintf("  %8.0f MB of code/s", float64(code)/rate/d.Seconds())
		}
		a.note("%s", s)
	}
	for _, ph := range p.tree() {
		show(ph.Name, ph.Duration, !strings.Contains(ph.Name, "/"))
	}
	show("total", time.Since(a.start), true)
}

// codeSize returns the bytes of an image's executable sections.
func codeSize(im *image.Image) uint64 {
	var n uint64
	for _, s := range im.Sections {
		if s.Exec() {
			n += s.Size
		}
	}
	return n
}

// patience is how long work may last before what is being done is shown.
const patience = time.Second

// progress shows what is being done on one line that is overwritten, on a terminal only, and only once the command has been at work for
// [app.patience]. The second function removes the line.
func (a *app) progress() (show func(string), end func()) {
	if !a.live {
		return func(string) {}, func() {}
	}
	var mu sync.Mutex
	text, shown, ended := "", false, false
	draw := func() {
		shown = true
		fmt.Fprintf(a.err, "\r\x1b[K%s", clean(text))
	}
	late := time.AfterFunc(a.patience-time.Since(a.start), func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended && !shown && text != "" {
			draw()
		}
	})
	show = func(s string) {
		mu.Lock()
		defer mu.Unlock()
		if text = s; time.Since(a.start) >= a.patience {
			draw()
		}
	}
	end = func() {
		late.Stop()
		mu.Lock()
		defer mu.Unlock()
		if ended = true; shown {
			fmt.Fprint(a.err, "\r\x1b[K")
		}
	}
	return show, end
}

package walk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

// edge is a patch from one version to another.
type edge struct {
	from, to int
	file     *patch.File
}

func (e *edge) String() string { return fmt.Sprintf("%d-%d", e.from, e.to) }

// link is a patch in the model of a process.
type link struct {
	*edge
	stop int  // number of the transaction that brought it
	out  bool // reverted from under later ones
}

// model is what a process has to have.
type model struct {
	path   []link // in force, oldest first, and those that are missing between them
	memory memory // at the start, and of what the patches need
}

// none is the version of a process that runs none, as a patch is missing below others.
const none = -1

// version is which version the process runs.
func (m *model) version() int {
	n := len(m.path)
	switch {
	case m.hole() >= 0:
		return none
	case n > 0:
		return m.path[n-1].to
	}
	return 0
}

// hole is the index of the oldest patch that is missing, or -1.
func (m *model) hole() int { return slices.IndexFunc(m.path, func(l link) bool { return l.out }) }

// inForce are the patches that are.
func (m *model) inForce() []link {
	return slices.DeleteFunc(slices.Clone(m.path), func(l link) bool { return l.out })
}

// without takes patches out.
func (m *model) without(gone func(link) bool) {
	for i := range m.path {
		m.path[i].out = m.path[i].out || gone(m.path[i])
	}
	for n := len(m.path); n > 0 && m.path[n-1].out; n-- {
		m.path = m.path[:n-1]
	}
}

// walker is a random walk.
type walker struct {
	t        *testing.T
	seed     uint64
	rand     *rand.Rand
	versions []Version
	edges    []*edge
	answers  map[[Groups]int]string // of programs with these forms
	v        *victim.Victim
	pid      int
	model    model
	parents  []parent // that wait for their child
	clean    text     // of the program, unpatched
	stops    int
	doing    string // for messages
	counts   map[string]int
}

// parent is a process that waits.
type parent struct {
	pid   int
	model model
}

// newWalker starts a walk. It has a patch from each version to the next, and so many that skip some.
func newWalker(t *testing.T, seed uint64, skips int) *walker {
	versionCount := victim.Scale(20, 6)
	w := &walker{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 3)), versions: Versions(seed, versionCount),
		answers: make(map[[Groups]int]string), counts: make(map[string]int)}
	for i := 1; i < versionCount; i++ {
		w.connect(i-1, i)
	}
	for range skips {
		from := w.rand.IntN(versionCount - 3)
		if w.rand.IntN(2) == 0 {
			from = 0
		}
		w.connect(from, from+2+w.rand.IntN(versionCount-from-2))
	}
	w.v = victim.Start(t, w.build(&w.versions[0]))
	w.pid = w.v.PID
	w.model.memory.base = w.maps()
	w.model.memory.files = w.files()
	w.model.memory.seen = make(map[string]bool)
	w.clean = w.text()
	w.check()
	return w
}

// connect makes a patch, unless there is one.
func (w *walker) connect(from, to int) {
	if slices.ContainsFunc(w.edges, func(e *edge) bool { return e.from == from && e.to == to }) {
		return
	}
	f := builds.Patch(w.t, w.build(&w.versions[from]), w.build(&w.versions[to]))
	w.edges = append(w.edges, &edge{from: from, to: to, file: f})
}

// build builds a version. Constants move from one to the next: reached from one anchor for several, as gcc for arm64 has it, they would be ambiguous.
func (w *walker) build(v *Version) string {
	source := v.Source()
	// The bytes of the text's mapping are compared, in which ld for arm64 would put the constants, too.
	flags := []string{"-O2", "-g", "-pthread", "-fno-section-anchors", "-Wl,--build-id,--emit-relocs,-z,separate-code"}
	dir := victim.Cached(w.t, "gcc", append([]string{source}, flags...), func(dir string) []string {
		if err := os.WriteFile(filepath.Join(dir, "walk.c"), []byte(source), 0o644); err != nil {
			w.t.Fatal(err)
		}
		return append([]string{"-o", "walk", "walk.c"}, flags...)
	})
	return filepath.Join(dir, "walk")
}

// answerOf is what a program with these forms answers that was never patched.
func (w *walker) answerOf(forms [Groups]int) string {
	if s, ok := w.answers[forms]; ok {
		return s
	}
	v := Version{Forms: forms, Order: w.versions[0].Order}
	p := victim.Start(w.t, w.build(&v))
	w.answers[forms] = p.Ask("ask")
	p.End()
	return w.answers[forms]
}

// forms are those that the model has in force.
func (w *walker) forms() [Groups]int {
	forms := w.versions[0].Forms
	for _, l := range w.model.inForce() {
		for _, g := range w.versions[l.from].Changed(&w.versions[l.to]) {
			forms[g] = w.versions[l.to].Forms[g]
		}
	}
	return forms
}

// options are those of every transaction: the functions are busy at times.
func (w *walker) options() inject.Options {
	return inject.Options{Wait: 20 * time.Second, User: "walk"}
}

// apply applies patches, which must succeed, and brings them into the model in the order of path.
func (w *walker) apply(path []*edge, files []*patch.File) {
	w.t.Helper()
	r, err := inject.Apply(context.Background(), w.pid, files, w.options())
	if err != nil {
		w.fatalf("apply %v: %v", path, err)
	}
	if !r.Done {
		w.fatalf("apply %v: nothing was done: %+v", path, r)
	}
	w.stops++
	for _, e := range path {
		w.model.path = append(w.model.path, link{edge: e, stop: w.stops})
	}
}

// onward are the patches that lead on from a version.
func (w *walker) onward(from int) []*edge {
	var out []*edge
	for _, e := range w.edges {
		if e.from == from {
			out = append(out, e)
		}
	}
	return out
}

func (w *walker) applyOne() bool {
	next := w.onward(w.model.version())
	if len(next) == 0 {
		return false
	}
	e := pick(w.rand, next)
	w.apply([]*edge{e}, []*patch.File{e.file})
	return true
}

// way is a random way of patches from a version on, of at most n.
func (w *walker) way(from, n int) []*edge {
	var out []*edge
	for next := w.onward(from); len(out) < n && len(next) > 0; next = w.onward(from) {
		e := pick(w.rand, next)
		out, from = append(out, e), e.to
	}
	return out
}

func (w *walker) shuffled(path []*edge) []*patch.File {
	files := make([]*patch.File, 0, len(path))
	for _, e := range path {
		files = append(files, e.file)
	}
	w.rand.Shuffle(len(files), func(i, k int) { files[i], files[k] = files[k], files[i] })
	return files
}

// applySeveral applies patches that lead on from one another in one stop, given in any order.
func (w *walker) applySeveral() bool {
	path := w.way(w.model.version(), 2+w.rand.IntN(3))
	if len(path) < 2 {
		return false
	}
	w.apply(path, w.shuffled(path))
	return true
}

// applyAgain applies what is in force already.
func (w *walker) applyAgain() bool {
	have := w.model.inForce()
	if len(have) == 0 {
		return false
	}
	r, err := inject.Apply(context.Background(), w.pid, []*patch.File{pick(w.rand, have).file}, w.options())
	if err != nil || r.Done {
		w.fatalf("applied again: %v, %+v", err, r)
	}
	return true
}

// applyForeign applies a patch for another version than the one that runs.
func (w *walker) applyForeign() bool {
	e := pick(w.rand, w.edges)
	if e.from == w.model.version() || slices.ContainsFunc(w.model.path, func(l link) bool { return l.edge == e }) {
		return false
	}
	if _, err := inject.Apply(context.Background(), w.pid, []*patch.File{e.file}, w.options()); !errors.Is(err, patch.ErrRefused) {
		w.fatalf("apply %v: %v, want a refusal", e, err)
	}
	return true
}

// revertNewest reverts what the newest transaction applied.
func (w *walker) revertNewest() bool {
	if len(w.model.path) == 0 {
		return false
	}
	newest := slices.MaxFunc(w.model.inForce(), func(a, b link) int { return a.stop - b.stop }).stop
	return w.revert("newest", func(l link) bool { return l.stop == newest }, func() (*inject.Report, error) {
		return inject.Revert(context.Background(), w.pid, "", w.options())
	})
}

// revert reverts patches. What is not below a later one goes; what is, goes or is refused, and then nothing has changed.
func (w *walker) revert(what string, goes func(link) bool, do func() (*inject.Report, error)) bool {
	w.t.Helper()
	below, seen := false, false
	for _, l := range w.model.inForce() {
		below = below || seen && !goes(l)
		seen = seen || goes(l)
	}
	r, err := do()
	switch {
	case err == nil && !r.Done:
		w.fatalf("revert %s: nothing was done: %+v", what, r)
	case err == nil:
		if below {
			w.counts["taken out"]++
		}
		w.model.without(goes)
	case below && errors.Is(err, patch.ErrRefused):
		w.counts["not independent"]++
	default:
		w.fatalf("revert %s: %v", what, err)
	}
	return true
}

// revertAny reverts some of the patches that are in force.
func (w *walker) revertAny() bool {
	have := w.model.inForce()
	if len(have) == 0 {
		return false
	}
	w.rand.Shuffle(len(have), func(i, k int) { have[i], have[k] = have[k], have[i] })
	have = have[:1+w.rand.IntN(min(3, len(have)))]
	var ids []string
	for _, l := range have {
		ids = append(ids, l.file.ID.String()[:16])
	}
	return w.revert(fmt.Sprint(have), func(l link) bool { return slices.Contains(have, l) }, func() (*inject.Report, error) {
		return inject.RevertIDs(context.Background(), w.pid, ids, w.options())
	})
}

// revertAll reverts everything.
func (w *walker) revertAll() bool {
	if len(w.model.path) == 0 {
		return false
	}
	return w.revert("all", func(link) bool { return true }, func() (*inject.Report, error) {
		return inject.RevertAll(context.Background(), w.pid, w.options())
	})
}

// fill applies again what is missing below others: the oldest first, or all at once.
func (w *walker) fill() bool {
	n := w.model.hole()
	if n < 0 {
		return false
	}
	files := []*patch.File{w.model.path[n].file}
	w.stops++
	w.model.path[n].out, w.model.path[n].stop = false, w.stops
	for i := n + 1; i < len(w.model.path) && w.rand.IntN(2) == 0; i++ {
		if l := &w.model.path[i]; l.out {
			files = append(files, l.file)
			l.out, l.stop = false, w.stops
		}
	}
	r, err := inject.Apply(context.Background(), w.pid, files, w.options())
	if err != nil || !r.Done {
		w.fatalf("apply what is missing: %v, %+v", err, r)
	}
	return true
}

// replace goes to a set of patches from whatever there is: one that leads from the first version to another, or some of those in force.
func (w *walker) replace() bool {
	way := w.way(0, 1+w.rand.IntN(5))
	have := w.model.inForce()
	part := w.rand.IntN(4) == 0 && len(have) > 1
	if part {
		way = way[:0]
		for _, l := range have {
			if w.rand.IntN(3) > 0 {
				way = append(way, l.edge)
			}
		}
	}
	if len(way) == 0 {
		return false
	}
	opt := w.options()
	for g := range Groups {
		opt.Acks = append(opt.Acks, fmt.Sprintf("anew:own%d", g), fmt.Sprintf("anew:zero%d", g))
	}
	wanted := func(l link) bool { return slices.Contains(way, l.edge) }
	r, err := inject.Replace(context.Background(), w.pid, w.shuffled(way), opt)
	if part && errors.Is(err, patch.ErrRefused) {
		w.counts["not independent"]++
		return true
	}
	if err != nil {
		w.fatalf("replace by %v: %v", way, err)
	}
	same := len(have) == len(way) && !slices.ContainsFunc(have, func(l link) bool { return !wanted(l) })
	if r.Done == same {
		w.fatalf("replace by %v: %+v", way, r)
	}
	w.stops++
	if part {
		w.model.without(func(l link) bool { return !wanted(l) })
		return true
	}
	old := w.model.path
	w.model.path = nil
	kept := true
	for i, e := range way {
		l := link{edge: e, stop: w.stops}
		if kept = kept && i < len(old) && old[i].edge == e; kept && !old[i].out {
			l.stop = old[i].stop
		}
		w.model.path = append(w.model.path, l)
	}
	return true
}

// fork goes on in a child of the process.
func (w *walker) fork() bool {
	if len(w.parents) == 3 {
		return false
	}
	before := w.maps()
	child, err := strconv.Atoi(w.v.Ask("fork"))
	if err != nil {
		w.fatalf("fork: %v", err)
	}
	w.parents = append(w.parents, parent{w.pid, w.model.clone()})
	w.pid = child
	w.model.memory.inherit(before, w.maps())
	return true
}

// end ends a child, and goes on in its parent.
func (w *walker) end() bool {
	n := len(w.parents)
	if n == 0 {
		return false
	}
	p := w.parents[n-1]
	w.parents = w.parents[:n-1]
	if got := w.v.Ask("end"); got != strconv.Itoa(p.pid) {
		w.fatalf("end: %q, want process %d", got, p.pid)
	}
	w.pid, w.model = p.pid, p.model
	return true
}

// leave reverts everything in the process and its parents, and ends them.
func (w *walker) leave() {
	w.t.Helper()
	w.doing = "at the end"
	for {
		if w.revertAll() {
			w.check()
		}
		if !w.end() {
			break
		}
	}
	w.v.Send("end")
	w.v.End()
}

func (m *model) clone() model {
	return model{path: slices.Clone(m.path), memory: m.memory.clone()}
}

func (w *walker) fatalf(format string, args ...any) {
	w.t.Helper()
	var path []string
	for _, l := range w.model.path {
		path = append(path, l.String()+map[bool]string{true: "(missing)"}[l.out])
	}
	w.t.Fatalf("%s (process %d, before it in force: %s): %s", w.doing, w.pid, strings.Join(path, " "), fmt.Sprintf(format, args...))
}

package kvload

import (
	"fmt"
	"sync"
)

// versions is a set of server versions, bit v for version v.
type versions uint

func only(v int) versions         { return 1 << v }
func between(lo, hi int) versions { return 1<<(hi+1) - 1<<lo }
func (s versions) has(v int) bool { return s>>v&1 != 0 }
func (s versions) String() string { return fmt.Sprintf("%v", s.list()) }
func (s versions) list() (l []int) {
	for v := range 64 {
		if s.has(v) {
			l = append(l, v)
		}
	}
	return l
}

const (
	newest = 4
	every  = versions(1<<(newest+1) - 2)
)

// window says which versions may answer now: one, or two while a change is going on.
type window struct {
	mu       sync.Mutex
	from, to int
	arrived  bool // a reply that only version to gives has been seen
}

// moment is the state of a window when a request was sent.
type moment struct {
	from, to int
	arrived  bool
}

func (w *window) now() moment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return moment{w.from, w.to, w.arrived}
}

func (w *window) open(to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to, w.arrived = to, false
}

// close ends a change that succeeded or failed. It returns an error if the change failed
// and yet a reply of the new version was seen.
func (w *window) close(succeeded bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	arrived := w.arrived
	w.arrived = false
	if succeeded {
		w.from = w.to
		return nil
	}
	to := w.to
	w.to = w.from
	if arrived {
		return fmt.Errorf("the change from version %d to %d failed, but replies of version %d were seen", w.from, to, to)
	}
	return nil
}

// check judges a reply that versions got give, to a request sent at the moment sent.
func (w *window) check(sent moment, got versions) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	allowed := only(sent.to) | only(w.from) | only(w.to)
	if !sent.arrived {
		allowed |= only(sent.from)
	} else if w.from == sent.from && w.to == sent.to {
		allowed &^= only(sent.from)
	}
	if got&allowed == 0 {
		return fmt.Errorf("a reply of version %v, where %v may answer", got, allowed)
	}
	if w.from != w.to && !got.has(w.from) && got.has(w.to) {
		w.arrived = true
	}
	return nil
}

// atLeast reports whether no version before v can answer now.
func (w *window) atLeast(v int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return min(w.from, w.to) >= v
}

package inject

import (
	"log/slog"
	"time"

	"hotpatch/arch"
)

// Options are the user's wishes for a transaction.
type Options struct {
	DryRun   bool          // stop before anything is changed
	Wait     time.Duration // how long to wait for a busy function; 0: one attempt
	MaxPause time.Duration // abort rather than stop the process longer; 0: no limit
	Log      *slog.Logger  // nil: silent
	User     string        // recorded in the journal
	Acks     []string      // IDs of refusals that the user takes upon himself, as the refusal names them
	Progress func(string)  // told what is being done; may be nil
	Together []int         // the processes that the user's command concerns, each in a transaction of its own

	// Symbolize names a place in a module of the given build for the stacks of busy threads, as "FUNC (MODULE)"; it may be nil,
	// and may return "". Without an answer the module's dynamic symbols are used.
	Symbolize func(path string, build []byte, addr arch.ImageAddr) string

	// WhenIdle names functions (FUNC, FILE:FUNC or MODULE:FUNC) that count as replaced in the check.
	WhenIdle []string

	// AllowActive names functions of which a call that is under way may go on in the version that it began in.
	AllowActive []string

	// Demangle gives a link name as a person reads it, and as AllowActive may name it; it may be nil.
	Demangle func(link string) string

	// Functions finds the functions of a name in the file of a module, which must be of the given build. It may be nil: then only
	// dynamic symbols are known.
	Functions func(path string, build []byte, name string) ([]Function, error)

	// fault, if not nil, is called at named points; an error ends the transaction there as the
	// death of hotpatch would: nothing is undone. Only tests set it.
	fault func(point string) error
}

func (o *Options) demangle(link string) string {
	if o.Demangle == nil {
		return link
	}
	return o.Demangle(link)
}

func (o *Options) progress(s string) {
	if o.Progress != nil {
		o.Progress(s)
	}
}

func (o *Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log.With("component", "inject")
}

// Phase is a part of a transaction and what it took.
type Phase struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"ns"`
}

// Report says what Apply or Revert did.
type Report struct {
	PID    int    `json:"pid"`
	Comm   string `json:"comm"`
	Verb   string `json:"verb"` // apply, revert
	DryRun bool   `json:"dry_run"`
	Done   bool   `json:"changed"` // text was changed (dry run: would be)
	Atomic bool   `json:"atomic"`  // the commit was one write: no death can leave a mixture

	NotAtomic []NotAtomic `json:"not_atomic,omitempty"` // the functions and constants that were changed by writes of their own

	Patches []PatchReport `json:"patches"`
	Pause   time.Duration `json:"pause_ns"` // of the last stop: from the first thread stopped until the last was resumed
	// Staging is the longest time for which one thread made system calls for hotpatch before that, while the others ran.
	Staging  time.Duration `json:"staging_ns"`
	Tries    int           `json:"tries"` // stops that were needed, those of abandoned plans included
	Threads  int           `json:"threads"`
	Stacks   []StackReport `json:"stacks"`    // how each thread was shown to be idle, in the stop of the commit
	Frames   int           `json:"frames"`    // that were walked for it
	Shown    []string      `json:"shown"`     // the condition under which the text was changed
	Writes   int           `json:"writes"`    // that the commit made
	Jumps    int           `json:"jumps"`     // those of them that go to text
	Bytes    int           `json:"bytes"`     // of all writes
	Staged   uint64        `json:"staged"`    // bytes of memory mapped in the process
	WhenIdle []string      `json:"when_idle"` // functions that were not active, as the user wanted
	Unread   []string      `json:"unchecked"` // dry run: what was not checked
	Notes    []string      `json:"notes"`
	Phases   []Phase       `json:"phases"`
}

// StackReport says how a thread was shown to be idle: neither in code that is about to change nor to return into it.
type StackReport struct {
	TID  int    `json:"tid"`
	Comm string `json:"comm"`
	// Proven is "scan" if no register and no word of its stacks leads into such code, or "cfi" if those that do are shown to be stale
	// by its call frames, up to where the thread began.
	Proven string `json:"proven"`
	Frames int    `json:"frames"` // that were walked; 0: a scan was enough
}

// NotAtomic is a function or constant that could not be changed together with the others in one write.
type NotAtomic struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// PatchReport says what became of one patch in one module.
type PatchReport struct {
	ID      string       `json:"id"`
	Module  string       `json:"module"`
	Start   arch.Addr    `json:"module_address"`
	Old     string       `json:"old_build"` // of the patch
	New     string       `json:"new_build"`
	From    string       `json:"from_build,omitempty"` // what ran before the transaction; a revert goes from New to Old
	To      string       `json:"to_build,omitempty"`   // what runs now (dry run: would)
	Result  string       `json:"result"`               // applied, reverted, already applied, finished, undone
	Payload arch.Addr    `json:"payload,omitempty"`
	Size    uint64       `json:"payload_size,omitempty"`
	Reused  bool         `json:"payload_reused,omitempty"` // an earlier application's memory: its variables keep their values
	Funcs   []FuncReport `json:"functions"`
	Consts  []string     `json:"constants,omitempty"`
	Moved   []MoveReport `json:"moved,omitempty"` // variables that the patch gives a new place
}

// FuncReport is a function of a patch in the process.
type FuncReport struct {
	Name   string    `json:"name"`
	Change string    `json:"change"` // changed, added, removed
	Entry  arch.Addr `json:"entry"`  // the function's address, version 0
	Body   arch.Addr `json:"body,omitempty"`
	Size   uint64    `json:"size,omitempty"`
	Chain  int       `json:"versions,omitempty"` // bodies that replace version 0, this one included
	From   arch.Addr `json:"from,omitempty"`     // the body that ran before the transaction; 0: the function did not exist, or nothing moved
	To     arch.Addr `json:"to,omitempty"`       // the body that runs now
}

// MoveReport is a variable that has another place with the patch than without it.
type MoveReport struct {
	Name    string    `json:"name"`
	Old     arch.Addr `json:"old"`
	New     arch.Addr `json:"new"`
	OldSize uint64    `json:"kept"` // bytes that both places have: the first ones
	NewSize uint64    `json:"size"`
}

// clock measures phases.
type clock struct {
	r    *Report
	last time.Time
}

func newClock(r *Report) *clock { return &clock{r, time.Now()} }

// lap ends a phase.
func (c *clock) lap(name string) {
	now := time.Now()
	for i := range c.r.Phases {
		if c.r.Phases[i].Name == name {
			c.r.Phases[i].Duration += now.Sub(c.last)
			c.last = now
			return
		}
	}
	c.r.Phases = append(c.r.Phases, Phase{name, now.Sub(c.last)})
	c.last = now
}

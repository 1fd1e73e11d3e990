package patch

// ReasonKind says what sort of difference a reason names. The words are part of the patch file and of --json.
type ReasonKind string

// The reasons of functions.
const (
	ReasonOwn       ReasonKind = "own"       // instructions of its own differ
	ReasonInlined   ReasonKind = "inlined"   // instructions of a function that is inlined into it differ
	ReasonInlining  ReasonKind = "inlining"  // what one build inlines, the other calls
	ReasonShape     ReasonKind = "shape"     // the same operations: other registers, another frame, another order
	ReasonCall      ReasonKind = "call"      // another function is called
	ReasonClone     ReasonKind = "clone"     // another clone of the same function is called
	ReasonReference ReasonKind = "reference" // another place is referred to
	ReasonString    ReasonKind = "string"    // a text without a name
	ReasonConstant  ReasonKind = "constant"  // a number
	ReasonTable     ReasonKind = "table"     // a jump table
	ReasonData      ReasonKind = "data"      // data that it reads differs, or has a new place
	ReasonCatch     ReasonKind = "catch"     // what it catches, where it cleans up
	ReasonLines     ReasonKind = "lines"     // line numbers
	ReasonSignature ReasonKind = "signature" // its parameters, or what it returns
	ReasonUnknown   ReasonKind = "unknown"   // it differs, and in what cannot be told
)

// The reasons of data, and of what only one build has.
const (
	ReasonContent ReasonKind = "content" // a constant's
	ReasonInitial ReasonKind = "initial" // a variable's initial value
	ReasonSize    ReasonKind = "size"
	ReasonAdded   ReasonKind = "added"
	ReasonRemoved ReasonKind = "removed"
	ReasonLayout  ReasonKind = "layout" // of a type: members, sizes, numbers
	ReasonUnused  ReasonKind = "unused" // it is new, and nothing in the patch refers to it
)

// Reason says why something differs.
type Reason struct {
	Kind ReasonKind `json:"kind"`
	Text string     `json:"text"` // for people; names are link names
	// Cause is the ID of the change that this one follows from: its place in the report, from 1. 0: no other change
	// is known to be the cause.
	Cause int `json:"cause,omitempty"`
}

// maxKind bounds the word of a kind, in bytes.
const maxKind = 32

// check says what is wrong with a reason of the change with this ID in a report of n changes, or "".
func (r *Reason) check(id, n int) (string, any) {
	if msg := badString(r.Text); msg != "" {
		return msg, nil
	}
	if r.Text == "" {
		return "empty reason", nil
	}
	if r.Kind == "" || len(r.Kind) > maxKind {
		return "kind of a reason", string(r.Kind)
	}
	for _, c := range []byte(r.Kind) {
		if c < 'a' || c > 'z' {
			return "kind of a reason", string(r.Kind)
		}
	}
	switch {
	case r.Cause < 0 || r.Cause > n:
		return "the cause of a reason is no change of the report", r.Cause
	case r.Cause == id:
		return "a change that is its own cause", r.Cause
	}
	return "", nil
}

func (e *encoder) reasons(l []Reason) {
	e.uint(uint64(len(l)))
	for i := range l {
		e.str(string(l[i].Kind))
		e.str(l[i].Text)
		e.uint(uint64(l[i].Cause))
	}
}

func (d *decoder) reasons() []Reason {
	n := d.count(maxReasons, 3, "reasons")
	if n == 0 {
		return nil
	}
	l := make([]Reason, n)
	for i := range l {
		l[i] = Reason{Kind: ReasonKind(d.str()), Text: d.str(), Cause: int(d.max(maxChanges, "cause of a reason"))}
	}
	return l
}

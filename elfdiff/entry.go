package elfdiff

import (
	"fmt"

	"hotpatch/elfdiff/patch"
)

// entry is what every change has in the report: its place, and why it is there.
type entry struct {
	id      int // its place in the report, from 1; [differ.result] sets it
	reasons []reason
}

// reason is a [patch.Reason] whose cause has no ID yet.
type reason struct {
	kind  patch.ReasonKind
	text  string
	cause *entry // the change that this one follows from; nil: none is known
}

func newReason(kind patch.ReasonKind, cause *entry, format string, args ...any) reason {
	return reason{kind, fmt.Sprintf(format, args...), cause}
}

// because adds a reason, once. The cause may be nil.
func (e *entry) because(kind patch.ReasonKind, cause *entry, format string, args ...any) {
	e.add(newReason(kind, cause, format, args...))
}

// add adds a reason, once.
func (e *entry) add(r reason) {
	for _, have := range e.reasons {
		if have.text == r.text {
			return
		}
	}
	e.reasons = append(e.reasons, r)
}

// reported returns the reasons as the report has them. It is never nil. Every change has its ID by now.
func (e *entry) reported() []patch.Reason {
	out := make([]patch.Reason, len(e.reasons))
	for i, r := range e.reasons {
		out[i] = patch.Reason{Kind: r.kind, Text: r.text}
		if r.cause != nil && r.cause != e {
			out[i].Cause = r.cause.id
		}
	}
	return out
}

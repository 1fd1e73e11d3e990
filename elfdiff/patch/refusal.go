package patch

import (
	"errors"
	"strings"
)

// ErrRefused is what every refusal wraps: the patch cannot soundly be made or applied.
var ErrRefused = errors.New("refused")

// Refusal says "no" and why. It is a feature: it names the reason, the evidence
// and what would make it pass.
type Refusal struct {
	What  string // the function, object, thread or module that it is about
	Why   string // the reason, a sentence without a full stop
	Found string // evidence: bytes, addresses, names
	Help  string // what would make it pass
}

func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("refused: ")
	if r.What != "" {
		b.WriteString(r.What + ": ")
	}
	b.WriteString(r.Why)
	if r.Found != "" {
		b.WriteString(" (" + r.Found + ")")
	}
	if r.Help != "" {
		b.WriteString("; " + r.Help)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrRefused) true.
func (r *Refusal) Unwrap() error { return ErrRefused }

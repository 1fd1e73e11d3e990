package elfdiff

import (
	"testing"

	"hotpatch/elfdiff/patch"
)

// TestLineOnlyIsNoCause has two functions that call clones: one of a function that differs in line numbers only, which stays as it was and is
// the cause of nothing, and one of a function that really changed.
func TestLineOnlyIsNoCause(t *testing.T) {
	line := &explainer{c: &funcChange{}, line: true}
	changed := &explainer{c: &funcChange{}}
	caller := &explainer{c: &funcChange{}}
	for _, callee := range []*explainer{line, changed} {
		r := newReason(patch.ReasonClone, &callee.c.entry, "calls clone f.isra.1 instead of f.isra.0")
		caller.findings = append(caller.findings, finding{reason: r})
	}
	setLineOnly([]*explainer{caller, nil, changed, line})
	if !line.c.line || changed.c.line || caller.c.line {
		t.Errorf("line only: %t, %t, %t, want it of the first", line.c.line, changed.c.line, caller.c.line)
	}
	if got := caller.findings[0].reason.cause; got != nil {
		t.Error("a function that differs in line numbers only is the cause of another's change")
	}
	if got := caller.findings[1].reason.cause; got != &changed.c.entry {
		t.Errorf("the cause is %p, want the callee that changed", got)
	}
}

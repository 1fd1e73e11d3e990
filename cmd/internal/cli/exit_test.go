package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
	"hotpatch/ptrace/inject"
)

func TestExitCode(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{name: "done", err: nil, want: 0},
		{name: "any failure", err: errors.New("x"), want: 1},
		{name: "no such file", err: &fs.PathError{Op: "open", Err: fs.ErrNotExist}, want: 1},
		{name: "corrupt patch", err: &patch.FormatError{Off: 7, Msg: "bad"}, want: 1},
		{name: "process gone", err: &ptrace.Error{Op: "open", Kind: ptrace.ErrGone}, want: 1},
		{name: "not permitted", err: &ptrace.Error{Op: "open", Kind: ptrace.ErrPermission}, want: 1},
		{name: "pause too long", err: &ptrace.Error{Op: "stop", Kind: ptrace.ErrPause}, want: 1},
		{name: "interrupted", err: context.Canceled, want: 1},
		{name: "nothing to revert", err: inject.ErrNoPatch, want: 1},
		{name: "usage", err: usagef("x"), want: 2},
		{name: "refused", err: &patch.Refusal{Why: "x"}, want: 3},
		{name: "busy", err: &inject.BusyError{}, want: 4},
		{name: "needs attention", err: inject.ErrAttention, want: 5},
		{name: "needs attention after a refusal", err: errors.Join(&patch.Refusal{}, inject.ErrAttention), want: 5},
		{name: "usage of a missing patch", err: usagef("x: %w", inject.ErrNoPatch), want: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, err := range []error{tt.err, wrap(tt.err), shown(tt.err)} {
				if got := exitCode(err); got != tt.want {
					t.Errorf("%v: exit code %d, want %d", err, got, tt.want)
				}
			}
		})
	}
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("while testing: %w", err)
}

func shown(err error) error {
	if err == nil {
		return nil
	}
	return &shownError{err}
}

// Names come from files and processes that anyone can have made: they never reach the
// terminal as they are.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"\x1b[2Jgone":                 "\uFFFD[2Jgone",
		"two\nlines":                  "two lines",
		"\u202egnp.exe":               "\uFFFDgnp.exe",
		"caf\u00e9 \u4e16":            "caf\u00e9 \u4e16",
		"bad \xff\xfe":                "bad \uFFFD\uFFFD",
		"_ZN3foo3barEi.cold":          "foo::bar(int) [clone .cold]",
		"_ZNKSt6vectorIiSaIiEE3endEv": "std::vector<int, std::allocator<int> >::end() const",
	} {
		if got := new(app).name(in); got != want {
			t.Errorf("new(app).name(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestFlat(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{name: "plain", in: "fix.patch: no such file", want: "fix.patch: no such file"},
		{name: "said twice", in: "read 5 bytes at 0x10: process 7: read 5 bytes at 0x10: no such process", want: "read 5 bytes at 0x10: process 7: no such process"},
		{name: "joined", in: "stop: it failed\nresume: so did this", want: "stop: it failed; resume: so did this"},
		{name: "joined, the same", in: "stop: it failed\nstop: it failed\n", want: "stop: it failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := flat(tt.in); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/inject"
)

// The exit codes. They are an interface for scripts and never change their meaning.
const (
	exitDone      = 0 // done, or already so
	exitFailed    = 1 // failed, and nothing changed
	exitUsage     = 2 // the command line is wrong
	exitRefused   = 3 // the patch cannot soundly be made or applied
	exitBusy      = 4 // a changed function stayed active until the deadline; nothing changed
	exitAttention = 5 // the target needs attention
)

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// exitCode returns the exit code for the error of a verb. A target that needs attention
// outweighs every other cause, because something must be done about it.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, inject.ErrAttention):
		return exitAttention
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, patch.ErrRefused):
		return exitRefused
	case errors.Is(err, inject.ErrBusy):
		return exitBusy
	}
	return exitFailed
}

// kindOf names the cause of an error for programs that read --json.
func kindOf(code int) string {
	return [...]string{"", "failed", "usage", "refused", "busy", "attention"}[code]
}

// errorJSON is what --json prints instead of a result.
type errorJSON struct {
	Code    int                 `json:"code"`
	Kind    string              `json:"kind"`
	Message string              `json:"message"`
	Threads []inject.BusyThread `json:"threads,omitempty"` // kind busy: who is in the way
	More    int                 `json:"more,omitempty"`    // kind busy: threads that are as well
	Help    []string            `json:"help,omitempty"`    // kind busy: what can be done
}

// newErrorJSON describes an error.
func newErrorJSON(err error) *errorJSON {
	code := exitCode(err)
	e := &errorJSON{Code: code, Kind: kindOf(code), Message: flat(err.Error())}
	var busy *inject.BusyError
	if errors.As(err, &busy) {
		e.Threads, e.More, e.Help = busy.Threads, busy.More, busy.Help
	}
	return e
}

// flat makes one line of an error's message: joined errors get a separator, and a part that stands in it
// twice, because two layers said the same, is said once.
func flat(msg string) string {
	var lines []string
	for _, line := range strings.Split(msg, "\n") {
		var parts []string
		for _, part := range strings.Split(line, ": ") {
			if !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
		if line = strings.Join(parts, ": "); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// reworded is an error with a message of our own and the kinds of its cause.
type reworded struct {
	msg   string
	cause error
}

func (e *reworded) Error() string { return e.msg }
func (e *reworded) Unwrap() error { return e.cause }

// fail reports a verb's error: one line on stderr, what is known about busy threads
// behind it, and with --json an object on stdout unless the verb has printed one.
func (a *app) fail(verb *cobra.Command, err error) {
	e := newErrorJSON(err)
	where := "hotpatch: "
	if verb.HasParent() {
		where += verb.Name() + ": "
	}
	fmt.Fprintln(a.err, a.words(where+strings.TrimPrefix(e.Message, verb.Name()+": ")))
	a.busyText(e)
	asked := a.wantsJSON
	if f := verb.Flags().Lookup("json"); f != nil {
		asked = asked || f.Value.String() == "true" // in one of its other spellings
	}
	var shown *shownError
	if asked && !errors.As(err, &shown) {
		a.json(struct {
			Version int        `json:"version"`
			Error   *errorJSON `json:"error"`
		}{jsonVersion, e})
	}
}

// shownError is the error of a verb that has already printed its JSON, with the error in it.
type shownError struct{ err error }

func (e *shownError) Error() string { return e.err.Error() }
func (e *shownError) Unwrap() error { return e.err }

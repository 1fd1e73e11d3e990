// Package cli is hotpatch's command line: its verbs, what they print, and the exit codes.
//
// Every verb is made by one constructor (newDiff, newApply, ...) that holds the verb's options
// in local variables. Results go to standard output; errors, progress and times go
// to standard error. A verb returns an error, and only [Run] turns it into a
// message and an exit code.
package cli

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"hotpatch/ptrace/inject"
)

// app is what the verbs share: where they print, and how.
type app struct {
	out, err io.Writer
	live     bool // err is a terminal: progress may be shown there
	color    bool // out is a terminal and the user does not object to colour
	width    int  // columns of that terminal; 0: out is none, lines may be of any length
	mangled  bool // --no-demangle: names as the linker has them
	start    time.Time
	patience time.Duration // how long work lasts without a word on a terminal
	changed  int           // the process that this command has changed; 0: none
	// wantsJSON is whether --json was asked for. It is looked for in the arguments themselves, because an error in
	// them may end their parsing before it is reached.
	wantsJSON bool
}

// Run executes hotpatch with the arguments that follow the program's name and returns the exit code.
func Run(args []string, stdout, stderr io.Writer) int {
	return newApp(args, stdout, stderr).run(args)
}

// newApp looks at what the streams are.
func newApp(args []string, stdout, stderr io.Writer) *app {
	return &app{
		out:      &checkedWriter{w: stdout},
		err:      stderr,
		live:     isTerminal(stderr),
		color:    isTerminal(stdout) && os.Getenv("NO_COLOR") == "",
		width:    terminalWidth(stdout),
		start:    time.Now(),
		patience: patience,

		wantsJSON: asksJSON(args),
	}
}

// run executes the verb that the arguments ask for and returns the exit code.
func (a *app) run(args []string) int {
	root := newRoot(a)
	root.SetArgs(append([]string{}, args...)) // nil would mean os.Args
	root.SetOut(a.out)
	root.SetErr(a.err)
	verb, err := root.ExecuteC()
	if out, ok := a.out.(*checkedWriter); ok && err == nil && out.err != nil {
		err = a.lost(out.err)
	}
	if err != nil {
		a.fail(verb, err)
	}
	return exitCode(err)
}

// asksJSON reports whether --json is among the arguments.
func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// checkedWriter remembers the first error of a writer.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// lost is the error of a command whose result could not be printed. Exit code 1 would say that
// nothing has changed.
func (a *app) lost(cause error) error {
	if a.changed != 0 {
		return fmt.Errorf("process %d: %w: it was changed, but the report could not be written: %w", a.changed, inject.ErrAttention, cause)
	}
	return fmt.Errorf("the result could not be written: %w", cause)
}

// newRoot returns the command that holds the verbs.
func newRoot(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "hotpatch",
		Short: "Change the code of a running program without restarting it",
		Long: `hotpatch compares two builds of a program function by function, writes what
changed into a patch file, and applies that file to a live process. The process
needs nothing prepared: no preload, no special compiler flags, no source.

Exit codes: 0 done (or already so); 1 failed, nothing changed; 2 usage;
3 refused, the patch cannot soundly be made or applied; 4 busy, a changed function
stayed active until the deadline and nothing changed; 5 the target needs
attention, "hotpatch list" says what.`,
		Example: `  hotpatch diff server.old server.new -o fix.patch
  hotpatch apply -p 1234 fix.patch
  hotpatch list
  hotpatch revert`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noVerb,
		RunE: func(c *cobra.Command, _ []string) error {
			return usagef("no verb given: \"hotpatch --help\" lists them")
		},
	}
	c.SuggestionsMinimumDistance = 2
	c.FParseErrWhitelist.UnknownFlags = true // those of a verb: that the verb is mistyped is the error
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	c.PersistentFlags().BoolVar(&a.mangled, "no-demangle", false, "show names as the linker has them")
	c.AddCommand(verbs(a)...)
	c.SetHelpCommand(newHelp())
	c.InitDefaultCompletionCmd()
	if shells, _, err := c.Find([]string{"completion"}); err == nil { // cobra's own prints its help and ends well
		shells.Args = cobra.ArbitraryArgs
		shells.FParseErrWhitelist.UnknownFlags = true
		shells.RunE = func(*cobra.Command, []string) error {
			return usagef("which shell? \"hotpatch completion --help\" lists them")
		}
	}
	return c
}

// newHelp makes the verb help. cobra's own ends well where there is no such verb.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Explain a verb",

		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true}, // as for the verb that is meant
		RunE: func(c *cobra.Command, args []string) error {
			verb, rest, err := c.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = noVerb(c.Root(), rest)
			}
			if err != nil {
				return &usageError{err}
			}
			verb.InitDefaultHelpFlag()
			return verb.Help()
		},
	}
}

// noVerb refuses arguments of the root command: what is not a verb is a mistyped one.
func noVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if s := c.SuggestionsFor(args[0]); len(s) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", s[0])
	}
	return usagef("%q is not a verb%s: \"hotpatch --help\" lists them", args[0], hint)
}

// usage turns the error of an argument check into a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &usageError{fmt.Errorf("%w: usage: %s", err, c.UseLine())}
		}
		return nil
	}
}

// version returns what --version prints: the module's version and the revision that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v
}

package cli

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// endings returns the signals that ask hotpatch to end: Ctrl-C, Ctrl-\, kill and a closed terminal. One that the
// caller has set to be ignored (nohup, a shell's background job) stays ignored.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP}
	return slices.DeleteFunc(all, signal.Ignored)
}

// holdSteady keeps signals from ending or stopping hotpatch while it holds a process. The context
// ends with the first signal that asks for an end. Those that would stop hotpatch (Ctrl-Z, output or input
// of a background job) are ignored: the process would stand still with it. A reader of
// standard output that has gone away does not end it either. The function undoes all of this.
func holdSteady() (ctx context.Context, undo func()) {
	ends := endings()
	ctx, stop := context.WithCancel(context.Background())
	if len(ends) > 0 { // none would mean all
		ctx, stop = signal.NotifyContext(context.Background(), ends...)
	}
	stops := []os.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}
	stops = slices.DeleteFunc(stops, signal.Ignored)
	if len(stops) > 0 { // none would mean all
		signal.Ignore(stops...)
	}
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	return ctx, func() {
		signal.Stop(pipe)
		if len(stops) > 0 {
			signal.Reset(stops...)
		}
		stop()
	}
}

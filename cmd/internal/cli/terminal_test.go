package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns the two ends of a pseudoterminal (pty(7)). What is written to tty can be read
// from the function, once tty is closed.
func terminal(t *testing.T) (tty *os.File, read func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		var b bytes.Buffer
		io.Copy(&b, master) // ends with EIO when the last writer has closed
		master.Close()
		got <- b.String()
	}()
	return tty, func() string {
		tty.Close()
		return <-got
	}
}

// On a terminal: progress that leaves no trace, and colour unless NO_COLOR is set. Elsewhere: neither.
func TestTerminal(t *testing.T) {
	old, next := greet(t, 1), greet(t, 2)
	tests := []struct {
		name      string
		noColor   string
		wantColor bool
	}{
		{name: "colour", wantColor: true},
		{name: "NO_COLOR", noColor: "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColor)
			tty, read := terminal(t)
			args := []string{"diff", old, next}
			a := newApp(args, tty, tty)
			a.patience = 0
			code := a.run(args)
			got := read()
			if code != exitDone {
				t.Fatalf("exit code %d\n%s", code, got)
			}
			if strings.Contains(got, "\x1b[32mok") != tt.wantColor {
				t.Errorf("colour: want %v\n%q", tt.wantColor, got)
			}
			if !strings.Contains(got, "\r\x1b[Kcomparing: assemble\r\x1b[K") {
				t.Errorf("no progress line that is removed:\n%q", got)
			}
		})
	}
	tty, read := terminal(t)
	code := Run([]string{"diff", old, next}, tty, tty)
	if got := read(); code != exitDone || strings.Contains(got, "comparing") {
		t.Errorf("exit code %d, progress of work that does not last:\n%q", code, got)
	}
	if r := hotpatch("diff", old, next); strings.ContainsAny(r.out+r.err, "\x1b\r") {
		t.Errorf("control characters where there is no terminal:\n%q%q", r.out, r.err)
	}
}

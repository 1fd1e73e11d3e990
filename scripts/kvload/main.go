// Command kvload loads a kvd (testdata/kvd) and checks every reply while the server is
// changed under it.
//
//	kvload -addr 127.0.0.1:PORT -version 1 < steps
//
// Each line of the standard input is a step: the version that the server has afterwards,
// and the shell command that brings it there, for example
//
//	2 hotpatch apply -p 4711 fix.patch
//
// Lines that begin with # are printed. At the end every stored key is read back. The
// exit status is 1 if any reply was wrong, any connection broke or any step failed.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"hotpatch/internal/kvload"
)

func main() {
	addr := flag.String("addr", "", "the server's `address`")
	conns := flag.Int("n", 16, "`number` of connections")
	version := flag.Int("version", 1, "the server's `version` at the start")
	settle := flag.Int64("settle", 500, "`replies` of each connection that are checked between two steps")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *addr, *conns, *version, *settle); err != nil {
		fmt.Fprintln(os.Stderr, "kvload:", err)
		os.Exit(1)
	}
}

func run(steps io.Reader, out io.Writer, addr string, conns, version int, settle int64) error {
	l, err := kvload.Start(addr, conns, version)
	if err != nil {
		return err
	}
	err = runSteps(l, steps, out, version, settle)
	r, stopErr := l.Stop()
	if stopErr != nil {
		return stopErr
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d connections from start to end, %d replies checked, %d keys read back, 0 failures, slowest reply %.1f ms\n",
		r.Conns, r.Replies, r.Keys, r.Slowest.Seconds()*1e3)
	return nil
}

func runSteps(l *kvload.Load, steps io.Reader, out io.Writer, version int, settle int64) error {
	if err := l.Settle(settle); err != nil {
		return err
	}
	fmt.Fprintf(out, "replies are version %d's\n", version)
	s := bufio.NewScanner(steps)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "#") {
			fmt.Fprintln(out, line)
			continue
		}
		number, command, _ := strings.Cut(line, " ")
		to, err := strconv.Atoi(number)
		if err != nil || command == "" {
			return fmt.Errorf("step %q: want a version and a command", line)
		}
		fmt.Fprintln(out, "$", command)
		cmd := exec.Command("sh", "-c", command)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := l.Switch(to, cmd.Run); err != nil {
			return fmt.Errorf("step %q: %w", line, err)
		}
		if err := l.Settle(settle); err != nil {
			return err
		}
		fmt.Fprintf(out, "replies are version %d's\n", to)
	}
	return s.Err()
}

// Guest runs programs and this module's tests in the arm64 guest. It is the second half of scripts/guest, which has
// fetched what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"hotpatch/internal/guest"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
	os.Exit(status)
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// options are the command line.
type options struct {
	machine  guest.Machine
	root     string // of the module
	packages string // the directory with Debian's arm64 packages
	files    list   // HOST:GUEST
	trees    list   // the same, of directories
	env      list
	dir      string
	limit    time.Duration
	patterns string // of tests
	verbose  bool
}

// run is main without its exit. The status is the program's, 1 if a test failed, or 125 if the guest did.
func run(args []string) (int, error) {
	var o options
	fs := flag.NewFlagSet("guest", flag.ContinueOnError)
	m := &o.machine
	fs.StringVar(&o.root, "root", ".", "this module")
	fs.StringVar(&m.QEMU, "qemu", "qemu-system-aarch64", "the emulator")
	fs.StringVar(&m.Kernel, "kernel", "", "arm64 Image to boot")
	fs.StringVar(&m.CPU, "cpu", "max,pauth-impdef=on", "CPU to emulate")
	fs.IntVar(&m.Memory, "memory", 1536, "MiB")
	fs.DurationVar(&o.limit, "limit", 10*time.Minute, "for the whole, by the host's clock")
	fs.StringVar(&o.packages, "libraries", "", "directory with unpacked arm64 packages, for dynamic programs")
	fs.Var(&o.files, "file", "HOST:GUEST, a file to take along")
	fs.Var(&o.trees, "tree", "HOST:GUEST, a directory to take along, with all below it")
	fs.Var(&o.env, "env", "NAME=VALUE for the program")
	fs.StringVar(&o.dir, "dir", "", "working directory in the guest")
	fs.StringVar(&o.patterns, "run", "", "tests to run, as go test has it")
	fs.BoolVar(&o.verbose, "v", false, "show every test")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	dir, err := os.MkdirTemp("", "hotpatch-guest-")
	if err != nil {
		return 125, err
	}
	defer os.RemoveAll(dir)
	m.Init = filepath.Join(dir, "init")
	if err := o.build(m.Init, "build", "./internal/guest/init"); err != nil {
		return 125, err
	}
	switch verb, rest := fs.Arg(0), fs.Args(); {
	case verb == "run" && len(rest) > 1:
		return o.runProgram(rest[1:])
	case verb == "test" && len(rest) > 1:
		return o.test(dir, rest[1:])
	case verb == "suite" && len(rest) == 1:
		return o.suite(dir)
	}
	return 2, errors.New("usage: guest [flags] run PROGRAM [ARGUMENT...] (or: test PACKAGE...) (or: suite)")
}

// build compiles for the guest. Nothing that it makes needs a C library.
func (o *options) build(out string, verb, pkg string) error {
	args := []string{verb}
	if verb == "test" {
		args = append(args, "-c")
	}
	cmd := exec.Command("go", append(args, "-o", out, pkg)...)
	cmd.Dir = o.root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s of %s for arm64: %w", verb, pkg, err)
	}
	return nil
}

// runProgram runs one program of the host's, compiled for arm64, with its arguments.
func (o *options) runProgram(args []string) (int, error) {
	path := "/bin/" + filepath.Base(args[0])
	job := guest.Job{Name: filepath.Base(args[0]), Args: append([]string{path}, args[1:]...), Dir: o.dir, Env: o.env}
	var bad error
	add := func(a *guest.Archive) {
		a.AddFile(path, args[0])
		for _, f := range o.files {
			host, there, ok := strings.Cut(f, ":")
			if !ok {
				bad = fmt.Errorf("file %q: HOST:GUEST is wanted", f)
			}
			a.AddFile(there, host)
		}
		for _, f := range o.trees {
			host, there, ok := strings.Cut(f, ":")
			if !ok {
				bad = fmt.Errorf("tree %q: HOST:GUEST is wanted", f)
			}
			a.AddDir(there, host, func(string) bool { return true })
		}
	}
	r, err := o.machine.Boot(context.Background(), []guest.Job{job}, add, o.limit, os.Stdout)
	if err = errors.Join(bad, err); err != nil {
		return 125, err
	}
	return r.Status[0], nil
}

// output returns the lines that a command prints which is run in the module's directory.
func (o *options) output(name string, args ...string) ([]string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = o.root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines, nil
}

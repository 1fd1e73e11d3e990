// Guest runs programs and this module's tests in the arm64 guest. It is the second half of scripts/guest, which has
// fetched what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hotpatch/internal/guest"
	"hotpatch/internal/victim"
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
	}
	return 2, errors.New("usage: guest [flags] run PROGRAM [ARGUMENT...] (or: test PACKAGE...)")
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

// test runs the tests of packages in one boot. They find the module's files below /src, as go test lets them.
func (o *options) test(dir string, patterns []string) (int, error) {
	pkgs, err := o.output("go", append([]string{"list", "-f", "{{.ImportPath}} {{.Dir}}"}, patterns...)...)
	if err != nil {
		return 125, err
	}
	root, err := o.output("go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return 125, err
	}
	tracked, err := o.output("git", "ls-files", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return 125, err
	}
	tracked = slices.DeleteFunc(tracked, func(name string) bool { // deleted, and not yet committed
		_, err := os.Stat(filepath.Join(root[0], name))
		return err != nil
	})
	jobs, built, err := o.compileTests(dir, root[0], pkgs)
	if err != nil {
		return 125, err
	}
	if len(jobs) == 0 {
		return 2, fmt.Errorf("%s: no tests", strings.Join(patterns, " "))
	}
	tool := filepath.Join(dir, "hosttool")
	if err := o.build(tool, "build", "./internal/guest/hosttool"); err != nil {
		return 125, err
	}
	for i := range jobs {
		jobs[i].Env = append(jobs[i].Env, victim.EnvEmulated+"=1", "HOST_SOURCES="+root[0], "HOST_SCRATCH="+filepath.Join(dir, "scratch"), "HOST_LIBRARIES="+o.packages)
	}
	r, err := o.machine.Boot(context.Background(), jobs, func(a *guest.Archive) {
		a.AddTree("/src", root[0], tracked)
		for _, f := range built {
			a.AddFile("/tests/"+filepath.Base(f), f)
		}
		o.userland(a)
		a.AddFile("/usr/bin/hosttool", tool)
		for _, name := range tools {
			a.Link("/usr/bin/"+name, "hosttool")
		}
	}, o.limit, os.Stdout)
	return report(os.Stdout, jobs, r, err)
}

// tools are the names under which the guest has internal/guest/hosttool.
var tools = []string{"gcc", "g++", "musl-gcc", "cc", "c++", "clang", "clang++", "as", "ld", "ar", "nm", "objcopy", "objdump", "readelf", "strip", "addr2line", "go"}

// userland adds the libraries and the small programs of the packages.
func (o *options) userland(a *guest.Archive) {
	if o.packages == "" {
		return
	}
	a.AddDir("/", o.packages, func(name string) bool {
		return strings.HasPrefix(name, "lib/") || strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "usr/lib/aarch64-linux-gnu/") ||
			name == "usr/bin/ldd" || name == "usr/bin/env"
	})
	a.Link("/bin/sh", "dash")
}

// compileTests compiles the tests of packages, each given as its import path and its directory, into dir. A package without
// tests is left out.
func (o *options) compileTests(dir, root string, pkgs []string) (jobs []guest.Job, built []string, err error) {
	for i, line := range pkgs {
		name, src, _ := strings.Cut(line, " ")
		file := filepath.Join(dir, fmt.Sprintf("test%d", i))
		if err := o.build(file, "test", name); err != nil {
			return nil, nil, err
		}
		if _, err := os.Stat(file); err != nil {
			continue
		}
		rel, err := filepath.Rel(root, src)
		if err != nil {
			return nil, nil, err
		}
		args := []string{"/tests/" + filepath.Base(file), "-test.timeout=0"}
		if o.verbose {
			args = append(args, "-test.v")
		}
		if o.patterns != "" {
			args = append(args, "-test.run="+o.patterns)
		}
		jobs = append(jobs, guest.Job{Name: name, Args: args, Dir: "/src/" + filepath.ToSlash(rel), Env: o.env})
		built = append(built, file)
	}
	return jobs, built, nil
}

// report prints a line for each package.
func report(w io.Writer, jobs []guest.Job, r *guest.Result, err error) (int, error) {
	status := 0
	for i, s := range r.Status {
		word := "ok"
		if s != 0 {
			word, status = "FAIL", 1
		}
		fmt.Fprintf(w, "%-6s %s", word, jobs[i].Name)
		if s != 0 && s != guest.NotRun {
			fmt.Fprintf(w, "  (status %d)", s)
		} else if s == guest.NotRun {
			fmt.Fprint(w, "  (did not end)")
		}
		fmt.Fprintln(w)
	}
	if err != nil {
		status = 125
	}
	return status, err
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

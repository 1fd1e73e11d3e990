package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hotpatch/internal/guest"
	"hotpatch/internal/guest/suite"
	"hotpatch/internal/victim"
)

// kit is what boots with tests need.
type kit struct {
	dir      string            // for scratch files; its owner removes it
	root     string            // of the module
	tracked  []string          // the module's files, from its root
	programs map[string]string // the compiled tests of each package, by path from the module's root; none: it has no tests
	tool     string            // internal/guest/hosttool
	list     *suite.Suite
}

// listPath is the list of what scripts/test runs.
const listPath = "scripts/guest.d/tests"

// prepare compiles the tests of packages, which are named by their paths from the module's root, and what they need. Without any, all
// those of the list are meant.
func (o *options) prepare(dir string, packages []string) (*kit, error) {
	k := &kit{dir: dir, programs: make(map[string]string), tool: filepath.Join(dir, "hosttool")}
	root, err := o.output("go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return nil, err
	}
	k.root = root[0]
	f, err := os.Open(filepath.Join(k.root, listPath))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if k.list, err = suite.Read(f); err != nil {
		return nil, fmt.Errorf("%s: %w", listPath, err)
	}
	if k.tracked, err = o.output("git", "ls-files", "--cached", "--others", "--exclude-standard"); err != nil {
		return nil, err
	}
	k.tracked = slices.DeleteFunc(k.tracked, func(name string) bool { // deleted, and not yet committed
		_, err := os.Stat(filepath.Join(k.root, name))
		return err != nil
	})
	if len(packages) == 0 {
		for _, b := range k.list.Boots {
			for _, p := range b.Packages {
				packages = append(packages, p.Path)
			}
		}
	}
	for i, name := range packages {
		file := filepath.Join(dir, fmt.Sprintf("test%d", i))
		if k.programs[name] != "" {
			continue
		}
		if err := o.build(file, "test", "./"+name); err != nil {
			return nil, err
		}
		if _, err := os.Stat(file); err == nil {
			k.programs[name] = file
		}
	}
	return k, o.build(k.tool, "build", "./internal/guest/hosttool")
}

// job returns the job that runs the tests of a package which match run ("": all) and do not match skip.
func (o *options) job(k *kit, name, run, skip string) guest.Job {
	args := []string{"/tests/" + filepath.Base(k.programs[name]), "-test.timeout=0"}
	if o.verbose {
		args = append(args, "-test.v")
	}
	if run != "" {
		args = append(args, "-test.run="+run)
	}
	if skip != "" {
		args = append(args, "-test.skip="+skip)
	}
	return guest.Job{Name: name, Args: args, Dir: path.Join("/src", name)}
}

// boot runs jobs with tests in one boot. They find the module's files below /src, as go test lets them. id tells boots apart.
func (o *options) boot(k *kit, id string, cpu string, jobs []guest.Job, out io.Writer) (int, error) {
	for i := range jobs {
		jobs[i].Env = slices.Concat(o.env, []string{victim.EnvEmulated + "=1", "HOST_SOURCES=" + k.root,
			"HOST_SCRATCH=" + filepath.Join(k.dir, "scratch"+id), "HOST_LIBRARIES=" + o.packages})
	}
	m := o.machine
	m.CPU = cpu
	r, err := m.Boot(context.Background(), jobs, func(a *guest.Archive) {
		a.AddTree("/src", k.root, k.tracked)
		for _, j := range jobs {
			a.AddFile(j.Args[0], k.programs[j.Name])
		}
		o.userland(a)
		a.AddFile("/usr/bin/hosttool", k.tool)
		for _, name := range tools {
			a.Link("/usr/bin/"+name, "hosttool")
		}
	}, o.limit, out)
	return report(out, jobs, r, err)
}

// tools are the names under which the guest has internal/guest/hosttool.
var tools = []string{"gcc", "g++", "musl-gcc", "cc", "c++", "clang", "clang++", "as", "ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold", "ar", "nm", "objcopy", "objdump", "readelf", "strip", "addr2line", "go"}

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

// test runs the tests of packages in one boot, as patterns of the go command name them; but not those that no arm64 can run.
func (o *options) test(dir string, patterns []string) (int, error) {
	names, err := o.output("go", append([]string{"list", "-f", "{{.ImportPath}}"}, patterns...)...)
	if err != nil {
		return 125, err
	}
	for i, n := range names {
		_, names[i], _ = strings.Cut(n, "/")
	}
	k, err := o.prepare(dir, names)
	if err != nil {
		return 125, err
	}
	var jobs []guest.Job
	for _, name := range names {
		if k.programs[name] != "" {
			jobs = append(jobs, o.job(k, name, o.patterns, k.list.Skip(name, true)))
		}
	}
	if len(jobs) == 0 {
		return 2, fmt.Errorf("%s: no tests", strings.Join(patterns, " "))
	}
	return o.boot(k, "", o.machine.CPU, jobs, os.Stdout)
}

// suite runs what the list names, two boots at a time. Each line of output begins with the number of its boot.
func (o *options) suite(dir string) (int, error) {
	k, err := o.prepare(dir, nil)
	if err != nil {
		return 125, err
	}
	var wg sync.WaitGroup
	var out sync.Mutex
	free := make(chan struct{}, 2)
	status, errs := make([]int, len(k.list.Boots)), make([]error, len(k.list.Boots))
	for i, b := range k.list.Boots {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			var jobs []guest.Job
			for _, p := range b.Packages {
				jobs = append(jobs, o.job(k, p.Path, p.Run, k.list.Skip(p.Path, false)))
			}
			id := fmt.Sprint(i + 1)
			w := &lineWriter{to: os.Stdout, mu: &out, prefix: id + " "}
			status[i], errs[i] = o.boot(k, id, b.CPU, jobs, w)
			w.flush()
		})
	}
	wg.Wait()
	return slices.Max(status), errors.Join(errs...)
}

// lineWriter writes whole lines, each with a prefix, to what it shares with others.
type lineWriter struct {
	to     io.Writer
	mu     *sync.Mutex // of to
	prefix string
	begun  []byte // of a line
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.begun = append(w.begun, b...)
	for {
		line, rest, ok := strings.Cut(string(w.begun), "\n")
		if !ok {
			return len(b), nil
		}
		w.begun = []byte(rest)
		w.mu.Lock()
		_, err := fmt.Fprintf(w.to, "%s%s\n", w.prefix, line)
		w.mu.Unlock()
		if err != nil {
			return 0, err
		}
	}
}

// flush ends a line that was begun.
func (w *lineWriter) flush() {
	if len(w.begun) > 0 {
		fmt.Fprintln(w)
	}
}

// report prints a line for each package.
func report(w io.Writer, jobs []guest.Job, r *guest.Result, err error) (int, error) {
	status := 0
	for i, s := range r.Status {
		word, how := "ok", fmt.Sprint(r.Took[i].Round(time.Second))
		if s != 0 {
			word, status = "FAIL", 1
		}
		if s == guest.NotRun {
			how = "did not end"
		} else if s != 0 {
			how += fmt.Sprintf(", status %d", s)
		}
		fmt.Fprintf(w, "%-6s %s  (%s)\n", word, jobs[i].Name, how)
	}
	if err != nil {
		status = 125
	}
	return status, err
}

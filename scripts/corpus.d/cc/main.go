// cc stands for gcc, cc, g++ or c++, whichever name it is run by, in the builds of scripts/corpus. It runs the next
// compiler of that name on PATH, and besides
//
//   - keeps every object file by what it depends on (the compiler, the arguments, the directory, the unit as the
//     preprocessor gives it), so that each build can start from a tree without objects, and none can be stale;
//   - compiles each unit a second time with -ffunction-sections -fdata-sections, and, if it uses __LINE__, a third
//     time with __LINE__ defined to be 1: what the package internal/truth compares (see unit.go for a fourth);
//   - writes beside the linked file named by CORPUS_RESULT, as NAME.units, the twins of the objects in it.
//
// CORPUS_STORE is the directory that objects are kept in. Without it, as while configure runs, it only runs the compiler.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hotpatch/internal/truth"
)

func main() {
	if err := run(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(max(exit.ExitCode(), 1))
		}
		fmt.Fprintf(os.Stderr, "corpus cc: %v\n", err)
		os.Exit(1)
	}
}

func run(name string, args []string) error {
	real, err := compiler(name)
	if err != nil {
		return err
	}
	store := os.Getenv("CORPUS_STORE")
	c := parse(args)
	switch {
	case store == "" || c.other || len(c.sources)+len(c.objects) == 0:
		return syscall.Exec(real, append([]string{real}, args...), os.Environ())
	case c.compiles:
		return compile(&unit{compiler: real, store: store, command: c})
	case filepath.Base(c.output) == os.Getenv("CORPUS_RESULT"):
		if len(c.sources) > 0 {
			return fmt.Errorf("%s is compiled and linked in one step: its units cannot be told", c.output)
		}
		return link(real, store, c)
	}
	return syscall.Exec(real, append([]string{real}, args...), os.Environ())
}

// compiler finds the next program of the name on PATH that is not this one.
func compiler(name string) (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && !os.SameFile(st, self) {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no other %s on PATH", name)
}

// command is a compiler's command line, as far as it matters here.
type command struct {
	args     []string
	compiles bool // -c
	other    bool // preprocesses, lists, or prints something
	output   string
	depends  string // file of -MF
	sources  []string
	objects  []string
}

// sourceSuffixes are those of files that are compiled.
var sourceSuffixes = []string{".c", ".cc", ".cpp", ".cxx", ".C", ".S", ".s"}

// withArgument are options whose argument stands by itself and is no file to compile or link.
var withArgument = []string{"-MT", "-MQ", "-include", "-isystem", "-idirafter", "-x", "-I", "-L", "-D", "-U", "-Xlinker", "-T"}

func parse(args []string) *command {
	c := &command{args: args}
	for i := 0; i < len(args); i++ {
		next := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch a := args[i]; {
		case a == "-c":
			c.compiles = true
		case a == "-o":
			c.output = next()
		case a == "-MF":
			c.depends = next()
		case slices.Contains(withArgument, a):
			next()
		case a == "-E" || a == "-S" || a == "-M" || a == "-MM" || a == "-v" || a == "--version":
			c.other = true
		case a == "-" || a == "/dev/null":
			c.other = true
		case strings.HasPrefix(a, "-"):
		case slices.Contains(sourceSuffixes, filepath.Ext(a)):
			c.sources = append(c.sources, a)
		default:
			c.objects = append(c.objects, a)
		}
	}
	if c.output == "" && c.compiles && len(c.sources) == 1 {
		base := filepath.Base(c.sources[0])
		c.output = strings.TrimSuffix(base, filepath.Ext(base)) + ".o"
	}
	return c
}

// link links the result with a map, and writes which units the map says are in it.
func link(real, store string, c *command) error {
	layout := c.output + ".map"
	if err := execute(real, append(slices.Clone(c.args), "-Wl,-Map,"+layout)); err != nil {
		return err
	}
	f, err := os.Open(layout)
	if err != nil {
		return err
	}
	defer f.Close()
	inputs, err := truth.LinkedInputs(f)
	if err != nil {
		return fmt.Errorf("%s: %w", layout, err)
	}
	units, err := twins(store, inputs)
	if err != nil {
		return err
	}
	return truth.WriteUnits(c.output+".units", units)
}

// execute runs a program with this one's own input and output.
func execute(path string, args []string) error {
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// copyFile makes to a copy of from, in one step.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".copy")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := errors.Join(out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// Package suite reads the list of what scripts/test runs in the arm64 guest (scripts/guest.d/tests): which packages' tests, in which boot, and
// which tests not, for which reason.
//
// A line is a word and what belongs to it; # begins a comment line:
//
//	boot CPU              the packages up to the next such line run one after the other in one boot, on this CPU of QEMU's
//	package PATH [TESTS]  all tests of the package, or the functions that this regular expression matches
//	  left TEST REASON    but not this one, which scripts/guest test runs
//	  x86-64 TEST REASON  nor this one, which no arm64 can run
//	host PATH REASON      the package's tests run on the host only
//
// A TEST is a function's name, or that of a subtest: TestName/sub. A package that stands in several boots has its exceptions in one of them; they hold in all.
package suite

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Suite is the list.
type Suite struct {
	Boots      []Boot
	Host       []Exception // packages; Test is ""
	Exceptions []Exception
}

// Boot is what runs in one boot.
type Boot struct {
	CPU      string // as QEMU names it
	Packages []Package
}

// Package is a package with tests to run.
type Package struct {
	Path string // from the module's root, with slashes
	Run  string // regular expression, of functions' names; "": all
}

// Exception is a test that is not run with its package.
type Exception struct {
	Package string // as Package.Path
	Test    string // TestName or TestName/sub
	X86     bool   // nothing of it can run on arm64
	Reason  string
}

// Read reads a list. Errors name the line.
func Read(r io.Reader) (*Suite, error) {
	s := new(Suite)
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// line takes one line.
func (s *Suite) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	name, more, _ := strings.Cut(strings.TrimSpace(rest), " ")
	more = strings.TrimSpace(more)
	if name == "" {
		return fmt.Errorf("%q: nothing follows", line)
	}
	switch word {
	case "boot":
		if more != "" {
			return fmt.Errorf("%q: one CPU is wanted", line)
		}
		s.Boots = append(s.Boots, Boot{CPU: name})
		return nil
	case "package":
		if len(s.Boots) == 0 {
			return fmt.Errorf("%q: no boot", line)
		}
		if strings.Contains(more, "/") {
			return fmt.Errorf("%q: functions only; subtests are left out by name", line)
		}
		if _, err := regexp.Compile(more); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		b := &s.Boots[len(s.Boots)-1]
		b.Packages = append(b.Packages, Package{Path: name, Run: more})
		return nil
	case "left", "x86-64", "host":
		if more == "" {
			return fmt.Errorf("%q: no reason", line)
		}
	default:
		return fmt.Errorf("%q is not understood", line)
	}
	if word == "host" {
		s.Host = append(s.Host, Exception{Package: name, Reason: more})
		return nil
	}
	if len(s.Boots) == 0 || len(s.Boots[len(s.Boots)-1].Packages) == 0 {
		return fmt.Errorf("%q: no package", line)
	}
	in := s.Boots[len(s.Boots)-1].Packages
	s.Exceptions = append(s.Exceptions, Exception{Package: in[len(in)-1].Path, Test: name, X86: word == "x86-64", Reason: more})
	return nil
}

// Skip returns the pattern of go test -skip for a package: its exceptions, or "". With x86, only those that no arm64 can run.
// The elements of a pattern are matched one by one, so that several exceptions are patterns of their own between bars (go help testflag).
func (s *Suite) Skip(pkg string, x86 bool) string {
	var all []string
	for _, e := range s.Exceptions {
		if e.Package != pkg || x86 && !e.X86 {
			continue
		}
		elements := strings.Split(e.Test, "/")
		for i, name := range elements {
			elements[i] = "^" + regexp.QuoteMeta(name) + "$"
		}
		all = append(all, strings.Join(elements, "/"))
	}
	return strings.Join(all, "|")
}

// Runs reports whether some boot on this CPU runs a test function.
func (s *Suite) Runs(cpu, pkg, test string) bool {
	for _, b := range s.Boots {
		for _, p := range b.Packages {
			if b.CPU != cpu || p.Path != pkg {
				continue
			}
			if ok, err := regexp.MatchString(p.Run, test); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// Table returns the tests that run on x86-64 only as the table of the README.
func (s *Suite) Table() string {
	var b strings.Builder
	b.WriteString("| package | test | why |\n|---|---|---|\n")
	for _, e := range s.Exceptions {
		if e.X86 {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", e.Package, e.Test, e.Reason)
		}
	}
	return b.String()
}

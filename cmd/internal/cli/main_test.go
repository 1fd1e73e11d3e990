package cli

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// asProgram, in the environment, makes the test binary behave as hotpatch itself. Tests that need a process
// of its own (signals, other users) run it that way.
const asProgram = "HOTPATCH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// program is hotpatch as a process.
type program struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// prepare makes the command that runs the test binary at path as hotpatch.
func prepare(path string, args ...string) *program {
	p := &program{Cmd: exec.Command(path, args...)}
	p.Env = append(os.Environ(), asProgram+"=1")
	p.Stdout, p.Stderr = &p.out, &p.err
	return p
}

// wait waits for the end and returns what was printed.
func (p *program) wait(t testing.TB) result {
	t.Helper()
	if err := p.Wait(); err != nil && p.ProcessState == nil {
		t.Fatal(err)
	}
	return result{p.ProcessState.ExitCode(), p.out.String(), p.err.String()}
}

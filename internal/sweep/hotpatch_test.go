package sweep

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotpatch/internal/victim"
)

// Exit codes of the command (DESIGN.md, section 5).
const (
	exitDone      = 0
	exitFailed    = 1
	exitBusy      = 4
	exitAttention = 5
	exitKilled    = -1 // what os/exec gives for a signal
)

// tool is the hotpatch command, built with the tag hotpatch_sweep, and the patches from version 1 to 2 and to 3.
type tool struct {
	path    string
	patches [versions + 1]string // by the version that they lead to
	named   int                  // how often runs that ended have said that a call may have returned EINTR
}

// names is what a run says of such a call: on arm64 one that began just as its thread was stopped cannot be made again (ptrace, eintr_arm64.go).
var names = regexp.MustCompile(`began [a-z0-9_]+ just as it was stopped: it may have returned EINTR(?: \((\d+) times\))?`)

// note adds what a run names.
func (h *tool) note(r *run) {
	for _, m := range names.FindAllStringSubmatch(r.out, -1) {
		times, err := strconv.Atoi(m[1])
		if err != nil {
			times = 1
		}
		h.named += times
	}
}

// newTool builds the command and the patches.
func newTool(t *testing.T) *tool {
	t.Helper()
	dir := t.TempDir()
	h := newCommand(t, dir)
	for v := 2; v <= versions; v++ {
		h.patches[v] = filepath.Join(dir, fmt.Sprintf("%d.patch", v))
		if r := h.run(t, nil, "diff", build(t, 1), build(t, v), "-o", h.patches[v]); r.code != exitDone {
			t.Fatalf("%v", r)
		}
	}
	return h
}

// newCommand builds the command alone.
func newCommand(t *testing.T, dir string) *tool {
	t.Helper()
	h := &tool{path: filepath.Join(dir, "hotpatch")}
	cmd := exec.Command("go", "build", "-tags", "hotpatch_sweep", "-o", h.path, "./cmd/hotpatch")
	cmd.Dir = victim.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return h
}

// run is a hotpatch that has ended.
type run struct {
	args  []string
	code  int      // its exit code; exitKilled: a signal ended it
	out   string   // both outputs
	names []string // of the instants that it passed
}

func (r *run) String() string {
	last := ""
	if n := len(r.names); n > 0 {
		last = fmt.Sprintf(", the last of %d instants: %s", n, r.names[n-1])
	}
	return fmt.Sprintf("hotpatch %s: exit code %d%s\n%s", r.args[0], r.code, last, strings.TrimSpace(r.out))
}

// run runs the command. Environment variables of ptrace/probe_sweep.go say what is to happen on the way.
func (h *tool) run(t *testing.T, env []string, args ...string) *run {
	t.Helper()
	p := h.begin(t, env, args...)
	return p.wait()
}

// process is a hotpatch that runs.
type process struct {
	t      *testing.T
	h      *tool
	ctx    context.Context
	cancel func()
	cmd    *exec.Cmd
	run    run
	out    bytes.Buffer
	trace  string   // file of its instants' names
	asks   *os.File // what it says when it waits; nil: it never does
	lines  *bufio.Reader
	tells  *os.File // the answers
}

// longestRun is how long a hotpatch may take before it is killed and the test fails.
const longestRun = 2 * time.Minute

// begin starts the command.
func (h *tool) begin(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longestRun)
	p := &process{t: t, h: h, ctx: ctx, cancel: cancel, run: run{args: args}, trace: filepath.Join(t.TempDir(), "instants")}
	p.cmd = exec.CommandContext(ctx, h.path, args...)
	p.cmd.Env = append(append(os.Environ(), "HOTPATCH_READS=1", "HOTPATCH_PROBES="+p.trace), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	var theirs []*os.File
	if strings.Contains(strings.Join(env, " "), "HOTPATCH_AT=") {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r2, w2, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p.asks, p.lines, p.tells, theirs = r, bufio.NewReader(r), w2, []*os.File{w, r2}
		p.cmd.ExtraFiles = theirs
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range theirs {
		f.Close()
	}
	return p
}

// at starts the command so that it waits at an instant.
func (h *tool) at(t *testing.T, instant int, args ...string) *process {
	t.Helper()
	return h.begin(t, []string{"HOTPATCH_AT=" + strconv.Itoa(instant)}, args...)
}

// arrived waits until the process waits at an instant, and returns that and its name; false: it has ended before.
func (p *process) arrived() (instant int, name string, ok bool) {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return 0, "", false
	}
	number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
	if instant, err = strconv.Atoi(number); err != nil {
		p.t.Fatalf("hotpatch says %q", line)
	}
	return instant, name, true
}

// answer is what a process that waits is told.
type answer struct {
	errno syscall.Errno // what its next operations give, which are not performed
	fails int           // their number
	next  int           // the instant at which it waits again; 0: never
	kill  int           // the instant at which it dies; 0: never
}

// answer lets a process that waits go on. That it may have been killed is seen at its end.
func (p *process) answer(a answer) { fmt.Fprintln(p.tells, int(a.errno), a.fails, a.next, a.kill) }

// wait waits for the end of the process.
func (p *process) wait() *run {
	p.t.Helper()
	err := p.cmd.Wait()
	if p.ctx.Err() != nil {
		p.t.Errorf("hotpatch %v did not end for %v", p.run.args, longestRun)
	}
	p.cancel()
	for _, f := range []*os.File{p.asks, p.tells} {
		if f != nil {
			f.Close()
		}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	p.run.code, p.run.out = p.cmd.ProcessState.ExitCode(), p.out.String()
	raw, err := os.ReadFile(p.trace)
	if err == nil {
		p.run.names = strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	}
	p.h.note(&p.run)
	return &p.run
}

// listing is what list --json says of a process, as far as it is of interest.
type listing struct {
	applied, unfinished int
	attention           []string
}

// list runs the verb list and decodes what it says.
func (h *tool) list(t *testing.T, pid int) (listing, error) {
	t.Helper()
	var doc struct {
		Processes []struct {
			Patches   []struct{ State string }
			Attention []string
		}
	}
	r := h.run(t, nil, "list", "-p", strconv.Itoa(pid), "--json")
	end := strings.LastIndexByte(r.out, '}') + 1 // the error on stderr follows
	if err := json.Unmarshal([]byte(r.out[:end]), &doc); err != nil || len(doc.Processes) != 1 {
		return listing{}, fmt.Errorf("%v (%v)", r, err)
	}
	l := listing{attention: doc.Processes[0].Attention}
	for _, p := range doc.Processes[0].Patches {
		switch p.State {
		case "applied":
			l.applied++
		case "unfinished":
			l.unfinished++
		}
	}
	if want := map[bool]int{false: exitDone, true: exitAttention}[len(l.attention) > 0]; r.code != want {
		return l, fmt.Errorf("want exit code %d: %v", want, r)
	}
	return l, nil
}

// truth fails unless list says what the target's answers say.
func (h *tool) truth(t *testing.T, tg *target, seen class) error {
	t.Helper()
	l, err := h.list(t, tg.v.PID)
	if err != nil {
		return err
	}
	switch {
	case seen == version(1) && l.applied == 0 && l.unfinished == 0:
	case seen == version(2) && l.applied == 1, seen == version(3) && l.applied == 1:
	case seen&mixed != 0 && l.unfinished > 0 && len(l.attention) > 0:
	default:
		return fmt.Errorf("it answers as %v, but list says %+v", seen, l)
	}
	return nil
}

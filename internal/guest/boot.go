package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Machine says what to boot.
type Machine struct {
	QEMU   string // qemu-system-aarch64
	Kernel string // an arm64 Image
	Init   string // package guest/init, compiled for linux/arm64
	CPU    string // as QEMU names it
	Memory int    // MiB
}

// Result is how the jobs of a boot ended.
type Result struct {
	Status []int           // of each job: 0 to 255; NotRun
	Took   []time.Duration // each job, by the host's clock; 0: it did not end
}

// NotRun is the status of a job that did not end.
const NotRun = -1

// ErrGuest says that the guest itself failed: it did not boot, panicked, or did not end in time. What its jobs said by then
// stands in the result.
var ErrGuest = errors.New("the guest failed")

// Boot boots the machine, runs the jobs in it one after the other, and writes what they print to out as it comes. add
// adds the files that they need. The limit is by the host's clock, for everything.
func (m *Machine) Boot(ctx context.Context, jobs []Job, add func(*Archive), limit time.Duration, out io.Writer) (*Result, error) {
	list := &Jobs{Nonce: "guest-" + rand.Text(), List: jobs}
	result := &Result{Status: make([]int, len(jobs)), Took: make([]time.Duration, len(jobs))}
	for i := range result.Status {
		result.Status[i] = NotRun
	}
	dir, err := os.MkdirTemp("", "hotpatch-guest-")
	if err != nil {
		return result, fmt.Errorf("guest: %w", err)
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := m.writeInitrd(initrd, list, add); err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := m.command(ctx, initrd)
	line, err := cmd.StdoutPipe()
	if err != nil {
		return result, fmt.Errorf("guest: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return result, fmt.Errorf("guest: %w", err)
	}
	c := &console{jobs: list, out: out, result: result}
	rerr := c.read(line)
	if rerr != nil {
		cancel()
	}
	return result, c.judge(ctx, rerr, cmd.Wait(), limit)
}

// judge says whether the guest worked: it has said so, and QEMU's exit status is the same.
func (c *console) judge(ctx context.Context, read, wait error, limit time.Duration) error {
	var exit *exec.ExitError
	status := 0
	if errors.As(wait, &exit) {
		status = exit.ExitCode()
	}
	at := ""
	if c.job >= 0 {
		at = ", in " + c.jobs.List[c.job].Name
	}
	switch {
	case read != nil:
		return fmt.Errorf("%w%s: %w", ErrGuest, at, read)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: not done in %v%s: %w", ErrGuest, limit, at, ctx.Err())
	case c.done < 0:
		return fmt.Errorf("%w: it ended without a word (QEMU's exit status %d)%s", ErrGuest, status, at)
	case c.done != status || wait != nil && exit == nil:
		return fmt.Errorf("%w: it ended with status %d, QEMU with %d (%v)", ErrGuest, c.done, status, wait)
	}
	return nil
}

// command returns the command that boots the machine. See QEMU's manual: invocation, virt.
func (m *Machine) command(ctx context.Context, initrd string) *exec.Cmd {
	args := []string{
		"-M", "virt,gic-version=3", "-cpu", m.CPU, "-smp", "2", "-m", strconv.Itoa(m.Memory),
		"-nodefaults", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
		"-semihosting-config", "enable=on,userspace=on",
		"-kernel", m.Kernel, "-initrd", initrd, "-append", "console=ttyAMA0 quiet panic=-1",
	}
	cmd := exec.CommandContext(ctx, m.QEMU, args...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	return cmd
}

// writeInitrd writes the guest's files.
func (m *Machine) writeInitrd(file string, jobs *Jobs, add func(*Archive)) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := NewArchive(f)
	for _, dir := range []string{"/proc", "/sys", "/dev", "/tmp", "/root"} {
		a.Dir(dir)
	}
	a.Device("/dev/console", 0o600, 5, 1)
	a.Device("/dev/null", 0o666, 1, 3)
	a.AddFile("/init", m.Init)
	js, err := encodeJobs(jobs)
	if err != nil {
		return err
	}
	a.Add(JobsPath, 0o600, js)
	if add != nil {
		add(a)
	}
	return a.Close()
}

//go:build linux && arm64

// Init is the first process of the guest (package guest): it mounts what programs expect, runs the jobs, and ends the machine.
//
// Process 1 only reaps: everybody's orphans become its children. The jobs are run by a second process, itself again.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/guest"
	"hotpatch/internal/guest/semihost"
)

// runner is the argument that makes this program the second process.
const runner = "runner"

// failed is the machine's status if init itself could not do its work.
const failed = 99

func main() {
	if len(os.Args) > 1 && os.Args[1] == runner {
		os.Exit(runJobs())
	}
	status := failed
	if err := first(&status); err != nil {
		fmt.Fprintln(os.Stderr, "guest init:", err)
	}
	unix.Sync()
	unix.IoctlSetInt(1, unix.TCSBRK, 1) // drains the console: tcdrain(3)
	semihost.Exit(status)
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // nobody listens
}

// first is what process 1 does.
func first(status *int) error {
	if err := mounts(); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return err
	}
	if err := rawConsole(); err != nil {
		return err
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"/init", runner}, &syscall.ProcAttr{
		Env:   []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin", "HOME=/root", "TMPDIR=/tmp", "USER=root"},
		Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("runner: %w", err)
	}
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case got == pid && ws.Exited():
			*status = ws.ExitStatus()
			return nil
		case got == pid:
			return fmt.Errorf("the runner was ended by %v", ws.Signal())
		}
	}
}

// mounts mounts the file systems that every program expects.
func mounts() error {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"devpts", "/dev/pts", ""},
		{"tmpfs", "/dev/shm", ""},
		{"tmpfs", "/tmp", "mode=1777"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2"} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// loopback brings the interface lo up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return nil
}

// rawConsole makes the console pass on what is written as it is.
func rawConsole() error {
	t, err := unix.IoctlGetTermios(1, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON
	if err := unix.IoctlSetTermios(1, unix.TCSETS, t); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// runJobs runs all jobs and returns the status for the machine: 0, or 1 if one failed.
func runJobs() int {
	f, err := os.Open(guest.JobsPath)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest init:", err)
		return failed
	}
	jobs, err := guest.ReadJobs(f)
	f.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest init:", err)
		return failed
	}
	log, err := openKernelLog()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest init:", err)
		return failed
	}
	all := 0
	for i := range jobs.List {
		jobs.Start(os.Stdout, i)
		status := run(&jobs.List[i])
		if said := log.warnings(); len(said) > 0 {
			fmt.Printf("the kernel warns of itself:\n\t%s\n", strings.Join(said, "\n\t"))
			if status == 0 {
				status = guest.ExitKernel
			}
		}
		jobs.End(os.Stdout, i, status)
		if status != 0 {
			all = 1
		}
	}
	jobs.Done(os.Stdout, all)
	return all
}

// lateOutput is how long what a job has left behind may hold its output open.
const lateOutput = 2 * time.Second

// run runs one job, in a process group of its own, which its limit ends as a whole.
func run(job *guest.Job) int {
	ctx := context.Background()
	if job.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, job.Limit)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, job.Args[0], job.Args[1:]...)
	cmd.Dir = job.Dir
	cmd.Env = append(os.Environ(), job.Env...)
	cmd.Stdout = io.MultiWriter(os.Stdout) // not the console itself: a pipe, as in other tests
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = lateOutput
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		fmt.Printf("ended: not done in %v\n", job.Limit)
		return guest.ExitLimit
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return exit.ExitCode()
	}
	fmt.Println(err)
	return failed
}

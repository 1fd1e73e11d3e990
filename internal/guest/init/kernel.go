//go:build linux && arm64

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelLog reads what the kernel says (/dev/kmsg, Documentation/ABI/testing/dev-kmsg): a job that makes the kernel warn of itself has failed, even if all
// it printed is well. On an operator's machine that would be the end of everything.
type kernelLog struct {
	fd int
}

// maxRecord is the longest record that the kernel gives (PRINTKRB_RECORD_MAX, CONSOLE_EXT_LOG_MAX: 8 KiB).
const maxRecord = 8 << 10 // bytes

// maxTold bounds the lines that are shown of a warning.
const maxTold = 80

// openKernelLog opens the log at its end.
func openKernelLog() (*kernelLog, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/kmsg: %w", err)
	}
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("/dev/kmsg: %w", err)
	}
	return &kernelLog{fd: fd}, nil
}

// warnings returns what the kernel has said since the last call, from the first warning on; nothing if it did not warn.
func (k *kernelLog) warnings() (lines []string) {
	var record [maxRecord]byte
	for {
		n, err := unix.Read(k.fd, record[:])
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR): // records were overwritten: the next is the oldest there is
			continue
		case err != nil || n == 0:
			return lines
		}
		_, text, _ := strings.Cut(string(record[:n]), ";")
		text, _, _ = strings.Cut(text, "\n")
		if (len(lines) > 0 || isWarning(text)) && len(lines) < maxTold {
			lines = append(lines, text)
		}
	}
}

// isWarning reports whether a line of the kernel's is about a fault of its own. Lockups and stalls are not: they are the host's, which let the emulator wait.
func isWarning(line string) bool {
	return strings.HasPrefix(line, "WARNING: ") || strings.HasPrefix(line, "BUG: ") || strings.HasPrefix(line, "Internal error: ") ||
		strings.Contains(line, "[ cut here ]") || strings.Contains(line, "refcount_t:")
}

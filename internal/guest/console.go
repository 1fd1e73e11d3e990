package guest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// console takes the guest's serial line apart.
type console struct {
	jobs   *Jobs
	out    io.Writer // what the jobs print; and, in front of the first and behind the last one, the kernel
	result *Result
	done   int // status of the done line; -1: there was none
	job    int // that runs; -1: none
	began  time.Time
	blank  bool
}

// maxLine bounds a line that is looked at for the protocol: a longer one is passed on in pieces.
const maxLine = 1 << 16

// read reads until the end of r.
func (c *console) read(r io.Reader) error {
	c.done, c.job = -1, -1
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if werr := c.line(line); werr != nil {
				return werr
			}
		}
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			return nil
		default:
			return fmt.Errorf("guest: console: %w", err)
		}
	}
}

// line takes one line, with its end. The empty line that the protocol puts in front of each of its own is held back
// until it is known to be the job's.
func (c *console) line(b []byte) error {
	b = bytes.ReplaceAll(b, []byte("\r"), nil)
	if s, ok := strings.CutPrefix(string(b), c.jobs.Nonce+" "); ok {
		c.blank = false
		return c.protocol(strings.TrimSpace(s))
	}
	if c.blank {
		c.blank = false
		if _, err := io.WriteString(c.out, "\n"); err != nil {
			return err
		}
	}
	if string(b) == "\n" {
		c.blank = true
		return nil
	}
	_, err := c.out.Write(b)
	return err
}

// protocol takes a line of the protocol, without its nonce.
func (c *console) protocol(s string) error {
	var job, status int
	if n, _ := fmt.Sscanf(s, "start %d", &job); n == 1 && job >= 0 && job < len(c.jobs.List) {
		c.job, c.began = job, time.Now()
		return nil
	}
	if n, _ := fmt.Sscanf(s, "end %d %d", &job, &status); n == 2 && job == c.job && job >= 0 {
		c.result.Status[job], c.result.Took[job] = status, time.Since(c.began)
		c.job = -1
		return nil
	}
	if n, _ := fmt.Sscanf(s, "done %d", &status); n == 1 {
		c.done = status
		return nil
	}
	return fmt.Errorf("guest: console: %q is not understood", s)
}

package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Job is one program to run in the guest.
type Job struct {
	Name  string        // for people
	Args  []string      // Args[0] is the program's path in the guest
	Dir   string        // working directory in the guest; "": /
	Env   []string      // NAME=VALUE, beside those that init sets: PATH, HOME, TMPDIR
	Limit time.Duration // by the guest's clock; 0: none
}

// Jobs is what init finds in the initramfs.
type Jobs struct {
	Nonce string // of this boot; begins every line of the protocol
	List  []Job
}

// JobsPath is where init finds them, as JSON.
const JobsPath = "/jobs.json"

// ExitLimit is the exit status of a job that was ended because its time had passed, as timeout(1) has it.
const ExitLimit = 124

// ExitKernel is the exit status of a job that ended well, but made the kernel warn of itself.
const ExitKernel = 125

// The lines of the protocol, each on a line of its own:
//
//	NONCE start JOB         the job begins; all up to its end line is its output
//	NONCE end JOB STATUS    it has ended; 128 + n: by signal n
//	NONCE done STATUS       all have; 0: every job's status is 0
const (
	startLine = "%s start %d"
	endLine   = "%s end %d %d"
	doneLine  = "%s done %d"
)

// WriteJobs encodes jobs for init.
func WriteJobs(w io.Writer, jobs *Jobs) error {
	if err := json.NewEncoder(w).Encode(jobs); err != nil {
		return fmt.Errorf("guest: jobs: %w", err)
	}
	return nil
}

// ReadJobs decodes what WriteJobs wrote.
func ReadJobs(r io.Reader) (*Jobs, error) {
	var jobs Jobs
	if err := json.NewDecoder(r).Decode(&jobs); err != nil {
		return nil, fmt.Errorf("guest: jobs: %w", err)
	}
	return &jobs, nil
}

// Start, End and Done write the lines of the protocol. A line begins on a line of its own, whatever the job printed last.
func (j *Jobs) Start(w io.Writer, job int) { fmt.Fprintf(w, "\n"+startLine+"\n", j.Nonce, job) }

// End says how a job ended.
func (j *Jobs) End(w io.Writer, job, status int) {
	fmt.Fprintf(w, "\n"+endLine+"\n", j.Nonce, job, status)
}

// Done says that no more will come.
func (j *Jobs) Done(w io.Writer, status int) { fmt.Fprintf(w, "\n"+doneLine+"\n", j.Nonce, status) }

// encodeJobs is WriteJobs into memory.
func encodeJobs(jobs *Jobs) ([]byte, error) {
	var b bytes.Buffer
	err := WriteJobs(&b, jobs)
	return b.Bytes(), err
}

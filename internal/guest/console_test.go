package guest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConsole(t *testing.T) {
	const none = -1
	tests := []struct {
		name   string
		line   string
		out    string
		status []int
		done   int
		fails  bool
	}{
		{name: "nothing", status: []int{NotRun, NotRun}, done: none},
		{
			name:   "two jobs",
			line:   "boot\n\nN start 0\na\nb\n\nN end 0 0\n\nN start 1\nc\n\nN end 1 7\n\nN done 1\n",
			out:    "boot\na\nb\nc\n",
			status: []int{0, 7}, done: 1,
		},
		{
			name: "carriage returns", line: "\r\nN start 0\r\na\r\n\r\nN end 0 0\r\n\r\nN done 0\r\n",
			out: "a\n", status: []int{0, NotRun}, done: 0,
		},
		{
			name: "no end of line", line: "\nN start 0\na\nN end 0 0\n\nN done 0\n",
			out: "a\n", status: []int{0, NotRun}, done: 0,
		},
		{
			name: "empty lines are the job's", line: "\nN start 0\n\n\na\n\n\n\nN end 0 0\n\nN done 0\n",
			out: "\n\na\n\n\n", status: []int{0, NotRun}, done: 0,
		},
		{
			name: "cut short", line: "\nN start 0\na", out: "a", status: []int{NotRun, NotRun}, done: none,
		},
		{
			name: "another boot's nonce", line: "\nN start 0\nM end 0 0\n", out: "M end 0 0\n", status: []int{NotRun, NotRun}, done: none,
		},
		{name: "the end of a job that does not run", line: "\nN start 0\n\nN end 1 0\n", status: []int{NotRun, NotRun}, done: none, fails: true},
		{name: "a job that there is not", line: "\nN start 2\n", status: []int{NotRun, NotRun}, done: none, fails: true},
		{
			name: "a long line", line: "\nN start 0\n" + strings.Repeat("x", 3*maxLine) + "\n\nN end 0 0\n\nN done 0\n",
			out: strings.Repeat("x", 3*maxLine) + "\n", status: []int{0, NotRun}, done: 0,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			r := &Result{Status: []int{NotRun, NotRun}, Took: make([]time.Duration, 2)}
			c := &console{jobs: &Jobs{Nonce: "N", List: make([]Job, 2)}, out: &out, result: r}
			err := c.read(strings.NewReader(test.line))
			if (err != nil) != test.fails {
				t.Fatalf("error %v", err)
			}
			if out.String() != test.out {
				t.Errorf("output %q, want %q", out.String(), test.out)
			}
			if !slices.Equal(r.Status, test.status) || c.done != test.done {
				t.Errorf("status %v, done %d; want %v, %d", r.Status, c.done, test.status, test.done)
			}
		})
	}
}

func TestJobsRoundTrip(t *testing.T) {
	jobs := &Jobs{Nonce: "N", List: []Job{{Name: "a", Args: []string{"/bin/a", "-x"}, Dir: "/tmp", Env: []string{"A=b"}, Limit: 5}}}
	b, err := encodeJobs(jobs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadJobs(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	again, err := encodeJobs(got)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("%s, then %s (%v)", b, again, err)
	}
}

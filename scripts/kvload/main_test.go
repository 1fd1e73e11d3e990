package main

import (
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

func TestSteps(t *testing.T) {
	path := victim.Build(t, "gcc", []string{"kvd/kvd.c", "kvd/command.c", "kvd/table.c", "kvd/queue.c"},
		"-O2", "-g", "-pthread", "-fPIE", "-pie", "-DVERSION=1")
	addr := "127.0.0.1:" + strings.TrimPrefix(victim.Start(t, path).Line(), "port ")
	for _, tc := range []struct {
		name, steps, want, err string
	}{
		{name: "no step", want: "replies are version 1's"},
		{name: "a step that changes nothing", steps: "# hello\n1 echo done\n", want: "done"},
		{name: "a step that fails", steps: "2 exit 3\n", err: "exit status 3"},
		{name: "a step that promises another version", steps: "2 true\n", err: "may answer"},
		{name: "no version", steps: "true\n", err: "want a version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(tc.steps), &out, addr, 4, 1, 100)
			switch {
			case tc.err == "" && err != nil:
				t.Error(err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("error %v, want one with %q", err, tc.err)
			case !strings.Contains(out.String(), tc.want):
				t.Errorf("printed %q, want %q in it", out.String(), tc.want)
			}
		})
	}
}

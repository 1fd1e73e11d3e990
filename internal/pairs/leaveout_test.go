package pairs_test

import (
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

// TestLeaveOut applies patches that leave functions out: those go on as they were.
func TestLeaveOut(t *testing.T) {
	old, next := parts(t, "1"), parts(t, "2")
	const before = "8 108 5 17 1 old name"
	for _, c := range []struct {
		name     string
		opt      elfdiff.Options
		after    string
		reverted string // the array was counted up meanwhile if it is not left out
	}{
		{name: "callee", opt: elfdiff.Options{Skip: []string{"tax"}, Acks: []string{"skip:tax"}},
			after: "8 208 83 22 6 ew name", reverted: "8 108 5 17 9 old name"},
		{name: "caller", opt: elfdiff.Options{Skip: []string{"total"}, Acks: []string{"skip:total"}},
			after: "12 112 83 22 6 ew name", reverted: "8 108 5 17 9 old name"},
		{name: "reader", opt: elfdiff.Options{Skip: []string{"name"}, Acks: []string{"skip:name"}},
			after: "12 212 83 22 6 new name", reverted: "8 108 5 17 9 old name"},
		{name: "all but one", opt: elfdiff.Options{Only: []string{"tax"}, Acks: []string{"only:tax"}},
			after: "12 112 5 17 5 new name", reverted: "8 108 5 17 9 old name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			trial.Run(t, leaveOut(t, old, next, c.opt), trial.Answers{Before: before, After: c.after, Reverted: c.reverted}, old)
		})
	}
}

// TestLeaveOutRecorded looks for the word that was given in what a patched process says, and applies another patch to it.
func TestLeaveOutRecorded(t *testing.T) {
	old, next := parts(t, "1"), parts(t, "2")
	f := leaveOut(t, old, next, elfdiff.Options{Skip: []string{"tax"}, Acks: []string{"skip:tax"}})
	v := victim.Start(t, old)
	if _, err := inject.Apply(t.Context(), v.PID, []*patch.File{f}, inject.Options{Wait: trial.Wait}); err != nil {
		t.Fatal(err)
	}
	s, err := inject.Inspect(v.PID, nil)
	if err != nil || len(s.Patches) != 1 || len(s.Patches[0].Acks) != 1 {
		t.Fatalf("%+v, %v: want one patch with one acknowledgement", s, err)
	}
	if a := s.Patches[0].Acks[0]; a.ID != "skip:tax" || a.User != "test" {
		t.Errorf("acknowledgement %+v", a)
	}
	// What version 3 was built to call is not there.
	later := leaveOut(t, next, parts(t, "3"), elfdiff.Options{})
	if _, err := inject.Apply(t.Context(), v.PID, []*patch.File{later}, inject.Options{Wait: trial.Wait}); err == nil || !strings.Contains(err.Error(), "tax") {
		t.Errorf("a patch that counts on the function that was left out: %v, want a refusal that names it", err)
	} else {
		t.Log(err)
	}
	v.End()
}

func parts(t *testing.T, version string) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"leaveout/parts.c"}, "-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-DV="+version)
}

// leaveOut makes a patch; there must be one.
func leaveOut(t *testing.T, old, next string, opt elfdiff.Options) *patch.File {
	t.Helper()
	opt.User, opt.Date = "test", time.Unix(0, 0)
	var im [2]*image.Image
	for i, path := range []string{old, next} {
		var err error
		if im[i], err = image.Load(path, image.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := elfdiff.Diff(im[0], im[1], opt)
	if err != nil || r.Patch == nil {
		t.Fatalf("no patch: %v, %+v", err, r)
	}
	f, err := r.Patch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

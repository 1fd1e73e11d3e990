package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"hotpatch/elfdiff/patch"
)

// diffReport is what is read of the output of hotpatch diff --json.
type diffReport struct {
	Functions   []change `json:"functions"`
	Data        []change `json:"data"`
	Others      []change `json:"others"`
	MissingAcks []string `json:"missing_acks"`
	Error       *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// change is one line of the report.
type change struct {
	What    string `json:"what"`
	Name    string `json:"name"`
	File    string `json:"file"`
	Change  string `json:"change"`
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
}

// exitRefused is the exit code of a refused patch, or one that lacks acknowledgements.
const exitRefused = 3

// diff compares two linked files.
func diff(hotpatch, old, new string, more ...string) (*diffReport, error) {
	cmd := exec.Command(hotpatch, append([]string{"diff", "--json", old, new}, more...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == exitRefused) {
		return nil, fmt.Errorf("hotpatch diff %s %s: %w: %s", old, new, err, stderr.Bytes())
	}
	d := &diffReport{}
	if err := json.Unmarshal(out, d); err != nil {
		return nil, fmt.Errorf("hotpatch diff %s %s: %w", old, new, err)
	}
	return d, nil
}

// fate says what becomes of a fix.
type fate struct {
	outcome string   // "patch", "refused", "nothing to patch"
	acks    []string // that are needed
	refused []string // "NAME: why"
	apart   []string // of a patch: "NAME: why" of what is not put into force by one write; none: atomic
}

// fateOf gives every acknowledgement that is asked for, and reads the patch that comes of it.
func fateOf(hotpatch string, p *pair, d *diffReport) (fate, error) {
	f := fate{acks: d.MissingAcks}
	for _, c := range slices.Concat(d.Functions, d.Data, d.Others) {
		if c.Verdict == string(patch.Refused) {
			f.refused = append(f.refused, c.Name+": "+c.Why)
		}
	}
	if len(f.refused) > 0 {
		f.outcome = "refused"
		return f, nil
	}
	dir, err := os.MkdirTemp("", "accuracy")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "patch")
	args := []string{"-o", file}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(f.acks))) {
		args = append(args, "--ack", id)
	}
	again, err := diff(hotpatch, p.old, p.new, args...)
	if err != nil {
		return f, err
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && again.Error != nil:
		return f, fmt.Errorf("%s: no patch: %s", p, again.Error.Message)
	case errors.Is(err, os.ErrNotExist):
		f.outcome = "no patch"
		return f, nil
	case err != nil:
		return f, err
	}
	f.outcome = "patch"
	made, err := patch.Decode(data)
	if err != nil {
		return f, err
	}
	f.apart = apart(made.Patch)
	return f, nil
}

// apart lists what a patch puts into force by writes of its own, so that a death of hotpatch can leave a mixture: what inject cannot give a
// gate, if there is anything else in the patch.
func apart(p *patch.Patch) []string {
	const page, jump = 4096, 5
	var out []string
	writes := len(p.Consts)
	for i := range p.Consts {
		out = append(out, p.Consts[i].Name+": a constant")
	}
	crosses := false
	for i := range p.Funcs {
		f := &p.Funcs[i]
		if f.How != patch.Changed {
			continue
		}
		writes++
		at := (uint64(f.Old[0].Addr) + uint64(f.Jump.Off)) % page
		switch {
		case at+jump > page:
			crosses = true
			out = append(out, f.Name+": in two pages")
		case f.Jump.Take == 0:
			out = append(out, f.Name+": "+f.Jump.Fixed)
		}
	}
	if writes <= 1 && !crosses {
		return nil
	}
	return out
}

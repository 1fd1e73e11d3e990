package inject

import (
	"context"
	"errors"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// symbolsOf answers Options.Functions from a program's symbols.
func symbolsOf(t *testing.T, path string) func(string, []byte, string) ([]Function, error) {
	im, err := image.Load(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return func(_ string, _ []byte, name string) (out []Function, err error) {
		for _, a := range im.Atoms {
			if a.IsCode() && a.Name == name && a.Size > 0 {
				out = append(out, Function{Name: name, Parts: []Part{{a.Addr, a.Size}}})
			}
		}
		return out, nil
	}
}

// TestWhenIdle counts a function as replaced that is not: as built, and as a patch before has made it.
func TestWhenIdle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		started int // version
		add     []string
	}{
		{name: "as built", started: 2},
		{name: "in a payload", started: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := build(t, "chain", c.started)
			v := victim.Start(t, path)
			if c.started == 1 {
				apply(t, v.PID, chainPatch(t, 1))
			}
			f := []*patch.File{chainPatch(t, 2)}
			ask(t, v, "hold", "held")
			opt := Options{Functions: symbolsOf(t, path), WhenIdle: []string{"busy"}}
			var busy *BusyError
			if _, err := Apply(context.Background(), v.PID, f, opt); !errors.As(err, &busy) || busy.Threads[0].Func != "busy" {
				t.Fatalf("apply: %v, want busy busy", err)
			}
			ask(t, v, "release", "busy 42")
			r, err := Apply(context.Background(), v.PID, f, opt)
			if err != nil || len(r.WhenIdle) != 1 || !strings.Contains(r.WhenIdle[0], "chain:busy (chain, 0x") {
				t.Fatalf("apply: %v, %q", err, r.WhenIdle)
			}
			// As a patch added it, and with a module named.
			ask(t, v, "hold", "held")
			opt.WhenIdle = []string{"discount", "chain:name"}
			if r, err = Revert(context.Background(), v.PID, "", opt); err != nil || len(r.WhenIdle) != 2 {
				t.Errorf("revert: %v, %q", err, r.WhenIdle)
			}
			ask(t, v, "release", "busy 42")
			v.End()
		})
	}
}

// TestWhenIdleNames: a name has to mean one function.
func TestWhenIdleNames(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	f := []*patch.File{chainPatch(t, 1)}
	two := func(_ string, _ []byte, name string) ([]Function, error) {
		if name != "helper" {
			return nil, nil
		}
		at := func(file string, a arch.ImageAddr) Function {
			return Function{Name: name, File: file, Parts: []Part{{a, 16}}}
		}
		return []Function{at("one.c", 0x1100), at("two.c", 0x1200)}, nil
	}
	before := footprint(t, v.PID)
	for name, want := range map[string][]string{
		"helper":       {"2 functions have this name", "one.c:helper", "two.c:helper", "FILE:FUNC"},
		"nosuch":       {"no function of this name"},
		"three.c:name": {"no function of this name"},
	} {
		_, err := Apply(context.Background(), v.PID, f, Options{Functions: two, WhenIdle: []string{name}})
		if !errors.Is(err, patch.ErrRefused) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v does not say %q", name, err, w)
			}
		}
	}
	if footprint(t, v.PID) != before {
		t.Error("the process has changed")
	}
	if _, err := Apply(context.Background(), v.PID, f, Options{Functions: two, WhenIdle: []string{"two.c:helper"}}); err != nil {
		t.Error(err)
	}
	v.End()
}

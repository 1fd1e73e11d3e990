package inject

import (
	"strings"
	"testing"

	"hotpatch/arch"
)

// TestHostileEntry: an entry of a journal is used with the patch that it names, and both are the process's to write.
func TestHostileEntry(t *testing.T) {
	t.Parallel()
	f := iparaPatch(t, 1, 2)
	sound := func() *entry {
		e := &entry{Syms: make([]arch.Addr, len(f.Symbols)), Bodies: make([]body, len(f.Funcs))}
		for i := range f.Funcs {
			e.Bodies[i].How = f.Funcs[i].How
		}
		return e
	}
	j := &journal{Files: [][]byte{f.Raw}}
	first, err := j.decodeFile(sound())
	if err != nil || first.ID != f.ID {
		t.Fatalf("a sound entry: %v", err)
	}
	if again, err := j.decodeFile(sound()); err != nil || again != first {
		t.Errorf("a second entry of the patch has it decoded again (error %v)", err)
	}
	for _, c := range []struct {
		name, want string
		do         func(e *entry)
	}{
		{"no functions", "0 functions", func(e *entry) { e.Bodies = nil }},
		{"a function more", "damaged", func(e *entry) { e.Bodies = append(e.Bodies, body{}) }},
		{"no symbols", "0 symbols", func(e *entry) { e.Syms = nil }},
		{"another kind of change", "how 9", func(e *entry) { e.Bodies[0].How = 9 }},
	} {
		e := sound()
		c.do(e)
		if _, err := j.decodeFile(e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestDamagedHelp: only what was never in force is cleared by the next transaction. All else keeps every one from being made.
func TestDamagedHelp(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errTorn, "the next apply or revert clears"},
		{errTwoPending, "restart the program"},
	} {
		if s := (&leftover{At: 0x1000, Err: c.err}).String(); !strings.Contains(s, c.want) || !strings.Contains(s, c.err.Error()) {
			t.Errorf("%v: %q does not say %q", c.err, s, c.want)
		}
	}
}

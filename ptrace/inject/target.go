package inject

import (
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// A target is code that must not be active when the text changes.
type target struct {
	placedRange

	// entries are the places from which a thread that stands there goes into the code that is meant to run from
	// now on: the start of a body that will begin with a jump, and the place of the jump; or the start of
	// a function that reads a constant. A body that gets no jump (one that is removed, or that a revert leaves) has none: a thread
	// that has just come to its start is going to execute it.
	entries []arch.Addr

	noReturn bool // the function goes round in a loop that it has no way out of
	reader   bool // it is not replaced: it reads a constant that is
	idle     bool // it is not replaced: Options.WhenIdle names it
}

// payloadTargets returns all code of a patch's payload that is about to go out of force, one target for each function. What stands
// between two functions (stubs, filling) is part of the one before. They have no entries: the newest body gets no jump when it
// is reverted, but runs on as it is for those who have a pointer to it.
func payloadTargets(l *link) []target {
	var text *segRecord
	for i := range l.e.Segs {
		if l.e.Segs[i].Kind == patch.Text {
			text = &l.e.Segs[i]
		}
	}
	if text == nil {
		return nil
	}
	end := text.Addr + arch.Addr(text.Size)
	var out []target
	for i := range l.file.Symbols {
		s := &l.file.Symbols[i]
		if at := l.e.Syms[i]; s.Kind == patch.SymDefined && s.Func && at >= text.Addr && at < end {
			out = append(out, target{placedRange: placedRange{Name: s.Name, Addr: at}})
		}
	}
	sort.SliceStable(out, func(i, k int) bool { return out[i].Addr < out[k].Addr })
	if len(out) == 0 || out[0].Addr > text.Addr {
		out = append([]target{{placedRange: placedRange{Name: "payload of " + l.file.ID.Short(), Addr: text.Addr}}}, out...)
	}
	n := 0
	for _, t := range out { // aliases become one
		if n > 0 && out[n-1].Addr == t.Addr {
			continue
		}
		out[n] = t
		n++
	}
	out = out[:n]
	for i := range out {
		next := end
		if i+1 < len(out) {
			next = out[i+1].Addr
		}
		out[i].Size = uint64(next - out[i].Addr)
	}
	return out
}

// oldTargets returns the code that a patch replaced, for a link that is in force in part.
func oldTargets(v *moduleView, l *link) []target {
	var out []target
	for i := range l.e.Bodies {
		b := &l.e.Bodies[i]
		for k, r := range b.Old {
			t := target{placedRange: placedRange{Name: b.Name, Addr: r.Addr, Size: r.Size}}
			if k == 0 {
				t.entries = entriesOf(v, b, r.Addr)
			}
			out = append(out, t)
		}
	}
	return append(out, readerTargets(l)...)
}

func readerTargets(l *link) []target {
	var out []target
	for _, r := range l.e.Readers {
		out = append(out, readerTarget(r))
	}
	return out
}

// trueEntries returns each target's entries without those that a thread may have come to from within: the targets' own code
// branches to them (a loop that begins at the function's first instruction), or to an earlier place from which it
// runs on to them. A thread there may be in the midst of the function, with other registers than a caller would
// pass, so that it must not run into a jump; that is so for a program counter, and for one that a signal frame holds.
//
// Branches between two targets count too. An unchanged function passes what it always did, but one that is replaced
// as well may pass what only the old body understands (-fipa-ra, a dropped argument), and is no longer on the
// stack after a jump. Code that cannot be decoded, and an indirect jump, may lead anywhere in its own range. The code
// is read as it runs.
func trueEntries(a *arch.Arch, mem memory, targets []target) ([][]arch.Addr, error) {
	inner := make(map[arch.Addr]bool)
	unknown := make([]bool, len(targets))
	for i := range targets {
		t := &targets[i]
		code, err := readBytes(mem, t.Addr, int(t.Size))
		if err != nil {
			return nil, err
		}
		unknown[i] = !branches(a, code, t.Addr, inner)
	}
	out := make([][]arch.Addr, len(targets))
	for i := range targets {
		t := &targets[i]
		if unknown[i] {
			continue
		}
		first := t.end() // of the places that are branched to, up to the last entry
		for _, e := range t.entries {
			for p := t.Addr; p <= e && p < t.end(); p++ {
				if inner[p] {
					first = min(first, p)
				}
			}
		}
		for _, e := range t.entries {
			if e < first {
				out[i] = append(out[i], e)
			}
		}
	}
	return out, nil
}

// branches adds where the code at an address branches to. It reports false if it cannot know all of it.
func branches(a *arch.Arch, code []byte, at arch.Addr, to map[arch.Addr]bool) bool {
	known := true
	for len(code) > 0 {
		in, err := a.Decode(code)
		if err != nil || in.Len <= 0 || in.Len > len(code) {
			return false
		}
		switch in.Flow {
		case arch.FlowJump, arch.FlowBranch:
			to[at+arch.Addr(in.Target)] = true
		case arch.FlowJumpInd:
			known = false
		}
		code, at = code[in.Len:], at+arch.Addr(in.Len)
	}
	return known
}

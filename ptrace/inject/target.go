package inject

import (
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// A target is code that must not be active when the text changes.
type target struct {
	placedRange
	entries []arch.Addr // words equal to these are function pointers, not return addresses
}

// payloadTargets returns all code of a patch's payload, one target for each function. What stands
// between two functions (stubs, filling) is part of the one before.
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
			out = append(out, target{placedRange: placedRange{Name: s.Name, Addr: at}, entries: []arch.Addr{at}})
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
		for k := range l.e.Bodies {
			if v := l.e.Bodies[k].Version; v.Site >= out[i].Addr && v.Site < next {
				out[i].entries = append(out[i].entries, v.Site)
			}
		}
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

// innerEntries returns the entries that the targets' own code may branch to: a loop that begins at the function's
// first instruction. A thread there may be in the midst of the function, with other registers than
// a caller would pass, so that it must not run into a jump. Code that cannot be decoded, and an indirect jump, may
// lead anywhere in its function. It reads the code as it runs.
func innerEntries(a *arch.Arch, mem memory, targets []target) ([]arch.Addr, error) {
	inner := make(map[arch.Addr]bool)
	for i := range targets {
		t := &targets[i]
		code, err := readBytes(mem, t.Addr, int(t.Size))
		if err != nil {
			return nil, err
		}
		if branches(a, code, t.Addr, inner) {
			continue
		}
		for _, e := range t.entries {
			inner[e] = true
		}
	}
	var out []arch.Addr
	for i := range targets {
		for _, e := range targets[i].entries {
			if inner[e] {
				out = append(out, e)
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

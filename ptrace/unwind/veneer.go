package unwind

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// FindVeneers notes the code outside of the targets through which their own branches lead on into the midst of a target ([Target].Veneers), on
// architectures whose linkers make such: a long branch from one part of a function to another, and the stubs of GNU ld into which an instruction of a
// function is moved where an erratum of the Cortex-A53 would hit it (--fix-cortex-a53-843419, -835769). No call frame information tells of them.
func (s *Space) FindVeneers(targets []Target, mem cfi.Memory) error {
	if s.Arch.Unwind.Stub == nil {
		return nil
	}
	v := veneers{space: s, index: newIndex(targets, nil, 0, 0), text: newWindow(mem, pageSize)}
	code := newWindow(mem, scanBuffer)
	for i := range targets {
		t := &targets[i]
		for at := t.Start; at < t.End; at += arch.Addr(s.Arch.InstAlign) {
			if off := uint64(at - code.base); off >= uint64(len(code.buf)) {
				if err := code.load(at, t.End); err != nil {
					return fmt.Errorf("%s at %#x: %w", t.Name, at, err)
				}
			}
			in, err := s.Arch.Decode(code.buf[at-code.base:])
			if err != nil || in.Flow != arch.FlowJump && in.Flow != arch.FlowBranch {
				continue // what cannot be decoded is no branch
			}
			to := at + arch.Addr(in.Target)
			if t.Contains(to) {
				continue
			}
			if r, into := v.at(to); into >= 0 {
				targets[into].Veneers = append(targets[into].Veneers, r)
			}
		}
	}
	return nil
}

// veneers finds veneers by where they lead.
type veneers struct {
	space *Space
	index *index
	text  *window
}

// at returns the range of the veneer that begins at a, and the target, by the caller's order, into the midst of which it leads; -1: there is none.
func (v *veneers) at(a arch.Addr) (Range, int) {
	s := v.space
	i := s.find(a)
	if i < 0 {
		return Range{}, -1
	}
	exec, ok := s.Modules[i].execRange(a)
	if !ok {
		return Range{}, -1
	}
	if st, ok := s.stub(v.text, exec, a); ok {
		if st.Slot {
			return Range{}, -1
		}
		return Range{Start: a, End: a + arch.Addr(st.Len)}, v.midst(st.To)
	}
	code, err := v.text.view(a, int(min(maxStub, exec.End-a)))
	for off := 0; err == nil && off < len(code); {
		var in arch.Inst
		if in, err = s.Arch.Decode(code[off:]); err != nil || in.Flow != arch.FlowNext && in.Flow != arch.FlowJump {
			break
		}
		end := a + arch.Addr(off+in.Len)
		if in.Flow == arch.FlowJump {
			return Range{Start: a, End: end}, v.midst(a + arch.Addr(off) + arch.Addr(in.Target))
		}
		off += in.Len
	}
	return Range{}, -1
}

// midst returns the target in the midst of which a lies, by the caller's order, or -1.
func (v *veneers) midst(a arch.Addr) int {
	i := v.index.executing(a)
	if i < 0 {
		return -1
	}
	return v.index.order[i]
}

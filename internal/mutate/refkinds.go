package mutate

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"hotpatch/arch"
)

// retarget leads a field of an instruction to another address.
func (p *Program) retarget(kind Kind, r *ref, to arch.ImageAddr) Mutation {
	in := &p.insts[r.inst]
	disp := binary.LittleEndian.AppendUint32(nil, uint32(to-in.end()))
	return Mutation{Kind: kind, Addr: in.addr, inst: r.inst, must: []arch.ImageAddr{r.owner}, edits: []edit{p.edit(r.field, disp...)},
		reads: []arch.ImageAddr{r.target, to}, What: fmt.Sprintf("%s: %#x -> %#x", in.text, uint64(r.target), uint64(to))}
}

// codeRefs returns the fields of instructions for which keep holds.
func (p *Program) codeRefs(keep func(r *ref, in *inst) bool) []*ref {
	var out []*ref
	for i := range p.refs {
		r := &p.refs[i]
		if r.inst >= 0 && r.size == 4 && r.owner != 0 && r.target != 0 && keep(r, &p.insts[r.inst]) {
			out = append(out, r)
		}
	}
	return out
}

// isStub reports whether an address is that of a PLT stub.
func (p *Program) isStub(addr arch.ImageAddr) bool {
	s := p.section(addr)
	return s != nil && strings.HasPrefix(s.Name, ".plt")
}

// transfers reports whether an instruction is a direct call or jump.
func transfers(in *inst) bool {
	return (strings.HasPrefix(in.text, "call") || strings.HasPrefix(in.text, "j")) && !strings.Contains(in.text, "[")
}

// findCalls leads a call or a tail call to another function.
func findCalls(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	refs := p.codeRefs(func(r *ref, in *inst) bool {
		f := p.functionAt(r.target)
		return transfers(in) && f != nil && f.start == r.target && f.unit != r.owner
	})
	for _, ref := range refs {
		to := p.funcs[r.IntN(len(p.funcs))]
		if to.start != ref.target && to.unit != ref.owner && to.unit == to.start {
			m := p.retarget(Call, ref, to.start)
			m.reads = nil
			out = append(out, m)
		}
	}
	return out
}

// findImports leads a call of another module's function to another stub.
func findImports(p *Program, r *rand.Rand) []Mutation {
	refs := p.codeRefs(func(r *ref, in *inst) bool { return transfers(in) && p.isStub(r.target) })
	var out []Mutation
	for _, ref := range refs {
		if to := refs[r.IntN(len(refs))].target; to != ref.target {
			out = append(out, p.retarget(Import, ref, to))
		}
	}
	return out
}

// findSlots leads an access to the global offset table to another slot, among those that the same kind of access uses.
func findSlots(p *Program, r *rand.Rand) []Mutation {
	refs := p.codeRefs(func(r *ref, in *inst) bool {
		s := p.section(r.target)
		return s != nil && strings.HasPrefix(s.Name, ".got") && r.width == 8 && r.sym != ""
	})
	var out []Mutation
	for _, ref := range refs {
		if to := refs[r.IntN(len(refs))]; to.target != ref.target && to.sym != ref.sym {
			m := p.retarget(Slot, ref, to.target)
			m.reads = nil
			out = append(out, m)
		}
	}
	return out
}

// named returns the references to the start of an object, or into it.
func (p *Program) named() []*ref {
	return p.codeRefs(func(r *ref, in *inst) bool {
		o := p.objectAt(r.target)
		return !transfers(in) && o != nil && !o.overlaps && r.target+arch.ImageAddr(r.width) <= o.end && !strings.HasPrefix(o.section.Name, ".got")
	})
}

// findObjects leads a reference to another object of the same section, at the same distance from its start.
func findObjects(p *Program, r *rand.Rand) []Mutation {
	refs := p.named()
	var out []Mutation
	for _, ref := range refs {
		a := p.objectAt(ref.target)
		b := p.objectAt(refs[r.IntN(len(refs))].target)
		to := b.start + (ref.target - a.start)
		if a == b || b.section != a.section || to+arch.ImageAddr(max(ref.width, 1)) > b.end || p.equalCopies(a, b) || a.local && p.readBy(a) < 2 {
			continue
		}
		m := p.retarget(Object, ref, to)
		m.reads = []arch.ImageAddr{a.start, b.start}
		if a.local || b.local { // its references may be what tells it from others of its name
			m.reads, m.keys = nil, m.reads
		}
		out = append(out, m)
	}
	return out
}

// readBy returns how many references to an object there are. A static object of the source that has none left would be in no build.
func (p *Program) readBy(o *object) int {
	n := 0
	for _, l := range p.labelsIn(o.start, o.end) {
		n += len(p.readers[l])
	}
	return n
}

// equalCopies reports whether two objects are static constants of equal content: which of them is read makes no difference.
func (p *Program) equalCopies(a, b *object) bool {
	return a.readOnly && b.readOnly && a.local && b.local && a.end-a.start == b.end-b.start &&
		bytes.Equal(p.bytes(a.start, int(a.end-a.start)), p.bytes(b.start, int(b.end-b.start)))
}

// findInside leads a reference to another place in the same object.
func findInside(p *Program, r *rand.Rand) []Mutation {
	var out []Mutation
	for _, ref := range p.named() {
		o := p.objectAt(ref.target)
		room := int64(o.end-o.start) - int64(max(ref.width, 1))
		if room < 1 {
			continue
		}
		if to := o.start + arch.ImageAddr(r.Int64N(room+1)); to != ref.target {
			m := p.retarget(Inside, ref, to)
			m.reads = []arch.ImageAddr{o.start}
			out = append(out, m)
		}
	}
	return out
}

// nameless returns the references to constants without a symbol.
func (p *Program) nameless() []*ref {
	return p.codeRefs(func(r *ref, in *inst) bool {
		s := p.section(r.target)
		return !transfers(in) && s != nil && s.Flags&(elf.SHF_WRITE|elf.SHF_EXECINSTR) == 0 && s.Type == elf.SHT_PROGBITS && p.objectAt(r.target) == nil &&
			!p.isJumpTable(r.target)
	})
}

// isJumpTable reports whether the linker relocated the word at an address relative to itself.
func (p *Program) isJumpTable(addr arch.ImageAddr) bool {
	l := p.refsIn(addr, addr+1)
	return len(l) > 0 && l[0].typ == elf.R_X86_64_PC32
}

// findTexts exchanges what two functions refer to, so that every constant still has a reader: one that has none would be no build's.
func findTexts(p *Program, r *rand.Rand) []Mutation {
	refs := p.nameless()
	r.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
	var out []Mutation
	for i := 0; i+1 < len(refs); i += 2 {
		a, b := refs[i], refs[i+1]
		if a.target == b.target || a.width != b.width || a.owner == b.owner || a.width == 0 && (p.text(a.target) == "" || p.text(b.target) == "") {
			continue
		}
		n := max(a.width, min(len(p.text(a.target)), len(p.text(b.target))))
		if x, y := p.bytes(a.target, n), p.bytes(b.target, n); x == nil || y == nil || bytes.Equal(x, y) {
			continue
		}
		m, other := p.retarget(Text, a, b.target), p.retarget(Text, b, a.target)
		m.must, m.edits = append(m.must, other.must...), append(m.edits, other.edits...)
		m.reads, m.keys = nil, m.reads
		out = append(out, m)
	}
	return out
}

// text returns the printable text of 4 bytes or more at an address, with its NUL; "" if there is none.
func (p *Program) text(addr arch.ImageAddr) string {
	s := p.section(addr)
	if s == nil || s.Type != elf.SHT_PROGBITS || s.Flags&(elf.SHF_WRITE|elf.SHF_EXECINSTR) != 0 {
		return ""
	}
	const longest = 4096
	b := p.bytes(addr, int(min(longest, s.Addr+s.Size-uint64(addr))))
	n := bytes.IndexByte(b, 0)
	if n < 4 || slices.ContainsFunc(b[:n], func(c byte) bool { return !printable(c) }) {
		return ""
	}
	return string(b[:n+1])
}

func printable(c byte) bool { return c >= ' ' && c <= '~' || c == '\n' || c == '\t' }

// findStubs leads a PLT stub to another slot: each function that calls it calls something else.
func findStubs(p *Program, r *rand.Rand) []Mutation {
	callers := make(map[arch.ImageAddr][]arch.ImageAddr)
	for i := range p.refs {
		ref := &p.refs[i]
		if ref.inst >= 0 && p.isStub(ref.target) && ref.owner != 0 {
			callers[ref.target] = append(callers[ref.target], ref.owner)
		}
	}
	type stub struct {
		start, slot arch.ImageAddr
		jump        int
	}
	var stubs []stub
	for start := range callers {
		for i := p.instAt(start); i >= 0 && i < len(p.insts) && p.insts[i].addr < start+16; i++ {
			if in := &p.insts[i]; strings.Contains(in.text, "jmp") && strings.Contains(in.text, "[rip") {
				slot := in.end() + arch.ImageAddr(int32(binary.LittleEndian.Uint32(in.code[len(in.code)-4:])))
				stubs = append(stubs, stub{start, slot, i})
				break
			}
		}
	}
	slices.SortFunc(stubs, func(a, b stub) int { return int(int64(a.start - b.start)) })
	var out []Mutation
	for _, s := range stubs {
		for range 4 {
			other := stubs[r.IntN(len(stubs))]
			in := &p.insts[s.jump]
			if other.slot == s.slot || strings.Contains(in.text, "notrack") {
				continue
			}
			at := in.end() - 4
			out = append(out, Mutation{Kind: Stub, Addr: in.addr, inst: s.jump, must: callers[s.start],
				keys: []arch.ImageAddr{s.start, other.start}, What: fmt.Sprintf("stub %#x: slot %#x -> %#x", uint64(s.start), uint64(s.slot), uint64(other.slot)),
				edits: []edit{p.edit(at, binary.LittleEndian.AppendUint32(nil, uint32(other.slot-in.end()))...)}})
		}
	}
	return out
}

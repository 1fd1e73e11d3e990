package image

import (
	"bytes"
	"fmt"

	"hotpatch/arch"
)

// nextGap returns the next run of bytes, at off or later, that belong to no instruction.
func (p *part) nextGap(off int) (start, end int, ok bool) {
	n := bytes.IndexByte(p.state[off:], byteUnknown)
	if n < 0 {
		return 0, 0, false
	}
	start = off + n
	off = start
	for off < len(p.state) && p.state[off] == byteUnknown {
		off++
	}
	return start, off, start < off
}

// fillGaps takes unreached bytes as code where all of them decode, up to the next instruction that is
// known, and name only places that make sense. Compilers leave such code behind calls that do
// not return and at -O0. Everything else stays a gap.
func (d *Decoder) fillGaps() error {
	for changed := true; changed; {
		changed = false
		for i := range d.parts {
			p := &d.parts[i]
			for start, end, ok := p.nextGap(0); ok; start, end, ok = p.nextGap(end) {
				if !d.deadCode(i, start, end) {
					continue
				}
				if err := d.follow(Target{d.atoms[i], uint32(start)}, byteUnseen); err != nil {
					return err
				}
				if err := d.reach(); err != nil {
					return err
				}
				changed = true
			}
		}
	}
	return nil
}

// deadCode reports whether the gap [start, end) of part i holds instructions that do something.
func (d *Decoder) deadCode(i, start, end int) bool {
	p := &d.parts[i]
	if d.im.Arch.Jump.IsPadding(p.code[start:end]) {
		return false
	}
	idle := true
	var in arch.Inst // escapes: once for all instructions
	var err error
	for off := start; off < end; {
		if in, err = d.im.Arch.Decode(p.code[off:end]); err != nil {
			return false
		}
		if !d.im.Arch.IsNop(p.code[off:], &in) && in.Flow != arch.FlowStop {
			idle = false
		}
		if !d.sensible(Target{d.atoms[i], uint32(off)}, &in) {
			return false
		}
		off += in.Len
	}
	return !idle
}

// sensible reports whether all that an instruction refers to exists: data that decodes by accident
// nearly always refers to nowhere.
func (d *Decoder) sensible(t Target, in *arch.Inst) bool {
	at := t.Atom.Addr + arch.ImageAddr(t.Off)
	if in.BrSize > 0 {
		v := at + arch.ImageAddr(in.Target)
		if to, i, ok := d.locate(v); ok {
			return d.parts[i].state[to.Off] != byteInside
		}
		if d.im.stubAt(v) != nil {
			return true
		}
		a := d.im.AtomAt(v)
		return a != nil && a.Addr == v && a.IsCode()
	}
	for i := range in.NumOps {
		if in.Ops[i].Kind != arch.OpPC {
			continue
		}
		if d.im.SectionAt(at+arch.ImageAddr(in.Ops[i].Value)) == nil {
			return false
		}
	}
	return true
}

// checkIndirect refuses a unit that jumps indirectly to a target that no table explains and also holds code that
// nothing reaches: the jump may well lead there, by a table of unknown form.
func (d *Decoder) checkIndirect() error {
	var open *Target
	for i := range d.jumps {
		if !d.isTableJump(d.jumps[i]) {
			open = &d.jumps[i]
			break
		}
	}
	if open == nil || len(d.inner) > 0 {
		return nil
	}
	for i := range d.parts {
		p := &d.parts[i]
		for off, s := range p.state {
			if s != byteUnseen {
				continue
			}
			in := d.instAt(p, uint32(off))
			if d.im.Arch.IsNop(p.code[off:], in) || in.Flow == arch.FlowStop {
				continue
			}
			k := d.partOf(open.Atom)
			return &DecodeError{Atom: open.Atom, Off: open.Off, Code: head(d.parts[k].code[open.Off:]),
				Msg: fmt.Sprintf("indirect jump without a recognised table, while nothing leads to the code at %s+%#x", d.atoms[i].Name, off)}
		}
	}
	return nil
}

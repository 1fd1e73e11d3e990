package cli

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// labels names addresses for the disassembler.
type labels []label // by addr

type label struct {
	addr, size uint64
	name       string
}

// near is how far in front of a label an address is still spelled "label-n": code
// refers to arr-8 where arr[i-1] is meant.
const near = 256

// find names the label that covers addr or ends at it, or that begins shortly behind it. It has the
// signature that disassemblers expect: a name and the address that the name stands for.
func (l labels) find(addr uint64) (string, uint64) {
	i, exact := slices.BinarySearchFunc(l, addr, func(x label, a uint64) int {
		switch {
		case x.addr < a:
			return -1
		case x.addr > a:
			return 1
		}
		return 0
	})
	if exact {
		return l[i].name, addr
	}
	if i > 0 && addr-l[i-1].addr <= l[i-1].size {
		return l[i-1].name, l[i-1].addr
	}
	if i < len(l) && l[i].addr-addr <= near {
		return fmt.Sprintf("%s-%#x", l[i].name, l[i].addr-addr), addr
	}
	return "", 0
}

// lister disassembles the functions of a patch, old and new. The new code is linked for
// display only: what lies in the old image gets its address there, everything else an address behind.
type lister struct {
	arch   *arch.Arch
	p      *patch.Patch
	old    labels   // the old image, as far as the patch knows it
	new    labels   // symbols of the patch at their display addresses
	addr   []uint64 // display address by symbol index
	got    []uint64 // display address of the slot that holds the symbol's address
	places []uint64 // display address by section index
}

// gap separates invented addresses, so that no offset of one label reaches the next.
const gap = 1 << 16

// newLister gives every symbol and section of the patch an address.
func newLister(a *arch.Arch, p *patch.Patch, name func(string) string) *lister {
	l := &lister{arch: a, p: p, addr: make([]uint64, len(p.Symbols)), got: make([]uint64, len(p.Symbols)), places: make([]uint64, len(p.Sections))}
	var next uint64
	known := func(name string, addr, size uint64) {
		l.old = append(l.old, label{addr, size, name})
		next = max(next, addr+size)
	}
	for _, f := range p.Funcs {
		for _, part := range f.Old {
			known(part.Name, uint64(part.Addr), part.Size)
		}
	}
	for _, c := range p.Consts {
		known(c.Name, uint64(c.Addr), uint64(len(c.Old)))
	}
	for _, s := range p.Slots {
		known(s.Name+"@got", uint64(s.Addr), uint64(a.PtrSize))
	}
	for _, s := range p.Symbols {
		if s.Kind == patch.SymImage {
			known(s.Name, s.Value, s.Size)
		}
	}
	invent := func(size uint64) uint64 {
		next = (next + gap) &^ (gap - 1)
		addr := next
		next += size + gap
		return addr
	}
	for i, s := range p.Sections {
		l.places[i] = invent(s.Size)
	}
	for i, s := range p.Symbols {
		switch s.Kind {
		case patch.SymImage:
			l.addr[i] = s.Value
		case patch.SymDefined:
			l.addr[i] = l.places[s.Section] + s.Value
		case patch.SymImport:
			l.addr[i] = invent(0)
		}
		l.got[i] = invent(uint64(a.PtrSize))
		l.new = append(l.new, label{l.addr[i], s.Size, s.Name}, label{l.got[i], uint64(a.PtrSize), s.Name + "@got"})
	}
	l.old, l.new = l.old.sorted(name), l.new.sorted(name)
	return l
}

// sorted brings labels into the order of their addresses, one for each address: the largest.
func (l labels) sorted(name func(string) string) labels {
	for i := range l {
		l[i].name = name(l[i].name)
	}
	slices.SortStableFunc(l, func(x, y label) int {
		switch {
		case x.addr != y.addr && x.addr < y.addr:
			return -1
		case x.addr != y.addr:
			return 1
		case x.size > y.size:
			return -1
		case x.size < y.size:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(l, func(x, y label) bool { return x.addr == y.addr })
}

// oldLines disassembles a part of an old function.
func (l *lister) oldLines(part *patch.Part) []line {
	return l.lines(part.Bytes, uint64(part.Addr), part.Fields, l.old)
}

// newLines disassembles the new body of a function.
func (l *lister) newLines(f *patch.Func) ([]line, error) {
	sym := &l.p.Symbols[f.New]
	sec := &l.p.Sections[sym.Section]
	code := slices.Clone(sec.Data)
	var fields []patch.Field
	for _, r := range sec.Relocs {
		how, ok := l.arch.Relocs[r.Type]
		if !ok || r.Off+uint64(how.Size) > uint64(len(code)) {
			return nil, fmt.Errorf("%s: relocation of type %d at %#x is not known", sym.Name, r.Type, r.Off)
		}
		v := int64(l.addr[r.Sym]) + r.Addend
		if how.Kind == arch.RelocGOTPC {
			v = int64(l.got[r.Sym]) + r.Addend
		}
		if how.Kind != arch.RelocAbs {
			v -= int64(l.places[sym.Section] + r.Off)
		}
		if err := how.Put(code[r.Off:r.Off+uint64(how.Size)], v); err != nil {
			return nil, fmt.Errorf("%s: relocation at %#x: %w", sym.Name, r.Off, err)
		}
		if r.Off >= sym.Value {
			fields = append(fields, patch.Field{Off: uint32(r.Off - sym.Value), Size: uint8(how.Size)})
		}
	}
	return l.lines(code[sym.Value:sym.Value+sym.Size], l.addr[f.New], fields, l.new), nil
}

// line is one instruction as it is shown and compared.
type line struct {
	off  int // in its part of the function
	text string
	// key is the instruction without what it refers to: its bytes with the reference fields
	// blanked, or the canonical form of a jump within the function.
	key   string
	local bool   // a jump within the function: where to is not compared
	refs  string // what it refers to, by name
	named bool   // everything that it refers to has a name
}

func (l line) String() string { return fmt.Sprintf("%5x  %s", l.off, l.text) }

// lines disassembles code at addr; fields are the references in it, by Off. Bytes that are no
// instruction are shown as such: the lister explains, it does not judge. Padding is left out.
func (l *lister) lines(code []byte, addr uint64, fields []patch.Field, names labels) []line {
	var out []line
	for off := 0; off < len(code); {
		inst, err := l.arch.Decode(code[off:])
		if err != nil {
			text := fmt.Sprintf(".byte %#02x", code[off])
			out = append(out, line{off: off, text: text, key: text, named: true})
			off++
			continue
		}
		bytes := code[off : off+inst.Len]
		if !l.arch.IsNop(bytes, &inst) {
			ln := line{off: off, named: true}
			ln.text = clean(l.arch.Text(bytes, addr+uint64(off), func(to uint64) (string, uint64) {
				if to >= addr && to < addr+uint64(len(code)) {
					return fmt.Sprintf("+%#x", to-addr), to // as in the column of offsets
				}
				name, base := names.find(to)
				ln.named = ln.named && name != ""
				ln.refs += fmt.Sprintf("%s+%#x ", name, to-base)
				return name, base
			}))
			if to := int64(off) + inst.Target; inst.BrSize > 0 && to >= 0 && to < int64(len(code)) {
				ln.local, ln.key = true, "local "+string(l.arch.Canon(nil, bytes, &inst))
			} else {
				ln.key = string(blank(bytes, uint32(off), fields))
			}
			out = append(out, ln)
		}
		off += inst.Len
	}
	return out
}

// blank returns the instruction at off with its reference fields set to zero.
func blank(inst []byte, off uint32, fields []patch.Field) []byte {
	out := slices.Clone(inst)
	first, _ := slices.BinarySearchFunc(fields, off, func(f patch.Field, off uint32) int { return int(f.Off) - int(off) })
	for _, f := range fields[first:] {
		if f.Off-off >= uint32(len(inst)) {
			break
		}
		clear(out[f.Off-off : min(len(out), int(f.Off-off)+int(f.Size))])
	}
	return out
}

// textWidth is the width of one column of the side-by-side view.
const textWidth = 56

// sideBySide prints old beside new. The mark between them: "|" changed, "<" only old,
// ">" only new, "~" the same instruction where the patch has no name for what the old one
// refers to.
func (a *app) sideBySide(old, new []line) {
	for _, r := range align(old, new) {
		var left, right string
		if r.old >= 0 {
			left = old[r.old].String()
		}
		if r.new >= 0 {
			right = new[r.new].String()
		}
		mark := r.mark(old, new)
		colour := map[string]string{"|": yellow, "<": red, ">": green}[mark]
		s := strings.TrimRight("    "+pad(left, textWidth)+" "+mark+" "+right, " ")
		if colour != "" {
			s = a.paint(colour, s)
		}
		a.printf("%s", s)
	}
}

// mark compares the two lines of a row.
func (r row) mark(old, new []line) string {
	switch {
	case r.new < 0:
		return "<"
	case r.old < 0:
		return ">"
	}
	o, n := &old[r.old], &new[r.new]
	switch {
	case o.key != n.key:
		return "|"
	case o.local && n.local:
		return " "
	case !o.named:
		return "~"
	case o.refs != n.refs:
		return "|"
	}
	return " "
}

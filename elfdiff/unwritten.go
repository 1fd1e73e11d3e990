package elfdiff

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// GCC for arm64 puts the initial values of a local array, if they are addresses, where the program could write: in .data, without a name. They
// are constants all the same, and the payload may carry a copy of them, if nothing in the program writes to them or lets others do so.

// unwritten returns why it is not shown that nothing writes to the data without a name from start to end, which lies where the program
// could; "" if it is.
func (s *side) unwritten(start, end arch.ImageAddr) string {
	if s.im.Arch.Pieces == nil || s.im.Type != elf.ET_DYN {
		return "the program may write to it"
	}
	if !s.namesLocals() {
		return "the program may write to it, and the file has no local names: a variable cannot be told from a constant; keep them (strip, if it must be, without -x and --strip-unneeded)"
	}
	for _, r := range s.im.DynRelocs(0, ^arch.ImageAddr(0)) {
		at := arch.ImageAddr(r.Addend)
		if r.Defined {
			at += r.SymDef
		}
		if (r.Sym == "" || r.Defined) && at >= start && at < end {
			return fmt.Sprintf("the program may write to it: a word at %#x holds its address", uint64(r.Addr))
		}
	}
	for _, units := range [][]*unit{s.units, s.start} {
		for _, u := range units {
			if why := u.mayWrite(start, end); why != "" {
				return why
			}
		}
	}
	return ""
}

// namesLocals reports whether the symbols that only one file knows were kept (strip -x drops them), so that data without a name is none of the source's variables.
func (s *side) namesLocals() bool {
	for _, a := range s.im.Atoms {
		if a.Local && !a.CRT {
			return true
		}
	}
	return false
}

// nearBy is how many bytes from an object an address may lie, and what a constant adds to it, by which code reaches the object with an index: more than
// compilers merge objects into one block for (GCC's anchors: 4095).
const nearBy = 1 << 15

// biased is how many bytes from an object a base may lie that a compiler made of its address and an index.
const biased = 64

// mayWrite returns what in a function may write to the data from start to end, or lets others do so; "": nothing.
func (u *unit) mayWrite(start, end arch.ImageAddr) string {
	if u.err != nil {
		return fmt.Sprintf("the program may write to it: what %s does is not known (%v)", u.name(), u.err)
	}
	var operands []operand
	for i := range u.refs {
		r := &u.refs[i]
		addr := u.addr(r)
		if r.to == image.PlaceNone || addr+nearBy < start || addr >= end+nearBy {
			continue
		}
		if r.kind == image.RefPage {
			return fmt.Sprintf("the program may write to it: what %s does with the page at %#x is not known", u.name(), uint64(addr))
		}
		inside := addr >= start && addr < end
		if !inside && r.kind != image.RefAddr {
			continue
		}
		if operands == nil {
			operands = u.operands()
		}
		if i >= len(operands) || operands[i].ref == nil {
			return fmt.Sprintf("the program may write to it: how %s uses its address is not known", u.name())
		}
		if o := &operands[i]; u.operandWrites(o, addr, start, end) {
			return fmt.Sprintf("%s+%#x may write to it, or lets others do so", o.body.Atom.Name, o.ref.Off)
		}
	}
	return ""
}

// operandWrites is mayWrite for an operand that leads to an address.
func (u *unit) operandWrites(o *operand, addr, start, end arch.ImageAddr) bool {
	for _, x := range u.im.Displaced(o.body, o.ref) {
		if at := addr + arch.ImageAddr(x.Disp); at >= start && at < end && (addr < start || addr >= end) {
			return true
		}
	}
	a := u.im.AtomAt(addr)
	inside := addr >= start && addr < end
	if !inside && (addr+biased < start || addr >= end+biased || a != nil && a.Addr == addr) {
		return false
	}
	flow := u.im.PointerFlowWithin(o.body, o.ref, int64(start-addr), int64(end-addr))
	return flow.Writes || flow.Escapes || flow.Returns
}

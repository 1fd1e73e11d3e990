package elfdiff

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// tls handles thread-local accesses: an offset from the thread pointer becomes that of the running layout, and
// a slot is the old build's slot of the same variable.
func (e *emitter) tls(f *field) error {
	r, sec := f.ref, f.sec
	p := &r.Place
	if p.ViaSlot {
		if !f.relative() {
			return fmt.Errorf("it reads a thread-local slot by its absolute address")
		}
		slot, ok := e.d.oldTLSSlot(p)
		if !ok {
			return fmt.Errorf("the old build has no slot for the thread-local variable that %#x is for", uint64(p.Addr))
		}
		e.slots[slot.Addr] = slot
		sym := e.symbol(patch.Symbol{Name: slot.Name + ".slot", Kind: patch.SymImage, Value: uint64(slot.Addr), Size: 8, Local: true})
		return e.relocateField(f, arch.RelocPC, sym, 0)
	}
	o, n := e.d.old.im.TLS, e.d.new.im.TLS
	if p.Atom == nil {
		return fmt.Errorf("which thread-local variable it means cannot be told")
	}
	old := e.d.rev.of(p.Atom)
	if old == nil {
		return fmt.Errorf("thread-local variable %s is new; threads that exist have no memory for it", p.Atom.Name)
	}
	if o.MemSize == n.MemSize && o.Align == n.Align && old.Addr-o.Addr == p.Atom.Addr-n.Addr {
		return nil
	}
	delta := threadOffset(e.d.old.im, old) - threadOffset(e.d.new.im, p.Atom)
	field := e.sections[sec].Data[r.Off:]
	if !p.Proven || p.Number || r.Size != 4 || !isProgram(e.d.old.im) || !isProgram(e.d.new.im) {
		return fmt.Errorf("the layout of thread-local storage differs between the builds (%s), and how it reaches the variable cannot be told",
			p.Atom.Name)
	}
	v := int64(int32(binary.LittleEndian.Uint32(field))) + delta
	if v != int64(int32(v)) {
		return fmt.Errorf("the offset of %s from the thread pointer does not fit its field", p.Atom.Name)
	}
	binary.LittleEndian.PutUint32(field, uint32(v))
	return nil
}

// threadOffset returns the offset of a variable from the thread pointer in a program: its TLS block ends there
// (System V ABI, "ELF Handling For Thread-Local Storage", variant II).
func threadOffset(im *image.Image, a *image.Atom) int64 {
	align := max(im.TLS.Align, 1)
	return int64(a.Addr-im.TLS.Addr) - int64((im.TLS.MemSize+align-1)&^(align-1))
}

// isProgram reports whether the image is a program, whose block has a fixed place in every thread.
func isProgram(im *image.Image) bool { return im.PIE || im.Type == elf.ET_EXEC }

// oldTLSSlot finds the old build's GOT slot for the thread-local variable that a slot of the new build is for.
func (d *differ) oldTLSSlot(p *image.Place) (patch.Slot, bool) {
	nr, ok := d.new.im.DynReloc(p.Addr)
	if !ok {
		return patch.Slot{}, false
	}
	for _, r := range d.old.im.DynRelocs(0, ^arch.ImageAddr(0)) {
		if r.Type == nr.Type && d.sameTLS(&r, &nr) {
			return patch.Slot{Name: cmp.Or(r.Sym, "tls"), Type: r.Type, Addr: r.Addr}, true
		}
	}
	return patch.Slot{}, false
}

// sameTLS reports whether two dynamic relocations of slots are for one thread-local variable.
func (d *differ) sameTLS(r, s *image.DynReloc) bool {
	if r.Sym != "" || s.Sym != "" {
		return r.Sym == s.Sym && r.Version == s.Version && r.Addend == s.Addend
	}
	o, n := d.old.im, d.new.im
	from, to := uint64(r.Addend), uint64(s.Addend)
	if x, ok := o.ModuleOffset(r); ok {
		from = x
	}
	if x, ok := n.ModuleOffset(s); ok {
		to = x
	}
	a, b := o.TLSAt(o.TLS.Addr+arch.ImageAddr(from)), n.TLSAt(n.TLS.Addr+arch.ImageAddr(to))
	return a != nil && b != nil && d.fwd.of(a) == b
}

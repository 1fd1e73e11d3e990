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
	r := f.ref
	p := &r.Place
	if p.ViaSlot {
		user := e.pages[r]
		if !f.relative() && user == nil {
			return fmt.Errorf("it reads a thread-local slot by its absolute address")
		}
		slot, ok := e.d.oldTLSSlot(p)
		if !ok {
			return fmt.Errorf("the old build has no slot for the thread-local variable that %#x is for", uint64(p.Addr))
		}
		e.slots[slot.Addr] = slot
		sym := e.symbol(patch.Symbol{Name: slot.Name + ".slot", Kind: patch.SymImage, Value: uint64(slot.Addr), Size: 8, Local: true})
		if user != nil {
			return e.pageField(f, user, p, sym, 0)
		}
		return e.relocateField(f, arch.RelocPC, sym, 0)
	}
	o, n := e.d.old.im.TLS, e.d.new.im.TLS
	if user := e.pages[r]; user != nil && user.whole && !e.d.sameThreadLayout() {
		return fmt.Errorf("it reaches a thread-local variable by its distance from another one, and their layout differs between the builds; " +
			"compile it with -fno-section-anchors")
	}
	if e.d.new.im.Arch.Pieces != nil && !p.Proven && !e.d.sameThreadLayout() {
		return fmt.Errorf("it reaches a thread-local variable by its distance from the first one, and their layout differs between the builds; " +
			"compile it with -ftls-model=global-dynamic")
	}
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
	if !p.Proven || p.Number || r.Size != 4 || !isProgram(e.d.old.im) || !isProgram(e.d.new.im) {
		return fmt.Errorf("the layout of thread-local storage differs between the builds (%s), and how it reaches the variable cannot be told",
			p.Atom.Name)
	}
	return e.threadField(f, threadOffset(e.d.new.im, p.Atom), threadOffset(e.d.old.im, old))
}

// sameThreadLayout reports whether all thread-local variables that both builds have are at the same offsets.
func (d *differ) sameThreadLayout() bool {
	for _, b := range d.new.im.Atoms {
		if a := d.rev.of(b); b.Kind == image.TLSObject && a != nil && threadOffset(d.old.im, a) != threadOffset(d.new.im, b) {
			return false
		}
	}
	return true
}

// threadField changes a field that holds a variable's offset from the thread pointer, or a part of it.
func (e *emitter) threadField(f *field, from, to int64) error {
	a, p := e.d.new.im.Arch, &f.ref.Place
	field := e.sections[f.sec].Data[f.ref.Off:]
	if typ, _, ok := a.FieldReloc(f.code, f.in, int(f.ref.Op), arch.RelocTP); ok {
		from, to = from+p.Addend, to+p.Addend
		if from/pageLen != to/pageLen { // other instructions may hold the upper bits for several variables
			return fmt.Errorf("the offset of %s from the thread pointer is %#x in the running process and %#x in the new build, "+
				"of which not only the low 12 bits differ", p.Atom.Name, to, from)
		}
		if err := a.Relocs[typ].Put(field, to); err != nil {
			return fmt.Errorf("the offset of %s from the thread pointer: %w", p.Atom.Name, err)
		}
		return nil
	}
	v := int64(int32(binary.LittleEndian.Uint32(field))) + to - from
	if v != int64(int32(v)) || a.Pieces != nil {
		return fmt.Errorf("the offset of %s from the thread pointer does not fit its field", p.Atom.Name)
	}
	binary.LittleEndian.PutUint32(field, uint32(v))
	return nil
}

// threadOffset returns the offset of a variable from the thread pointer in a program: its TLS block begins behind the thread control block, or
// ends at the thread pointer ("ELF Handling For Thread-Local Storage", variants I and II).
func threadOffset(im *image.Image, a *image.Atom) int64 {
	align := max(im.TLS.Align, 1)
	up := func(n uint64) int64 { return int64((n + align - 1) &^ (align - 1)) }
	start := -up(im.TLS.MemSize)
	if tcb := im.Arch.TCB; tcb > 0 {
		start = up(uint64(tcb))
	}
	return int64(a.Addr-im.TLS.Addr) + start
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

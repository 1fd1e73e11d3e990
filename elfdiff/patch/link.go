package patch

import (
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// Resolver answers where symbols of a patch are in one process.
type Resolver interface {
	// Image returns where the address v of the old build is.
	Image(v arch.ImageAddr, sym *Symbol) (arch.Addr, error)

	// Import returns the address of a symbol of another module, as the dynamic
	// linker would bind it: zero if it is not known yet or absent (then sym.Weak).
	// slot is an existing slot of the running image through which calls to it go, or zero. A call from
	// the payload goes through slot if there is one (it may be bound lazily); the symbol's
	// address is always taken from addr.
	Import(sym *Symbol) (addr, slot arch.Addr, err error)
}

// LinkedSegment is a segment of a payload for one place.
type LinkedSegment struct {
	Kind Kind
	Addr arch.Addr
	Data []byte // initial content; what follows it up to Size is zero
	Size uint64 // in memory; zero for a segment that is not needed
}

// LinkedSlot is a slot of the payload and what it holds.
type LinkedSlot struct {
	Sym   int // index in Patch.Symbols
	Addr  arch.Addr
	Value arch.Addr
}

// Payload is a patch linked for one place in one process.
type Payload struct {
	Base     arch.Addr
	Layout   *Layout
	Segments [3]LinkedSegment // Text, ROData, Data
	SymAddr  []arch.Addr      // by symbol; zero for image symbols and imports that no relocation uses
	Slots    []LinkedSlot

	EHFrame     arch.Addr // zero if the patch has no .eh_frame
	EHFrameSize uint64    // with its terminator
}

// LinkError is a relocation that cannot be applied.
type LinkError struct {
	Func     string // function or section that holds the field
	Off      uint64 // of the field in it
	Reloc    string // name of the relocation type
	Symbol   string
	Distance int64 // the value that was to be stored
	Err      error
}

func (e *LinkError) Error() string {
	return fmt.Sprintf("link: %s+%#x: %s against %s, value %#x: %v", e.Func, e.Off, e.Reloc, e.Symbol, e.Distance, e.Err)
}

func (e *LinkError) Unwrap() error { return e.Err }

// Link computes the bytes of a patch's payload at base, which is a multiple of
// Layout.Align. It is pure: the same patch, base and answers of r give the same bytes. r is
// asked once for each symbol that a relocation uses, in the order of Patch.Symbols.
func Link(p *Patch, base arch.Addr, r Resolver) (*Payload, error) {
	a, err := machines.Lookup(p.Machine)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	layout, err := LayoutOf(p, a)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	if uint64(base)%layout.Align != 0 || uint64(base) > ^uint64(0)-layout.Size {
		return nil, fmt.Errorf("link: payload of %#x bytes cannot be placed at %#x (alignment %#x)", layout.Size, base, layout.Align)
	}
	k := &linker{p: p, a: a, r: r, layout: layout, out: &Payload{Base: base, Layout: layout}}
	for _, step := range []func() error{k.fill, k.resolve, k.indirect, k.relocate} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return k.out, nil
}

// linker holds a payload in the making. Its steps run in the order in which Link names them.
type linker struct {
	p      *Patch
	a      *arch.Arch
	r      Resolver
	layout *Layout
	out    *Payload
	slot   []arch.Addr // of the payload, by symbol; zero if there is none
	stub   []arch.Addr // of the payload, by symbol; zero if there is none
	extern []arch.Addr // slot of the image for calls to an import, by symbol
}

func (k *linker) addr(off uint64) arch.Addr { return k.out.Base + arch.Addr(off) }

// bytes returns n bytes of the payload at an offset from its base.
func (k *linker) bytes(off, n uint64) []byte {
	for i := range k.out.Segments {
		s := &k.layout.Segments[i]
		if data := k.out.Segments[i].Data; off >= s.Off && off-s.Off+n <= uint64(len(data)) {
			return data[off-s.Off:][:n:n]
		}
	}
	return nil
}

// fill copies the sections. Of the data segment only what stands before .bss has content.
func (k *linker) fill() error {
	for i, s := range k.layout.Segments {
		k.out.Segments[i] = LinkedSegment{Kind: s.Kind, Addr: k.addr(s.Off), Size: s.Size, Data: make([]byte, k.contentSize(i))}
	}
	text := k.out.Segments[0].Data
	for i := range text {
		text[i] = k.a.Trap[i%len(k.a.Trap)]
	}
	for i := range k.p.Sections {
		s, off := &k.p.Sections[i], k.layout.Sections[i]
		if s.Kind != BSS {
			copy(k.bytes(off, s.Size), s.Data)
		}
		if head := uint64(len(k.a.Jump.Head)); s.Kind == Text && head > 0 {
			copy(k.bytes(off-head, head), k.a.Jump.Head)
		}
	}
	if k.layout.EHFrameSize > 0 {
		k.out.EHFrame, k.out.EHFrameSize = k.addr(k.layout.EHFrame), k.layout.EHFrameSize
	}
	return nil
}

// contentSize returns the bytes of a segment that have content.
func (k *linker) contentSize(i int) uint64 {
	seg := &k.layout.Segments[i]
	if seg.Kind != Data {
		return seg.Size
	}
	end := seg.Off
	for j := range k.p.Sections {
		if s := &k.p.Sections[j]; s.Kind == Data {
			end = max(end, k.layout.Sections[j]+s.Size)
		}
	}
	for _, s := range k.layout.Slots {
		end = max(end, s.Off+uint64(k.a.PtrSize))
	}
	return end - seg.Off
}

// resolve finds the address of every defined symbol and of every other one that is used.
func (k *linker) resolve() error {
	used := make([]bool, len(k.p.Symbols))
	for i := range k.p.Sections {
		for _, r := range k.p.Sections[i].Relocs {
			used[r.Sym] = true
		}
	}
	k.out.SymAddr = make([]arch.Addr, len(k.p.Symbols))
	k.extern = make([]arch.Addr, len(k.p.Symbols))
	for i := range k.p.Symbols {
		sym := &k.p.Symbols[i]
		var err error
		switch {
		case sym.Kind == SymDefined:
			k.out.SymAddr[i] = k.addr(k.layout.Sections[sym.Section] + sym.Value)
		case !used[i]:
		case sym.Kind == SymImage:
			k.out.SymAddr[i], err = k.r.Image(arch.ImageAddr(sym.Value), sym)
		case sym.Kind == SymImport:
			k.out.SymAddr[i], k.extern[i], err = k.r.Import(sym)
		}
		if err != nil {
			return fmt.Errorf("link: symbol %s: %w", sym.Name, err)
		}
	}
	return nil
}

// indirect writes slots and stubs.
func (k *linker) indirect() error {
	k.slot = make([]arch.Addr, len(k.p.Symbols))
	k.stub = make([]arch.Addr, len(k.p.Symbols))
	for _, s := range k.layout.Slots {
		at, value := k.addr(s.Off), k.out.SymAddr[s.Sym]
		k.slot[s.Sym] = at
		binary.LittleEndian.PutUint64(k.bytes(s.Off, 8), uint64(value))
		k.out.Slots = append(k.out.Slots, LinkedSlot{Sym: s.Sym, Addr: at, Value: value})
	}
	for _, s := range k.layout.Stubs {
		sym := &k.p.Symbols[s.Sym]
		at, slot := k.addr(s.Off), k.extern[s.Sym]
		if slot == 0 {
			slot = k.slot[s.Sym]
			if err := k.known(s.Sym); err != nil {
				return fmt.Errorf("link: symbol %s: %w", sym.Name, err)
			}
		}
		code, err := k.a.Jump.Stub(at, slot)
		if err != nil {
			return fmt.Errorf("link: stub for %s at %#x over slot %#x: %w", sym.Name, at, slot, err)
		}
		if len(code) != k.a.Jump.StubLen {
			return fmt.Errorf("link: stub for %s has %d bytes, not %d", sym.Name, len(code), k.a.Jump.StubLen)
		}
		copy(k.bytes(s.Off, uint64(len(code))), code)
		k.stub[s.Sym] = at
	}
	return nil
}

// known refuses an import without an address, unless it may be absent.
func (k *linker) known(sym int) error {
	s := &k.p.Symbols[sym]
	if s.Kind == SymImport && !s.Weak && k.out.SymAddr[sym] == 0 {
		return &Refusal{
			What: s.Name, Why: "the address of this import is not known in the process",
			Found: "version " + s.Version, Help: "load the library that defines it, or bind it (LD_BIND_NOW)",
		}
	}
	return nil
}

func (k *linker) relocate() error {
	for i := range k.p.Sections {
		s := &k.p.Sections[i]
		for j := range s.Relocs {
			if err := k.apply(i, &s.Relocs[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply stores one relocation. S, A, P, L and G are those of the processor supplements.
func (k *linker) apply(section int, r *Reloc) error {
	d := k.a.Relocs[r.Type]
	off := k.layout.Sections[section] + r.Off
	value, err := k.value(d.Kind, r, k.addr(off))
	if err == nil {
		field := k.bytes(off, uint64(d.Size))
		if field == nil {
			return fmt.Errorf("link: section %s: no content at offset %#x", k.p.Sections[section].Name, r.Off)
		}
		err = d.Put(field, value)
	}
	if err == nil {
		return nil
	}
	e := &LinkError{
		Func: k.p.Sections[section].Name, Off: r.Off, Reloc: d.Name, Symbol: k.p.Symbols[r.Sym].Name, Distance: value, Err: err,
	}
	for i := range k.p.Symbols {
		sym := &k.p.Symbols[i]
		if sym.Kind == SymDefined && sym.Section == section && r.Off >= sym.Value && r.Off-sym.Value < sym.Size {
			e.Func, e.Off = sym.Name, r.Off-sym.Value
			break
		}
	}
	return e
}

// page is the address of the page of 4 KiB that an address is in, whatever pages the kernel has: Page(x) in ELF for the Arm
// 64-bit Architecture, 5.7.3.
func page(addr int64) int64 { return addr &^ 0xfff }

func (k *linker) value(kind arch.RelocKind, r *Reloc, p arch.Addr) (int64, error) {
	s := k.out.SymAddr[r.Sym]
	switch kind {
	case arch.RelocAbs:
		return int64(s) + r.Addend, k.known(r.Sym)
	case arch.RelocPC:
		return int64(s) + r.Addend - int64(p), k.known(r.Sym)
	case arch.RelocPLT:
		if stub := k.stub[r.Sym]; stub != 0 {
			s = stub
		}
		return int64(s) + r.Addend - int64(p), nil
	case arch.RelocGOTPC:
		return int64(k.slot[r.Sym]) + r.Addend - int64(p), k.known(r.Sym)
	case arch.RelocPage:
		return page(int64(s)+r.Addend) - page(int64(p)), k.known(r.Sym)
	case arch.RelocGOTPage:
		return page(int64(k.slot[r.Sym])+r.Addend) - page(int64(p)), k.known(r.Sym)
	case arch.RelocGOTAbs:
		return int64(k.slot[r.Sym]) + r.Addend, k.known(r.Sym)
	}
	return 0, fmt.Errorf("relocation kind %d is not supported", kind)
}

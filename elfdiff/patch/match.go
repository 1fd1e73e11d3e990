package patch

import (
	"bytes"
	"crypto/sha256"

	"hotpatch/arch"
)

// NewPart returns a part with the hash of its bytes. Size is len(code).
func NewPart(name string, addr arch.ImageAddr, code []byte, fields []Field) Part {
	return Part{Name: name, Addr: addr, Size: uint64(len(code)), Hash: sha256.Sum256(code), Bytes: code, Fields: fields}
}

// OldMatches reports whether the bytes that run are those of the part. With
// exact set they must be equal. Without it the part's reference fields may hold
// anything: so the same code compares equal where it was linked elsewhere. A field that is a whole instruction is a jump in both, or in neither: a
// linker may have moved the instruction away, and put a jump to it in its place (image.Veneer); what it was moved to is no part then. Nor is it a
// breakpoint or uprobe that somebody has set.
//
// If they do not match, the offset of the first byte that differs or is missing is returned.
func OldMatches(a *arch.Arch, part *Part, running []byte, exact bool) (int, bool) {
	want := part.Bytes
	fields := part.Fields
	if exact {
		fields = nil
	}
	off := 0
	for _, f := range fields {
		start, end := int(f.Off), int(f.Off)+int(f.Size)
		if d, ok := sameBytes(want, running, off, start); !ok {
			return d, false
		}
		if int(f.Size) == a.InstAlign && end <= min(len(want), len(running)) && (isJump(a, want[start:end]) != isJump(a, running[start:end]) || isTrap(a, running[start:end])) {
			return start, false
		}
		off = end
	}
	if d, ok := sameBytes(want, running, off, len(want)); !ok {
		return d, false
	}
	if len(running) != len(want) {
		return min(len(running), len(want)), false
	}
	return 0, true
}

// isJump reports whether an instruction is an unconditional jump.
func isJump(a *arch.Arch, code []byte) bool {
	in, err := a.Decode(code)
	return err == nil && in.Flow == arch.FlowJump
}

// isTrap reports whether a field that is a whole instruction of several bytes is a breakpoint. No reference is one.
func isTrap(a *arch.Arch, code []byte) bool {
	mask, value := a.Breakpoint.Mask, a.Breakpoint.Value
	if len(value) < 2 || len(code) < len(value) {
		return false
	}
	for i := range value {
		if code[i]&mask[i] != value[i] {
			return false
		}
	}
	return true
}

// sameBytes compares want[start:end] with the same range of got.
func sameBytes(want, got []byte, start, end int) (int, bool) {
	start, end = min(start, len(want)), min(end, len(want))
	stop := min(end, len(got)) // where the comparison must stop
	if start < stop && !bytes.Equal(want[start:stop], got[start:stop]) {
		return start + firstDifference(want[start:stop], got[start:stop]), false
	}
	return stop, stop == end
}

// Section returns the linked content of a payload section: for a constant that is
// renewed in place, what is copied over the old one. It is nil for .bss and for an
// index that is out of range, and part of the payload.
func (pl *Payload) Section(p *Patch, i int) []byte {
	if i < 0 || i >= len(p.Sections) || p.Sections[i].Kind == BSS {
		return nil
	}
	return pl.Bytes(pl.Base+arch.Addr(pl.Layout.Sections[i]), p.Sections[i].Size)
}

// Bytes returns n bytes of the payload's content at an address of the process, nil if they do not all
// have content (.bss has none). They are part of the payload.
func (pl *Payload) Bytes(addr arch.Addr, n uint64) []byte {
	for i := range pl.Segments {
		s := &pl.Segments[i]
		if addr >= s.Addr && n <= uint64(len(s.Data)) && uint64(addr-s.Addr) <= uint64(len(s.Data))-n {
			off := uint64(addr - s.Addr)
			return s.Data[off : off+n : off+n]
		}
	}
	return nil
}

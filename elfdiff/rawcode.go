package elfdiff

import (
	"bytes"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// sameBytes is the comparison for functions that cannot be decoded as a whole: equal bytes at equal
// places are equal code if everything that they seem to refer to is the same; everything else is a change that will
// be refused by name.
func (d *differ) sameBytes(u, v *unit) bool {
	if len(u.parts) != len(v.parts) {
		return false
	}
	for i := range u.parts {
		a, b := u.parts[i], v.parts[i]
		x, ok1 := u.im.Bytes(a.Addr, a.Size)
		y, ok2 := v.im.Bytes(b.Addr, b.Size)
		if !ok1 || !ok2 || a.Addr != b.Addr || !bytes.Equal(x, y) || !d.sameTargets(a, x) {
			return false
		}
	}
	return true
}

// sameTargets decodes code straight on, and compares what lies at each address that an instruction names. Bytes that are no
// instruction are skipped one by one, so that nothing is missed but what stands behind a wrong start.
func (d *differ) sameTargets(a *image.Atom, code []byte) bool {
	for off := 0; off < len(code); {
		in, err := d.old.im.Arch.Decode(code[off:])
		if err != nil {
			off += d.old.im.Arch.InstAlign
			continue
		}
		at := a.Addr + arch.ImageAddr(off)
		if in.BrSize > 0 && !d.sameAt(at+arch.ImageAddr(in.Target)) {
			return false
		}
		for i := range in.NumOps {
			switch op := &in.Ops[i]; {
			case op.Kind == arch.OpPC && !d.sameAt(at+arch.ImageAddr(op.Value)),
				op.Kind == arch.OpPage && !d.samePage(at&^(pageLen-1)+arch.ImageAddr(op.Value)):
				return false
			}
		}
		off += in.Len
	}
	return true
}

// sameAt reports whether an address means the same in both builds.
func (d *differ) sameAt(addr arch.ImageAddr) bool {
	x, ok1 := d.old.im.Stub(addr)
	y, ok2 := d.new.im.Stub(addr)
	if ok1 || ok2 {
		return ok1 && ok2 && importsEqual(&x, &y)
	}
	a, b := d.old.im.AtomAt(addr), d.new.im.AtomAt(addr)
	if a != nil || b != nil {
		return a != nil && b != nil && a.Addr == b.Addr && d.atomsEqual(a, b)
	}
	s, t := d.old.im.SectionAt(addr), d.new.im.SectionAt(addr)
	switch {
	case s == nil || t == nil:
		return s == nil && t == nil
	case s.Name != t.Name:
		return false
	case s.Data == nil || s.Exec():
		return s.Addr == t.Addr
	}
	return d.anonEqual(addr, addr, use{address: true})
}

// samePage reports whether all addresses in a page mean the same in both builds: which of them code makes of it is not known.
func (d *differ) samePage(page arch.ImageAddr) bool {
	for at := page; at < page+pageLen; {
		a, b := d.old.im.AtomAt(at), d.new.im.AtomAt(at)
		end := page + pageLen
		switch {
		case (a == nil) != (b == nil):
			return false
		case a != nil && (a.Addr != b.Addr || a.Size != b.Size || !d.atomsEqual(a, b)):
			return false
		case a != nil && a.End() > at:
			at = a.End()
			continue
		}
		for _, im := range []*image.Image{d.old.im, d.new.im} {
			if next := im.NextAtom(at); next != nil {
				end = min(end, next.Addr)
			}
		}
		if !d.sameGap(at, end) {
			return false
		}
		at = end
	}
	return true
}

// sameGap reports whether both builds have the same at addresses where neither has a function or an object.
func (d *differ) sameGap(at, end arch.ImageAddr) bool {
	for at < end {
		s, t := d.old.im.SectionAt(at), d.new.im.SectionAt(at)
		stop := min(end, at+arch.ImageAddr(d.old.im.Arch.PtrSize))
		switch {
		case s == nil && t == nil:
			at++
			continue
		case s == nil || t == nil || s.Name != t.Name || s.Addr != t.Addr:
			return false
		case s.Exec() || s.Data == nil || s.Writable(): // stubs and slots
			x, ok1 := d.old.im.Slot(at)
			y, ok2 := d.new.im.Slot(at)
			if ok1 != ok2 || ok1 && !importsEqual(&x, &y) || !d.sameAt(at) {
				return false
			}
		default:
			stop = min(end, s.End(), t.End())
			x, ok1 := d.old.im.Bytes(at, uint64(stop-at))
			y, ok2 := d.new.im.Bytes(at, uint64(stop-at))
			if !ok1 || !ok2 || !bytes.Equal(x, y) || len(d.old.im.DataRefsIn(at, stop)) > 0 {
				return false
			}
		}
		at = stop
	}
	return true
}

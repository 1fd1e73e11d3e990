package inject

import (
	"bytes"
	"debug/elf"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// constants plans the constants that get new content where they are.
func (b *bodyPlan) constants() error {
	f, e := b.s.link.file, b.s.link.e
	for i := range f.Consts {
		c := &f.Consts[i]
		at, err := b.s.view.locate(c.Addr, uint64(len(c.Old)))
		if err != nil {
			return fmt.Errorf("constant %s: %w", c.Name, err)
		}
		if err := b.preempted(c.Name, at); err != nil {
			return err
		}
		old, err := b.current(at, len(c.Old))
		if err != nil {
			return fmt.Errorf("constant %s: %w", c.Name, err)
		}
		if err := b.constMatches(c, at, old); err != nil {
			return err
		}
		fresh := b.s.payload.Section(f.Patch, c.New.Section)
		if len(fresh) != len(c.Old) {
			return refuse(c.Name, fmt.Sprintf("%d bytes for %d", len(fresh), len(c.Old)), "", "the patch has new content of another size")
		}
		e.Writes = append(e.Writes, write{Kind: writeConst, Func: i, Name: c.Name, Addr: at, Old: bytes.Clone(old), New: fresh})
		for k := range c.Readers {
			if err := b.reader(c, &c.Readers[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// current returns the content of a constant as it will be after the steps planned so far.
func (b *bodyPlan) current(at arch.Addr, n int) ([]byte, error) {
	for i := len(b.s.view.chain) - 1; i >= 0 && b.s.view.chain[i].j == nil; i-- {
		for _, w := range b.s.view.chain[i].e.Writes {
			if w.Kind == writeConst && w.Addr == at && len(w.New) == n {
				return w.New, nil
			}
		}
	}
	return b.pl.read(at, n)
}

// reader puts a function that reads a constant under the activeness check.
func (b *bodyPlan) reader(c *patch.Const, p *patch.Part) error {
	place, err := b.check(c.Name+", read by "+p.Name, p)
	if err != nil {
		return err
	}
	b.s.link.e.Readers = append(b.s.link.e.Readers, place)
	if !b.pl.future(place.Addr) {
		b.pl.targets = append(b.pl.targets, readerTarget(place))
	}
	return nil
}

func readerTarget(r placedRange) target {
	return target{placedRange: r, entries: []arch.Addr{r.Addr}, reader: true}
}

// constMatches compares a constant with the old build's content. A constant that an earlier patch renewed
// has to hold what that one wrote; else what the file holds, with the relocations that the
// running image has in its place.
func (b *bodyPlan) constMatches(c *patch.Const, at arch.Addr, have []byte) error {
	wrong := func(off int) error {
		end := min(off+8, len(have))
		return refuse(c.Name, fmt.Sprintf("offset %#x, at %#x: % x", off, uint64(at)+uint64(off), have[off:end]), "",
			"the constant in memory is not that of build %x", b.s.link.file.Old.ID)
	}
	for i := len(b.s.view.chain) - 1; i >= 0; i-- {
		for _, w := range b.s.view.chain[i].e.Writes {
			if w.Kind == writeConst && w.Addr == at {
				if !bytes.Equal(w.New, have) {
					return wrong(0)
				}
				return nil
			}
		}
	}
	pos := 0
	for _, fld := range append(c.Fields, patch.Field{Off: uint32(len(c.Old))}) {
		end := min(int(fld.Off), len(have))
		for ; pos < end; pos++ {
			if have[pos] != c.Old[pos] {
				return wrong(pos)
			}
		}
		if fld.Size == 0 {
			break
		}
		ok, err := b.fieldMatches(c, at, have, fld)
		if err != nil {
			return err
		}
		if !ok {
			return wrong(int(fld.Off))
		}
		pos = int(fld.Off) + int(fld.Size)
	}
	return nil
}

// moved returns where an address that the newest build's file has in a pointer field is in the process.
func (b *bodyPlan) moved(file arch.ImageAddr) (arch.Addr, error) {
	if len(b.s.view.chain) == 0 {
		return file.In(b.s.view.m.Bias), nil
	}
	return b.s.view.locate(file, 1)
}

// fieldMatches checks one relocated pointer field of a constant.
func (b *bodyPlan) fieldMatches(c *patch.Const, at arch.Addr, have []byte, fld patch.Field) (bool, error) {
	m := b.s.view.m
	if fld.Size != 8 || int(fld.Off)+8 > len(have) || !m.holds(at) {
		return false, nil
	}
	d, err := m.relocated(b.pl.snap.mem)
	if err != nil {
		return false, err
	}
	v := order.Uint64(have[fld.Off:])
	file := order.Uint64(c.Old[fld.Off:])
	if d == nil { // a static program: nothing relocates it
		return v == file, nil
	}
	rel, ok := d.at(m.image(at) + arch.ImageAddr(fld.Off))
	switch {
	case !ok:
		return v == file, nil
	case rel.Kind == arch.DynRelative && rel.Relr:
		to, err := b.moved(arch.ImageAddr(file))
		if err != nil {
			return false, refuse(c.Name, fmt.Sprintf("the pointer at offset %#x, relocated by DT_RELR", fld.Off), "apply one patch that leads from the started build to the new one",
				"the constant cannot be compared in a process that an earlier patch changed: %v", err)
		}
		return v == uint64(to), nil
	case rel.Kind == arch.DynRelative:
		return v == uint64(rel.Addend)+uint64(m.Bias), nil
	case rel.Kind == arch.DynAbs:
		sym := &d.syms[rel.Sym]
		def, err := b.pl.snap.find(b.pl.snap.loader.order, sym.Name, sym.Version)
		if err != nil {
			return false, err
		}
		if def == nil {
			return false, nil
		}
		to := def.addr()
		if def.sym.Type == elf.STT_GNU_IFUNC {
			if to, err = b.pl.snap.ifunc(sym.Name, def); err != nil {
				return false, err
			}
		}
		return v == uint64(to)+uint64(rel.Addend), nil
	}
	return false, refuse(c.Name, fmt.Sprintf("relocation type %d at offset %#x", rel.Type, fld.Off), "", "a field of the constant is relocated in a way that cannot be checked")
}

package elfdiff

import (
	"encoding/binary"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/unwind/cfi"
)

// DWARF exception header encoding that compilers use for code addresses in position
// independent code: signed 4 bytes relative to the field (LSB 10.5.1).
const pcrelSdata4 = 0x1b

// frames makes the payload's .eh_frame: the new build's FDEs of every function that is carried, each with its
// CIE, relocated against the new bodies. A later patch, a debugger and our own unwinder walk through the payload with it.
func (e *emitter) frames() {
	out := &frameSection{e: e, cies: make(map[string]uint32)}
	for _, c := range e.d.funcs {
		if !c.carried(&e.d.opt) {
			continue
		}
		for _, p := range c.new.parts {
			if _, ok := e.bodies[p]; ok {
				out.part(c, p)
			}
		}
	}
	if len(out.data) == 0 {
		return
	}
	e.sections = append(e.sections, patch.Section{Name: ".eh_frame", Kind: patch.EHFrame, Align: 8,
		Data: out.data, Size: uint64(len(out.data)), Relocs: out.relocs})
}

type frameSection struct {
	e      *emitter
	data   []byte
	relocs []patch.Reloc
	cies   map[string]uint32 // offset by content
}

// part copies the FDEs that begin within one part of a new function.
func (f *frameSection) part(c *funcChange, p *image.Atom) {
	for addr := p.Addr; addr < p.End(); {
		fde := c.new.im.CFI.Find(addr)
		if fde == nil {
			if addr == p.Addr && f.e.d.new.im.CFI.Find(p.End()-1) == nil {
				return // code without call frame information: stacks with it are judged by the scan alone
			}
			c.refuse("%s+%#x has no call frame information although the rest of it has; "+
				"compile it with -fasynchronous-unwind-tables", p.Name, uint64(addr-p.Addr))
			return
		}
		if fde.Start != addr || fde.End > p.End() {
			c.refuse("the call frame information of %s is for [%#x, %#x), which is not the function; "+
				"in assembly, .cfi_startproc and .cfi_endproc have to enclose it", p.Name, uint64(fde.Start), uint64(fde.End))
			return
		}
		if !f.fde(c, p, fde) {
			return
		}
		addr = fde.End
	}
}

// fde copies one FDE, and its CIE if no equal one was copied before.
func (f *frameSection) fde(c *funcChange, p *image.Atom, fde *cfi.FDE) bool {
	fields, err := fde.PtrFields()
	if err == nil {
		var more []cfi.PtrField
		more, err = fde.CIE.PtrFields()
		if err == nil && len(more) > 0 || len(fields) != 1 || fde.LSDA != 0 {
			c.refuse("%s has an exception table or personality routine, which cannot be carried yet; only a restart with the new build helps", p.Name)
			return false
		}
	}
	if err != nil {
		c.refuse("the call frame information of %s cannot be carried (%v); compile it with -fasynchronous-unwind-tables", p.Name, err)
		return false
	}
	start := fields[0]
	if start.Enc != pcrelSdata4 || start.Size != 4 {
		c.refuse("the call frame information of %s encodes addresses as %#x, which cannot be carried; "+
			"compile it as position independent code (-fPIC)", p.Name, start.Enc)
		return false
	}
	cie := f.cie(fde.CIE)
	at := uint32(len(f.data))
	f.data = append(f.data, pad(fde.Bytes())...)
	// LSB 10.6.1: the CIE pointer holds the distance from itself back to the CIE.
	binary.LittleEndian.PutUint32(f.data[at+4:], at+4-cie)
	off := uint64(at) + start.Off
	typ, _ := relocType(c.new.im.Arch, arch.RelocPC, 4)
	clear(f.data[off : off+4])
	f.relocs = append(f.relocs, patch.Reloc{Off: off, Type: typ, Sym: f.e.bodies[p], Addend: int64(fde.Start - p.Addr)})
	return true
}

func (f *frameSection) cie(c *cfi.CIE) uint32 {
	b := pad(c.Bytes())
	if at, ok := f.cies[string(b)]; ok {
		return at
	}
	at := uint32(len(f.data))
	f.data = append(f.data, b...)
	f.cies[string(b)] = at
	return at
}

// pad lengthens a record with DW_CFA_nop (zero) to a multiple of 8 bytes.
func pad(record []byte) []byte {
	out := append([]byte(nil), record...)
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	binary.LittleEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

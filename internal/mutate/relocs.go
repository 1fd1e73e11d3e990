package mutate

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"hotpatch/arch"
)

// readRelocs reads the relocations of the twin that its linker kept.
func (p *Program) readRelocs(q *elf.File) error {
	syms, err := q.Symbols()
	if err != nil {
		return err
	}
	found := false
	for _, s := range q.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC != 0 || int(s.Info) >= len(q.Sections) {
			continue
		}
		if to := q.Sections[s.Info]; to.Flags&elf.SHF_ALLOC == 0 || to.Flags&elf.SHF_TLS != 0 || to.Name == ".eh_frame" {
			continue
		}
		found = true
		b := contents(s)
		const size = 24
		for off := 0; off+size <= len(b); off += size {
			info := binary.LittleEndian.Uint64(b[off+8:])
			r := ref{field: arch.ImageAddr(binary.LittleEndian.Uint64(b[off:])), typ: elf.R_X86_64(uint32(info))}
			if n := info >> 32; n > 0 && n <= uint64(len(syms)) {
				sym := &syms[n-1]
				r.undef = sym.Section == elf.SHN_UNDEF
				if elf.ST_TYPE(sym.Info) != elf.STT_SECTION && !strings.HasPrefix(sym.Name, ".L") {
					r.sym, _, _ = strings.Cut(sym.Name, "@")
				}
			}
			if p.complete(&r) {
				p.refs = append(p.refs, r)
			}
		}
	}
	if !found {
		return errors.New("no relocations: it is not linked with -Wl,--emit-relocs")
	}
	slices.SortStableFunc(p.refs, func(a, b ref) int { return cmp.Compare(a.field, b.field) })
	return nil
}

// complete finds out what a relocated field leads to and whose it is. It is false for relocations that leave no address behind.
func (p *Program) complete(r *ref) bool {
	r.inst, r.size = -1, 4
	switch r.typ {
	case elf.R_X86_64_PC32, elf.R_X86_64_PLT32, elf.R_X86_64_GOTPCREL, elf.R_X86_64_GOTPCRELX, elf.R_X86_64_REX_GOTPCRELX:
	case elf.R_X86_64_64:
		r.size = 8
	default:
		r.size = 0 // known to be relocated, and not touched
	}
	sec := p.section(r.field)
	if sec == nil {
		return false
	}
	if sec.Flags&elf.SHF_EXECINSTR != 0 {
		r.owner = p.unitAt(r.field)
		if r.inst = p.instAt(r.field); r.inst < 0 || r.size != 4 {
			r.inst, r.size = -1, 0
			return true
		}
		in := &p.insts[r.inst]
		r.target = in.end() + arch.ImageAddr(int32(binary.LittleEndian.Uint32(p.bytes(r.field, 4))))
		r.width = accessWidth(in.text)
		return true
	}
	if o := p.objectAt(r.field); o != nil {
		r.owner = o.start
	}
	if r.size == 8 {
		if i, ok := slices.BinarySearchFunc(p.dyn, r.field, func(d dynWord, v arch.ImageAddr) int { return cmp.Compare(d.addr, v) }); ok {
			r.target = p.dyn[i].addend
		} else {
			r.size = 0
		}
	}
	return true
}

// accessWidth returns how many bytes an instruction accesses in memory, as objdump's Intel syntax says; 0: it takes an address, or branches.
func accessWidth(text string) int {
	for name, n := range map[string]int{"BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8, "XMMWORD": 16, "YMMWORD": 32, "ZMMWORD": 64, "TBYTE": 10, "OWORD": 16} {
		if strings.Contains(text, " "+name+" PTR") || strings.Contains(text, ","+name+" PTR") {
			return n
		}
	}
	return 0
}

// collectLabels notes who refers to which place in data.
func (p *Program) collectLabels() {
	known := make(map[arch.ImageAddr]bool)
	add := func(at arch.ImageAddr, r *ref) {
		if s := p.section(at); s == nil || s.Flags&elf.SHF_EXECINSTR != 0 {
			return
		}
		p.readers[at] = append(p.readers[at], r)
		known[at] = true
	}
	for i := range p.refs {
		if r := &p.refs[i]; r.size > 0 && r.target != 0 && !(r.inst < 0 && r.size == 4) {
			add(r.target, r)
		}
	}
	for at := range known {
		p.labels = append(p.labels, at)
	}
	slices.Sort(p.labels)
}

// refsIn returns the relocated fields in [start, end).
func (p *Program) refsIn(start, end arch.ImageAddr) []ref {
	i, _ := slices.BinarySearchFunc(p.refs, start, func(r ref, v arch.ImageAddr) int { return cmp.Compare(r.field, v) })
	j, _ := slices.BinarySearchFunc(p.refs, end, func(r ref, v arch.ImageAddr) int { return cmp.Compare(r.field, v) })
	return p.refs[i:j]
}

// relocated reports whether a byte belongs to a field that the linker or the dynamic linker writes.
func (p *Program) relocated(addr arch.ImageAddr) bool {
	for _, r := range p.refsIn(addr-7, addr+1) {
		if size := max(r.size, 4); addr < r.field+arch.ImageAddr(size) || r.typ == elf.R_X86_64_64 {
			return true
		}
	}
	i, _ := slices.BinarySearchFunc(p.dyn, addr-7, func(d dynWord, v arch.ImageAddr) int { return cmp.Compare(d.addr, v) })
	return i < len(p.dyn) && p.dyn[i].addr <= addr
}

// labelsIn returns the labels in [start, end).
func (p *Program) labelsIn(start, end arch.ImageAddr) []arch.ImageAddr {
	i, _ := slices.BinarySearch(p.labels, start)
	j, _ := slices.BinarySearch(p.labels, end)
	return p.labels[i:j]
}

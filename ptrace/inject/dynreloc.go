package inject

import (
	"debug/elf"
	"fmt"
	"slices"

	"hotpatch/arch"
)

// slotTypes are the relocation types whose place holds something of a symbol, by machine.
// A payload reaches the symbol through such a place.
func slotTypes(m elf.Machine) (jump, glob uint32, tls []uint32) {
	if m == elf.EM_AARCH64 {
		return uint32(elf.R_AARCH64_JUMP_SLOT), uint32(elf.R_AARCH64_GLOB_DAT),
			[]uint32{uint32(elf.R_AARCH64_TLS_DTPMOD64), uint32(elf.R_AARCH64_TLS_DTPREL64), uint32(elf.R_AARCH64_TLS_TPREL64), uint32(elf.R_AARCH64_TLSDESC)}
	}
	return uint32(elf.R_X86_64_JMP_SLOT), uint32(elf.R_X86_64_GLOB_DAT),
		[]uint32{uint32(elf.R_X86_64_DTPMOD64), uint32(elf.R_X86_64_DTPOFF64), uint32(elf.R_X86_64_TPOFF64), uint32(elf.R_X86_64_TLSDESC)}
}

// relativeType is the type of a relocation that adds the bias.
func relativeType(m elf.Machine) uint32 {
	if m == elf.EM_AARCH64 {
		return uint32(elf.R_AARCH64_RELATIVE)
	}
	return uint32(elf.R_X86_64_RELATIVE)
}

// absoluteType is the type of a relocation that stores a symbol's address and an addend.
func absoluteType(m elf.Machine) uint32 {
	if m == elf.EM_AARCH64 {
		return uint32(elf.R_AARCH64_ABS64)
	}
	return uint32(elf.R_X86_64_64)
}

// irelativeType is the type of a relocation that stores what the resolver at its addend answers.
func irelativeType(m elf.Machine) uint32 {
	if m == elf.EM_AARCH64 {
		return uint32(elf.R_AARCH64_IRELATIVE)
	}
	return uint32(elf.R_X86_64_IRELATIVE)
}

// relaSize is the size of an Elf64_Rela.
const relaSize = 24

// readRelocs reads DT_JMPREL, DT_RELA and DT_RELR. Relative relocations are kept out of the
// slots; all are in list.
func (r *dynReader) readRelocs() error {
	d := r.d
	if has(d.tags, elf.DT_REL) {
		return fmt.Errorf("DT_REL: relocations without addend are not supported")
	}
	jump, glob, tls := slotTypes(r.m.Machine)
	isSlot := map[uint32]bool{jump: true, glob: true}
	for _, t := range tls {
		isSlot[t] = true
	}
	for _, t := range []struct{ addr, size elf.DynTag }{{elf.DT_RELA, elf.DT_RELASZ}, {elf.DT_JMPREL, elf.DT_PLTRELSZ}} {
		if !has(d.tags, t.addr) {
			continue
		}
		n := d.tags[t.size]
		if n/relaSize > maxRelocs {
			return fmt.Errorf("%v: %d bytes are more than the limit", t.size, n)
		}
		b, err := r.table(t.addr, n)
		if err != nil {
			return err
		}
		d.list = slices.Grow(d.list, len(b)/relaSize)
		for ; len(b) >= relaSize; b = b[relaSize:] {
			info := order.Uint64(b[8:])
			at, rel := arch.ImageAddr(order.Uint64(b)), dynReloc{Type: elf.R_TYPE64(info), Sym: int(elf.R_SYM64(info)), Addend: int64(order.Uint64(b[16:]))}
			if rel.Sym >= len(d.syms) && rel.Sym != 0 {
				return fmt.Errorf("%v: relocation at %#x: symbol %d of %d", t.addr, uint64(at), rel.Sym, len(d.syms))
			}
			d.list = append(d.list, placedReloc{at, rel})
			if rel.Sym >= len(d.syms) { // it names none
				continue
			}
			if rel.Type == absoluteType(r.m.Machine) && rel.Addend == 0 {
				d.words = append(d.words, dynSlot{Sym: rel.Sym, Type: rel.Type, Addr: at})
			}
			if isSlot[rel.Type] {
				d.slots = append(d.slots, dynSlot{Sym: rel.Sym, Type: rel.Type, Addr: at})
			}
		}
	}
	return r.readRelr()
}

// at returns the relocation of a place.
func (d *dynamic) at(place arch.ImageAddr) (dynReloc, bool) {
	if d.relocs == nil {
		d.relocs = make(map[arch.ImageAddr]dynReloc, len(d.list))
		for _, r := range d.list {
			d.relocs[r.place] = r.dynReloc
		}
	}
	r, ok := d.relocs[place]
	return r, ok
}

// readRelr reads DT_RELR (gABI draft, "Relative relocation table"): an even word is an address, an
// odd one a bitmap of the 63 words behind the last address.
func (r *dynReader) readRelr() error {
	if !has(r.d.tags, dtRelr) {
		return nil
	}
	n := r.d.tags[dtRelrsz]
	if n/8 > maxRelocs {
		return fmt.Errorf("DT_RELRSZ: %d bytes are more than the limit", n)
	}
	b, err := r.table(dtRelr, n)
	if err != nil {
		return err
	}
	rel := dynReloc{Type: relativeType(r.m.Machine), Relr: true}
	var where arch.ImageAddr
	for ; len(b) >= 8; b = b[8:] {
		w := order.Uint64(b)
		if w&1 == 0 {
			where = arch.ImageAddr(w)
			r.d.list = append(r.d.list, placedReloc{where, rel})
			where += 8
			continue
		}
		for i := 0; i < 63; i++ {
			if w>>(i+1)&1 != 0 {
				r.d.list = append(r.d.list, placedReloc{where + arch.ImageAddr(i*8), rel})
			}
		}
		where += 63 * 8
	}
	return nil
}

// slotsOf returns the slots of the module that hold the address of the named symbol. An empty version
// matches every version.
func (d *dynamic) slotsOf(machine elf.Machine, name, version string) []dynSlot {
	jump, glob, _ := slotTypes(machine)
	return d.matching(d.slots, name, version, jump, glob)
}

// wordsOf returns the words of data that were given the address of the named symbol at the start.
func (d *dynamic) wordsOf(machine elf.Machine, name, version string) []dynSlot {
	return d.matching(d.words, name, version, absoluteType(machine))
}

func (d *dynamic) matching(list []dynSlot, name, version string, types ...uint32) []dynSlot {
	var out []dynSlot
	for _, s := range list {
		sym := &d.syms[s.Sym]
		if slices.Contains(types, s.Type) && sym.Name == name && (version == "" || sym.Version == "" || sym.Version == version) {
			out = append(out, s)
		}
	}
	return out
}

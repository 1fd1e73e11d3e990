package inject

import (
	"debug/elf"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// isSlot reports whether the place of a relocation holds something of a symbol, through which a payload reaches the symbol.
func isSlot(k arch.DynKind) bool {
	switch k {
	case arch.DynJumpSlot, arch.DynGlobDat, arch.DynDTPMod, arch.DynDTPOff, arch.DynTPOff, arch.DynTLSDesc:
		return true
	}
	return false
}

// relaSize is the size of an Elf64_Rela.
const relaSize = 24

// tagPair are the tags of a table: where it is and how many bytes it has.
type tagPair struct{ addr, size elf.DynTag }

// relaTables are the tables of relocations with addends.
func relaTables() []tagPair {
	return []tagPair{{elf.DT_RELA, elf.DT_RELASZ}, {elf.DT_JMPREL, elf.DT_PLTRELSZ}}
}

// relaTable reads one of relaTables, which a module need not have.
func (r *dynReader) relaTable(t tagPair) ([]byte, error) {
	if !has(r.d.tags, t.addr) {
		return nil, nil
	}
	n := r.d.tags[t.size]
	if n/relaSize > maxRelocs {
		return nil, fmt.Errorf("%v: %d bytes are more than the limit", t.size, n)
	}
	return r.table(t.addr, n)
}

// readRelocs reads DT_JMPREL, DT_RELA and DT_RELR. Relative relocations are kept out of the
// slots; all are in list.
func (r *dynReader) readRelocs() error {
	d := r.d
	if has(d.tags, elf.DT_REL) {
		return fmt.Errorf("DT_REL: relocations without addend are not supported")
	}
	a, err := machines.Lookup(r.m.Machine)
	if err != nil {
		return err
	}
	for _, t := range relaTables() {
		b, err := r.relaTable(t)
		if err != nil {
			return err
		}
		d.list = slices.Grow(d.list, len(b)/relaSize)
		for ; len(b) >= relaSize; b = b[relaSize:] {
			info := order.Uint64(b[8:])
			at, rel := arch.ImageAddr(order.Uint64(b)), dynReloc{Type: elf.R_TYPE64(info), Sym: int(elf.R_SYM64(info)), Addend: int64(order.Uint64(b[16:]))}
			if kind, ok := a.Dynamic(rel.Type); ok {
				rel.Kind = kind.Kind
			} else {
				rel.Kind = arch.DynOther
			}
			if rel.Sym >= len(d.syms) && rel.Sym != 0 {
				return fmt.Errorf("%v: relocation at %#x: symbol %d of %d", t.addr, uint64(at), rel.Sym, len(d.syms))
			}
			d.list = append(d.list, placedReloc{at, rel})
			if rel.Sym >= len(d.syms) { // it names none
				continue
			}
			if rel.Kind == arch.DynAbs && rel.Addend == 0 {
				d.words = append(d.words, dynSlot{Sym: rel.Sym, Type: rel.Type, Kind: rel.Kind, Addr: at})
			}
			if isSlot(rel.Kind) {
				d.slots = append(d.slots, dynSlot{Sym: rel.Sym, Type: rel.Type, Kind: rel.Kind, Addr: at})
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
	rel := dynReloc{Kind: arch.DynRelative, Relr: true}
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
func (d *dynamic) slotsOf(name, version string) []dynSlot {
	return d.matching(d.slots, name, version, arch.DynJumpSlot, arch.DynGlobDat)
}

// wordsOf returns the words of data that were given the address of the named symbol at the start.
func (d *dynamic) wordsOf(name, version string) []dynSlot {
	return d.matching(d.words, name, version, arch.DynAbs)
}

func (d *dynamic) matching(list []dynSlot, name, version string, kinds ...arch.DynKind) []dynSlot {
	var out []dynSlot
	for _, s := range list {
		sym := &d.syms[s.Sym]
		if slices.Contains(kinds, s.Kind) && sym.Name == name && (version == "" || sym.Version == "" || sym.Version == version) {
			out = append(out, s)
		}
	}
	return out
}

package image

import (
	"bytes"
	"debug/elf"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image/xz"
)

// miniSection holds the names of functions that are not in .dynsym: an ELF file, compressed with xz ("MiniDebugInfo", Debugging
// with GDB).
const miniSection = ".gnu_debugdata"

// miniDebug opens the ELF file in .gnu_debugdata; nil if there is none.
func (im *Image) miniDebug(f *file) (*file, error) {
	s := f.section(miniSection)
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil, nil
	}
	packed, err := f.read(s)
	if err != nil {
		return nil, err
	}
	b, err := xz.Decode(packed, int(min(f.inflated, 1<<40)))
	if err != nil {
		return nil, &FormatError{f.path, s.Offset, "section " + miniSection, err}
	}
	f.inflated -= uint64(len(b))
	path := f.path + " (" + miniSection + ")"
	mini, err := newFile(path, bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		return nil, err
	}
	if why := im.checkDebug(mini, candidate{given: true}); why != "" && why != noBuildID {
		return nil, fmt.Errorf("%s: %s", path, why)
	}
	if mini.byType(elf.SHT_SYMTAB) == nil {
		return nil, nil
	}
	return mini, nil
}

// dynamicSymbols adds those of .dynsym that none of syms names: .gnu_debugdata leaves them out.
func (im *Image) dynamicSymbols(syms []rawSymbol) []rawSymbol {
	type key struct {
		name  string
		value uint64
	}
	have := make(map[key]bool, len(syms))
	for i := range syms {
		have[key{syms[i].Name, syms[i].value}] = true
	}
	for i := range im.dyn.syms {
		d := &im.dyn.syms[i]
		if !d.Defined || d.Sym == "" || d.typ == elf.STT_SECTION || d.typ == elf.STT_FILE {
			continue
		}
		s := rawSymbol{typ: d.typ, value: uint64(d.SymDef), size: d.size, index: -1, Symbol: Symbol{Name: d.Sym, Weak: d.bind == elf.STB_WEAK}}
		if d.typ == elf.STT_TLS {
			if uint64(d.SymDef) > im.TLS.MemSize || d.size > im.TLS.MemSize-uint64(d.SymDef) {
				continue
			}
			s.value += uint64(im.TLS.Addr)
			s.sec = im.tlsSection(arch.ImageAddr(s.value))
		} else if s.sec = im.homeSection(arch.ImageAddr(s.value), s.size); s.sec == nil && !isLinkerName(s.Name) {
			continue
		}
		if k := (key{s.Name, s.value}); !have[k] {
			have[k] = true
			syms = append(syms, s)
		}
	}
	return syms
}

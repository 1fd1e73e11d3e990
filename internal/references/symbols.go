package references

import (
	"cmp"
	"debug/elf"
	"slices"
	"strings"

	"hotpatch/arch"
)

// symbols are those of a twin that have a size, by address in the file that is looked at.
type symbols struct {
	all     []symbol
	longest uint64 // size of the largest, in bytes
}

type symbol struct {
	name string
	at   arch.ImageAddr
	size uint64 // bytes
}

// isLabel reports whether a name is a compiler's own for a constant without one.
func isLabel(name string) bool {
	return strings.HasPrefix(name, ".L") || strings.HasPrefix(name, "anon.")
}

func newSymbols(f, q *elf.File, syms []elf.Symbol) *symbols {
	out := &symbols{}
	for i := range syms {
		s := &syms[i]
		typ := elf.ST_TYPE(s.Info)
		if s.Size == 0 || isLabel(s.Name) || typ != elf.STT_OBJECT && typ != elf.STT_FUNC || int(s.Section) >= len(q.Sections) || s.Section == elf.SHN_UNDEF {
			continue
		}
		name, _, _ := strings.Cut(s.Name, "@")
		out.all = append(out.all, symbol{name, arch.ImageAddr(s.Value) + shift(f, q, s.Section), s.Size})
		out.longest = max(out.longest, s.Size)
	}
	slices.SortFunc(out.all, func(a, b symbol) int { return cmp.Compare(a.at, b.at) })
	return out
}

// covering lists the names of the symbols in whose ranges an address is.
func (s *symbols) covering(v arch.ImageAddr) []string {
	var out []string
	i, _ := slices.BinarySearchFunc(s.all, v+1, func(x symbol, v arch.ImageAddr) int { return cmp.Compare(x.at, v) })
	for i--; i >= 0 && uint64(v-s.all[i].at) < s.longest; i-- {
		if x := &s.all[i]; uint64(v-x.at) < x.size {
			out = append(out, x.name)
		}
	}
	return out
}

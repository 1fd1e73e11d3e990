package inject

import (
	"debug/elf"
	"fmt"
	"slices"

	"hotpatch/arch"
)

// loader is the dynamic linker's view of a process: its list of modules, in the order of the
// global scope as far as the list tells it, and whether it is at rest (struct r_debug, link.h).
type loader struct {
	rdebug arch.Addr // of struct r_debug; 0: a static program
	head   arch.Addr // first link_map
	order  []*module // by link_map; main program first
	global int       // order[:global] was loaded at program start: the global scope, preloads included
}

// Offsets in struct r_debug and struct link_map of link.h, 64 bits.
const (
	offRMap   = 8
	offRState = 24
	offLAddr  = 0
	offLLd    = 16
	offLNext  = 24
)

// vdsoPath is how /proc/PID/maps calls the vDSO. It stands in the link map, but no symbol is bound to it.
const vdsoPath = "[vdso]"

// maxLinkMap bounds the list, which may be a ring in a damaged process.
const maxLinkMap = 1 << 16

// Entries of the auxiliary vector (getauxval(3)).
const (
	atPhdr  = 3
	atEntry = 9
)

// readLoader finds the main program by AT_PHDR and follows DT_DEBUG.
func readLoader(mem memory, auxv map[uint64]uint64, mods []*module) (*loader, error) {
	main := mainModule(auxv, mods)
	if main == nil {
		return nil, fmt.Errorf("loader: no mapped image has its program headers at AT_PHDR %#x", auxv[atPhdr])
	}
	l := &loader{order: []*module{main}, global: 1}
	d, err := main.dynamicSection(mem)
	if err != nil || d == nil {
		return l, err
	}
	if l.rdebug = arch.Addr(d.tags[elf.DT_DEBUG]); l.rdebug == 0 {
		return l, nil // static-PIE, or the loader has not run yet
	}
	head, err := readWord(mem, l.rdebug+offRMap)
	if err != nil {
		return nil, fmt.Errorf("loader: r_debug: %w", err)
	}
	l.head = arch.Addr(head)
	l.order = l.order[:0]
	at := l.head
	for n := 0; at != 0; n++ {
		if n == maxLinkMap {
			return nil, fmt.Errorf("loader: link_map has more than %d entries", maxLinkMap)
		}
		b, err := readBytes(mem, at, 32)
		if err != nil {
			return nil, fmt.Errorf("loader: link_map: %w", err)
		}
		bias, ld := arch.Addr(order.Uint64(b[offLAddr:])), arch.Addr(order.Uint64(b[offLLd:]))
		for _, m := range mods {
			if m.Path != vdsoPath && m.Bias == bias && m.holds(ld) && !slices.Contains(l.order, m) {
				l.order = append(l.order, m)
				break
			}
		}
		at = arch.Addr(order.Uint64(b[offLNext:]))
	}
	if len(l.order) == 0 || l.order[0] != main {
		return nil, fmt.Errorf("loader: the first link_map is not the main program %s", main.name())
	}
	return l, l.findGlobal(mem)
}

func mainModule(auxv map[uint64]uint64, mods []*module) *module {
	for _, m := range mods {
		if m.Phdr == arch.Addr(auxv[atPhdr]) {
			return m
		}
	}
	for _, m := range mods { // a main program started by an explicit call of the dynamic linker
		if e := arch.Addr(auxv[atEntry]); m.holds(e) {
			return m
		}
	}
	return nil
}

// findGlobal sets l.global. What a program has at its start (itself, preloads, and the closure
// of DT_NEEDED) stands in the list before what dlopen brought.
func (l *loader) findGlobal(mem memory) error {
	closure, _, err := l.closure(mem, l.order[0], nil)
	if err != nil {
		return err
	}
	for i, m := range l.order {
		if slices.Contains(closure, m) {
			l.global = i + 1
		}
	}
	return nil
}

// closure returns the loaded modules that from needs, itself first, breadth first as the
// dynamic linker searches them; roots, if not nil, replace from's own DT_NEEDED. missing
// are the names of roots that are not loaded.
func (l *loader) closure(mem memory, from *module, roots []string) (out []*module, missing []string, err error) {
	out = []*module{from}
	for i := 0; i < len(out); i++ {
		d, err := out[i].dynamicSection(mem)
		if err != nil {
			return nil, nil, err
		}
		var names []string
		if d != nil {
			names = d.needed
		}
		if i == 0 && roots != nil {
			names = roots
		}
		for _, name := range names {
			m, err := l.bySoname(mem, name)
			if err != nil {
				return nil, nil, err
			}
			if m == nil && i == 0 {
				missing = append(missing, name)
			}
			if m != nil && !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out, missing, nil
}

// bySoname returns the loaded module that answers to a DT_NEEDED name: its DT_SONAME, or the base name
// of its file where it has none. It is nil if there is none.
func (l *loader) bySoname(mem memory, name string) (*module, error) {
	for _, m := range l.order {
		d, err := m.dynamicSection(mem)
		if err != nil {
			return nil, err
		}
		if d != nil && d.soname == name || (d == nil || d.soname == "") && m.name() == name {
			return m, nil
		}
	}
	return nil, nil
}

// atRest reports whether the dynamic linker is changing nothing (RT_CONSISTENT). Preconditions
// for an answer that stays true: the process is stopped.
func (l *loader) atRest(mem memory, buf *[8]byte) (bool, error) {
	if l.rdebug == 0 {
		return true, nil
	}
	if err := mem.ReadMem(buf[:4], l.rdebug+offRState); err != nil {
		return false, err
	}
	const consistent = 0 // RT_CONSISTENT
	return order.Uint32(buf[:4]) == consistent, nil
}

package inject

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind"
)

// symbolizer names places for people.
type symbolizer struct {
	opt   *Options
	mem   memory
	mods  []*module
	links []*link
}

// frame describes one frame.
func (s *symbolizer) frame(space *unwind.Space, f *unwind.Frame) string {
	pc := f.PC
	if f.Return {
		pc--
	}
	if name := s.name(pc); name != "" {
		return name
	}
	if f.Module >= 0 {
		return fmt.Sprintf("%s+%#x", space.Modules[f.Module].Name, uint64(f.PC-space.Modules[f.Module].Bias))
	}
	return fmt.Sprintf("%#x", uint64(f.PC))
}

// name returns the function at pc, or "".
func (s *symbolizer) name(pc arch.Addr) string {
	for _, l := range s.links {
		for i := range l.e.Bodies {
			if b := l.e.Bodies[i].New; pc >= b.Addr && pc < b.end() {
				return fmt.Sprintf("%s (patch %s)", b.Name, l.file.ID.Short())
			}
		}
	}
	for _, m := range s.mods {
		if !m.holds(pc) {
			continue
		}
		if s.opt.Symbolize != nil {
			if name := s.opt.Symbolize(m.Path, m.BuildID, m.image(pc)); name != "" {
				return name
			}
		}
		d, err := m.symbols(s.mem)
		if err != nil || d == nil {
			return ""
		}
		for i := range d.syms {
			if sym := &d.syms[i]; sym.defined() && m.image(pc) >= sym.Value && uint64(m.image(pc)-sym.Value) < sym.Size {
				return fmt.Sprintf("%s (%s)", sym.Name, m.name())
			}
		}
	}
	return ""
}

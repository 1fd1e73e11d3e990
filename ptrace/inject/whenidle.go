package inject

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// Function is a function of an image's symbols: all places that hold code of it.
type Function struct {
	Name  string
	File  string // source file of a local symbol, or ""
	Parts []Part
}

// Part is a contiguous piece of a function.
type Part struct {
	Addr arch.ImageAddr
	Size uint64 // bytes
}

// idleFunc is a function that Options.WhenIdle means.
type idleFunc struct {
	v *moduleView
	f Function
}

// where names the function so that it is told from others, and can be asked for.
func (c *idleFunc) where() string {
	in := c.v.m.name()
	if c.f.File != "" {
		in = c.f.File
	}
	return fmt.Sprintf("%s:%s (%s, %#x)", in, c.f.Name, c.v.m.name(), uint64(c.f.Parts[0].Addr.In(c.v.m.Bias)))
}

// bounds changes what the check looks for by the user's wishes, and by what earlier transactions allowed to stay active.
func (pl *planner) bounds() error {
	pl.unsound = pl.unseen()
	if err := pl.allowActive(); err != nil {
		return err
	}
	pl.lingering()
	for i := range pl.targets {
		pl.targets[i].noReturn = pl.noReturn(&pl.targets[i])
	}
	return pl.whenIdle()
}

// noReturn reports whether a target is of a body that goes round in a loop without a way out.
func (pl *planner) noReturn(t *target) bool {
	for k := range pl.moves {
		m := &pl.moves[k]
		for i := range m.l.file.Funcs {
			if c := m.leaves(i); c != nil && c.Loops && slices.ContainsFunc(pl.ranges(m, i), func(r placedRange) bool { return r.Addr == t.Addr }) {
				return true
			}
		}
	}
	return false
}

// whenIdle counts the functions that the user names as replaced in the check: the one of the build that was started, and every version of
// it that a patch has brought, so that a call of it, whichever version it began in, is over when the change is made.
func (pl *planner) whenIdle() error {
	for _, name := range pl.opt.WhenIdle {
		c, err := pl.idleFunc(name)
		if err != nil {
			return err
		}
		for k, p := range c.f.Parts {
			t := target{placedRange: placedRange{Name: c.f.Name, Addr: p.Addr.In(c.v.m.Bias), Size: p.Size}, idle: true}
			if k == 0 {
				t.entries = []arch.Addr{t.Addr}
			}
			pl.targets = append(pl.targets, t)
		}
		for _, l := range slices.Concat(c.v.chain, c.v.idle, c.v.mixed) {
			pl.targets = append(pl.targets, pl.versionsOf(l, c)...)
		}
		pl.report.WhenIdle = append(pl.report.WhenIdle, c.where())
	}
	return nil
}

// versionsOf returns the code of a function in a patch's payload that is mapped already.
func (pl *planner) versionsOf(l *link, c *idleFunc) []target {
	entry := c.f.Parts[0].Addr.In(c.v.m.Bias)
	has := slices.ContainsFunc(l.e.Bodies, func(b body) bool {
		return b.New.Addr != 0 && (b.Entry == entry || b.How == patch.Added && b.Name == c.f.Name)
	})
	if !has {
		return nil
	}
	var out []target
	for i := range l.file.Symbols {
		s := &l.file.Symbols[i]
		if s.Kind != patch.SymDefined || !s.Func || !isPartOf(s.Name, c.f.Name) || pl.future(l.e.Syms[i]) {
			continue
		}
		t := target{placedRange: placedRange{Name: s.Name, Addr: l.e.Syms[i], Size: s.Size}, idle: true}
		if s.Name == c.f.Name {
			t.entries = []arch.Addr{t.Addr}
		}
		out = append(out, t)
	}
	return out
}

// isPartOf reports whether a symbol is that of a function or of code that was split off it and belongs to its calls (gcc: foo.cold).
func isPartOf(symbol, function string) bool {
	rest, ok := strings.CutPrefix(symbol, function)
	return ok && (rest == "" || rest == ".cold" || strings.HasPrefix(rest, ".cold."))
}

// idleFunc finds the one function that a name means: FUNC, MODULE:FUNC or FILE:FUNC.
func (pl *planner) idleFunc(name string) (*idleFunc, error) {
	where, fn := "", name
	if i := strings.LastIndexByte(name, ':'); i > 0 && name[i-1] != ':' {
		where, fn = name[:i], name[i+1:]
	}
	var all []idleFunc
	for _, v := range pl.views {
		list, err := pl.functionsOf(v, fn, where == v.m.name())
		if err != nil {
			return nil, fmt.Errorf("--when-idle %s: %w", name, err)
		}
		for _, f := range list {
			if len(f.Parts) > 0 && (where == "" || where == v.m.name() || where == f.File) {
				all = append(all, idleFunc{v, f})
			}
		}
	}
	switch len(all) {
	case 1:
		return &all[0], nil
	case 0:
		return nil, refuse(name, "", "give it as MODULE:FUNC if it is not in a module that is patched; if it is inlined everywhere, name its callers", "no function of this name is known, to wait until it is idle")
	}
	sort.Slice(all, func(i, k int) bool { return all[i].where() < all[k].where() })
	const show = 8
	var names []string
	for i := range all[:min(len(all), show)] {
		names = append(names, all[i].where())
	}
	if n := len(all) - show; n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	return nil, refuse(name, strings.Join(names, ", "), "give it as FILE:FUNC or MODULE:FUNC", "%d functions have this name", len(all))
}

// functionsOf finds functions by name: in the symbols of the module's file, if it is one that is patched or is asked for, else in its
// dynamic symbols; and among those that patches have added.
func (pl *planner) functionsOf(v *moduleView, name string, asked bool) ([]Function, error) {
	patched := len(v.chain) > 0 || slices.ContainsFunc(pl.steps, func(s *step) bool { return s.view == v })
	var out []Function
	if (patched || asked) && pl.opt.Functions != nil {
		list, err := pl.opt.Functions(v.m.Path, v.m.BuildID, name)
		if err != nil {
			return nil, fmt.Errorf("symbols of %s: %w", v.m.name(), err)
		}
		out = list
	} else {
		d, err := v.m.symbols(pl.snap.mem)
		if err != nil {
			return nil, err
		}
		for i := 0; d != nil && i < len(d.syms); i++ {
			s := &d.syms[i]
			same := slices.ContainsFunc(out, func(f Function) bool { return f.Parts[0].Addr == s.Value })
			if s.defined() && s.Name == name && s.Size > 0 && !same {
				out = append(out, Function{Name: name, Parts: []Part{{s.Value, s.Size}}})
			}
		}
	}
	for _, l := range v.chain {
		for i := range l.e.Bodies {
			// Version 0 of an added function is in the payload: its image address, as the module's bias has it.
			if b := &l.e.Bodies[i]; b.How == patch.Added && b.Name == name && !pl.future(b.New.Addr) {
				out = append(out, Function{Name: name, Parts: []Part{{arch.ImageAddr(b.New.Addr - v.m.Bias), b.New.Size}}})
			}
		}
	}
	return out, nil
}

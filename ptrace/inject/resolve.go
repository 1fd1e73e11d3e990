package inject

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// resolver answers a payload's questions for one patch in one module. It is a [patch.Resolver].
type resolver struct {
	snap *snapshot
	mod  *moduleView
	p    *patch.Patch
}

var _ patch.Resolver = (*resolver)(nil)

// Image finds an address of the old build through the module's chain.
func (r *resolver) Image(v arch.ImageAddr, sym *patch.Symbol) (arch.Addr, error) {
	if len(r.mod.chain) > 0 {
		for i := range r.p.Slots {
			if s := &r.p.Slots[i]; s.Addr == v {
				return r.slot(s)
			}
		}
	}
	if n := len(r.mod.chain); n > 0 && sym.Func {
		// Equal functions of two builds may differ in padding and in the length of branches.
		if e := mapAt(r.mod.path[n-1].file.Patch, v); e != nil && e.New != v {
			return 0, &patch.Refusal{
				What: sym.Name, Why: "the patch refers to the inside of a function, whose place in the image that was started is not known",
				Found: fmt.Sprintf("%#x, %#x bytes behind its start", uint64(v), uint64(v-e.New)), Help: "make a patch from the build that was started",
			}
		}
	}
	return r.mod.locate(v, sym.Size)
}

// localTLS is the name that a diff gives to the slot of a thread-local variable without a dynamic symbol.
const localTLS = "tls"

// slot finds the slot of the running image that stands for a slot of a later build: the one that
// the dynamic linker filled for the same symbol in the same way. The slots of variables without a symbol cannot be
// told apart.
func (r *resolver) slot(s *patch.Slot) (arch.Addr, error) {
	if s.Name == "" || s.Name == localTLS {
		return 0, &patch.Refusal{
			What: r.mod.m.name(), Why: "the patch needs the slot of a static thread-local variable, which cannot be found in the image that was started",
			Found: fmt.Sprintf("slot %#x of build %x", uint64(s.Addr), r.p.Old.ID), Help: "make a patch from the build that was started",
		}
	}
	d, err := r.mod.m.relocated(r.snap.mem)
	if err != nil {
		return 0, err
	}
	if d != nil {
		for _, have := range d.slots {
			if have.Type == s.Type && have.Sym != 0 && d.syms[have.Sym].Name == s.Name {
				return have.Addr.In(r.mod.m.Bias), nil
			}
		}
	}
	return 0, &patch.Refusal{
		What: s.Name, Why: fmt.Sprintf("the running image %s has no slot for it (relocation type %d)", r.mod.m.name(), s.Type),
		Found: fmt.Sprintf("slot %#x of build %x", uint64(s.Addr), r.p.Old.ID), Help: "make a patch from the build that was started",
	}
}

// Import binds a symbol of another module as the dynamic linker would.
func (r *resolver) Import(sym *patch.Symbol) (addr, slot arch.Addr, err error) {
	m := r.mod.m
	d, err := m.relocated(r.snap.mem)
	if err != nil {
		return 0, 0, err
	}
	if d == nil {
		return 0, 0, &patch.Refusal{What: sym.Name, Why: "is imported, but " + m.name() + " is a static program", Help: "make the patch from the static build"}
	}
	for _, s := range d.slotsOf(sym.Name, sym.Version) {
		at := s.Addr.In(m.Bias)
		if s.Kind == arch.DynJumpSlot || slot == 0 {
			slot = at
		}
		v, err := readWord(r.snap.mem, at)
		if err != nil {
			return 0, 0, err
		}
		if bound := arch.Addr(v); bound != 0 && !m.holds(bound) {
			return bound, slot, nil // the dynamic linker has answered already
		}
	}
	addr, err = r.lookup(sym)
	if err != nil && slot != 0 {
		return 0, slot, nil // calls go through the slot, which binds itself; Link refuses other uses
	}
	return addr, slot, err
}

// definition is a symbol that a module offers.
type definition struct {
	mod *module
	sym *dynSym
}

func (d definition) addr() arch.Addr { return d.sym.Value.In(d.mod.Bias) }

// lookup finds the definition of an import: in the global scope, then in the closure of the
// new build's DT_NEEDED as it is loaded. A definition in a module that is in neither may
// or may not be visible, and so does not count.
func (r *resolver) lookup(sym *patch.Symbol) (arch.Addr, error) {
	l := r.snap.loader
	if !slices.Contains(l.order, r.mod.m) {
		return 0, &patch.Refusal{
			What: sym.Name, Why: "is a new import of " + r.mod.m.name() + ", which is in a namespace of its own (dlmopen)",
			Help: "hotpatch cannot see what that namespace holds",
		}
	}
	closure, missing, err := l.closure(r.snap.mem, r.mod.m, r.p.Needed)
	if err != nil {
		return 0, err
	}
	scope := append(append([]*module{}, l.order[:l.global]...), closure...)
	def, err := r.snap.find(scope, sym.Name, sym.Version)
	if err != nil {
		return 0, err
	}
	if def == nil {
		if sym.Weak {
			return 0, nil
		}
		return 0, notFound(sym, scope, missing)
	}
	if def.sym.Type == elf.STT_TLS {
		return 0, &patch.Refusal{What: sym.Name, Why: "is a thread-local variable of " + def.mod.name() + " without a slot in the running image"}
	}
	if def.sym.Type == elf.STT_GNU_IFUNC {
		return r.snap.ifunc(sym.Name, def)
	}
	return def.addr(), nil
}

func notFound(sym *patch.Symbol, scope []*module, missing []string) error {
	name := sym.Name
	if sym.Version != "" {
		name += "@" + sym.Version
	}
	ref := &patch.Refusal{What: name, Why: "no loaded library defines this import"}
	var seen []string
	for _, m := range scope {
		seen = append(seen, m.name())
	}
	ref.Found = "searched " + strings.Join(seen, ", ")
	if len(missing) > 0 {
		ref.Why = "this import needs a library that is not loaded: " + strings.Join(missing, ", ")
		ref.Help = "restart with the new build: hotpatch never loads libraries into a process"
	}
	return ref
}

// ifunc returns the implementation that the dynamic linker chose for an indirect function. Only
// a place that it has bound knows it: running the resolver would mean to call code of the target.
func (s *snapshot) ifunc(name string, def *definition) (arch.Addr, error) {
	for _, m := range s.loader.order {
		d, err := m.relocated(s.mem)
		if err != nil {
			return 0, err
		}
		if d == nil || m == def.mod { // a slot of its own that is not bound yet leads into it as well
			continue
		}
		places := d.slotsOf(name, def.sym.Version)
		for _, w := range d.wordsOf(name, def.sym.Version) {
			// A variable may hold something else by now; what is read-only does not.
			if mp := mappingAt(s.maps, w.Addr.In(m.Bias)); mp != nil && mp.Perm&ptrace.PermWrite == 0 {
				places = append(places, w)
			}
		}
		for _, p := range places {
			v, err := readWord(s.mem, p.Addr.In(m.Bias))
			if err != nil {
				return 0, err
			}
			if at := arch.Addr(v); def.mod.holds(at) && at != def.addr() {
				return at, nil
			}
		}
	}
	if at, err := s.ownChoice(def); at != 0 || err != nil {
		return at, err
	}
	return 0, &patch.Refusal{
		What: name, Why: "is an indirect function of " + def.mod.name() + " that no module of the process has bound yet",
		Help: "start the process with LD_BIND_NOW=1, or let it call the function once",
	}
}

// ownChoice returns the implementation that the defining module itself uses, or zero: the dynamic linker calls
// the resolver for each of its IRELATIVE relocations when it loads it, bound lazily or not, and stores the answer.
func (s *snapshot) ownChoice(def *definition) (arch.Addr, error) {
	d, err := def.mod.relocated(s.mem)
	if err != nil || d == nil {
		return 0, err
	}
	for i := range d.list {
		rel := &d.list[i]
		if rel.Kind != arch.DynIRelative || arch.ImageAddr(rel.Addend) != def.sym.Value {
			continue
		}
		v, err := readWord(s.mem, rel.place.In(def.mod.Bias))
		if err != nil {
			return 0, err
		}
		if at := arch.Addr(v); def.mod.holds(at) && at != def.addr() {
			return at, nil
		}
	}
	return 0, nil
}

// find returns the first definition in scope, or nil (dl-lookup.c's rules: with a version the
// names must match, unless the library has no versions at all; without one, the default).
func (s *snapshot) find(scope []*module, name, version string) (*definition, error) {
	for _, m := range scope {
		d, err := m.symbols(s.mem)
		if err != nil {
			return nil, err
		}
		if d == nil {
			continue
		}
		versioned := has(d.tags, elf.DT_VERDEF)
		for _, i := range d.byName[name] {
			sym := &d.syms[i]
			if !sym.defined() {
				continue
			}
			if version != "" && versioned && sym.Version != version {
				continue
			}
			if version == "" && sym.Hidden {
				continue
			}
			return &definition{m, sym}, nil
		}
	}
	return nil, nil
}

// preempted checks that the functions and data that a patch changes are the ones that are used: an exported one
// of a library may be hidden behind another module's of the same name. Where this image's own references lead
// is seen in memory. Others' follow the global scope; a module that dlopen brought is as a rule not in it,
// and does not count.
func (r *resolver) preempted(name string, at arch.Addr) error {
	m := r.mod.m
	d, err := m.relocated(r.snap.mem)
	if err != nil || d == nil {
		return err
	}
	for i := range d.syms {
		sym := &d.syms[i]
		if !sym.defined() || sym.Value.In(m.Bias) != at || sym.Vis == elf.STV_PROTECTED {
			continue
		}
		hidden := func(by *module, where arch.Addr) error {
			return &patch.Refusal{
				What: name, Why: fmt.Sprintf("%s of %s is not the one that is bound: %s defines it as well and comes first", sym.Name, m.name(), by.name()),
				Found: fmt.Sprintf("%s at %#x", by.name(), uint64(where)), Help: "make a patch for that module; if it needs none, --ack preempted:" + name,
			}
		}
		if other, bound, err := r.boundTo(d, sym.Name); err != nil {
			return err
		} else if other != nil {
			return hidden(other, bound)
		}
		for _, other := range r.snap.loader.order[:r.snap.loader.global] {
			if other == m {
				break // ours is found first
			}
			def, err := r.snap.find([]*module{other}, sym.Name, sym.Version)
			if err != nil {
				return err
			}
			if def != nil && def.addr() != at {
				return hidden(other, def.addr())
			}
		}
	}
	return nil
}

// boundTo returns the other module that a reference of this image to one of its own symbols is bound to, or
// nil. A slot that is not bound yet leads into the image itself.
func (r *resolver) boundTo(d *dynamic, name string) (*module, arch.Addr, error) {
	m := r.mod.m
	for _, s := range d.slotsOf(name, "") {
		v, err := readWord(r.snap.mem, s.Addr.In(m.Bias))
		if err != nil {
			return nil, 0, err
		}
		for _, other := range r.snap.mods {
			if at := arch.Addr(v); other != m && other.holds(at) {
				return other, at, nil
			}
		}
	}
	return nil, 0, nil
}

package inject

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// A link is one patch in one module, as a journal has it.
type link struct {
	j     *journal // nil while it is being planned
	index int      // of the entry in j
	e     *entry
	file  *patch.File
	force int  // writes of the entry that are in force, judged by the bytes
	home  int  // those of them that are in the module itself, not in a payload
	out   bool // in a path: not in force, though later patches that are based on it are
}

// state returns what the journal says.
func (l *link) state() state { return l.j.States[l.index] }

// full, none: all, or none, of the entry's writes are in force. An entry that writes
// nothing is judged by its state.
func (l *link) full() bool {
	if len(l.e.Writes) == 0 {
		return l.state() == applied || l.state() == reverting
	}
	return l.force == len(l.e.Writes)
}

func (l *link) none() bool {
	if len(l.e.Writes) == 0 {
		return !l.full()
	}
	return l.force == 0
}

// moduleView is a module with the patches in it, judged by the bytes in its text.
type moduleView struct {
	m     *module
	chain []*link // in force, oldest first
	path  []*link // the same, and those that were taken out from under later ones; see connect
	above []*link // of a view that ends below them (under): those in force that are based on its path, or on what is missing there
	idle  []*link // not in force, memory still mapped: reverted, or staged and abandoned
	mixed []*link // in force in part: a hotpatch died in the middle
	// remnants are not in force, but some of their jumps in the payloads of others are: the module was loaded anew. See remnant.
	remnants []*link
	stray    []string
}

// build returns the build that runs: the image's own, or what the newest patch made of it. It is nil if a patch is missing below others: then
// no build runs.
func (v *moduleView) build() []byte {
	if v.hole() >= 0 {
		return nil
	}
	return v.last()
}

// last returns the build that the newest patch leads to, whether or not one is missing below it.
func (v *moduleView) last() []byte {
	if n := len(v.path); n > 0 {
		return v.path[n-1].file.New.ID
	}
	return v.m.BuildID
}

// views sorts the entries of all journals to the modules of the process. Entries whose module is gone
// (unloaded, or loaded elsewhere) are returned apart; those that cannot be read are added to s.damaged.
func (s *snapshot) views() (views []*moduleView, gone []*link, err error) {
	byStart := make(map[arch.Addr]*moduleView)
	for _, m := range s.mods {
		v := &moduleView{m: m}
		views, byStart[m.Start] = append(views, v), v
	}
	links := make(map[*moduleView][]*link)
	for _, j := range s.journals {
		for i := range j.Record.Entries {
			e := &j.Record.Entries[i]
			l := &link{j: j, index: i, e: e}
			var err error
			if l.file, err = j.decodeFile(e); err != nil { // written by a later hotpatch, perhaps
				s.damaged = append(s.damaged, leftover{j.At, j.Size, err})
				continue
			}
			v := byStart[e.Start]
			if v == nil || v.m.Bias != e.Bias || !bytes.Equal(v.m.BuildID, e.Build) {
				gone = append(gone, l)
				continue
			}
			links[v] = append(links[v], l)
		}
	}
	for _, v := range views {
		if err := v.judge(s, links[v]); err != nil {
			return nil, nil, err
		}
	}
	half := torn(links)
	for _, v := range views {
		v.arrange(links[v], half)
	}
	return views, gone, nil
}

// A writer is a link with one of its writes.
type writer struct {
	l *link
	w *write
}

// coincides reports whether the bytes of the write say nothing about whether it is in force: a constant can have the content that one patch
// gives it from the build, or by another patch. A jump leads to one body only.
func (o writer) coincides() bool {
	return o.w.Kind == writeConst && (o.l.state() == reverted || o.l.state() == staged)
}

// judge counts the writes of each link that are in force, and notes bytes that nobody knows.
func (v *moduleView) judge(s *snapshot, links []*link) error {
	byAddr := make(map[arch.Addr][]writer) // in journal order
	var addrs []arch.Addr
	for _, l := range links {
		for i := range l.e.Writes {
			w := &l.e.Writes[i]
			if byAddr[w.Addr] == nil {
				addrs = append(addrs, w.Addr)
			}
			byAddr[w.Addr] = append(byAddr[w.Addr], writer{l, w})
		}
	}
	sort.Slice(addrs, func(i, k int) bool { return addrs[i] < addrs[k] })
	for _, a := range addrs {
		writers := byAddr[a]
		now := make([]byte, len(writers[0].w.New))
		if err := s.mem.ReadMem(now, a); err != nil {
			if mappingAt(s.maps, a) != nil {
				return fmt.Errorf("%s: %w", writers[0].w.Name, err)
			}
			now = nil // a payload that was planned, but never mapped
		}
		// Where a journal says that nothing of it should be there, the bytes are not its business.
		known := !slices.ContainsFunc(writers, func(o writer) bool { return o.l.state() != reverted && o.l.state() != staged })
		// The bytes that are there were put there by the newest writer that writes them;
		// what that one found was put there by an older one, and so on.
		for i := len(writers) - 1; i >= 0; i-- {
			known = known || bytes.Equal(now, writers[i].w.Old) || bytes.Equal(now, writers[i].w.New)
		}
		want := now
		for i := len(writers) - 1; i >= 0; i-- {
			if o := writers[i]; bytes.Equal(o.w.New, want) && !o.coincides() {
				o.l.force++
				if v.has(a) {
					o.l.home++
				}
				want = o.w.Old
			}
		}
		if !known {
			v.stray = append(v.stray, fmt.Sprintf("%s at %#x: % x", writers[0].w.Name, uint64(a), now[:min(len(now), 16)]))
		}
	}
	return nil
}

// torn reports whether a transaction, of which there is one at most, was interrupted so that it is half done: of the entries that it
// concerns, in all journals, neither all are what they were before it nor all what they are after it.
func torn(links map[*moduleView][]*link) bool {
	all, before, after := 0, 0, 0
	for _, list := range links {
		for _, l := range list {
			if !l.moving() || len(l.e.Writes) == 0 {
				continue
			}
			comes := l.state() == committing
			all++
			if l.none() && comes || l.full() && !comes {
				before++
			}
			if l.full() && comes || l.none() && !comes {
				after++
			}
		}
	}
	return before < all && after < all
}

// moving reports whether the journal says that the entry was being put into force, or out of it.
func (l *link) moving() bool { return l.state() == committing || l.state() == reverting }

// arrange sorts the links into the chain, the idle and the mixed ones, and remnants.
func (v *moduleView) arrange(links []*link, torn bool) {
	for _, l := range links {
		switch {
		case torn && l.moving():
			v.mixed = append(v.mixed, l)
		case v.remnant(l):
			v.remnants = append(v.remnants, l)
		case l.full():
			v.chain = append(v.chain, l)
		case l.none():
			v.idle = append(v.idle, l)
		default:
			v.mixed = append(v.mixed, l)
		}
	}
	v.connect()
}

// find returns the link of a patch that is in force, or nil.
func (v *moduleView) find(id patch.ID) *link {
	for _, l := range v.chain {
		if l.file.ID == id {
			return l
		}
	}
	return nil
}

// mapAt returns the entry of a patch's map that covers an address of its new build, or nil.
func mapAt(p *patch.Patch, v arch.ImageAddr) *patch.MapEntry {
	i := sort.Search(len(p.Map), func(i int) bool { return p.Map[i].New > v })
	for i--; i >= 0; i-- {
		if e := &p.Map[i]; v == e.New || uint64(v-e.New) < e.Size {
			return e
		}
	}
	return nil
}

// changedTo returns the function that p changes and whose new body is sym, or nil.
func changedTo(p *patch.Patch, sym int) *patch.Func {
	for i := range p.Funcs {
		if f := &p.Funcs[i]; f.How == patch.Changed && f.New == sym {
			return f
		}
	}
	return nil
}

// changedAt returns the function that p changes and that begins at v in its old build, or nil.
func changedAt(p *patch.Patch, v arch.ImageAddr) *patch.Func {
	for i := range p.Funcs {
		if f := &p.Funcs[i]; f.How == patch.Changed && f.Old[0].Addr == v {
			return f
		}
	}
	return nil
}

// locate returns where an address of the running build is for everybody who refers to it: a function's
// is that of its version 0.
func (v *moduleView) locate(at arch.ImageAddr, size uint64) (arch.Addr, error) {
	return v.walk(at, size, len(v.path), false)
}

// newest returns where the body at an address of the running build is executed: a changed function's
// is in a payload.
func (v *moduleView) newest(at arch.ImageAddr, size uint64) (arch.Addr, error) {
	return v.walk(at, size, len(v.path), true)
}

// walk translates an address of the build after path[:depth].
func (v *moduleView) walk(at arch.ImageAddr, size uint64, depth int, body bool) (arch.Addr, error) {
	if depth == 0 {
		if !v.m.contains(at, size) {
			return 0, &patch.Refusal{
				What: v.m.name(), Why: "the patch refers to an address that the image does not map",
				Found: fmt.Sprintf("%#x, size %#x", uint64(at), size),
			}
		}
		return at.In(v.m.Bias), nil
	}
	l := v.path[depth-1]
	e := mapAt(l.file.Patch, at)
	if e == nil {
		return 0, &patch.Refusal{
			What: v.m.name(), Why: "an address of the patched build has no place in the process",
			Found: fmt.Sprintf("%#x of build %x, which runs through patch %s", uint64(at), l.file.New.ID, l.file.ID.Short()),
			Help:  "revert and apply a patch that leads from the started build to the new one",
		}
	}
	off := at - e.New
	if e.Sym >= 0 {
		if f := changedTo(l.file.Patch, e.Sym); f != nil && (!body || l.out) {
			return v.walk(f.Old[0].Addr+off, size, depth-1, body)
		}
		return l.e.Syms[e.Sym] + arch.Addr(off), nil
	}
	if f := changedAt(l.file.Patch, e.Old); f != nil {
		if body && !l.out {
			return l.e.Syms[f.New] + arch.Addr(off), nil
		}
		size = min(size, f.Old[0].Size) // it may have become longer
	}
	return v.walk(e.Old+off, size, depth-1, body)
}

package inject

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff/patch"
)

// A plan is everything that a transaction is going to do. It is made while the process runs and
// has no effect of its own.
type plan struct {
	snap    *snapshot
	views   []*moduleView
	arch    *arch.Arch
	targets []target   // code that must not be active
	moves   []move     // what comes into force and goes out of it
	staying []target   // code that goes out of force and may stay active
	unsound error      // why nobody may go on in code that goes out of force; nil: one may
	bodies  []expected // whole old bodies, as the plan found and compared them
	writes  []write    // in order; at most one for each address
	gated   []placedGate
	copies  []copyStep // moved variables, in front of the writes
	steps   []*step
	journal *journal   // the transaction's own, to be staged; nil: none is needed
	raw     []byte     // its bytes
	marks   []mark     // what becomes of the states of journals
	settles *pending   // the transaction that this one settles; it has no journal then
	drop    []leftover // memory to unmap once the rest is done
	report  *Report
}

// expected is what has to stand at an address when the stop comes.
type expected struct {
	name  string
	addr  arch.Addr
	bytes []byte
}

// step is one patch in one module.
type step struct {
	view    *moduleView
	link    *link
	payload *patch.Payload
	reused  bool // the payload's memory is there already
}

// mark is a change of one journal's states.
type mark struct {
	j             *journal
	during, after []state // settling: no during
}

// planner makes a plan.
type planner struct {
	*plan
	opt   *Options
	taken []placedRange // address space of planned payloads
	vmf   func(arch.Addr) (string, error)
	acked []string // IDs of Options.Acks that a refusal asked for

	settled *settled // what an earlier transaction that this command has settled came to; nil: there was none
}

// planApply plans to apply files. A plan without steps has nothing to do: everything is applied.
func (pl *planner) planApply(files []*patch.File) error {
	if err := checkPages(os.Getpagesize()); err != nil {
		return err
	}
	if err := pl.clearRemnants(); err != nil {
		return err
	}
	if err := pl.afterwards(func() error { return pl.planFiles(files) }); err != nil {
		return err
	}
	return pl.finish()
}

// planFiles plans a step for each of the files in each module that it fits, in the order in which they lead on from one another.
func (pl *planner) planFiles(files []*patch.File) error {
	pending := slices.Clone(files)
	pl.journal = &journal{Seq: pl.snap.nextSeq(), Record: record{User: pl.opt.User, Time: time.Now().UTC()}}
	for progress := true; progress; {
		progress = false
		for i := 0; i < len(pending); i++ {
			done, err := pl.planFile(pending[i])
			if err != nil {
				return fmt.Errorf("patch %s: %w", pending[i].ID.Short(), err)
			}
			if done {
				pending = slices.Delete(pending, i, i+1)
				i--
				progress = true
			}
		}
	}
	if len(pending) > 0 {
		return fmt.Errorf("patch %s: %w", pending[0].ID.Short(), pl.mismatch(pending[0]))
	}
	return nil
}

// planFile plans one patch in every module that runs its old build. It reports whether there was one, or whether
// the patch is applied already.
func (pl *planner) planFile(f *patch.File) (bool, error) {
	a, err := machines.Lookup(f.Machine)
	if err != nil {
		return false, err
	}
	found := false
	for _, v := range pl.views {
		switch {
		case v.m.Machine != f.Machine:
		case v.find(f.ID) != nil:
			found = true
			result := "already applied"
			if pl.settled.finished(f.ID) {
				result = "finished"
			}
			pl.report.Patches = append(pl.report.Patches, v.reportOf(v.find(f.ID), result))
		case v.hole() >= 0:
			if n := v.hole(); v.path[n].file.ID == f.ID {
				found = true
				pl.arch = a
				low := v.under(n)
				if err := pl.planStep(low, f); err != nil {
					return false, fmt.Errorf("%s at %#x: %w", v.m.name(), uint64(v.m.Start), err)
				}
				v.fill(n, low.path[n])
				pl.steps[len(pl.steps)-1].view = v
			}
		case v.m.BuildID != nil && bytes.Equal(v.build(), f.Old.ID):
			found = true
			pl.arch = a
			if err := pl.planStep(v, f); err != nil {
				return false, fmt.Errorf("%s at %#x: %w", v.m.name(), uint64(v.m.Start), err)
			}
		}
	}
	return found, nil
}

// mismatch says why a patch fits no module.
func (pl *planner) mismatch(f *patch.File) error {
	want := hex.EncodeToString(f.Old.ID)
	if !f.Old.HasBuildID {
		return refuse(f.Old.Name, "", "link it with -Wl,--build-id", "its build has no build-id, so that nothing proves that it is what runs")
	}
	var have []string
	for _, v := range pl.views {
		if v.hole() >= 0 && slices.ContainsFunc(v.path, func(l *link) bool {
			return bytes.Equal(l.file.New.ID, f.Old.ID) || bytes.Equal(l.file.Old.ID, f.Old.ID)
		}) {
			return refuse(v.m.name(), "patch "+v.holes(), "apply again first what is missing, oldest first, or revert what was put on it",
				"no build runs, as a patch was reverted from under later ones")
		}
		if bytes.Equal(v.build(), f.New.ID) {
			return refuse(v.m.name(), "build-id "+hex.EncodeToString(f.New.ID), "old and new may have been swapped when the patch was made",
				"the new build is running already")
		}
		if v.m.name() == f.Old.Name || v.m == pl.snap.loader.order[0] {
			s := v.m.name() + " runs " + idText(v.build())
			if len(v.chain) > 0 {
				s += fmt.Sprintf(" (started as %s, patched by %s)", v.m.id(), v.patchNames())
			}
			have = append(have, s)
		}
	}
	return refuse(f.Old.Name, strings.Join(have, ", "), "make a patch from the build that runs",
		"the patch is for build %s, which is not what runs", want)
}

func (v *moduleView) patchNames() string {
	var s []string
	for _, l := range v.chain {
		s = append(s, l.file.ID.Short())
	}
	return strings.Join(s, ", ")
}

// planStep plans one patch in one module.
func (pl *planner) planStep(v *moduleView, f *patch.File) error {
	d, err := v.m.dynamicSection(pl.snap.mem)
	if err != nil {
		return err
	}
	if d != nil && d.textRel {
		return refuse(v.m.name(), "DT_TEXTREL", "build it with -fPIC", "its text is relocated, so that it cannot be compared with the file")
	}
	if err := checkText(v.m, pl.snap.maps, pl.vmf); err != nil {
		return err
	}
	e := &entry{Path: v.m.Path, Start: v.m.Start, Bias: v.m.Bias, Build: v.m.BuildID, Below: v.below()}
	s := &step{view: v, link: &link{e: e, file: f}}
	b := &bodyPlan{pl: pl, s: s}
	if err := b.oldBodies(); err != nil { // before linking: a wrong build gives a clearer error here
		return err
	}
	if err := pl.placePayload(s); err != nil {
		return err
	}
	if err := b.newBodies(); err != nil {
		return err
	}
	if err := b.constants(); err != nil {
		return err
	}
	if err := b.moves(); err != nil {
		return err
	}
	pl.steps = append(pl.steps, s)
	pl.moves = append(pl.moves, move{v, s.link, true})
	v.chain, v.path = append(v.chain, s.link), append(v.path, s.link)
	return nil
}

// placePayload links the payload, at an earlier application's place if its memory is intact.
func (pl *planner) placePayload(s *step) error {
	v, f := s.view, s.link.file
	layout, err := patch.LayoutOf(f.Patch, pl.arch)
	if err != nil {
		return err
	}
	r := &resolver{snap: pl.snap, mod: v, p: f.Patch}
	for _, old := range v.idle {
		if old.file.ID != f.ID || old.state() == staged || old.e.Size != layout.Size {
			continue
		}
		linked, err := patch.Link(f.Patch, old.e.Base, r)
		if err != nil {
			return err
		}
		if pl.intact(old.e, linked) && old.e.Gates == gatesOf(linked, len(s.link.e.Bodies)) {
			s.payload, s.reused = linked, true
			pl.record(s)
			return nil
		}
	}
	low, high := v.m.Start, v.m.End
	for _, l := range v.chain {
		low, high = min(low, l.e.Base), max(high, l.e.end())
	}
	base, err := findRoom(pl.arch, pl.snap.maps, pl.taken, low, high, layout.Size+gateSpace(len(s.link.e.Bodies)), layout.Align)
	if err != nil {
		return err
	}
	if s.payload, err = patch.Link(f.Patch, base, r); err != nil {
		return err
	}
	pl.record(s)
	pl.taken = append(pl.taken, placedRange{Addr: s.link.e.Base, Size: uint64(s.link.e.end() - s.link.e.Base)})
	return nil
}

// record writes the payload into the step's entry.
func (pl *planner) record(s *step) {
	e, p := s.link.e, s.payload
	e.Base, e.Size, e.Gates = p.Base, p.Layout.Size, gatesOf(p, len(e.Bodies))
	e.Frames = placedRange{Name: ".eh_frame", Addr: p.EHFrame, Size: p.EHFrameSize}
	e.Syms = make([]arch.Addr, len(s.link.file.Symbols))
	for i := range s.link.file.Symbols {
		if s.link.file.Symbols[i].Kind == patch.SymDefined {
			e.Syms[i] = p.SymAddr[i]
		}
	}
	for i := range p.Segments {
		g := &p.Segments[i]
		if g.Size == 0 {
			continue
		}
		sum := sha256.Sum256(g.Data)
		e.Segs = append(e.Segs, segRecord{Kind: g.Kind, Addr: g.Addr, Size: g.Size, Len: uint64(len(g.Data)), Sum: sum[:]})
	}
}

// intact reports whether the memory of an earlier application can be used again: code and constants are
// what would be linked now, and so were the slots. The variables keep their values.
func (pl *planner) intact(e *entry, linked *patch.Payload) bool {
	for i := range linked.Segments {
		g := &linked.Segments[i]
		if g.Size == 0 {
			continue
		}
		k := slices.IndexFunc(e.Segs, func(r segRecord) bool { return r.Kind == g.Kind })
		if k < 0 || e.Segs[k].Addr != g.Addr || e.Segs[k].Size != g.Size {
			return false
		}
		mp := mappingAt(pl.snap.maps, g.Addr)
		if mp == nil || mp.Perm != segPerm(g.Kind) || mp.End < g.Addr+arch.Addr(g.Size) || mp.Path != "" {
			return false
		}
		sum := sha256.Sum256(g.Data)
		if !bytes.Equal(sum[:], e.Segs[k].Sum) {
			return false
		}
		if g.Kind == patch.Data {
			continue
		}
		have, err := readBytes(pl.snap.mem, g.Addr, len(g.Data))
		if err != nil || !bytes.Equal(have, g.Data) {
			return false
		}
	}
	return true
}

// read reads memory as it will be once the steps planned so far are staged.
func (pl *planner) read(a arch.Addr, n int) ([]byte, error) {
	for _, s := range pl.steps {
		if s.reused {
			continue
		}
		if b := s.payload.Bytes(a, uint64(n)); b != nil {
			return b, nil
		}
	}
	return readBytes(pl.snap.mem, a, n)
}

// future reports whether an address is in a payload that is not mapped yet.
func (pl *planner) future(a arch.Addr) bool {
	for _, s := range pl.steps {
		if !s.reused && a >= s.payload.Base && a < payloadRange(s.payload).end() {
			return true
		}
	}
	return false
}

// finish completes the plan: the journal's entries, one write for each address, the report.
func (pl *planner) finish() error {
	j := pl.journal
	if len(pl.steps) == 0 {
		pl.journal = nil
		pl.writes = coalesce(pl.writes)
		pl.measure()
		return nil
	}
	for _, s := range pl.steps {
		f := s.link.file
		k := slices.IndexFunc(j.Record.Patches, func(r rawFile) bool { return r.ID == f.ID.String() })
		if k < 0 {
			k = len(j.Record.Patches)
			j.Record.Patches = append(j.Record.Patches, rawFile{ID: f.ID.String()})
			j.Files = append(j.Files, f.Raw)
		}
		s.link.e.Patch = k
		s.link.j, s.link.index = j, len(j.States)
		j.Record.Entries = append(j.Record.Entries, *s.link.e)
		j.States = append(j.States, staged)
		for _, w := range s.link.e.Writes {
			w.room = s.link.e.gate(&w)
			pl.writes = append(pl.writes, w)
		}
		r := s.view.reportMove(s.link, true, "applied")
		r.Reused = s.reused
		pl.report.Patches = append(pl.report.Patches, r)
	}
	j.Record.Acks = pl.acks()
	pl.writes = coalesce(pl.writes)
	pl.measure()
	m := pl.markOf(j)
	for i := range j.States {
		m.during[i], m.after[i] = committing, applied
	}
	return nil
}

// dropIdle plans to unmap journals that say nothing more: nothing of theirs is in force, and newer journals, or the one that
// is planned, have the same memory.
func (pl *planner) dropIdle() {
	newest := make(map[arch.Addr]uint64) // by a payload's address: the number of the last transaction that speaks of it
	goes := func(j *journal) bool {
		return slices.ContainsFunc(pl.drop, func(d leftover) bool { return d.At == j.At })
	}
	for _, j := range pl.snap.journals {
		for i := range j.Record.Entries {
			if goes(j) { // a dead hotpatch's, which was going to use the memory of an older one again
				break
			}
			newest[j.Record.Entries[i].Base] = j.Seq
		}
	}
	for _, s := range pl.steps {
		newest[s.payload.Base] = pl.journal.Seq
	}
	for _, j := range pl.snap.journals {
		said := func(e entry) bool { return newest[e.Base] > j.Seq }
		if !j.Hosted && !goes(j) && !pl.inForce(j) && !slices.ContainsFunc(j.Record.Entries, func(e entry) bool { return !said(e) }) {
			pl.drop = append(pl.drop, leftover{At: j.At, Size: j.Size})
		}
	}
}

// measure fills the report's figures.
func (pl *planner) measure() {
	r := pl.report
	r.Done = len(pl.writes) > 0 || len(pl.steps) > 0
	r.Writes = len(pl.writes)
	for _, w := range pl.writes {
		r.Bytes += len(w.New)
		if w.Kind != writeConst {
			r.Jumps++
		}
	}
	r.Atomic = true
	for _, s := range pl.steps {
		if !s.reused {
			r.Staged += s.payload.Layout.Size
		}
	}
}

// coalesce joins writes to one address, keeping the place of the first: old bytes of the first,
// new bytes of the last. Writes that would change nothing are left out.
func coalesce(writes []write) []write {
	at := make(map[arch.Addr]int)
	var out []write
	for _, w := range writes {
		if i, ok := at[w.Addr]; ok && len(out[i].New) == len(w.New) {
			out[i].New = w.New
			if out[i].room == nil {
				out[i].room = w.room
			}
			continue
		}
		at[w.Addr] = len(out)
		out = append(out, w)
	}
	return slices.DeleteFunc(out, func(w write) bool { return bytes.Equal(w.Old, w.New) })
}

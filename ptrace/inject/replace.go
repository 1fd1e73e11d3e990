package inject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/patch"
)

// Replacing
//
// A replace brings a process from whatever patches it has to exactly a given set, in one stop. It is a revert and an apply that are planned
// one upon the other and carried out together: the apply is planned on what the memory will hold after the revert (an overlay), and
// where both write to one place there is one write. So a function that both versions change goes from one body to the other, and
// the old build's own bodies never run in between.

// Replace brings a process to exactly these patches, in one stop: others are reverted, missing ones are applied. The order of the patches does
// not matter. If they are what the process has, nothing is done.
//
// A new variable of a patch that goes, whose namesake a patch that comes brings as well, would lose its value: that is refused unless
// Options.Acks has "anew:NAME". The report and the error are those of [Apply].
func Replace(ctx context.Context, pid int, patches []*patch.File, opt Options) (*Report, error) {
	if len(patches) == 0 {
		return &Report{PID: pid, Verb: "replace"}, errors.New("replace: no patch given")
	}
	wanted := func(id patch.ID) bool {
		return slices.ContainsFunc(patches, func(f *patch.File) bool { return f.ID == id })
	}
	return transact(ctx, pid, "replace", &opt, func(pl *planner) (bool, error) {
		mixed, left := pl.unfinished()
		pl.drop = left
		if len(mixed) == 0 {
			return false, pl.planReplace(patches)
		}
		// What is half done comes to an end first, in a stop of its own.
		finish := !slices.ContainsFunc(mixed, func(m placed) bool { return wanted(m.l.file.ID) != (m.l.state() == committing) })
		pl.note("what an earlier hotpatch left half done was %s first", map[bool]string{true: "finished", false: "undone"}[finish])
		return true, pl.planConclusion(mixed, finish)
	})
}

// exchange is what becomes of the patches of one module.
type exchange struct {
	v    *moduleView
	keep int      // patches of the path that stay, from its start; -1: what goes is taken out from under what stays
	gone []placed // oldest first
	used map[*patch.File]bool
}

// planReplace plans to bring every module to exactly the files that fit it.
func (pl *planner) planReplace(files []*patch.File) error {
	var all []*exchange
	var gone []placed
	for _, v := range pl.views {
		x, err := v.exchange(files)
		if err != nil {
			return fmt.Errorf("%s at %#x: %w", v.m.name(), uint64(v.m.Start), err)
		}
		all, gone = append(all, x), append(gone, x.gone...)
	}
	for _, f := range files {
		if !slices.ContainsFunc(all, func(x *exchange) bool { return x.used[f] }) {
			return fmt.Errorf("patch %s: %w", f.ID.Short(), pl.notOfSet(f))
		}
	}
	if len(gone) == 0 {
		return pl.planApply(files)
	}
	if err := pl.moveBack(gone); err != nil {
		return err
	}
	if err := pl.transit(movement{back: gone, backResult: "reverted"}); err != nil {
		return err
	}
	pl.revertNotes(gone)
	if err := pl.clearRemnants(); err != nil {
		return err
	}
	for _, x := range all {
		x.cut()
	}
	if err := pl.afterwards(func() error { return pl.planFiles(files) }); err != nil {
		return err
	}
	if err := pl.startAnew(gone); err != nil {
		return err
	}
	if err := pl.finish(); err != nil {
		return err
	}
	pl.report.Done = true
	return nil
}

// exchange finds out what has to go from a module, so that it can have exactly the files that fit it.
func (v *moduleView) exchange(files []*patch.File) (*exchange, error) {
	x := &exchange{v: v, used: make(map[*patch.File]bool)}
	want, err := v.lead(files)
	if err != nil {
		return nil, err
	}
	for _, f := range want {
		x.used[f] = true
	}
	for _, f := range files {
		if v.find(f.ID) != nil && !x.used[f] {
			return x, x.part(files)
		}
	}
	for x.keep < min(len(want), len(v.path)) && v.path[x.keep].file.ID == want[x.keep].ID {
		x.keep++
	}
	if x.keep == len(v.path) { // nothing goes; what is missing comes back
		return x, nil
	}
	if n := v.hole(); n >= 0 {
		x.keep = min(x.keep, n)
	}
	for _, l := range v.path[x.keep:] {
		if !l.out {
			x.gone = append(x.gone, placed{v, l})
		}
	}
	return x, nil
}

// part is exchange for files that are some of those in force, and that do not lead on from one another: the others are taken out from
// between them.
func (x *exchange) part(files []*patch.File) error {
	x.keep = -1
	given := func(id patch.ID) *patch.File {
		if k := slices.IndexFunc(files, func(f *patch.File) bool { return f.ID == id }); k >= 0 {
			return files[k]
		}
		return nil
	}
	for f := range x.used {
		if x.v.find(f.ID) == nil {
			return refuse("patch "+f.ID.Short(), "of the patches given, some are in force and are based on others that are not given",
				"give those as well, or revert first", "it cannot be applied in the same stop as others are taken out from under those that stay")
		}
	}
	for _, l := range x.v.chain {
		if f := given(l.file.ID); f != nil {
			x.used[f] = true
		}
	}
	var err error
	x.gone, err = x.v.leave(func(l *link) bool { return given(l.file.ID) == nil })
	return err
}

// lead returns those of the files that lead on from one another, the first from the build of the image.
func (v *moduleView) lead(files []*patch.File) ([]*patch.File, error) {
	var out []*patch.File
	for build := v.m.BuildID; build != nil; {
		var next *patch.File
		for _, f := range files {
			if f.Machine != v.m.Machine || !f.Old.HasBuildID || !bytes.Equal(f.Old.ID, build) || slices.Contains(out, f) {
				continue
			}
			if next != nil {
				return nil, refuse("patches "+next.ID.Short()+" and "+f.ID.Short(), fmt.Sprintf("build-id %x", build), "give one of them",
					"both are for the same build")
			}
			next = f
		}
		if next == nil {
			break
		}
		out, build = append(out, next), next.New.ID
	}
	return out, nil
}

// notOfSet says why a patch has no place in the set.
func (pl *planner) notOfSet(f *patch.File) error {
	var have []string
	for _, v := range pl.views {
		if v.m.name() == f.Old.Name || v.m == pl.snap.loader.order[0] {
			have = append(have, v.m.name()+" was started as "+v.m.id())
		}
	}
	return refuse(f.Old.Name, strings.Join(have, ", "), "give all patches that lead from the build that was started to the one that shall run",
		"the patch is for build %x, which neither was started nor is what another of these patches leads to", f.Old.ID)
}

// cut makes the module's view what it is once everything that goes is gone.
func (x *exchange) cut() {
	v := x.v
	for _, p := range x.gone {
		v.idle = append(v.idle, p.l)
	}
	switch {
	case len(x.gone) == 0:
	case x.keep >= 0:
		v.path = slices.Clip(v.path[:x.keep])
	default:
		v.path = slices.Clone(v.path)
		for i, l := range v.path {
			if slices.ContainsFunc(x.gone, func(p placed) bool { return p.l == l }) {
				missing := *l
				missing.out = true
				v.path[i] = &missing
			}
		}
	}
	v.chain = v.inForce()
}

// afterwards plans on memory as it will be once the writes that are planned so far are made. What it expects to find in the stop is
// what is there now.
func (pl *planner) afterwards(plan func() error) error {
	now, first := pl.snap.mem, len(pl.bodies)
	then := &overlay{memory: now}
	for i := range pl.writes {
		then.over = append(then.over, expected{addr: pl.writes[i].Addr, bytes: pl.writes[i].New})
	}
	pl.snap.mem = then
	err := plan()
	pl.snap.mem = now
	if err != nil {
		return err
	}
	for i := first; i < len(pl.bodies); i++ {
		b := &pl.bodies[i]
		raw, err := readBytes(now, b.addr, len(b.bytes))
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if again, err := readBytes(then, b.addr, len(b.bytes)); err != nil || !bytes.Equal(again, b.bytes) {
			return fmt.Errorf("%w: %s at %#x", errChanged, b.name, uint64(b.addr))
		}
		b.bytes = raw
	}
	return nil
}

// startAnew refuses to lose the values of new variables of patches that go where a patch that comes has its own of the same name, unless
// the user says that they may start anew.
func (pl *planner) startAnew(gone []placed) error {
	for _, p := range gone {
		had := variables(p.l.file.Patch)
		for _, s := range pl.steps {
			if s.view.m != p.v.m || s.reused && s.payload.Base == p.l.e.Base {
				continue
			}
			for _, name := range variables(s.link.file.Patch) {
				if !slices.Contains(had, name) {
					continue
				}
				id := "anew:" + name
				if !pl.given(id) {
					return refuse(name, fmt.Sprintf("patch %s brought it, patch %s brings another of this name", p.l.file.ID.Short(), s.link.file.ID.Short()),
						fmt.Sprintf("--ack %s, if it may start anew", id), "what the variable holds would be lost")
				}
				begins := "begins with its initial value"
				if s.reused {
					begins = "has the value that it had when that patch was last in force"
				}
				pl.note("%s of patch %s %s: what it held in patch %s is not carried over", name, s.link.file.ID.Short(), begins, p.l.file.ID.Short())
			}
		}
	}
	return nil
}

// variables returns the names of the variables that a patch brings, without the numbers that compilers append.
func variables(p *patch.Patch) []string {
	var out []string
	for i := range p.Symbols {
		s := &p.Symbols[i]
		if s.Kind != patch.SymDefined || s.Func {
			continue
		}
		if k := p.Sections[s.Section].Kind; k != patch.Data && k != patch.BSS {
			continue
		}
		if slices.ContainsFunc(p.Moves, func(m patch.Move) bool { return m.New == i }) {
			continue
		}
		name, _, _ := strings.Cut(s.Name, ".")
		out = append(out, name)
	}
	return out
}

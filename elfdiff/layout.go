package elfdiff

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/elfdiff/types"
)

// TypeChange is a type, or the type of a variable, that is not the same in both builds.
type TypeChange struct {
	Name    string       `json:"name"` // "struct client"; of a variable its name
	File    string       `json:"file"` // that declares it in the old build
	OldSize uint64       `json:"old_size"`
	NewSize uint64       `json:"new_size"`
	Moves   []types.Move `json:"moves"`
	// Variables contain a value of the type, Pointers lead to one; both are variables of the running program.
	Variables []string `json:"variables"`
	Pointers  []string `json:"pointers"`
	// Functions name the type and are replaced by the patch; Unchanged name it and go on as they are.
	Functions []string      `json:"functions"`
	Unchanged []string      `json:"unchanged"`
	Verdict   patch.Verdict `json:"verdict"`
	Ack       string        `json:"ack,omitempty"`
	Why       string        `json:"why"`
}

// typeChange is a TypeChange on its way into the report.
type typeChange struct {
	entry
	verdict
	TypeChange
}

// layouts is what is known about the types of both builds.
type layouts struct {
	differ   *types.Difference // what may be different; nil: old and new are both builds, read as a whole
	old, new *types.Build
	err      error
	wait     sync.WaitGroup
	changes  []*typeChange
	said     string
}

// Layouts of a Result that need no words of their own.
const (
	LayoutsChecked   = "checked"
	LayoutsNotNeeded = "not needed: nothing is carried"
)

// carries reports whether there is anything that a patch would deliver.
func (d *differ) carries() bool {
	return slices.ContainsFunc(d.funcs, func(c *funcChange) bool { return c.carried(&d.opt) }) ||
		slices.ContainsFunc(d.objects, func(o *objChange) bool { return o.delta == objContent })
}

// startTypes reads the DWARF data of both builds while the patch is judged and assembled: what differs, or all of it if that shows that types
// changed. Nothing is read for a patch that carries nothing.
func (d *differ) startTypes() {
	l := &d.layouts
	if !d.carries() {
		l.said = LayoutsNotNeeded
		return
	}
	grown := slices.ContainsFunc(d.objects, func(o *objChange) bool { return o.delta == objGrown })
	l.wait.Go(func() {
		if !grown {
			l.differ = readDifference(d.old.im, d.new.im)
		}
		if l.differ == nil || !l.differ.SameTypes() {
			l.readWhole(d.old.im, d.new.im)
		}
	})
}

// readWhole reads the types of both builds.
func (l *layouts) readWhole(old, new *image.Image) {
	l.differ = nil
	var errs [2]error
	var built sync.WaitGroup
	built.Go(func() { l.old, errs[0] = readTypes(old) })
	built.Go(func() { l.new, errs[1] = readTypes(new) })
	built.Wait()
	for i, which := range []string{"old", "new"} {
		if errs[i] != nil && l.err == nil {
			l.err = fmt.Errorf("%s build: %w", which, errs[i])
		}
	}
}

// readDifference reads what may be different in the types of both builds; nil: that cannot be told, or the data cannot be read.
func readDifference(old, new *image.Image) *types.Difference {
	var sections [2]*types.Sections
	for i, im := range []*image.Image{old, new} {
		d, err := im.DebugSections()
		if err != nil || d.HasAlt() {
			return nil
		}
		sections[i] = debugSections(d)
	}
	return types.ReadDifference(sections[0], sections[1])
}

// readTypes reads the types of one build.
func readTypes(im *image.Image) (*types.Build, error) {
	d, err := im.DebugSections()
	if err != nil {
		return nil, err
	}
	s := debugSections(d)
	if d.HasAlt() {
		alt, err := d.Alt()
		if err != nil {
			return nil, err
		}
		s.Alt = debugSections(alt)
	}
	b, err := types.Read(s)
	var bad *types.FormatError
	switch {
	case errors.Is(err, types.ErrNone):
		return nil, fmt.Errorf("%s: %w", d.Path, image.ErrNoDWARF)
	case errors.As(err, &bad):
		return nil, fmt.Errorf("%s: malformed debug information: %w", d.Path, err)
	}
	return b, err
}

func debugSections(d *image.DWARF) *types.Sections {
	get := d.Section
	return &types.Sections{
		Info: get("info"), Abbrev: get("abbrev"), Str: get("str"), LineStr: get("line_str"), StrOffsets: get("str_offsets"), Addr: get("addr"),
		Line: get("line"), Ranges: get("ranges"), RngLists: get("rnglists"), Types: get("types"),
	}
}

// judgeTypes compares the types of both builds, and judges what changed (HAZARDS D10).
func (d *differ) judgeTypes() {
	l := &d.layouts
	l.wait.Wait()
	if l.differ != nil && !d.sameUse(l.differ) {
		l.readWhole(d.old.im, d.new.im)
	}
	switch {
	case l.said != "":
		return
	case l.differ != nil:
		l.said = d.coverage(l.differ.Old, l.differ.New)
		for _, c := range d.funcs { // sameUse has compared the prototypes
			c.sameCall = c.old != nil && c.new != nil && l.differ.Old.Covers(uint64(c.old.atom().Addr)) && l.differ.New.Covers(uint64(c.new.atom().Addr))
		}
		l.differ = nil // the result outlives the comparison
		return
	case l.err != nil:
		l.said = "unchecked: " + l.err.Error()
		return
	}
	l.said = d.coverage(l.old, l.new)
	j := newTypeJudge(d)
	for _, c := range j.cmp.Changes() {
		j.layout(&c)
	}
	j.variables()
	j.signatures()
	l.old, l.new = nil, nil // the result outlives the comparison
}

// coverage says how much of the builds has DWARF data.
func (d *differ) coverage(old, new *types.Build) string {
	var parts []string
	for _, x := range []struct {
		which string
		s     *side
		b     *types.Build
	}{{"old", &d.old, old}, {"new", &d.new, new}} {
		if x.b.Skeletons > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d units of the %s build keep their types in .dwo files", x.b.Skeletons, x.b.Units, x.which))
			continue
		}
		var without []string
		for _, u := range x.s.units {
			if !x.b.Covers(uint64(u.atom().Addr)) && !x.s.im.Arch.Helper(u.name()) {
				without = append(without, u.name())
			}
		}
		if len(without) > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d functions of the %s build have no debug information (%s)",
				len(without), len(x.s.units), x.which, some(without, 3)))
		}
	}
	if parts == nil {
		return LayoutsChecked
	}
	return "partly: " + strings.Join(parts, "; ")
}

// some joins the first n of a list, and says how many more there are.
func some(l []string, n int) string {
	if len(l) <= n {
		return strings.Join(l, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(l[:n], ", "), len(l)-n)
}

// report makes the line of the report.
func (c *typeChange) report() patch.Change {
	return patch.Change{What: "type", Name: c.Name, File: c.File, Change: "changed", Reasons: c.reported()}
}

package types

import (
	"runtime"
	"sync"
)

// Difference is what two builds say that may not be the same.
type Difference struct {
	// Old and New hold what units say that are not the same in both builds; but Units and Covered are those of all.
	Old, New *Build
	// Of the units that are the same in both builds, but for addresses, lines and the places of texts: types are the same, by name and layout.
	Funcs, Variables []Twin
}

// ReadDifference reads two builds as far as their units differ. Most of a program is the same in both, and comparing units is several times quicker
// than reading them. It returns nil where the units cannot be compared one by one: they refer to each other, are not in the same order, or have
// their content elsewhere; then, or if one is malformed, both must be read as a whole.
func ReadDifference(old, new *Sections) *Difference {
	x, y := newReader(&file{Sections: old}), newReader(&file{Sections: new})
	olds, news := x.plainUnits(), y.plainUnits()
	if olds == nil || len(olds) != len(news) {
		return nil
	}
	same := make([]bool, len(olds))
	d := &Difference{Old: x.b, New: y.b}
	d.compare(olds, news, same, x.work)
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { errs[0] = x.readDifferent(olds, same) })
	wg.Go(func() { errs[1] = y.readDifferent(news, same) })
	wg.Wait()
	if errs[0] != nil || errs[1] != nil || x.b.Skeletons+y.b.Skeletons > 0 || x.b.Units == 0 || y.b.Units == 0 {
		return nil
	}
	return d
}

// plainUnits returns the units of a file whose units refer to entries of their own only; else nil.
func (r *reader) plainUnits() []*unit {
	units, err := r.headers(r.file, spaceInfo)
	if err != nil || r.file.Types != "" || r.file.Alt != nil || refersAcross(r.file.Abbrev) || len(r.signatures) > 0 {
		return nil
	}
	return units
}

// compare finds the units that are the same, on all cores. The work of each is bounded.
func (d *Difference) compare(olds, news []*unit, same []bool, work uint64) {
	workers := min(runtime.GOMAXPROCS(0), len(olds))
	found := make([]twins, workers)
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			w := &found[i]
			w.r = &reader{work: work}
			for k := i * len(olds) / workers; k < (i+1)*len(olds)/workers; k++ {
				same[k] = w.same(olds[k], news[k])
			}
		})
	}
	wg.Wait()
	for i := range found {
		d.Funcs = append(d.Funcs, found[i].funcs...)
		d.Variables = append(d.Variables, found[i].variables...)
	}
}

// readDifferent reads the units that are not the same in both builds, and notes what addresses the others cover.
func (r *reader) readDifferent(units []*unit, same []bool) error {
	for i, u := range units {
		if !same[i] {
			if err := r.readBatch(units[i : i+1]); err != nil {
				return err
			}
			continue
		}
		r.enterUnit(u)
		u.table = nil
	}
	r.finish()
	return nil
}

// SameTypes reports whether the units that differ define the same types under the same names. Then so do both builds.
func (d *Difference) SameTypes() bool {
	c := NewComparison(d.Old, d.New)
	olds := d.Old.All()
	if len(olds) != len(d.New.All()) {
		return false
	}
	for _, o := range olds {
		n := d.New.Name(o.Qualified)
		if n == nil || len(n.Layouts) != len(o.Layouts) {
			return false
		}
		for i, l := range o.Layouts {
			if len(c.diff(l, n.Layouts[i])) > 0 {
				return false
			}
		}
	}
	return true
}

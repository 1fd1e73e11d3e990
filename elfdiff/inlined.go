package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// inlinedReasons says which of the places where a body differs belong to functions that were inlined (HAZARDS
// D5), and how many belong to the function itself.
func (x *explainer) inlinedReasons() (own int, reasons []string) {
	var names []string
	count := make(map[string]int)
	own = x.own
	for _, at := range x.places {
		name := x.inlinedAt(at)
		if name == "" {
			continue
		}
		if count[name] == 0 {
			names = append(names, name)
		}
		count[name]++
		own--
	}
	slices.SortStableFunc(names, func(a, b string) int { return count[b] - count[a] })
	for i, n := range names {
		if i == maxReasons/2 {
			reasons = append(reasons, fmt.Sprintf("and %d more inlined functions", len(names)-i))
			break
		}
		reasons = append(reasons, fmt.Sprintf("inlines %s%s (%s)", n, x.d.changedToo(n), places(count[n])))
	}
	return own, reasons
}

// stem returns the name that a function has in the source: without what compilers append.
func stem(name string) string {
	base, _, _ := strings.Cut(name, ".")
	return base
}

// changedToo says whether a function that is inlined also exists by itself and changed.
func (d *differ) changedToo(name string) string {
	for _, a := range d.new.im.Named(name) {
		if v := d.new.unitOf(a); v != nil && d.byNew[v] != nil {
			return ", which changed"
		}
	}
	return ""
}

func places(n int) string {
	if n == 1 {
		return "1 place"
	}
	return fmt.Sprintf("%d places", n)
}

// inlinedAt returns the innermost inlined function that an address of the new body belongs to, or "".
func (x *explainer) inlinedAt(at arch.ImageAddr) string {
	if x.inlines == nil {
		x.inlines = []image.Inline{}
		for _, p := range x.c.new.parts {
			l, err := x.c.new.im.Inlines(p)
			if err != nil {
				break // without DWARF data there is no telling
			}
			x.inlines = append(x.inlines, l...)
		}
	}
	name, depth := "", 0
	for i := range x.inlines {
		if in := &x.inlines[i]; at >= in.Start && at < in.End && in.Depth > depth {
			name, depth = in.Name, in.Depth
		}
	}
	if name == stem(x.c.new.name()) {
		return "" // the rest of a function that was split, put back where it was: its own code
	}
	return name
}

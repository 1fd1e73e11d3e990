package cli

import (
	"slices"
	"strings"

	"hotpatch/elfdiff/patch"
)

const (
	// nameWidth is the widest column of names; a longer name has a line of its own on a terminal, and pushes its line to the
	// right elsewhere.
	nameWidth = 40
	// maxFollowers is how many changes that follow from one are listed without --all.
	maxFollowers = 25
)

// group is a run of changes under one title.
type group struct {
	title string
	ids   []int
	long  bool // may be cut short
}

// changes prints every change, functions first: those that nothing else accounts for, then what follows from each, then
// what only one build has, then data.
func (a *app) changes(r *report, all bool) {
	label := a.listNames(r)
	groups := a.groups(r, label)
	var names, files []string
	for _, g := range groups {
		for _, id := range g.ids {
			c := r.change(id)
			names = append(names, label[id])
			files = append(files, clean(c.File))
		}
	}
	limit := nameWidth
	if a.width > 0 {
		limit = min(limit, max(a.width/3, 12))
	}
	cols := columns{column(limit, names...), column(limit, files...)}
	for _, g := range groups {
		a.printf("\n%s", a.paint(bold, clean(g.title)))
		ids := g.ids
		if g.long && !all && len(ids) > maxFollowers {
			ids = slices.DeleteFunc(slices.Clone(ids[maxFollowers:]), func(id int) bool { return r.change(id).Verdict == patch.OK })
			ids = slices.Concat(g.ids[:maxFollowers], ids)
		}
		for _, id := range ids {
			a.changeLine(r.change(id), label[id], cols)
		}
		if n := len(g.ids) - len(ids); n > 0 {
			a.printf("  ... and %d more (--all lists them)", n)
		}
	}
	a.busyAnyway(r, label)
}

// busyAnyway prints which functions are going to be found busy however long one waits, and why.
func (a *app) busyAnyway(r *report, label map[int]string) {
	title := a.paint(bold, "stay busy")
	for id := 1; id <= len(r.all); id++ {
		at := strings.Index(r.change(id).Why, patch.StaysBusy)
		if at < 0 {
			continue
		}
		if title != "" {
			a.printf("\n%s", title)
			title = ""
		}
		a.printf("  %s: %s", label[id], a.words(strings.TrimLeft(r.change(id).Why[at+len(patch.StaysBusy):], ":, ")))
	}
}

// groups sorts what is listed.
func (a *app) groups(r *report, label map[int]string) []group {
	var out []group
	add := func(g group) {
		if len(g.ids) > 0 {
			out = append(out, g)
		}
	}
	var roots []int
	of := make(map[int][]int) // by the change that they follow from
	for _, id := range r.shown(changedFunction) {
		if root := r.root(id); root == id {
			roots = append(roots, id)
		} else {
			of[root] = append(of[root], id)
		}
	}
	add(group{title: "functions changed", ids: roots})
	for i := range r.all {
		if ids := of[i+1]; len(ids) > 0 {
			add(group{title: "because of " + reference(r.change(i+1), label[i+1]) + ": " + count(len(ids), "function"), ids: ids, long: true})
		}
	}
	for _, change := range []string{"left out", "added", "removed", "line"} {
		title := map[string]string{"line": "functions with other line numbers only", "left out": "functions that differ and are left out"}[change]
		if title == "" {
			title = "functions " + change
		}
		add(group{title: title, long: true, ids: r.shown(func(c *patch.Change) bool { return c.What == "function" && c.Change == change })})
	}
	rest := r.shown(func(c *patch.Change) bool { return c.What != "function" })
	for len(rest) > 0 {
		first := r.change(rest[0])
		same := func(id int) bool { c := r.change(id); return c.What == first.What && c.Change == first.Change }
		g := group{title: plural(first.What) + " " + first.Change}
		if first.What == "inline" {
			g.title = "functions that exist only where they are inlined"
		}
		for _, id := range rest {
			if same(id) {
				g.ids = append(g.ids, id)
			}
		}
		add(g)
		rest = slices.DeleteFunc(rest, same)
	}
	return out
}

// reference names a change in the title of what follows from it.
func reference(c *patch.Change, name string) string {
	switch c.What {
	case "function":
		return name
	case "inline":
		return name + ", which is inlined"
	}
	return clean(c.What) + " " + name
}

// columns are the widths of a list's columns.
type columns struct{ name, file int }

// changeLine prints one change: on one line where there is no terminal, else on as many as its width asks for.
func (a *app) changeLine(c *patch.Change, name string, cols columns) {
	file := clean(c.File)
	head := "  " + a.verdict(c.Verdict, 7) + "  "
	const headWidth = 2 + 7 + 2
	if a.width == 0 {
		texts := make([]string, len(c.Reasons))
		for i := range c.Reasons {
			texts[i] = a.briefWords(c.Reasons[i].Text)
		}
		a.printf("%s", strings.TrimRight(head+pad(name, cols.name)+"  "+pad(file, cols.file)+"  "+strings.Join(texts, "; "), " "))
		return
	}
	indent := headWidth + cols.name + 2
	line := head + pad(name, cols.name) + "  "
	if len([]rune(name)) > cols.name {
		a.printf("%s%s", head, name)
		line = strings.Repeat(" ", indent)
	}
	if cols.file > 0 {
		line += pad(file, cols.file) + "  "
		indent += cols.file + 2
	}
	var words []string
	for i := range c.Reasons {
		s := a.briefWords(c.Reasons[i].Text)
		if i < len(c.Reasons)-1 {
			s += ";"
		}
		words = append(words, strings.Fields(s)...)
	}
	for _, text := range fold(words, max(a.width-indent, 24)) {
		a.printf("%s", strings.TrimRight(line+text, " "))
		line = strings.Repeat(" ", indent)
	}
}

// fold fills lines of a width with words. There is at least one line.
func fold(words []string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, w := range words {
		n := len([]rune(w))
		if used > 0 && used+1+n > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line += " "
			used++
		}
		line += w
		used += n
	}
	return append(lines, line)
}

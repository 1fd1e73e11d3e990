package cli

import (
	"strings"

	"hotpatch/elfdiff"
)

// layoutsText says in the summary what is known about the layouts of types; "" if nothing needs to be said.
func layoutsText(res *elfdiff.Result) string {
	switch res.Layouts {
	case "", elfdiff.LayoutsNotNeeded:
		return ""
	case elfdiff.LayoutsChecked:
		return "layouts compared: " + changed(len(res.Types)) + " (sizes, member offsets, enum values)"
	}
	how, why, _ := strings.Cut(res.Layouts, ": ")
	if how == "unchecked" {
		return "layouts unchecked: whether sizes, member offsets and enum values are the same is not known: " + why
	}
	return "layouts compared in part, " + changed(len(res.Types)) + ": " + why
}

func changed(n int) string {
	if n == 0 {
		return "none changed"
	}
	return itoa(n) + " changed"
}

// typesShown is how many names are listed for one type without --all.
const typesShown = 8

// concerned prints what each changed type touches.
func (j *diffJob) concerned() {
	title := false
	for i := range j.res.Types {
		t := &j.res.Types[i]
		lines := [][2]string{
			{"in", j.names(t.Variables)}, {"reached from", j.names(t.Pointers)},
			{"used in the patch by", j.names(t.Functions)}, {"used unchanged by", j.names(t.Unchanged)},
		}
		if lines[0][1]+lines[1][1]+lines[2][1]+lines[3][1] == "" {
			continue
		}
		if !title {
			j.printf("\n%s", j.paint(bold, "what the changed types concern"))
			title = true
		}
		j.printf("  %s", clean(t.Name))
		for _, l := range lines {
			if l[1] != "" {
				j.printf("      %s  %s", pad(l[0], len("used in the patch by")), l[1])
			}
		}
	}
}

// names joins names, and says how many are left out.
func (j *diffJob) names(l []string) string {
	more := ""
	if len(l) > typesShown && !j.all {
		more = " and " + itoa(len(l)-typesShown) + " more"
		l = l[:typesShown]
	}
	out := make([]string, len(l))
	for i := range l {
		out[i] = j.listName(l[i])
	}
	return strings.Join(out, ", ") + more
}

// typesJSON fills what JSON must not have as null.
func typesJSON(l []elfdiff.TypeChange) []elfdiff.TypeChange {
	out := make([]elfdiff.TypeChange, len(l))
	for i, t := range l {
		t.Variables, t.Pointers = filled(t.Variables), filled(t.Pointers)
		t.Functions, t.Unchanged = filled(t.Functions), filled(t.Unchanged)
		t.Moves = filled(t.Moves)
		out[i] = t
	}
	return out
}

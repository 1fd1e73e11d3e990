package cli

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// nameWidth is the widest column of names; a longer name pushes its line to the right.
const nameWidth = 40

// human prints the report of a comparison.
func (j *diffJob) human() {
	j.printf("%s -> %s", buildLine(j.old), buildLine(j.new))
	c := j.res.Counts
	j.printf("%s compared: %d changed, %d added, %d removed", count(c.Functions, "function"), c.Changed, c.Added, c.Removed)
	if c.Line > 0 && !j.lines {
		j.printf("%d more in line numbers only, kept out of the patch (--lines takes them in)", c.Line)
	}
	shown := j.res.Changes
	if !j.lines {
		shown = without(shown, "line")
	}
	j.changes(shown)
	if j.res.Layouts == "unchecked" && c.Changed+c.Added+c.Removed > 0 {
		j.printf("\nnot checked: whether types have the same layout in both builds (sizes, member offsets, enum values)")
	}
	j.questions(shown)
	j.refusals(shown)
	j.outcome()
}

// outcome prints the last line: what was written, or why nothing was.
func (j *diffJob) outcome() {
	switch {
	case j.file != nil:
		j.printf("\nwrote %s: patch %s, %s", clean(j.output), j.file.ID.Short(), bytesText(uint64(len(j.file.Raw))))
	case len(j.res.Changes) == 0:
		j.printf("nothing differs: no patch is needed")
	case j.res.Refused > 0 || len(j.res.Missing) > 0 || len(j.res.UnknownAcks) > 0:
		// The error says so.
	case j.res.Patch == nil && onlyInitial(j.res.Changes):
		j.printf("\nonly initial values of variables differ: no patch can deliver those, the running values stay")
	case j.res.Patch == nil:
		j.printf("nothing that a patch could change differs: none is written")
	case j.output == "":
		j.printf("\nevery change can be applied; -o FILE writes the patch")
	}
	if st, err := os.Stat(j.output); j.file == nil && err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		j.printf("%s is of an earlier diff and stays as it is", clean(j.output))
	}
}

// onlyInitial reports whether variables differ in their initial values, and nothing else does but line numbers.
func onlyInitial(all []patch.Change) bool {
	all = without(all, "line")
	return len(all) > 0 && !slices.ContainsFunc(all, func(c patch.Change) bool {
		return c.What != "object" || c.Change != "changed" || len(c.Reasons) != 1 || c.Reasons[0].Kind != patch.ReasonInitial
	})
}

// buildLine names a build: file and the beginning of its build-id.
func buildLine(im *image.Image) string {
	what := "build-id"
	if !im.HasBuildID {
		what = "no build-id, content"
	}
	return clean(filepath.Base(im.Path)) + " (" + what + " " + shortHex(im.BuildID) + ")"
}

// shortHex returns the first 12 digits, enough to tell builds apart.
func shortHex(b []byte) string {
	s := hex.EncodeToString(b)
	return s[:min(12, len(s))]
}

// without returns the changes that are not of one sort.
func without(all []patch.Change, sort string) []patch.Change {
	var out []patch.Change
	for _, c := range all {
		if c.Change != sort {
			out = append(out, c)
		}
	}
	return out
}

// changes prints every change on one line, functions first, grouped by what
// happens to them, each group in the order of the list.
func (a *app) changes(all []patch.Change) {
	type group struct{ what, change string }
	groups := []group{{"function", "changed"}, {"function", "added"}, {"function", "removed"}, {"function", "line"}}
	of := make(map[group][]patch.Change)
	for _, c := range all {
		g := group{c.What, c.Change}
		if of[g] == nil && c.What != "function" {
			groups = append(groups, g)
		}
		of[g] = append(of[g], c)
	}
	var names, files []string
	for _, c := range all {
		names = append(names, display(c.Name))
		files = append(files, clean(c.File))
	}
	nameCol, fileCol := column(nameWidth, names...), column(nameWidth, files...)
	for _, g := range groups {
		if len(of[g]) == 0 {
			continue
		}
		title := g.what + "s " + g.change
		if g.change == "line" {
			title = "functions with other line numbers only"
		}
		a.printf("\n%s", a.paint(bold, clean(title)))
		for _, c := range of[g] {
			a.printf("%s", strings.TrimRight("  "+a.verdict(c.Verdict, 7)+"  "+pad(display(c.Name), nameCol)+"  "+
				pad(clean(c.File), fileCol)+"  "+clean(reasonsText(c.Reasons)), " "))
		}
	}
}

// reasonsText returns the reasons on one line.
func reasonsText(l []patch.Reason) string {
	texts := make([]string, len(l))
	for i := range l {
		texts[i] = l[i].Text
	}
	return strings.Join(texts, "; ")
}

// questions prints what only the user can know, and what to type to say so.
func (j *diffJob) questions(all []patch.Change) {
	given := make(map[string]bool)
	for _, c := range all {
		given[c.Ack] = true
	}
	for _, id := range j.res.Missing {
		given[id] = false
	}
	title := false
	for _, c := range all {
		if c.Verdict != patch.NeedAck {
			continue
		}
		if !title {
			j.printf("\n%s", j.paint(bold, "only you can know whether these are right"))
			title = true
		}
		j.printf("  %s: %s", display(c.Name), clean(c.Why))
		if given[c.Ack] {
			j.printf("      acknowledged")
		} else {
			j.printf("      to say so: --ack %s", clean(shellWord(c.Ack)))
		}
	}
}

// refusals prints what cannot be applied, and why.
func (a *app) refusals(all []patch.Change) {
	title := false
	for _, c := range all {
		if c.Verdict != patch.Refused {
			continue
		}
		if !title {
			a.printf("\n%s", a.paint(bold, "cannot be applied soundly"))
			title = true
		}
		a.printf("  %s: %s", display(c.Name), clean(c.Why))
	}
}

// shellWord quotes s for a shell if it must be quoted.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.,:/@%+=", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

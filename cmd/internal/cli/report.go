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

// human prints the report of a comparison: a summary, the list, and what has to be said of single changes.
func (j *diffJob) human() {
	j.printf("%s -> %s", buildLine(j.old), buildLine(j.new))
	r := newReport(j.res.Changes, j.lines)
	j.summary(r)
	j.changes(r, j.all)
	j.concerned()
	j.questions(r)
	j.refusals(r)
	j.outcome()
}

// summary prints what can be taken in at a glance: the verdict, the totals, and what is asked of the user.
func (j *diffJob) summary(r *report) {
	line := func(what, format string, args ...any) {
		j.printf("  "+pad(what, 9)+"  "+format, args...)
	}
	verdict, colour := j.verdictText()
	line("verdict", "%s", j.paint(colour, verdict))
	c := j.res.Counts
	follow := ""
	if _, n := r.counts(); n > 0 {
		follow = " (" + itoa(n) + " because of others)"
	}
	line("functions", "%d compared: %d changed%s, %d added, %d removed", c.Functions, c.Changed, follow, c.Added, c.Removed)
	if c.LeftOut > 0 {
		line("", "%d more left out of the patch (--only, --skip): the running code will not equal the new build's", c.LeftOut)
	}
	if c.Line > 0 && !j.lines {
		line("", "%d more in line numbers only, kept out of the patch (--lines takes them in)", c.Line)
	}
	if s := dataTotals(r); s != "" {
		line("data", "%s", s)
	}
	if s := layoutsText(j.res); s != "" {
		line("types", "%s", clean(s))
	}
	switch n := len(j.res.Missing); {
	case len(j.res.Changes) == 0:
	case n > 0:
		line("you", "%s: see below what only you can know", count(n, "acknowledgement")+" asked for")
	default:
		line("you", "nothing is asked of you")
	}
}

// verdictText says what the changes amount to.
func (j *diffJob) verdictText() (text, colour string) {
	r := j.res
	switch {
	case r.Refused > 0:
		return "refused: " + itoa(r.Refused) + " of " + count(len(r.Changes), "change") + " cannot be applied soundly", red
	case len(r.Missing) > 0:
		return "can be applied if you know that it is right", yellow
	case len(r.Changes) == 0:
		return "nothing differs", green
	case r.Patch == nil && j.file == nil && len(r.UnknownAcks) == 0: // with an unknown --ack none is made
		return "nothing that a patch could change differs", yellow
	}
	return "every change can be applied", green
}

// dataTotals counts what is not a function, by what it is and what happened to it.
func dataTotals(r *report) string {
	type sort struct{ what, change string }
	counts := make(map[sort]int)
	var order []sort
	for _, id := range r.shown(func(c *patch.Change) bool { return c.What != "function" && c.What != "inline" }) {
		s := sort{r.change(id).What, r.change(id).Change}
		if counts[s] == 0 {
			order = append(order, s)
		}
		counts[s]++
	}
	var parts []string
	for _, s := range order {
		parts = append(parts, count(counts[s], s.what)+" "+s.change)
	}
	return clean(strings.Join(parts, ", "))
}

// outcome prints the last line: what was written, or why nothing was.
func (j *diffJob) outcome() {
	switch {
	case j.file != nil:
		j.printf("\nwrote %s: patch %s, %s", clean(j.output), j.file.ID.Short(), bytesText(uint64(len(j.file.Raw))))
	case len(j.res.Changes) == 0:
		j.printf("\nno patch is needed")
	case j.res.Refused > 0 || len(j.res.Missing) > 0 || len(j.res.UnknownAcks) > 0:
		// The error says so.
	case j.res.Patch == nil && onlyInitial(j.res.Changes):
		j.printf("\nonly initial values of variables differ: no patch can deliver those, the running values stay")
	case j.res.Patch == nil:
		j.printf("\nno patch is written")
	case j.output == "":
		j.printf("\n-o FILE writes the patch")
	}
	if j.verdictErr() == nil && j.stale() {
		j.printf("%s", j.staleText())
	}
}

// stale reports whether a file stands under the name of -o that is not of this comparison.
func (j *diffJob) stale() bool {
	st, err := os.Stat(j.output)
	return j.file == nil && err == nil && st.Mode().IsRegular() && st.Size() > 0
}

func (j *diffJob) staleText() string {
	return clean(j.output) + " is of an earlier diff and stays as it is"
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
	return slices.DeleteFunc(slices.Clone(all), func(c patch.Change) bool { return c.Change == sort })
}

// questions prints what only the user can know, and what to type to say so.
func (j *diffJob) questions(r *report) {
	ids := r.shown(func(c *patch.Change) bool { return c.Verdict == patch.NeedAck })
	for i, id := range ids {
		if i == 0 {
			j.printf("\n%s", j.paint(bold, "only you can know whether these are right"))
		}
		c := r.change(id)
		j.printf("  %s: %s", j.name(c.Name), j.words(c.Why))
		if slices.Contains(j.res.Missing, c.Ack) {
			j.printf("      to say so: --ack %s", clean(shellWord(c.Ack)))
		} else {
			j.printf("      acknowledged")
		}
	}
}

// refusals prints what cannot be applied, and why: what is refused for the same cause stands together.
func (a *app) refusals(r *report) {
	const most = 8 // names of one cause
	names := make(map[string][]string)
	var order []string
	for _, id := range r.shown(func(c *patch.Change) bool { return c.Verdict == patch.Refused }) {
		c := r.change(id)
		if names[c.Why] == nil {
			order = append(order, c.Why)
		}
		names[c.Why] = append(names[c.Why], a.listName(c.Name))
	}
	for i, why := range order {
		if i == 0 {
			a.printf("\n%s", a.paint(bold, "cannot be applied soundly"))
		}
		if l := names[why]; len(l) == 1 {
			a.printf("  %s: %s", l[0], a.briefWords(why))
		} else {
			a.printf("  %d changes: %s", len(l), a.briefWords(why))
			for _, n := range l[:min(len(l), most)] {
				a.printf("      %s", n)
			}
			if more := len(l) - most; more > 0 {
				a.printf("      and %d more", more)
			}
		}
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

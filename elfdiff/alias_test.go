package elfdiff_test

import (
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// TestAliasWithoutSize moves an alias that an assembler made without a size from one function to another: its callers differ, though what
// stands at both addresses has the alias's name in both builds, as an empty function would. Exported, it is refused.
func TestAliasWithoutSize(t *testing.T) {
	for _, c := range []struct {
		name, flag string
		refused    string
	}{
		{name: "program", flag: "-pie"},
		{name: "exported", flag: "-Wl,--export-dynamic", refused: "it is an alias of one in the old build and of two in the new one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			build := func(version string) string {
				return victim.Build(t, "gcc", []string{"alias/main.c", "alias/alias.S"}, "-O2", "-fPIE", "-Wl,--build-id", c.flag, "-DV="+version)
			}
			r, err := elfdiff.Diff(load(t, build("1")), load(t, build("2")), elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var changed, refused []string
			for _, ch := range r.Changes {
				if ch.What == "function" {
					changed = append(changed, ch.Name+" "+ch.Change)
				}
				if ch.Verdict == patch.Refused {
					refused = append(refused, ch.Why)
				}
			}
			if sorted(changed) != "main changed" {
				t.Errorf("functions %q, want main changed", changed)
			}
			if got := strings.Join(refused, "; "); (got == "") != (c.refused == "") || !strings.Contains(got, c.refused) {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
		})
	}
}

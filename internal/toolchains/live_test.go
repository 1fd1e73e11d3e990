package toolchains

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
)

// programAnswers are the answers of the programs: as built first, and with each edit.
var programAnswers = map[string]map[string]string{
	"c": {
		"":       "20 small 26 57 811 chain/44/4 536 1.50",
		"body":   "28 small 26 57 807 chain/44/4 536 1.50",
		"text":   "20 little 26 57 811 chain/44/4 536 1.50",
		"inline": "20 small 166 503 811 chain/44/4 536 1.50",
		"table":  "20 small 26 57 1811 chain/44/4 536 1.50",
	},
	"cc": {
		"":       "20 small 692 16 6 -1 161 srsrsr",
		"body":   "28 small 692 16 6 -1 161 srsrsr",
		"text":   "20 little 692 16 6 -1 161 srsrsr",
		"inline": "20 small 832 86 6 -1 161 srsrsr",
		"table":  "20 small 692 16 77 -2 161 srsrsr",
	},
	"rust": {
		"":       "20 small 209 16 43 error of 29 bytes ssssss",
		"body":   "28 small 209 16 43 error of 29 bytes ssssss",
		"text":   "20 little 209 16 43 error of 29 bytes ssssss",
		"inline": "20 small 467 86 119 error of 29 bytes ssssss",
		"table":  "20 small 209 16 36 error of 29 bytes ssssss",
	},
}

// answers returns what the program answers before and after its edit.
func (c *Combination) answers(t *testing.T) (before, after string) {
	t.Helper()
	all := programAnswers[c.dir()]
	return all[""], all[c.row.value(c.axes, axisEdit).Name]
}

// runs reports whether this machine can run the program.
func (c *Combination) runs() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	switch {
	case err != nil:
		return false
	case c.is(axisArch, "v4"):
		return strings.Contains(string(info), " avx512vl")
	case c.is(axisArch, "v3"):
		return strings.Contains(string(info), " avx2")
	}
	return true
}

// live applies the patch to the running program, or to a program that has loaded the library.
func (c *Combination) live(t *testing.T, f *patch.File, want trial.Answers, old Build) {
	t.Helper()
	if !c.is(axisKind, shared) {
		trial.Run(t, f, want, old.File)
		return
	}
	lib := filepath.Join(filepath.Dir(old.File), "libprogram.so")
	if err := os.Symlink(old.File, lib); err != nil {
		t.Fatal(err)
	}
	trial.Run(t, f, want, victim.Build(t, "gcc", []string{"libs/loader.c"}, "-O2", "-g", "-fPIE", "-pie", "-ldl"), lib)
}

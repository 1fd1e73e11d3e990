package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// testDirs are the directories of the packages that testdata/README.md names by their last element.
var testDirs = map[string]string{
	"ptrace": "ptrace", "inject": "ptrace/inject", "unwind": "ptrace/unwind", "cli": "cmd/internal/cli", "cfi": "ptrace/unwind/cfi", "x86": "arch/x86", "arm64": "arch/arm64", "house": "internal/house",
	"trampoline": "trampoline",
	"pairs":      "internal/pairs", "e2e": "internal/e2e", "sweep": "internal/sweep", "walk": "internal/walk", "toolchains": "internal/toolchains",
}

// Every hazard of a running process has tests that exist, or says why it has none.
func TestHazardsAreTested(t *testing.T) {
	root := victim.Root(t)
	text, err := os.ReadFile(filepath.Join(root, "testdata", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (P\d+b?) \| [^|]+ \| ([^|]+) \|$`)
	name := regexp.MustCompile("`(\\w+)\\.(Test\\w+)`")
	sources := make(map[string]string)
	var found []string
	for _, r := range row.FindAllStringSubmatch(string(text), -1) {
		found = append(found, r[1])
		tests := name.FindAllStringSubmatch(r[2], -1)
		if len(tests) == 0 && !strings.HasPrefix(r[2], "none: ") {
			t.Errorf("%s: no test, and no reason", r[1])
		}
		for _, m := range tests {
			if sources[m[1]] == "" {
				sources[m[1]] = testsIn(t, filepath.Join(root, testDirs[m[1]]))
			}
			if !strings.Contains(sources[m[1]], "func "+m[2]+"(t *testing.T)") {
				t.Errorf("%s: there is no %s.%s", r[1], m[1], m[2])
			}
		}
	}
	const all = "P1 P1b P2 P3 P4 P4b P5 P6 P7 P8 P9 P10 P11 P12 P13 P14 P15 P16 P16b P17 P18 P19 P20 P21 P22 P23 P24 P25 P26"
	if got := strings.Join(found, " "); got != all {
		t.Errorf("hazards %s, want %s", got, all)
	}
}

// testsIn returns the tests' source of a package.
func testsIn(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests (%v)", dir, err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

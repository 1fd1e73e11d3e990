package house

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// The import diagram of the README is what the packages import.
func TestReadmeDiagram(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(victim.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	drawn := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		from, to, ok := strings.Cut(line, "->")
		if from = strings.TrimSpace(from); ok && layer(from) >= 0 && !strings.Contains(from, " ") {
			drawn[from] = strings.Join(strings.Fields(to), " ")
		}
	}
	for name, p := range list(t) {
		if layer(name) < 0 {
			continue
		}
		var imports []string
		for _, imp := range p.Imports {
			if dep, ok := strings.CutPrefix(imp, module+"/"); ok && layer(dep) >= 0 {
				imports = append(imports, dep)
			}
		}
		slices.Sort(imports)
		if want := strings.Join(imports, " "); want != drawn[name] {
			t.Errorf("README: %s -> %s, but it imports: %s", name, drawn[name], want)
		}
		delete(drawn, name)
	}
	for name := range drawn {
		t.Errorf("README: %s is no package", name)
	}
}

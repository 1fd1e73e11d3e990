package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// paths lists the fields of what is printed as JSON: "functions[].reasons[].text".
func paths(t reflect.Type, prefix string, out map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer:
		paths(t.Elem(), prefix, out)
	case reflect.Slice:
		paths(t.Elem(), prefix+"[]", out)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				paths(f.Type, prefix, out)
			case name == "-" || !f.IsExported():
			default:
				if name == "" {
					name = f.Name
				}
				at := strings.TrimPrefix(prefix+"."+name, ".")
				out[at] = true
				paths(f.Type, at, out)
			}
		}
	}
}

// documented lists the fields of a table of docs/json.md: the first column, below the heading.
func documented(t *testing.T, text, heading string) map[string]bool {
	t.Helper()
	_, section, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("docs/json.md has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	out := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		if out[m[1]] {
			t.Errorf("%s: %s stands there twice", heading, m[1])
		}
		out[m[1]] = true
	}
	const like = "functions[]." // what "data[].*" stands for, listings aside
	for field := range maps.Clone(out) {
		list, ok := strings.CutSuffix(field, "*")
		if !ok {
			continue
		}
		delete(out, field)
		for p := range maps.Clone(out) {
			if rest, ok := strings.CutPrefix(p, like); ok && !strings.HasPrefix(rest, "disasm") {
				out[list+rest] = true
			}
		}
	}
	return out
}

const applyHeading = "## `hotpatch apply --json`"

// oneProcessJSON is what apply prints for one process, or in its place for an error.
type oneProcessJSON struct {
	reportJSON
	Error *errorJSON `json:"error,omitempty"`
}

// asInApply takes out of what is printed the fields that are documented as being those of apply.
func asInApply(printed, said map[string]bool) {
	apply := make(map[string]bool)
	paths(reflect.TypeOf(oneProcessJSON{}), "", apply)
	for _, prefix := range []struct{ here, there string }{
		{"processes[].patches[].", "patches[]."}, {"processes[].", ""}, {"error.", "error."},
	} {
		for p := range maps.Clone(printed) {
			rest, ok := strings.CutPrefix(p, prefix.here)
			if ok && apply[prefix.there+rest] && !said[p] {
				delete(printed, p)
			}
		}
	}
}

// TestSchemaDocumented holds docs/json.md and what is printed together.
func TestSchemaDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(victim.Root(t), "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if want := "version " + strconv.Itoa(jsonVersion); !strings.Contains(text, want) {
		t.Errorf("docs/json.md does not speak of %s", want)
	}
	for _, tt := range []struct {
		heading string
		value   any
	}{
		{heading: "## `hotpatch diff --json`", value: diffJSON{}},
		{heading: "## `hotpatch inspect --json`", value: patchFileJSON{}},
		{heading: applyHeading, value: oneProcessJSON{}},
		{heading: "## Several processes", value: severalJSON{}},
		{heading: "## `hotpatch list --json`", value: listJSON{}},
	} {
		t.Run(tt.heading, func(t *testing.T) {
			printed := make(map[string]bool)
			paths(reflect.TypeOf(tt.value), "", printed)
			said := documented(t, text, tt.heading)
			if tt.heading != applyHeading {
				asInApply(printed, said)
			}
			for _, p := range slices.Sorted(maps.Keys(printed)) {
				if !said[p] {
					t.Errorf("%s is printed and not documented", p)
				}
			}
			for _, p := range slices.Sorted(maps.Keys(said)) {
				if !printed[p] {
					t.Errorf("%s is documented and not printed", p)
				}
			}
		})
	}
	t.Run("kinds", func(t *testing.T) {
		said, defined := documented(t, text, "## Kinds of reasons"), kinds(t)
		if !maps.Equal(said, defined) {
			t.Errorf("documented %v, defined %v", slices.Sorted(maps.Keys(said)), slices.Sorted(maps.Keys(defined)))
		}
	})
}

// kinds lists the constants of type patch.ReasonKind.
func kinds(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(victim.Root(t), "elfdiff", "patch", "reason.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "ReasonKind" {
			s, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out[s] = true
		}
		return true
	})
	return out
}

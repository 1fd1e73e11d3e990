package elfdiff_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRefusalsHelp holds that every refusal says, behind its last semicolon, what would make it pass, or that only a restart does. One that
// passes on an error in whole ("%v") leaves that to whoever made the error.
func TestRefusalsHelp(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	seen := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "refuse" {
				return true
			}
			seen++
			text := literal(call.Args[0])
			if text != "%v" && text != "%s" && !strings.HasSuffix(text, ": %v") && !strings.Contains(text, "; ") {
				t.Errorf("%s: a refusal that does not say what would help: %q", fset.Position(call.Pos()), text)
			}
			return true
		})
	}
	if seen < 30 {
		t.Errorf("%d refusals found: is this still how they are made?", seen)
	}
}

// literal joins the string literals of a sum.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.BinaryExpr:
		return literal(e.X) + literal(e.Y)
	}
	return ""
}

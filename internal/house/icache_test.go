package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// writing matches the names by which golang.org/x/sys/unix and syscall write another process's memory, or a file that it may have mapped, or make
// memory that is written by somebody else than the kernel's ptrace code.
var writing = regexp.MustCompile(`^(SYS_|PTRACE_|Ptrace)?(PROCESS_VM_WRITEV|ProcessVMWritev|POKE\w*|Poke\w*|(?i:pwrite\w*)|PROCESS_MADVISE|ProcessMadvise)$`)

// writers are the places of these names in the packages that touch a process: the two ways after which the kernel makes instructions visible.
var writers = map[string]string{
	"ptrace/sys_unsafe.go: PTRACE_POKEDATA":  "ptracePoke",
	"ptrace/sys_unsafe.go: SYS_PWRITE64":     "/proc/PID/task/TID/mem",
	"ptrace/probe_sweep.go: PTRACE_POKEDATA": "its name",
}

// remoteCalls are the system calls that a borrowed thread is made to make. None writes memory that was given to it, as read or recvfrom would:
// that is the kernel's usual copy_to_user, after which nobody maintains the instruction cache.
var remoteCalls = []string{"SYS_CLOSE", "SYS_FTRUNCATE", "SYS_MEMFD_CREATE", "SYS_MMAP", "SYS_MPROTECT", "SYS_MUNMAP"}

// Code of a process is written only in ways after which the kernel makes it visible to instruction fetches (package ptrace, "Code and the instruction
// cache"). An emulator does not show where that is forgotten, so the source must. Memory that becomes executable has to be so before it is
// written: the product changes no protection, and shares no mapping.
func TestCodeWrites(t *testing.T) {
	root, found, calls := victim.Root(t), make(map[string]bool), make(map[string]bool)
	goFiles(t, func(path string) {
		if !live(filepath.Dir(path)) || within(path, "scripts") || strings.HasSuffix(path, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				of, ok := n.X.(*ast.Ident)
				if ok && (of.Name == "unix" || of.Name == "syscall") && writing.MatchString(n.Sel.Name) {
					found[fmt.Sprintf("%s: %s", path, n.Sel.Name)] = true
				}
				if ok && of.Name == "unix" && n.Sel.Name == "MAP_SHARED" && within(path, "ptrace/inject") {
					t.Errorf("%s shares a mapping", path)
				}
			case *ast.CallExpr:
				fn, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if fn.Sel.Name == "Mprotect" || fn.Sel.Name == "Syscall" && within(path, "ptrace/inject") {
					t.Errorf("%s: %s: memory that becomes executable is so before it is written", path, fn.Sel.Name)
				}
				if fn.Sel.Name == "named" {
					calls[callNumber(n)] = true
				}
			}
			return true
		})
	})
	for where := range found {
		if writers[where] == "" {
			t.Errorf("%s: code that is written so may not be seen by instruction fetches", where)
		}
	}
	for where := range writers {
		if !found[where] {
			t.Errorf("%s is listed, and not there", where)
		}
	}
	delete(calls, "") // Remote.Syscall, which only tests use
	if got := slices.Sorted(maps.Keys(calls)); !slices.Equal(got, remoteCalls) {
		t.Errorf("borrowed threads make the calls %v, want %v", got, remoteCalls)
	}
}

// callNumber returns the name of the system call among the arguments of a call, or "".
func callNumber(n *ast.CallExpr) string {
	for _, arg := range n.Args {
		if sel, ok := arg.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "SYS_") {
			return sel.Sel.Name
		}
	}
	return ""
}

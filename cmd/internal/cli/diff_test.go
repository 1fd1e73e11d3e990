package cli

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// edited writes a changed copy of a file.
func edited(t *testing.T, path string, edit func([]byte) []byte) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "edited")
	if err := os.WriteFile(out, edit(b), 0o755); err != nil {
		t.Fatal(err)
	}
	return out
}

func cut(n int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:n] }
}

// badFile is a file that diff cannot use.
type badFile struct {
	name string
	file func(t *testing.T) string
	want string // in the error
}

// check holds the file against diff, as OLD and as NEW: exit code 1, one line, no patch.
func (b *badFile) check(t *testing.T, good string) {
	bad := b.file(t)
	out := filepath.Join(t.TempDir(), "fix.patch")
	hotpatch("diff", good, bad, "-o", out).wantError(t, exitFailed, b.want)
	hotpatch("diff", bad, good, "-o", out).wantError(t, exitFailed, b.want)
	if _, err := os.Stat(out); err == nil {
		t.Error("a patch was written")
	}
}

// Files that are no ELF files, or not all of one.
func TestDiffNotELF(t *testing.T) {
	good := greet(t, 1)
	copied := func(edit func([]byte) []byte) func(*testing.T) string {
		return func(t *testing.T) string { return edited(t, good, edit) }
	}
	tests := []badFile{
		{name: "no such file", file: func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }, want: "no such file"},
		{name: "a directory", file: func(t *testing.T) string { return t.TempDir() }, want: "directory"},
		{name: "a device", file: func(*testing.T) string { return "/dev/zero" }, want: "regular"},
		{name: "empty", file: copied(cut(0)), want: "edited"},
		{name: "text", file: copied(func([]byte) []byte { return bytes.Repeat([]byte("#!/bin/sh\n"), 100) }), want: "not an ELF file: it begins with \"#!/b\" (23 21 2f 62)"},
		{name: "only the header", file: copied(cut(64)), want: "edited"},
		{name: "half the file", file: copied(func(b []byte) []byte { return b[:len(b)/2] }), want: "edited"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, good) })
	}
}

// ELF files of a kind that is not worked on.
func TestDiffWrongELF(t *testing.T) {
	good := greet(t, 1)
	// header sets the 16-bit field at off in the ELF header (System V ABI, "ELF Header").
	header := func(off int, v uint16) func(*testing.T) string {
		return func(t *testing.T) string {
			return edited(t, good, func(b []byte) []byte { binary.LittleEndian.PutUint16(b[off:], v); return b })
		}
	}
	tests := []badFile{
		{name: "another machine", file: header(18, uint16(elf.EM_S390)), want: "EM_S390"},
		{name: "a relocatable object", file: header(16, uint16(elf.ET_REL)), want: "ET_REL"},
		{name: "a core file", file: header(16, uint16(elf.ET_CORE)), want: "ET_CORE"},
		{name: "32-bit", file: func(t *testing.T) string {
			return edited(t, good, func(b []byte) []byte { b[elf.EI_CLASS] = byte(elf.ELFCLASS32); return b })
		}, want: "edited"},
		{name: "stripped", file: func(t *testing.T) string {
			out := filepath.Join(t.TempDir(), "stripped")
			if msg, err := exec.Command("strip", "-o", out, good).CombinedOutput(); err != nil {
				t.Fatalf("strip: %v\n%s", err, msg)
			}
			return out
		}, want: "debug file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, good) })
	}
}

// The verdicts of diff and their exit codes.
func TestDiffExitCodes(t *testing.T) {
	tests := []struct {
		name     string
		from, to int
		args     []string
		code     int
		written  bool
		want     string // in the error
	}{
		{name: "changed", from: 1, to: 2, code: exitDone, written: true},
		{name: "equal", from: 1, to: 1, code: exitDone},
		{name: "refused", from: 1, to: 9, code: exitRefused, want: "cannot be applied soundly"},
		{name: "ack for nothing", from: 1, to: 2, args: []string{"--ack", "nothing"}, code: exitUsage, want: "--ack nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, mode := range [][]string{nil, {"--json"}} {
				out := filepath.Join(t.TempDir(), "fix.patch")
				args := append([]string{"diff", greet(t, tt.from), greet(t, tt.to), "-o", out}, tt.args...)
				r := hotpatch(append(args, mode...)...)
				if tt.code == exitDone {
					if r.code != exitDone || r.err != "" {
						t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
					}
				} else {
					r.wantError(t, tt.code, tt.want)
				}
				if mode != nil {
					v := r.object(t)
					if (v["error"] != nil) != (tt.code != exitDone) || (v["patch"] != nil) != tt.written {
						t.Errorf("error %v, patch %v", v["error"], v["patch"])
					}
				}
				if _, err := os.Stat(out); (err == nil) != tt.written {
					t.Errorf("patch written: %v, want %v", err == nil, tt.written)
				}
			}
		})
	}
}

// What diff --json says of a function.
func TestDiffJSON(t *testing.T) {
	r := hotpatch("diff", greet(t, 1), greet(t, 2), "--json", "--time")
	if r.code != exitDone {
		t.Fatalf("exit code %d\n%s", r.code, r.err)
	}
	v := r.object(t)
	functions := v["functions"].([]any)
	if len(functions) != 1 {
		t.Fatalf("%d functions, want greet alone: %v", len(functions), functions)
	}
	f := functions[0].(map[string]any)
	for _, field := range []string{"name", "file", "change", "reasons", "verdict", "old", "new"} {
		if _, ok := f[field]; !ok {
			t.Errorf("no field %q in %v", field, f)
		}
	}
	if f["name"] != "greet" || f["change"] != "changed" || f["verdict"] != "ok" || len(f["reasons"].([]any)) == 0 {
		t.Errorf("%v", f)
	}
	for _, side := range []string{"old", "new"} {
		e := f[side].(map[string]any)
		if e["address"].(float64) <= 0 || e["size"].(float64) <= 0 {
			t.Errorf("%s is %v", side, e)
		}
	}
	if len(v["phases"].([]any)) == 0 {
		t.Error("--time gives no phases")
	}
	if v["old"].(map[string]any)["build_id"] == v["new"].(map[string]any)["build_id"] {
		t.Error("both builds have the same build-id")
	}
}

// A debug file of another build is an error also where the program has symbols of its own.
func TestDiffWrongDebugFile(t *testing.T) {
	old, next := greet(t, 1), greet(t, 2)
	right := filepath.Join(t.TempDir(), "greet.debug")
	if msg, err := exec.Command("objcopy", "--only-keep-debug", old, right).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, msg)
	}
	if r := hotpatch("diff", old, next, "--debug-old", right); r.code != exitDone {
		t.Errorf("its own debug file: exit code %d\n%s", r.code, r.err)
	}
	hotpatch("diff", old, next, "--debug-new", right).wantError(t, exitFailed, "greet.debug belongs to another build")
	hotpatch("diff", old, next, "--debug-old", filepath.Join(t.TempDir(), "none")).wantError(t, exitFailed, "none does not exist")
}

// What no patch can deliver is said, and what was not looked at.
func TestDiffSaysWhatIsNot(t *testing.T) {
	settings := func(version string) string {
		return victim.Build(t, "gcc", []string{"cli/settings.c"}, "-O2", "-g", "-DVERSION="+version)
	}
	const layouts = "layouts compared: none changed"
	out := filepath.Join(t.TempDir(), "fix.patch")
	r := hotpatch("diff", settings("1"), settings("2"), "-o", out)
	if r.code != exitDone || !strings.HasSuffix(r.out, "only initial values of variables differ: no patch can deliver those, the running values stay\n") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if strings.Contains(r.out, layouts) {
		t.Errorf("speaks of layouts where no function changed:\n%s", r.out)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a patch was written")
	}
	stale := fix(t, 2, 3)
	if r := hotpatch("diff", greet(t, 1), greet(t, 1), "-o", stale); r.code != exitDone || !strings.Contains(r.out, stale+" is of an earlier diff and stays as it is") {
		t.Errorf("exit code %d, not a word on the older patch\n%s", r.code, r.out)
	}
	r = hotpatch("diff", greet(t, 1), greet(t, 2))
	if r.code != exitDone || strings.Count(r.out, layouts) != 1 {
		t.Errorf("exit code %d, not a word on layouts\n%s", r.code, r.out)
	}
	if v := hotpatch("diff", greet(t, 1), greet(t, 2), "--json").object(t); v["layouts"] != "checked" || len(v["types"].([]any)) != 0 {
		t.Errorf("JSON says of layouts: %v", v["layouts"])
	}
}

// Without -o diff only reports: the exit codes are the same, and no file comes into being.
func TestDiffOnlyReports(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to int
		code     int
	}{
		{name: "equal", from: 1, to: 1, code: exitDone},
		{name: "changed", from: 1, to: 2, code: exitDone},
		{name: "refused", from: 1, to: 9, code: exitRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := hotpatch("diff", greet(t, tt.from), greet(t, tt.to)); r.code != tt.code || r.out == "" {
				t.Errorf("exit code %d, want %d\n%s%s", r.code, tt.code, r.out, r.err)
			}
		})
	}
}

var objdumpLine = regexp.MustCompile(`(?m)^ +[0-9a-f]+:\t(?:bnd |notrack )?(\S+)`)

// TestDisasm holds the listings of both builds against objdump: the same instructions in the same order. The patch shows
// what the builds show.
func TestDisasm(t *testing.T) {
	old, next := greet(t, 1), greet(t, 2)
	patchFile := filepath.Join(t.TempDir(), "fix.patch")
	listing := hotpatch("diff", old, next, "-o", patchFile, "--all", "--disasm", "greet")
	if listing.code != exitDone || strings.Contains(listing.out, "verdict") {
		t.Fatalf("exit code %d\n%s%s", listing.code, listing.out, listing.err)
	}
	_, fromBuilds, _ := strings.Cut(strings.TrimSpace(listing.out), "\n") // without the title
	fromPatch := hotpatch("inspect", patchFile, "--all", "--disasm", "greet")
	if _, got, _ := strings.Cut(strings.TrimSpace(fromPatch.out), "\n"); got != fromBuilds {
		t.Errorf("inspect shows\n%s\ndiff shows\n%s", got, fromBuilds)
	}
	if !strings.Contains(fromBuilds, "call <") || !strings.Contains(fromBuilds, " | ") {
		t.Errorf("no call by name, or no mark:\n%s", fromBuilds)
	}
	v := hotpatch("diff", old, next, "--json", "--disasm", "greet").object(t)
	rows := v["functions"].([]any)[0].(map[string]any)["disasm"].([]any)
	for side, file := range map[string]string{"old": old, "new": next} {
		out, err := exec.Command("objdump", "-d", "--no-show-raw-insn", "--disassemble=greet", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, m := range objdumpLine.FindAllStringSubmatch(string(out), -1) {
			if !strings.HasPrefix(m[1], "nop") && m[1] != "xchg" && m[1] != "cs" && m[1] != "data16" {
				want = append(want, m[1])
			}
		}
		for _, r := range rows {
			if l, ok := r.(map[string]any)[side].(map[string]any); ok {
				got = append(got, strings.Fields(l["text"].(string))[0])
				if src, _ := l["source"].(string); !strings.Contains(src, ".c:") {
					t.Errorf("%s: %v is on no line of the source", side, l)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: listed %v\nobjdump: %v", side, got, want)
		}
	}
	hotpatch("diff", old, next, "--disasm", "no_such").wantError(t, exitFailed, "no function of that name differs")
	hotpatch("inspect", patchFile, "--disasm", "no_such").wantError(t, exitFailed, "no function of that name")
	hotpatch("diff", old, next, "--why", "no_such").wantError(t, exitFailed, "no change has that name")
}

package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"hotpatch/internal/victim"
)

var update = flag.Bool("update", false, "write the golden files from what is printed now")

// result is what one call of hotpatch gave.
type result struct {
	code     int
	out, err string
}

// hotpatch runs the command line in this process.
func hotpatch(args ...string) result {
	var out, err bytes.Buffer
	code := Run(args, &out, &err)
	return result{code, out.String(), err.String()}
}

// greet builds testdata/cli/greet.c.
func greet(t testing.TB, version int) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"cli/greet.c"}, "-O2", "-g", "-DVERSION="+strconv.Itoa(version))
}

// fix makes the patch from one version of greet to another.
func fix(t testing.TB, from, to int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fix.patch")
	if r := hotpatch("diff", greet(t, from), greet(t, to), "-o", path); r.code != exitDone {
		t.Fatalf("diff: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	return path
}

// golden compares what was printed with a file of testdata/.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update accepts it)\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// wantError checks exit code and message: one line on stderr that begins with
// "hotpatch: VERB: " and holds every one of parts.
func (r result) wantError(t *testing.T, code int, parts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	if n := strings.Count(r.err, "\n"); n != 1 || !strings.HasPrefix(r.err, "hotpatch: ") {
		t.Errorf("error is not one line that begins with \"hotpatch: \":\n%s", r.err)
	}
	for _, p := range parts {
		if !strings.Contains(r.err, p) {
			t.Errorf("error %q does not say %q", r.err, p)
		}
	}
}

// object parses what --json printed and checks its version.
func (r result) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	if v["version"] != float64(jsonVersion) {
		t.Errorf("version is %v, want %d", v["version"], jsonVersion)
	}
	return v
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{name: "no verb", args: nil, want: "no verb"},
		{name: "mistyped verb", args: []string{"aply"}, want: `did you mean "apply"`},
		{name: "unknown verb", args: []string{"xyzzy"}, want: `"xyzzy" is not a verb`},
		{name: "mistyped verb with flags", args: []string{"aply", "-p", "1", "x.patch"}, want: `did you mean "apply"`},
		{name: "help on no verb", args: []string{"help", "aply"}, want: `"aply" is not a verb`},
		{name: "completion for no shell", args: []string{"completion"}, want: "which shell?"},
		{name: "completion for an unknown shell", args: []string{"completion", "xyzzy"}, want: "which shell?"},
		{name: "unknown flag", args: []string{"diff", "--nope"}, want: "--nope"},
		{name: "what goes in and what stays out", args: []string{"diff", "a", "b", "--only", "f", "--skip", "g"}, want: "--only and --skip"},
		{name: "diff without arguments", args: []string{"diff"}, want: "usage: hotpatch diff OLD NEW"},
		{name: "diff with one", args: []string{"diff", "a"}, want: "usage: hotpatch diff OLD NEW"},
		{name: "diff with three", args: []string{"diff", "a", "b", "c"}, want: "usage: hotpatch diff OLD NEW"},
		{name: "inspect without file", args: []string{"inspect"}, want: "usage: hotpatch inspect FILE"},
		{name: "apply without file", args: []string{"apply", "-p", "1"}, want: "usage: hotpatch apply {-p PID"},
		{name: "apply without process", args: []string{"apply", "x.patch"}, want: "no process given"},
		{name: "apply to a word", args: []string{"apply", "-p", "redis", "x.patch"}, want: "not a process id"},
		{name: "apply to zero", args: []string{"apply", "-p", "0", "x.patch"}, want: "not a process id"},
		{name: "apply to a negative", args: []string{"apply", "-p", "-5", "x.patch"}, want: "not a process id"},
		{name: "negative wait", args: []string{"apply", "-p", "1", "--wait", "-1s", "x.patch"}, want: "negative"},
		{name: "wait without unit", args: []string{"apply", "-p", "1", "--wait", "10", "x.patch"}, want: `"--wait" flag: not a time: a number and its unit are needed, as in 5s`},
		{name: "revert all and one", args: []string{"revert", "--all", "a"}, want: "--all means every patch"},
		{name: "list with arguments", args: []string{"list", "a"}, want: "usage: hotpatch list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hotpatch(tt.args...).wantError(t, exitUsage, tt.want)
			r := hotpatch(append(tt.args[:len(tt.args):len(tt.args)], "--json")...)
			r.wantError(t, exitUsage, tt.want)
			if e := r.object(t)["error"].(map[string]any); e["kind"] != "usage" {
				t.Errorf("JSON says %v", e)
			}
		})
	}
}

// --json in any spelling gives errors as objects; behind "--" it is a file.
func TestUsageJSON(t *testing.T) {
	tests := []struct {
		name string
		args []string
		json bool
	}{
		{name: "first", args: []string{"--json", "xyzzy"}, json: true},
		{name: "another spelling", args: []string{"apply", "--json=1", "x.patch"}, json: true},
		{name: "behind the error", args: []string{"apply", "--nope", "--json"}, json: true},
		{name: "a file", args: []string{"inspect", "--", "--json", "x"}},
		{name: "not asked for", args: []string{"inspect", "--json=false"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := hotpatch(tt.args...)
			r.wantError(t, exitUsage)
			if (r.out != "") != tt.json {
				t.Errorf("printed %q", r.out)
			}
			if tt.json {
				r.object(t)
			}
		})
	}
}

// Every verb explains itself with an example, and --json exists wherever something is reported.
func TestHelp(t *testing.T) {
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	for _, c := range append(verbs(a), newRoot(a)) {
		t.Run(c.Name(), func(t *testing.T) {
			if c.Short == "" || c.Long == "" {
				t.Error("no description")
			}
			if !strings.Contains(c.Example, "  hotpatch ") {
				t.Errorf("no example: %q", c.Example)
			}
			if c.Name() != "hotpatch" && c.Flags().Lookup("json") == nil {
				t.Error("no --json")
			}
			args := []string{c.Name(), "--help"}
			if c.Name() == "hotpatch" {
				args = args[1:]
			}
			r := hotpatch(args...)
			if r.code != exitDone || !strings.Contains(r.out, "Examples:") || r.err != "" {
				t.Errorf("--help: exit code %d\n%s%s", r.code, r.out, r.err)
			}
			golden(t, "help_"+c.Name(), r.out)
		})
	}
}

func TestVersion(t *testing.T) {
	if r := hotpatch("--version"); r.code != exitDone || !strings.HasPrefix(r.out, "hotpatch version ") {
		t.Errorf("exit code %d, %q", r.code, r.out)
	}
}

// complete asks for completions as a shell does.
func complete(t *testing.T, args ...string) (words []string, directive cobra.ShellCompDirective) {
	t.Helper()
	r := hotpatch(append([]string{cobra.ShellCompRequestCmd}, args...)...)
	if r.code != exitDone {
		t.Fatalf("completion: exit code %d\n%s", r.code, r.err)
	}
	words = strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	last := words[len(words)-1]
	n, err := strconv.Atoi(strings.TrimPrefix(last, ":"))
	if err != nil {
		t.Fatalf("completion ends with %q", last)
	}
	return words[:len(words)-1], cobra.ShellCompDirective(n)
}

func TestCompleteFiles(t *testing.T) {
	for _, args := range [][]string{{"apply", "-p", "1", ""}, {"inspect", ""}, {"diff", "a", "b", "-o", ""}} {
		words, d := complete(t, args...)
		if len(words) != 1 || words[0] != "patch" || d != cobra.ShellCompDirectiveFilterFileExt {
			t.Errorf("%v: %q, directive %d; want files *.patch", args, words, d)
		}
	}
}

func TestCompletePIDs(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	for _, verb := range []string{"apply", "list", "revert", "apply --tree", "revert --tree"} {
		args := append(strings.Fields(verb), "")
		if len(args) == 2 {
			args = []string{verb, "-p", ""}
		}
		words, d := complete(t, args...)
		if d != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("%s: directive %d", verb, d)
		}
		want, found := strconv.Itoa(v.PID)+"\tgreet", false
		for _, w := range words {
			found = found || w == want
			if strings.HasPrefix(w, strconv.Itoa(os.Getpid())+"\t") {
				t.Errorf("%s: offers hotpatch itself", verb)
			}
		}
		if !found {
			t.Errorf("%s: %q is not among %d processes", verb, want, len(words))
		}
	}
}

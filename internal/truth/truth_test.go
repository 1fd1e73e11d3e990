package truth

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// compile makes a unit and its twins as scripts/corpus does. All sources of a test are compiled in one directory.
func compile(t *testing.T, target victim.Target, dir, name, source string) Unit {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	gcc := func(out string, args ...string) string {
		out = filepath.Join(t.TempDir(), out)
		args = append(args, "-O2", "-w", "-fPIE", "-ffunction-sections", "-fdata-sections", "-c", name, "-o", out)
		cmd := target.Command("gcc", args...)
		cmd.Dir = dir
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, msg)
		}
		return out
	}
	u := Unit{Name: strings.TrimSuffix(name, ".c") + ".o", Twin: gcc("twin.o")}
	if strings.Contains(source, "__LINE__") {
		u.NoLines = gcc("line.o", "-D__LINE__=1")
		same, err := SameFunctions(u.Twin, u.NoLines)
		if err != nil {
			t.Fatal(err)
		}
		if !same {
			u.Named = gcc("named.o", "-D__LINE__=((int)sizeof(__func__))")
		}
	}
	return u
}

// lines describes a report.
func lines(r *Report) []string {
	var out []string
	for _, i := range r.Items {
		s := fmt.Sprintf("%s %s: %s", i.Kind, plainName(i.Name()), i.Change)
		if len(i.Reads) > 0 {
			s += fmt.Sprintf(" reads %v", i.Reads)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

const clones = `
extern void fail(int, const char *);
static __attribute__((noinline)) void check(int ok, int line) { if (!ok) { fail(line, "a"); fail(line + 1, "b"); } }
int one(int a) { check(a > 1, __LINE__); return a; }
int two(int a) { check(a > 2, __LINE__); return a; }
`

const switches = `
void g(int);
void f(int a) {
	switch (a) {
	case 0: g(3); break; case 1: g(9); break; case 2: g(1); break; case 3: g(7); break;
	case %d: g(5); break; case %d: g(8);
	}
}
`

// entries is a function that takes the address of the last of several constants in a section of merged ones. The assembler turns the label
// into the section and an offset.
func entries(values ...string) string {
	const source = `asm(".pushsection .rodata.cst8, \"aM\", @progbits, 8; .quad %s; .popsection");
#ifdef __aarch64__
		long f(void) { long v; asm("adrp %%0, .Llast\n\tadd %%0, %%0, :lo12:.Llast" : "=r"(v)); return v; }
#else
		int f(void) { int v; asm("mov $.Llast, %%0" : "=r"(v)); return v; }
#endif`
	last := len(values) - 1
	front := strings.Join(append([]string{"1"}, values[:last]...), ", ")
	return fmt.Sprintf(source, front+"; .Llast: .quad "+values[last])
}

// comparisonTest is what two sources differ in.
type comparisonTest struct {
	name     string
	old, new string
	want     []string
}

func comparisonTests() []comparisonTest {
	return []comparisonTest{
		{name: "equal", old: `int f(int a) { return a + 1; }`, new: `int f(int a) { return a + 1; }`},
		{
			name: "own code",
			old:  `int g(int); int f(int a) { return g(a) + 1; } int h(int a) { return a; }`,
			new:  `int g(int); int f(int a) { return g(a) + 2; } int h(int a) { return a; }`,
			want: []string{"function f: changed"},
		},
		{
			name: "another callee",
			old:  `int g(int), k(int); int f(int a) { return g(a) + 1; }`,
			new:  `int g(int), k(int); int f(int a) { return k(a) + 1; }`,
			want: []string{"function f: changed"},
		},
		{
			name: "added and removed",
			old:  `int f(int a) { return a + 1; }`,
			new:  `int g(int a) { return a + 1; }`,
			want: []string{"function f: removed", "function g: added"},
		},
		{
			name: "inlined",
			old:  `static int in(int a) { return a * 3; } int f(int a) { return in(a) + 1; } int h(int a) { return a; }`,
			new:  `static int in(int a) { return a * 5; } int f(int a) { return in(a) + 1; } int h(int a) { return a; }`,
			want: []string{"function f: changed"},
		},
		{
			name: "string",
			old:  `void p(const char *); void f(void) { p("one"); } void g(void) { p("two"); }`,
			new:  `void p(const char *); void f(void) { p("ten"); } void g(void) { p("two"); }`,
			want: []string{"function f: changed"},
		},
		{
			name: "floating-point constant",
			old:  `double f(double a) { return a * 1.5; } double g(double a) { return a * 2.5; }`,
			new:  `double f(double a) { return a * 3.5; } double g(double a) { return a * 2.5; }`,
			want: []string{"function f: changed"},
		},
		{
			name: "entry of merged constants that moved",
			old:  entries("7"),
			new:  entries("5", "7"),
		},
		{
			name: "another entry of merged constants",
			old:  entries("7", "5"),
			new:  entries("7", "9"),
			want: []string{"function f: changed"},
		},
		{
			name: "content of a table",
			old:  `static const int t[] = {1, 2, 3}; int f(int i) { return t[i]; }`,
			new:  `static const int t[] = {1, 2, 4}; int f(int i) { return t[i]; }`,
			want: []string{"constant t: changed"},
		},
		{
			name: "size of a table",
			old:  `static const int t[] = {1, 2, 3}; int f(int i) { return t[i]; }`,
			new:  `static const int t[] = {1, 2, 3, 4}; int f(int i) { return t[i]; }`,
			want: []string{"constant t: resized", "function f:  reads [t]"},
		},
		{
			name: "a variable that grew",
			old:  `int t[2]; int f(int i) { return t[i]; }`,
			new:  `int t[3]; int f(int i) { return t[i]; }`,
			want: []string{"function f:  reads [t]", "variable t: resized"},
		},
		{
			name: "a variable that shrank",
			old:  `int t[3]; int f(int i) { return t[i]; }`,
			new:  `int t[2]; int f(int i) { return t[i]; }`,
			want: []string{"variable t: resized"},
		},
		{
			name: "table of pointers",
			old:  `const char *const t[] = {"a", "b"};`,
			new:  `const char *const t[] = {"a", "c"};`,
			want: []string{"constant t: changed"},
		},
		{
			name: "name with the hash of its unit",
			old:  `extern const int t[] __asm__("t.llvm.123"); int f(int i) { return t[i]; } const int t[] = {1, 2, 3};`,
			new:  `extern const int t[] __asm__("t.llvm.45"); int f(int i) { return t[i]; } const int t[] = {1, 2, 3};`,
		},
		{
			name: "variable",
			old:  `int v = 1; int *p = &v; int b[4];`,
			new:  `int v = 2; int *p = &v; int b[5];`,
			want: []string{"variable b: resized", "variable v: changed"},
		},
		{
			name: "a static that is renumbered",
			old:  `int f(int a) { static int x = 1; return x += a; }`,
			new:  `int e(int a) { static int x = 7; return x *= a; } int f(int a) { static int x = 1; return x += a; }`,
			want: []string{"function e: added", "variable x: added"},
		},
		{
			name: "two statics of one name that trade places",
			old:  `int e(int a) { static int x; return x += a; } int f(int a) { static int x; return x -= a; }`,
			new:  `int f(int a) { static int x; return x -= a; } int e(int a) { static int x; return x += a; }`,
		},
		{
			name: "jump table",
			old:  fmt.Sprintf(switches, 4, 5),
			new:  fmt.Sprintf(switches, 5, 4),
			want: []string{"function f: changed"},
		},
		{
			name: "a cold part",
			old:  `void g(int) __attribute__((cold)); int f(int a) { if (a == 3) { g(1); g(2); } return a; }`,
			new:  `void g(int) __attribute__((cold)); int f(int a) { if (a == 3) { g(1); g(3); } return a; }`,
			want: []string{"function f: changed"},
		},
		{
			name: "line numbers",
			old:  "void g(int); void f(void) { g(__LINE__); }\nvoid h(void) { g(__LINE__ + 1); }",
			new:  "void g(int); void f(void) { g(__LINE__); }\n\nvoid h(void) { g(__LINE__ + 1); }",
			want: []string{"function h: line"},
		},
		{
			name: "a line number and its distance",
			old:  "void g(int);\nvoid f(void) { g(__LINE__ + 1); }",
			new:  "void g(int);\n\nvoid f(void) { g(__LINE__ + 2); }",
			want: []string{"function f: changed"},
		},
		{name: "clones for one line", old: clones, new: "\n" + clones, want: []string{"function one: line", "function two: line"}},
	}
}

func TestCompare(t *testing.T) {
	for _, target := range victim.Targets(t) {
		for _, test := range comparisonTests() {
			t.Run(target.Name+"/"+test.name, func(t *testing.T) {
				dir := t.TempDir()
				old, new := compile(t, target, dir, "a.c", test.old), compile(t, target, dir, "a.c", test.new)
				r, err := Compare([]Unit{old}, []Unit{new})
				if err != nil {
					t.Fatal(err)
				}
				if got := lines(r); !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		}
	}
}

// A static function is its object's, and the linker's map says which objects there are.
func TestLink(t *testing.T) {
	for _, target := range victim.Targets(t) {
		t.Run(target.Name, func(t *testing.T) { testLink(t, target) })
	}
}

func testLink(t *testing.T, target victim.Target) {
	dir := t.TempDir()
	const a = `int g(int); static __attribute__((noinline)) int in(int i) { return i * %d; }
		int f(int i) { return in(i) + in(i + 1); } int main(void) { return f(2) + g(3); }`
	const b = `static __attribute__((noinline)) int in(int i) { return i * 7; } int g(int i) { return in(i) + in(i + 1); }`
	old := []Unit{compile(t, target, dir, "a.c", fmt.Sprintf(a, 3)), compile(t, target, dir, "b.c", b)}
	new := []Unit{compile(t, target, dir, "a.c", fmt.Sprintf(a, 5)), compile(t, target, dir, "b.c", b)}
	r, err := Compare(old, new)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Items) != 1 || r.Items[0].Name() != "in" || r.Items[0].Object != "a.o" || r.Items[0].File != "a.c" || r.Functions != 5 {
		t.Errorf("got %+v, want in of a.c", r)
	}

	command := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		if name != "cp" {
			cmd = target.Command(name, args...)
		}
		cmd.Dir = dir
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, msg)
		}
	}
	const long = "a-member-with-a-long-name.o"
	command("cp", old[0].Twin, "a.o")
	command("cp", old[1].Twin, long)
	command("cp", new[0].Twin, "unused.o")
	command("ar", "rc", "libb.a", "unused.o", long)
	command("gcc", "a.o", "libb.a", "-o", "p", "-Wl,-Map,p.map")
	f, err := os.Open(filepath.Join(dir, "p.map"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inputs, err := LinkedInputs(f)
	if err != nil {
		t.Fatal(err)
	}
	var mine []string
	for _, in := range inputs {
		if filepath.IsAbs(in.File) {
			continue // of the system
		}
		mine = append(mine, in.String())
		in.File = filepath.Join(dir, in.File)
		data, err := in.Read()
		want, err2 := os.ReadFile(filepath.Join(dir, cmp.Or(in.Member, filepath.Base(in.File))))
		if err != nil || err2 != nil || string(data) != string(want) {
			t.Errorf("%s: %d bytes, want %d: %v", in, len(data), len(want), err)
		}
	}
	if want := []string{"a.o", "libb.a(" + long + ")"}; !slices.Equal(mine, want) {
		t.Errorf("the map names %v, want %v", mine, want)
	}
}

// The oracle shares no code with what it judges.
func TestIndependent(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(out)); len(got) != 1 || !strings.HasSuffix(got[0], "internal/truth") {
		t.Errorf("depends on %v: the standard library must be enough", got)
	}
}

// Package walk writes a C program in many versions, of which any mixture can be written, too, and (in its tests) walks a running one at random
// from version to version and back: after each step the journal, the bytes of the text, what every function answers
// and what memory is in use have to be what a model of the walk says.
package walk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Groups is the number of functions of the program that are asked what they answer; each has a form that a version gives it, and what goes
// with that form: static functions, constants, variables. Nothing else of the program changes.
const Groups = 10

// Version is one version of the program: which form each group has, and in which order the groups stand.
type Version struct {
	Forms [Groups]int
	Order [Groups]int
}

// Versions makes n versions. The first has the first form of everything; each of the others gives new forms, or one that it had before, to some
// groups, and may move the functions. The same seed gives the same versions.
func Versions(seed uint64, n int) []Version {
	r := rand.New(rand.NewPCG(seed, 5))
	all := make([]Version, n)
	newest := [Groups]int{}
	for i := range all[0].Order {
		all[0].Order[i] = i
	}
	for v := 1; v < n; v++ {
		all[v] = all[v-1]
		for _, g := range r.Perm(Groups)[:1+r.IntN(3)] {
			if old := r.IntN(newest[g] + 1); r.IntN(5) == 0 && old != all[v].Forms[g] {
				all[v].Forms[g] = old
				continue
			}
			newest[g]++
			all[v].Forms[g] = newest[g]
		}
		if r.IntN(2) == 0 {
			copy(all[v].Order[:], r.Perm(Groups))
		}
	}
	return all
}

// Changed lists the groups whose forms differ.
func (v *Version) Changed(to *Version) []int {
	var out []int
	for g := range v.Forms {
		if v.Forms[g] != to.Forms[g] {
			out = append(out, g)
		}
	}
	return out
}

// Source is the C program of one version. It answers lines of input with lines of output:
//
//	ask    what every function gives for some arguments
//	fork   the PID of a child, which has threads of its own and takes over input and output until it is told to end
//	end    the process ends; a parent that waits for it takes over again
//
// Its threads call the functions all the time, and abort the process if two functions that have to fit together do not.
func (v *Version) Source() string {
	var b strings.Builder
	b.WriteString(head)
	for g := range Groups {
		fmt.Fprintf(&b, "long f%d(long);\n", g)
	}
	b.WriteString("static long (*const table[])(long) = {")
	for g := range Groups {
		fmt.Fprintf(&b, " f%d,", g)
	}
	b.WriteString(" };\n")
	for _, g := range v.Order {
		b.WriteString(v.group(g))
	}
	b.WriteString(tail)
	return b.String()
}

// group is the text of one group.
func (v *Version) group(g int) string {
	form := v.Forms[g]
	r := rand.New(rand.NewPCG(uint64(g)<<32|uint64(form), 7))
	p := part{g: g, form: form, k: 3 + r.Int64N(1000), n: 2 + r.IntN(9)}
	i := r.IntN(len(forms))
	if form == 0 {
		i = g % len(forms)
	}
	return fmt.Sprintf("\n// group %d, form %d\n", g, form) + forms[i](&p)
}

// part is what a form needs to know.
type part struct {
	g, form int
	k       int64 // a number of the form's own
	n       int   // a small one
}

// forms write a function fG(x), and what it needs.
var forms = [...]func(p *part) string{
	(*part).plain, (*part).helped, (*part).text, (*part).counted, (*part).chosen, (*part).grown, (*part).renewed, (*part).caller, (*part).twice,
}

func (p *part) plain() string {
	return fmt.Sprintf("API long f%d(long x)\n{\n\treturn x * %d + %d;\n}\n", p.g, p.k, p.k%13)
}

// helped has a static function whose arguments change places from form to form: a mixture would give a wrong answer.
func (p *part) helped() string {
	names := []string{"a", "b"}
	if p.k%2 == 1 {
		slices.Reverse(names)
	}
	return fmt.Sprintf(`static NOINLINE long help%[1]d(long %[2]s, long %[3]s)
{
	return a * %[4]d - b;
}
API long f%[1]d(long x)
{
	long a = x + %[4]d, b = x * 3, r = help%[1]d(%[2]s, %[3]s);
	if (r != a * %[4]d - b)
		abort();
	return r;
}
`, p.g, names[0], names[1], p.k)
}

func (p *part) text() string {
	return fmt.Sprintf(`API long f%[1]d(long x)
{
	const char *s = "text %[2]d of group %[1]d";
	long n = 0;
	for (; *s; s++)
		n = n * 31 + *s + x;
	return n;
}
`, p.g, p.k)
}

// counted has variables of its own, which a patch adds. What they hold at first is the same in all forms, as the running value stays.
func (p *part) counted() string {
	return fmt.Sprintf(`static volatile long own%[1]d = 1%[1]d, zero%[1]d;
API long f%[1]d(long x)
{
	return own%[1]d * %[2]d + x + zero%[1]d;
}
`, p.g, p.k)
}

func (p *part) chosen() string {
	var b strings.Builder
	fmt.Fprintf(&b, "API long f%d(long x)\n{\n\tswitch (x & 7) {\n", p.g)
	for i := range int64(8) {
		fmt.Fprintf(&b, "\tcase %d: return x %s %d;\n", i, []string{"+", "-", "^", "|"}[(p.k+i*5)%4], p.k*(i+1)%97)
	}
	b.WriteString("\t}\n\treturn 0;\n}\n")
	return b.String()
}

// grown has a table whose length depends on the form.
func (p *part) grown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "const long grown%d[] = {", p.g)
	for i := range int64(p.n) {
		fmt.Fprintf(&b, " %d,", p.k*(i+3)%1009)
	}
	fmt.Fprintf(&b, ` };
API long f%[1]d(long x)
{
	return grown%[1]d[(unsigned long)x %% (sizeof grown%[1]d / sizeof *grown%[1]d)] + x;
}
`, p.g)
	return b.String()
}

// renewed has a table of a fixed length: another content is written where it is.
func (p *part) renewed() string {
	var b strings.Builder
	fmt.Fprintf(&b, "const long fixed%d[8] = {", p.g)
	for i := range int64(8) {
		fmt.Fprintf(&b, " %d,", p.k*(i+7)%1013)
	}
	fmt.Fprintf(&b, " };\nAPI long f%[1]d(long x)\n{\n\treturn fixed%[1]d[x & 7] * 2 + x;\n}\n", p.g)
	return b.String()
}

// caller calls the function of another group: what it answers depends on that one.
func (p *part) caller() string {
	if p.g == 0 {
		return p.plain()
	}
	to := int(p.k) % p.g // of a group with a smaller number: no circle
	return fmt.Sprintf("API long f%d(long x)\n{\n\treturn f%d(x + 1) * 2 + %d;\n}\n", p.g, to, p.k)
}

// twice has a helper that needs stack, and a loop.
func (p *part) twice() string {
	return fmt.Sprintf(`static NOINLINE long deep%[1]d(long *v, int n)
{
	long s = 0;
	for (int i = 0; i < n; i++)
		s += v[i] * (i + %[2]d);
	return s;
}
API long f%[1]d(long x)
{
	long v[%[3]d];
	for (int i = 0; i < %[3]d; i++)
		v[i] = x + i;
	return deep%[1]d(v, %[3]d) + deep%[1]d(v, %[3]d - 1);
}
`, p.g, p.k, p.n)
}

const head = `#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define API NOINLINE
`

const tail = `
#define COUNT (sizeof table / sizeof *table)
#define THREADS 2

static volatile long sink;

// Not constants: one that stood behind a table whose length changes could be that table's end as well (HAZARDS D17).
char ready[] = "ready", ask[] = "ask\n", end[] = "end\n", forked[] = "fork\n", number[] = "%ld ", process[] = "%d\n";
long args[] = { 0, 1, 7, 12, -5, 1000003 };
struct timespec nap = { 0, 50000 };

// Uses the stack, so that no return address into a function of a group is left on it.
static __attribute__((noipa)) void work(void)
{
	volatile char room[1024];
	for (unsigned i = 0; i < sizeof room; i++)
		room[i] = (char)i;
}

static void *load(void *arg)
{
	for (long x = (long)arg;; x++) {
		for (unsigned i = 0; i < COUNT; i++)
			sink += table[i](x);
		work();
		if (x % 16 == 0)
			nanosleep(&nap, NULL);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t t;
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, load, (void *)(i * 1000)))
			abort();
}

static void answer(void)
{
	for (unsigned i = 0; i < COUNT; i++)
		for (unsigned k = 0; k < sizeof args / sizeof *args; k++)
			printf(number, table[i](args[k]));
	putchar('\n');
}

int main(void)
{
	char line[64];
	setvbuf(stdout, NULL, _IOLBF, 1024);
	setvbuf(stdin, NULL, _IONBF, 0);
	threads();
	puts(ready);
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, ask)) {
			answer();
		} else if (!strcmp(line, end)) {
			break;
		} else if (!strcmp(line, forked)) {
			pid_t child = fork();
			if (child == 0) {
				threads();
				printf(process, getpid());
			} else {
				int status;
				if (waitpid(child, &status, 0) != child || status)
					abort();
				printf(process, getpid());
			}
		}
	}
	work();
	_exit(0);
}
`

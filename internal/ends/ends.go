// Package ends writes C programs whose functions use addresses that are the end of one object and the start of another, or lie in front
// of an object or behind it (HAZARDS D17), each in an old and a new version whose objects lie in another order. How the addresses are used
// is left to the compiler: that is what such programs are for.
package ends

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// object is an array of the program.
type object struct {
	name     string
	typ      string // of an element
	n        int    // elements
	static   bool
	constant bool
	empty    bool // zero at first, in .bss; main fills it
	used     bool // has a symbol whether or not C code refers to it
	id       int  // gives the content
	old, new bool // in which versions it exists
}

// sizes are those of the types of elements, in bytes.
var sizes = map[string]int{"char": 1, "unsigned char": 1, "short": 2, "int": 4, "long": 8, "struct point": 12}

// function is a function of the program.
type function struct {
	form   *form
	a, b   *object // what it uses, in the old version
	a2, b2 *object // in the new one
	edit   int     // is added to its result in the new version
	k      int     // a number for its form
}

// Program is a program in two versions.
type Program struct {
	objects []*object
	order   [2][]int // of the objects, in each version
	funcs   []*function
}

// New makes a program with so many functions, for arm64 or for any architecture; the same arguments give the same program.
func New(seed uint64, functions int, arm64 bool) *Program {
	r := rand.New(rand.NewPCG(seed, 17))
	p := &Program{}
	choice := forms[:]
	if arm64 {
		choice = slices.Concat(choice, armForms[:])
	}
	types := []string{"char", "short", "int", "long", "struct point", "unsigned char"}
	for i := range 6 + r.IntN(5) {
		o := &object{name: fmt.Sprintf("o%d", i), typ: types[r.IntN(len(types))], n: 1 + r.IntN(12), used: arm64, id: i, old: true, new: true}
		switch r.IntN(4) {
		case 0:
			o.n = 16 << r.IntN(3)
		case 1:
			o.typ, o.n = "int", 4
		}
		o.static, o.constant = r.IntN(2) == 0, r.IntN(3) == 0
		o.empty = !o.constant && r.IntN(3) == 0
		o.static = o.static && !o.empty // else a compiler leaves out one that only main writes to
		p.objects = append(p.objects, o)
	}
	for i := range r.IntN(3) {
		o := &object{name: fmt.Sprintf("added%d", i), typ: types[r.IntN(len(types))], n: 1 + r.IntN(20), id: 50 + i, new: true}
		o.constant = r.IntN(2) == 0
		p.objects = append(p.objects, o)
	}
	p.order[0], p.order[1] = r.Perm(len(p.objects)), r.Perm(len(p.objects))
	for range functions {
		p.funcs = append(p.funcs, p.function(r, choice))
	}
	return p
}

func (p *Program) function(r *rand.Rand, choice []form) *function {
	f := &function{form: &choice[r.IntN(len(choice))], edit: r.IntN(3) * 1000, k: r.IntN(100)}
	pick := func() *object {
		for {
			if o := p.objects[r.IntN(len(p.objects))]; o.old && (!f.form.writes || !o.constant) {
				return o
			}
		}
	}
	f.a, f.b = pick(), pick()
	if f.form.beside {
		f.b = p.behind(f.a, f.form.writes)
	}
	f.a2, f.b2 = f.a, f.b
	if r.IntN(4) == 0 && !f.form.writes { // what the old version wrote stays
		f.a2 = pick()
	}
	return f
}

// behind returns the object that follows another one in the old version, the first behind the last; only one that can be written to, if so said.
func (p *Program) behind(o *object, written bool) *object {
	order := p.order[0]
	at := slices.IndexFunc(order, func(i int) bool { return p.objects[i] == o })
	for {
		at = (at + 1) % len(order)
		if next := p.objects[order[at]]; next.old && (!written || !next.constant) {
			return next
		}
	}
}

// Functions returns how many functions the program has.
func (p *Program) Functions() int { return len(p.funcs) }

// Name returns the name of a function.
func Name(i int) string { return fmt.Sprintf("f%d", i) }

// Source returns a version of the program, 0 or 1, without what some of its functions do.
func (p *Program) Source(version int, without []int) string {
	var b strings.Builder
	b.WriteString(head)
	for _, i := range p.order[version] {
		if o := p.objects[i]; o.in(version) {
			b.WriteString(o.declare())
		}
	}
	b.WriteString(helpers)
	for i, f := range p.funcs {
		if slices.Contains(without, i) {
			fmt.Fprintf(&b, "NOINLINE long %s(long x) { return x; }\n", Name(i))
			continue
		}
		b.WriteString(f.define(Name(i), version))
	}
	p.writeMain(&b)
	return b.String()
}

// Form says what a function does, for messages.
func (p *Program) Form(i int) string {
	f := p.funcs[i]
	return fmt.Sprintf("%s: %s of %s[%d] and %s[%d]", f.form.name, f.a.name, f.a.typ, f.a.n, f.b.name, f.b.n)
}

func (o *object) in(version int) bool { return version == 0 && o.old || version == 1 && o.new }

// value returns what the element of an index holds.
func (o *object) value(i int) int { return (o.id*37+i*11)%97 + 1 }

func (o *object) declare() string {
	var b strings.Builder
	if o.used {
		b.WriteString("__attribute__((used)) ")
	}
	if o.static {
		b.WriteString("static ")
	}
	if o.constant {
		b.WriteString("const ")
	}
	fmt.Fprintf(&b, "%s %s[%d]", o.typ, o.name, o.n)
	if o.empty {
		return b.String() + ";\n"
	}
	b.WriteString(" = {")
	for i := range o.n {
		if o.typ == "struct point" {
			fmt.Fprintf(&b, "{%d,%d,%d},", o.value(i), o.value(i)+1, o.value(i)+2)
			continue
		}
		fmt.Fprintf(&b, "%d,", o.value(i))
	}
	return b.String() + "};\n"
}

func (f *function) define(name string, version int) string {
	a, b, edit := f.a, f.b, 0
	if version == 1 {
		a, b, edit = f.a2, f.b2, f.edit
	}
	field := func(o *object) string {
		if o.typ == "struct point" {
			return ".y"
		}
		return ""
	}
	qualified := func(o *object) string {
		if o.constant {
			return "const " + o.typ
		}
		return o.typ
	}
	body := strings.NewReplacer("$A", a.name, "$T", qualified(a), "$N", fmt.Sprint(a.n), "$F", field(a),
		"$B", b.name, "$U", qualified(b), "$M", fmt.Sprint(b.n), "$G", field(b),
		"$S", fmt.Sprint(a.n*sizes[a.typ]), "$K", fmt.Sprint(f.k%a.n), "$R", fmt.Sprint(f.k),
		"$E", fmt.Sprint(edit), "$P", name).Replace(f.form.body)
	return fmt.Sprintf("NOINLINE long %s(long x)\n{\n\tlong s = %d;\n\n%s\treturn s;\n}\n", name, edit, body)
}

func (p *Program) writeMain(b *strings.Builder) {
	b.WriteString("NOINLINE static void fill(void)\n{\n")
	for _, o := range p.objects {
		if !o.empty {
			continue
		}
		lhs := o.name + "[i]"
		if o.typ == "struct point" {
			lhs += ".y"
		}
		fmt.Fprintf(b, "\tfor (volatile int i = 0; i < %d; i++)\n\t\t%s = i * 7 + %d;\n", o.n, lhs, o.id)
	}
	b.WriteString("}\nNOINLINE static void answer(void)\n{\n")
	for i := range p.funcs {
		fmt.Fprintf(b, "\tprintf(\"%%ld \", %s(three));\n", Name(i))
	}
	b.WriteString("\tputs(\"\");\n}\n" + tail)
}

const head = `#include <stdio.h>
#include <string.h>
#define NOINLINE __attribute__((noinline))
struct point { int x, y, z; };
volatile long three = 3;
`

const tail = `int main(void)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	fill();
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		answer();
	return 0;
}
`

const helpers = `NOINLINE long below(const void *end, long n) { const unsigned char *p = end; long s = 0; while (n-- > 0) s += *--p; return s; }
NOINLINE long from(const void *start, long n) { const unsigned char *p = start; long s = 0; while (n-- > 0) s = s * 3 + *p++; return s; }
NOINLINE long between(const void *start, const void *end) { const unsigned char *p = start; long s = 0; while (p < (const unsigned char *)end) s = s * 5 + *p++; return s; }
NOINLINE const void *same(const void *p) { __asm__("" : "+r"(p)); return p; }
`

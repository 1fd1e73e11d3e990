package types

import (
	"strconv"
	"strings"
)

// maxText bounds how many types are written out for one.
const maxText = 64

// Text writes a type as C does, without a name: "char *[4]", "int (*)(struct client *)".
func (b *Build) Text(id ID) string { return b.text(id, "") }

func (b *Build) text(id ID, name string) string {
	w := writer{b, maxText}
	return w.declare(id, name)
}

// writer writes one type.
type writer struct {
	b    *Build
	left int // types that may still be written
}

// declare writes the declaration of something of a type. Declarators are built from the inside out, as C reads them.
func (w *writer) declare(id ID, inner string) string {
	b := w.b
	if w.left--; w.left < 0 {
		return "..." + inner
	}
	spaced := func(s string) string {
		if inner == "" || strings.HasPrefix(inner, "[") {
			return s + inner
		}
		return s + " " + inner
	}
	t := &b.types[id]
	switch t.kind {
	case Void:
		return spaced("void")
	case Base, Other:
		return spaced(t.name)
	case Named:
		return spaced(b.named[t.named].Title())
	case Anonymous:
		return spaced(t.layout.text())
	case Pointer, Member:
		star := "*"
		if t.enc != 0 {
			star = "&"
		}
		if t.kind == Member {
			star = "::*"
		}
		inner = star + inner
		if k := b.types[t.elem].kind; k == Function || k == Array {
			inner = "(" + inner + ")"
		}
		return w.declare(t.elem, inner)
	case Array:
		n := ""
		if t.count != Unknown {
			n = strconv.FormatUint(t.count, 10)
		}
		return w.declare(t.elem, inner+"["+n+"]")
	}
	return w.declare(t.elem, inner+w.parameters(t))
}

func (w *writer) parameters(t *typ) string {
	var p []string
	for _, id := range t.params {
		p = append(p, w.declare(id, ""))
	}
	if t.variadic {
		p = append(p, "...")
	}
	return "(" + strings.Join(p, ", ") + ")"
}

// Prototype writes the declaration of a function.
func (b *Build) Prototype(f *Func) string { return b.text(f.Proto, f.Name) }

// text stands for an aggregate without a name.
func (l *Layout) text() string {
	switch {
	case l.Enum:
		return "enum {...}"
	default:
		return "struct {...}"
	}
}

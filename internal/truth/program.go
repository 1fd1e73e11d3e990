package truth

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// kind is what an entity is.
type kind uint8

const (
	function kind = iota
	constant      // read-only, or so once it is relocated
	variable
	threadLocal
)

// entity is a function with its parts, or a data object.
type entity struct {
	kind   kind
	names  []string // all that stand at its start; the first by scope, then by spelling
	file   string   // STT_FILE, if no name is global
	local  bool
	obj    *object
	pieces []*piece // the first holds the start, the others by label
}

func (e *entity) name() string { return e.names[0] }

// piece is a range of a section that belongs to an entity.
type piece struct {
	label  string // "", "cold", "part", "catches"
	sec    *section
	lo, hi uint64 // offsets in sec
	ent    *entity
}

// program is a linked program, put together from the twins of its objects.
type program struct {
	objects  []*object
	entities []*entity
	globals  map[string]*entity
}

// load reads a program. pick says which of a unit's files to read.
func load(units []Unit, pick func(*Unit) string) (*program, error) {
	p := &program{globals: make(map[string]*entity)}
	groups := make(map[string]bool)
	for i := range units {
		obj, err := readObject(units[i].Name, pick(&units[i]))
		if err != nil {
			return nil, err
		}
		p.objects = append(p.objects, obj)
		mine := make(map[string]bool)
		for _, sec := range obj.sections {
			if sec != nil && sec.group != "" {
				sec.dropped = groups[sec.group]
				mine[sec.group] = true
			}
		}
		for g := range mine {
			groups[g] = true
		}
		if err := p.addEntities(obj); err != nil {
			return nil, fmt.Errorf("%s: %w", units[i].Twin, err)
		}
	}
	return p, nil
}

// addEntities cuts the sections of an object at its symbols, and joins what belongs together.
func (p *program) addEntities(obj *object) error {
	var mine []*entity
	for _, sec := range obj.sections {
		if sec == nil || sec.dropped || sec.merged() {
			continue
		}
		if len(sec.symbols) == 0 {
			if sec.code() && sec.size > 0 {
				return fmt.Errorf("section %s: %d bytes of code without a symbol", sec.name, sec.size)
			}
			continue
		}
		mine = append(mine, sec.cut()...)
	}
	byName := make(map[string]*entity)
	for _, e := range mine {
		for _, name := range e.names {
			byName[name] = e
		}
	}
	heads := mine[:0:0]
	for _, e := range mine {
		parent := obj.parent(e, byName)
		if parent == nil {
			heads = append(heads, e)
			continue
		}
		for _, x := range e.pieces {
			x.ent = parent
		}
		parent.pieces = append(parent.pieces, e.pieces...)
	}
	obj.addCatches(byName)
	for _, e := range heads {
		slices.SortStableFunc(e.pieces[1:], func(a, b *piece) int { return strings.Compare(a.label, b.label) })
		p.entities = append(p.entities, e)
	}
	p.addGlobals(obj)
	return nil
}

// cut makes an entity of each part of a section between two symbols.
func (sec *section) cut() []*entity {
	var out []*entity
	for i := 0; i < len(sec.symbols); {
		first := sec.symbols[i]
		x := &piece{sec: sec, lo: first.value, hi: sec.size}
		e := &entity{kind: sec.kind(first), obj: sec.obj, local: true, file: first.file, pieces: []*piece{x}}
		x.ent = e
		names := sec.symbols[i:]
		for i < len(sec.symbols) && sec.symbols[i].value == first.value {
			i++
		}
		if i < len(sec.symbols) {
			x.hi = sec.symbols[i].value
		}
		names = slices.Clone(names[:len(names)-(len(sec.symbols)-i)])
		slices.SortFunc(names, func(a, b *symbol) int {
			if a.local != b.local {
				return map[bool]int{true: 1, false: -1}[a.local]
			}
			return strings.Compare(a.name, b.name)
		})
		for _, s := range names {
			e.names = append(e.names, s.name)
			e.local = e.local && s.local
		}
		if !e.local {
			e.file = ""
		}
		sec.pieces = append(sec.pieces, x)
		out = append(out, e)
	}
	return out
}

// kind says what a symbol of the section names.
func (sec *section) kind(s *symbol) kind {
	switch {
	case sec.code():
		return function
	case s.typ == elf.STT_TLS:
		return threadLocal
	case sec.flags&elf.SHF_WRITE == 0 || strings.HasPrefix(sec.name, ".data.rel.ro"):
		return constant
	}
	return variable
}

// addCatches gives functions what they catch: gcc names that section for the function.
func (obj *object) addCatches(byName map[string]*entity) {
	for _, sec := range obj.sections {
		if sec == nil || sec.dropped {
			continue
		}
		name, ok := strings.CutPrefix(sec.name, ".gcc_except_table.")
		if e := byName[name]; ok && e != nil && e.kind == function {
			e.pieces = append(e.pieces, &piece{label: "catches", sec: sec, hi: sec.size, ent: e})
		}
	}
}

// addGlobals enters the global names of an object; a strong definition goes before a weak one, and the first before others.
func (p *program) addGlobals(obj *object) {
	for _, s := range obj.symbols {
		if s.sec == nil || s.local || s.sec.dropped {
			continue
		}
		if x := s.sec.pieceAt(int64(s.value)); x != nil && (p.globals[s.name] == nil || !s.weak) {
			p.globals[s.name] = x.ent
		}
	}
}

// pieceAt returns the piece of the section that holds an offset, or nil. A section of one piece belongs to that one
// as a whole: an offset in front of it or behind it means a place that is counted from there.
func (sec *section) pieceAt(off int64) *piece {
	if len(sec.pieces) == 1 {
		return sec.pieces[0]
	}
	for i := len(sec.pieces) - 1; i >= 0; i-- {
		if x := sec.pieces[i]; off >= int64(x.lo) {
			return x
		}
	}
	return nil
}

// parent returns the function that a piece of code was split from: NAME for NAME.cold and NAME.cold.N, and for NAME.part.N
// if nothing but jumps of NAME leads there. A part that others jump to, that is called, or whose address
// is taken, is a function of its own.
func (obj *object) parent(e *entity, byName map[string]*entity) *entity {
	if e.kind != function || !e.local {
		return nil
	}
	base, label := splitPart(e.name())
	up := byName[base]
	if label == "" || up == nil || up.kind != function {
		return nil
	}
	if label == "part" && !obj.onlyJumps(e, up) {
		return nil
	}
	e.pieces[0].label = label
	if top := obj.parent(up, byName); top != nil { // NAME.part.0.cold
		return top
	}
	return up
}

// splitPart takes .cold, .cold.N or .part.N off a name.
func splitPart(name string) (base, label string) {
	words := strings.Split(name, ".")
	n := len(words)
	if n > 1 && words[n-1] == "cold" {
		return strings.Join(words[:n-1], "."), "cold"
	}
	if n > 2 && isNumber(words[n-1]) && (words[n-2] == "cold" || words[n-2] == "part") {
		return strings.Join(words[:n-2], "."), words[n-2]
	}
	return name, ""
}

// onlyJumps reports whether every reference to e in its object is a jump of e itself or of from.
func (obj *object) onlyJumps(e, from *entity) bool {
	for _, sec := range obj.sections {
		if sec == nil || sec.name == ".eh_frame" {
			continue
		}
		for i := range sec.relocs {
			r := &sec.relocs[i]
			if r.sym.sec == nil || r.sym.sec != e.pieces[0].sec {
				continue
			}
			if x := r.sym.sec.pieceAt(r.place(sec)); x == nil || x.ent != e {
				continue
			}
			if !sec.code() {
				if owner, ok := strings.CutPrefix(sec.name, ".rodata."); ok && slices.Contains(e.names, owner) {
					continue // a jump table of its own
				}
				return false
			}
			x := sec.pieceAt(int64(r.off))
			if x == nil || x.ent != e && x.ent != from || x.ent == from && !r.isJump(sec.data) {
				return false
			}
		}
	}
	return true
}

// plainName takes the numbers off that compilers append to names (x.12, f.constprop.0), and keeps the words.
func plainName(name string) string {
	words := strings.Split(name, ".")
	out := words[:1]
	for _, w := range words[1:] {
		if !isNumber(w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, ".")
}

// withoutHash takes .llvm.N off the name of a local symbol that LLVM made global to split a unit or to optimise across units: N is
// made from the whole unit, so that it changes with anything in it (llvm/lib/Transforms/Utils/NameAnonGlobals, ThinLTO promotion).
func withoutHash(name string) string {
	i := strings.LastIndex(name, ".llvm.")
	if i <= 0 || !isNumber(name[i+len(".llvm."):]) {
		return name
	}
	return name[:i]
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

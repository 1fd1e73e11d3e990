package inject

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// Independence
//
// A patch can be taken out from under a later one if neither knows anything of the other. What runs then is no build that was ever compiled, so
// this is what has to be shown, by what the patches say of themselves (patch.Reach):
//
//   - no function is in both;
//   - no new body of the later one, and nothing that came with it, leads to a function or a variable of the one that goes, and no body that
//     comes back leads to a function or a variable of the later one: by calls and references, through unchanged functions and constants
//     too. So no body rests on what a compiler knew of another that is not there (-fipa-ra, dropped arguments, propagated constants);
//   - no function is inlined into bodies of both, and none that one of them changes is inlined into the other's;
//   - neither renews a constant or moves a variable, and neither needed the user's word: what that was about concerns the whole program.
//
// What two functions mean by a value that one leaves in a variable for the other, and a number that a macro or a folded constant has put into
// both, no reach set shows: that is the user's to know, and the report says so.

// notIndependent is what the help of a refusal says.
const notIndependent = "revert that one first, or both in one stop"

// independent checks that path[gone] of a module can be taken out from under path[stays]. Preconditions: both are in force, gone < stays.
func (v *moduleView) independent(gone, stays int) error {
	g, s := v.path[gone], v.path[stays]
	deny := func(format string, args ...any) error {
		later := fmt.Sprintf("patch %s in %s came later and is not shown to be independent of it: ", s.file.ID.Short(), v.m.name())
		return &patch.Refusal{What: "patch " + g.file.ID.Short(), Why: later + fmt.Sprintf(format, args...), Help: notIndependent}
	}
	for _, l := range []*link{g, s} {
		if why := l.concernsAll(); why != "" {
			return deny("patch %s %s", l.file.ID.Short(), why)
		}
	}
	for i := range g.e.Bodies {
		for k := range s.e.Bodies {
			if b := &g.e.Bodies[i]; b.Entry == s.e.Bodies[k].Entry {
				return deny("both have %s", b.Name)
			}
		}
	}
	if name := sharedInline(g.file.Patch, s.file.Patch); name != "" {
		return deny("both have code of %s, which is inlined", name)
	}
	from, to, err := v.leads(s.file.Patch, s.file.Reach.New, stays+1, g)
	if err != nil {
		return deny("%v", err)
	}
	if from != "" {
		return deny("its %s leads to %s, which patch %s brought or changed", from, to, g.file.ID.Short())
	}
	if from, to, err = v.leads(g.file.Patch, g.file.Reach.Old, gone, s); err != nil {
		return deny("%v", err)
	}
	if from != "" {
		return deny("%s, as it was before patch %s, leads to %s, which patch %s brought or changed", from, g.file.ID.Short(), to, s.file.ID.Short())
	}
	return nil
}

// concernsAll says what about a patch concerns the whole program, or that what it leads to is not known; "" if nothing does.
func (l *link) concernsAll() string {
	p := l.file.Patch
	if p.Reach.Unknown != "" {
		return "does not say all that its code leads to: " + p.Reach.Unknown
	}
	if len(p.Consts) > 0 {
		return fmt.Sprintf("renews the constant %s", p.Consts[0].Name)
	}
	if len(p.Moves) > 0 {
		return fmt.Sprintf("gives the variable %s another place", p.Moves[0].Name)
	}
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Verdict == patch.NeedAck {
			return fmt.Sprintf("needed the word %s for what can concern any code", c.Ack)
		}
	}
	return ""
}

// sharedInline names a function whose code is in bodies of both patches, of which at least one inlines it.
func sharedInline(p, q *patch.Patch) string {
	has := [2]map[string]bool{inlinedInto(p), inlinedInto(q)}
	for _, name := range p.Reach.Inlined {
		if has[1][oneStructor(name)] {
			return name
		}
	}
	for k, other := range []*patch.Patch{q, p} {
		for i := range other.Funcs {
			name := oneStructor(other.Funcs[i].Name)
			for at := 0; at <= len(name); at++ { // without what compilers append; a name can have dots of its own (Rust)
				if (at == len(name) || name[at] == '.') && has[k][name[:at]] {
					return name[:at]
				}
			}
		}
	}
	return ""
}

// inlinedInto returns the names of the functions that are inlined into a patch's bodies.
func inlinedInto(p *patch.Patch) map[string]bool {
	out := make(map[string]bool)
	for _, name := range p.Reach.Inlined {
		out[oneStructor(name)] = true
	}
	return out
}

// structors are the variants of C++ constructors and destructors in a mangled name (Itanium C++ ABI, 5.1.4.3). Debug information has all
// of them inlined under the name of one that stands for all, C4 or D4 with gcc.
var structors = regexp.MustCompile(`([CD])[0-5]([EI])`)

// oneStructor gives all variants of a constructor or destructor one name.
func oneStructor(name string) string {
	if !strings.HasPrefix(name, "_Z") {
		return name
	}
	return structors.ReplaceAllString(name, "${1}4${2}")
}

// leads finds a way from the code of p, by what it leads to in the build after path[:depth], to something of a link: it names both ends,
// or none.
func (v *moduleView) leads(p *patch.Patch, reach []patch.Reached, depth int, to *link) (from, name string, err error) {
	own := to.things()
	for _, r := range reach {
		at, err := v.walk(r.Addr, 1, depth, false)
		if err != nil {
			var no *patch.Refusal
			if errors.As(err, &no) {
				return "", "", fmt.Errorf("%s leads to %#x, of which it is not known where it is", p.Funcs[r.From].Name, uint64(r.Addr))
			}
			return "", "", err
		}
		if name := own.at(at); name != "" {
			return p.Funcs[r.From].Name, name, nil
		}
	}
	return "", "", nil
}

// things are the functions and variables of a patch in the process.
type things struct {
	entries map[arch.Addr]string
	ranges  []placedRange
}

// things returns what a patch changed, added or removed, and its payload.
func (l *link) things() things {
	t := things{entries: make(map[arch.Addr]string)}
	for i := range l.e.Bodies {
		t.entries[l.e.Bodies[i].Entry] = l.e.Bodies[i].Name
	}
	for i := range l.file.Symbols {
		if s := &l.file.Symbols[i]; s.Kind == patch.SymDefined {
			t.ranges = append(t.ranges, placedRange{Name: s.Name, Addr: l.e.Syms[i], Size: max(s.Size, 1)})
		}
	}
	t.ranges = append(t.ranges, placedRange{Name: "its payload", Addr: l.e.Base, Size: l.e.Size})
	return t
}

// at names what is at an address; "" if nothing is.
func (t *things) at(a arch.Addr) string {
	if name := t.entries[a]; name != "" {
		return name
	}
	for _, r := range t.ranges {
		if a >= r.Addr && a < r.end() {
			return r.Name
		}
	}
	return ""
}

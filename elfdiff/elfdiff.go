// Package elfdiff compares two linked builds of one program or library, function
// by function, and makes the patch that turns the first into the second.
//
// # The data flow
//
//	canonical form   a function with its parts, its instructions without addresses    unit.go
//	                   addresses that are the end of an object                        bound.go
//	                   exception tables                                               lsda.go
//	pair             which atom of the old build is which of the new one              pair.go
//	compare          functions, and the places that they refer to                     compare.go
//	                   data, constants without a name                                 content.go
//	                   data that no reference leads to                                unclaimed.go
//	                   code that is not understood                                    rawcode.go
//	explain          why a function differs                                           reason.go, align.go
//	                   functions inlined into it, line numbers, constants as text     inlined.go, linenumber.go, constant.go
//	judge            whether a change can be delivered: functions                     judge.go
//	                   data, and the file as a whole                                  judgedata.go, judgefile.go
//	                   what stays reachable by its address                            reach.go
//	                   names that stand for something else                            names.go
//	assemble         the patch                                                        assemble.go
//	                   code and objects with their relocations                        emit.go
//	                   constants without a name                                       block.go
//	                   thread-local variables                                         tls.go
//	                   variables of other modules                                     foreign.go
//	                   call frame information                                         frames.go
//
// # Proof and evidence
//
// Comparison goes forward, from a reference to the atom that it means, and never
// back from an address to whatever happens to lie there. Addresses never count; names
// and contents do. The result holds every function whose canonical form differs, so that the
// running code equals the new build's once the old bodies have been left: that is
// what makes interprocedural optimisation harmless, because a caller that was compiled with
// knowledge about a callee differs too.
//
// Proof is what the file itself says: relocations, the range of a symbol that holds an access of known width, the target of a branch.
// Everything else is evidence, and errs towards a change or a refusal, but for these, which can be wrong in silence:
//
//   - how an address is used tells the start of an object from the end of the one in front (image.Place, bound.go): where an
//     index counts up from below zero, the wrong one of the two is bound;
//   - a text without a name at the end of a named table is taken for itself (bound.go);
//   - tables of distances are recognised by their use, or by their name (content.go);
//   - a constant without a name ends where the next begins, and is carried with some of what follows (content.go, block.go);
//   - a constant that moved as far as a line of the function did is a line number (linenumber.go): the function stays as it was;
//   - in code that is not decoded, equal bytes at equal places are equal (rawcode.go).
//
// The package reads no process and writes no file.
package elfdiff

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Options says how to compare.
type Options struct {
	Acks  []string  // IDs of changes for which the user gives the word
	User  string    // recorded with the acknowledgements
	Date  time.Time // recorded with the acknowledgements
	Lines bool      // take functions that differ only in a line number into the patch

	Log   *slog.Logger                       // nil: silent
	Phase func(name string, d time.Duration) // called at the end of each phase, if not nil
}

// Counts sums up a comparison.
type Counts struct {
	Functions int `json:"functions"` // of the new build that were compared
	Equal     int `json:"equal"`
	Changed   int `json:"changed"`
	Added     int `json:"added"`
	Removed   int `json:"removed"`
	Line      int `json:"line"` // differ only in line numbers, and stay out of the patch
	Objects   int `json:"objects"`
}

// Result is what Diff found.
type Result struct {
	Patch       *patch.Patch   // nil if nothing differs or if none may be written
	Changes     []patch.Change // everything that differs, functions by address, then the rest
	Counts      Counts
	Missing     []string // IDs of acknowledgements that are needed and were not given
	Refused     int      // changes that cannot be delivered soundly
	UnknownAcks []string // IDs that were given and that no change asks for
	Layouts     string   // what is known about type layouts: today always that they were not checked
}

// Diff compares two builds. The images must be of one machine; that they are builds of
// the same program is assumed, not checked. An error means that there is no
// answer; a change that cannot be delivered is not an error but a refused change in the result.
func Diff(old, new *image.Image, opt Options) (*Result, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if old.Arch != new.Arch {
		return nil, fmt.Errorf("diff: %s is for %s, %s for %s: builds of one machine are needed", old.Path, old.Arch.Name, new.Path, new.Arch.Name)
	}
	if old.SONAME != new.SONAME {
		return nil, fmt.Errorf("diff: %s has SONAME %q, %s has %q: builds of one library are needed", old.Path, old.SONAME, new.Path, new.SONAME)
	}
	d := &differ{old: side{im: old}, new: side{im: new}, opt: opt}
	if err := d.phase("canonical form", d.canonicalize); err != nil {
		return nil, err
	}
	d.phase("pair", func() error { d.pair(); return nil })
	d.phase("compare", func() error { d.compare(); return nil })
	d.phase("judge", func() error { d.judge(); return nil })
	var p *patch.Patch
	if err := d.phase("assemble", func() (err error) { p, err = d.assemble(); return err }); err != nil {
		return nil, err
	}
	return d.result(p), nil
}

// side is one of the two builds with what the comparison knows about it.
type side struct {
	im        *image.Image
	units     []*unit                 // functions, by address
	start     []*unit                 // the start files' and the linker's code, which is not compared but refers to data, too
	of        map[*image.Atom]*unit   // every function atom, parts too
	users     map[*image.Atom][]*unit // the functions that refer to an atom
	taken     []arch.ImageAddr        // addresses that something takes, sorted
	relTables map[arch.ImageAddr]bool // tables of distances from their own start
	// takenData are those that words of data hold.
	takenData []arch.ImageAddr
}

// differ is the state of one comparison. Its fields are filled in the order of the phases.
type differ struct {
	opt      Options
	old, new side

	fwd map[*image.Atom]*image.Atom // old -> new, functions and objects
	rev map[*image.Atom]*image.Atom // new -> old
	amb map[*image.Atom]string      // unpaired atoms that could be one of several, and why that could not be told

	funcs   []*funcChange // what differs among functions
	objects []*objChange  // and among objects
	byNew   map[*unit]*funcChange
	objNew  map[*image.Atom]*objChange // by the new build's atom
	equal   int
	other   []patch.Change // constructors, the whole file

	stored  map[*image.Atom]string   // old atoms whose address is held somewhere, and where
	inbound map[*image.Atom][]uint32 // old functions: offsets behind the entry that others branch to
}

func (d *differ) phase(name string, f func() error) error {
	start := time.Now()
	err := f()
	if d.opt.Phase != nil {
		d.opt.Phase(name, time.Since(start))
	}
	return err
}

// canonicalize decodes both images and brings every function into canonical form, on all cores.
func (d *differ) canonicalize() error {
	for _, s := range []*side{&d.old, &d.new} {
		s.of = make(map[*image.Atom]*unit)
		s.users = make(map[*image.Atom][]*unit)
		for _, a := range s.im.Atoms {
			if !a.IsCode() || a.Parent != nil {
				continue
			}
			if a.Kind == image.Code {
				s.start = append(s.start, &unit{im: s.im, parts: []*image.Atom{a}})
				continue
			}
			u := &unit{im: s.im, parts: append([]*image.Atom{a}, a.Parts...)}
			slices.SortStableFunc(u.parts[1:], func(a, b *image.Atom) int { return strings.Compare(stripSuffix(a.Name), stripSuffix(b.Name)) })
			s.units = append(s.units, u)
			for _, p := range u.parts {
				s.of[p] = u
			}
		}
	}
	all := slices.Concat(d.old.units, d.new.units, d.old.start, d.new.start)
	parallel(len(all), func(i int) { all[i].canonicalize() })
	for _, s := range []*side{&d.old, &d.new} {
		s.relTables = make(map[arch.ImageAddr]bool)
		for _, u := range s.units {
			for _, addr := range u.relTables {
				s.relTables[addr] = true
			}
			seen := make(map[*image.Atom]bool)
			for i := range u.refs {
				p := u.refs[i].place
				if u.refs[i].kind != image.RefMem {
					s.taken = append(s.taken, p.Addr)
				}
				a := p.Atom
				if a != nil && !seen[a] {
					seen[a] = true
					s.users[a] = append(s.users[a], u)
				}
			}
		}
		s.takenByData()
		slices.Sort(s.taken)
		s.takenByTables()
		s.taken = slices.Compact(s.taken)
	}
	return nil
}

// takenByData adds the addresses that relocated words hold, and those of jump tables.
func (s *side) takenByData() {
	for _, r := range s.im.DynRelocs(0, ^arch.ImageAddr(0)) {
		if r.Sym == "" && r.Size == 8 {
			s.takenData = append(s.takenData, arch.ImageAddr(r.Addend))
		}
	}
	for _, r := range s.im.LinkRelocs(0, ^arch.ImageAddr(0)) {
		if sec := s.im.SectionAt(r.Addr); sec != nil && !sec.Exec() && !r.TLS && !r.Undef {
			s.takenData = append(s.takenData, r.Value+arch.ImageAddr(r.Addend))
		}
	}
	s.taken = append(s.taken, s.takenData...)
	for _, u := range s.start {
		for i := range u.refs {
			if u.refs[i].kind != image.RefMem {
				s.taken = append(s.taken, u.refs[i].place.Addr)
			}
		}
	}
	for _, u := range slices.Concat(s.units, s.start) {
		for _, t := range u.tables() {
			s.taken = append(s.taken, t.Addr)
		}
	}
}

// takenByTables adds what the entries of relative tables lead to. The addresses so far are sorted.
func (s *side) takenByTables() {
	var more []arch.ImageAddr
	add := func(a *image.Atom) {
		for _, r := range s.im.RelativeRefs(a) {
			more = append(more, r.Place.Addr)
		}
	}
	for addr := range s.relTables {
		if s.im.AtomAt(addr) == nil {
			add(s.anon(addr))
		}
	}
	for _, a := range s.im.Atoms {
		if s.relative(a) {
			add(a)
		}
	}
	s.taken = append(s.taken, more...)
	slices.Sort(s.taken)
}

// parallel calls f(0) .. f(n-1) on all cores.
func parallel(n int, f func(i int)) {
	workers := runtime.GOMAXPROCS(0)
	const chunk = 64
	next := make(chan int, n/chunk+1)
	for i := 0; i < n; i += chunk {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for lo := range next {
				for i := lo; i < min(lo+chunk, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}

// sameBuild reports whether both files are the same build.
func (d *differ) sameBuild() bool {
	return d.old.im.HasBuildID && d.new.im.HasBuildID && bytes.Equal(d.old.im.BuildID, d.new.im.BuildID)
}

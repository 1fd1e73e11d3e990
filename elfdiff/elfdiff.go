// Package elfdiff compares two linked builds of one program or library, function
// by function, and makes the patch that turns the first into the second.
//
// # The data flow
//
//	canonical form   what is known about one build                                     side.go
//	                   a function with its parts, its instructions without addresses  unit.go, canonical.go
//	                   what its operands name                                         reference.go
//	                   addresses that are the end of an object                        bound.go
//	                   pairs of instructions that a linker made shorter               widen.go
//	                   exception tables                                               lsda.go
//	pair             which atom of the old build is which of the new one              pair.go
//	                   by the same places of what is paired                           position.go
//	compare          functions, and the places that they refer to                     compare.go
//	                   data, constants without a name                                 content.go
//	                   data that no reference leads to                                unclaimed.go
//	                   code that is not understood                                    rawcode.go
//	                   functions without a byte, copies of inline functions           empty.go, copies.go
//	                   addresses that may mean one object before and another now      exchanged.go
//	explain          why a function differs                                           explain.go, align.go, shape.go
//	                   what only one of two bodies uses                               uses.go
//	                   functions inlined into it, and what is the cause of what       inlined.go, cause.go
//	                   line numbers, operands in words                                linenumber.go, reason.go, constant.go
//	judge            whether a change can be delivered: functions                     judge.go
//	                   data, and the file as a whole                                  judgedata.go, judgefile.go
//	                   data with a new place, and all that leads to it                moved.go
//	                   by a base outside of it                                        movedbase.go
//	                   data that the new code needs aligned                           aligned.go
//	                   labels as values                                               labels.go
//	                   what a running program has done already                        startup.go
//	                   what stays reachable by its address                            reach.go
//	                   what the code of a patch leads to                              reachset.go
//	                   names that stand for something else                            names.go
//	                   layouts of types, by package types                             layout.go, judgetype.go
//	                   that nothing is to be said of types                            judgetwin.go
//	assemble         the patch                                                        assemble.go
//	                   code and objects with their relocations                        emit.go
//	                   addresses in two parts, and distances from them                pages.go
//	                   branches that reach too short                                  far.go
//	                   what these lead to in the running process                      bind.go
//	                   addresses beside objects                                       beside.go
//	                   and those that words of data hold                              besideword.go
//	                   what programs walk through, by its type                        walked.go
//	                   constants without a name                                       block.go
//	                   and those that lie where a program could write                 nameless.go
//	                   thread-local variables                                         tls.go
//	                   variables of other modules                                     foreign.go
//	                   addresses of programs linked for a fixed one                   fixed.go
//	                   call frame information                                         frames.go
//	report           what differs, with causes that have numbers                      entry.go, report.go
//	                   both bodies of a function, and what stands beside them         notes.go
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
//   - an address that code takes and that goes into the payload may be meant for any object that the source can name (beside.go). It is bound if the code
//     accesses memory at it, by what is accessed; if all that it may mean has the same place in the running process; or if the same operand of the
//     old body, by the alignment of the two, means one of these things and none of the others; else it is refused. What it may mean are objects that hold
//     the address or end there, and, unless it is only passed on or stored, those within reach: 16 KiB, 1 KiB where an object begins just there, 64 bytes where
//     a text stands there. A base that is further outside of its array (a[x - 5000]) is bound to whatever lies there; where an object
//     gets a new place and both builds have the address within it or at most 64 bytes in front of it, what is further away does not count. By their types in the DWARF data,
//     numbers and pointers count only if they end at the address; __func__ and its like and guards never do;
//   - that an operand of two bodies has one reading in common is taken to show that it was not edited, unless one object of the old build and another one of
//     the new end there, or lie at the same distance (64 bytes at most): exchanged.go. Such functions count as changed, and are refused;
//   - words of data that the patch carries or renews are held to the same, by the old build's same word (besideword.go), where they hold the end of an object
//     with a name; one that is the end of a constant without a name is taken for the start of what lies behind it. An object whose words have a reading
//     in common with the old build's counts as equal;
//   - an unchanged function that refers to an object with a new place by nothing but a base outside of it, or its end, is carried if it means nothing
//     else, and else asked about (movedbase.go). A base that is the start of another array, or lies at most 64 bytes in front of one, is taken for that
//     one's; one at a constant without a name that both builds have, for that. Where a variable shrank, an unchanged function that takes nothing
//     but its end, where something else begins in both builds, goes on with the old end;
//   - tables of distances are recognised by their use, or by their name (content.go);
//   - a constant without a name ends where the next begins, and is carried with some of what follows (content.go, block.go);
//   - data without a name where the program could write is taken for the old build's if the same operand leads as far into the same run of such data, with the same
//     first values. Where only some objects of the program were linked without their local names, two variables could have been exchanged there (nameless.go);
//   - a constant that moved as far as a line of the function did is a line number (linenumber.go): the function stays as it was;
//   - in a program that is linked for a fixed address and has no relocations, a field is an address if the old build has another value that leads
//     to the same thing (fixed.go): a number would have to be edited by just as much. A field whose value lies more than 64 KiB beside all segments is
//     a number, also where a compiler made it of an address, as in p - list + 100000, which is (list - 100000) subtracted from p;
//   - in a function whose labels are values, an indirect jump is taken to go to one of them, and not to pass their table on (image.PointerFlow);
//   - in code that is not decoded, equal bytes at equal places are equal (rawcode.go);
//   - a type is taken to live on the stacks of replaced functions only if no variable, member or local pointer leads to it in the DWARF data
//     (judgetype.go): what a void pointer or a cast hides is not seen.
//
// The package reads no process and writes no file.
package elfdiff

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Options says how to compare.
type Options struct {
	Acks  []string  // IDs of changes for which the user gives the word
	User  string    // recorded with the acknowledgements
	Date  time.Time // recorded with the acknowledgements
	Lines bool      // take functions that differ only in a line number into the patch

	// Only names the changed functions that go into the patch, or Skip those that stay out of it, by link names or whatever Named takes
	// for one. Functions that are left out break the proof that the running code equals the new build's: each asks for the word skip:NAME,
	// or all of them for only:NAMES.
	Only, Skip []string
	Named      func(link, name string) bool // reports whether a name means a link name; nil: equal ones do

	Log   *slog.Logger                       // nil: silent
	Begin func(name string)                  // called at the start of each phase, if not nil
	Phase func(name string, d time.Duration) // called at the end of each, and for parts of it: "explain/debug information of old"
}

// Counts sums up a comparison.
type Counts struct {
	Functions int `json:"functions"` // of the new build that were compared
	Equal     int `json:"equal"`
	Changed   int `json:"changed"`
	Added     int `json:"added"`
	Removed   int `json:"removed"`
	Line      int `json:"line"`     // differ only in line numbers, and stay out of the patch
	LeftOut   int `json:"left_out"` // differ, and stay out of the patch by [Options.Only] or [Options.Skip]
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
	d           *differ
	// Layouts says whether the layouts of types were compared: [LayoutsChecked], [LayoutsNotNeeded], "partly: " and what is missing, or
	// "unchecked: " and why.
	Layouts string
	Types   []TypeChange // types that differ, by name; they are among Changes, too
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
	return d.answer()
}

// answer goes on from the canonical forms to the result.
func (d *differ) answer() (*Result, error) {
	d.phase("pair", func() error { d.pair(); return nil })
	d.phase("compare", func() error { d.compare(); return nil })
	d.phase("explain", func() error { d.explain(); return nil })
	for _, s := range []*side{&d.old, &d.new} {
		if d.opt.Phase != nil {
			d.opt.Phase("explain/debug information of "+map[*side]string{&d.old: "old", &d.new: "new"}[s], s.im.DebugTime())
		}
	}
	if err := d.leaveOut(); err != nil {
		return nil, err
	}
	d.startTypes()
	d.phase("judge", func() error { d.judge(); return nil })
	var p *patch.Patch
	if err := d.phase("assemble", func() (err error) { p, err = d.assemble(); return err }); err != nil {
		return nil, err
	}
	d.phase("types", func() error { d.judgeTypes(); d.judgeGrown(); d.judgeMeetings(); return nil })
	return d.result(p), nil
}

// differ is the state of one comparison. Its fields are filled in the order of the phases.
type differ struct {
	opt      Options
	old, new side

	fwd matches // old -> new, functions and objects
	rev matches // new -> old

	starts map[*image.Atom]bool   // functions of the old build that threads begin with; nil: not looked for
	amb    map[*image.Atom]string // unpaired atoms that could be one of several, and why that could not be told

	funcs   []*funcChange // what differs among functions
	objects []*objChange  // and among objects
	byNew   map[*unit]*funcChange
	objNew  map[*image.Atom]*objChange // by the new build's atom
	equal   int
	payload map[*image.Atom]int // what the patch carries, and its symbol; see [differ.assemble]
	other   []patch.Change      // constructors, the whole file
	layouts layouts             // types

	stems         map[string][]*unit       // the new build's functions by their name in the source; see [differ.bodies]
	inlineChanges []*inlineChange          // functions that exist only where they are inlined, in a fixed order
	inlineRoots   map[string]*inlineChange // and by name

	shiftsOld, shiftsNew *shifts // data objects of both builds

	labels  map[*image.Atom]*unit    // tables of labels of the new build, and the functions that they belong to
	once    map[*unit]bool           // functions of the old build that run at most once; see onceOnly
	stored  map[*image.Atom]string   // old atoms whose address is held somewhere, and where
	inbound map[*image.Atom][]uint32 // old functions: offsets behind the entry that others branch to
}

func (d *differ) phase(name string, f func() error) error {
	if d.opt.Begin != nil {
		d.opt.Begin(name)
	}
	start := time.Now()
	err := f()
	if d.opt.Phase != nil {
		d.opt.Phase(name, time.Since(start))
	}
	return err
}

// parallel calls f(0) .. f(n-1) on all cores, where each worker has an f of its own.
func parallel(n int, worker func() (f func(i int))) {
	chunk := min(64, n/(4*runtime.GOMAXPROCS(0))+1) // small enough that all cores have work
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			f := worker()
			for {
				hi := int(next.Add(int64(chunk)))
				for i := hi - chunk; i < min(hi, n); i++ {
					f(i)
				}
				if hi >= n {
					return
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

// identical reports whether both files are the same build and say the same, byte by byte. Then no function differs, not even one that can
// only be compared in part: data among hand-written code, to which other code refers, is like nothing else.
func (d *differ) identical() bool {
	return d.sameBuild() && slices.EqualFunc(d.old.im.Sections, d.new.im.Sections, func(a, b *image.Section) bool {
		return a.Name == b.Name && a.Addr == b.Addr && a.Size == b.Size && bytes.Equal(a.Data, b.Data)
	})
}

package inject

import (
	"debug/elf"
	"log/slog"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
	"hotpatch/ptrace/unwind/cfi"
)

// activeness decides in the stop whether a thread is in code that is about to change. Everything that
// takes time or memory (call frame information, the tables of targets) is made before.
//
// It belongs to one plan and is not used beyond it, because its checker remembers what stood in the text. While
// it is used the text does not change: between two stops the process is traced by us, so that no other tracer can write to it;
// modules that are loaded or unloaded, or code whose protection changes, change the fingerprint of the
// mappings, which ends the plan before the check; and the plan's own writes end it as well, whether they succeed or are undone.
type activeness struct {
	checker *unwind.Checker
	space   *unwind.Space
	names   *symbolizer
	targets []target
	thread  unwind.Thread
	stacks  [maxStacks]unwind.Stack
	ahead   prefetch
	busy    []busyThread  // of the last check
	goals   []ptrace.Goal // as busy: where each of them is idle again
	proofs  []proof       // of the idle threads of the last check, as far as there is room
	strange []strangeThread
	stays   *unwind.Checker // tells who stays active in what may; nil: nothing may
	staying []stayingThread // of the last check
}

// busyThread is a finding as the stop leaves it, to be described once the process runs again.
type busyThread struct {
	tid int
	act unwind.Activity // Frames: of the first maxBusy threads only
}

// maxBusy is how many busy threads are described with their stacks.
const maxBusy = 16

// readSpaces describes the modules of a process to the unwinder. It works in the background, on all processors:
// parsing the call frame information is most of what a plan costs. The answer is on the channel.
func readSpaces(a *arch.Arch, snap *snapshot, log *slog.Logger) <-chan []unwind.Module {
	now := *snap // a plan may look at the memory as it will be (afterwards)
	snap = &now
	out := make([]unwind.Module, len(snap.mods))
	done := make(chan []unwind.Module, 1)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(out); i = int(next.Add(1)) - 1 {
				out[i] = moduleSpace(a, snap, snap.mods[i], log)
			}
		})
	}
	go func() {
		wg.Wait()
		done <- out
	}()
	return done
}

// newActiveness prepares the check of a plan. modules are the answer of readSpaces.
func newActiveness(pl *plan, p *ptrace.Process, modules []unwind.Module, opt *Options, log *slog.Logger) (*activeness, error) {
	a := &activeness{targets: pl.targets, space: &unwind.Space{Arch: pl.arch, Modules: modules}}
	a.ahead = newPrefetch(p.PID)
	a.busy, a.goals = make([]busyThread, 0, cap(a.ahead.ranges)), make([]ptrace.Goal, 0, cap(a.ahead.ranges))
	a.proofs = make([]proof, 0, cap(a.ahead.ranges)+slack)
	a.strange = make([]strangeThread, 0, strangeRoom)
	a.names = &symbolizer{opt: opt, mem: pl.snap.mem, mods: pl.snap.mods}
	for _, v := range pl.views {
		for _, list := range [][]*link{v.chain, v.idle, v.mixed, v.remnants} {
			for _, l := range list {
				a.payload(pl, l, log)
			}
		}
	}
	sort.Slice(a.space.Modules, func(i, k int) bool { return a.space.Modules[i].Start < a.space.Modules[k].Start })
	entries, err := trueEntries(pl.arch, pl.snap.mem, pl.targets)
	if err != nil {
		return nil, err
	}
	targets := make([]unwind.Target, len(pl.targets))
	for i, t := range pl.targets {
		targets[i] = unwind.Target{Range: unwind.Range{Start: t.Addr, End: t.end()}, Name: t.Name, Entries: entries[i]}
	}
	if err := a.space.FindVeneers(targets, pl.snap.mem); err != nil {
		return nil, err
	}
	a.checker = unwind.NewChecker(a.space, targets)
	return a, a.prepareStaying(pl)
}

// moduleSpace describes a module to the unwinder. Without readable call frame information nothing is proven through it,
// which makes threads count as active that may not be.
func moduleSpace(a *arch.Arch, snap *snapshot, m *module, log *slog.Logger) unwind.Module {
	u := unwind.Module{Range: unwind.Range{Start: m.Start, End: m.End}, Bias: m.Bias, Name: m.name()}
	for i := range snap.maps {
		mp := &snap.maps[i]
		if mp.Perm&ptrace.PermExec != 0 && mp.Start >= m.Start && mp.Start < m.End {
			u.Exec = append(u.Exec, unwind.Range{Start: mp.Start, End: min(mp.End, m.End)})
		}
	}
	data, addr, err := m.ehFrame(snap.mem)
	if err == nil && data != nil {
		u.CFI, err = cfi.Parse(a, data, addr, order)
	}
	if err != nil {
		log.Warn("call frame information cannot be used", "module", m.Path, "err", err)
	}
	if err := findBare(a, snap, m, &u); err != nil {
		log.Warn("functions without call frame information cannot be looked at", "module", m.Path, "err", err)
	}
	return u
}

// findBare looks, by their symbols, for functions of a module without call frame information that are understood all the same: the vDSO of arm64
// has none.
func findBare(a *arch.Arch, snap *snapshot, m *module, u *unwind.Module) error {
	if u.CFI != nil || a.Unwind.Touches == nil {
		return nil
	}
	own := *m // the plan reads m at the same time
	own.dyn = nil
	d, err := own.symbols(snap.mem)
	if err != nil || d == nil {
		return err
	}
	var syms []elf.Symbol
	for i := range d.syms {
		if s := &d.syms[i]; s.defined() {
			syms = append(syms, elf.Symbol{Name: s.Name, Value: uint64(s.Value), Size: s.Size})
		}
	}
	return u.FindBare(a, syms, snap.mem)
}

// payload describes an earlier patch's payload to the unwinder. Two journals may share one.
func (a *activeness) payload(pl *plan, l *link, log *slog.Logger) {
	u := unwind.Module{Range: unwind.Range{Start: l.e.Base, End: l.e.Base + arch.Addr(l.e.Size)}, Name: "patch " + l.file.ID.Short()}
	for _, m := range a.space.Modules {
		if m.Start < u.End && u.Start < m.End {
			return
		}
	}
	for _, s := range l.e.Segs {
		mp := mappingAt(pl.snap.maps, s.Addr)
		if s.Kind == patch.Text && (mp == nil || mp.Perm != segPerm(patch.Text)) {
			return // it is not there any more
		}
		if s.Kind == patch.Text {
			u.Exec = append(u.Exec, unwind.Range{Start: s.Addr, End: s.Addr + arch.Addr(s.Size)})
		}
	}
	if n := l.e.Frames.Size; n > 0 && n <= l.e.Size {
		data, err := readBytes(pl.snap.mem, l.e.Frames.Addr, int(n))
		if err == nil {
			u.CFI, err = cfi.Parse(pl.arch, data, arch.ImageAddr(l.e.Frames.Addr), order)
		}
		if err != nil {
			log.Warn("call frame information cannot be used", "payload", u.Name, "err", err)
		}
	}
	a.space.Modules = append(a.space.Modules, u)
	a.names.links = append(a.names.links, l)
}

// check looks at every thread and reports whether one is active. Preconditions: all are stopped; table
// holds the mappings as they are now.
func (a *activeness) check(s *ptrace.Stopped, table *spanTable, pid int) bool {
	a.busy, a.goals, a.proofs, a.strange = a.busy[:0], a.goals[:0], a.proofs[:0], a.strange[:0]
	a.space.PACMask = s.PACMasks().Code // which no thread has told before it is stopped
	a.ahead.read(s, a.space.Arch, table, pid)
	for i := range s.Threads {
		th := &s.Threads[i]
		if th.NoUser {
			continue
		}
		if s.Over() { // a stack in a large mapping takes long; the caller asks again
			break
		}
		if act := a.look(a.checker, s, i, table, pid); act.Active {
			a.found(th.TID, act)
		} else {
			a.idle(th.TID, &act)
			a.strangeStack()
		}
	}
	return len(a.busy) > 0
}

// look checks one stopped thread.
func (a *activeness) look(c *unwind.Checker, s *ptrace.Stopped, i int, table *spanTable, pid int) unwind.Activity {
	a.fill(&s.Threads[i], table, pid)
	a.ahead.thread(i)
	act := c.Check(&a.thread, &a.ahead)
	if a.space.Arch.DWARF.VG == 0 || !act.Active || act.Frames[len(act.Frames)-1].Last {
		return act
	}
	// The size of a frame may depend on the length of vectors, for which the kernel is asked only where that can make a difference.
	vg, ok := s.Threads[i].VG()
	if !ok {
		return act
	}
	a.thread.Regs.Set(cfi.VG, vg)
	return c.Check(&a.thread, &a.ahead)
}

// found enters a busy thread.
func (a *activeness) found(tid int, act unwind.Activity) {
	g, _ := a.goal(tid, act.Frames)
	if len(a.busy) >= maxBusy {
		act.Frames = nil
	}
	a.busy, a.goals = append(a.busy, busyThread{tid: tid, act: act}), append(a.goals, g)
}

// goal returns where a thread with the given frames, innermost first, is when the outermost of them that is in a target has returned, and
// that frame's index. What keeps a thread busy that has no such frame is not known, and neither is where it goes from there.
func (a *activeness) goal(tid int, frames []unwind.Frame) (ptrace.Goal, int) {
	g, at := ptrace.Goal{TID: tid}, -1
	for i := range frames {
		f := &frames[i]
		pc := f.PC
		if f.Return {
			pc--
		}
		if !a.inTarget(pc) || f.CFA == 0 {
			continue
		}
		g.SP, g.PC, at = f.CFA, 0, i
		if i+1 < len(frames) && frames[i+1].Return {
			g.PC = frames[i+1].PC
		}
	}
	return g, at
}

// inTarget reports whether an instruction is in code that is about to change.
func (a *activeness) inTarget(pc arch.Addr) bool {
	for i := range a.targets {
		if t := &a.targets[i]; pc >= t.Addr && pc < t.end() {
			return true
		}
	}
	return false
}

// fill makes a.thread from a stopped thread.
func (a *activeness) fill(th *ptrace.Thread, table *spanTable, pid int) {
	regs := th.Regs()
	a.thread.TID = th.TID
	a.thread.Regs.Has = 0
	for n := range regs.NumDWARF() {
		if v, ok := regs.DWARF(n); ok {
			a.thread.Regs.Set(n, v)
		}
	}
	a.thread.Stacks = table.stacksOf(a.stacks[:0], regs.SP(), th.FSBase, th.TID == pid)
}

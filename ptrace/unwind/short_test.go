//go:build linux

package unwind_test

import (
	"debug/elf"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/unwind"
)

// extent is which instructions of a program a run looks at.
type extent int

const (
	whole    extent = iota
	fromMain        // from main to its end
	short           // the same, and of the program's own functions, those of libgcc's that the compiler calls, and the stubs between them and the C library
)

// shorten brings the tracee to main, and notes what it is to step through. What called main is walked, but not counted.
func (s *stepper) shorten(im image, tt *stepTest) {
	s.t.Helper()
	s.toMain(im)
	if tt.extent == fromMain {
		return
	}
	for _, name := range ownFunctions(s, tt) {
		if sym, ok := im.syms[name]; ok {
			start := arch.ImageAddr(sym.Value).In(im.bias)
			s.own = append(s.own, unwind.Range{Start: start, End: start + arch.Addr(sym.Size)})
		}
	}
	for name, r := range im.sections {
		if name == ".plt" || strings.HasPrefix(name, ".plt.") {
			s.own = append(s.own, r)
		}
	}
}

// toMain lets the tracee run to main.
func (s *stepper) toMain(im image) {
	s.t.Helper()
	main, ok := im.syms["main"]
	if !ok {
		s.t.Fatal("no function main")
	}
	s.runTo(arch.ImageAddr(main.Value).In(im.bias))
	regs := s.regs()
	s.calls = []call{s.called(&regs)}
	d := regs.dwarf()
	frames := 0
	err := s.space.Walk(&d, s.tracee, func(*unwind.Frame) bool { frames++; return true })
	if s.open = errors.Is(err, unwind.ErrNoCFI); err != nil && !s.open || frames < 2 {
		s.t.Fatalf("at main: %d frames, %v", frames, err)
	}
	s.main, s.outer = true, frames-len(s.calls)-1
}

// ownFunctions returns the functions that a program has of its own source, and libgcc's.
func ownFunctions(s *stepper, tt *stepTest) (names []string) {
	flags := slices.DeleteFunc(slices.Clone(tt.flags), func(f string) bool { return f == "-static" })
	f, err := elf.Open(victim.Build(s.t, tt.cc, []string{"unwind/" + tt.source}, append(flags, "-c")...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sym := range syms {
		if kind := elf.ST_TYPE(sym.Info); kind == elf.STT_FUNC || kind == elf.STT_NOTYPE && strings.HasPrefix(sym.Name, "__aarch64_") {
			names = append(names, sym.Name)
		}
	}
	return names
}

// inLibrary reports whether control has gone into a library, from where it will return to the program.
func (s *stepper) inLibrary(pc arch.Addr) bool {
	return s.own != nil && len(s.calls) > 0 && !s.calls[len(s.calls)-1].signal && !runsAt(s.own, pc)
}

// returned lets the tracee run until the innermost call has returned; false: it has ended.
func (s *stepper) returned() bool {
	top := s.calls[len(s.calls)-1]
	s.calls = s.calls[:len(s.calls)-1]
	if !s.runOrEnd(top.pc) {
		return false
	}
	if sp := s.tracee.sp(); sp != top.cfa {
		s.t.Fatalf("running to %#x: sp %#x, want %#x", top.pc, sp, top.cfa)
	}
	return true
}

// finish lets the tracee run to its end.
func (s *stepper) finish() {
	if err := unix.PtraceCont(s.pid, 0); err != nil {
		s.t.Fatal(err)
	}
	if ws := s.wait(); !ws.Exited() {
		s.t.Fatalf("behind main: %v", ws)
	}
}

// Package unwind finds out what a stopped thread is executing: it walks stacks by call
// frame information, and decides whether a thread is active in code that is about to
// be replaced.
//
// # Activeness
//
// [Checker.Check] compares every register and every word of a thread's stack with the
// replaced ranges. If nothing matches, no return address leads there and the thread is idle,
// whatever code it runs and whether or not that code has call frame information. This
// is the usual case, and the only one that has to be quick.
//
// A match is dismissed as a stale word only if the walk from the program counter to the thread's
// start is complete and consistent: each frame is found by an FDE, each return
// address stands behind a call instruction that can lead to the frame below (see lead.go for
// what that means), no frame lies in a replaced range, and every matching word
// lies within one of the frames walked, where nothing else claims to be the
// frame's return address. Whatever cannot be shown counts as active.
//
// # Words that are not return addresses
//
// A return address into a function follows a call in it, so it is greater than the
// function's start; it equals the function's end if the function ends with a call that does
// not return. A word that equals a function's start is therefore a function
// pointer, or a return address of the function that ends there; in neither case will anything return to
// it. The same holds for the place of a jump behind a landing pad, since a landing pad
// is not a call. As a program counter, both are places from which the thread
// goes into the new code. Such places are the target's Entries. A word that equals a
// range's end counts only if the bytes in front of it can be a call.
//
// # Limits
//
// Frames of contexts that a program switches between by itself (makecontext, fibers) are
// seen only if they lie in a stack that the caller names. If such a context's stack is a part of the
// thread's own one, above other frames that are alive, these are missed. For alternate
// stacks of signals the scan takes care of that, as far as call frame information
// shows where handlers return to (augmentation 'S'; glibc has it), or signal frames have a mark (arm64). A signal that interrupted
// a stack that the caller does not name makes the thread active.
//
// A return address that is in a vector register only is not seen: compilers keep none there.
//
// The package is pure: memory is read through [cfi.Memory].
package unwind

import (
	"fmt"
	"sort"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Range is a half-open range of addresses in the target.
type Range struct{ Start, End arch.Addr }

// Contains reports whether a lies in the range.
func (r Range) Contains(a arch.Addr) bool { return a >= r.Start && a < r.End }

// Module is an image mapped in the process, or another piece of code with call frame information.
type Module struct {
	Range            // from the first to the last mapped byte
	Exec  []Range    // the executable parts, in increasing order
	Bias  arch.Addr  // address = image address + Bias
	CFI   *cfi.Table // nil: none
	Name  string     // for messages

	// Functions without call frame information that are understood all the same: see FindBare.
	Bare       []Range // that never have a frame
	Sigreturns []Range // that handlers of signals return to
}

// executable reports whether a lies in an executable part of m.
func (m *Module) executable(a arch.Addr) bool {
	_, ok := m.execRange(a)
	return ok
}

// execRange returns the executable part of m that holds a.
func (m *Module) execRange(a arch.Addr) (Range, bool) {
	for _, r := range m.Exec {
		if r.Contains(a) {
			return r, true
		}
	}
	return Range{}, false
}

// Space is the code of a process.
type Space struct {
	Arch    *arch.Arch
	Modules []Module // in increasing Start order, not overlapping

	// PACMask has the bits of a code pointer that may hold a signature (arm64, insn_mask of NT_ARM_PAC_MASK). They
	// are taken for zero in return addresses and in all words that are compared with addresses,
	// whether or not call frame information says that they are signed. Zero where nothing is signed. It may be set as late as
	// before a [Checker.Check].
	PACMask uint64
}

// find returns the index of the module that holds a, or -1.
func (s *Space) find(a arch.Addr) int {
	i := sort.Search(len(s.Modules), func(i int) bool { return s.Modules[i].Start > a }) - 1
	if i < 0 || !s.Modules[i].Contains(a) {
		return -1
	}
	return i
}

// Frame is one activation of a function, or the place where a signal interrupted one.
type Frame struct {
	PC  arch.Addr
	CFA arch.Addr // canonical frame address; zero if it could not be computed

	// Return: PC is a return address, so that the call in front of it is what the frame
	// is executing. Otherwise PC is the instruction that comes next.
	Return bool
	Signal bool     // the frame is the kernel's signal frame; the next one was interrupted by it
	Last   bool     // the thread's start: the frame has no caller
	Module int      // index in Space.Modules; -1: none
	FDE    *cfi.FDE // nil: there is none; the frame is that of a stub or the like, or it could not be left
	Regs   cfi.Regs

	bare Range     // the code, where it has no FDE and is understood
	push arch.Addr // bytes between the CFA as call frame information has it and the caller's stack pointer
}

// lookup returns the address that decides to which function the frame belongs. Behind
// a call at the very end of a function, PC itself belongs to the next one.
func (f *Frame) lookup() arch.Addr {
	if f.Return {
		return f.PC - 1
	}
	return f.PC
}

// sp returns the stack pointer of the frame.
func (f *Frame) sp(a *arch.Arch) arch.Addr { return arch.Addr(f.Regs.Val[a.DWARF.SP]) }

// WalkError says where and why a walk ended before the thread's start.
type WalkError struct {
	Depth  int // frames above the one that could not be left
	PC     arch.Addr
	Module string // "": none
	Err    error
}

func (e *WalkError) Error() string {
	if e.Module == "" {
		return fmt.Sprintf("frame %d: pc %#x: %v", e.Depth, e.PC, e.Err)
	}
	return fmt.Sprintf("frame %d: pc %#x in %s: %v", e.Depth, e.PC, e.Module, e.Err)
}

func (e *WalkError) Unwrap() error { return e.Err }

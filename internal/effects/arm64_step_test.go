//go:build linux && arm64

package effects

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
)

// machine is the architecture that is tested.
var machine = arm64.Arch

// Numbers of registers: x0 to x30 and sp, then v0 to v31.
const (
	numGPR  = 32
	numRegs = 64
	regSP   = 31
	scratch = 16 // x16, which is nobody's where a gate stands
)

// state is what a thread's registers hold, by bit of an arch.RegSet.
type state struct {
	general [34 * 8]byte     // struct user_pt_regs: x0 to x30, sp, pc, pstate
	vector  [32*16 + 16]byte // struct user_fpsimd_state: v0 to v31, fpsr, fpcr
}

// Note types of linux/elf.h.
const (
	ntPRStatus = 1
	ntPRFPReg  = 2
)

func (x *state) word(i int) uint64 { return binary.LittleEndian.Uint64(x.general[8*i:]) }

func (x *state) value(n int) [2]uint64 {
	if n < numGPR {
		return [2]uint64{x.word(n)}
	}
	v := x.vector[16*(n-numGPR):]
	return [2]uint64{binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])}
}

// flip changes all bits of a register. Of none only the lowest byte matters to an instruction.
func (x *state) flip(n int, _ bool) {
	b := x.vector[16*max(n-numGPR, 0):][:16]
	if n < numGPR {
		b = x.general[8*n:][:8]
	}
	for i := range b {
		b[i] ^= 0xff
	}
}

func (x *state) pc() uint64 { return x.word(32) }

// flags returns N, Z, C and V of PSTATE.
func (x *state) flags() uint64 { return x.word(33) >> 28 }

// copyTo copies a state into another place.
func (x *state) copyTo(to *state) { *to = *x }

func (s *stepper) get(x *state) {
	s.regset(unix.PTRACE_GETREGSET, ntPRStatus, x.general[:])
	s.regset(unix.PTRACE_GETREGSET, ntPRFPReg, x.vector[:])
}

func (s *stepper) set(x *state) {
	s.regset(unix.PTRACE_SETREGSET, ntPRStatus, x.general[:])
	s.regset(unix.PTRACE_SETREGSET, ntPRFPReg, x.vector[:])
}

// repeatable reports whether an instruction may be executed again with other registers: it writes no memory, and gives the same every time.
func repeatable(code []byte, in *arch.Inst, _ string) bool {
	d, err := arm64.Decode(code)
	if err != nil || in.Flow != arch.FlowNext && in.Flow != arch.FlowBranch || d.Store {
		return false
	}
	w := binary.LittleEndian.Uint32(code)
	system := w>>22 == 0xd5000000>>22 && w>>12 != 0xd5032 // but for hints
	return !system && w&0x3f000000 != 0x19000000          // and for copies of memory
}

// together returns which registers are changed at a time: all, and every other one. Steps are dear under emulation.
func together(regs arch.RegSet) []arch.RegSet {
	const even = 0x5555555555555555
	return []arch.RegSet{regs, regs & even, regs.Minus(even)}
}

// stopsOf returns how often a thread stops when it executes an instruction step by step: of a system call the kernel tells the end of
// the call, with x7 changed as long as the thread stands there, and then that of the instruction.
func stopsOf(code []byte) int {
	if in, err := machine.Decode(code); err == nil && in.Flow == arch.FlowSyscall {
		return 2
	}
	return 1
}

// undefinedFlags reports whether some flags are undefined after an instruction. There is none.
func undefinedFlags(string) bool { return false }

// programs are executed beside the test's own.
var programs = [][]string{
	{"/bin/ls", "-l", "/lib"},
	{"/bin/sh", "-c", "for i in 1 2 3; do echo $((i * 7 % 5)) >/dev/null; done"},
	{"/bin/date"},
}

// effort is how many steps are made of a program, and what the test demands. Under emulation a step takes a millisecond and more.
var effort = struct{ program, own, tried, trials, moves int }{program: 1200, own: 5000, tried: 400, trials: 1200, moves: 150}

// spare finds room for code behind the text in which pc is: zero bytes at the end of its mapping.
func (s *stepper) spare(pc uint64, n int) (at uint64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var start, end uint64
		var perm string
		if _, err := fmt.Sscanf(in.Text(), "%x-%x %s", &start, &end, &perm); err == nil && start <= pc && pc < end && perm == "r-xp" {
			at = (end - uint64(n)) &^ 15
		}
	}
	if b := make([]byte, n); at == 0 || !s.peek(at, b) || !bytes.Equal(b, make([]byte, n)) {
		return 0
	}
	return at
}

func (s *stepper) peek(at uint64, b []byte) bool {
	n, err := unix.PtracePeekText(s.pid, uintptr(at), b)
	return err == nil && n == len(b)
}

func (s *stepper) poke(at uint64, b []byte) {
	if _, err := unix.PtracePokeText(s.pid, uintptr(at), b); err != nil {
		s.t.Fatal(err)
	}
}

// moved executes the instruction elsewhere, behind a gate, and with the gate's word set: it must do what it did, and change no register but x16.
func (s *stepper) moved(code []byte, text string, before, after *state) {
	const room, word, plain = 128, 120, 40
	in, err := arm64.Decode(code)
	if err != nil || in.Flow == arch.FlowNext && in.Kind != arm64.PCRel && in.Kind != arm64.Page && in.Kind != arm64.Literal && s.moves > plain {
		return // it is moved as it is
	}
	pc := arch.Addr(before.pc())
	at := arch.Addr(s.spare(before.pc(), room))
	if at == 0 {
		s.unmoved["no room near it"]++
		return
	}
	j := &machine.Jump
	moved, _, err := j.Move(code, pc, at+arch.Addr(j.GateLen), j.Len)
	if err != nil {
		s.unmoved[err.Error()]++
		return
	}
	set := at + arch.Addr(j.GateLen+len(moved))
	gate, err := j.Gate(at, at+word, set)
	if err != nil {
		s.t.Fatal(err)
	}
	all := append(gate, moved...)
	defer s.poke(uint64(at), make([]byte, room))
	s.poke(uint64(at), append(all, make([]byte, room-len(all))...))
	for _, flag := range []byte{0, 1} {
		s.poke(uint64(at)+word, []byte{flag, 0, 0, 0, 0, 0, 0, 0})
		want, end := after, after.pc()
		if flag == 1 {
			want, end = before, uint64(set)
		}
		x := &s.in
		before.copyTo(x)
		binary.LittleEndian.PutUint64(x.general[8*32:], uint64(at))
		s.set(x)
		for steps := 0; steps == 0 || x.pc() >= uint64(at) && x.pc() < uint64(set); steps++ {
			if steps > 20 || !s.step() {
				s.t.Fatalf("%x  %s: moved to %#x as %x, runs to %#x", code, text, uint64(at), all, x.pc())
			}
			s.get(x)
		}
		if x.pc() != end || x.flags() != want.flags() {
			s.t.Errorf("%x  %s: moved as %x (word %d), leads to %#x with flags %x, want %#x, %x", code, text, all, flag, x.pc(), x.flags(), end, want.flags())
		}
		for n := range numRegs {
			if n != scratch && x.value(n) != want.value(n) {
				s.t.Errorf("%x  %s: moved as %x (word %d), %s is %x, want %x", code, text, all, flag, machine.Call.Names[n], x.value(n), want.value(n))
			}
		}
		s.moves++
	}
	s.set(after)
}

// TestEffectsOfRandomCode executes random instructions that compute with registers: of general ones, floating point, and vectors. What the
// processor does not know is passed over.
func TestEffectsOfRandomCode(t *testing.T) {
	const words = 300
	s := newStepper(t)
	s.start("/bin/ls")
	defer s.end()
	r := rand.New(rand.NewPCG(7, 8))
	before, after := new(state), new(state)
	s.get(before)
	for i := range 31 {
		binary.LittleEndian.PutUint64(before.general[8*i:], r.Uint64())
	}
	for i := 0; i < 32*16; i += 8 {
		binary.LittleEndian.PutUint64(before.vector[i:], r.Uint64()>>(r.Uint32()&31)) // NaN are rare then
	}
	at := s.spare(before.pc(), 64)
	if at == 0 {
		t.Fatal("no room for code")
	}
	binary.LittleEndian.PutUint64(before.general[8*32:], at)
	done, ill := 0, 0
	for done < words && !t.Failed() {
		w := r.Uint32()
		if group := w >> 25 & 15; group&7 != 5 && group&7 != 7 && group&14 != 8 {
			continue
		}
		code := binary.LittleEndian.AppendUint32(nil, w)
		in, err := machine.Decode(code)
		if x, ok := machine.Effects(code, &in); err != nil || !ok || x.Write.Has(regSP) {
			continue
		}
		s.poke(at, code)
		s.set(before)
		if !s.step() {
			ill++
			continue
		}
		s.get(after)
		s.check(code, before, after)
		done++
	}
	t.Logf("%d instructions varied %d times; the processor does not know %d others", len(s.tried), s.trials, ill)
}

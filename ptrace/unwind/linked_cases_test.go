package unwind_test

import (
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
	"hotpatch/ptrace/unwind"
)

// mainFrame is the stack from main's frame on, with a word in it.
func mainFrame(word uint64) []uint64 { return []uint64{0, link(linkStart, 1), word, 0} }

// sigFrame is the kernel's frame of a signal that interrupted a thread at pc, with the stack pointer behind it; x30 is the register there.
func sigFrame(pc, x30 uint64) []uint64 { return sigFrameOf(pc, x30, stackHigh-8*4) }

// sigFrameOf is sigFrame for any stack pointer.
func sigFrameOf(pc, x30, sp uint64) []uint64 {
	sig := &arm64.Arch.Unwind.Signal
	f := make([]uint64, sig.MarkAt/8+2)
	for n, off := range sig.Regs {
		f[off/8] = uint64(n)
	}
	f[sig.Regs[30]/8], f[sig.Regs[31]/8], f[sig.Regs[32]/8] = x30, sp, pc
	f[sig.MarkAt/8] = sig.Mark
	return f
}

// linkedCase is a thread of the fake arm64 process, and what is to be said of it.
type linkedCase struct {
	name   string
	pc     uint64
	x30    uint64
	regs   map[int]uint64
	words  []uint64 // from sp up to the stack's end
	below  uint64   // the word below sp
	slot   uint64   // what the PLT's slot holds
	noPAC  bool
	proven string // "" if active
	where  string
	why    string
}

// inF is a return address in F, and a word that leads into its midst; blocked is a place in a leaf behind its system call.
var inF, blocked = link(linkF, 2), link(linkWork, 1)

// atReturn has what the registers and the stack say of a frame of 16 bytes, and main's behind it, with a stale word.
func atReturn(ra uint64) []uint64 { return append([]uint64{0, ra}, mainFrame(inF)...) }

// linkedReturnCases are of return addresses in registers and on the stack.
func linkedReturnCases() []linkedCase {
	return []linkedCase{
		{name: "nothing matches", pc: blocked, x30: link(linkMain, 3), words: mainFrame(0), proven: "scan"},
		{name: "leaf called by F", pc: blocked, x30: inF, words: append([]uint64{0, link(linkMain, 6)}, mainFrame(0)...), where: "frame 1"},
		{name: "signed", pc: blocked, x30: inF | linkSigned, words: append([]uint64{0, link(linkMain, 6) | linkSigned}, mainFrame(0)...), where: "frame 1"},
		{name: "F in the middle", pc: blocked, x30: link(linkClang, 4),
			words: append([]uint64{0, inF | linkSigned, 0, link(linkMain, 6)}, mainFrame(0)...), where: "word at"},
		{name: "stale word", pc: blocked, x30: link(linkMain, 3), words: mainFrame(inF), proven: "cfi"},
		{name: "stale signed word", pc: blocked, x30: link(linkMain, 3), words: mainFrame(inF | linkSigned), proven: "cfi"},
		{name: "stale tagged word", pc: blocked, x30: link(linkMain, 3), words: mainFrame(inF | 0x4b<<56), proven: "cfi"},
		{name: "word of the kernel's half", pc: blocked, x30: link(linkMain, 3), words: mainFrame(inF | 0xffff<<48), proven: "scan"},
		{name: "signature without PAC", pc: blocked, x30: link(linkMain, 3), words: mainFrame(inF | linkSigned), noPAC: true, proven: "scan"},
		{name: "word below sp", pc: blocked, x30: link(linkMain, 3), words: mainFrame(0), below: inF, proven: "scan"},
		{name: "stub", pc: link(linkPLT, 2), x30: link(linkMain, 4), words: mainFrame(inF), proven: "cfi"},
		{name: "stub, called by F", pc: link(linkPLT, 2), x30: inF, words: append([]uint64{0, link(linkMain, 6)}, mainFrame(0)...), where: "frame 1"},
		{name: "called through a stub", pc: blocked, x30: link(linkMain, 4), slot: link(linkWork, 0), words: mainFrame(inF), proven: "cfi"},
		{name: "called through a stub to another", pc: blocked, x30: link(linkMain, 4), slot: link(linkMain, 0), words: mainFrame(inF),
			where: "word at", why: "cannot lead to the frame below"},
		{name: "tail call", pc: blocked, x30: link(linkMain, 10), words: mainFrame(inF), proven: "cfi"},
		{name: "tail call of F", pc: blocked, x30: inF, regs: map[int]uint64{9: link(linkHop, 0)}, words: atReturn(link(linkMain, 6)), where: "frame 1"},
		{name: "atomic access", pc: link(linkAtomic, 7), x30: link(linkMain, 5), words: mainFrame(inF), proven: "cfi"},
		{name: "atomic access of F", pc: link(linkAtomic, 3), x30: link(linkF, 3), words: atReturn(link(linkMain, 6)), where: "frame 1"},
		{name: "function without a frame", pc: link(linkLeaf, 2), x30: link(linkMain, 5), words: mainFrame(inF), proven: "cfi"},
		{name: "function without call frame information", pc: link(linkBare, 0), x30: link(linkMain, 5), words: mainFrame(inF),
			where: "word at", why: "no call frame information"},
		{name: "function without call frame information, called by F", pc: link(linkBare, 1), x30: inF, words: atReturn(link(linkMain, 6)),
			where: "register x30", why: "no call frame information"},
		{name: "return address overwritten", pc: blocked, x30: link(linkWork, 2), words: mainFrame(inF), where: "word at", why: "frame 1"},
		{name: "start of a thread", pc: link(linkStart, 0), words: []uint64{0, 0}, proven: "scan"},
		{name: "start of a thread, stale register", pc: link(linkStart, 0), x30: inF, words: []uint64{0, 0}, proven: "cfi"},
		{name: "call at the end of a function", pc: blocked, x30: link(linkDies, 2), words: atReturn(link(linkMain, 5)), where: "frame 1"},
	}
}

// linkedSignedCases are of a function that signs its return address in its midst, at each of its instructions.
func linkedSignedCases() []linkedCase {
	var all []linkedCase
	for _, f := range []struct {
		name      string
		at        uint32
		ra, other uint64
	}{
		{name: "A key", at: linkSign, ra: link(linkMain, 8), other: link(linkF, 3)},
		{name: "B key", at: linkSignB, ra: link(linkMain, 9), other: link(linkF, 3)},
	} {
		for n, signed := range []bool{false, false, true, true, true, true, false} {
			pc, ra, other := link(f.at, uint32(n)), f.ra, f.other
			if signed {
				ra, other = ra|linkSigned, other|linkSigned
			}
			idle := linkedCase{name: f.name + ", " + string(rune('0'+n)), pc: pc, x30: ra, words: mainFrame(inF), proven: "cfi"}
			busy := linkedCase{name: idle.name + ", called by F", pc: pc, x30: other, words: atReturn(link(linkMain, 6)), where: "frame 1"}
			if n == 3 || n == 4 { // the frame is there
				idle.words, busy.words = atReturn(ra), append([]uint64{0, other}, busy.words...)
				idle.x30, busy.x30 = link(f.at, 4), link(f.at, 4)
			}
			all = append(all, idle, busy)
		}
	}
	return all
}

// linkedRegisterCases are of other registers that lead into F.
func linkedRegisterCases() []linkedCase {
	return []linkedCase{
		{name: "function pointer that is about to be called", pc: link(linkMain, 4), regs: map[int]uint64{0: link(linkF, 0)}, words: mainFrame(0), proven: "scan"},
		{name: "stub that is about to jump to F", pc: link(linkPLT, 3), x30: link(linkMain, 4), regs: map[int]uint64{17: link(linkF, 0)},
			words: mainFrame(0), proven: "scan"},
		{name: "stub that is about to jump into the midst of F", pc: link(linkPLT, 3), x30: link(linkMain, 4), regs: map[int]uint64{17: inF}, words: mainFrame(0),
			where: "register x17", why: "could be where its code jumps"},
		{name: "thunk that jumps to F", pc: link(linkThunk, 0), x30: link(linkMain, 5), regs: map[int]uint64{1: link(linkF, 0)}, words: mainFrame(0), proven: "scan"},
		{name: "thunk that jumps into the midst of F", pc: link(linkThunk, 0), x30: link(linkMain, 5), regs: map[int]uint64{1: inF}, words: mainFrame(0),
			where: "register x1", why: "could be where its code jumps"},
		{name: "stale register in a plain function", pc: link(linkAtomic, 1), x30: link(linkMain, 5), regs: map[int]uint64{1: inF}, words: mainFrame(0), proven: "cfi"},
		{name: "return address in a saved register", pc: blocked, x30: link(linkKeep, 3), regs: map[int]uint64{19: link(linkMain, 11)}, words: append([]uint64{0, 0}, mainFrame(inF)...), proven: "cfi"},
		{name: "return address to F in a saved register", pc: blocked, x30: link(linkKeep, 3), regs: map[int]uint64{19: link(linkF, 3)}, words: append([]uint64{0, 0}, atReturn(link(linkMain, 6))...),
			where: "frame 2"},
		{name: "return address in a scratch register that nothing tells of", pc: link(linkHidden, 3), x30: link(linkMain, 5),
			regs: map[int]uint64{9: link(linkF, 3)}, words: mainFrame(0), where: "register x9", why: "does not follow its code"},
		{name: "veneer of F", pc: link(linkVeneer, 0), x30: link(linkMain, 3), words: mainFrame(0), where: "pc"},
		{name: "veneer of F that is about to go back", pc: link(linkVeneer, 1), x30: link(linkMain, 3), words: mainFrame(0), where: "pc"},
	}
}

// linkedSignalCases are of handlers, and of code that interrupted them where call frame information is wrong.
func linkedSignalCases() []linkedCase {
	return []linkedCase{
		{name: "handler", pc: blocked, x30: link(linkTramp, 0), words: append(sigFrame(link(linkMain, 3), 0), mainFrame(inF)...), proven: "cfi"},
		{name: "handler, F interrupted", pc: blocked, x30: link(linkTramp, 0), words: append(sigFrame(link(linkF, 4), link(linkMain, 6)), mainFrame(0)...),
			where: "frame 2"},
		{name: "handler, F interrupted at its start", pc: blocked, x30: link(linkTramp, 0), words: append(sigFrame(link(linkF, 0), link(linkMain, 6)), mainFrame(0)...), proven: "scan"},
		{name: "handler, leaf of F interrupted", pc: blocked, x30: link(linkTramp, 0),
			words: append(sigFrame(link(linkWork, 2), inF|linkSigned), mainFrame(0)...), where: "frame 3"},
		{name: "handler, veneer of F interrupted", pc: blocked, x30: link(linkTramp, 0),
			words: append(sigFrame(link(linkVeneer, 1), link(linkMain, 3)), mainFrame(0)...), where: "word at", why: "no call frame information"},
		{name: "handler, signed function interrupted", pc: blocked, x30: link(linkTramp, 0),
			words: append(sigFrame(link(linkSign, 2), link(linkMain, 8)|linkSigned), mainFrame(inF)...), proven: "cfi"},
		{name: "handler, prologue interrupted that is not told", pc: blocked, x30: link(linkTramp, 0),
			words: append(sigFrame(link(linkClang, 0), link(linkMain, 7)), mainFrame(inF)...), where: "word at", why: "does not follow its code"},
		{name: "handler that jumps on", pc: blocked, x30: link(linkTramp, 0), regs: map[int]uint64{2: link(linkHop, 0)},
			words: append(sigFrame(link(linkMain, 3), 0), mainFrame(inF)...), proven: "cfi"},
		{name: "trampoline", pc: link(linkTramp, 1), words: append(sigFrame(link(linkMain, 3), 0), mainFrame(inF)...), proven: "cfi"},
		{name: "return to the midst of the trampoline", pc: blocked, x30: link(linkTramp, 1), words: append(sigFrame(link(linkMain, 3), 0), mainFrame(inF)...),
			where: "word at", why: "no call frame information"},
		{name: "prologue that is not told", pc: link(linkClang, 1), x30: link(linkMain, 7), words: append([]uint64{0, 0}, mainFrame(inF)...),
			where: "word at", why: "does not follow its code"},
		{name: "another return address in a frame that the code proves", pc: blocked, x30: link(linkMain, 3),
			words: []uint64{0, link(linkStart, 1), inF, link(linkStart, 1)}, proven: "cfi"},
		{name: "another return address in a frame that the code disproves", pc: blocked, x30: link(linkWrong, 3),
			words: []uint64{0, link(linkStart, 3), inF, link(linkStart, 3)}, where: "word at", why: "another return address that fits"},
	}
}

// thread returns a thread of the fake arm64 process with its registers, all others zero.
func (tt *linkedCase) thread(sp uint64) *unwind.Thread {
	th := &unwind.Thread{TID: 1, Stacks: []unwind.Stack{{Low: stackLow, High: stackHigh, Own: true}}}
	for n := range 33 {
		th.Regs.Set(n, tt.regs[n])
	}
	th.Regs.Set(30, tt.x30)
	th.Regs.Set(31, sp)
	th.Regs.Set(32, tt.pc)
	return th
}

// linkedTargets are F, which is replaced, and a function that ends with a call.
func linkedTargets(t *testing.T, p *program) []unwind.Target {
	t.Helper()
	at := func(name string, start, size arch.Addr) unwind.Target {
		r := unwind.Range{Start: fakeBias + start, End: fakeBias + start + size}
		return unwind.Target{Range: r, Name: name, Entries: []arch.Addr{r.Start}}
	}
	targets := []unwind.Target{at("F", linkF, 24), at("dies", linkDies, 8)}
	if err := p.space.FindVeneers(targets, p.mem); err != nil {
		t.Fatal(err)
	}
	return targets
}

// Activeness where the return address is in a register.
func TestCheckLinked(t *testing.T) {
	for _, tt := range slices.Concat(linkedReturnCases(), linkedSignedCases(), linkedRegisterCases(), linkedSignalCases()) {
		t.Run(tt.name, func(t *testing.T) {
			p := newLinked(t)
			if tt.noPAC {
				p.space.PACMask = 0
			}
			p.mem.put(fakeBias+fakeSlot, tt.slot)
			sp := arch.Addr(stackHigh - 8*len(tt.words))
			p.mem.put(sp-8, tt.below)
			for i, w := range tt.words {
				p.mem.put(sp+arch.Addr(8*i), w)
			}
			a := unwind.NewChecker(p.space, linkedTargets(t, p)).Check(tt.thread(uint64(sp)), p.mem)
			if a.Active != (tt.proven == "") || a.Proven != tt.proven {
				t.Fatalf("Check = active %v, proven %q, %s: %s; want proven %q", a.Active, a.Proven, a.Where, a.Why, tt.proven)
			}
			if !strings.HasPrefix(a.Where, tt.where) || !strings.Contains(a.Why, tt.why) {
				t.Errorf("Check: where %q, why %q; want %q and %q", a.Where, a.Why, tt.where, tt.why)
			}
		})
	}
}

// TestCheckLinkedOtherStack checks handlers on an alternate stack.
func TestCheckLinkedOtherStack(t *testing.T) {
	const sp = altLow + 0x1000
	own := uint64(stackHigh - 8*4)
	for _, tt := range []struct {
		name   string
		regs   linkedCase
		words  []uint64 // from sp on
		own    []uint64 // up to the end of the thread's own stack
		proven string
		why    string
	}{
		{name: "nothing matches", regs: linkedCase{pc: blocked, x30: link(linkTramp, 0)}, words: sigFrameOf(link(linkMain, 3), 0, own), own: mainFrame(0), proven: "scan"},
		{name: "stale word on the own stack", regs: linkedCase{pc: blocked, x30: link(linkTramp, 0)}, words: sigFrameOf(link(linkMain, 3), 0, own), own: mainFrame(inF), proven: "cfi"},
		{name: "leaf of F interrupted", regs: linkedCase{pc: blocked, x30: link(linkTramp, 0)}, words: sigFrameOf(link(linkWork, 2), inF, own-16),
			own: append([]uint64{0, link(linkMain, 6)}, mainFrame(0)...)},
		{name: "another alternate stack interrupted", regs: linkedCase{pc: blocked, x30: link(linkTramp, 0)}, words: sigFrameOf(link(linkMain, 3), 0, 0x7ddd0000_0100),
			own: mainFrame(0), why: "0x7ddd00000100, on a stack that is not known: alternate stacks one after another"},
		{name: "the same in the trampoline", regs: linkedCase{pc: link(linkTramp, 1)}, words: sigFrameOf(link(linkMain, 3), 0, 0x7ddd0000_0100),
			own: mainFrame(0), why: "on a stack that is not known"},
		{name: "context of its own", regs: linkedCase{pc: blocked, x30: link(linkMain, 3)}, words: mainFrame(0), own: mainFrame(0), proven: "scan"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newLinked(t)
			for i, w := range tt.words {
				p.mem.put(sp+arch.Addr(8*i), w)
			}
			for i, w := range tt.own {
				p.mem.put(stackHigh-arch.Addr(8*(len(tt.own)-i)), w)
			}
			th := tt.regs.thread(sp)
			th.Stacks = append(th.Stacks, unwind.Stack{Low: altLow, High: altHigh})
			a := unwind.NewChecker(p.space, linkedTargets(t, p)).Check(th, p.mem)
			if a.Active != (tt.proven == "") || a.Proven != tt.proven || !strings.Contains(a.Why, tt.why) {
				t.Errorf("Check = %+v, want proven %q, why %q", a, tt.proven, tt.why)
			}
		})
	}
}

// TestCheckLinkedInnerStack checks a handler on an alternate stack that is a part of the thread's own one, above the frames that were interrupted: no
// register leads into F, and only their part of the stack holds a word that does.
func TestCheckLinkedInnerStack(t *testing.T) {
	for _, tt := range []struct {
		name string
		musl bool     // nothing says where handlers return to
		own  []uint64 // from the interrupted stack pointer on
		want string   // Where; "": idle, proven by CFI
	}{
		{name: "F interrupted", own: append([]uint64{0, link(linkF, 3) | linkSigned}, atReturn(link(linkMain, 6))...), want: "frame 4"},
		{name: "F interrupted, musl", musl: true, own: append([]uint64{0, link(linkF, 3) | linkSigned}, atReturn(link(linkMain, 6))...), want: "frame 4"},
		{name: "another function interrupted, musl", musl: true, own: atReturn(link(linkMain, 8) | linkSigned)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newLinked(t)
			if tt.musl {
				p.space.Modules[1].Sigreturns = nil
			}
			const low = stackHigh - 0x4000
			for i, w := range tt.own {
				p.mem.put(low+arch.Addr(8*i), w)
			}
			frame := sigFrameOf(blocked, link(linkSign, 4), low)
			sp := stackHigh - arch.Addr(8*len(frame))
			for i, w := range frame {
				p.mem.put(sp+arch.Addr(8*i), w)
			}
			regs := linkedCase{pc: blocked, x30: link(linkTramp, 0)}
			a := unwind.NewChecker(p.space, linkedTargets(t, p)).Check(regs.thread(uint64(sp)), p.mem)
			if a.Where != tt.want || !a.Active && a.Proven != unwind.ByCFI {
				t.Errorf("Check = active %v, proven %q, %s: %s; want %q", a.Active, a.Proven, a.Where, a.Why, tt.want)
			}
		})
	}
}

// TestFindVeneers finds the code that a linker moved out of a function.
func TestFindVeneers(t *testing.T) {
	p := newLinked(t)
	targets := linkedTargets(t, p)
	want := unwind.Range{Start: fakeBias + linkVeneer, End: fakeBias + linkVeneer + 8}
	if len(targets[0].Veneers) != 1 || targets[0].Veneers[0] != want || targets[1].Veneers != nil {
		t.Errorf("veneers %#x and %#x, want %#x and none", targets[0].Veneers, targets[1].Veneers, want)
	}
	far := []unwind.Target{{Range: unwind.Range{Start: 0x1000, End: 0x2000}, Name: "far"}}
	if err := p.space.FindVeneers(far, p.mem); err == nil || !strings.Contains(err.Error(), "far at 0x1000") {
		t.Errorf("veneers of code that cannot be read: %v", err)
	}
}

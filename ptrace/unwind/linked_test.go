package unwind_test

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
	"hotpatch/ptrace/unwind"
	"hotpatch/ptrace/unwind/cfi"
)

// Functions of the fake arm64 process, by image address.
const (
	linkStart  = 0x1000
	linkMain   = 0x1040
	linkWork   = 0x1080
	linkF      = 0x10c0
	linkPLT    = 0x1100 // no call frame information, from here
	linkLeaf   = 0x1140
	linkTramp  = 0x1180
	linkBare   = 0x11c0 // up to here
	linkClang  = 0x1200
	linkWrong  = 0x1240 // call frame information with the return address in another word than the code has it
	linkEnd    = 0x1280
	linkMask   = 0x007f_0000_0000_0000 // bits 54 to 48, as with 48-bit addresses
	linkSigned = 0x0035_0000_0000_0000
)

// bl is a call from one image address to another.
func bl(from, to uint32) uint32 { return 0x94000000 | (to-from)/4&0x3ffffff }

// linkedCode has the functions' instructions.
var linkedCode = map[uint32][]uint32{
	linkStart: {bl(linkStart, linkMain), 0xd4200000, bl(linkStart+8, linkWrong), 0xd4200000}, // brk
	linkMain: {0xa9be7bfd, 0x910003fd, // stp x29, x30, [sp, #-32]!; mov x29, sp
		bl(linkMain+8, linkWork), bl(linkMain+12, linkPLT), 0xd63f0000, bl(linkMain+20, linkF), bl(linkMain+24, linkClang), // blr x0
		0xa8c27bfd, 0xd65f03c0}, // ldp x29, x30, [sp], #32; ret
	linkWork:  {0xd4000001, 0xd503201f, 0xd65f03c0},                                                     // svc #0; nop; ret
	linkF:     {0xa9bf7bfd, bl(linkF+4, linkWork), 0xd63f0000, 0xa8c17bfd, 0xd65f03c0},                  // stp; ldp x29, x30, [sp], #16
	linkPLT:   {0x90000050, 0xf9400211, 0x91000210, 0xd61f0220},                                         // adrp x16, 9000; ldr x17, [x16]; add x16, x16, #0; br x17
	linkLeaf:  {0xb4000060, 0x8b2463e4, 0xf9400000, 0xd65f03c0},                                         // cbz x0, .+12; add x4, sp, x4; ldr x0, [x0]; ret
	linkTramp: {0xd2801168, 0xd4000001},                                                                 // mov x8, #139; svc #0
	linkBare:  {0xa9bf7bfd, 0xd503201f, 0xa8c17bfd, 0xd65f03c0},                                         // stp; nop; ldp; ret
	linkClang: {0xa9bf7bfd, 0x910003fd, 0xd503201f, bl(linkClang+12, linkWork), 0xa8c17bfd, 0xd65f03c0}, // stp; mov x29, sp; nop; ldp; ret
	linkWrong: {0xa9be7bfd, 0x910003fd, bl(linkWrong+8, linkWork), 0xa8c27bfd, 0xd65f03c0},              // stp x29, x30, [sp, #-32]!; mov x29, sp; ldp; ret
}

// Programs of the call frame information: that of clang 14 says nothing of the prologue and the epilogue.
var (
	linkedLast  = []byte{0x07, 30}                                                    // DW_CFA_undefined x30
	linkedMain  = []byte{0x41, 0x0e, 32, 0x9d, 4, 0x9e, 3, 0x47, 0x0e, 0, 0xdd, 0xde} // 4: def_cfa_offset 32, x29 at -32, x30 at -24; 32: restored
	linkedF     = []byte{0x41, 0x0e, 16, 0x9d, 2, 0x9e, 1, 0x43, 0x0e, 0, 0xdd, 0xde} // the same with 16 bytes
	linkedClang = []byte{0x42, 0x0c, 29, 16, 0x9d, 2, 0x9e, 1}                        // 8: def_cfa x29, 16
	linkedWrong = []byte{0x41, 0x0e, 32, 0x9d, 4, 0x9e, 1, 0x43, 0x0e, 0, 0xdd, 0xde} // 4: def_cfa_offset 32, x29 at -32, x30 at -8; 16: restored
	linkedProgs = map[uint32][]byte{linkStart: linkedLast, linkMain: linkedMain, linkWork: nil, linkF: linkedF, linkClang: linkedClang, linkWrong: linkedWrong}
)

// newLinked makes the fake arm64 process. What has no call frame information is a module of its own, as the vDSO is.
func newLinked(t *testing.T) *program {
	t.Helper()
	a := arm64.Arch
	p := &program{}
	text := make([]byte, linkEnd-fakeText)
	for at, code := range linkedCode {
		for i, w := range code {
			binary.LittleEndian.PutUint32(text[at-fakeText+uint32(4*i):], w)
		}
	}
	b := &frames{}
	c := b.record(0, []byte{1, 'z', 'R', 0, 4, 0x78, 30, 1, 0x04, 0x0c, 31, 0})
	for at, prog := range linkedProgs {
		body := binary.LittleEndian.AppendUint64(nil, uint64(at))
		body = binary.LittleEndian.AppendUint64(body, uint64(4*len(linkedCode[at])))
		b.record(uint32(len(b.data))+4-c, append(append(body, 0), prog...))
	}
	table, err := cfi.Parse(a, b.data, 0xa000, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	p.mem = &fakeMemory{segs: []segment{
		{addr: fakeBias + fakeText, data: text},
		{addr: fakeBias + fakeSlot, data: make([]byte, 0x1000)},
		{addr: stackLow, data: make([]byte, stackHigh-stackLow)},
	}}
	part := func(name string, low, high arch.Addr, frames *cfi.Table) unwind.Module {
		r := unwind.Range{Start: fakeBias + low, End: fakeBias + high}
		return unwind.Module{Range: r, Exec: []unwind.Range{r}, Bias: fakeBias, CFI: frames, Name: name}
	}
	p.space = &unwind.Space{Arch: a, PACMask: linkMask, Modules: []unwind.Module{
		part("fake", fakeText, linkPLT, table), part("vdso", linkPLT, linkClang, nil), part("clang", linkClang, linkEnd, table),
	}}
	if err := p.space.Modules[1].FindBare(a, []elf.Symbol{
		{Name: "leaf", Value: linkLeaf, Size: 16}, {Name: "sigreturn", Value: linkTramp, Size: 8}, {Name: "framed", Value: linkBare, Size: 16},
		{Name: "beyond", Value: linkBare, Size: 0x1000}, {Name: "none", Value: linkLeaf},
	}, p.mem); err != nil {
		t.Fatal(err)
	}
	return p
}

// link returns the address of an instruction of the fake process.
func link(function, index uint32) uint64 { return fakeBias + uint64(function) + 4*uint64(index) }

func TestFindBare(t *testing.T) {
	m := &newLinked(t).space.Modules[1]
	at := func(start, size arch.Addr) unwind.Range {
		return unwind.Range{Start: fakeBias + start, End: fakeBias + start + size}
	}
	if len(m.Bare) != 1 || m.Bare[0] != at(linkLeaf, 16) || len(m.Sigreturns) != 1 || m.Sigreturns[0] != at(linkTramp, 8) {
		t.Errorf("functions without frames %#x, trampolines %#x", m.Bare, m.Sigreturns)
	}
}

// mainFrame is the stack from main's frame on, with a word in it.
func mainFrame(word uint64) []uint64 { return []uint64{0, link(linkStart, 1), word, 0} }

// sigFrame is the kernel's frame of a signal that interrupted a thread at pc, with the stack pointer behind it; x30 is the register there.
func sigFrame(pc, x30 uint64) []uint64 {
	const words = 592 / 8
	f := make([]uint64, words)
	for n, off := range arm64.Arch.Unwind.Signal.Regs {
		f[off/8] = uint64(n)
	}
	f[arm64.Arch.Unwind.Signal.Regs[30]/8] = x30
	f[arm64.Arch.Unwind.Signal.Regs[31]/8] = stackHigh - 8*4
	f[arm64.Arch.Unwind.Signal.Regs[32]/8] = pc
	return f
}

// Activeness where the return address is in a register.
func TestCheckLinked(t *testing.T) {
	inF := link(linkF, 2)
	for _, tt := range []struct {
		name   string
		pc     uint64
		x30    uint64
		words  []uint64 // from sp up to the stack's end
		below  uint64   // the word below sp
		slot   uint64   // what the PLT's slot holds
		noPAC  bool
		proven string // "" if active
		where  string
		why    string
	}{
		{name: "nothing matches", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(0), proven: "scan"},
		{name: "leaf called by F", pc: link(linkWork, 1), x30: inF, words: append([]uint64{0, link(linkMain, 6)}, mainFrame(0)...), where: "frame 1"},
		{name: "signed", pc: link(linkWork, 1), x30: inF | linkSigned, words: append([]uint64{0, link(linkMain, 6) | linkSigned}, mainFrame(0)...), where: "frame 1"},
		{name: "F in the middle", pc: link(linkWork, 1), x30: link(linkClang, 4),
			words: append([]uint64{0, inF | linkSigned, 0, link(linkMain, 6)}, mainFrame(0)...), where: "word at"},
		{name: "stale word", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(inF), proven: "cfi"},
		{name: "stale signed word", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(inF | linkSigned), proven: "cfi"},
		{name: "stale tagged word", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(inF | 0x4b<<56), proven: "cfi"},
		{name: "word of the kernel's half", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(inF | 0xffff<<48), proven: "scan"},
		{name: "signature without PAC", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(inF | linkSigned), noPAC: true, proven: "scan"},
		{name: "word below sp", pc: link(linkWork, 1), x30: link(linkMain, 3), words: mainFrame(0), below: inF, proven: "scan"},
		{name: "stub", pc: link(linkPLT, 2), x30: link(linkMain, 4), words: mainFrame(inF), proven: "cfi"},
		{name: "stub, called by F", pc: link(linkPLT, 2), x30: inF, words: append([]uint64{0, link(linkMain, 6)}, mainFrame(0)...), where: "frame 1"},
		{name: "called through a stub", pc: link(linkWork, 1), x30: link(linkMain, 4), slot: link(linkWork, 0), words: mainFrame(inF), proven: "cfi"},
		{name: "called through a stub to another", pc: link(linkWork, 1), x30: link(linkMain, 4), slot: link(linkMain, 0), words: mainFrame(inF),
			where: "word at", why: "cannot lead to the frame below"},
		{name: "function without a frame", pc: link(linkLeaf, 2), x30: link(linkMain, 5), words: mainFrame(inF), proven: "cfi"},
		{name: "function without call frame information", pc: link(linkBare, 0), x30: link(linkMain, 5), words: mainFrame(inF),
			where: "word at", why: "no call frame information"},
		{name: "handler", pc: link(linkWork, 1), x30: link(linkTramp, 0), words: append(sigFrame(link(linkMain, 3), 0), mainFrame(inF)...), proven: "cfi"},
		{name: "handler, F interrupted", pc: link(linkWork, 1), x30: link(linkTramp, 0), words: append(sigFrame(link(linkF, 4), link(linkMain, 6)), mainFrame(0)...),
			where: "frame 2"},
		{name: "handler, leaf of F interrupted", pc: link(linkWork, 1), x30: link(linkTramp, 0),
			words: append(sigFrame(link(linkWork, 2), inF|linkSigned), mainFrame(0)...), where: "frame 3"},
		{name: "trampoline", pc: link(linkTramp, 1), words: append(sigFrame(link(linkMain, 3), 0), mainFrame(inF)...), proven: "cfi"},
		{name: "prologue that is not told", pc: link(linkClang, 1), x30: link(linkMain, 7), words: append([]uint64{0, 0}, mainFrame(inF)...),
			where: "word at", why: "does not follow its code"},
		{name: "another return address in a frame that the code proves", pc: link(linkWork, 1), x30: link(linkMain, 3),
			words: []uint64{0, link(linkStart, 1), inF, link(linkStart, 1)}, proven: "cfi"},
		{name: "another return address in a frame that the code disproves", pc: link(linkWork, 1), x30: link(linkWrong, 3),
			words: []uint64{0, link(linkStart, 3), inF, link(linkStart, 3)}, where: "word at", why: "another return address that fits"},
		{name: "return address overwritten", pc: link(linkWork, 1), x30: link(linkWork, 2), words: mainFrame(inF), where: "word at", why: "frame 1"},
	} {
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
			th := &unwind.Thread{TID: 1, Stacks: []unwind.Stack{{Low: stackLow, High: stackHigh, Own: true}}}
			for n := range 33 {
				th.Regs.Set(n, 0)
			}
			th.Regs.Set(30, tt.x30)
			th.Regs.Set(31, uint64(sp))
			th.Regs.Set(32, tt.pc)
			target := unwind.Target{Range: unwind.Range{Start: fakeBias + linkF, End: fakeBias + linkF + 20}, Name: "F", Entries: []arch.Addr{fakeBias + linkF}}
			a := unwind.NewChecker(p.space, []unwind.Target{target}).Check(th, p.mem)
			if a.Active != (tt.proven == "") || a.Proven != tt.proven {
				t.Fatalf("Check = active %v, proven %q, %s: %s; want proven %q", a.Active, a.Proven, a.Where, a.Why, tt.proven)
			}
			if !strings.HasPrefix(a.Where, tt.where) || !strings.Contains(a.Why, tt.why) {
				t.Errorf("Check: where %q, why %q; want %q and %q", a.Where, a.Why, tt.where, tt.why)
			}
		})
	}
}

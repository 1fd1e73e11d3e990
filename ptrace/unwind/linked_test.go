package unwind_test

import (
	"debug/elf"
	"encoding/binary"
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
	linkVeneer = 0x1160 // of F
	linkTramp  = 0x1180
	linkBare   = 0x11c0 // up to here
	linkClang  = 0x1200
	linkWrong  = 0x1240 // call frame information with the return address in another word than the code has it
	linkSign   = 0x1280 // signs its return address in its midst
	linkSignB  = 0x12c0 // with the B key
	linkHop    = 0x1300 // jumps to work
	linkThunk  = 0x1308
	linkAtomic = 0x1310 // as libgcc's outline atomics
	linkKeep   = 0x1340 // has its return address in x19
	linkHidden = 0x1380 // has it in x9 around a system call, of which its call frame information knows nothing
	linkDies   = 0x13c0 // ends with a call
	linkEnd    = 0x1400
	linkMask   = 0x007f_0000_0000_0000 // bits 54 to 48, as with 48-bit addresses
	linkSigned = 0x0035_0000_0000_0000
)

// bl is a call from one image address to another, b a jump.
func bl(from, to uint32) uint32 { return 0x94000000 | (to-from)/4&0x3ffffff }
func b(from, to uint32) uint32  { return bl(from, to) &^ (1 << 31) }

// linkedCode has the functions' instructions.
var linkedCode = map[uint32][]uint32{
	linkStart: {bl(linkStart, linkMain), 0xd4200000, bl(linkStart+8, linkWrong), 0xd4200000}, // brk
	linkMain: {0xa9be7bfd, 0x910003fd, // stp x29, x30, [sp, #-32]!; mov x29, sp
		bl(linkMain+8, linkWork), bl(linkMain+12, linkPLT), 0xd63f0000, bl(linkMain+20, linkF), bl(linkMain+24, linkClang), // blr x0
		bl(linkMain+28, linkSign), bl(linkMain+32, linkSignB), bl(linkMain+36, linkHop), bl(linkMain+40, linkKeep),
		0xa8c27bfd, 0xd65f03c0}, // ldp x29, x30, [sp], #32; ret
	linkWork:   {0xd4000001, 0xd503201f, 0xd65f03c0},                                                                 // svc #0; nop; ret
	linkF:      {0xa9bf7bfd, bl(linkF+4, linkWork), 0xd63f0000, b(linkF+12, linkVeneer), 0xa8c17bfd, 0xd65f03c0},     // stp; ldp x29, x30, [sp], #16
	linkPLT:    {0x90000050, 0xf9400211, 0x91000210, 0xd61f0220},                                                     // adrp x16, 9000; ldr x17, [x16]; add x16, x16, #0; br x17
	linkLeaf:   {0xb4000060, 0x8b2463e4, 0xf9400000, 0xd65f03c0},                                                     // cbz x0, .+12; add x4, sp, x4; ldr x0, [x0]; ret
	linkVeneer: {0xf9400003, b(linkVeneer+4, linkF+16)},                                                              // ldr x3, [x0]
	linkTramp:  {0xd2801168, 0xd4000001},                                                                             // mov x8, #139; svc #0
	linkBare:   {0xa9bf7bfd, 0xd503201f, 0xa8c17bfd, 0xd65f03c0},                                                     // stp; nop; ldp; ret
	linkClang:  {0xa9bf7bfd, 0x910003fd, 0xd503201f, bl(linkClang+12, linkWork), 0xa8c17bfd, 0xd65f03c0},             // stp; mov x29, sp; nop; ldp; ret
	linkWrong:  {0xa9be7bfd, 0x910003fd, bl(linkWrong+8, linkWork), 0xa8c27bfd, 0xd65f03c0},                          // stp x29, x30, [sp, #-32]!; mov x29, sp; ldp; ret
	linkSign:   {0xb40000c0, 0xd503233f, 0xa9bf7bfd, bl(linkSign+12, linkWork), 0xa8c17bfd, 0xd50323bf, 0xd65f03c0},  // cbz x0, .+24; paciasp; autiasp
	linkSignB:  {0xb40000c0, 0xd503237f, 0xa9bf7bfd, bl(linkSignB+12, linkWork), 0xa8c17bfd, 0xd50323ff, 0xd65f03c0}, // pacibsp; autibsp
	linkHop:    {b(linkHop, linkWork)},
	linkThunk:  {0xd61f0020}, // br x1
	linkAtomic: {0x90000050, 0x39400210, 0x34000070, 0xb8e00020, 0xd65f03c0, // adrp x16; ldrb w16, [x16]; cbz w16, .+12; ldaddal w0, w0, [x1]; ret
		0x885ffc30, 0x0b000211, 0x880ffc31, 0x35ffffaf, 0xd65f03c0}, // ldaxr w16, [x1]; add w17, w16, w0; stlxr w15, w17, [x1]; cbnz w15, .-12; ret
	linkKeep:   {0xf81f0ff3, 0xaa1e03f3, bl(linkKeep+8, linkWork), 0xaa1303fe, 0xf84107f3, 0xd65f03c0}, // str x19, [sp, #-16]!; mov x19, x30; mov x30, x19; ldr x19, [sp], #16; ret
	linkHidden: {0xaa1e03e9, 0xf940007e, 0xd4000001, 0xd65f0120},                                       // mov x9, x30; ldr x30, [x3]; svc #0; ret x9
	linkDies:   {0xa9bf7bfd, bl(linkDies+4, linkWork)},                                                 // stp
}

// Programs of the call frame information: that of clang 14 says nothing of the prologue and the epilogue.
var (
	linkedLast  = []byte{0x07, 30}                                                    // DW_CFA_undefined x30
	linkedMain  = []byte{0x41, 0x0e, 32, 0x9d, 4, 0x9e, 3, 0x4b, 0x0e, 0, 0xdd, 0xde} // 4: def_cfa_offset 32, x29 at -32, x30 at -24; 48: restored
	linkedF     = []byte{0x41, 0x0e, 16, 0x9d, 2, 0x9e, 1, 0x44, 0x0e, 0, 0xdd, 0xde} // the same with 16 bytes
	linkedClang = []byte{0x42, 0x0c, 29, 16, 0x9d, 2, 0x9e, 1}                        // 8: def_cfa x29, 16
	linkedWrong = []byte{0x41, 0x0e, 32, 0x9d, 4, 0x9e, 1, 0x43, 0x0e, 0, 0xdd, 0xde} // 4: def_cfa_offset 32, x29 at -32, x30 at -8; 16: restored
	// 8: DW_CFA_AARCH64_negate_ra_state; 12: a frame of 16 bytes; 20: restored; 24: negate_ra_state
	linkedSign = []byte{0x42, 0x2d, 0x41, 0x0e, 16, 0x9d, 2, 0x9e, 1, 0x42, 0x0e, 0, 0xdd, 0xde, 0x41, 0x2d}
	// 4: a frame of 16 bytes, x19 at -16; 8: DW_CFA_register x30, x19; 16: restored; 20: no frame
	linkedKeep  = []byte{0x41, 0x0e, 16, 0x93, 2, 0x41, 0x09, 30, 19, 0x42, 0xde, 0x41, 0x0e, 0, 0xd3}
	linkedDies  = []byte{0x41, 0x0e, 16, 0x9d, 2, 0x9e, 1} // 4: a frame of 16 bytes
	linkedProgs = map[uint32][]byte{linkStart: linkedLast, linkMain: linkedMain, linkWork: nil, linkF: linkedF, linkClang: linkedClang, linkWrong: linkedWrong,
		linkSign: linkedSign, linkSignB: linkedSign, linkHop: nil, linkThunk: nil, linkAtomic: nil, linkKeep: linkedKeep, linkHidden: nil, linkDies: linkedDies}
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
	keyA := b.record(0, []byte{1, 'z', 'R', 0, 4, 0x78, 30, 1, 0x04, 0x0c, 31, 0})
	keyB := b.record(0, []byte{1, 'z', 'R', 'B', 0, 4, 0x78, 30, 1, 0x04, 0x0c, 31, 0})
	for at, prog := range linkedProgs {
		c := keyA
		if at == linkSignB {
			c = keyB
		}
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
		{addr: altLow, data: make([]byte, altHigh-altLow)},
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

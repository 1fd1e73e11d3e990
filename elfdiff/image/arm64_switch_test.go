package image

import (
	"debug/elf"
	"testing"
)

// TestSwitchInLoop reads a switch whose table's address is made in front of a loop around it, to which the cases lead back. Until the table is known,
// nothing is known to lead to the second case: it must not count as code from which the loop is entered without the address. The stack pointer is
// not what cset reads, although it has the number of the register that is always zero.
func TestSwitchInLoop(t *testing.T) {
	code := words(
		0xd10083ff, // sub sp, sp, #32
		0xd000001c, // adrp x28, 0x3000
		0x9100039c, // add x28, x28, #0
		0xf90007fc, // str x28, [sp, #8]
		0x51000420, // 10: sub w0, w1, #1
		0xd503201f, // nop
		0x97fffffa, // bl f
		0xf94007fc, // ldr x28, [sp, #8]
		0x7100041f, // cmp w0, #1
		0x54000128, // b.hi 48
		0x78605b80, // ldrh w0, [x28, w0, uxtw #1]
		0x10000063, // adr x3, 38
		0x8b20a860, // add x0, x3, w0, sxth #2
		0xd61f0000, // br x0
		0x11000421, // 38: add w1, w1, #1
		0x17fffff5, // b 10
		0x11000821, // 40: add w1, w1, #2
		0x17fffff3, // b 10
		0x910083ff, // 48: add sp, sp, #32
		0xd65f03c0, // ret
	)
	file := arm64File(elf.ET_DYN, code)
	for i := range file.sections {
		if file.sections[i].name == ".rodata" {
			file.sections[i].data = []byte{0, 0, 2, 0}
		}
	}
	b := file.load(t).mustBody(t, "f")
	if len(b.Tables) != 1 || len(b.Tables[0].Entries) != 2 || b.Tables[0].Entries[1].Off != 0x40 || len(b.Escapes) != 0 || len(b.Indirect) != 0 {
		t.Errorf("tables %+v, escapes %+v, indirect jumps %v", b.Tables, b.Escapes, b.Indirect)
	}
}

// TestSwitchOnCopy reads a switch on a register of which another one was compared, a copy, with branches between. Only where both are sure to
// be equal does the comparison say how many entries the table has.
func TestSwitchOnCopy(t *testing.T) {
	table := []uint32{ // behind the comparison
		0x54000128, // b.hi ret
		0xd0000009, // adrp x9, 0x3000
		0x91000129, // add x9, x9, #0
		0x78665929, // ldrh w9, [x9, w6, uxtw #1]
		0x10000067, // adr x7, the first nop
		0x8b29a8e9, // add x9, x7, w9, sxth #2
		0xd61f0120, // br x9
		0xd503201f, // nop
		0xd503201f, // nop
		0xd65f03c0, // ret
	}
	for _, c := range []struct {
		name  string
		code  []uint32
		found bool
	}{
		{name: "a copy: mov w6, w5; cmp w5, #4; b.eq ret; cmp w5, #1", code: []uint32{0x2a0503e6, 0x710010bf, 0x54000160, 0x710004bf}, found: true},
		{name: "the other way round: mov w5, w6; cmp w5, #4; b.eq ret; cmp w5, #1", code: []uint32{0x2a0603e5, 0x710010bf, 0x54000160, 0x710004bf}, found: true},
		{name: "a copy of a copy: mov w8, w5; mov w6, w8; cbz w0, ret; cmp w5, #1", code: []uint32{0x2a0503e8, 0x2a0803e6, 0x34000160, 0x710004bf}, found: true},
		{name: "changed since: mov w6, w5; cmp w5, #4; b.eq ret; add w6, w6, #1; cmp w5, #1", code: []uint32{0x2a0503e6, 0x710010bf, 0x54000180, 0x110004c6, 0x710004bf}, found: false},
		{name: "the other changed since: mov w6, w5; cmp w5, #4; b.eq ret; ldr w5, [x1]; cmp w5, #1", code: []uint32{0x2a0503e6, 0x710010bf, 0x54000180, 0xb9400025, 0x710004bf}, found: false},
		{name: "changed behind the comparison: mov w6, w5; cbz w0, ret; cmp w5, #1; add w5, w5, #1; mov w8, w5", code: []uint32{0x2a0503e6, 0x340001a0, 0x710004bf, 0x110004a5, 0x2a0503e8}, found: false},
		{name: "a copy on one way: cbz w0, 2f; mov w6, w5; 2: cmp w5, #1", code: []uint32{0x34000040, 0x2a0503e6, 0x710004bf}, found: false},
		{name: "a copy of another: mov w6, w5; cbz w0, 2f; mov w6, w8; 2: cmp w5, #1", code: []uint32{0x2a0503e6, 0x34000040, 0x2a0803e6, 0x710004bf}, found: false},
		{name: "plus zero: add x6, x5, #8; cmp w5, #4; b.eq ret; cmp w5, #1", code: []uint32{0x910020a6, 0x710010bf, 0x54000160, 0x710004bf}, found: false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := arm64File(elf.ET_DYN, words(append(c.code, table...)...))
			for i := range file.sections {
				if file.sections[i].name == ".rodata" {
					file.sections[i].data = []byte{0, 0, 1, 0}
				}
			}
			im := file.load(t)
			b, err := im.Body(im.Named("f")[0])
			if err != nil {
				t.Fatal(err)
			}
			if found := len(b.Tables) == 1 && b.Tables[0].Bounded && len(b.Tables[0].Entries) == 2; found != c.found {
				t.Errorf("tables %+v", b.Tables)
			}
		})
	}
}

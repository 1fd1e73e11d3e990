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

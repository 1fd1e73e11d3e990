package image

import (
	"debug/elf"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// TestRegisterChanges looks at what single instructions do to the register that holds a pointer.
func TestRegisterChanges(t *testing.T) {
	x86, err := machines.Lookup(elf.EM_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	const rax, rcx, r12 = 0, 1, 12
	for _, c := range []struct {
		name     string
		code     []byte
		reg      arch.Reg
		changes  bool
		accesses bool
		delta    int64 // added to the register; 0: not a step
	}{
		{name: "add $4,%rcx", code: []byte{0x48, 0x83, 0xc1, 0x04}, reg: rcx, changes: true, delta: 4},
		{name: "sub $8,%r12", code: []byte{0x49, 0x83, 0xec, 0x08}, reg: r12, changes: true, delta: -8},
		{name: "add $0x1000,%rcx", code: []byte{0x48, 0x81, 0xc1, 0x00, 0x10, 0x00, 0x00}, reg: rcx, changes: true, delta: 0x1000},
		{name: "cmp $4,%rcx", code: []byte{0x48, 0x83, 0xf9, 0x04}, reg: rcx},
		{name: "cmp %rax,%rcx", code: []byte{0x48, 0x39, 0xc1}, reg: rcx},
		{name: "test %rcx,%rcx", code: []byte{0x48, 0x85, 0xc9}, reg: rcx},
		{name: "sub %rax,%rcx", code: []byte{0x48, 0x29, 0xc1}, reg: rcx, changes: true},
		{name: "sub %rcx,%rax", code: []byte{0x48, 0x29, 0xc8}, reg: rcx},
		{name: "mov -4(%rcx),%eax", code: []byte{0x8b, 0x41, 0xfc}, reg: rcx, accesses: true},
		{name: "mov -4(%rcx),%ecx", code: []byte{0x8b, 0x49, 0xfc}, reg: rcx, changes: true, accesses: true},
		{name: "lea -4(%rcx),%rax", code: []byte{0x48, 0x8d, 0x41, 0xfc}, reg: rcx},
		{name: "mov (%rcx,%rax,4),%edx", code: []byte{0x8b, 0x14, 0x81}, reg: rcx},
		{name: "movzbl (%r12),%eax", code: []byte{0x41, 0x0f, 0xb6, 0x04, 0x24}, reg: r12, accesses: true},
		{name: "cmove %rax,%rcx", code: []byte{0x48, 0x0f, 0x44, 0xc8}, reg: rcx, changes: true},
		{name: "inc %rcx", code: []byte{0x48, 0xff, 0xc1}, reg: rcx, changes: true, delta: 1},
		{name: "shl %rcx", code: []byte{0x48, 0xd1, 0xe1}, reg: rcx, changes: true},
		{name: "div %rcx, of rax", code: []byte{0x48, 0xf7, 0xf1}, reg: rax, changes: true},
	} {
		in, err := x86.Decode(c.code)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var x arch.Transfer
		x86.Transfer(&x, c.code, &in)
		delta, _ := step(&x, c.reg)
		if got := x.Writes.Has(c.reg); got != c.changes {
			t.Errorf("%s: changes %v, want %v", c.name, got, c.changes)
		}
		if got := accesses(&x, c.reg); got != c.accesses {
			t.Errorf("%s: accesses %v, want %v", c.name, got, c.accesses)
		}
		if delta != c.delta {
			t.Errorf("%s: delta %d, want %d", c.name, delta, c.delta)
		}
	}
}

package x86

import (
	"bytes"
	"testing"

	"hotpatch/arch"
)

// transferOf describes an instruction, which has to be a whole one.
func transferOf(t *testing.T, code string) arch.Transfer {
	t.Helper()
	in, err := Decode([]byte(code))
	if err != nil || in.Len != len(code) {
		t.Fatalf("% x: length %d, %v", code, in.Len, err)
	}
	var x arch.Transfer
	Transfer(&x, []byte(code), &in)
	return x
}

// TestTransfer looks at what single instructions do with the values in registers.
func TestTransfer(t *testing.T) {
	const rax, rcx, rdx, rbx, rsp, rbp, r12 = regAX, regCX, regDX, regBX, regSP, regBP, 12
	for _, c := range []struct {
		name, code       string
		kind             arch.TransferKind
		dst, src, src2   arch.Reg
		base, index      arch.Reg
		disp             int64
		width            uint8
		load, store      bool
		imm              int64
		writes           arch.Regs
		flags, writeBack bool
	}{
		{name: "lea 16(%rip),%rbx", code: "\x48\x8d\x1d\x10\x00\x00\x00", kind: arch.TransferAddress, dst: rbx, src: -1, src2: -1, base: -1, index: -1,
			disp: 23, writes: 1 << rbx},
		{name: "lea (%rdi,%rax,4),%rcx", code: "\x48\x8d\x0c\x87", kind: arch.TransferAddress, dst: rcx, src: -1, src2: -1, base: regDI, index: rax, writes: 1 << rcx},
		{name: "add $8,%r12", code: "\x49\x83\xc4\x08", kind: arch.TransferAddress, dst: r12, src: -1, src2: -1, base: r12, index: -1, disp: 8,
			writes: 1 << r12, flags: true},
		{name: "dec %rcx", code: "\x48\xff\xc9", kind: arch.TransferAddress, dst: rcx, src: -1, src2: -1, base: rcx, index: -1, disp: -1, writes: 1 << rcx, flags: true},
		{name: "add %rax,%rcx", code: "\x48\x01\xc1", kind: arch.TransferAddress, dst: rcx, src: -1, src2: -1, base: rcx, index: rax, writes: 1 << rcx, flags: true},
		{name: "sub %rax,%rcx", code: "\x48\x29\xc1", kind: arch.TransferCompare, dst: rcx, src: rcx, src2: rax, base: -1, index: -1, writes: 1 << rcx, flags: true},
		{name: "cmp %rax,8(%rcx)", code: "\x48\x39\x41\x08", kind: arch.TransferCompare, dst: -1, src: -1, src2: rax, base: rcx, index: -1, disp: 8, width: 8,
			load: true, flags: true},
		{name: "cmp $-8,%rcx", code: "\x48\x83\xf9\xf8", kind: arch.TransferCompare, dst: -1, src: rcx, src2: -1, base: -1, index: -1, imm: -8, flags: true},
		{name: "mov -4(%rcx),%eax", code: "\x8b\x41\xfc", kind: arch.TransferLoad, dst: rax, src: -1, src2: -1, base: rcx, index: -1, disp: -4, width: 4,
			load: true, writes: 1 << rax},
		{name: "mov %al,(%rcx)", code: "\x88\x01", kind: arch.TransferStore, dst: -1, src: rax, src2: -1, base: rcx, index: -1, width: 1, store: true},
		{name: "mov %ah,%cl", code: "\x88\xe1", kind: arch.TransferInsert, dst: rcx, src: rcx, src2: rax, base: -1, index: -1, writes: 1 << rcx},
		{name: "mov $-8,%rax", code: "\x48\xc7\xc0\xf8\xff\xff\xff", kind: arch.TransferConst, dst: rax, src: -1, src2: -1, base: -1, index: -1, imm: -8, writes: 1 << rax},
		{name: "mov $0xfffffff8,%eax", code: "\xb8\xf8\xff\xff\xff", kind: arch.TransferConst, dst: rax, src: -1, src2: -1, base: -1, index: -1, imm: 0xfffffff8,
			writes: 1 << rax},
		{name: "xor %ecx,%ecx", code: "\x31\xc9", kind: arch.TransferConst, dst: rcx, src: -1, src2: -1, base: -1, index: -1, writes: 1 << rcx, flags: true},
		{name: "or $-1,%rax", code: "\x48\x83\xc8\xff", kind: arch.TransferConst, dst: rax, src: -1, src2: -1, base: -1, index: -1, imm: -1, writes: 1 << rax, flags: true},
		{name: "or $-1,%eax", code: "\x83\xc8\xff", kind: arch.TransferConst, dst: rax, src: -1, src2: -1, base: -1, index: -1, imm: 0xffffffff, writes: 1 << rax,
			flags: true},
		{name: "xor %cx,%cx", code: "\x66\x31\xc9", kind: arch.TransferArith, dst: rcx, src: rcx, src2: rcx, base: -1, index: -1, writes: 1 << rcx, flags: true},
		{name: "cmovae %rcx,%rax", code: "\x48\x0f\x43\xc1", kind: arch.TransferSelect, dst: rax, src: rcx, src2: rax, base: -1, index: -1, writes: 1 << rax},
		{name: "push %rbp", code: "\x55", kind: arch.TransferStore, dst: -1, src: rbp, src2: -1, base: rsp, index: -1, disp: -8, width: 8, store: true,
			writes: 1 << rsp, writeBack: true},
		{name: "pop %r12", code: "\x41\x5c", kind: arch.TransferLoad, dst: r12, src: -1, src2: -1, base: rsp, index: -1, width: 8, load: true,
			writes: 1<<r12 | 1<<rsp, writeBack: true},
		{name: "movups (%rax),%xmm0", code: "\x0f\x10\x00", kind: arch.TransferLoad, dst: -1, src: -1, src2: -1, base: rax, index: -1, load: true},
		{name: "xchg %rax,(%rcx)", code: "\x48\x87\x01", kind: arch.TransferOther, dst: -1, src: rax, src2: -1, base: rcx, index: -1, load: true, store: true,
			writes: 1 << rax, flags: true},
		{name: "jmp", code: "\xeb\x00", kind: arch.TransferNone, dst: -1, src: -1, src2: -1, base: -1, index: -1},
		{name: "loop", code: "\xe2\x00", kind: arch.TransferNone, dst: -1, src: -1, src2: -1, base: -1, index: -1, writes: 1 << rcx},
	} {
		x := transferOf(t, c.code)
		if x.Kind != c.kind || x.Dst != c.dst || x.Src != c.src || x.Src2 != c.src2 || x.Imm != c.imm || x.Writes != c.writes || x.Flags != c.flags || x.WriteBack != c.writeBack {
			t.Errorf("%s: %+v", c.name, x)
		}
		if m := &x.Mem; m.Base != c.base || m.Index != c.index || m.Disp != c.disp || m.Width != c.width || m.Load != c.load || m.Store != c.store {
			t.Errorf("%s: memory %+v", c.name, *m)
		}
	}
}

// FuzzTransfer holds what is said of an instruction against the tables of effects: every general register that those say is written
// is in Writes, and every one that is read is in Reads or Src, Src2 and Mem.
func FuzzTransfer(f *testing.F) {
	for _, s := range []string{"\x48\x89\xc1", "\xf0\x0f\xb1\x17", "\xc5\xf8\x10\x00", "\x48\x0f\xc8", "\xf7\xf1", "\x66\x01\xc8", "\xd3\xe0", "\x0f\xa2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		in, err := Decode(code)
		if err != nil || in.Flow != arch.FlowNext || IsNop(code[:in.Len], &in) || isHint(code[:in.Len]) {
			return
		}
		var x arch.Transfer
		Transfer(&x, code, &in)
		e, ok := Effects(code[:in.Len], &in)
		if !ok {
			return
		}
		if lost := arch.Regs(e.Write&convention.General) &^ x.Writes; lost != 0 {
			t.Errorf("% x: %+v does not write %#x", code[:in.Len], x, lost)
		}
		read := x.Reads | x.Src.Bit() | x.Src2.Bit() | x.Mem.Base.Bit() | x.Mem.Index.Bit()
		if lost := arch.Regs(e.Read&convention.General) &^ read; lost != 0 && x.Kind != arch.TransferConst { // or $-1,%eax
			t.Errorf("% x: %+v does not read %#x", code[:in.Len], x, lost)
		}
	})
}

// isHint reports whether an instruction may be a prefetch or a long nop, which use an operand to no effect (SDM, PREFETCHW, PREFETCHh, NOP).
func isHint(code []byte) bool {
	i := bytes.IndexByte(code, 0x0f)
	return i >= 0 && i+1 < len(code) && (code[i+1] == 0x0d || code[i+1] >= 0x18 && code[i+1] <= 0x1f)
}

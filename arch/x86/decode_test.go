package x86

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"hotpatch/arch"
)

// unhex turns "48 8b 05" into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ops(list ...arch.Operand) (ops [2]arch.Operand) {
	copy(ops[:], list)
	return ops
}

var decodeTests = []struct {
	name string
	code string
	want arch.Inst
}{
	{
		name: "jmp short", code: "eb fe",
		want: arch.Inst{Len: 2, Flow: arch.FlowJump, Target: 0, BrOff: 1, BrSize: 1},
	},
	{
		name: "jcc near", code: "0f 84 10 00 00 00",
		want: arch.Inst{Len: 6, Flow: arch.FlowBranch, Target: 0x16, BrOff: 2, BrSize: 4},
	},
	{
		name: "call after a padding prefix", code: "67 e8 fa ff ff ff",
		want: arch.Inst{Len: 6, Flow: arch.FlowCall, Target: 0, BrOff: 2, BrSize: 4},
	},
	{
		name: "call of __tls_get_addr", code: "66 66 48 e8 00 00 00 00",
		want: arch.Inst{Len: 8, Flow: arch.FlowCall, Target: 8, BrOff: 4, BrSize: 4},
	},
	{
		name: "xbegin", code: "c7 f8 00 01 00 00",
		want: arch.Inst{Len: 6, Flow: arch.FlowBranch, Target: 0x106, BrOff: 2, BrSize: 4},
	},
	{
		name: "call through a slot", code: "ff 15 00 10 00 00",
		want: arch.Inst{Len: 6, Flow: arch.FlowCallInd, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 2, Size: 4, Width: 8, Value: 0x1006})},
	},
	{
		name: "lea", code: "48 8d 3d f9 ff ff ff",
		want: arch.Inst{Len: 7, NumOps: 1, MayNop: true, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 3, Size: 4, Addr: true, Value: 0})},
	},
	{
		name: "store of an immediate", code: "c7 05 00 01 00 00 44 33 22 11",
		want: arch.Inst{Len: 10, NumOps: 2, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 2, Size: 4, Width: 4, Write: true, Value: 0x10a},
			arch.Operand{Kind: arch.OpImm, Off: 6, Size: 4, Value: 0x11223344})},
	},
	{
		name: "thread pointer", code: "64 48 8b 04 25 00 00 00 00",
		want: arch.Inst{Len: 9, NumOps: 1, TLSBase: true, Ops: ops(
			arch.Operand{Kind: arch.OpAbs, Off: 5, Size: 4, Width: 8, Seg: true})},
	},
	{
		name: "thread-local word", code: "64 8b 04 25 fc ff ff ff",
		want: arch.Inst{Len: 8, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpAbs, Off: 4, Size: 4, Width: 4, Seg: true, Value: -4})},
	},
	{
		name: "rdfsbase", code: "f3 48 0f ae c0",
		want: arch.Inst{Len: 5, TLSBase: true},
	},
	{
		name: "movabs", code: "48 b8 88 77 66 55 44 33 22 11",
		want: arch.Inst{Len: 10, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpImm, Off: 2, Size: 8, Value: 0x1122334455667788})},
	},
	{
		name: "moffs", code: "a3 88 77 66 55 44 33 22 11",
		want: arch.Inst{Len: 9, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpAbs, Off: 1, Size: 8, Width: 4, Write: true, Value: 0x1122334455667788})},
	},
	{
		name: "and never holds an address", code: "25 00 f0 ff ff",
		want: arch.Inst{Len: 5, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpImm, Off: 1, Size: 4, Arith: true, Value: -0x1000})},
	},
	{
		name: "table with index", code: "ff 24 c5 00 20 40 00",
		want: arch.Inst{Len: 7, Flow: arch.FlowJumpInd, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpDisp, Off: 3, Size: 4, Width: 8, Value: 0x402000})},
	},
	{
		name: "vex scalar relative to rip", code: "c5 fb 58 05 00 10 00 00",
		want: arch.Inst{Len: 8, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 4, Size: 4, Width: 8, Value: 0x1008})},
	},
	{
		name: "vex packed store", code: "c5 fc 29 05 00 10 00 00",
		want: arch.Inst{Len: 8, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 4, Size: 4, Width: 32, Write: true, Value: 0x1008})},
	},
	{
		name: "evex broadcast", code: "62 f1 7c 58 58 05 00 10 00 00",
		want: arch.Inst{Len: 10, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 6, Size: 4, Width: 4, Value: 0x100a})},
	},
	{
		name: "evex full", code: "62 f1 7c 48 58 05 00 10 00 00",
		want: arch.Inst{Len: 10, NumOps: 1, Ops: ops(
			arch.Operand{Kind: arch.OpPC, Off: 6, Size: 4, Width: 64, Value: 0x100a})},
	},
	{name: "vzeroupper", code: "c5 f8 77", want: arch.Inst{Len: 3}},
	{name: "endbr64", code: "f3 0f 1e fa", want: arch.Inst{Len: 4}},
	{name: "ret", code: "c3", want: arch.Inst{Len: 1, Flow: arch.FlowReturn}},
	{name: "ud2", code: "0f 0b", want: arch.Inst{Len: 2, Flow: arch.FlowStop}},
	{name: "syscall", code: "0f 05", want: arch.Inst{Len: 2, Flow: arch.FlowSyscall}},
	{name: "notrack jmp", code: "3e ff e0", want: arch.Inst{Len: 3, Flow: arch.FlowJumpInd}},
}

func TestDecode(t *testing.T) {
	for _, test := range decodeTests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Arch.Decode(unhex(t, test.code))
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name string
		code string
		want error
	}{
		{name: "nothing", code: "", want: ErrTruncated},
		{name: "prefix only", code: "66", want: ErrTruncated},
		{name: "half a displacement", code: "48 8b 05 00 00", want: ErrTruncated},
		{name: "half a VEX prefix", code: "c4 e2", want: ErrTruncated},
		{name: "push es", code: "06", want: ErrUnknown},
		{name: "reserved group member", code: "ff f8", want: ErrUnknown},
		{name: "reserved vvvv", code: "c5 70 77", want: ErrUnknown},
		{name: "broadcast of bytes", code: "62 f1 7d 58 fc 00", want: ErrUnknown},
		{name: "16 bytes", code: "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", want: ErrTooLong},
		{name: "lock on a register", code: "f0 01 c0", want: ErrPrefix},
		{name: "rex before a prefix", code: "48 66 89 c0", want: ErrPrefix},
		{name: "66 before VEX", code: "66 c5 f8 77", want: ErrPrefix},
		{name: "jump of 16 bits", code: "66 e9 00 00 00 00", want: ErrBranch16},
		{name: "eip", code: "67 8b 05 00 00 00 00", want: ErrEIP},
		{name: "REX2", code: "d5 10 01 c0", want: ErrAPX},
		{name: "extended EVEX", code: "62 f4 7c 18 01 c0 00", want: ErrUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if in, err := Decode(unhex(t, test.code)); !errors.Is(err, test.want) || in != (arch.Inst{}) {
				t.Errorf("got %+v, %v, want %v", in, err, test.want)
			}
		})
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	code := unhex(t, "c7 05 00 01 00 00 44 33 22 11")
	bad := unhex(t, "06")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = Decode(code)
		_, _ = Decode(bad)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

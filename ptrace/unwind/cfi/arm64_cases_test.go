package cfi

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"hotpatch/arch"
)

// signedArm64 is what clang 14 -target aarch64-linux-gnu -O2 -mbranch-protection=standard makes of
// a function with a frame, at address 0x1000+0x1000.
var signedArm64 = func() []byte {
	var b builder
	c := b.record(0, 1, 'z', 'R', 0, 1, 0x7c, 30, 1, encPCRel|encSdata4, cfaDefCFA, 31, 0)
	b.record(uint32(len(b.data))+4-c, 0xe4, 0x0f, 0, 0, 0x48, 0, 0, 0, 0,
		cfaAdvanceLoc|4, cfaNegateRAState,
		cfaAdvanceLoc|16, cfaDefCFA, 29, 32, cfaOffset|19, 4, cfaOffset|30, 6, cfaOffset|29, 8)
	return b.data
}()

// arm64FDE returns a section with one FDE 0x100..0x200 with the program, of a CIE as gcc has it for arm64: "zR", code alignment 4, data
// alignment -8, CFA = sp. Pointers are 8-byte absolute addresses.
func arm64FDE(prog ...byte) []byte { return arm64Section("zR", prog...) }

// arm64Section is arm64FDE with another augmentation, whose data is the pointer encoding.
func arm64Section(augmentation string, prog ...byte) []byte {
	var b builder
	body := append([]byte{1}, augmentation...)
	c := b.record(0, append(body, 0, 4, 0x78, 30, 1, encUdata8, cfaDefCFA, 31, 0)...)
	b.fde(c, 0x100, 0x100, prog...)
	return b.data
}

// vectorFrame is the CFA that gcc 12 -march=armv8-a+sve gives a function with 18 vectors in its frame: sp + 16 + 144*VG.
var vectorFrame = []byte{cfaDefCFAExpression, 11, opBreg0 + 31, 0, opPlusUconst, 16, opBregx, 46, 0, opConst1u, 144, opMul, opPlus}

// arm64StepTests are programs and what a step by them gives. The registers are xN = 0x100*N, and the vectors have 256 bits.
var arm64StepTests = []struct {
	name string
	prog []byte
	mem  words
	sign uint8
	want map[int]uint64 // registers of the caller
	lost []int          // registers that are not known there
	cfa  arch.Addr
	err  string
}{
	{name: "leaf", cfa: 0x1f00, want: map[int]uint64{32: 0x1e00, 31: 0x1f00, 19: 0x1300, 29: 0x1d00, VG: 4}, lost: []int{0, 18, 30}},
	{name: "leaf, by word", prog: []byte{cfaSameValue, 30}, cfa: 0x1f00, want: map[int]uint64{32: 0x1e00}, lost: []int{30}},
	{name: "frame record", prog: []byte{cfaDefCFAOffset, 32, cfaOffset | 29, 4, cfaOffset | 30, 3}, mem: words{0x1f00: 0xf, 0x1f08: 0x1234},
		cfa: 0x1f20, want: map[int]uint64{32: 0x1234, 31: 0x1f20, 29: 0xf}, lost: []int{30}},
	{name: "frame pointer", prog: []byte{cfaDefCFA, 29, 16, cfaOffset | 29, 2, cfaOffset | 30, 1}, mem: words{0x1d00: 0xf, 0x1d08: 0x1234},
		cfa: 0x1d10, want: map[int]uint64{32: 0x1234, 31: 0x1d10, 29: 0xf}},
	{name: "return address in a scratch register", prog: []byte{cfaRegister, 30, 15}, cfa: 0x1f00, want: map[int]uint64{32: 0xf00}},
	{name: "signed", prog: []byte{cfaNegateRAState, cfaDefCFAOffset, 16, cfaOffset | 30, 1}, mem: words{0x1f08: 0x0033_0000_0000_1234},
		sign: RASigned, cfa: 0x1f10, want: map[int]uint64{32: 0x0033_0000_0000_1234}},
	{name: "signed with the pc", prog: []byte{cfaNegateRAStatePC}, sign: RASigned | RASignedPC, cfa: 0x1f00, want: map[int]uint64{32: 0x1e00}},
	{name: "authenticated", prog: []byte{cfaNegateRAState, cfaNegateRAState}, cfa: 0x1f00, want: map[int]uint64{32: 0x1e00}},
	{name: "sign state is remembered", prog: []byte{cfaNegateRAState, cfaRememberState, cfaNegateRAState, cfaRestoreState}, sign: RASigned, cfa: 0x1f00},
	{name: "sign state is set", prog: []byte{cfaSetRAState, 3, 0x7e}, sign: RASigned | RASignedPC, cfa: 0x1f00},
	{name: "sign state by an expression", prog: []byte{cfaValExpression, 34, 1, opLit0 + 1}, sign: RASigned, cfa: 0x1f00},
	{name: "sign state is restored", prog: []byte{cfaValExpression, 34, 1, opLit0 + 1, cfaRestoreExtended, 34}, cfa: 0x1f00},
	{name: "sign state is undefined", prog: []byte{cfaNegateRAState, cfaUndefined, 34}, cfa: 0x1f00},
	{name: "vectors in the frame", prog: vectorFrame, cfa: 0x1f00 + 16 + 144*4, want: map[int]uint64{32: 0x1e00, VG: 4}},
	{name: "saved vectors", prog: []byte{cfaExpression, 104, 2, opLit0, opPlus, cfaOffsetExtended, 72, 2}, cfa: 0x1f00, want: map[int]uint64{32: 0x1e00}},
	{name: "other length of vectors", prog: []byte{cfaOffsetExtended, 46, 1}, mem: words{0x1ef8: 2}, cfa: 0x1f00, want: map[int]uint64{VG: 2}},
	{name: "length of vectors is lost", prog: []byte{cfaUndefined, 46}, cfa: 0x1f00, lost: []int{VG}},
	{name: "no caller", prog: []byte{cfaUndefined, 30}, err: "outermost"},
	{name: "CFA from a vector register", prog: []byte{cfaDefCFAExpression, 4, opBregx, 0xc0, 0, 0}, err: "value of register 64 is not known"},
}

func TestArm64Step(t *testing.T) {
	regs := Regs{}
	for n := range 33 {
		regs.Set(n, 0x100*uint64(n))
	}
	regs.Set(VG, 4)
	for _, tt := range arm64StepTests {
		t.Run(tt.name, func(t *testing.T) {
			row := rowAt(t, arm64, arm64FDE(tt.prog...), 0x100)
			if row.RASign != tt.sign {
				t.Errorf("RA_SIGN_STATE is %d, want %d", row.RASign, tt.sign)
			}
			caller, cfa, err := row.Step(&regs, tt.mem)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("Step: error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || cfa != tt.cfa {
				t.Fatalf("Step: cfa %#x, %v; want %#x", cfa, err, tt.cfa)
			}
			for n, want := range tt.want {
				if got, ok := caller.Get(n); !ok || got != want {
					t.Errorf("register %d of the caller = %#x, %v; want %#x", n, got, ok, want)
				}
			}
			for _, n := range tt.lost {
				if got, ok := caller.Get(n); ok {
					t.Errorf("register %d of the caller is %#x, though nothing says so", n, got)
				}
			}
		})
	}
}

// TestLengthOfVectors refuses, by its name, a frame whose size depends on the length of vectors where that is not known: the processor has no scalable
// vectors, or nobody has asked the kernel.
func TestLengthOfVectors(t *testing.T) {
	regs := Regs{}
	for n := range 33 {
		regs.Set(n, 0x100*uint64(n))
	}
	row := rowAt(t, arm64, arm64FDE(vectorFrame...), 0x100)
	_, _, err := row.Step(&regs, words{})
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Reg != 46 || !strings.Contains(err.Error(), "register 46 (VG, the length of scalable vectors) is not known") {
		t.Errorf("Step: %v", err)
	}
	for _, vg := range []uint64{2, 4, 32} {
		regs.Set(VG, vg)
		if caller, cfa, err := row.Step(&regs, words{}); err != nil || uint64(cfa) != 0x1f00+16+144*vg || caller.Val[VG] != vg {
			t.Errorf("with %d words in a vector: CFA %#x, VG of the caller %d, %v", vg, cfa, caller.Val[VG], err)
		}
	}
}

func TestArm64Errors(t *testing.T) {
	for _, tt := range []struct {
		name string
		prog []byte
		want string
	}{
		{name: "sign state by a register", prog: []byte{cfaValExpression, 34, 2, opBreg0, 0}, want: "RA_SIGN_STATE is no constant"},
		{name: "sign state in memory", prog: []byte{cfaValExpression, 34, 2, opLit0, opDeref}, want: "RA_SIGN_STATE is no constant"},
		{name: "sign state of the CFA", prog: []byte{cfaValExpression, 34, 1, opDup}, want: "RA_SIGN_STATE is no constant"},
		{name: "sign state on the stack", prog: []byte{cfaOffsetExtended, 34, 1}, want: "RA_SIGN_STATE is given by the instruction: 0x5"},
		{name: "unknown sign state", prog: []byte{cfaSetRAState, 4, 0}, want: "unknown RA_SIGN_STATE: 0x4"},
		{name: "unknown sign state by an expression", prog: []byte{cfaValExpression, 34, 1, opLit0 + 9}, want: "unknown RA_SIGN_STATE: 0x9"},
		{name: "CFA from the length of vectors", prog: []byte{cfaDefCFA, 46, 0}, want: "not tracked: 0x2e"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, err := Parse(arm64, arm64FDE(tt.prog...), 0, binary.LittleEndian)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = table.FDEs()[0].Row(0x1ff); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Row: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestSigned evaluates what clang makes of a function that signs its return address.
func TestSigned(t *testing.T) {
	for _, tt := range []struct {
		name string
		pc   arch.ImageAddr
		cfa  Rule
		sign uint8
	}{
		{name: "entry", pc: 0x2000, cfa: Rule{Kind: RuleRegister, Reg: 31}},
		{name: "behind paciasp", pc: 0x2004, cfa: Rule{Kind: RuleRegister, Reg: 31}, sign: RASigned},
		{name: "body", pc: 0x2020, cfa: Rule{Kind: RuleRegister, Reg: 29, Off: 32}, sign: RASigned},
	} {
		if row := rowAt(t, arm64, signedArm64, tt.pc); row.CFA != tt.cfa || row.RASign != tt.sign {
			t.Errorf("%s: CFA %+v, signed %d; want %+v, %d", tt.name, row.CFA, row.RASign, tt.cfa, tt.sign)
		}
	}
}

func TestBKey(t *testing.T) {
	for augmentation, want := range map[string]bool{"zR": false, "zRB": true, "zRBS": true} {
		table, err := Parse(arm64, arm64Section(augmentation), 0, binary.LittleEndian)
		if err != nil {
			t.Fatal(err)
		}
		if c := table.FDEs()[0].CIE; c.BKey != want || c.SignalFrame != strings.HasSuffix(augmentation, "S") {
			t.Errorf("%s: B key %v, signal frame %v", augmentation, c.BKey, c.SignalFrame)
		}
	}
}

// TestBareRows steps over frames that no call frame information describes.
func TestBareRows(t *testing.T) {
	regs := Regs{}
	for n := range 33 {
		regs.Set(n, 0x1000*uint64(n))
	}
	row := BareRow(arm64, 16)
	caller, cfa, err := row.Step(&regs, nil)
	if pc, _ := caller.Get(32); err != nil || pc != 0x1e000 || cfa != 0x1f010 || caller.Val[31] != 0x1f010 || row.SignalFrame {
		t.Errorf("bare row: pc %#x, cfa %#x, %v", pc, cfa, err)
	}
	mem := words{}
	for n := range 33 {
		mem[arch.Addr(0x1f000+312+8*n)] = 0xabc0000 + uint64(n)
	}
	row = SignalRow(arm64)
	caller, cfa, err = row.Step(&regs, mem)
	if err != nil || cfa != 0x1f000 || !row.SignalFrame {
		t.Fatalf("signal row: cfa %#x, %v", cfa, err)
	}
	for n := range 33 {
		if v, ok := caller.Get(n); !ok || v != 0xabc0000+uint64(n) {
			t.Errorf("interrupted register %d is %#x, %v", n, v, ok)
		}
	}
}

// TestReturnColumn reads a CIE whose return address column is x15, as glibc's static arm64 library has one.
func TestReturnColumn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		arch   *arch.Arch
		column byte
		want   uint64 // pc of the caller; 0: an error
	}{
		{name: "x15", arch: arm64, column: 15, want: 0xf00},
		{name: "x30", arch: arm64, column: 30, want: 0x1e00},
		{name: "pc", arch: arm64, column: 32},
		{name: "vector register", arch: arm64, column: 64},
		{name: "other register of x86-64", arch: amd64, column: 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b builder
			c := b.record(0, 1, 'z', 'R', 0, 4, 0x78, tt.column, 1, encUdata8, cfaDefCFA, 31, 0)
			b.fde(c, 0x100, 0x100)
			_, err := Parse(tt.arch, b.data, 0, binary.LittleEndian)
			if (err == nil) != (tt.want != 0) {
				t.Fatalf("Parse: %v", err)
			}
			if err != nil {
				return
			}
			regs := Regs{}
			for n := range 32 {
				regs.Set(n, 0x100*uint64(n))
			}
			row := rowAt(t, tt.arch, b.data, 0x100)
			caller, _, err := row.Step(&regs, nil)
			if pc, _ := caller.Get(tt.arch.DWARF.PCReg()); err != nil || pc != tt.want {
				t.Errorf("Step: pc %#x, %v; want %#x", pc, err, tt.want)
			}
		})
	}
}

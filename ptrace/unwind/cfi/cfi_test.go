package cfi

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
)

// builder builds .eh_frame sections by hand.
type builder struct{ data []byte }

// record appends a record: length, id and body padded with DW_CFA_nop. It returns its offset.
func (b *builder) record(id uint32, body ...byte) uint32 {
	off := uint32(len(b.data))
	for len(body)%4 != 0 {
		body = append(body, cfaNop)
	}
	b.data = binary.LittleEndian.AppendUint32(b.data, uint32(4+len(body)))
	b.data = binary.LittleEndian.AppendUint32(b.data, id)
	b.data = append(b.data, body...)
	return off
}

// cie appends a version 1 CIE with augmentation "zR", pointers as 8-byte absolute
// addresses and the usual start of an x86-64 function: CFA = rsp+8, ra at CFA-8.
func (b *builder) cie() uint32 {
	return b.record(0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, encUdata8,
		cfaDefCFA, 7, 8, cfaOffset|16, 1)
}

// fde appends an FDE of cie for [start, start+size) with a program.
func (b *builder) fde(cie uint32, start, size uint64, prog ...byte) uint32 {
	body := binary.LittleEndian.AppendUint64(nil, start)
	body = binary.LittleEndian.AppendUint64(body, size)
	body = append(body, 0)
	return b.record(uint32(len(b.data))+4-cie, append(body, prog...)...)
}

// simple returns a section with one FDE 0x100..0x140 with the program.
func simple(prog ...byte) []byte {
	var b builder
	b.fde(b.cie(), 0x100, 0x40, prog...)
	return b.data
}

// sampleSections seed the fuzzer.
var sampleSections = []struct {
	name string
	data []byte
}{
	{name: "plain", data: simple(cfaAdvanceLoc|1, cfaDefCFAOffset, 16, cfaOffset|6, 2)},
	{name: "expression", data: simple(cfaDefCFAExpression, 4, opBreg0+7, 8, opDeref, opDup, cfaValExpression, 3, 2, opLit0+5, opPlus)},
	{name: "loop", data: simple(cfaDefCFAExpression, 5, opLit0, opDup, opSkip, 0xfb, 0xff)},
	{name: "remember", data: simple(cfaRememberState, cfaAdvanceLoc|4, cfaRestoreState, cfaRestore|16, cfaSetLoc, 0x20, 1, 0, 0, 0, 0, 0, 0)},
	{name: "all augmentations", data: augmented()},
	{name: "arm64", data: signedArm64},
	{name: "arm64, vectors", data: arm64FDE(vectorFrame...)},
	{name: "arm64, sign state", data: arm64FDE(cfaSetRAState, 3, 0x7f, cfaNegateRAStatePC, cfaValExpression, 34, 1, opLit0+1)},
}

// augmented is a section with a CIE "zPLRS" (personality in an indirect slot, as PIE
// code has it) and an FDE with an LSDA.
func augmented() []byte {
	var b builder
	c := b.record(0, 3, 'z', 'P', 'L', 'R', 'S', 0, 1, 0x78, 16, 7, encIndirect|encPCRel|encSdata4, 0x40, 0, 0, 0,
		encPCRel|encSdata4, encPCRel|encSdata4, cfaDefCFA, 7, 8, cfaOffset|16, 1)
	b.record(uint32(len(b.data))+4-c, 0, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 4, 0x10, 0, 0, 0)
	return b.data
}

// words is a memory of 8-byte words.
type words map[arch.Addr]uint64

var errUnmapped = errors.New("not mapped")

func (w words) ReadMem(buf []byte, addr arch.Addr) error {
	v, ok := w[addr]
	if !ok || len(buf) > 8 {
		return errUnmapped
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	copy(buf, b[:])
	return nil
}

func (w words) ReadUint(addr arch.Addr, size int) (uint64, error) {
	v, ok := w[addr]
	if !ok {
		return 0, errUnmapped
	}
	return v & (1<<(8*size-1)<<1 - 1), nil
}

// parseErrorTests are sections that Parse must refuse.
var parseErrorTests = []struct {
	name string
	data func() []byte
	want string
}{
	{name: "length beyond the end", data: func() []byte { return []byte{0xff, 0, 0, 0, 0, 0, 0, 0} }, want: "record goes beyond the end of the section; its length is: 0xff"},
	{name: "truncated length", data: func() []byte { return []byte{1, 0} }, want: "integer goes beyond"},
	{name: "extended length beyond the end", data: func() []byte {
		return []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0x80}
	}, want: "its length is: 0x8000000000000000"},
	{name: "version", data: func() []byte { var b builder; b.record(0, 2, 0, 1, 0x78, 16); return b.data }, want: "CIE version is not 1, 3 or 4: 0x2"},
	{name: "gcc 2", data: func() []byte { var b builder; b.record(0, 1, 'e', 'h', 0, 1, 0x78, 16); return b.data }, want: `augmentation of gcc 2 is not supported: "eh"`},
	{name: "unknown letter", data: func() []byte {
		var b builder
		b.record(0, 1, 'z', 'G', 0, 1, 0x78, 16, 0)
		return b.data
	}, want: `augmentation is not known: "zG"`},
	{name: "no z", data: func() []byte { var b builder; b.record(0, 1, 'R', 0, 1, 0x78, 16); return b.data }, want: `augmentation is not known: "R"`},
	{name: "string without end", data: func() []byte { var b builder; b.record(0, 1, 'z', 'R', 'R'); return b.data }, want: "string has no end"},
	{name: "other machine's column", data: func() []byte { var b builder; b.record(0, 1, 0, 1, 0x78, 30); return b.data }, want: "return address column is not the machine's: 0x1e"},
	{name: "address size", data: func() []byte {
		var b builder
		b.record(0, 4, 0, 4, 0, 1, 0x78, 16)
		return b.data
	}, want: "address size of CIE is not the machine's: 0x4"},
	{name: "segment", data: func() []byte { var b builder; b.record(0, 4, 0, 8, 2, 1, 0x78, 16); return b.data }, want: "segment selector of this size: 0x2"},
	{name: "data relative", data: func() []byte {
		var b builder
		c := b.record(0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, encDataRel|encSdata4)
		b.record(uint32(len(b.data))+4-c, 1, 0, 0, 0, 1, 0, 0, 0, 0)
		return b.data
	}, want: "relative to a base that .eh_frame does not have: 0x3b"},
	{name: "unknown encoding", data: func() []byte {
		var b builder
		c := b.record(0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x07)
		b.record(uint32(len(b.data))+4-c, 1, 0, 0, 0, 1, 0, 0, 0, 0)
		return b.data
	}, want: "unknown pointer encoding: 0x7"},
	{name: "CIE pointer before the section", data: func() []byte { var b builder; b.record(0x100, 0, 0); return b.data }, want: "CIE pointer leads before the section; it is: 0x100"},
	{name: "CIE pointer to an FDE", data: func() []byte {
		var b builder
		f := b.fde(b.cie(), 0x100, 0x10)
		b.record(uint32(len(b.data))+4-f, 0, 0)
		return b.data
	}, want: "CIE pointer does not lead to a CIE"},
	{name: "range wraps", data: func() []byte { var b builder; b.fde(b.cie(), 1<<63, 1<<63+1); return b.data }, want: "range wraps"},
	{name: "augmentation data too long", data: func() []byte {
		var b builder
		b.record(0, 1, 'z', 'R', 0, 1, 0x78, 16, 0x7f, 0)
		return b.data
	}, want: "block goes beyond"},
	{name: "CIE program", data: func() []byte { var b builder; b.record(0, 1, 0, 1, 0x78, 16, 0x3f); return b.data }, want: "unknown call frame instruction: 0x3f"},
	{name: "CIE advances", data: func() []byte { var b builder; b.record(0, 1, 0, 1, 0x78, 16, cfaAdvanceLoc|1); return b.data }, want: "advances backwards"},
}

func TestParseErrors(t *testing.T) {
	for _, tt := range parseErrorTests {
		t.Run(tt.name, func(t *testing.T) {
			table, err := Parse(amd64, tt.data(), 0, binary.LittleEndian)
			if table != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, %v; want an error with %q", table, err, tt.want)
			}
		})
	}
}

// stepTests are programs and what a step by them gives.
var stepTests = []struct {
	name string
	prog []byte
	mem  words
	want map[int]uint64 // registers of the caller
	cfa  arch.Addr
	err  string
}{
	{name: "entry", mem: words{0x7000: 0x1234}, cfa: 0x7008, want: map[int]uint64{16: 0x1234, 7: 0x7008, 3: 0x300, 12: 0xc00}},
	{name: "frame pointer", prog: []byte{cfaDefCFA, 6, 16, cfaOffset | 6, 2},
		mem: words{0x600: 0xbeef, 0x608: 0x1234}, cfa: 0x610, want: map[int]uint64{16: 0x1234, 6: 0xbeef, 7: 0x610}},
	{name: "signed offsets", prog: []byte{cfaDefCFASF, 7, 0x7e, cfaOffsetExtendedSF, 16, 0x7f},
		mem: words{0x7018: 0x1234}, cfa: 0x7010, want: map[int]uint64{16: 0x1234}},
	{name: "negative GNU offset", prog: []byte{cfaGNUNegOffset, 16, 1},
		mem: words{0x7010: 0x1234}, cfa: 0x7008, want: map[int]uint64{16: 0x1234}},
	{name: "value offset", prog: []byte{cfaValOffset, 3, 2, cfaValOffsetSF, 12, 0x7e},
		mem: words{0x7000: 1}, cfa: 0x7008, want: map[int]uint64{3: 0x7008 - 16, 12: 0x7008 + 16}},
	{name: "return address in a register", prog: []byte{cfaRegister, 16, 5}, cfa: 0x7008, want: map[int]uint64{16: 0x500}},
	{name: "same value of a scratch register", prog: []byte{cfaSameValue, 0}, mem: words{0x7000: 1}, cfa: 0x7008, want: map[int]uint64{0: 0}},
	{name: "CFA by expression", prog: []byte{cfaDefCFAExpression, 3, opBreg0 + 7, 8, opDeref},
		mem: words{0x7008: 0x8000, 0x7ff8: 0x1234}, cfa: 0x8000, want: map[int]uint64{16: 0x1234, 7: 0x8000}},
	{name: "register by expressions", prog: []byte{cfaExpression, 3, 2, opPlusUconst, 8, cfaValExpression, 12, 2, opLit0 + 3, opMinus},
		mem: words{0x7000: 1, 0x7010: 0x77}, cfa: 0x7008, want: map[int]uint64{3: 0x77, 12: 0x7005}},
	{name: "lazy PLT", prog: []byte{cfaDefCFAExpression, 11, opBreg0 + 7, 8, opBreg0 + 10, 0, opLit0 + 15, opAnd, opLit0 + 10, opGe, opLit0 + 3, opShl, opPlus},
		mem: words{0x7000: 0x1234}, cfa: 0x7008, want: map[int]uint64{16: 0x1234}},
	{name: "undefined return address", prog: []byte{cfaUndefined, 16}, err: "outermost"},
	{name: "return address lost", prog: []byte{cfaRegister, 16, 16}, cfa: 0x7008, err: "register 16 (ra) is not known"},
	{name: "unmapped stack", cfa: 0x7008, err: "register ra: not mapped"},
	{name: "endless expression", prog: []byte{cfaDefCFAExpression, 3, opSkip, 0xfd, 0xff}, err: "takes more steps than"},
	{name: "stack overflow", prog: []byte{cfaDefCFAExpression, 5, opLit0, opLit0, opSkip, 0xfb, 0xff}, err: "deeper stack than"},
	{name: "stack underflow", prog: []byte{cfaDefCFAExpression, 1, opPlus}, err: "empty stack"},
	{name: "division by zero", prog: []byte{cfaDefCFAExpression, 3, opLit0, opLit0, opDiv}, err: "divides by zero"},
	{name: "branch out", prog: []byte{cfaDefCFAExpression, 3, opSkip, 1, 0}, err: "branches out of itself; the distance is: 0x1"},
	{name: "address in an expression", prog: []byte{cfaDefCFAExpression, 9, opAddr, 0, 0, 0, 0, 0, 0, 0, 0}, err: "unknown operation"},
}

func TestStep(t *testing.T) {
	regs := Regs{}
	for n := range 16 {
		regs.Set(n, 0x100*uint64(n))
	}
	regs.Set(7, 0x7000) // rsp
	for _, tt := range stepTests {
		t.Run(tt.name, func(t *testing.T) {
			row := rowAt(t, amd64, simple(tt.prog...), 0x100)
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
			if _, ok := caller.Get(2); ok {
				t.Error("rcx is known in the caller, though calls do not preserve it")
			}
		})
	}
}

// rowAt parses a section of one FDE and returns its row at pc.
func rowAt(t *testing.T, a *arch.Arch, data []byte, pc arch.ImageAddr) Row {
	t.Helper()
	table, err := Parse(a, data, 0x1000, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	row, err := table.Find(pc).Row(pc)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func TestRowErrors(t *testing.T) {
	tests := []struct {
		name string
		prog []byte
		want string
	}{
		{name: "restore without remember", prog: []byte{cfaRestoreState}, want: "not remembered"},
		{name: "remembered too deeply", prog: slices.Repeat([]byte{cfaRememberState}, maxRemembered+1), want: "too deeply; the limit is: 0x8"},
		{name: "advance beyond the function", prog: []byte{cfaAdvanceLoc1, 0x41}, want: "to: 0x141"},
		{name: "set_loc backwards", prog: []byte{cfaAdvanceLoc | 0x10, cfaSetLoc, 8, 1, 0, 0, 0, 0, 0, 0}, want: "to: 0x108"},
		{name: "CFA from a vector register", prog: []byte{cfaDefCFA, 40, 0}, want: "not tracked: 0x28"},
		{name: "offset of an expression", prog: []byte{cfaDefCFAExpression, 1, opLit0, cfaDefCFAOffset, 8}, want: "not a register and an offset"},
		{name: "arm64 instruction", prog: []byte{cfaNegateRAState}, want: "not used on EM_X86_64: 0x2d"},
		{name: "LEB128 too long", prog: append([]byte{cfaDefCFAOffset}, append(slices.Repeat([]byte{0xff}, 10), 1)...), want: "exceeds 64 bits"},
		{name: "offset overflows", prog: []byte{cfaOffsetExtendedSF, 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f}, want: "factored offset exceeds 64 bits"},
		{name: "expression beyond the record", prog: []byte{cfaDefCFAExpression, 0x7f}, want: "block goes beyond"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, err := Parse(amd64, simple(tt.prog...), 0, binary.LittleEndian)
			if err != nil {
				t.Fatal(err)
			}
			_, err = table.FDEs()[0].Row(0x13f)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Row: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRememberRestore(t *testing.T) {
	data := simple(cfaAdvanceLoc|1, cfaDefCFAOffset, 16, cfaOffset|6, 2, cfaRememberState,
		cfaAdvanceLoc|1, cfaDefCFAOffset, 8, cfaRestore|6, cfaAdvanceLoc|1, cfaRestoreState)
	for _, tt := range []struct {
		pc         arch.ImageAddr
		cfa        int64
		rbp        RuleKind
		start, end arch.ImageAddr
	}{
		{pc: 0x100, cfa: 8, rbp: RuleNone, start: 0x100, end: 0x101},
		{pc: 0x101, cfa: 16, rbp: RuleOffset, start: 0x101, end: 0x102},
		{pc: 0x102, cfa: 8, rbp: RuleNone, start: 0x102, end: 0x103},
		{pc: 0x120, cfa: 16, rbp: RuleOffset, start: 0x103, end: 0x140},
	} {
		row := rowAt(t, amd64, data, tt.pc)
		if row.CFA.Off != tt.cfa || row.Regs[6].Kind != tt.rbp || row.Start != tt.start || row.End != tt.end {
			t.Errorf("row %#x: %+v, want %+v", tt.pc, row, tt)
		}
	}
}

func TestPtrFields(t *testing.T) {
	table, err := Parse(amd64, augmented(), 0x1000, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	f := table.FDEs()[0]
	if !f.SignalFrame || !f.PersonalityIndirect || f.Personality != 0x1000+20+0x40 {
		t.Errorf("FDE %+v: want a signal frame with an indirect personality at %#x", f, 0x1000+20+0x40)
	}
	rec := 0x1000 + arch.ImageAddr(f.Off)
	want := []PtrField{
		{Kind: PtrStart, Enc: encPCRel | encSdata4, Off: 8, Size: 4, Value: rec + 8 - 0x100},
		{Kind: PtrLSDA, Enc: encPCRel | encSdata4, Off: 17, Size: 4, Value: rec + 17 + 0x10},
	}
	if got, err := f.PtrFields(); err != nil || !slices.Equal(got, want) {
		t.Errorf("FDE.PtrFields = %+v, %v; want %+v", got, err, want)
	}
	wantCIE := []PtrField{{Kind: PtrPersonality, Enc: encIndirect | encPCRel | encSdata4, Off: 20, Size: 4, Value: f.Personality}}
	if got, err := f.CIE.PtrFields(); err != nil || !slices.Equal(got, wantCIE) {
		t.Errorf("CIE.PtrFields = %+v, %v; want %+v", got, err, wantCIE)
	}

	table, err = Parse(amd64, simple(cfaSetLoc, 0x20, 1, 0, 0, 0, 0, 0, 0), 0, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	f = table.FDEs()[0]
	if got, err := f.PtrFields(); err != nil || len(got) != 2 || got[1].Kind != PtrSetLoc || got[1].Value != 0x120 || got[1].Off != 26 {
		t.Errorf("PtrFields with set_loc = %+v, %v", got, err)
	}
	table, err = Parse(amd64, simple(cfaDefCFAExpression, 9, opAddr, 0, 0, 0, 0, 0, 0, 0, 0), 0, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := table.FDEs()[0].PtrFields(); err == nil || !strings.Contains(err.Error(), "cannot be relocated") {
		t.Errorf("PtrFields with DW_OP_addr = %+v, %v", got, err)
	}
}

func TestFindOverlap(t *testing.T) {
	var b builder
	c := b.cie()
	b.fde(c, 0x100, 0x100)
	b.fde(c, 0x180, 0x10, cfaDefCFAOffset, 16)
	b.fde(c, 0x300, 0x10)
	b.fde(c, 0x300, 0x10)
	b.fde(c, 0x400, 0)
	table, err := Parse(amd64, b.data, 0, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		pc    arch.ImageAddr
		start arch.ImageAddr // zero: nothing is found
	}{
		{name: "before", pc: 0xff},
		{name: "first", pc: 0x100, start: 0x100},
		{name: "two that differ", pc: 0x185},
		{name: "behind the inner one", pc: 0x190, start: 0x100},
		{name: "end", pc: 0x200},
		{name: "two that are equal", pc: 0x30f, start: 0x300},
		{name: "empty", pc: 0x400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := table.Find(tt.pc)
			if (f != nil) != (tt.start != 0) || f != nil && f.Start != tt.start {
				t.Errorf("Find(%#x) = %+v, want start %#x", tt.pc, f, tt.start)
			}
		})
	}
	if n := len(table.FDEs()); n != 4 {
		t.Errorf("%d FDEs, want 4 that cover something", n)
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	row := rowAt(t, amd64, simple(), 0x100)
	var mem Memory = words{0x7000: 0x1234}
	regs := Regs{}
	regs.Set(7, 0x7000)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := row.Step(&regs, mem); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Step allocates %v times", n)
	}
}

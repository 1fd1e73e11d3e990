package patch

import (
	"debug/elf"
	"testing"

	"hotpatch/arch"
)

// Symbols of samplePatch, by index after encoding (local ones first).
const (
	symTable   = iota // .rodata.table, local
	symBody           // new body of handle
	symHelper         // added function
	symCounter        // in .bss
	symState          // in the old image
	symHandle         // in the old image: version 0 of handle
	symStrtoul        // import with a version
	symTrace          // weak import
	symRing           // in .data
)

// samplePatch has one of everything: a changed, an added and a removed function, each kind of
// section, symbol and relocation, a renewed constant and a full report.
func samplePatch(t testing.TB) *Patch {
	t.Helper()
	old := []byte{0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 1, 2, 3, 4, 0x31, 0xc0, 0xc3}
	cold := []byte{0x0f, 0x0b}
	gone := []byte{0x31, 0xc0, 0xc3}
	return &Patch{
		Machine:  elf.EM_X86_64,
		Old:      Build{ID: []byte{1, 2, 3, 4}, HasBuildID: true, Name: "kvd", Type: elf.ET_DYN},
		New:      Build{ID: []byte{5, 6, 7, 8}, HasBuildID: true, Name: "kvd", Type: elf.ET_DYN, SONAME: "libkvd.so.1"},
		Sections: sampleSections(),
		Symbols:  sampleSymbols(),
		Funcs: []Func{
			{Name: "handle", How: Changed, New: symBody, Jump: Site{Off: 4, Room: 8, Fixed: "a call"}, Old: []Part{
				NewPart("handle", 0x1200, old, []Field{{Off: 5, Size: 4}}),
				NewPart("handle.cold", 0x1100, cold, nil),
			}, OldCode: Code{Calls: []int{0, 1}, Heads: true, More: Demand{Writes: 0x10006}}, NewCode: Code{Calls: []int{2}, Loops: true, More: Demand{Args: 0xc0, Why: "no debug information"}}},
			{Name: "gone", File: "kvd.c", How: Removed, New: -1, Old: []Part{NewPart("gone", 0x1300, gone, nil)}},
			{Name: "helper", How: Added, New: symHelper},
		},
		Consts: []Const{{
			Name: "table", Addr: 0x3000, Old: make([]byte, 16), New: Ref{Section: 2}, Fields: []Field{{Off: 0, Size: 8}, {Off: 8, Size: 8}},
			Readers: []Part{NewPart("reader", 0x1400, gone, nil)},
		}},
		Moves: []Move{{Name: "ring", File: "kvd.c", Old: 0x4100, Size: 48, Keep: 48, New: symRing}},
		Reach: Reach{
			New:     []Reached{{Addr: 0x1300, From: 0}, {Addr: 0x4000, From: 2}},
			Old:     []Reached{{Addr: 0x1400, From: 1}},
			Inlined: []string{"clamp", "twice"}, Unknown: "helper cannot be decoded",
		},
		Slots: []Slot{{Name: "strtol", Type: uint32(elf.R_X86_64_JMP_SLOT), Addr: 0x3fd0}},
		Map: []MapEntry{
			{New: 0x1200, Size: 40, Old: 0x1200, Sym: symBody},
			{New: 0x1300, Size: 7, Sym: symHelper},
			{New: 0x4000, Size: 64, Old: 0x4010, Sym: -1},
			{New: 0x4000, Size: 8, Old: 0x4010, Sym: -1},
		},
		Needed: []string{"libc.so.6"},
		Changes: []Change{
			{What: "function", Name: "handle", Change: "changed", Reasons: []Reason{{ReasonOwn, "own code", 2}, {ReasonString, `string "a\n" became "b"`, 0}}, Verdict: OK,
				Old: &Extent{0x1200, 12}, New: &Extent{0x1200, 40}},
			{What: "type", Name: "struct conn", Change: "changed", Verdict: NeedAck, Ack: "T1", Why: "member added at the end"},
			{What: "function", Name: "helper", Change: "added", Verdict: OK, New: &Extent{0x1300, 7}},
		},
		Notes: []Notes{
			{Func: 0, Old: true, Sym: -1, Operands: []Operand{{Off: 4, Text: "strtol"}}, Rows: []Row{{Off: 0, File: "kvd.c", Line: 40}, {Off: 9, File: "kvd.h", Line: 7}}},
			{Func: 0, Old: true, Part: 1, Sym: -1, Rows: []Row{{File: "kvd.c", Line: 41}}},
			{Func: 0, Sym: symBody, Operands: []Operand{{Off: 4, Text: "strtoul"}, {Off: 16, Text: `"a\n"`}}, Rows: []Row{{Off: 4, File: "kvd.c", Line: 40}}},
		},
		Acks: []Ack{{ID: "T1", User: "op", Date: "2026-11-21T01:02:03Z"}},
	}
}

func sampleSections() []Section {
	// handle: endbr64; call strtoul@PLT; mov state@GOTPCREL(%rip),%rax; lea table(%rip),%rdi;
	// mov trace@GOTPCREL(%rip),%rsi; call helper; jmp handle
	body := []byte{
		0xf3, 0x0f, 0x1e, 0xfa,
		0xe8, 0, 0, 0, 0,
		0x48, 0x8b, 0x05, 0, 0, 0, 0,
		0x48, 0x8d, 0x3d, 0, 0, 0, 0,
		0x48, 0x8b, 0x35, 0, 0, 0, 0,
		0xe8, 0, 0, 0, 0,
		0xe9, 0, 0, 0, 0,
	}
	r := func(off uint64, typ elf.R_X86_64, sym int, addend int64) Reloc {
		return Reloc{Off: off, Type: uint32(typ), Sym: sym, Addend: addend}
	}
	return []Section{
		{Name: ".text.handle", Kind: Text, Align: 16, Data: body, Size: uint64(len(body)), Relocs: []Reloc{
			r(5, elf.R_X86_64_PLT32, symStrtoul, -4),
			r(12, elf.R_X86_64_REX_GOTPCRELX, symState, -4),
			r(19, elf.R_X86_64_PC32, symTable, -4),
			r(26, elf.R_X86_64_REX_GOTPCRELX, symTrace, -4),
			r(31, elf.R_X86_64_PLT32, symHelper, -4),
			r(36, elf.R_X86_64_PLT32, symHandle, -4),
		}},
		{Name: ".text.helper", Kind: Text, Align: 16, Data: []byte{0xff, 0x05, 0, 0, 0, 0, 0xc3}, Size: 7, Relocs: []Reloc{
			r(2, elf.R_X86_64_PC32, symCounter, -4),
		}},
		{Name: ".rodata.table", Kind: ROData, Align: 8, Data: make([]byte, 16), Size: 16, Relocs: []Reloc{
			r(0, elf.R_X86_64_64, symHelper, 0),
			r(8, elf.R_X86_64_64, symState, 8),
		}},
		{Name: ".data.limit", Kind: Data, Align: 4, Data: []byte{7, 0, 0, 0}, Size: 4},
		{Name: ".bss.counter", Kind: BSS, Align: 64, Size: 4096},
		{Name: ".eh_frame", Kind: EHFrame, Align: 8, Data: sampleFrames(), Size: 48, Relocs: []Reloc{
			r(32, elf.R_X86_64_PC32, symBody, 0),
		}},
		{Name: ".data.ring", Kind: Data, Align: 32, Data: make([]byte, 64), Size: 64},
	}
}

// handleSize is the size of the new body of handle.
const handleSize = 40

func sampleSymbols() []Symbol {
	return []Symbol{
		symTable:   {Name: ".rodata.table", Kind: SymDefined, Section: 2, Size: 16, Local: true},
		symBody:    {Name: "handle", Kind: SymDefined, Section: 0, Size: handleSize, Func: true},
		symHelper:  {Name: "helper", Kind: SymDefined, Section: 1, Size: 7, Func: true},
		symCounter: {Name: "counter", Kind: SymDefined, Section: 4, Size: 4},
		symState:   {Name: "state", Kind: SymImage, Value: 0x4010, Size: 64},
		symHandle:  {Name: "handle", Kind: SymImage, Value: 0x1200, Size: 12, Func: true},
		symStrtoul: {Name: "strtoul", Kind: SymImport, Func: true, Version: "GLIBC_2.2.5"},
		symTrace:   {Name: "trace", Kind: SymImport, Func: true, Weak: true},
		symRing:    {Name: "ring", Kind: SymDefined, Section: 6, Size: 64},
	}
}

// sampleFrames is a CIE and one FDE as gas writes them for a function of 40 bytes.
func sampleFrames() []byte {
	return []byte{
		// CIE: version 1, "zR", code alignment 1, data alignment -8, return address 16,
		// FDE pointers pcrel|sdata4; DW_CFA_def_cfa r7+8, DW_CFA_offset r16 at cfa-8.
		20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0,
		// FDE: CIE 28 bytes back, pc_begin (relocated), range 40, no augmentation data.
		20, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	}
}

func mustEncode(t testing.TB, p *Patch) *File {
	t.Helper()
	f, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fixedResolver answers from a bias and a table of imports.
type fixedResolver struct {
	bias    arch.Addr
	imports map[string][2]arch.Addr // address, slot
}

func (r fixedResolver) Image(v arch.ImageAddr, _ *Symbol) (arch.Addr, error) {
	return v.In(r.bias), nil
}

func (r fixedResolver) Import(s *Symbol) (addr, slot arch.Addr, err error) {
	a := r.imports[s.Name]
	return a[0], a[1], nil
}

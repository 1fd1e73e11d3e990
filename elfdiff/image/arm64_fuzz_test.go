package image

import (
	"debug/elf"
	"testing"
)

// words are instructions of arm64 as bytes.
func words(ws ...uint32) []byte {
	var b []byte
	for _, w := range ws {
		b = order.AppendUint32(b, w)
	}
	return b
}

// arm64Switch is a function at textAddr with a table of two bytes at 0x3000, an object at dataAddr, one beside it that is reached from there, and a
// register that is spilled.
var arm64Switch = words(
	0xa9be7bfd,             // stp x29, x30, [sp, #-32]!
	0x910003fd,             // mov x29, sp
	0x7100041f,             // cmp w0, #1
	0x540001c8,             // b.hi 44
	0xd0000001,             // adrp x1, 0x3000
	0x91000021,             // add x1, x1, #0
	0x38604820,             // ldrb w0, [x1, w0, uxtw]
	0x10000061,             // adr x1, 28
	0x8b208821,             // add x1, x1, w0, sxtb #2
	0xd61f0020,             // br x1
	0xb0000002,             // 28: adrp x2, 0x2000
	0xf9000fe2,             // str x2, [sp, #24]
	0x97fffff4,             // bl f
	0xf9400fe2,             // ldr x2, [sp, #24]
	0xb9400043,             // ldr w3, [x2]
	0x91000042,             // add x2, x2, #0
	0xb9400843,             // ldr w3, [x2, #8]
	0xd53bd040,             // 44: mrs x0, tpidr_el0
	0x91400000,             // add x0, x0, #0, lsl #12
	0x91004000,             // add x0, x0, #16
	0xa8c27bfd, 0xd65f03c0, // ldp x29, x30, [sp], #32; ret
)

// arm64File is a file with code in one function, a table, two objects and a thread-local variable.
func arm64File(typ elf.Type, code []byte) *testFile {
	f := textFile(code, make([]byte, 32),
		testSymbol{name: "$x", shndx: inText, value: textAddr},
		testSymbol{name: "f", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: uint64(len(code))},
		testSymbol{name: "object", bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, shndx: inData, value: dataAddr, size: 8},
		testSymbol{name: "beside", bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, shndx: inData, value: dataAddr + 8, size: 8},
		testSymbol{name: "variable", bind: elf.STB_GLOBAL, typ: elf.STT_TLS, shndx: 6, value: 0, size: 8})
	f.typ, f.machine = typ, elf.EM_AARCH64
	f.sections = append(f.sections,
		testSection{name: ".rodata", flags: elf.SHF_ALLOC, addr: 0x3000, data: []byte{0, 7, 0, 0}},
		testSection{name: ".tdata", flags: elf.SHF_ALLOC | elf.SHF_WRITE | elf.SHF_TLS, addr: 0x6000, data: make([]byte, 8)})
	f.progs = append(f.progs, elf.Prog64{Type: uint32(elf.PT_TLS), Vaddr: 0x6000, Filesz: 8, Memsz: 8, Align: 8})
	return f
}

// FuzzArm64 takes any code of arm64, in a file that is otherwise good.
func FuzzArm64(f *testing.F) {
	for _, exec := range []bool{false, true} {
		f.Add(exec, arm64Switch)
		f.Add(exec, words(0x90000000, 0x14000002, 0xb0000000, 0x91000001, 0xd2a00002, 0xf2800202, 0xd53bd043, 0xb8626860, 0xd65f03c0))
	}
	f.Fuzz(func(t *testing.T, exec bool, code []byte) {
		if len(code) == 0 || len(code) > 1<<12 {
			return
		}
		typ := elf.ET_DYN
		if exec {
			typ = elf.ET_EXEC
		}
		checkFile(t, arm64File(typ, code).encode(t))
	})
}

// FuzzArm64Image changes fields of the file's description and bytes of its contents.
func FuzzArm64Image(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0, 4, 0x10, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0x15, 2, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, edits []byte) {
		file := arm64File(elf.ET_DYN, arm64Switch)
		file.apply(edits)
		checkFile(t, file.encode(t))
	})
}

// TestArm64Seed holds the fuzzers' seed to what it is for: everything in it is understood.
func TestArm64Seed(t *testing.T) {
	b := arm64File(elf.ET_DYN, arm64Switch).load(t).mustBody(t, "f")
	kinds := map[RefKind]int{}
	for i := range b.Refs {
		if r := &b.Refs[i]; r.Place.Kind == PlaceUnknown {
			t.Errorf("+%#x: %s", r.Off, r.Place.Why)
		}
		kinds[b.Refs[i].Kind]++
	}
	if len(b.Tables) != 1 || len(b.Tables[0].Entries) != 2 || b.Tables[0].EntrySize != 1 || !b.Tables[0].Bounded || len(b.Escapes) != 0 {
		t.Errorf("tables %+v, escapes %+v", b.Tables, b.Escapes)
	}
	reached := false // through the other's address
	for i := range b.Refs {
		p := &b.Refs[i].Place
		reached = reached || p.Atom != nil && p.Atom.Name == "beside" && p.Proven && b.Refs[i].Kind == RefMem
	}
	if !reached {
		t.Errorf("what lies beside an object is not reached from it: %+v", b.Refs)
	}
	if kinds[RefTLS] != 1 || kinds[RefPage] != 3 || len(b.Indirect) != 0 {
		t.Errorf("references %v, indirect jumps %v", kinds, b.Indirect)
	}
}

package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// testFile is an ELF file that a test makes byte by byte.
type testFile struct {
	typ      elf.Type
	machine  elf.Machine // 0: x86-64
	sections []testSection
	symbols  []testSymbol
	progs    []elf.Prog64
}

// testSection is a section; its number is its index in testFile.sections plus one.
type testSection struct {
	name    string
	typ     elf.SectionType // 0: SHT_PROGBITS
	flags   elf.SectionFlag
	addr    uint64
	data    []byte
	size    uint64 // of SHT_NOBITS
	link    uint32
	info    uint32
	entsize uint64
}

type testSymbol struct {
	name        string
	bind        elf.SymBind
	typ         elf.SymType
	shndx       elf.SectionIndex
	value, size uint64
}

const testHeader = 64 // bytes of an ELF file header

// encode lays the file out: header, program headers, contents, .symtab, .strtab, .shstrtab, section headers.
func (f *testFile) encode(t testing.TB) []byte {
	t.Helper()
	strs, syms := []byte{0}, make([]byte, elf.Sym64Size)
	for _, s := range f.symbols {
		e := elf.Sym64{Name: uint32(len(strs)), Info: elf.ST_INFO(s.bind, s.typ), Shndx: uint16(s.shndx), Value: s.value, Size: s.size}
		syms = append(syms, structBytes(t, e)...)
		strs = append(append(strs, s.name...), 0)
	}
	sections := append([]testSection{{typ: elf.SHT_NULL}}, f.sections...)
	strtab := uint32(len(sections) + 1)
	sections = append(sections,
		testSection{name: ".symtab", typ: elf.SHT_SYMTAB, data: syms, link: strtab, entsize: elf.Sym64Size},
		testSection{name: ".strtab", typ: elf.SHT_STRTAB, data: strs},
		testSection{name: ".shstrtab", typ: elf.SHT_STRTAB})
	names := []byte{}
	offs := make([]uint32, len(sections))
	for i, s := range sections {
		offs[i] = uint32(len(names))
		names = append(append(names, s.name...), 0)
	}
	sections[len(sections)-1].data = names
	out := make([]byte, testHeader)
	for _, p := range f.progs {
		out = append(out, structBytes(t, p)...)
	}
	var headers []byte
	for i, s := range sections {
		h := elf.Section64{Name: offs[i], Type: uint32(s.typ), Flags: uint64(s.flags), Addr: s.addr, Off: uint64(len(out)),
			Size: uint64(len(s.data)), Link: s.link, Info: s.info, Addralign: 1, Entsize: s.entsize}
		if s.typ == 0 && i > 0 {
			h.Type = uint32(elf.SHT_PROGBITS)
		}
		if s.typ == elf.SHT_NOBITS {
			h.Size = s.size
		}
		headers = append(headers, structBytes(t, h)...)
		out = append(out, s.data...)
	}
	machine := f.machine
	if machine == 0 {
		machine = elf.EM_X86_64
	}
	h := elf.Header64{Type: uint16(f.typ), Machine: uint16(machine), Version: 1, Phoff: testHeader, Shoff: uint64(len(out)),
		Ehsize: testHeader, Phentsize: 56, Phnum: uint16(len(f.progs)), Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1)}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	copy(out, structBytes(t, h))
	return append(out, headers...)
}

func structBytes(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, order, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// load reads the file, which must be good.
func (f *testFile) load(t testing.TB) *Image {
	t.Helper()
	b := f.encode(t)
	im, err := loadBytes("test", bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// section numbers of textFile.
const (
	inText elf.SectionIndex = 1 + iota
	inData
	inEmpty
	inDebug
)

const textAddr, dataAddr = 0x1000, 0x2000

// textFile is a position-independent file with code, data, an empty section and debug information.
func textFile(code, data []byte, symbols ...testSymbol) *testFile {
	return &testFile{typ: elf.ET_DYN, symbols: symbols,
		sections: []testSection{
			{name: ".text", flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, addr: textAddr, data: code},
			{name: ".data", flags: elf.SHF_ALLOC | elf.SHF_WRITE, addr: dataAddr, data: data},
			{name: ".empty", flags: elf.SHF_ALLOC | elf.SHF_WRITE, addr: textAddr},
			{name: ".debug_info", data: make([]byte, 0x4000)},
		},
		progs: []elf.Prog64{
			{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: textAddr, Filesz: uint64(len(code)), Memsz: uint64(len(code))},
			{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Vaddr: dataAddr, Filesz: uint64(len(data)), Memsz: uint64(len(data))},
		}}
}

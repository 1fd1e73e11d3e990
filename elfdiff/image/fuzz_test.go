package image

import (
	"bytes"
	"debug/elf"
	"os"
	"testing"

	"hotpatch/internal/victim"
)

// fuzzFile is a small file of the given kind: code with a call, a branch, a jump table and a reference to each object; relocated and
// thread-local data; symbols of every kind.
func fuzzFile(t testing.TB, typ elf.Type) *testFile {
	code := []byte{
		0x8d, 0x47, 0x00, // lea 0(%rdi), %eax
		0x48, 0x8d, 0x15, 0xf6, 0x1f, 0, 0, // lea table(%rip), %rdx
		0x48, 0x63, 0x04, 0x82, // movslq (%rdx,%rax,4), %rax
		0x48, 0x01, 0xd0, // add %rdx, %rax
		0xff, 0xe0, // jmp *%rax
		0x8b, 0x05, 0xe7, 0x0f, 0, 0, // mov object(%rip), %eax
		0x74, 1, 0xf0, 0x48, 0xff, 0x03, // je behind the prefix of lock incq (%rbx)
		0xff, 0x15, 0xe3, 0x0f, 0, 0, // call *slot(%rip)
		0x64, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff, // mov %fs:-8, %eax
		0xe8, 1, 0, 0, 0, // call g
		0xc3,       // ret
		0xc3, 0x90, // g
	}
	f := textFile(code, make([]byte, 32),
		testSymbol{name: "a.c", typ: elf.STT_FILE, shndx: elf.SHN_ABS},
		testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 51},
		testSymbol{name: "f.cold", typ: elf.STT_FUNC, shndx: inText, value: textAddr + 51, size: 2},
		testSymbol{name: "g", bind: elf.STB_GLOBAL, shndx: inText, value: textAddr + 51},
		testSymbol{name: "object", bind: elf.STB_WEAK, typ: elf.STT_OBJECT, shndx: inData, value: dataAddr, size: 8},
		testSymbol{name: "variable", bind: elf.STB_GLOBAL, typ: elf.STT_TLS, shndx: 7, value: 0, size: 8},
		testSymbol{name: "__start_x", bind: elf.STB_GLOBAL, shndx: inData, value: dataAddr + 8})
	f.typ = typ
	table := []byte{0x13, 0xe0, 0xff, 0xff, 0x1f, 0xe0, 0xff, 0xff}
	relocs := structBytes(t, elf.Rela64{Off: dataAddr + 8, Info: elf.R_INFO(0, uint32(elf.R_X86_64_RELATIVE)), Addend: textAddr + 51})
	relocs = append(relocs, structBytes(t, elf.Rela64{Off: dataAddr + 16, Info: elf.R_INFO(0, uint32(elf.R_X86_64_IRELATIVE)), Addend: textAddr})...)
	dynamic := structBytes(t, [...]elf.Dyn64{{Tag: int64(elf.DT_RELA), Val: 0x5000}, {Tag: int64(elf.DT_RELASZ), Val: uint64(len(relocs))}, {}})
	f.sections = append(f.sections,
		testSection{name: ".rodata", flags: elf.SHF_ALLOC, addr: 0x3000, data: table},
		testSection{name: ".rela.dyn", typ: elf.SHT_RELA, flags: elf.SHF_ALLOC, addr: 0x5000, data: relocs, entsize: 24},
		testSection{name: ".tdata", flags: elf.SHF_ALLOC | elf.SHF_WRITE | elf.SHF_TLS, addr: 0x6000, data: make([]byte, 8)},
		testSection{name: ".dynamic", typ: elf.SHT_DYNAMIC, flags: elf.SHF_ALLOC | elf.SHF_WRITE, addr: 0x7000, data: dynamic, link: 11, entsize: 16},
		testSection{name: ".bss", typ: elf.SHT_NOBITS, flags: elf.SHF_ALLOC | elf.SHF_WRITE, addr: 0x8000, size: 64})
	f.progs = append(f.progs,
		elf.Prog64{Type: uint32(elf.PT_TLS), Vaddr: 0x6000, Filesz: 8, Memsz: 8, Align: 8},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Vaddr: 0x3000, Filesz: 0x5040, Memsz: 0x5040})
	return f
}

// edit is one change that a fuzzer makes: bytes of input become a field of the file's description, so that what comes out is mostly an
// ELF file still.
const editSize = 11 // what, which, field, 8 bytes of value

// apply makes the edits that the bytes stand for.
func (f *testFile) apply(edits []byte) {
	for n := 0; len(edits) >= editSize && n < 32; n++ {
		what, which, field, v := edits[0], int(edits[1]), edits[2], order.Uint64(edits[3:])
		edits = edits[editSize:]
		switch what % 4 {
		case 0:
			f.symbols[which%len(f.symbols)].edit(field, v)
		case 1:
			f.sections[which%len(f.sections)].edit(field, v)
		case 2:
			p := &f.progs[which%len(f.progs)]
			for i, to := range []*uint64{&p.Vaddr, &p.Memsz, &p.Filesz, &p.Align} {
				if int(field%4) == i {
					*to = v
				}
			}
		case 3: // contents
			s := &f.sections[which%len(f.sections)]
			if len(s.data) > 0 {
				at := int(v>>8) % len(s.data)
				s.data[at] = byte(v)
			}
		}
	}
}

func (s *testSymbol) edit(field byte, v uint64) {
	switch field % 5 {
	case 0:
		s.value = v
	case 1:
		s.size = v
	case 2:
		s.shndx = elf.SectionIndex(uint16(v))
	case 3:
		s.typ, s.bind = elf.SymType(v&15), elf.SymBind(v>>4&15)
	case 4:
		names := []string{"f", "f.cold", "f.part.0", "g", "_end", "_GLOBAL_OFFSET_TABLE_", "__stop_x", "", ".L1", "reltable.f", "$x"}
		s.name = names[v%uint64(len(names))]
	}
}

func (s *testSection) edit(field byte, v uint64) {
	switch field % 5 {
	case 0:
		s.addr = v
	case 1:
		s.typ = elf.SectionType(v & 0x7fffffff)
	case 2:
		s.flags = elf.SectionFlag(v)
	case 3:
		s.link = uint32(v)
	case 4:
		names := []string{".text", ".eh_frame", ".got", ".got.plt", ".plt", ".init_array", ".gcc_except_table", ".rela.text", ".symtab_shndx", ".tbss"}
		s.name = names[v%uint64(len(names))]
	}
}

// FuzzImage changes fields of a small file's description and bytes of its contents.
func FuzzImage(f *testing.F) {
	for _, typ := range []elf.Type{elf.ET_DYN, elf.ET_EXEC} {
		f.Add(typ == elf.ET_EXEC, []byte{})
		f.Add(typ == elf.ET_EXEC, []byte{0, 1, 0, 4, 0x10, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0x15, 2, 0, 0, 0, 0, 0, 0})
		f.Add(typ == elf.ET_EXEC, []byte{1, 1, 4, 2, 0, 0, 0, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, exec bool, edits []byte) {
		typ := elf.ET_DYN
		if exec {
			typ = elf.ET_EXEC
		}
		file := fuzzFile(t, typ)
		file.apply(edits)
		checkFile(t, file.encode(t))
	})
}

// FuzzLoad takes any bytes.
func FuzzLoad(f *testing.F) {
	f.Add(fuzzFile(f, elf.ET_DYN).encode(f))
	f.Add(fuzzFile(f, elf.ET_EXEC).encode(f))
	f.Fuzz(checkFile)
}

// TestFuzzSeeds holds the fuzzers' seeds to what they are for: they load, and their code is understood.
func TestFuzzSeeds(t *testing.T) {
	for _, typ := range []elf.Type{elf.ET_DYN, elf.ET_EXEC} {
		im := fuzzFile(t, typ).load(t)
		b := im.mustBody(t, "f")
		kinds := map[PlaceKind]int{}
		for _, r := range b.Refs {
			kinds[r.Place.Kind]++
		}
		if len(b.Tables) != 1 || len(b.Tables[0].Entries) != 2 || kinds[PlaceTLS] != 1 || kinds[PlaceAtom] < 2 || len(im.DynRelocs(dataAddr, dataAddr+32)) != 2 {
			t.Errorf("%v: %d tables, places %v", typ, len(b.Tables), kinds)
		}
	}
}

// TestRealFiles holds the same of compilers' output.
func TestRealFiles(t *testing.T) {
	for _, flags := range [][]string{{"-O2", "-s"}, {"-O2", "-g"}, {"-Os", "-no-pie", "-fno-pie", "-Wl,-q"}} {
		b, err := os.ReadFile(victim.Build(t, "gcc", []string{"image/tiny.c"}, append(flags, "-nostartfiles", "-Wl,-z,noseparate-code")...))
		if err != nil {
			t.Fatal(err)
		}
		checkFile(t, b)
	}
}

// checkFile holds: there is an image exactly if there is no error, and whatever loads can be decoded and asked without a panic, and
// answers with places of the image.
func checkFile(t *testing.T, b []byte) {
	im, err := loadBytes("fuzz", bytes.NewReader(b), uint64(len(b)))
	if (im != nil) != (err == nil) {
		t.Fatalf("image %v with error %v", im != nil, err)
	}
	if err != nil {
		return
	}
	for i, a := range im.Atoms {
		if a.ID != i || a.Name == "" && len(a.Syms) == 0 {
			t.Fatalf("atom %d: %+v", i, a)
		}
		checkAtom(t, im, a)
	}
	for _, s := range im.Sections {
		if im.SectionAt(s.Addr) == nil && !s.IsTLS() {
			t.Fatalf("section %s is not found at %#x", s.Name, uint64(s.Addr))
		}
		im.Slot(s.Addr)
		im.Stub(s.Addr)
	}
}

func checkAtom(t *testing.T, im *Image, a *Atom) {
	if e, ok := im.AnonExtent(a.Addr); ok && (e.Text > uint64(e.Section.End()-a.Addr) || e.Next > uint64(e.Section.End()-a.Addr)) {
		t.Fatalf("%s: extent %+v", a.Name, e)
	}
	if b, ok := im.Content(a); ok && uint64(len(b)) != a.Size {
		t.Fatalf("%s: %d bytes of content, size %d", a.Name, len(b), a.Size)
	}
	for _, refs := range [][]DataRef{im.DataRefs(a), im.RelativeRefs(a)} {
		for i := range refs {
			if refs[i].Off >= a.Size {
				t.Fatalf("%s: reference at %#x of %#x bytes", a.Name, refs[i].Off, a.Size)
			}
			checkPlace(t, im, &refs[i].Place)
		}
	}
	if f := im.CFI.Find(a.Addr); f != nil {
		if table, err := im.Exceptions(f); err == nil && (table != nil) != (f.LSDA != 0) {
			t.Fatalf("%s: exception table %+v of LSDA %#x", a.Name, table, f.LSDA)
		}
	}
	body, err := im.Body(a)
	if (body != nil) != (err == nil) {
		t.Fatalf("%s: body %v with error %v", a.Name, body != nil, err)
	}
	if body == nil {
		return
	}
	checkBody(t, im, body)
	for i := range body.Insts {
		im.BoundUseAt(body, i)
	}
}

// BenchmarkLoadDecode measures loading and decoding, in bytes of code per second. HOTPATCH_IMAGE names another file.
func BenchmarkLoadDecode(b *testing.B) {
	path := os.Getenv("HOTPATCH_IMAGE")
	if path == "" {
		path = victim.Build(b, "gcc", programs[1].sources, "-O2", "-g", "-lpthread")
	}
	b.ReportAllocs()
	for b.Loop() {
		im, err := Load(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := im.Decode(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
		if s := im.sectionNamed(".text"); s != nil {
			b.SetBytes(int64(s.Size))
		}
	}
}

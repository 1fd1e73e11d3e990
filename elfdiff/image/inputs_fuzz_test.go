package image

import (
	"bytes"
	"compress/zlib"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"slices"
	"testing"

	"hotpatch/arch"
)

// oneSection is a stripped file that holds one section of interest besides its code.
func oneSection(t testing.TB, s testSection) []byte {
	f := textFile([]byte{0xc3}, nil, testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 1})
	f.sections = append(f.sections, s)
	b := f.encode(t)
	// Without its symbols: the type of .symtab, the third section header from the end, becomes that of plain data.
	shoff, n := order.Uint64(b[40:]), uint64(order.Uint16(b[60:]))
	order.PutUint32(b[shoff+(n-3)*sectionHeaderSize+4:], uint32(elf.SHT_PROGBITS))
	return b
}

// openBytes opens a file in memory, which must have good headers.
func openBytes(t testing.TB, b []byte) *file {
	t.Helper()
	f, err := newFile("fuzz", bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantFormat holds errors to the form that names file, place and value.
func wantFormat(t *testing.T, err error) {
	t.Helper()
	var format *FormatError
	if !errors.As(err, &format) || format.Path == "" || format.Msg == "" {
		t.Fatalf("error %v does not say what is wrong where", err)
	}
}

// FuzzDebugLink holds: a link has a name exactly if it is well formed, and only files below the places that are searched are tried.
func FuzzDebugLink(f *testing.F) {
	f.Add([]byte("bare.debug\x00\x00\x01\x02\x03\x04"))
	f.Add([]byte("../x\x00\x00\x00\x00\x01\x02\x03\x04"))
	f.Add([]byte("abc\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := openBytes(t, oneSection(t, testSection{name: ".gnu_debuglink", data: b}))
		l, err := readDebugLink(file)
		if err != nil {
			wantFormat(t, err)
			if l.name != "" {
				t.Fatalf("link %+v with error %v", l, err)
			}
			return
		}
		if len(b) > 0 && (l.name == "" || !bytes.HasPrefix(b, append([]byte(l.name), 0)) || len(b) < len(l.name)+5) {
			t.Fatalf("link %+v of % x", l, b)
		}
		im := &Image{Path: "/dir/program", debugLink: l, HasBuildID: len(b) > 8, BuildID: b}
		roots := []string{"/root", "/cache"}
		for _, c := range im.debugPaths(Options{DebugRoots: roots[:1], DebugCaches: roots[1:]}) {
			dir := filepath.Dir(c.path)
			if !slices.Contains([]string{"/dir", "/dir/.debug", "/root", "/root/dir"}, dir) && filepath.Dir(filepath.Dir(dir)) != "/root" && filepath.Dir(dir) != "/cache" {
				t.Fatalf("candidate %s", c.path)
			}
		}
	})
}

// FuzzAltLink reads .gnu_debugaltlink and .debug_sup. It holds: there is a link exactly if there is no error and the file is not itself a
// supplementary one, its checksum is bounded, and the paths that are tried are absolute or beside the debug file.
func FuzzAltLink(f *testing.F) {
	f.Add(false, []byte("/usr/lib/debug/.dwz/common.debug\x00\x01\x02\x03\x04"))
	f.Add(true, []byte("\x05\x00\x00common.debug\x00\x04\x01\x02\x03\x04"))
	f.Add(true, []byte("\x05\x00\x01\x00\x04\x01\x02\x03\x04"))
	f.Add(true, []byte("\x05\x00\x00a\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, sup bool, b []byte) {
		name := ".gnu_debugaltlink"
		if sup {
			name = ".debug_sup"
		}
		file := openBytes(t, oneSection(t, testSection{name: name, data: b}))
		l, err := file.altLink()
		if err != nil {
			wantFormat(t, err)
		}
		_, isAlt, _ := file.supplement()
		if (l != nil) == (err != nil || isAlt) {
			t.Fatalf("link %+v, error %v, supplementary %v", l, err, isAlt)
		}
		if l == nil {
			return
		}
		if len(l.id) > maxBuildID {
			t.Fatalf("%d bytes of checksum", len(l.id))
		}
		for _, p := range l.paths("/dir/program.debug", Options{DebugRoots: []string{"/root"}, DebugCaches: []string{"/cache"}}) {
			if !filepath.IsAbs(p) {
				t.Fatalf("candidate %q", p)
			}
		}
	})
}

// storedXZ wraps data in .xz without compressing it.
func storedXZ(data []byte) []byte {
	flags := []byte{0, 1} // CRC32
	out := append([]byte("\xfd7zXZ\x00"), flags...)
	out = order.AppendUint32(out, crc32.ChecksumIEEE(flags))
	head := []byte{2, 0, 0x21, 1, 0, 0, 0, 0}
	start := len(out)
	out = order.AppendUint32(append(out, head...), crc32.ChecksumIEEE(head))
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1<<16)
		control := byte(2)
		if len(rest) == len(data) {
			control = 1 // with a new dictionary
		}
		out = append(binary.BigEndian.AppendUint16(append(out, control), uint16(n-1)), rest[:n]...)
		rest = rest[n:]
	}
	out = append(out, 0)
	unpadded := len(out) - start + 4
	for (len(out)-start)%4 != 0 {
		out = append(out, 0)
	}
	out = order.AppendUint32(out, crc32.ChecksumIEEE(data))
	index := binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, uint64(unpadded)), uint64(len(data)))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	out = order.AppendUint32(append(out, index...), crc32.ChecksumIEEE(index))
	foot := append(order.AppendUint32(nil, uint32(len(index)+4)/4-1), flags...)
	out = append(order.AppendUint32(out, crc32.ChecksumIEEE(foot)), foot...)
	return append(out, "YZ"...)
}

// miniFile is what .gnu_debugdata of oneSection's file may hold.
func miniFile(t testing.TB) []byte {
	f := textFile([]byte{0xc3}, nil, testSymbol{name: "mini", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 1})
	f.sections = f.sections[:inText]
	return f.encode(t)
}

// FuzzMiniDebug changes the file inside .gnu_debugdata, or (raw) its compressed form. What loads answers like every image.
func FuzzMiniDebug(f *testing.F) {
	mini := miniFile(f)
	f.Add(false, mini)
	f.Add(true, storedXZ(mini))
	b := oneSection(f, testSection{name: miniSection, data: storedXZ(mini)})
	im, err := loadBytes("test", bytes.NewReader(b), uint64(len(b)))
	if err != nil || !im.FuncsOnly || im.Named("mini") == nil {
		f.Fatalf("the seed does not load: %+v, %v", im, err)
	}
	f.Fuzz(func(t *testing.T, raw bool, data []byte) {
		if !raw {
			data = storedXZ(data)
		}
		checkFile(t, oneSection(t, testSection{name: miniSection, data: data}))
	})
}

// FuzzInflate decompresses a section of debug information. It holds: what comes out is as long as the header says, and within the bound.
func FuzzInflate(f *testing.F) {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(bytes.Repeat([]byte("debug"), 200))
	w.Close()
	f.Add(uint8(0), uint64(1000), z.Bytes())
	f.Add(uint8(1), uint64(1000), z.Bytes())
	f.Add(uint8(2), uint64(5), []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0, 'd', 'e', 'b', 'u', 'g'})
	f.Add(uint8(0), uint64(1)<<40, z.Bytes())
	f.Fuzz(func(t *testing.T, form uint8, claim uint64, packed []byte) {
		s := testSection{name: ".debug_info", flags: elf.SHF_COMPRESSED}
		switch form % 3 {
		case 1:
			s.name, s.flags = ".zdebug_info", 0
			s.data = append(binary.BigEndian.AppendUint64([]byte("ZLIB"), claim), packed...)
		default:
			kind := map[uint8]elf.CompressionType{0: elf.COMPRESS_ZLIB, 2: elf.COMPRESS_ZSTD}[form%3]
			s.data = append(structBytes(t, elf.Chdr64{Type: uint32(kind), Size: claim, Addralign: 1}), packed...)
		}
		b := (&testFile{typ: elf.ET_DYN, sections: []testSection{s}}).encode(t)
		out, err := openBytes(t, b).debugSection("info")
		switch {
		case err != nil:
			wantFormat(t, err)
		case uint64(len(out)) != claim || claim > inflateFactor*uint64(len(b))+inflateSlack:
			t.Fatalf("%d bytes, claimed %d", len(out), claim)
		}
	})
}

// FuzzSymbols takes any bytes as .symtab and its names. It holds: atoms are in order and lie in their sections, and each is found by its
// address and its names.
func FuzzSymbols(f *testing.F) {
	good := fuzzFile(f, elf.ET_DYN)
	seed := make([]byte, elf.Sym64Size)
	for i, s := range good.symbols {
		seed = append(seed, structBytes(f, elf.Sym64{Name: uint32(1 + 4*i), Info: elf.ST_INFO(s.bind, s.typ), Shndx: uint16(s.shndx), Value: s.value, Size: s.size})...)
	}
	names := []byte("\x00abc\x00foo\x00_end\x00f.cold\x00x@@V\x00.L1\x00$x\x00")
	f.Add(seed, names)
	f.Fuzz(func(t *testing.T, symtab, names []byte) {
		symtab = symtab[:len(symtab)/elf.Sym64Size*elf.Sym64Size]
		file := fuzzFile(t, elf.ET_DYN)
		file.symbols = nil
		strtab := uint32(len(file.sections) + 1)
		file.sections = append(file.sections, testSection{name: ".strtab", typ: elf.SHT_STRTAB, data: names},
			testSection{name: ".symtab", typ: elf.SHT_SYMTAB, data: symtab, link: strtab})
		b := file.encode(t)
		im, err := loadBytes("fuzz", bytes.NewReader(b), uint64(len(b)))
		if err != nil {
			return
		}
		for i, a := range im.Atoms {
			if i > 0 && atomLess(a, im.Atoms[i-1]) {
				t.Fatalf("atom %d (%s at %#x) is out of order", i, a.Name, uint64(a.Addr))
			}
			if s := a.Section; s != nil && (a.Addr < s.Addr || uint64(a.Addr-s.Addr)+a.Size > s.Size) {
				t.Fatalf("%s [%#x, %#x) lies outside %s", a.Name, uint64(a.Addr), uint64(a.End()), s.Name)
			}
			if a.Kind != TLSObject && a.Size > 0 && !slices.Contains(im.Covering(a.Addr), a) {
				t.Fatalf("%s at %#x is not found by its address", a.Name, uint64(a.Addr))
			}
			for _, s := range a.Syms {
				if !slices.Contains(im.Named(s.Name), a) {
					t.Fatalf("%s is not found by its name %q", a.Name, s.Name)
				}
			}
		}
	})
}

// FuzzRelocs takes any bytes as .rela.dyn, .relr.dyn and the linker's own relocations of .text. It holds: relocations are in order and
// found by their address, and what they say of data names places of the image.
func FuzzRelocs(f *testing.F) {
	rela := func(off uint64, typ elf.R_X86_64, sym uint32, addend int64) []byte {
		return structBytes(f, elf.Rela64{Off: off, Info: elf.R_INFO(sym, uint32(typ)), Addend: addend})
	}
	f.Add(rela(dataAddr+8, elf.R_X86_64_RELATIVE, 0, textAddr), order.AppendUint64(nil, dataAddr), rela(textAddr+19, elf.R_X86_64_PC32, 5, -4))
	f.Add(rela(dataAddr, elf.R_X86_64_IRELATIVE, 0, textAddr), []byte{1, 0, 0, 0, 0, 0, 0, 0x80}, rela(dataAddr, elf.R_X86_64_64, 2, 0))
	f.Add(rela(0x6000, elf.R_X86_64_TPOFF64, 0, 0), []byte{}, rela(textAddr+40, elf.R_X86_64_TPOFF32, 6, 0))
	f.Fuzz(func(t *testing.T, dyn, relr, link []byte) {
		file := fuzzFile(t, elf.ET_DYN)
		symtab := uint32(len(file.sections) + 4)
		for i := range file.sections {
			if file.sections[i].name == ".rela.dyn" {
				file.sections[i].data = dyn
			}
		}
		file.sections = append(file.sections,
			testSection{name: ".relr.dyn", typ: shtRelr, flags: elf.SHF_ALLOC, addr: 0x9000, data: relr},
			testSection{name: ".rela.text", typ: elf.SHT_RELA, data: link, link: symtab, info: uint32(inText)},
			testSection{name: ".rela.data", typ: elf.SHT_RELA, data: link, link: symtab, info: uint32(inData)})
		b := file.encode(t)
		im, err := loadBytes("fuzz", bytes.NewReader(b), uint64(len(b)))
		if err != nil {
			return
		}
		everywhere := im.DynRelocs(0, ^arch.ImageAddr(0))
		for i := range everywhere {
			r := &everywhere[i]
			if i > 0 && everywhere[i-1].Addr > r.Addr {
				t.Fatalf("dynamic relocation at %#x is out of order", uint64(r.Addr))
			}
			if got, ok := im.DynReloc(r.Addr); !ok || got.Addr != r.Addr {
				t.Fatalf("dynamic relocation at %#x is not found", uint64(r.Addr))
			}
		}
		if !slices.IsSortedFunc(im.LinkRelocs(0, ^arch.ImageAddr(0)), func(a, b LinkReloc) int { return int(int64(a.Addr>>1)) - int(int64(b.Addr>>1)) }) {
			t.Fatal("the linker's relocations are out of order")
		}
		for _, a := range im.Atoms {
			checkAtom(t, im, a)
		}
	})
}

// FuzzDWARF takes any bytes as sections of debug information. It holds: a walk ends, reads each entry in order, and gives nothing together with
// an error.
func FuzzDWARF(f *testing.F) {
	info := []byte{
		23, 0, 0, 0, 5, 0, 1, 8, 0, 0, 0, 0, // unit header: DWARF 5, a compile unit
		1, 'u', 0, 0, 0, 0, 0, // its entry: name, line program
		2, 'f', 0, 3, 0, // a function, and one in it
		0, 0,
	}
	abbrev := []byte{
		1, 0x11, 1, 0x03, 0x08, 0x10, 0x17, 0, 0, // compile unit: DW_AT_name, DW_AT_stmt_list
		2, 0x2e, 1, 0x03, 0x08, 0, 0, // subprogram: DW_AT_name
		3, 0x1d, 1, 0, 0, // inlined subroutine
		0,
	}
	line := []byte{
		40, 0, 0, 0, 5, 0, 8, 0, 27, 0, 0, 0, 1, 1, 1, 0xfb, 14, 4, 0, 1, 1,
		1, 1, 8, 1, 'd', 0, // one directory
		2, 1, 8, 2, 11, 1, 'f', 0, 0, // one file
		0, 1, 1, 0, 1, 1, 2, 1,
	}
	f.Add(info, abbrev, line, []byte("str\x00"))
	f.Fuzz(func(t *testing.T, info, abbrev, line, str []byte) {
		b := (&testFile{typ: elf.ET_DYN, sections: []testSection{
			{name: ".debug_info", data: info}, {name: ".debug_abbrev", data: abbrev}, {name: ".debug_line", data: line}, {name: ".debug_str", data: str},
			{name: ".debug_line_str", data: str}, {name: ".debug_rnglists", data: line}, {name: ".debug_ranges", data: line}, {name: ".debug_addr", data: str},
		}}).encode(t)
		d, err := newDWARF(openBytes(t, b), func(*altLink) (*DWARF, error) { return nil, errors.New("no alternate file") })
		if (d != nil) != (err == nil) {
			t.Fatalf("debug information %v with error %v", d != nil, err)
		}
		if err != nil {
			return
		}
		for _, off := range d.Units() {
			walkUnit(t, d, off)
		}
	})
}

// walkUnit reads all entries of a unit, and its line program.
func walkUnit(t *testing.T, d *DWARF, off dwarf.Offset) {
	t.Helper()
	c := d.Cursor(off)
	last, n := dwarf.Offset(0), 0
	for {
		e, err := c.Next()
		if err != nil {
			wantFormat(t, err)
			return
		}
		if e == nil {
			return
		}
		if n++; n > len(d.info) {
			t.Fatal("more entries than bytes")
		}
		if e.Tag == 0 {
			continue
		}
		if e.Offset < last {
			t.Fatalf("entry at %#x behind that at %#x", e.Offset, last)
		}
		last = e.Offset
		c.Ranges(e)
		d.String(e, dwarf.AttrName)
		d.Follow(e, dwarf.AttrAbstractOrigin)
		if e.Tag == dwarf.TagCompileUnit {
			if rows, _, err := d.lineRows(e); err != nil && rows != nil {
				t.Fatalf("%d rows with error %v", len(rows), err)
			}
		}
		if e.Tag == dwarf.TagSubprogram && n%2 == 0 {
			c.Skip()
		}
	}
}

package image

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// allocated runs a function and returns how many bytes it allocated in all, which is at least what it held at any time.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// zeros is n zero bytes, compressed.
func zeros(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	chunk := make([]byte, 1<<16)
	for ; n > 0; n -= int64(len(chunk)) {
		w.Write(chunk[:min(n, int64(len(chunk)))])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// debugFile is a file of debug sections, each named without ".debug_".
func debugFile(t *testing.T, sections map[string][]byte) []byte {
	f := &testFile{typ: elf.ET_DYN}
	for _, name := range dwarfSections {
		if b, ok := sections[name]; ok {
			f.sections = append(f.sections, testSection{name: ".debug_" + name, data: b})
		}
	}
	return f.encode(t)
}

// unit is a unit of DWARF 4 whose abbreviations begin at an offset.
func unit(abbrev uint32, entries ...byte) []byte {
	b := order.AppendUint32(nil, uint32(7+len(entries)))
	b = order.AppendUint32(append(b, 4, 0), abbrev)
	return append(append(b, 8), entries...)
}

// readDebug reads all that a file of debug sections has.
func readDebug(t *testing.T, b []byte) error {
	d, err := newDWARF(openBytes(t, b), func(*altLink) (*DWARF, error) { return nil, errors.New("no alternate file") })
	if err != nil {
		return err
	}
	for _, off := range d.Units() {
		c := d.Cursor(off)
		for {
			e, err := c.Next()
			if err != nil {
				return err
			}
			if e == nil {
				break
			}
			if e.Tag == 0x11 {
				if _, _, err := d.lineRows(e); err != nil {
					return err
				}
				if err := c.Skip(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// loadIt loads a file that is in memory.
func loadIt(t *testing.T, b []byte) error {
	_, err := loadBytes("hostile", bytes.NewReader(b), uint64(len(b)))
	return err
}

// hostile are files that claim more than they are. Every one is an error that names the place and the value, or loads, in
// memory and time in proportion to its size.
func hostile(t *testing.T) []hostileFile {
	const n = 1 << 14
	compressed := func(kind elf.CompressionType, claim uint64, data []byte) []byte {
		s := testSection{name: ".debug_info", flags: elf.SHF_COMPRESSED,
			data: append(structBytes(t, elf.Chdr64{Type: uint32(kind), Size: claim, Addralign: 1}), data...)}
		return (&testFile{typ: elf.ET_DYN, sections: []testSection{s}}).encode(t)
	}
	cu := []byte{1, 0x11, 1, 0x10, 0x17, 0, 0, 2, 0x2e, 1, 0, 0, 0} // compile unit with DW_AT_stmt_list; subprogram with children
	names := make([]testSymbol, n)
	for i := range names {
		names[i] = testSymbol{name: fmt.Sprint("f", i), typ: elf.STT_FUNC, shndx: inText, value: textAddr + uint64(i), size: 1}
	}
	overlapping := make([]testSymbol, n)
	for i := range overlapping {
		overlapping[i] = testSymbol{name: fmt.Sprint("f", i), typ: elf.STT_FUNC, shndx: inText, value: textAddr + uint64(i), size: uint64(n - i)}
	}
	code := bytes.Repeat([]byte{0xc3}, n)
	line := append([]byte{0, 0, 0, 0, 5, 0, 8, 0, 40, 0, 0, 0, 1, 1, 1, 0xfb, 14, 1}, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
	line = append(line, make([]byte, 64)...)
	order.PutUint32(line, uint32(len(line)-4))
	return []hostileFile{
		{"a section of 1 TB", compressed(elf.COMPRESS_ZLIB, 1<<40, zeros(t, 100)), readDebug, "decompressed it would be larger"},
		{"a bomb", compressed(elf.COMPRESS_ZLIB, 1<<30, zeros(t, 1<<22)), readDebug, "decompressed it would be larger"},
		{"a bomb that claims little", compressed(elf.COMPRESS_ZLIB, 100, zeros(t, 1<<22)), readDebug, "decompresses to more than"},
		{"a bomb of zstd", compressed(elf.COMPRESS_ZSTD, 100, zstdZeros(t)), readDebug, "decompresses to more than"},
		{"a zdebug section of 1 EB", (&testFile{typ: elf.ET_DYN, sections: []testSection{{name: ".zdebug_info",
			data: append(binary.BigEndian.AppendUint64([]byte("ZLIB"), 1<<60), zeros(t, 100)...)}}}).encode(t), readDebug, "decompressed it would be larger"},
		{"mini debug information of 16 MB", oneSection(t, testSection{name: miniSection, data: xzZeros(t)}), loadIt, "more than is allowed"},
		{"overlapping symbols", textFile(code, nil, overlapping...).encode(t), loadIt, "symbols overlap"},
		{"symbols that share the tail of one name", sharedNames(t, names, code), loadIt, "names overlap"},
		{"section names that share the tail of one name", sharedSectionNames(t), loadIt, "all names together are too long"},
		{"more directories than bytes", debugFile(t, map[string][]byte{"info": unit(0, 1, 0, 0, 0, 0), "abbrev": cu, "line": line}), readDebug, "number of directories"},
		{"nested entries", debugFile(t, map[string][]byte{"info": unit(0, append([]byte{1}, bytes.Repeat([]byte{2}, 1<<20)...)...),
			"abbrev": {1, 0x11, 1, 0, 0, 2, 0x2e, 1, 0, 0, 0}}), readDebug, ""},
		{"segments", manySegments(t), loadIt, "more segments"},
		{"thread-local sections", manyTLS(t), loadIt, "more thread-local sections"},
		{"units with overlapping abbreviations", overlappingTables(t, n), readDebug, "tables overlap"},
		{"an abbreviation with many attributes", debugFile(t, map[string][]byte{"info": unit(0, bytes.Repeat([]byte{1}, n)...),
			"abbrev": append(append([]byte{1, 0x34, 0}, bytes.Repeat([]byte{0x3f, 0x19}, n)...), 0, 0, 0)}), readDebug, "too many attributes"},
		{"entries that share a text", debugFile(t, map[string][]byte{"info": unit(0, bytes.Repeat([]byte{1, 0, 0, 0, 0}, 1<<18)...),
			"abbrev": []byte{1, 0x34, 0, 0x03, 0x0e, 0, 0, 0}, "str": append(bytes.Repeat([]byte{'x'}, 1<<18), 0)}), readDebug, "share texts"},
	}
}

type hostileFile struct {
	name string
	data []byte
	read func(*testing.T, []byte) error
	want string // what the error says; "": the file may be read without one
}

// zstdZeros is a zstd frame (RFC 8878, 3.1.1) of 1024 blocks, each of 128 KiB zeros in four bytes.
func zstdZeros(t *testing.T) []byte {
	t.Helper()
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38}
	for i := range 1024 {
		last := uint32(i / 1023)
		h := last | 1<<1 | 1<<17<<3
		b = append(b, byte(h), byte(h>>8), byte(h>>16), 0)
	}
	return b
}

// xzZeros is 16 MiB of zeros, compressed by xz.
func xzZeros(t *testing.T) []byte {
	t.Helper()
	cmd := exec.Command("xz", "--stdout")
	cmd.Stdin = bytes.NewReader(make([]byte, 16<<20))
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sharedNames gives all symbols names of which each is the tail of the one in front.
func sharedNames(t *testing.T, symbols []testSymbol, code []byte) []byte {
	f := textFile(code, nil)
	long := append([]byte{0}, bytes.Repeat([]byte{'x'}, 1<<20)...)
	syms := make([]byte, elf.Sym64Size)
	for i, s := range symbols {
		syms = append(syms, structBytes(t, elf.Sym64{Name: uint32(i + 1), Info: elf.ST_INFO(s.bind, s.typ), Shndx: uint16(s.shndx), Value: s.value, Size: s.size})...)
	}
	link := uint32(len(f.sections) + 1)
	f.sections = append(f.sections, testSection{name: ".strtab", typ: elf.SHT_STRTAB, data: append(long, 0)},
		testSection{name: ".symtab", typ: elf.SHT_SYMTAB, data: syms, link: link, entsize: elf.Sym64Size})
	return f.encode(t)
}

// sharedSectionNames is a file of many sections whose names are the tails of one long name.
func sharedSectionNames(t *testing.T) []byte {
	f := &testFile{typ: elf.ET_DYN}
	for range 1 << 12 {
		f.sections = append(f.sections, testSection{typ: elf.SHT_NOTE})
	}
	f.sections = append(f.sections, testSection{name: strings.Repeat("x", 1<<20)})
	b := f.encode(t)
	shoff, n := order.Uint64(b[40:]), uint64(order.Uint16(b[60:]))
	long := order.Uint32(b[shoff+(n-4)*sectionHeaderSize:])
	for i := uint64(1); i < n; i++ {
		order.PutUint32(b[shoff+i*sectionHeaderSize:], long+uint32(i))
	}
	return b
}

// overlappingTables is a file whose units use abbreviation tables that are tails of one.
func overlappingTables(t *testing.T, n int) []byte {
	var info, abbrev []byte
	for i := range n {
		info = append(info, unit(uint32(5*i), 1)...)
		abbrev = append(abbrev, 1, 0x34, 0, 0, 0)
	}
	return debugFile(t, map[string][]byte{"info": info, "abbrev": append(abbrev, 0)})
}

// manySegments is a file of nothing but segments.
func manySegments(t *testing.T) []byte {
	f := textFile([]byte{0xc3}, nil)
	for range 1 << 14 {
		f.progs = append(f.progs, f.progs[0])
	}
	return f.encode(t)
}

// manyTLS is a file of nothing but thread-local sections.
func manyTLS(t *testing.T) []byte {
	f := textFile([]byte{0xc3}, nil)
	for range 1 << 14 {
		f.sections = append(f.sections, testSection{name: ".tbss", typ: elf.SHT_NOBITS, flags: elf.SHF_ALLOC | elf.SHF_TLS, addr: 0x5000, size: 1})
	}
	return f.encode(t)
}

// TestHostile holds the bounds of the package comment.
func TestHostile(t *testing.T) {
	for _, c := range hostile(t) {
		t.Run(c.name, func(t *testing.T) {
			var err error
			start := time.Now()
			used := allocated(func() { err = c.read(t, c.data) })
			if limit := uint64(len(c.data))*memoryFactor + memorySlack; used > limit {
				t.Errorf("%d bytes allocated for a file of %d, more than %d", used, len(c.data), limit)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if c.want == "" {
				return
			}
			wantFormat(t, err)
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
		})
	}
}

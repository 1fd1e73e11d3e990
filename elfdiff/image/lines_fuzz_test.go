package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// FuzzLines changes bytes of a small file's debug information. Each three bytes of input are one change: two for the
// place, one for the value.
func FuzzLines(f *testing.F) {
	good, err := os.ReadFile(victim.Build(f, "gcc", []string{"image/tiny.c"}, "-O2", "-g", "-nostartfiles", "-Wl,-z,noseparate-code"))
	if err != nil {
		f.Fatal(err)
	}
	ef, err := elf.NewFile(bytes.NewReader(good))
	if err != nil {
		f.Fatal(err)
	}
	var places []uint64 // file offsets of the bytes to change
	for _, s := range ef.Sections {
		if strings.HasPrefix(s.Name, ".debug_") && s.Name != ".debug_str" {
			for off := s.Offset; off < s.Offset+s.FileSize; off++ {
				places = append(places, off)
			}
		}
	}
	if rows := linesOf(f, good); rows == 0 {
		f.Fatal("the undamaged file has no lines")
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0xff, 0x40, 1, 0x80})
	f.Fuzz(func(t *testing.T, edits []byte) {
		b := slices.Clone(good)
		for ; len(edits) >= 3; edits = edits[3:] {
			b[places[int(order.Uint16(edits))%len(places)]] = edits[2]
		}
		linesOf(t, b)
	})
}

// linesOf asks for the lines of all atoms and counts them. Rows must be in order, and say something of the atom.
func linesOf(t testing.TB, b []byte) int {
	t.Helper()
	im, err := loadBytes("fuzz", bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		t.Fatalf("debug information keeps the image from loading: %v", err)
	}
	if im.lines.err = im.lines.open(dwarfBytes(t, b)); im.lines.err != nil {
		return 0
	}
	n := 0
	for _, a := range im.Atoms {
		rows, err := im.Lines(a)
		if err != nil {
			continue
		}
		n += len(rows)
		if inlined, err := im.Inlines(a); err != nil && inlined != nil {
			t.Fatalf("%s: %d inlined calls with error %v", a.Name, len(inlined), err)
		}
		for i, r := range rows {
			if r.Line <= 0 || r.Addr >= a.End() {
				t.Fatalf("%s: row %d of %d is %+v", a.Name, i, len(rows), r)
			}
		}
	}
	return n
}

// dwarfBytes opens the debug information of a file that is in memory.
func dwarfBytes(t testing.TB, b []byte) (*DWARF, error) {
	t.Helper()
	f, err := newFile("fuzz", bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return newDWARF(f, func(*altLink) (*DWARF, error) { return nil, errors.New("no alternate file") })
}

// TestLinesInCircles reads a unit whose sibling is itself.
func TestLinesInCircles(t *testing.T) {
	f := textFile([]byte{0xc3}, nil, testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 1})
	f.sections[inDebug-1].data = []byte{
		16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8, // unit header: 16 bytes, DWARF 4, abbreviations at 0, 8-byte addresses
		1, 11, 0, 0, 0, 0, 0, 0, 0, // entry: its sibling is at 11
	}
	f.sections = append(f.sections,
		testSection{name: ".debug_abbrev", data: []byte{1, 0x11, 1, 0x01, 0x13, 0x10, 0x17, 0, 0, 0}}, // DW_AT_sibling, DW_AT_stmt_list
		testSection{name: ".debug_line", data: make([]byte, 4)})
	b := f.encode(t)
	if err := new(lineTable).open(dwarfBytes(t, b)); !errors.Is(err, ErrNoLines) {
		t.Errorf("got %v, want %v", err, ErrNoLines)
	}
}

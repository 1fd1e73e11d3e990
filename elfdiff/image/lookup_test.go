package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
)

// TestCovering compares lookups among nested, overlapping and empty atoms with a search of all.
func TestCovering(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const span = 400
	for range 50 {
		var syms []testSymbol
		for i := range 60 {
			size := rng.Uint64N(12)
			if i%10 == 0 {
				size = rng.Uint64N(span)
			}
			syms = append(syms, testSymbol{name: fmt.Sprintf("s%d", i), bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, shndx: inData,
				value: dataAddr + rng.Uint64N(span), size: size})
		}
		im := textFile([]byte{0xc3}, make([]byte, 2*span), syms...).load(t)
		for addr := arch.ImageAddr(dataAddr); addr < dataAddr+2*span; addr++ {
			got := im.Covering(addr)
			want := 0
			for _, a := range im.Atoms {
				if addr >= a.Addr && addr < a.End() {
					want++
					if !slices.Contains(got, a) {
						t.Fatalf("%s does not cover %#x", a.Name, uint64(addr))
					}
				}
			}
			if len(got) != want {
				t.Fatalf("%d atoms cover %#x, want %d", len(got), uint64(addr), want)
			}
		}
	}
}

// TestOverlapLimit refuses what would make decoding quadratic.
func TestOverlapLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		n      int
		refuse bool
	}{
		{name: "as many as may be", n: maxOverlap},
		{name: "one more", n: maxOverlap + 1, refuse: true},
		{name: "many", n: 20000, refuse: true},
	} {
		var syms []testSymbol
		for i := range uint64(c.n) {
			syms = append(syms, testSymbol{name: "s", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: inText, value: textAddr + i, size: 0x8000})
		}
		b := textFile(bytes.Repeat([]byte{0xc3}, 0x10000), nil, syms...).encode(t)
		_, err := loadBytes("test", bytes.NewReader(b), uint64(len(b)))
		var bad *FormatError
		if errors.As(err, &bad) != c.refuse || c.refuse && !strings.Contains(err.Error(), fmt.Sprint("more than ", maxOverlap)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestOneCoversAll looks addresses up where one symbol covers all others: the search must not walk through those.
func TestOneCoversAll(t *testing.T) {
	const n = 30000
	syms := []testSymbol{{name: "all", bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, shndx: inData, value: dataAddr, size: 2 * n}}
	for i := range uint64(n) {
		syms = append(syms, testSymbol{name: "s", bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, shndx: inData, value: dataAddr + 2*i, size: 1})
	}
	ix := &textFile([]byte{0xc3}, make([]byte, 2*n), syms...).load(t).index
	for i, a := range ix.atoms {
		if want := int32(0); i > 1 && ix.outer[i] != want {
			t.Fatalf("around %#x is atom %d, want %d", uint64(a.Addr), ix.outer[i], want)
		}
	}
}

// TestPartsLimit refuses a function of very many parts by name.
func TestPartsLimit(t *testing.T) {
	f := textFile(bytes.Repeat([]byte{0xc3}, 2*maxParts), nil,
		testSymbol{name: "f", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 1})
	for i := range uint64(maxParts) {
		f.symbols = append(f.symbols, testSymbol{name: fmt.Sprintf("f.cold.%d", i), typ: elf.STT_FUNC, shndx: inText, value: textAddr + 1 + i, size: 1})
	}
	im := f.load(t)
	var bad *DecodeError
	if _, err := im.Body(im.atom(t, "f")); !errors.As(err, &bad) || !strings.Contains(err.Error(), "parts") {
		t.Errorf("got %v", err)
	}
}

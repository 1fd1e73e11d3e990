package image

import (
	"bytes"
	"debug/elf"
	"testing"
)

// TestVeneer reads a function of which the linker has moved a load elsewhere, for an erratum.
func TestVeneer(t *testing.T) {
	code := words(
		0xd0000000, // f: adrp x0, 0x3000
		0x14000005, // b 18, in the place of a load
		0xd65f03c0, // ret
		0xd503201f, // nop
		0xd503201f, // nop
		0xd503201f, // nop
		0xf9400001, // 18: ldr x1, [x0]
		0x17fffffb, // b 8
		0x17fffffe, // 20: b 18
		0xd503201f, // nop
	)
	tests := []struct {
		name   string
		symbol string
		at     uint64 // offset of the symbol
		undone bool
	}{
		{name: "GNU ld", symbol: "e843419@0001_00000001_4", at: 0x18, undone: true},
		{name: "lld", symbol: "__CortexA53843419_11004", at: 0x18, undone: true},
		{name: "another name", symbol: "e843419", at: 0x18},
		{name: "no jump back", symbol: "e843419@0001_00000001_4", at: 0x8},
		{name: "no jump to it", symbol: "e843419@0001_00000001_4", at: 0x1c},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := arm64File(elf.ET_DYN, code)
			for i := range file.symbols {
				if file.symbols[i].name == "f" {
					file.symbols[i].size = 12
				}
			}
			file.symbols = append(file.symbols, testSymbol{name: tt.symbol, typ: elf.STT_FUNC, shndx: inText, value: textAddr + tt.at, size: 8})
			im := file.load(t)
			got, _ := im.Bytes(textAddr, 12)
			raw, _ := im.FileBytes(textAddr, 12)
			want := code[:12]
			if tt.undone {
				want = words(0xd0000000, 0xf9400001, 0xd65f03c0)
			}
			if !bytes.Equal(got, want) || !bytes.Equal(raw, code[:12]) {
				t.Errorf("code % x, in the file % x", got, raw)
			}
			veneers := im.Veneers(textAddr, textAddr+12)
			if (len(veneers) == 1) != tt.undone || tt.undone && (veneers[0].Site != textAddr+4 || veneers[0].At != textAddr+0x18 || veneers[0].Size != 8) {
				t.Errorf("veneers %+v", veneers)
			}
			if a := im.AtomAt(textAddr + 0x18); tt.undone && a != nil {
				t.Errorf("the veneer is %s", a.Name)
			}
		})
	}
}

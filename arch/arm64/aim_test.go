package arm64

import (
	"encoding/binary"
	"testing"
)

// TestAim: the decoder finds where a branch was aimed at, and that nothing else of the instruction changed.
func TestAim(t *testing.T) {
	for _, c := range []struct {
		name  string
		word  uint32 // with a displacement of zero
		reach int64  // backward, in bytes; forward it is an instruction less
	}{
		{name: "b", word: 0x14000000, reach: 128 << 20},
		{name: "bl", word: 0x94000000, reach: 128 << 20},
		{name: "b.ne", word: 0x54000001, reach: 1 << 20},
		{name: "cbz x3", word: 0xb4000003, reach: 1 << 20},
		{name: "cbnz w30", word: 0x3500001e, reach: 1 << 20},
		{name: "tbz w5, #31", word: 0x36f80005, reach: 32 << 10},
		{name: "tbnz x5, #63", word: 0xb7f80005, reach: 32 << 10},
		{name: "cbgt w1, w2", word: 0x74020001, reach: 1 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, to := range []int64{0, 4, -4, c.reach - 4, -c.reach} {
				code := binary.LittleEndian.AppendUint32(nil, c.word)
				in, err := Arch.Decode(code)
				if err != nil {
					t.Fatal(err)
				}
				if err := aim(code, &in, to); err != nil {
					t.Fatalf("to %#x: %v", to, err)
				}
				got, err := Arch.Decode(code)
				if err != nil || got.Target != to || got.Flow != in.Flow {
					t.Errorf("aimed at %#x: leads to %#x, %v", to, got.Target, err)
				}
				if canon := binary.LittleEndian.Uint32(Canon(nil, code, &got)); canon != c.word {
					t.Errorf("aimed at %#x: %08x, was %08x", to, canon, c.word)
				}
			}
			for _, to := range []int64{c.reach, -c.reach - 4, 2, -1} {
				code := binary.LittleEndian.AppendUint32(nil, c.word)
				in, _ := Arch.Decode(code)
				if err := aim(code, &in, to); err == nil || binary.LittleEndian.Uint32(code) != c.word {
					t.Errorf("aimed at %#x: %v and %x, want an error and the instruction as it was", to, err, code)
				}
			}
		})
	}
	ret := []byte{0xc0, 0x03, 0x5f, 0xd6}
	if in, _ := Arch.Decode(ret); aim(ret, &in, 8) == nil {
		t.Error("a return was aimed")
	}
}

package arm64

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"hotpatch/arch"
)

// words returns the code of instructions that are written as hexadecimal words.
func words(t testing.TB, text string) []byte {
	t.Helper()
	var out []byte
	for f := range strings.FieldsSeq(text) {
		var w uint32
		for _, c := range f {
			d := strings.IndexRune("0123456789abcdef", c)
			if d < 0 || len(f) != 8 {
				t.Fatalf("%q is no word", f)
			}
			w = w<<4 | uint32(d)
		}
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

func TestJump(t *testing.T) {
	const from = 0x7f00_0000_0000
	tests := []struct {
		name string
		to   arch.Addr
		want string // "": an error
	}{
		{name: "forward", to: from + 0x100, want: "14000040"},
		{name: "to itself", to: from, want: "14000000"},
		{name: "back", to: from - 4, want: "17ffffff"},
		{name: "farthest forward", to: from + 1<<27 - 4, want: "15ffffff"},
		{name: "too far forward", to: from + 1<<27},
		{name: "farthest back", to: from - 1<<27, want: "16000000"},
		{name: "too far back", to: from - 1<<27 - 4},
		{name: "from the other end of memory", to: 0x40_0000},
		{name: "into the midst of an instruction", to: from + 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := encodeJump(from, test.to)
			if (err == nil) != (test.want != "") {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if !bytes.Equal(got, words(t, test.want)) {
				t.Errorf("got % x", got)
			}
			if to, ok := recognizeJump(from, got); !ok || to != test.to {
				t.Errorf("recognised %#x, %v", to, ok)
			}
		})
	}
}

func TestRecognizeRefuses(t *testing.T) {
	for _, code := range []string{"", "94000000", "54000000", "d61f0200", "d4200000"} {
		if to, ok := recognizeJump(0x1000, words(t, code)); ok {
			t.Errorf("%q: jump to %#x", code, to)
		}
	}
	if _, ok := recognizeJump(0x1000, []byte{0, 0, 0}); ok {
		t.Error("a jump in three bytes")
	}
}

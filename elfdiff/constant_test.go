package elfdiff

import "testing"

func TestConstant(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		want  string
	}{
		{"double", "\x00\x00\x00\x00\x00\x00\xf8\x3f", "1.5"},
		{"float", "\x00\x00\x20\x40", "2.5"},
		{"integer", "\x2a\x00\x00\x00\x00\x00\x00\x00", "42"},
		{"mask", "\xff\xff\xff\xff\xff\xff\xff\x7f", "0x7fffffffffffffff"},
		{"integer of four bytes", "\x01\x00\x02\x00", "131073"},
		{"two bytes", "\x01\x02", "0x0102"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := constant([]byte(c.bytes)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

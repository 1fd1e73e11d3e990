package x86

import "testing"

func TestParseForm(t *testing.T) {
	tests := []struct {
		name string
		attr string
		want form
		fail bool
	}{
		{name: "no operands", attr: "", want: form{pps: 0xff, ws: 0xff, ls: 7, rm: 0xff}},
		{
			name: "group member", attr: "mr /7 v i1",
			want: form{pps: 0xff, ws: 0xff, ls: 7, mem: 0x80, reg: 0x80, rm: 0xff, width: widthV, imm: imm1},
		},
		{
			name: "one ModRM byte", attr: "f3 =ca",
			want: form{pps: 4, ws: 0xff, ls: 7, reg: 2, rm: 4},
		},
		{
			name: "vector", attr: "66 m w1 l12 32 bcy st v0",
			want: form{pps: 2, ws: 2, ls: 6, mem: 0xff, rm: 0xff, width: 32, broadcast: widthY, flags: fWrite | fVvvvUnused},
		},
		{name: "unknown word", attr: "mr w2", fail: true},
		{name: "bad register", attr: "mr /8", fail: true},
		{name: "ModRM byte of memory", attr: "=05", fail: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseForm(test.attr)
			if (err != nil) != test.fail || err == nil && got != test.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct {
		name string
		rows []row
	}{
		{name: "word", rows: []row{{"00", "mrr"}}},
		{name: "opcode", rows: []row{{"0g", ""}}},
		{name: "range", rows: []row{{"10-0f", ""}}},
		{name: "opcode with and without ModRM", rows: []row{{"00", "mr"}, {"00", "i1"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			compile(test.rows)
		})
	}
}

func TestWidth(t *testing.T) {
	tests := []struct {
		name    string
		w       width
		opsize  int
		wbit, l uint8
		want    uint8
	}{
		{name: "fixed", w: 10, want: 10},
		{name: "operand size", w: widthV, opsize: 2, want: 2},
		{name: "W", w: widthY, wbit: 1, want: 8},
		{name: "push", w: widthStack, opsize: 4, want: 8},
		{name: "push of 16 bits", w: widthStack, opsize: 2, want: 2},
		{name: "half of 512", w: widthVL2, l: 2, want: 32},
		{name: "quarter of 128", w: widthVL4, want: 4},
		{name: "eighth of 256", w: widthVL8, l: 1, want: 4},
		{name: "vmovddup of 128", w: widthDup, want: 8},
		{name: "vmovddup of 512", w: widthDup, l: 2, want: 64},
		{name: "conversion from 32 bits", w: widthCvt, l: 1, want: 16},
		{name: "conversion from 64 bits", w: widthCvt, l: 1, wbit: 1, want: 32},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.w.bytes(test.opsize, test.wbit, test.l); got != test.want {
				t.Errorf("got %d", got)
			}
		})
	}
}

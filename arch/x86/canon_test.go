package x86

import (
	"bytes"
	"testing"

	"hotpatch/arch"
)

func canonOf(t *testing.T, code string) []byte {
	t.Helper()
	b := unhex(t, code)
	in, err := Decode(b)
	if err != nil || in.Len != len(b) {
		t.Fatalf("%s: %+v, %v", code, in, err)
	}
	return Arch.Canon(nil, b, &in)
}

func TestCanonEqual(t *testing.T) {
	tests := []struct {
		name string
		a, b string
	}{
		{name: "short and near jmp", a: "eb 10", b: "e9 00 01 00 00"},
		{name: "short and near jcc", a: "74 10", b: "0f 84 00 01 00 00"},
		{name: "branch hint", a: "2e 74 10", b: "74 10"},
		{name: "bnd jmp", a: "f2 e9 00 00 00 00", b: "e9 00 00 00 00"},
		{name: "relaxed call", a: "67 e8 00 00 00 00", b: "e8 01 00 00 00"},
		{name: "call of __tls_get_addr", a: "66 66 48 e8 00 00 00 00", b: "66 48 e8 00 00 00 00"},
		{name: "notrack jmp", a: "3e ff e0", b: "ff e0"},
		{name: "rep ret", a: "f3 c3", b: "c3"},
		{name: "repeated 66", a: "66 66 89 c0", b: "66 89 c0"},
		{name: "66 without effect", a: "66 48 8d 3d 00 00 00 00", b: "48 8d 3d 04 00 00 00"},
		{name: "order of prefixes", a: "f3 66 0f b8 c1", b: "66 f3 0f b8 c1"},
		{name: "cs before vex", a: "2e c5 f8 58 c1", b: "c5 f8 58 c1"},
		{name: "place relative to rip", a: "48 8b 05 00 00 00 00", b: "48 8b 05 44 33 22 11"},
		{name: "absolute place", a: "8b 04 25 00 00 00 00", b: "8b 04 25 44 33 22 11"},
		{name: "displacement of 32 bits", a: "8b 80 00 01 00 00", b: "8b 80 44 33 22 11"},
		{name: "immediate of 32 bits", a: "b8 01 00 00 00", b: "b8 44 33 22 11"},
		{name: "both fields", a: "c7 05 00 00 00 00 01 00 00 00", b: "c7 05 01 02 03 04 05 06 07 08"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := canonOf(t, test.a), canonOf(t, test.b)
			if !bytes.Equal(a, b) {
				t.Errorf("% x and % x", a, b)
			}
		})
	}
}

func TestCanonDiffers(t *testing.T) {
	tests := []struct {
		name string
		a, b string
	}{
		{name: "jmp and call", a: "e9 00 00 00 00", b: "e8 00 00 00 00"},
		{name: "conditions", a: "74 10", b: "75 10"},
		{name: "jecxz and jrcxz", a: "67 e3 10", b: "e3 10"},
		{name: "load and address", a: "48 8b 05 00 00 00 00", b: "48 8d 05 00 00 00 00"},
		{name: "operand size", a: "66 89 c0", b: "89 c0"},
		{name: "address size", a: "67 8b 00", b: "8b 00"},
		{name: "address size of a string instruction", a: "67 ab", b: "ab"},
		{name: "pause and nop", a: "f3 90", b: "90"},
		{name: "segment", a: "64 8b 00", b: "8b 00"},
		{name: "lock", a: "f0 01 00", b: "01 00"},
		{name: "mandatory prefix", a: "f3 0f 10 00", b: "0f 10 00"},
		{name: "mandatory prefix with REX.W", a: "66 48 0f 6e c0", b: "48 0f 6e c0"},
		{name: "register", a: "48 8b 05 00 00 00 00", b: "48 8b 0d 00 00 00 00"},
		{name: "immediate of 8 bits", a: "83 c0 01", b: "83 c0 02"},
		{name: "displacement of 8 bits", a: "8b 40 01", b: "8b 40 02"},
		{name: "rip and absolute", a: "8b 05 00 00 00 00", b: "8b 04 25 00 00 00 00"},
		{name: "rep movs", a: "f3 a4", b: "a4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := canonOf(t, test.a), canonOf(t, test.b)
			if bytes.Equal(a, b) {
				t.Errorf("both % x", a)
			}
		})
	}
}

// TestRelax spells out what [TestRelaxAgainstLinker] gets from ld.
func TestRelax(t *testing.T) {
	tests := []struct {
		name string
		form arch.Relaxation
		slot string // the instruction with the GOT slot as operand
		want string // after relaxation; "": there is none
	}{
		{name: "mov", form: arch.RelaxPC, slot: "48 8b 05 00 00 00 00", want: "48 8d 05 00 00 00 00"},
		{name: "mov r15", form: arch.RelaxPC, slot: "4c 8b 3d 00 00 00 00", want: "4c 8d 3d 00 00 00 00"},
		{name: "call", form: arch.RelaxPC, slot: "ff 15 00 00 00 00", want: "67 e8 00 00 00 00"},
		{name: "jmp", form: arch.RelaxPC, slot: "ff 25 00 00 00 00", want: "e9 00 00 00 00"},
		{name: "bnd call", form: arch.RelaxPC, slot: "f2 ff 15 00 00 00 00", want: "e8 00 00 00 00"},
		{name: "call of __tls_get_addr", form: arch.RelaxPC, slot: "66 48 ff 15 00 00 00 00", want: ""},
		{name: "cmp", form: arch.RelaxPC, slot: "48 3b 05 00 00 00 00", want: ""},
		{name: "push", form: arch.RelaxPC, slot: "ff 35 00 00 00 00", want: ""},
		{name: "mov from elsewhere", form: arch.RelaxPC, slot: "48 8b 00", want: ""},
		{name: "mov of 16 bits", form: arch.RelaxPC, slot: "66 8b 05 00 00 00 00", want: ""},
		{name: "mov, absolute", form: arch.RelaxAbs, slot: "48 8b 05 00 00 00 00", want: "48 c7 c0 00 00 00 00"},
		{name: "mov r15, absolute", form: arch.RelaxAbs, slot: "4c 8b 3d 00 00 00 00", want: "49 c7 c7 00 00 00 00"},
		{name: "test", form: arch.RelaxAbs, slot: "4c 85 3d 00 00 00 00", want: "49 f7 c7 00 00 00 00"},
		{name: "add", form: arch.RelaxAbs, slot: "48 03 0d 00 00 00 00", want: "48 81 c1 00 00 00 00"},
		{name: "cmp, absolute", form: arch.RelaxAbs, slot: "48 3b 1d 00 00 00 00", want: "48 81 fb 00 00 00 00"},
		{name: "xor r9", form: arch.RelaxAbs, slot: "4c 33 0d 00 00 00 00", want: "49 81 f1 00 00 00 00"},
		{name: "call, absolute", form: arch.RelaxAbs, slot: "ff 15 00 00 00 00", want: "67 e8 00 00 00 00"},
		{name: "mov of a thread pointer offset", form: arch.RelaxTLS, slot: "48 8b 05 00 00 00 00", want: "48 c7 c0 00 00 00 00"},
		{name: "add of a thread pointer offset", form: arch.RelaxTLS, slot: "48 03 05 00 00 00 00", want: "48 8d 80 00 00 00 00"},
		{name: "the same with r13", form: arch.RelaxTLS, slot: "4c 03 2d 00 00 00 00", want: "4d 8d ad 00 00 00 00"},
		{name: "the same with r12", form: arch.RelaxTLS, slot: "4c 03 25 00 00 00 00", want: "49 81 c4 00 00 00 00"},
		{name: "cmp of a thread pointer offset", form: arch.RelaxTLS, slot: "48 3b 05 00 00 00 00", want: ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code := unhex(t, test.slot)
			in, err := Decode(code)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := Arch.Relax([]byte{1}, code, &in, test.form)
			want := []byte{1}
			if test.want != "" {
				want = append(want, canonOf(t, test.want)...)
			}
			if ok != (test.want != "") || !bytes.Equal(got, want) {
				t.Errorf("got % x, %v, want % x", got, ok, want)
			}
		})
	}
}

func TestIsNop(t *testing.T) {
	tests := []struct {
		name string
		code string
		want bool
	}{
		{name: "1 byte", code: "90", want: true},
		{name: "2 bytes", code: "66 90", want: true},
		{name: "3 bytes", code: "0f 1f 00", want: true},
		{name: "8 bytes", code: "0f 1f 84 00 00 00 00 00", want: true},
		{name: "10 bytes", code: "66 2e 0f 1f 84 00 00 00 00 00", want: true},
		{name: "15 bytes", code: "66 66 66 66 66 66 2e 0f 1f 84 00 00 00 00 00", want: true},
		{name: "nop with a register", code: "0f 1f c0", want: true},
		{name: "mov to itself", code: "48 89 f6", want: true},
		{name: "mov r14 to itself", code: "4d 8b f6", want: true},
		{name: "xchg with itself", code: "48 87 c0", want: true},
		{name: "lea of itself", code: "48 8d 76 00", want: true},
		{name: "lea with 32 bits of zero", code: "48 8d b4 26 00 00 00 00", want: true},
		{name: "lea r13", code: "4d 8d 6d 00", want: true},
		{name: "pause", code: "f3 90", want: false},
		{name: "xchg r8", code: "41 90", want: false},
		{name: "mov of 32 bits clears the upper half", code: "89 f6", want: false},
		{name: "lea of 32 bits", code: "8d 76 00", want: false},
		{name: "lea through a 32-bit address", code: "67 48 8d 76 00", want: false},
		{name: "lea of another register", code: "48 8d 77 00", want: false},
		{name: "lea of r14 from rsi", code: "4c 8d 76 00", want: false},
		{name: "lea with displacement", code: "48 8d 76 01", want: false},
		{name: "lea with index", code: "48 8d 74 36 00", want: false},
		{name: "lea with index r12", code: "4a 8d 74 26 00", want: false},
		{name: "mov between registers", code: "48 89 f7", want: false},
		{name: "mov of memory", code: "48 89 36", want: false},
		{name: "endbr64", code: "f3 0f 1e fa", want: false},
		{name: "prefetch", code: "0f 18 00", want: false},
		{name: "ret", code: "c3", want: false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code := unhex(t, test.code)
			in, err := Decode(code)
			if err != nil || in.Len != len(code) {
				t.Fatalf("%+v, %v", in, err)
			}
			if got := Arch.IsNop(code, &in); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestIsPadding(t *testing.T) {
	tests := []struct {
		name string
		code string
		want bool
	}{
		{name: "nothing", code: "", want: true},
		{name: "int3", code: "cc cc cc", want: true},
		{name: "zero bytes", code: "00 00 00", want: true},
		{name: "nops", code: "66 90 0f 1f 44 00 00 66 2e 0f 1f 84 00 00 00 00 00", want: true},
		{name: "nop and int3", code: "0f 1f 00 cc", want: true},
		{name: "cut nop", code: "0f 1f", want: false},
		{name: "code", code: "90 c3", want: false},
		{name: "endbr64", code: "90 f3 0f 1e fa", want: false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Arch.Jump.IsPadding(unhex(t, test.code)); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

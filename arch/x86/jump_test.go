package x86

import (
	"bytes"
	"debug/elf"
	"strings"
	"testing"

	"hotpatch/arch"
)

func TestJump(t *testing.T) {
	const from = 0x7f00_0000_0000
	tests := []struct {
		name string
		to   arch.Addr
		want string // "": out of reach
	}{
		{name: "forward", to: from + 0x105, want: "e9 00 01 00 00"},
		{name: "to itself", to: from, want: "e9 fb ff ff ff"},
		{name: "farthest forward", to: from + 5 + 0x7fff_ffff, want: "e9 ff ff ff 7f"},
		{name: "too far forward", to: from + 5 + 0x8000_0000},
		{name: "farthest back", to: from + 5 - 0x8000_0000, want: "e9 00 00 00 80"},
		{name: "too far back", to: from + 4 - 0x8000_0000},
		{name: "from the other end of memory", to: 0x400000},
		{name: "reach forward", to: from + arch.Addr(Arch.Jump.Reach), want: "e9 f6 ff ff 7f"},
		{name: "reach back", to: from - arch.Addr(Arch.Jump.Reach), want: "e9 00 00 00 80"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Arch.Jump.Encode(from, test.to)
			if (err == nil) != (test.want != "") {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			if !bytes.Equal(got, unhex(t, test.want)) {
				t.Errorf("got % x", got)
			}
			if len(got) != Arch.Jump.Len {
				t.Errorf("%d bytes", len(got))
			}
			if to, ok := Arch.Jump.Recognize(from, got); !ok || to != test.to {
				t.Errorf("recognised %#x, %v", to, ok)
			}
			if in, err := Decode(got); err != nil || in.Flow != arch.FlowJump || from+arch.Addr(in.Target) != test.to {
				t.Errorf("decoded %+v, %v", in, err)
			}
		})
	}
}

func TestRecognizeRefuses(t *testing.T) {
	for _, code := range []string{"", "e9 00 00 00", "e8 00 00 00 00", "eb 00 00 00 00", "66 e9 00 00 00 00"} {
		if to, ok := Arch.Jump.Recognize(0x1000, unhex(t, code)); ok {
			t.Errorf("%q: jump to %#x", code, to)
		}
	}
}

func TestLanding(t *testing.T) {
	tests := []struct {
		name string
		code string
		want int
	}{
		{name: "endbr64", code: "f3 0f 1e fa 55", want: 4},
		{name: "endbr64 alone", code: "f3 0f 1e fa", want: 4},
		{name: "endbr32", code: "f3 0f 1e fb 55", want: 0},
		{name: "push", code: "55", want: 0},
		{name: "nothing", code: "", want: 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Arch.Jump.Landing(unhex(t, test.code)); got != test.want {
				t.Errorf("got %d", got)
			}
		})
	}
}

func TestStub(t *testing.T) {
	code, err := Arch.Jump.Stub(0x1000, 0x2000)
	if err != nil || len(code) != Arch.Jump.StubLen {
		t.Fatalf("% x, %v", code, err)
	}
	in, err := Decode(code)
	if err != nil || in.Len != len(code) || in.Flow != arch.FlowJumpInd || in.Ops[0].Kind != arch.OpPC || in.Ops[0].Value != 0x1000 {
		t.Errorf("%+v, %v", in, err)
	}
	if code, err := Arch.Jump.Stub(0x1000, 0x1_0000_0000); err == nil {
		t.Errorf("slot out of reach: % x", code)
	}
}

func TestCallBefore(t *testing.T) {
	tests := []struct {
		name string
		code string
		want arch.CallSite
		ok   bool
	}{
		{name: "direct", code: "90 90 e8 f0 ff ff ff", want: arch.CallSite{Len: 5, Target: -0x10}, ok: true},
		{name: "register", code: "90 ff d0", want: arch.CallSite{Len: 2, Indirect: true}, ok: true},
		{name: "register r11", code: "90 41 ff d3", want: arch.CallSite{Len: 2, Indirect: true}, ok: true},
		{name: "slot", code: "90 ff 15 00 01 00 00", want: arch.CallSite{Len: 6, Indirect: true}, ok: true},
		{name: "table", code: "41 ff 94 c4 00 01 00 00", want: arch.CallSite{Len: 7, Indirect: true}, ok: true},
		{name: "vtable", code: "ff 50 18", want: arch.CallSite{Len: 3, Indirect: true}, ok: true},
		{name: "far", code: "ff 1c 24", want: arch.CallSite{Len: 3, Indirect: true}, ok: true},
		{name: "either", code: "e8 00 00 ff d0", want: arch.CallSite{Len: 5, Target: -0x2f010000, Either: true}, ok: true},
		{name: "jump", code: "90 90 e9 00 00 00 00"},
		{name: "cut", code: "00 00 00 00"},
		{name: "nothing", code: ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Arch.CallBefore(unhex(t, test.code))
			if ok != test.ok || got != test.want {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestRelocs(t *testing.T) {
	tests := []struct {
		name string
		typ  elf.R_X86_64
		kind arch.RelocKind
		v    int64
		want string // "": does not fit
	}{
		{name: "64", typ: elf.R_X86_64_64, kind: arch.RelocAbs, v: 0x1122334455667788, want: "88 77 66 55 44 33 22 11"},
		{name: "pc64", typ: elf.R_X86_64_PC64, kind: arch.RelocPC, v: -1, want: "ff ff ff ff ff ff ff ff"},
		{name: "pc32", typ: elf.R_X86_64_PC32, kind: arch.RelocPC, v: -2, want: "fe ff ff ff"},
		{name: "pc32 at its limit", typ: elf.R_X86_64_PC32, kind: arch.RelocPC, v: 0x7fffffff, want: "ff ff ff 7f"},
		{name: "pc32 beyond it", typ: elf.R_X86_64_PC32, kind: arch.RelocPC, v: 0x80000000},
		{name: "pc32 below", typ: elf.R_X86_64_PC32, kind: arch.RelocPC, v: -0x80000001},
		{name: "plt32", typ: elf.R_X86_64_PLT32, kind: arch.RelocPLT, v: -4, want: "fc ff ff ff"},
		{name: "plt32 beyond", typ: elf.R_X86_64_PLT32, kind: arch.RelocPLT, v: 1 << 40},
		{name: "32", typ: elf.R_X86_64_32, kind: arch.RelocAbs, v: 0xffffffff, want: "ff ff ff ff"},
		{name: "32 is unsigned", typ: elf.R_X86_64_32, kind: arch.RelocAbs, v: -1},
		{name: "32 beyond", typ: elf.R_X86_64_32, kind: arch.RelocAbs, v: 1 << 32},
		{name: "32s", typ: elf.R_X86_64_32S, kind: arch.RelocAbs, v: -1, want: "ff ff ff ff"},
		{name: "32s is signed", typ: elf.R_X86_64_32S, kind: arch.RelocAbs, v: 0xffffffff},
		{name: "gotpcrel", typ: elf.R_X86_64_GOTPCREL, kind: arch.RelocGOTPC, v: 16, want: "10 00 00 00"},
		{name: "gotpcrelx", typ: elf.R_X86_64_GOTPCRELX, kind: arch.RelocGOTPC, v: 16, want: "10 00 00 00"},
		{name: "rex_gotpcrelx", typ: elf.R_X86_64_REX_GOTPCRELX, kind: arch.RelocGOTPC, v: 1 << 31},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, ok := Arch.Relocs[uint32(test.typ)]
			if !ok || r.Kind != test.kind || r.Name != test.typ.String() || !strings.HasPrefix(r.Name, "R_X86_64_") {
				t.Fatalf("%+v, %v", r, ok)
			}
			field := make([]byte, r.Size)
			err := r.Put(field, test.v)
			if (err == nil) != (test.want != "") {
				t.Fatalf("error %v", err)
			}
			if err == nil && !bytes.Equal(field, unhex(t, test.want)) {
				t.Errorf("got % x", field)
			}
			if err := r.Put(field[1:], 0); err == nil {
				t.Error("stored in a field that is too short")
			}
		})
	}
}

func TestArchIsComplete(t *testing.T) {
	a := Arch
	if a.DecodeInto == nil || a.Canon == nil || a.Relax == nil || a.IsNop == nil || a.Text == nil || a.CallBefore == nil {
		t.Error("a function is missing")
	}
	d := a.DWARF
	if len(d.Names) != d.NumRegs || len(d.Saved) != d.NumRegs || d.Names[d.SP] != "rsp" || d.Names[d.RA] != "rip" {
		t.Errorf("DWARF %+v", d)
	}
}

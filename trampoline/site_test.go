package trampoline

import (
	"bytes"
	"debug/elf"
	"errors"
	"reflect"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff/patch"
)

func x86(t testing.TB) *arch.Arch {
	t.Helper()
	a, err := machines.Lookup(elf.EM_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var (
	endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}
	ret     = []byte{0xc3}
	xorRet  = []byte{0x31, 0xc0, 0xc3}             // xor %eax,%eax; ret
	nop5    = []byte{0x0f, 0x1f, 0x44, 0x00, 0x00} // nopl 0(%rax,%rax,1)
)

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestPlanSite(t *testing.T) {
	long := bytes.Repeat([]byte{0x48, 0x89, 0xc8}, 10) // mov %rcx,%rax
	tests := []struct {
		name     string
		body     []byte
		pad      []byte
		interior []uint32
		own      []uint32
		want     patch.Site
		refused  string // part of the refusal
	}{
		{name: "long function", body: long, want: patch.Site{Room: 30, Take: 6}},
		{name: "a loop that begins behind the first instructions", body: long, own: []uint32{6, 9}, want: patch.Site{Room: 30, Take: 6}},
		{name: "a loop to the first instruction", body: long, own: []uint32{9, 0}, want: patch.Site{Room: 30, Fixed: "a branch leads back to +0x0"}},
		{name: "a loop to the second", body: join(endbr64, long), own: []uint32{7}, want: patch.Site{Off: 4, Room: 30, Fixed: "a branch leads back to +0x7"}},
		{name: "a loop over the landing pad", body: join(endbr64, long), own: []uint32{0}, want: patch.Site{Off: 4, Room: 30, Fixed: "a branch leads back to +0x0"}},
		{name: "a call first", body: join([]byte{0xe8, 0, 0, 0, 0}, ret), want: patch.Site{Room: 6, Fixed: "instruction at +0x0: a call, which would return to where it was moved"}},
		{name: "a branch behind a return that the jump covers", body: join(ret, nop5), own: []uint32{1}, want: patch.Site{Room: 6, Fixed: "a branch leads back to +0x1"}},
		{name: "landing pad stays", body: join(endbr64, long), want: patch.Site{Off: 4, Room: 30, Take: 6}},
		{name: "exactly long enough", body: long[:5], pad: ret,
			want: patch.Site{Room: 5, Fixed: "instruction at +0x3: code ends within an instruction"}},
		{name: "short, padding", body: xorRet, pad: []byte{0x90, 0x90, 0x90}, want: patch.Site{Room: 5, Take: 3, Pad: []byte{0x90, 0x90}}},
		{name: "short behind a landing pad", body: join(endbr64, ret), pad: bytes.Repeat([]byte{0xcc}, 11),
			want: patch.Site{Off: 4, Room: 5, Take: 1, Pad: bytes.Repeat([]byte{0xcc}, 4)}},
		{name: "a long NOP is taken whole", body: xorRet, pad: join(nop5, nop5), want: patch.Site{Room: 8, Take: 3, Pad: nop5}},
		{name: "only a landing pad", body: endbr64, pad: bytes.Repeat([]byte{0x90}, 12), want: patch.Site{Off: 4, Room: 5, Take: 5, Pad: bytes.Repeat([]byte{0x90}, 5)}},
		{name: "short, no padding", body: xorRet, refused: "no room for a jump of 5 bytes"},
		{name: "short, too little padding", body: xorRet, pad: []byte{0x90}, refused: "no room for a jump"},
		{name: "short, code behind it", body: xorRet, pad: []byte{0x90, 0x90, 0x90, 0xc3}, refused: "no room for a jump"},
		{name: "empty", refused: "no room for a jump"},
		{name: "branch into the jump", body: long, interior: []uint32{20, 3}, refused: "other code leads into the bytes"},
		{name: "branch into the last byte of the jump", body: join(endbr64, long), interior: []uint32{8}, refused: "offset 0x8, the jump takes 0x4 to 0x9"},
		{name: "branch past the landing pad enters the function", body: join(endbr64, long), interior: []uint32{4},
			want: patch.Site{Off: 4, Room: 30, Fixed: "a branch leads back to +0x4"}},
		{name: "branch to the landing pad", body: join(endbr64, long), interior: []uint32{0, 2},
			want: patch.Site{Off: 4, Room: 30, Fixed: "a branch leads back to +0x0"}},
		{name: "branch behind the jump ends the room", body: long, interior: []uint32{18, 5, 9},
			want: patch.Site{Room: 5, Fixed: "a branch leads back to +0x5"}},
		{name: "branch into the padding that the jump takes", body: xorRet, pad: []byte{0x90, 0x90}, interior: []uint32{4}, refused: "other code leads"},
		{name: "branch far beyond", body: long, interior: []uint32{1 << 31}, want: patch.Site{Room: 30, Take: 6}},
	}
	a := x86(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := PlanSite(a, 0x1200, tt.body, tt.pad, tt.interior, tt.own)
			if tt.refused == "" {
				if err != nil || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%+v, %v; want %+v", got, err, tt.want)
				}
				return
			}
			var r *patch.Refusal
			if !errors.As(err, &r) || !strings.Contains(r.What, "0x1200") || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%+v, %v; want a refusal that says %q", got, err, tt.refused)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	a := x86(t)
	w, err := Plan(a, 0x401000, 5, 0x402000)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{0xe9, 0xfb, 0x0f, 0x00, 0x00}; !bytes.Equal(w.New, want) || w.Addr != 0x401000 { // jmp .+0x1000
		t.Errorf("% x at %#x, want % x", w.New, w.Addr, want)
	}
	for name, err := range map[string]error{
		"no room":      second(Plan(a, 0x401000, 4, 0x402000)),
		"out of reach": second(Plan(a, 0x401000, 5, 0x401000+1<<32)),
	} {
		if !errors.Is(err, patch.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

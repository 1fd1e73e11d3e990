package trampoline

import (
	"bytes"
	"strings"
	"testing"

	"hotpatch/arch"
)

func TestPlanGate(t *testing.T) {
	const site, at, word, body = arch.Addr(0x401004), arch.Addr(0x300040), arch.Addr(0x7f00_0000_0064), arch.Addr(0x310000)
	a := x86(t)
	jump := func(to arch.Addr) []byte {
		b, err := a.Jump.Encode(site, to)
		if err != nil {
			t.Fatal(err)
		}
		return join(b, []byte{0x48, 0x8b, 0x05, 0, 1, 0, 0}) // what stands behind it
	}
	orig := []byte{0x48, 0x8b, 0x05, 0, 1, 0, 0, 0xc3, 0x90} // mov 0x100(%rip),%rax: 7 bytes; ret
	call := []byte{0xe8, 0, 1, 0, 0, 0xc3}
	tests := []struct {
		name          string
		before, after []byte
		refused       string
	}{
		{name: "first patch", before: orig, after: jump(body)},
		{name: "second patch", before: jump(body), after: jump(body + 0x1000)},
		{name: "revert of the first", before: jump(body), after: orig},
		{name: "a call first", before: call, after: jump(body), refused: "old code: instruction at +0x0: a call"},
		{name: "revert to a call", before: jump(body), after: call, refused: "new code: instruction at +0x0: a call"},
		{name: "too few bytes", before: orig[:5], after: jump(body), refused: "old code"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := PlanGate(a, site, at, word, tt.before, tt.after)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) || g != nil {
					t.Errorf("%+v, %v; want %q", g, err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if to, ok := a.Jump.Recognize(site, g.Jump); !ok || to != at || len(g.Code) > GateRoom {
				t.Errorf("jump % x to %#x, gate of %d bytes", g.Jump, to, len(g.Code))
			}
			// What stands behind the head is the old code, what the head branches to the new one.
			old, _, err := a.Jump.Move(tt.before, site, at+arch.Addr(a.Jump.GateLen), a.Jump.Len)
			if err != nil {
				t.Fatal(err)
			}
			set := at + arch.Addr(a.Jump.GateLen+len(old))
			moved, _, err := a.Jump.Move(tt.after, site, set, a.Jump.Len)
			if err != nil {
				t.Fatal(err)
			}
			head, err := a.Jump.Gate(at, word, set)
			if err != nil || !bytes.Equal(g.Code, join(head, old, moved)) {
				t.Errorf("gate % x, %v; want % x, % x, % x", g.Code, err, head, old, moved)
			}
		})
	}
	if _, err := PlanGate(a, site, site+1<<32, word, orig, jump(body)); err == nil {
		t.Error("a gate out of reach")
	}
}

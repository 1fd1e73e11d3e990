package trampoline

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff/patch"
)

func arm64(t testing.TB) *arch.Arch {
	t.Helper()
	a, err := machines.Lookup(elf.EM_AARCH64)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Words of A64.
const (
	btiC    = 0xd503245f
	paciasp = 0xd503233f
	pacibsp = 0xd503237f
	autiasp = 0xd50323bf
	autibsp = 0xd50323ff
	signPC  = 0xdac1a3fe // paciasppc
	ret64   = 0xd65f03c0
	movX0   = 0xd2800000 // mov x0, #0; the number in bits 5 to 20
)

func code64(words ...uint32) (out []byte) {
	for _, w := range words {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

func TestPlanSiteBehindSignatures(t *testing.T) {
	nop := uint32(0xd503201f)
	tests := []struct {
		name     string
		body     []byte
		pad      []byte
		interior []uint32
		own      []uint32
		want     patch.Site
		refused  string
	}{
		{name: "no pad", body: code64(movX0, ret64), want: patch.Site{Room: 8, Take: 4}},
		{name: "a return alone", body: code64(ret64), want: patch.Site{Room: 4, Take: 4}},
		{name: "bti c", body: code64(btiC, ret64), want: patch.Site{Off: 4, Room: 4, Take: 4}},
		{name: "paciasp stays", body: code64(paciasp, movX0, autiasp, ret64), want: patch.Site{Off: 4, Room: 12, Take: 4}},
		{name: "of bti c and paciasp the first stays", body: code64(btiC, paciasp, autiasp, ret64), want: patch.Site{Off: 4, Room: 12, Take: 4}},
		{name: "a pad alone, padding", body: code64(btiC), pad: code64(nop, nop), want: patch.Site{Off: 4, Room: 4, Take: 4, Pad: code64(nop)}},
		{name: "a loop to the first instruction", body: code64(movX0, movX0, ret64), own: []uint32{0}, want: patch.Site{Room: 12, Fixed: "a branch leads back to +0x0"}},
		{name: "a loop to the second", body: code64(movX0, movX0, ret64), own: []uint32{4}, want: patch.Site{Room: 12, Take: 4}},
		{name: "other code goes on behind the pad", body: code64(btiC, movX0, ret64), interior: []uint32{4}, want: patch.Site{Off: 4, Room: 8, Fixed: "a branch leads back to +0x4"}},
		{name: "a return alone behind a pad, zeros", body: code64(btiC, ret64), pad: code64(0, 0), want: patch.Site{Off: 4, Room: 4, Take: 4}},
		{name: "a pad alone, zeros", body: code64(btiC), pad: code64(0), want: patch.Site{Off: 4, Room: 4, Pad: code64(0),
			Fixed: "instruction at +0x0: a trap, whose address a handler may look at"}},
		{name: "takes x16", body: code64(movX0, 0xaa1003e0, ret64), want: patch.Site{Room: 12, // mov x0, x16
			Fixed: "instruction at +0x4: it takes something in x16, which a gate changes"}},
		{name: "uses x16", body: code64(movX0|16, 0xaa1003e0, ret64), want: patch.Site{Room: 12, Take: 4}},
		{name: "scalable vectors", body: code64(movX0, 0x04200000, ret64), want: patch.Site{Room: 12,
			Fixed: "instruction at +0x4: what it does to registers is not known"}},
		{name: "a pad alone, code behind", body: code64(btiC), pad: code64(ret64), refused: "no room for a jump of 4 bytes"},
		{name: "signed with the place", body: code64(signPC, movX0, ret64), refused: "signed with the place"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := PlanSite(arm64(t), 0x1200, tt.body, tt.pad, tt.interior, tt.own)
			if tt.refused != "" {
				if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// machine is a model of a processor with authenticated return addresses, and of the text that it runs.
type machine struct {
	a    *arch.Arch
	text map[arch.Addr]uint32
}

func (m *machine) put(at arch.Addr, code []byte) {
	for ; len(code) >= 4; code, at = code[4:], at+4 {
		m.text[at] = binary.LittleEndian.Uint32(code)
	}
}

// call calls a function and returns the number of the body that runs. Whatever runs must sign and authenticate the return address in pairs.
func (m *machine) call(pc arch.Addr) (body, jumps int, err error) {
	signed := uint32(0) // the instruction that signed the return address
	for range 100 {
		w, ok := m.text[pc]
		to, isJump := m.a.Jump.Recognize(pc, code64(w))
		switch {
		case !ok:
			return 0, 0, fmt.Errorf("runs to %#x, where nothing is", uint64(pc))
		case isJump:
			pc, jumps = to, jumps+1
			continue
		case (w == paciasp || w == pacibsp) && signed == 0:
			signed = w
		case w == autiasp && signed == paciasp, w == autibsp && signed == pacibsp:
			signed = 0
		case w == ret64 && signed == 0:
			return body, jumps, nil
		case w&^0x1fffe0 == movX0:
			body = int(w >> 5 & 0xffff)
		case w != btiC:
			return 0, 0, fmt.Errorf("%08x at %#x with the return address signed by %08x", w, uint64(pc), signed)
		}
		pc += 4
	}
	return 0, 0, errors.New("endless")
}

// body returns a function with a landing pad, which says its number.
func body64(pad uint32, number int) []byte {
	set := movX0 | uint32(number)<<5
	switch pad {
	case paciasp:
		return code64(pad, set, autiasp, ret64)
	case pacibsp:
		return code64(pad, set, autibsp, ret64)
	case btiC:
		return code64(pad, set, ret64, 0)
	}
	return code64(set, ret64, 0, 0)
}

// TestSignedChains applies and reverts versions at random, of which each signs its return address in its own way. At every moment the
// function, and every pointer to a version in the chain, leads to the newest one, which finds the return address as a call leaves it.
func TestSignedChains(t *testing.T) {
	const entry, bodies = arch.Addr(0x40_0000), 8
	pads := []uint32{0, btiC, paciasp, pacibsp}
	a := arm64(t)
	r := rand.New(rand.NewSource(5))
	for range 300 {
		m := &machine{a: a, text: make(map[arch.Addr]uint32)}
		first := body64(pads[r.Intn(len(pads))], 0)
		m.put(entry, first)
		off := a.Jump.Landing(first)
		c := &Chain{Name: "f", Site: entry + arch.Addr(off), Orig: bytes.Clone(first[off:][:4]), Signs: a.Jump.Signs(first)}
		var versions []Version
		for n := 1; n <= bodies; n++ {
			at := entry + arch.Addr(0x1000*n)
			text := body64(pads[r.Intn(len(pads))], n)
			m.put(at-arch.Addr(len(a.Jump.Head)), a.Jump.Head)
			m.put(at, text)
			v, err := NewVersion(a, patch.ID{byte(n)}, at, text)
			if err != nil {
				t.Fatal(err)
			}
			versions = append(versions, v)
		}
		for step := range 20 {
			next, writes, err := c.step(a, r, versions)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range writes {
				m.put(w.Addr, w.New)
			}
			c = next
			m.verify(t, c, entry, step)
		}
	}
}

// step applies a version that is not in the chain, or reverts one.
func (c *Chain) step(a *arch.Arch, r *rand.Rand, versions []Version) (*Chain, []Write, error) {
	v := versions[r.Intn(len(versions))]
	if n, ok := c.Find(v.Patch); ok {
		return c.Revert(a, n)
	}
	return c.Apply(a, v)
}

// verify calls the function, and what every pointer into the chain leads to.
func (m *machine) verify(t *testing.T, c *Chain, entry arch.Addr, step int) {
	t.Helper()
	want := 0
	if n := c.Newest(); n > 0 {
		want = int(c.Versions[n-1].Patch[0])
	}
	starts := []arch.Addr{entry}
	for _, v := range c.Versions {
		starts = append(starts, v.Entry)
	}
	for i, at := range starts {
		got, jumps, err := m.call(at)
		if err != nil || got != want || i == 0 && jumps > 2 {
			t.Fatalf("step %d: version %d at %#x leads to %d by %d jumps, %v; want %d", step, i, uint64(at), got, jumps, err, want)
		}
	}
	site := binary.LittleEndian.AppendUint32(nil, m.text[c.Site])
	if n, err := c.Leads(m.a, site); err != nil || n != c.Newest() {
		t.Fatalf("step %d: leads to version %d, %v; want %d", step, n, err, c.Newest())
	}
}

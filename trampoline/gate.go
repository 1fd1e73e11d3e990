package trampoline

import (
	"fmt"

	"hotpatch/arch"
)

// GateRoom is how many bytes of memory a gate may need, on any architecture.
const GateRoom = 96

// GateCode is how many bytes of a function, from the place of its jump on, a gate is made from: those that a jump covers, and the
// end of the last instruction.
func GateCode(a *arch.Arch) int { return a.Jump.Len + a.MaxInst }

// A Gate leads to one of two codes of a function, as a word of memory says. While a jump at the function's site leads to it, one
// write to that word changes which code runs, for all functions whose gates look at the word.
type Gate struct {
	Addr arch.Addr
	Code []byte
	Jump []byte // at the site, in place of either code's first bytes
}

// PlanGate plans the gate at address at of the function whose jump has its place at site. While the word at word is zero the gate
// leads to what before is, else to what after is: the bytes at site and behind it, GateCode of them, with which either code is in
// force: a jump to a body, or a body's own first instructions. Those are moved into the gate. That nothing but calls of the
// function leads to them is for the caller to know ([patch.Site.Take]).
func PlanGate(a *arch.Arch, site, at, word arch.Addr, before, after []byte) (*Gate, error) {
	if a.Jump.Move == nil || a.Jump.Gate == nil {
		return nil, fmt.Errorf("gate of %#x: not implemented on %s", uint64(site), a.Name)
	}
	fail := func(what string, err error) (*Gate, error) {
		return nil, fmt.Errorf("gate of %#x: %s: %w", uint64(site), what, err)
	}
	set := at + arch.Addr(a.Jump.GateLen)
	old, _, err := a.Jump.Move(before, site, set, a.Jump.Len)
	if err != nil {
		return fail("old code", err)
	}
	set += arch.Addr(len(old))
	moved, _, err := a.Jump.Move(after, site, set, a.Jump.Len)
	if err != nil {
		return fail("new code", err)
	}
	g := &Gate{Addr: at}
	if g.Code, err = a.Jump.Gate(at, word, set); err != nil {
		return fail("head", err)
	}
	if g.Jump, err = a.Jump.Encode(site, at); err != nil {
		return fail("jump", err)
	}
	if g.Code = append(append(g.Code, old...), moved...); len(g.Code) > GateRoom {
		return nil, fmt.Errorf("gate of %#x: %d bytes, there is room for %d", uint64(site), len(g.Code), GateRoom)
	}
	return g, nil
}

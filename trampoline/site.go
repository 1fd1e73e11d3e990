// Package trampoline plans the bytes that redirect a function by one jump at
// its entry, and keeps the chain of a function's versions.
//
// It is pure: it computes which bytes go where in a process and judges bytes that
// were read from one, but touches none. Planning happens before a process is
// stopped; every [Write] holds the bytes that must be found in the place, so that the
// same plan is the check, the commit, the verification and the undo. Nothing here makes written instructions visible to
// instruction fetches: that is a matter of how a Write is carried out (hotpatch/ptrace, "Code and the instruction cache").
package trampoline

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// PlanSite finds where a jump may be placed in a function of the old build.
//
// entry is the function's address, body its bytes from there to its end, pad the bytes behind it up to the next
// atom. interior are offsets in body that code outside of the body branches to or returns into, own those that the function's own
// code branches to. The latter do not matter to the jump: nobody executes the body any more once it is in place and the
// function was shown not to be active. But they, and those of others, keep the first instructions from being moved ([patch.Site.Take]): who
// comes that way is in the midst of something, where flags and the stack below the stack pointer may be in use.
//
// The jump stands right behind a landing pad, which has done by then whatever it does ([arch.Jump.Enter]). A branch from outside exactly to
// that place enters the function and meets the jump; one into the middle of the jump would run half an
// instruction. Where the function is too short, padding behind it is used. If there is no
// room the error is a [*patch.Refusal].
func PlanSite(a *arch.Arch, entry arch.ImageAddr, body, pad []byte, interior, own []uint32) (patch.Site, error) {
	refuse := func(found, help, why string, args ...any) (patch.Site, error) {
		return patch.Site{}, &patch.Refusal{
			What: fmt.Sprintf("function at %#x", uint64(entry)), Why: fmt.Sprintf(why, args...), Found: found, Help: help,
		}
	}
	landing := a.Jump.Landing(body)
	if landing > len(body) {
		return refuse(hexBytes(body), "", "the function ends inside its landing pad")
	}
	if _, err := a.Jump.Lead(arch.Addr(entry), a.Jump.Signs(body), arch.NotSigned); err != nil {
		return refuse(hexBytes(body), "restart with the new build", "a jump behind its landing pad cannot lead to another body: %v", err)
	}
	need := landing + a.Jump.Len
	for _, off := range interior {
		if int64(off) > int64(landing) && int64(off) < int64(need) {
			return refuse(fmt.Sprintf("branch or return to offset %#x, the jump takes %#x to %#x", off, landing, need),
				"restart with the new build", "other code leads into the bytes that a jump would replace")
		}
	}
	if len(body) >= need {
		site := patch.Site{Off: uint32(landing), Room: uint32(roomBefore(interior, landing, len(body)) - landing)}
		planMove(a, &site, entry, body, slices.Concat(interior, own))
		return site, nil
	}
	n, ok := paddingFor(a, pad, need-len(body))
	if !ok {
		return refuse(fmt.Sprintf("%d bytes behind the landing pad, then %s", len(body)-landing, hexBytes(pad)),
			"restart with the new build; one that is built with -falign-functions=16 leaves room", "no room for a jump of %d bytes: the function is too short and is not followed by enough padding", a.Jump.Len)
	}
	site := patch.Site{Off: uint32(landing), Room: uint32(len(body) + n - landing), Pad: append([]byte(nil), pad[:n]...)}
	planMove(a, &site, entry, slices.Concat(body, site.Pad), slices.Concat(interior, own))
	return site, nil
}

// planMove fills in whether the instructions that the jump touches can be moved. led are offsets that code leads to.
func planMove(a *arch.Arch, site *patch.Site, entry arch.ImageAddr, code []byte, led []uint32) {
	if a.Jump.Move == nil {
		site.Fixed = "moving instructions of " + a.Name + " is not implemented"
		return
	}
	at := arch.Addr(entry) + arch.Addr(site.Off)
	_, n, err := a.Jump.Move(code[site.Off:], at, at, a.Jump.Len)
	if err != nil {
		site.Fixed = err.Error()
		return
	}
	end := int64(site.Off) + int64(max(n, a.Jump.Len))
	for _, off := range led {
		if int64(off) < end {
			site.Fixed = fmt.Sprintf("a branch leads back to +%#x", off)
			return
		}
	}
	if site.Fixed = takes(a, code); site.Fixed == "" {
		site.Take = uint8(n)
	}
}

// takes says why a function may take something in a register that a gate changes, against the ABI, as parts of dynamic linkers do; "" if it does
// not: whatever reads one stands behind something that replaces it. Compilers use such registers for what is made and used nearby.
func takes(a *arch.Arch, code []byte) string {
	if a.Jump.Clobbers == 0 {
		return ""
	}
	var replaced arch.RegSet
	for off := 0; off < len(code) && !a.Jump.IsPadding(code[off:]); {
		in, err := a.Decode(code[off:])
		if err != nil {
			return fmt.Sprintf("instruction at +%#x: %v", off, err)
		}
		x, ok := a.Effects(code[off:off+in.Len], &in)
		if !ok {
			return fmt.Sprintf("instruction at +%#x: what it does to registers is not known", off)
		}
		if taken := (x.Read & a.Jump.Clobbers).Minus(replaced); taken != 0 {
			return fmt.Sprintf("instruction at +%#x: it takes something in %s, which a gate changes", off, taken.Names(&a.Call))
		}
		replaced |= x.Kill
		off += in.Len
	}
	return ""
}

// roomBefore returns the end of the bytes behind the landing pad that nothing outside leads into.
func roomBefore(interior []uint32, landing, end int) int {
	for _, off := range interior {
		if int64(off) > int64(landing) && int64(off) < int64(end) {
			end = int(off)
		}
	}
	return end
}

// paddingFor returns the length of the shortest beginning of pad, at least need bytes long, that
// is whole padding instructions. All of pad must be padding: bytes of unknown meaning
// behind a function may be code that has no symbol.
func paddingFor(a *arch.Arch, pad []byte, need int) (int, bool) {
	if len(pad) < need || !a.Jump.IsPadding(pad) {
		return 0, false
	}
	for n := need; n <= len(pad); n++ {
		if a.Jump.IsPadding(pad[:n]) {
			return n, true
		}
	}
	return 0, false
}

// maxShown is how many bytes of code an error shows.
const maxShown = 16

func hexBytes(b []byte) string {
	switch {
	case len(b) == 0:
		return "nothing"
	case len(b) > maxShown:
		return fmt.Sprintf("% x ...", b[:maxShown])
	}
	return fmt.Sprintf("% x", b)
}

// Write is one change of a process's text.
type Write struct {
	Addr arch.Addr
	Old  []byte // must be there before; nil if the planner does not know it
	New  []byte // as long as Old
}

// Undo returns the write that takes w back.
func (w Write) Undo() Write { return Write{Addr: w.Addr, Old: w.New, New: w.Old} }

// Plan returns the jump that leads from site, where room bytes may be overwritten, to to. Old is not known to it.
func Plan(a *arch.Arch, site arch.Addr, room int, to arch.Addr) (Write, error) {
	if room < a.Jump.Len {
		return Write{}, &patch.Refusal{
			What: fmt.Sprintf("jump at %#x", uint64(site)), Why: "no room", Found: fmt.Sprintf("%d bytes, the jump has %d", room, a.Jump.Len),
		}
	}
	code, err := a.Jump.Encode(site, to)
	if err != nil {
		return Write{}, &patch.Refusal{
			What: fmt.Sprintf("jump at %#x to %#x", uint64(site), uint64(to)), Why: "the payload is out of a jump's reach",
			Found: err.Error(), Help: fmt.Sprintf("free address space within %#x bytes of the module", a.Jump.Reach),
		}
	}
	return Write{Addr: site, New: code}, nil
}

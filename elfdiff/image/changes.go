package image

import (
	"slices"

	"hotpatch/arch"
)

// changes is which registers the functions of an image change, by index in Image.Atoms: what a compiler that sees both may count on (-fipa-ra).
// What a function saves in its stack frame it leaves as it is.
type changes struct {
	regs  []arch.Regs
	known []bool
	to    [][]int32 // atoms that are called directly, or jumped to
}

func (c *changes) init(atoms int) {
	c.regs, c.known, c.to = make([]arch.Regs, atoms), make([]bool, atoms), make([][]int32, atoms)
}

// changedBy returns the registers that a direct call of the function at an address may change. It is false if that is not known.
func (im *Image) changedBy(to arch.ImageAddr, direct bool) (arch.Regs, bool) {
	if !direct {
		return 0, false
	}
	a := im.AtomAt(to)
	if a == nil || a.Addr != to || !im.changes.known[a.ID] {
		return 0, false
	}
	return im.changes.regs[a.ID], true
}

// spoiledBy returns the registers that calls preserve by the ABI, and that a direct call of the function at an address may change nevertheless: clang
// moves code that sets them into functions.
func (im *Image) spoiledBy(to arch.ImageAddr, direct bool) arch.Regs {
	if a := im.AtomAt(to); direct && a != nil && a.Addr == to {
		return im.changes.regs[a.ID] & im.Arch.Pieces.Saved &^ im.Arch.Pieces.SP.Bit()
	}
	return 0
}

// changesOf notes what an instruction of atom a changes, and where it leads.
func (im *Image) changesOf(a *Atom, in *arch.Inst, at arch.ImageAddr, t *arch.Transfer) {
	c := &im.changes
	c.regs[a.ID] |= t.Writes
	switch in.Flow {
	case arch.FlowCallInd, arch.FlowJumpInd:
		c.known[a.ID] = false
	}
	if in.BrSize == 0 {
		return
	}
	to := at + arch.ImageAddr(in.Target)
	if to >= a.Addr && to < a.End() {
		return
	}
	if b := im.AtomAt(to); b != nil && b.IsCode() && b.Kind != IFunc && im.stubAt(to) == nil {
		c.to[a.ID] = append(c.to[a.ID], int32(b.ID))
	} else {
		c.known[a.ID] = false
	}
}

// closeChanges adds what the functions that are called change.
func (im *Image) closeChanges() {
	c := &im.changes
	from := make([][]int32, len(c.to))
	var work []int32
	for i := range c.to {
		slices.Sort(c.to[i])
		c.to[i] = slices.Compact(c.to[i])
		for _, j := range c.to[i] {
			from[j] = append(from[j], int32(i))
		}
		work = append(work, int32(i))
	}
	for len(work) > 0 {
		j := work[len(work)-1]
		work = work[:len(work)-1]
		for _, i := range from[j] {
			regs, known := c.regs[i]|c.regs[j]&^im.crossing.kept[i], c.known[i] && c.known[j]
			if regs != c.regs[i] || known != c.known[i] {
				c.regs[i], c.known[i] = regs, known
				work = append(work, i)
			}
		}
	}
	c.to = nil
}

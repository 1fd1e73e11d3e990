package image

import "hotpatch/arch"

// A module that is loaded while threads exist does not know where its thread-local variables are. It asks a function for an address (or, with TLS
// descriptors, a distance from the thread pointer): for each variable (general dynamic), or for the start of its block, to which it adds the variables'
// offsets as constants (local dynamic; ELF for the Arm 64-bit Architecture, 5.7.11.2 and 5.7.11.5). The code does not show which it is, since the
// first variable is the start of the block. Whatever is added is therefore followed from there, and means a variable if it leaves the one asked for.

// inBlock returns what a function of the ABI for thread-local storage answers for the slots at an address; a value of which nothing is known, if these
// are not for the module's own block.
func (im *Image) inBlock(slot arch.ImageAddr) value {
	r, ok := im.DynReloc(slot)
	if !ok || r.Sym != "" {
		return value{}
	}
	if r.Kind == arch.DynTLSDesc {
		return value{kind: valueBlock, at: r.Addend}
	}
	if off, ok := im.ModuleOffset(&r); ok {
		return value{kind: valueBlock, at: int64(off)}
	}
	return value{}
}

// asksForBlock reports whether an instruction calls the function that answers for a pair of slots.
func (f *flow) asksForBlock(in *arch.Inst, at arch.ImageAddr) bool {
	const name = "__tls_get_addr"
	if in.Flow == arch.FlowCall {
		imp := f.im.stubAt(at + arch.ImageAddr(in.Target))
		return imp != nil && imp.Name == name
	}
	v := f.s.reg(f.t.Src)
	imp := f.im.slots[arch.ImageAddr(v.at)]
	return v.kind == valueSlot && imp != nil && imp.Name == name
}

// blockPiece resolves what is added to a place in the module's block; false: it stays within the variable.
func (r *resolver) blockPiece(ref *Ref, p *partner, op *arch.Operand) bool {
	from, to := r.im.blockPlace(p.base.at), r.im.blockPlace(p.base.at+op.Value)
	if from.Atom != nil && from.Atom == to.Atom {
		return false
	}
	ref.Kind, ref.Place = RefTLS, to
	if to.Kind != PlaceTLS {
		ref.Place = Place{Kind: PlaceUnknown, Why: "an offset that is added to the start of the module's thread-local storage is outside of it"}
	}
	return true
}

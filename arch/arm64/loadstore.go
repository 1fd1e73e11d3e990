package arm64

// decodeLoadStore decodes loads and stores (Arm ARM, C4.1.67). What it does not know in detail keeps the
// kind Other and may write every register.
func decodeLoadStore(in *Inst, w uint32) {
	in.Writes = AllRegs
	switch field(w, 28, 2) {
	case 0:
		if w>>26&1 == 1 {
			structures(in, w)
		} else {
			exclusive(in, w)
		}
	case 1:
		if w>>24&1 == 0 {
			literal(in, w)
		} else {
			ordered(in, w)
		}
	case 2:
		pair(in, w)
	case 3:
		single(in, w)
	}
}

// memory describes an access at Rn + imm. Only what it is known to write is left in Writes.
func (in *Inst) memory(w uint32, imm int64, index Index) {
	in.Kind, in.Rn, in.Imm, in.Index = Memory, regSP(w, 5), imm, index
	in.Writes = 0
	if index != Offset {
		in.Writes.add(in.Rn)
	}
}

// structures decodes LD1 to LD4 and ST1 to ST4: 0 Q 00110 s p L. How far a Post moves the base is not told.
func structures(in *Inst, w uint32) {
	if w>>31 == 1 {
		return
	}
	index := Offset
	if w>>23&1 == 1 {
		index = Post
	}
	in.memory(w, 0, index)
	in.Load, in.Store = w>>22&1 == 1, w>>22&1 == 0
}

// exclusive decodes exclusive and ordered accesses, and compare and swap: size 001000 o2 L o1 Rs o0 Rt2 Rn Rt.
func exclusive(in *Inst, w uint32) {
	if w>>24&1 == 1 {
		return
	}
	size, load, o2, o1 := field(w, 30, 2), w>>22&1 == 1, w>>23&1 == 1, w>>21&1 == 1
	in.memory(w, 0, Offset)
	in.Width = 1 << size
	in.Load, in.Store = load, !load
	rs, rt, rt2 := reg(w, 16), reg(w, 0), reg(w, 10)
	in.Rd = rt
	switch {
	case o1 && !o2 && size < 2: // CASP: a pair from an even register on
		in.Load, in.Store = true, true
		in.Width = 8 << size
		in.Writes.add(rs)
		in.Writes.add(reg(w|1<<16, 16))
	case o1 && o2: // CAS
		in.Load, in.Store = true, true
		in.Writes.add(rs)
	case o1: // LDXP, STXP
		in.Width *= 2
		if load {
			in.Writes.add(rt)
			in.Writes.add(rt2)
		} else {
			in.Writes.add(rs)
		}
	case load: // LDXR, LDAR
		in.Writes.add(rt)
	case !o2: // STXR
		in.Writes.add(rs)
	}
}

// literal decodes LDR (literal): opc 011 V 00 imm19 Rt.
func literal(in *Inst, w uint32) {
	in.Kind, in.Imm, in.Load, in.Writes = Literal, signed(w, 5, 19)*InstLen, true, 0
	switch opc, vector := field(w, 30, 2), w>>26&1 == 1; {
	case vector:
		in.Width = 4 << opc
	case opc == 3: // PRFM
		in.Load = false
	default:
		in.Width = 4
		if opc == 1 {
			in.Width = 8
		}
		in.Rd = reg(w, 0)
		in.Writes.add(in.Rd)
	}
}

// ordered decodes the group 011x01: LDAPUR and STLUR, memory tags, memory copies.
func ordered(in *Inst, w uint32) {
	vector, op := w>>26&1 == 1, field(w, 10, 2)
	switch {
	case w>>21&1 == 0 && op == 0 && !vector, w>>21&1 == 0 && op == 2 && vector:
		in.memory(w, signed(w, 12, 9), Offset)
		in.access(w)
	case w>>21&1 == 0 && op == 1: // CPYP and the like, SETP and the like
		in.Writes = 0
		in.Writes.add(reg(w, 0))
		in.Writes.add(reg(w, 5))
		if field(w, 22, 2) != 3 { // a copy, whose source moves as well
			in.Writes.add(reg(w, 16))
		}
	case w>>24 == 0xd9 && w>>21&1 == 1:
		tags(in, w)
	}
}

// tags decodes STG, LDG and the like: 11011001 opc 1 imm9 index Rn Rt. The immediate counts granules of 16 bytes.
func tags(in *Inst, w uint32) {
	opc, index := field(w, 22, 2), field(w, 10, 2)
	in.memory(w, signed(w, 12, 9)*16, [...]Index{Offset, Post, Offset, Pre}[index])
	in.Load = index == 0 && opc&1 == 1
	in.Store = !in.Load
	if in.Load { // LDG, LDGM
		in.Rd = reg(w, 0)
		in.Writes.add(in.Rd)
	}
}

// pair decodes LDP and STP: opc 101 V index L imm7 Rt2 Rn Rt.
func pair(in *Inst, w uint32) {
	opc, vector, load := field(w, 30, 2), w>>26&1 == 1, w>>22&1 == 1
	scale := int64(4) << opc
	switch {
	case opc == 3:
		return
	case !vector && opc == 1 && load: // LDPSW
		scale = 4
	case !vector && opc == 1: // STGP
		scale = 16
	case !vector:
		scale = 4 << (opc / 2)
	}
	index := [...]Index{Offset, Post, Offset, Pre}[field(w, 23, 2)]
	in.memory(w, signed(w, 15, 7)*scale, index)
	in.Width = uint8(2 * scale)
	in.Load, in.Store = load, !load
	if vector {
		return
	}
	if !load && opc == 1 {
		in.Width = 16 // and their tags
	}
	in.Rd = reg(w, 0)
	if load {
		in.Writes.add(in.Rd)
		in.Writes.add(reg(w, 10))
	}
}

// single decodes the group xx11: one register, with an immediate or another register, and the atomic operations.
func single(in *Inst, w uint32) {
	op, vector, size := field(w, 10, 2), w>>26&1 == 1, field(w, 30, 2)
	switch {
	case w>>24&1 == 1: // unsigned immediate, scaled
		in.memory(w, 0, Offset)
		in.access(w)
		in.Imm = int64(field(w, 10, 12)) * int64(max(in.Width, 1))
		if in.Width == 0 { // PRFM
			in.Imm *= 8
		}
	case w>>21&1 == 0: // unscaled, post, unprivileged, pre
		in.memory(w, signed(w, 12, 9), [...]Index{Offset, Post, Offset, Pre}[op])
		in.access(w)
	case op == 2:
		in.memory(w, 0, Offset)
		in.Kind, in.Rm = MemoryIn, reg(w, 16)
		in.access(w)
	case op == 0 && !vector:
		atomic(in, w)
	case op != 0 && size == 3 && !vector: // LDRAA, LDRAB
		index := Offset
		if w>>11&1 == 1 {
			index = Pre
		}
		imm := (signed(w, 22, 1)<<9 | int64(field(w, 12, 9))) * 8
		in.memory(w, imm, index)
		in.Load, in.Width, in.Rd = true, 8, reg(w, 0)
		in.Writes.add(in.Rd)
	}
}

// access fills in what is accessed from size, V and opc of a single register.
func (in *Inst) access(w uint32) {
	size, vector, opc := field(w, 30, 2), w>>26&1 == 1, field(w, 22, 2)
	if vector {
		in.Width = 1 << (size | opc>>1<<2)
		in.Load, in.Store = opc&1 == 1, opc&1 == 0
		return
	}
	if size == 3 && opc >= 2 { // PRFM
		if opc == 3 {
			in.Writes = AllRegs
		}
		return
	}
	in.Width = 1 << size
	in.Rd = reg(w, 0)
	in.Store, in.Load = opc == 0, opc != 0
	if in.Load {
		in.Writes.add(in.Rd)
	}
}

// atomic decodes LDADD and the like, SWP, and LDAPR: size 111000 A R 1 Rs o3 opc 00 Rn Rt.
func atomic(in *Inst, w uint32) {
	if o3, opc := w>>15&1, field(w, 12, 3); o3 == 1 && opc != 0 && opc != 4 {
		return // LD64B, ST64B and newer ones
	} else {
		in.memory(w, 0, Offset)
		in.Load, in.Store = true, o3 == 0 || opc == 0
	}
	in.Width = 1 << field(w, 30, 2)
	in.Rd = reg(w, 0)
	in.Writes.add(in.Rd)
}

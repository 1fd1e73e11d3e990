package types

// fill sets what depends on the tag, and reports whether the entry is of interest.
func (w *walk) fill(n *node, e *entry, parent int32) bool {
	switch n.tag {
	case tagMember, tagInheritance:
		n.a, n.b = e.place(), e.bits
		if e.has&hasVirtual != 0 {
			n.a = Unknown
		}
	case tagEnumerator, tagVariant:
		n.a = e.val
		if e.has&hasVal != 0 {
			n.flags |= hasValue
		}
	case tagSubrangeType:
		if n.a = e.count; e.has&hasCount == 0 {
			n.a = Unknown
		}
	case tagBaseType:
		n.a, n.b = e.size, e.enc
		if e.has&hasSize == 0 {
			n.a = (e.bits + 7) / 8
		}
	case tagStructureType, tagClassType, tagUnionType, tagInterfaceType, tagEnumerationType:
		if n.a, n.b = e.size, uint64(e.org); e.sig != 0 {
			n.b = uint64(e.sig)
		}
	case tagVariable, tagFormalParameter:
		return w.fillVariable(n, e)
	case tagSubprogram:
		w.fillFunction(n, e)
	case tagInlinedSubroutine:
		n.b = uint64(e.org)
	case tagPtrToMemberType:
		n.a = e.size
	default:
		n.a = e.size
	}
	return true
}

// place returns where a member begins, in bits.
func (e *entry) place() uint64 {
	switch {
	case e.has&hasBitOff != 0:
		return e.bitOff + e.loc*8
	case e.has&hasOddLoc != 0:
		return Unknown
	case e.has&hasOldBitOff != 0: // from the most significant bit of the storage unit (DWARF 3, 5.6.6)
		return e.loc*8 + e.size*8 - e.bitOff - e.bits
	}
	return e.loc * 8
}

// fillVariable sets the address of a variable with static storage. An entry that only repeats one of an abstract function is
// left out: the function's own entry names that one.
func (w *walk) fillVariable(n *node, e *entry) bool {
	n.b = uint64(e.org)
	if n.tag == tagVariable && e.expr != "" {
		if addr, tls, ok := w.u.static(e.expr); ok {
			n.a = addr
			n.flags |= hasAddress
			if tls {
				n.flags |= isTLS
			}
		}
	}
	return e.org == 0 || n.flags&hasAddress != 0
}

// static returns the address that a location expression stands for, if it is that of static storage: in the image, or in the
// template of thread-local storage (DWARF 5, 2.5.1.3).
func (u *unit) static(expr string) (addr uint64, tls, ok bool) {
	c := cursor{s: expr}
	switch op := c.u8(); op {
	case opAddr:
		addr, ok = c.fixed(int(u.addrSize)), true
	case opAddrx, opGNUAddrIndex:
		addr, ok = u.indexedAddr(c.uleb())
	case opConst8u, opConst4u:
		addr, tls = c.fixed(map[uint64]int{opConst8u: 8, opConst4u: 4}[op]), true
	case opConstu:
		addr, tls = c.uleb(), true
	case opConstx, opGNUConstIndex:
		if addr, tls = u.indexedAddr(c.uleb()); !tls {
			return 0, false, false
		}
	}
	switch {
	case c.err != nil:
		return 0, false, false
	case tls:
		op := c.u8()
		return addr, true, c.err == nil && (op == opFormTLSAddress || op == opGNUPushTLS)
	case ok && c.more():
		if c.u8() != opPlusUconst {
			return 0, false, false
		}
		addr += c.uleb()
		ok = c.err == nil && !c.more()
	}
	return addr, false, ok
}

func (w *walk) fillFunction(n *node, e *entry) {
	n.b = uint64(e.org)
	if e.has&hasSlot != 0 {
		n.flags |= isVirtual
		n.a = e.slot
		if e.link != "" {
			n.name = e.link
		}
	}
	if addr, ok := w.u.entryOf(&e.low, &e.ranges); ok {
		n.a = addr
		n.flags = n.flags&^isVirtual | hasAddress
	}
}

// entryOf returns the entry of a function that starts at low, or where the first of its ranges does; false if it has no code.
func (u *unit) entryOf(low, ranges *value) (addr uint64, ok bool) {
	addr, ok = u.address(low)
	if !ok && ranges.class != classNone {
		addr, ok = u.firstAddress(ranges)
	}
	return addr, ok && addr != 0 && addr < 1<<62 // 0 and -1 stand for code that the linker left out
}

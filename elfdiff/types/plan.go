package types

// step is a part of an entry that [twins] passes over in both builds at once.
type step struct {
	do   action
	size int32     // of stepSkip and stepSame: bytes
	attr attribute // of the others
}

// action is what is done with a part of an entry.
type action uint8

const (
	stepSkip     action = iota // bytes that say nothing of types
	stepSame                   // bytes that must be equal
	stepBlock                  // an expression that says nothing of types, behind its length
	stepText                   // an offset in .debug_str: the texts must be equal
	stepPass                   // a value of another form that says nothing of types
	stepValue                  // a value of another form, which must be the same
	stepLow                    // the entry of a function
	stepRanges                 // the ranges of one
	stepLocation               // where a variable lies
)

// plan is how the entries of one abbreviation are passed over.
type plan struct {
	tag         uint16
	children    bool
	first, last int32 // steps: first to last-1
}

// plans are those of one table of abbreviations, by code.
type plans struct {
	list  []plan
	steps []step
}

// prepare makes the plans of a table. The first entry of a unit is passed over without a look: [unit.open] reads it.
func (p *plans) prepare(t *abbrevs) {
	p.list, p.steps = p.list[:0], p.steps[:0]
	for i := range t.dense {
		a := &t.dense[i]
		first := len(p.steps)
		for k := range a.attrs {
			p.add(first, a.tag, a.attrs[k])
		}
		p.list = append(p.list, plan{a.tag, a.children, int32(first), int32(len(p.steps))})
	}
}

// add enters the step for an attribute, and joins it with the one in front if both are of a known size. The plan begins at step first.
func (p *plans) add(first int, tag uint16, a attribute) {
	s := step{do: stepSkip, attr: a}
	matters := matters(tag, a.name)
	if s.size = fixedSize([]attribute{a}); s.size < 0 {
		s.do = stepPass
	}
	switch {
	case a.form == formExprloc && !matters:
		s.do = stepBlock
	case !matters:
	case a.name == attrLowPC:
		s.do = stepLow
	case a.name == attrRanges:
		s.do = stepRanges
	case a.name == attrLocation:
		s.do = stepLocation
	case a.form == formStrp:
		s.do = stepText
	case literal(a.form):
		s.do = stepSame
	default:
		s.do = stepValue
	}
	if n := len(p.steps); n > first && p.steps[n-1].do == s.do && s.do <= stepSame {
		p.steps[n-1].size += s.size
		return
	}
	if s.do > stepSame || s.size > 0 {
		p.steps = append(p.steps, s)
	}
}

// matters reports whether the reader looks at an attribute of an entry. Where something is declared is left out: it tells no types apart.
func matters(tag, name uint16) bool {
	if int(tag) >= len(interest) || !interest[tag] {
		return false
	}
	switch name {
	case attrName, attrLinkageName, attrMIPSLinkageName, attrType, attrAbstractOrigin, attrSpecification, attrSignature, attrByteSize,
		attrBitSize, attrEncoding, attrCount, attrUpperBound, attrDataMemberLoc, attrDataBitOffset, attrBitOffset, attrConstValue,
		attrDiscrValue, attrVtableElemLoc, attrVirtuality, attrDeclaration:
		return true
	case attrLowPC, attrRanges:
		return tag == tagSubprogram
	case attrLocation:
		return tag == tagVariable
	}
	return false
}

// literal reports whether values of a form are the same if and only if their bytes are, and take a known number of them.
func literal(form uint16) bool {
	switch form {
	case formData1, formData2, formData4, formData8, formData16, formFlag, formFlagPresent, formImplicit, formRef1, formRef2, formRef4, formRef8:
		return true
	}
	return false
}

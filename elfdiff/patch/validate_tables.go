package patch

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"hotpatch/arch"
)

// funcs checks the function table and its order: functions of the old build by
// address, then added ones by name and file.
func (c *checker) funcs() error {
	if len(c.Funcs) > maxFuncs {
		return &defect{place{tabFuncs, 0, 0}, "", "too many functions", len(c.Funcs)}
	}
	bodies := make(map[int]bool, len(c.Funcs)) // symbols of new bodies
	for i := range c.Funcs {
		f := &c.Funcs[i]
		msg, val := c.function(f)
		if msg == "" && f.How != Removed {
			if bodies[f.New] {
				msg, val = "new body belongs to another function already", f.New
			}
			bodies[f.New] = true
		}
		if msg == "" && i > 0 && !funcsInOrder(&c.Funcs[i-1], f) {
			msg = "out of order, or a second entry for one function"
		}
		if msg != "" {
			return &defect{place{tabFuncs, i, 0}, f.Name, msg, val}
		}
	}
	return nil
}

func funcsInOrder(a, b *Func) bool {
	switch {
	case a.How == Added && b.How == Added:
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.File, b.File)) <= 0
	case a.How == Added || b.How == Added:
		return b.How == Added
	}
	return a.Old[0].Addr < b.Old[0].Addr
}

func (c *checker) function(f *Func) (string, any) {
	for _, s := range []string{f.Name, f.File} {
		if msg := badString(s); msg != "" {
			return msg, nil
		}
	}
	if f.Name == "" {
		return "no name", nil
	}
	if f.How > Removed {
		return "unknown kind of change", uint64(f.How)
	}
	if old := f.How != Added; old != (len(f.Old) > 0) {
		return "old bodies do not fit the kind of change", len(f.Old)
	}
	if len(f.Old) > maxParts {
		return "too many parts", len(f.Old)
	}
	for i := range f.Old {
		if msg, val := checkPart(&f.Old[i]); msg != "" {
			return msg, val
		}
	}
	if f.How == Removed {
		if f.New != -1 {
			return "removed function with a new body", f.New
		}
	} else if msg, val := c.newBody(f); msg != "" {
		return msg, val
	}
	return c.site(f)
}

// newBody checks that the new body is a function that is alone in its section, so that Link knows
// what room there is behind it.
func (c *checker) newBody(f *Func) (string, any) {
	if f.New < 0 || f.New >= len(c.Symbols) {
		return "no such symbol for the new body", f.New
	}
	s := &c.Symbols[f.New]
	switch {
	case s.Kind != SymDefined || !s.Func:
		return "new body is not a function of the payload", s.Name
	case s.Value != 0 || s.Size == 0 || s.Size != c.Sections[s.Section].Size:
		return "new body does not fill its section", s.Size
	}
	return "", nil
}

// site checks where the jump goes (Func.Jump).
func (c *checker) site(f *Func) (string, any) {
	j := &f.Jump
	if f.How != Changed {
		if j.Off != 0 || j.Room != 0 || len(j.Pad) != 0 || j.Take != 0 || j.Fixed != "" {
			return "place for a jump in a function that is not replaced", uint64(j.Off)
		}
		return "", nil
	}
	entry := &f.Old[0]
	end := uint64(j.Off) + uint64(j.Room)
	switch {
	case int(j.Off) != c.a.Jump.Landing(entry.Bytes):
		return "jump is not placed right behind the landing pad", uint64(j.Off)
	case j.Room < uint32(c.a.Jump.Len):
		return "no room for a jump", uint64(j.Room)
	case end > entry.Size+uint64(len(j.Pad)):
		return "room for the jump runs past the function and its padding", uint64(j.Room)
	case len(j.Pad) > 0 && end != entry.Size+uint64(len(j.Pad)):
		return "padding that is not part of the room", uint64(len(j.Pad))
	case len(j.Pad) > 0 && !c.a.Jump.IsPadding(j.Pad):
		return "bytes behind the function are not padding", fmt.Sprintf("% x", j.Pad[:min(len(j.Pad), 16)])
	case (j.Take == 0) != (j.Fixed != ""):
		return "first instructions that can be moved, and a reason why not, or neither", uint64(j.Take)
	case badString(j.Fixed) != "":
		return "why the first instructions stay: " + badString(j.Fixed), nil
	case j.Take == 0:
		return "", nil
	case c.a.Jump.Move == nil:
		return "first instructions that can be moved, on an architecture where none are", uint64(j.Take)
	}
	at := arch.Addr(entry.Addr) + arch.Addr(j.Off)
	code := slices.Concat(entry.Bytes[j.Off:], j.Pad)
	if _, n, err := c.a.Jump.Move(code, at, at, c.a.Jump.Len); err != nil || n != int(j.Take) {
		return "first instructions that cannot be moved, or are of another length", uint64(j.Take)
	}
	return "", nil
}

func checkPart(pt *Part) (string, any) {
	if msg := badString(pt.Name); msg != "" {
		return msg, nil
	}
	switch {
	case pt.Size == 0:
		return "empty part " + pt.Name, nil
	case pt.Size != uint64(len(pt.Bytes)):
		return "size is not that of the old bytes of part " + pt.Name, pt.Size
	case pt.Size > ^uint64(0)-uint64(pt.Addr):
		return "wraps around the address space: part " + pt.Name, uint64(pt.Addr)
	case !hashOK(pt):
		return "hash is not that of the old bytes of part " + pt.Name, fmt.Sprintf("%x", pt.Hash)
	}
	return checkFields(pt.Fields, pt.Size)
}

// checkFields checks that fields are in order, apart and within size bytes.
func checkFields(fields []Field, size uint64) (string, any) {
	if len(fields) > maxFields {
		return "too many reference fields", len(fields)
	}
	end := uint64(0)
	for _, f := range fields {
		switch {
		case f.Size == 0 || f.Size > 8:
			return "size of a reference field", uint64(f.Size)
		case uint64(f.Off) < end:
			return "reference field overlaps the one before it, or is out of order", uint64(f.Off)
		}
		if end = uint64(f.Off) + uint64(f.Size); end > size {
			return "reference field runs past the end", uint64(f.Off)
		}
	}
	return "", nil
}

// overlaps checks that no byte of a replaced function, or of the padding that its jump needs,
// belongs to another function of the table.
func (c *checker) overlaps() error {
	type span struct {
		start, end arch.ImageAddr
		fn         int
		replaced   bool
	}
	var spans []span
	for i := range c.Funcs {
		f := &c.Funcs[i]
		for k := range f.Old {
			pt := &f.Old[k]
			s := span{pt.Addr, pt.Addr + arch.ImageAddr(pt.Size), i, f.How == Changed}
			if k == 0 {
				s.end += arch.ImageAddr(len(f.Jump.Pad))
			}
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var far [2]span // the spans seen that reach furthest: any, replaced
	for _, s := range spans {
		for _, before := range far {
			if before.end > s.start && (s.replaced || before.replaced) {
				return &defect{place{tabFuncs, s.fn, 0}, c.Funcs[s.fn].Name, "overlaps function " + c.Funcs[before.fn].Name, uint64(s.start)}
			}
		}
		if s.end > far[0].end {
			far[0] = s
		}
		if s.replaced && s.end > far[1].end {
			far[1] = s
		}
	}
	return nil
}

func (c *checker) consts() error {
	if len(c.Consts) > maxConsts {
		return &defect{place{tabConsts, 0, 0}, "", "too many constants", len(c.Consts)}
	}
	end := arch.ImageAddr(0)
	for i := range c.Consts {
		k := &c.Consts[i]
		msg, val := c.constant(k)
		if msg == "" && i > 0 && k.Addr < end {
			msg, val = "overlaps the one before it, or is out of order", uint64(k.Addr)
		}
		if msg != "" {
			return &defect{place{tabConsts, i, 0}, k.Name, msg, val}
		}
		end = k.Addr + arch.ImageAddr(len(k.Old))
	}
	return nil
}

func (c *checker) constant(k *Const) (string, any) {
	for _, s := range []string{k.Name, k.File} {
		if msg := badString(s); msg != "" {
			return msg, nil
		}
	}
	size := uint64(len(k.Old))
	if size == 0 || size > ^uint64(0)-uint64(k.Addr) {
		return "impossible size", size
	}
	if msg, val := checkFields(k.Fields, size); msg != "" {
		return msg, val
	}
	if k.New.Section < 0 || k.New.Section >= len(c.Sections) {
		return "no such section for the new content", k.New.Section
	}
	s := &c.Sections[k.New.Section]
	if s.Kind != ROData || s.Size != size {
		return "new content is not a read-only section of the same size", s.Name
	}
	// The content is linked where the payload is and copied to where the constant is.
	for _, r := range s.Relocs {
		if d := c.a.Relocs[r.Type]; d.Kind != arch.RelocAbs {
			return "new content has a place-relative relocation, which would be wrong where it is copied to", d.Name
		}
	}
	if len(k.Readers) > maxReaders {
		return "too many readers", len(k.Readers)
	}
	for i := range k.Readers {
		if msg, val := checkPart(&k.Readers[i]); msg != "" {
			return "reader: " + msg, val
		}
	}
	return "", nil
}

// moves checks the variables that get a new place: by old address, apart, each with a new place of its own.
func (c *checker) moves() error {
	if len(c.Moves) > maxMoves {
		return &defect{place{tabMoves, 0, 0}, "", "too many moved variables", len(c.Moves)}
	}
	places := make(map[int]bool, len(c.Moves))
	end := arch.ImageAddr(0)
	for i := range c.Moves {
		m := &c.Moves[i]
		msg, val := c.move(m)
		switch {
		case msg != "":
		case i > 0 && m.Old < end:
			msg, val = "overlaps the one before it, or is out of order", uint64(m.Old)
		case places[m.New]:
			msg, val = "new place belongs to another variable already", m.New
		}
		if msg != "" {
			return &defect{place{tabMoves, i, 0}, m.Name, msg, val}
		}
		places[m.New], end = true, m.Old+arch.ImageAddr(m.Size)
	}
	return nil
}

func (c *checker) move(m *Move) (string, any) {
	for _, s := range []string{m.Name, m.File} {
		if msg := badString(s); msg != "" {
			return msg, nil
		}
	}
	if m.Name == "" {
		return "no name", nil
	}
	if m.Size == 0 || m.Size > maxPayload || m.Size > ^uint64(0)-uint64(m.Old) {
		return "impossible size", m.Size
	}
	if m.New < 0 || m.New >= len(c.Symbols) || c.Symbols[m.New].Kind != SymDefined {
		return "no such symbol for the new place", m.New
	}
	s := &c.Symbols[m.New]
	sec := &c.Sections[s.Section]
	switch {
	case sec.Kind != Data && sec.Kind != BSS:
		return "new place is not in a writable section", sec.Name
	case s.Value != 0 || s.Size != sec.Size:
		return "new place does not fill its section", s.Size
	case m.Keep == 0 || m.Keep > m.Size || m.Keep > s.Size:
		return "more is to be copied than the old or the new place has, or nothing", m.Keep
	}
	return "", nil
}

// report checks needed libraries, changes and acknowledgements. A patch holds no
// refused change, and every change that needs the user's word has it.
func (c *checker) report() error {
	if len(c.Needed) > maxNeeded || len(c.Changes) > maxChanges || len(c.Acks) > maxAcks {
		return &defect{place{tabChanges, 0, 0}, "", "too many libraries, changes or acknowledgements", nil}
	}
	for i, s := range c.Needed {
		if msg := badString(s); msg != "" || s == "" {
			return &defect{place{tabNeeded, i, 0}, s, "name: " + msg, nil}
		}
	}
	given := make(map[string]bool, len(c.Acks))
	for i, a := range c.Acks {
		if msg := checkAck(&a); msg != "" {
			return &defect{place{tabAcks, i, 0}, a.ID, msg, nil}
		}
		if given[a.ID] {
			return &defect{place{tabAcks, i, 0}, a.ID, "given twice", nil}
		}
		given[a.ID] = true
	}
	asked := make(map[string]bool, len(c.Acks))
	for i := range c.Changes {
		ch := &c.Changes[i]
		msg, val := checkChange(ch, given)
		for k := 0; k < len(ch.Reasons) && msg == ""; k++ {
			msg, val = ch.Reasons[k].check(i+1, len(c.Changes))
		}
		if msg != "" {
			return &defect{place{tabChanges, i, 0}, ch.Name, msg, val}
		}
		asked[ch.Ack] = true
	}
	for i, a := range c.Acks {
		if !asked[a.ID] {
			return &defect{place{tabAcks, i, 0}, a.ID, "no change asks for it", nil}
		}
	}
	return nil
}

func checkAck(a *Ack) string {
	for _, s := range []string{a.ID, a.User, a.Date} {
		if msg := badString(s); msg != "" {
			return msg
		}
		if s == "" {
			return "without id, user or date"
		}
	}
	if _, err := time.Parse(time.RFC3339, a.Date); err != nil {
		return "date is not as in RFC 3339: " + a.Date
	}
	return ""
}

func checkChange(c *Change, given map[string]bool) (string, any) {
	if len(c.Reasons) > maxReasons {
		return "too many reasons", len(c.Reasons)
	}
	for _, s := range []string{c.What, c.Name, c.File, c.Change, c.Ack, c.Why} {
		if msg := badString(s); msg != "" {
			return msg, nil
		}
	}
	switch c.Verdict {
	case OK:
	case Refused:
		return "a refused change cannot be part of a patch", c.Why
	case NeedAck:
		if !given[c.Ack] {
			return "needs the user's word, which was not given", c.Ack
		}
	default:
		return "unknown verdict", string(c.Verdict)
	}
	return "", nil
}

package patch

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"

	"hotpatch/arch"
)

const ehFrameName = ".eh_frame"

// kindNames are the names that a payload section of a Kind may begin with.
var kindNames = [...][]string{
	Text:    {".text"},
	ROData:  {".rodata", ".data.rel.ro", ".gcc_except_table"},
	Data:    {".data"},
	BSS:     {".bss"},
	EHFrame: {ehFrameName},
}

// checker holds a patch while it is validated.
type checker struct {
	*Patch
	a *arch.Arch
}

// validate finds everything about a patch that contradicts its own description or
// exceeds a limit. Encode and Decode both hold a patch to it.
func (p *Patch) validate(a *arch.Arch) error {
	c := &checker{p, a}
	if err := p.validatePayload(a); err != nil {
		return err
	}
	for _, step := range []func() error{c.builds, c.symbolOrder, c.funcs, c.code, c.overlaps, c.consts, c.moves, c.reach, c.slots, c.atoms, c.report, c.notes} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// validatePayload checks the part of a patch that is linked.
func (p *Patch) validatePayload(a *arch.Arch) error {
	c := &checker{p, a}
	if len(p.Sections) > maxSections || len(p.Symbols) > maxSymbols {
		return &defect{at: place{table: tabIdentity}, msg: "too many payload sections or symbols"}
	}
	for i := range p.Symbols {
		if msg, val := c.symbol(&p.Symbols[i]); msg != "" {
			return &defect{place{tabSymbols, i, 0}, p.Symbols[i].Name, msg, val}
		}
	}
	total := uint64(0)
	frames := false
	for i := range p.Sections {
		s := &p.Sections[i]
		if msg, val := c.section(s); msg != "" {
			return &defect{place{tabSections, i, 0}, s.Name, msg, val}
		}
		if s.Kind == EHFrame && frames {
			return &defect{place{tabSections, i, 0}, s.Name, "a second .eh_frame section", nil}
		}
		frames = frames || s.Kind == EHFrame
		if total += s.Size; total > maxPayload {
			return &defect{place{tabSections, i, 0}, s.Name, "the payload is too large with this section", total}
		}
		if j, msg, val := c.relocations(s); msg != "" {
			return &defect{place{tabRelocs, i, j}, s.Name, msg, val}
		}
	}
	return nil
}

func (c *checker) section(s *Section) (string, any) {
	if msg := badString(s.Name); msg != "" {
		return "name: " + msg, nil
	}
	if int(s.Kind) >= len(kindNames) {
		return "unknown kind", s.Kind
	}
	named := func(prefix string) bool { return s.Name == prefix || strings.HasPrefix(s.Name, prefix+".") }
	if !slices.ContainsFunc(kindNames[s.Kind], named) || s.Kind == EHFrame && s.Name != ehFrameName {
		return "name does not fit the section's kind, which wants " + strings.Join(kindNames[s.Kind], " or "), nil
	}
	switch {
	case s.Align == 0 || s.Align&(s.Align-1) != 0 || s.Align > maxAlign:
		return "alignment is not a power of two up to 4096", s.Align
	case s.Size > maxPayload:
		return "size is too large", s.Size
	case s.Kind == BSS && len(s.Data) != 0:
		return "zero-initialised section with content", uint64(len(s.Data))
	case s.Kind != BSS && s.Size != uint64(len(s.Data)):
		return "size is not that of the content", s.Size
	case s.Kind == EHFrame:
		return frameRecords(s.Data)
	}
	return "", nil
}

// frameRecords checks that CIEs and FDEs follow each other up to the end of the section, without a
// terminator, which Link adds (System V psABI / LSB 10.6.1: a record begins with its
// length; 0 ends the section, 0xffffffff announces a 64-bit length, which no compiler emits).
func frameRecords(b []byte) (string, any) {
	for off := uint64(0); off < uint64(len(b)); {
		if uint64(len(b))-off < 8 {
			return "frame record is cut off at offset", off
		}
		n := binary.LittleEndian.Uint32(b[off:])
		if n < 4 || n >= 0xfffffff0 || uint64(n) > uint64(len(b))-off-4 {
			return "frame record of impossible length at offset", off
		}
		off += 4 + uint64(n)
	}
	return "", nil
}

func (c *checker) relocations(s *Section) (int, string, any) {
	end := uint64(0)
	for j, r := range s.Relocs {
		d, ok := c.a.Relocs[r.Type]
		switch {
		case !ok:
			return j, "relocation type is not known for " + c.a.Name, uint64(r.Type)
		case !d.Kind.InPatch():
			return j, "relocation type is not one of a patch", d.Name
		case s.Kind == BSS:
			return j, "relocation of a section without content", r.Off
		case r.Off > s.Size || uint64(d.Size) > s.Size-r.Off:
			return j, "field runs past the end of the section", r.Off
		case r.Off < end:
			return j, "field overlaps the one before it, or is out of order", r.Off
		case r.Sym < 0 || r.Sym >= len(c.Symbols):
			return j, "no such symbol", r.Sym
		}
		end = r.Off + uint64(d.Size)
	}
	return 0, "", nil
}

func (c *checker) symbol(s *Symbol) (string, any) {
	for _, str := range []string{s.Name, s.Version} {
		if msg := badString(str); msg != "" {
			return "name: " + msg, nil
		}
	}
	switch {
	case s.Name == "":
		return "no name", nil
	case s.Kind > SymImport:
		return "unknown kind", uint64(s.Kind)
	case s.Kind != SymImport && (s.Version != "" || s.Weak):
		return "only an import has a version or is weak", nil
	case s.Kind == SymImport && s.Local:
		return "an import cannot be local", nil
	case s.Kind == SymImport && strings.Contains(s.Name+s.Version, "@"):
		return "name or version of an import contains '@'", nil
	case s.Kind == SymImage && s.Value > ^uint64(0)-s.Size:
		return "image symbol wraps around the address space", s.Value
	}
	if s.Kind != SymDefined {
		return "", nil
	}
	if s.Section < 0 || s.Section >= len(c.Sections) {
		return "not in a payload section", s.Section
	}
	sec := &c.Sections[s.Section]
	switch {
	case s.Value > sec.Size || s.Size > sec.Size-s.Value:
		return "runs past the end of its section " + sec.Name, s.Value
	case s.Func && sec.Kind != Text:
		return "function in section " + sec.Name + ", which is not text", nil
	}
	return "", nil
}

// symbolOrder checks what only the file needs: local symbols first, no symbol twice.
func (c *checker) symbolOrder() error {
	seen := make(map[Symbol]int, len(c.Symbols))
	for i, s := range c.Symbols {
		if s.Kind != SymDefined {
			s.Section = 0
		}
		if i > 0 && s.Local && !c.Symbols[i-1].Local {
			return &defect{place{tabSymbols, i, 0}, s.Name, "local symbol behind a global one", nil}
		}
		if j, dup := seen[s]; dup {
			return &defect{place{tabSymbols, i, 0}, s.Name, "the same as symbol", j}
		}
		seen[s] = i
	}
	return nil
}

func (c *checker) builds() error {
	for i, b := range []*Build{&c.Old, &c.New} {
		which := [...]string{"old build", "new build"}[i]
		bad := func(msg string, val any) error {
			return &defect{place{tabIdentity, 0, 0}, b.Name, which + ": " + msg, val}
		}
		if len(b.ID) == 0 || len(b.ID) > maxBuildID {
			return bad("length of the build id", len(b.ID))
		}
		for _, s := range []string{b.Name, b.SONAME} {
			if msg := badString(s); msg != "" {
				return bad("name: "+msg, nil)
			}
		}
		if b.Type != elf.ET_EXEC && b.Type != elf.ET_DYN {
			return bad("neither executable nor shared object", b.Type)
		}
	}
	if bytes.Equal(c.Old.ID, c.New.ID) {
		return &defect{place{tabIdentity, 0, 0}, c.New.Name, "old and new build have the same build id, a process could not tell them apart", nil}
	}
	return nil
}

func (c *checker) slots() error {
	if len(c.Slots) > maxSlots {
		return &defect{place{tabSlots, 0, 0}, "", "too many slots", len(c.Slots)}
	}
	seen := make(map[arch.ImageAddr]bool, len(c.Slots))
	for i, s := range c.Slots {
		if msg := badString(s.Name); msg != "" {
			return &defect{place{tabSlots, i, 0}, s.Name, msg, nil}
		}
		if seen[s.Addr] {
			return &defect{place{tabSlots, i, 0}, s.Name, "a second slot at this address", uint64(s.Addr)}
		}
		seen[s.Addr] = true
	}
	return nil
}

// atoms checks Patch.Map: by New, at one address the larger atom first.
func (c *checker) atoms() error {
	if len(c.Map) > maxMap {
		return &defect{place{tabMap, 0, 0}, "", "too many map entries", len(c.Map)}
	}
	for i, m := range c.Map {
		bad := func(msg string, val any) error { return &defect{place{tabMap, i, 0}, "", msg, val} }
		if m.Size > ^uint64(0)-uint64(m.New) || m.Size > ^uint64(0)-uint64(m.Old) {
			return bad("wraps around the address space", m.Size)
		}
		if m.Sym < -1 || m.Sym >= len(c.Symbols) || m.Sym >= 0 && c.Symbols[m.Sym].Kind != SymDefined {
			return bad("no such symbol of the payload", m.Sym)
		}
		if i == 0 {
			continue
		}
		if prev := &c.Map[i-1]; m.New < prev.New || m.New == prev.New && m.Size >= prev.Size {
			return bad("out of order, or a second entry for one atom", uint64(m.New))
		}
	}
	return nil
}

// hashOK reports whether a part's hash is that of its bytes.
func hashOK(pt *Part) bool { return sha256.Sum256(pt.Bytes) == pt.Hash }

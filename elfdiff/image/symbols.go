package image

import (
	"cmp"
	"debug/elf"
	"fmt"
	"slices"
	"sort"
	"strings"

	"hotpatch/arch"
)

// rawSymbol is one entry of .symtab that names a place in the image.
type rawSymbol struct {
	Symbol
	typ   elf.SymType
	value uint64
	size  uint64
	sec   *Section
	index int // in .symtab
}

// marks are symbols that the linker defines.
type marks map[arch.ImageAddr][]string

// readSymbols turns .symtab into atoms.
func (im *Image) readSymbols(f, symFile *file) error {
	syms, crt, err := im.parseSymtab(f, symFile)
	if err != nil {
		return err
	}
	if im.FuncsOnly {
		syms = im.dynamicSymbols(syms)
	}
	im.marks = marks{}
	rest := syms[:0]
	for _, s := range syms {
		if isLinkerName(s.Name) {
			a := arch.ImageAddr(s.value)
			im.marks[a] = append(im.marks[a], s.Name)
			continue
		}
		rest = append(rest, s)
	}
	im.Atoms = im.group(rest)
	im.boundLabels()
	sort.SliceStable(im.Atoms, func(i, j int) bool { return atomLess(im.Atoms[i], im.Atoms[j]) })
	for i, a := range im.Atoms {
		a.ID = i
		im.markCRT(a, crt)
		im.checkFDE(a)
	}
	if err := im.index.build(im.Atoms); err != nil {
		return &FormatError{symFile.path, symFile.byType(elf.SHT_SYMTAB).Offset, ".symtab", err}
	}
	im.joinDynamic()
	return nil
}

func atomLess(a, b *Atom) bool {
	if at, bt := a.Kind == TLSObject, b.Kind == TLSObject; at != bt && a.Addr == b.Addr {
		return bt
	}
	if a.Addr != b.Addr {
		return a.Addr < b.Addr
	}
	if a.Size != b.Size {
		return a.Size > b.Size
	}
	return a.Name < b.Name
}

// parseSymtab reads the symbols that name places. The second result says whether
// the C runtime's start files are linked in.
func (im *Image) parseSymtab(f, symFile *file) ([]rawSymbol, bool, error) {
	sec := symFile.byType(elf.SHT_SYMTAB)
	if sec == nil {
		return nil, false, &NoSymbolsError{Path: f.path, BuildID: im.BuildID}
	}
	data, strs, err := symFile.readWithStrings(sec, elf.Sym64Size)
	if err != nil {
		return nil, false, err
	}
	if len(data)%elf.Sym64Size != 0 {
		return nil, false, &FormatError{symFile.path, sec.Offset, ".symtab size", uint64(len(data))}
	}
	p := symParser{im: im, file: symFile, sec: sec, strs: strs, syms: make([]rawSymbol, 0, len(data)/elf.Sym64Size)}
	if x := symFile.byType(elf.SHT_SYMTAB_SHNDX); x != nil {
		if p.xindex, err = symFile.read(x); err != nil {
			return nil, false, err
		}
	}
	for i := 1; i < len(data)/elf.Sym64Size; i++ {
		if err := p.entry(i, data[i*elf.Sym64Size:]); err != nil {
			return nil, false, err
		}
	}
	im.mapping.set(p.marks)
	im.sortVeneers()
	return p.syms, p.crt, nil
}

// symParser holds what one symbol needs to know of those in front of it.
type symParser struct {
	im   *Image
	file *file
	sec  *elf.Section
	strs *stringTable
	// xindex holds the section numbers of symbols whose own field is too short for them (SHT_SYMTAB_SHNDX).
	xindex []byte
	syms   []rawSymbol
	marks  []mapMark // mapping symbols in sections of code
	scope  string    // name of the last STT_FILE
	// hidden is set behind an STT_FILE without a name: GNU ld puts its own local symbols there, and the
	// global ones that visibility made local.
	hidden bool
	crt    bool
}

// mark keeps a mapping symbol.
func (p *symParser) mark(s *rawSymbol) {
	data, ok := isMappingName(s.Name)
	at := arch.ImageAddr(s.value)
	if sec := p.im.SectionAt(at); ok && sec != nil && sec.Exec() {
		p.marks = append(p.marks, mapMark{at, data})
	}
}

func (p *symParser) entry(i int, b []byte) error {
	info, other, shndx := b[4], b[5], elf.SectionIndex(order.Uint16(b[6:]))
	s := rawSymbol{typ: elf.ST_TYPE(info), value: order.Uint64(b[8:]), size: order.Uint64(b[16:]), index: i}
	name, err := p.strs.at(uint64(order.Uint32(b)))
	if err != nil {
		return err
	}
	s.Name = unversioned(name)
	if s.typ == elf.STT_FILE {
		p.scope, p.hidden = s.Name, s.Name == ""
		p.crt = p.crt || s.Name == "crtstuff.c" || strings.HasSuffix(s.Name, "crt1.o")
		return nil
	}
	bind := elf.ST_BIND(info)
	if s.typ == elf.STT_SECTION || shndx == elf.SHN_UNDEF || s.Name == "" {
		return nil
	}
	if isLocalLabel(p.file, b, s.Name) {
		p.mark(&s)
		return nil
	}
	home, err := p.home(i, shndx)
	if shndx == elf.SHN_ABS && isTableName(s.Name) && p.im.SectionAt(arch.ImageAddr(s.value)) != nil {
		p.syms = append(p.syms, s)
		return nil
	}
	if err != nil || home == nil {
		return err
	}
	if isVeneerName(name) && p.im.undoVeneer(name, arch.ImageAddr(s.value)) {
		return nil
	}
	vis := elf.ST_VISIBILITY(other)
	s.Hidden = vis == elf.STV_HIDDEN || vis == elf.STV_INTERNAL
	switch bind {
	case elf.STB_LOCAL:
		s.Local = !p.hidden
		s.Hidden = s.Hidden || p.hidden
		s.File = p.scope
	case elf.STB_WEAK:
		s.Weak = true
	}
	if s.typ == elf.STT_TLS {
		return p.threadLocal(&s)
	}
	if isLinkerName(s.Name) {
		p.syms = append(p.syms, s)
		return nil
	}
	if isToolName(s.Name, home.Name) {
		return nil
	}
	if s.size == 0 && s.value-home.Addr >= home.Size {
		return nil // a label at the end of its section, or of an empty one; what follows is not its
	}
	s.sec = p.im.homeSection(arch.ImageAddr(s.value), s.size)
	if s.sec == nil || s.value-home.Addr >= home.Size {
		return p.errorf(i, "symbol "+s.Name+" does not lie in its section "+home.Name+": address", s.value)
	}
	p.syms = append(p.syms, s)
	return nil
}

// home returns the section that the symbol's section number names, or nil if the symbol is no place of the image: it is absolute
// or common, or in a section that is not loaded (gcc -flto -g marks its units so in .debug_info).
func (p *symParser) home(i int, shndx elf.SectionIndex) (*elf.Section, error) {
	n := uint64(shndx)
	switch {
	case shndx == elf.SHN_XINDEX:
		if len(p.xindex) < 4*(i+1) {
			return nil, p.errorf(i, "symbol without an entry in SHT_SYMTAB_SHNDX", n)
		}
		n = uint64(order.Uint32(p.xindex[4*i:]))
	case shndx >= elf.SHN_LORESERVE:
		return nil, nil
	}
	if n >= uint64(len(p.file.elf.Sections)) {
		return nil, p.errorf(i, "symbol of a section that is not there (st_shndx)", n)
	}
	if s := p.file.elf.Sections[n]; s.Flags&elf.SHF_ALLOC != 0 {
		return s, nil
	}
	return nil, nil
}

// threadLocal adds a symbol whose value is an offset in PT_TLS.
func (p *symParser) threadLocal(s *rawSymbol) error {
	tls := &p.im.TLS
	if s.value > tls.MemSize || s.size > tls.MemSize-s.value {
		return p.errorf(s.index, "thread-local symbol "+s.Name+" lies outside PT_TLS: offset", s.value)
	}
	s.value += uint64(tls.Addr)
	s.sec = p.im.tlsSection(arch.ImageAddr(s.value))
	p.syms = append(p.syms, *s)
	return nil
}

// unversioned cuts the version off a name: GNU ld writes NAME@VERSION and NAME@@VERSION into .symtab.
func unversioned(name string) string {
	if i := strings.IndexByte(name, '@'); i > 0 {
		return name[:i]
	}
	return name
}

func (p *symParser) errorf(i int, msg string, val any) error {
	return &FormatError{p.file.path, p.sec.Offset + uint64(i)*elf.Sym64Size, msg, val}
}

// homeSection returns the section that holds [addr, addr+size); for a size of zero also one that ends at addr.
func (im *Image) homeSection(addr arch.ImageAddr, size uint64) *Section {
	s := im.SectionAt(addr)
	if s == nil || size > uint64(s.End()-addr) {
		return nil
	}
	return s
}

// tlsSection returns the section of the TLS template that holds addr, or nil.
func (im *Image) tlsSection(addr arch.ImageAddr) *Section {
	for _, s := range im.Sections {
		if s.IsTLS() && addr >= s.Addr && addr < s.End() {
			return s
		}
	}
	return nil
}

// isLocalLabel reports whether an assembler made the symbol: .L labels that --emit-relocs keeps, and arm64's mapping
// symbols ($x, $d, $x.NAME; ELF for the Arm 64-bit Architecture, "Mapping symbols"). A C name may start with a dollar as well.
func isLocalLabel(f *file, sym []byte, name string) bool {
	typ, size := elf.ST_TYPE(sym[4]), order.Uint64(sym[16:])
	if elf.ST_BIND(sym[4]) != elf.STB_LOCAL || typ == elf.STT_FUNC {
		return false
	}
	if strings.HasPrefix(name, ".L") {
		return true
	}
	_, mapping := isMappingName(name)
	return f.elf.Machine == elf.EM_AARCH64 && typ == elf.STT_NOTYPE && size == 0 && mapping
}

// group makes one atom of all symbols with the same address, size and nature.
func (im *Image) group(syms []rawSymbol) []*Atom {
	order := make([]int32, len(syms))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int { return cmp.Or(symbolOrder(&syms[i], &syms[j]), cmp.Compare(i, j)) })
	sorted := make([]rawSymbol, len(syms))
	for i, k := range order {
		sorted[i] = syms[k]
	}
	syms = sorted
	names := make([]Symbol, 0, len(syms)) // one piece of memory for all atoms' names, and one for the atoms
	room := make([]Atom, 0, len(syms))
	var atoms []*Atom
	for len(syms) > 0 {
		n := 1
		for n < len(syms) && sameAtom(&syms[0], &syms[n]) {
			n++
		}
		// A label at the start of something sized is another name of it.
		if last := len(atoms) - 1; syms[0].size == 0 && last >= 0 && uint64(atoms[last].Addr) == syms[0].value &&
			(syms[0].typ == elf.STT_TLS) == (atoms[last].Kind == TLSObject) {
			for i := range syms[:n] {
				s := syms[i].named()
				s.Empty = syms[i].typ == elf.STT_FUNC && !atoms[last].Syms[0].label
				atoms[last].Syms = append(atoms[last].Syms, s)
			}
			atoms[last].chooseName()
		} else {
			first := len(names)
			for i := range syms[:n] {
				names = append(names, syms[i].named())
			}
			room = append(room, newAtom(syms[:n], names[first:len(names):len(names)]))
			atoms = append(atoms, &room[len(room)-1])
		}
		syms = syms[n:]
	}
	return atoms
}

// symbolOrder compares symbols by address, thread-local ones last, and by falling size.
func symbolOrder(a, b *rawSymbol) int {
	if a.value != b.value {
		return cmp.Compare(a.value, b.value)
	}
	if at, bt := a.typ == elf.STT_TLS, b.typ == elf.STT_TLS; at != bt {
		if bt {
			return -1
		}
		return 1
	}
	return cmp.Compare(b.size, a.size)
}

// named returns the symbol as one of an atom's names.
func (s *rawSymbol) named() Symbol {
	n := s.Symbol
	n.label = s.size == 0
	return n
}

func sameAtom(a, b *rawSymbol) bool {
	return a.value == b.value && a.size == b.size && (a.typ == elf.STT_TLS) == (b.typ == elf.STT_TLS)
}

// newAtom makes an atom of symbols of one place; it keeps the slice of its names.
func newAtom(syms []rawSymbol, names []Symbol) Atom {
	a := Atom{Addr: arch.ImageAddr(syms[0].value), Size: syms[0].size, Section: syms[0].sec, SizeFrom: "symbol", Syms: names}
	a.Kind = kindOf(syms)
	a.untyped = true
	for _, s := range syms {
		a.untyped = a.untyped && s.typ == elf.STT_NOTYPE
	}
	a.chooseName()
	return a
}

// kindOf decides by the strongest type among the names.
func kindOf(syms []rawSymbol) AtomKind {
	kind := Object
	if s := syms[0].sec; s != nil && s.Exec() {
		kind = Func
	}
	for _, s := range syms {
		switch s.typ {
		case elf.STT_TLS:
			return TLSObject
		case elf.STT_GNU_IFUNC:
			return IFunc
		case elf.STT_FUNC:
			kind = Func
		case elf.STT_OBJECT:
			kind = Object
		}
	}
	return kind
}

// chooseName orders the names and chooses the one that stands for the atom.
func (a *Atom) chooseName() {
	sort.SliceStable(a.Syms, func(i, j int) bool {
		x, y := &a.Syms[i], &a.Syms[j]
		if x.label != y.label {
			return y.label
		}
		if x.Local != y.Local {
			return y.Local
		}
		if x.Weak != y.Weak {
			return y.Weak
		}
		if x.Name != y.Name {
			return x.Name < y.Name
		}
		return x.File < y.File
	})
	first := a.Syms[0]
	a.Name, a.Local, a.Weak = first.Name, first.Local, first.Weak
	a.File = ""
	if first.Local {
		a.File = first.File
	}
	a.Aliases = nil
	for _, s := range a.Syms[1:] {
		a.Aliases = append(a.Aliases, s.Name)
	}
}

// boundLabels gives a size to atoms whose symbol has none, and drops the labels that turn out to lie inside another atom.
// A symbol with a type or of global scope reaches to the next such symbol; a mere label to the next symbol of any kind. Atoms
// are in Addr order.
func (im *Image) boundLabels() {
	for i, a := range im.Atoms {
		if a.Size == 0 && a.Kind != TLSObject && !a.isLabel() {
			im.bound(a, im.Atoms[i+1:], func(b *Atom) bool { return b.Size > 0 || !b.isLabel() })
		}
	}
	kept := im.Atoms[:0]
	var reach arch.ImageAddr // end of what is covered so far
	for i, a := range im.Atoms {
		if a.Size == 0 && a.Kind != TLSObject {
			if a.Addr < reach {
				continue
			}
			im.bound(a, im.Atoms[i+1:], func(*Atom) bool { return true })
		}
		if a.Kind != TLSObject {
			reach = max(reach, a.End())
		}
		kept = append(kept, a)
	}
	im.Atoms = kept
}

// isLabel reports whether only local symbols without a type name the atom.
func (a *Atom) isLabel() bool { return a.untyped && a.Local }

// bound sets the size of a: up to its end in .eh_frame, else to the next atom of those behind it that stops it, else
// to the end of its section.
func (im *Image) bound(a *Atom, behind []*Atom, stops func(*Atom) bool) {
	end, from := a.Section.End(), "section end"
	for _, b := range behind {
		if b.Kind == TLSObject || b.Addr == a.Addr || !stops(b) {
			continue
		}
		if b.Addr < end && b.Section == a.Section {
			end, from = b.Addr, "next symbol"
		}
		break
	}
	if f := im.CFI.Find(a.Addr); a.Kind != Object && f != nil && f.Start == a.Addr && f.End <= a.Section.End() {
		end, from = f.End, "eh_frame"
	}
	a.Size, a.SizeFrom = uint64(end-a.Addr), from
}

// checkFDE compares a function's range with .eh_frame.
func (im *Image) checkFDE(a *Atom) {
	if !a.IsCode() || a.Size == 0 {
		return
	}
	f := im.CFI.Find(a.Addr)
	switch {
	case f == nil:
	case f.Start < a.Addr:
		a.SizeNote = fmt.Sprintf("eh_frame: a function that starts at %#x covers the symbol", uint64(f.Start))
	case f.End != a.End():
		a.SizeNote = fmt.Sprintf("eh_frame: %d bytes, symbol: %d", uint64(f.End-f.Start), a.Size)
	}
}

package inject

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
)

// dynamic is what the dynamic linker knows of a module, read from the module's
// memory (gABI, "Dynamic Section"). All addresses are image addresses.
type dynamic struct {
	tags    map[elf.DynTag]uint64 // the last of each tag but DT_NEEDED
	needed  []string
	soname  string
	syms    []dynSym
	slots   []dynSlot                   // relocations whose place holds a symbol's address: JUMP_SLOT, GLOB_DAT, and TLS ones
	words   []dynSlot                   // relocations without addend whose place is a word of data that holds a symbol's address
	list    []placedReloc               // all relocations
	relocs  map[arch.ImageAddr]dynReloc // of list, by place; made when it is needed
	byName  map[string][]int            // indices in syms, in order
	textRel bool

	r           *dynReader
	symsRead    bool
	relocations bool
}

// dynSym is an entry of .dynsym.
type dynSym struct {
	Name    string
	Version string // of a definition or a reference; "" where there is none
	Hidden  bool   // VERSYM_HIDDEN: found only with its version
	Value   arch.ImageAddr
	Size    uint64
	Shndx   elf.SectionIndex
	Type    elf.SymType
	Bind    elf.SymBind
	Vis     elf.SymVis
}

// defined reports whether another module can be bound to the symbol.
func (s *dynSym) defined() bool {
	return s.Shndx != elf.SHN_UNDEF && s.Bind != elf.STB_LOCAL &&
		(s.Vis == elf.STV_DEFAULT || s.Vis == elf.STV_PROTECTED) && s.Type != elf.STT_SECTION && s.Type != elf.STT_FILE
}

// dynSlot is a word that the dynamic linker fills for a symbol.
type dynSlot struct {
	Sym  int // index in syms
	Type uint32
	Kind arch.DynKind
	Addr arch.ImageAddr
}

// dynReloc is a dynamic relocation.
type dynReloc struct {
	Type   uint32 // zero if Relr
	Kind   arch.DynKind
	Sym    int
	Addend int64
	Relr   bool // from DT_RELR: the addend was in the place, and is gone
}

// placedReloc is a relocation and its place.
type placedReloc struct {
	place arch.ImageAddr
	dynReloc
}

// Limits on what a module's memory may make us read. Chromium has 50,000 dynamic symbols and
// two million relative relocations.
const (
	maxDyn    = 4096
	maxSyms   = 1 << 20
	maxStrtab = 64 << 20
	maxRelocs = 8 << 20
)

// Tags that debug/elf does not name.
const (
	dtRelrsz = elf.DynTag(35)
	dtRelr   = elf.DynTag(36)
)

// dynamicSection reads the module's dynamic section once: tags, needed libraries, name. A static
// program has none: the result is then nil without an error.
func (m *module) dynamicSection(mem memory) (*dynamic, error) {
	if m.dyn != nil || m.dynamic.Memsz == 0 {
		return m.dyn, nil
	}
	d := &dynamic{tags: make(map[elf.DynTag]uint64)}
	d.r = &dynReader{m: m, mem: mem, d: d}
	if err := d.r.read(); err != nil {
		return nil, fmt.Errorf("%s: dynamic section: %w", m.name(), err)
	}
	m.dyn = d
	return d, nil
}

// symbols is dynamicSection with syms and byName.
func (m *module) symbols(mem memory) (*dynamic, error) {
	d, err := m.dynamicSection(mem)
	if err != nil || d == nil || d.symsRead {
		return d, err
	}
	if d.r.strtab != nil {
		if err := d.r.readSyms(); err != nil {
			return nil, fmt.Errorf("%s: dynamic symbols: %w", m.name(), err)
		}
	}
	d.symsRead = true
	return d, nil
}

// relocated is symbols with slots, words and list.
func (m *module) relocated(mem memory) (*dynamic, error) {
	d, err := m.symbols(mem)
	if err != nil || d == nil || d.relocations {
		return d, err
	}
	if err := d.r.readRelocs(); err != nil {
		return nil, fmt.Errorf("%s: dynamic relocations: %w", m.name(), err)
	}
	d.relocations = true
	return d, nil
}

type dynReader struct {
	m      *module
	mem    memory
	d      *dynamic
	strtab []byte
}

func (r *dynReader) read() error {
	needed, err := r.readTags()
	if err != nil {
		return err
	}
	d := r.d
	d.textRel = has(d.tags, elf.DT_TEXTREL) || d.tags[elf.DT_FLAGS]&uint64(elf.DF_TEXTREL) != 0
	if !has(d.tags, elf.DT_STRTAB) || !has(d.tags, elf.DT_SYMTAB) {
		return nil // a static program with a dynamic section
	}
	if d.tags[elf.DT_STRSZ] > maxStrtab {
		return fmt.Errorf("DT_STRSZ: %#x is more than the limit", d.tags[elf.DT_STRSZ])
	}
	if r.strtab, err = r.table(elf.DT_STRTAB, d.tags[elf.DT_STRSZ]); err != nil {
		return err
	}
	for _, off := range needed {
		d.needed = append(d.needed, r.str(off))
	}
	if off, ok := d.tags[elf.DT_SONAME]; ok {
		d.soname = r.str(off)
	}
	return nil
}

func has(tags map[elf.DynTag]uint64, t elf.DynTag) bool { _, ok := tags[t]; return ok }

// readTags reads the tags and returns the string offsets of DT_NEEDED, in order.
func (r *dynReader) readTags() (needed []uint64, err error) {
	p := r.m.dynamic
	n := min(p.Memsz/16, maxDyn)
	if !r.m.contains(arch.ImageAddr(p.Vaddr), n*16) {
		return nil, fmt.Errorf("at %#x: outside the image", p.Vaddr)
	}
	b, err := readBytes(r.mem, arch.ImageAddr(p.Vaddr).In(r.m.Bias), int(n*16))
	if err != nil {
		return nil, err
	}
	for ; len(b) >= 16; b = b[16:] {
		tag, val := elf.DynTag(order.Uint64(b)), order.Uint64(b[8:])
		switch tag {
		case elf.DT_NULL:
			return needed, nil
		case elf.DT_NEEDED:
			needed = append(needed, val)
		default:
			r.d.tags[tag] = val
		}
	}
	return needed, nil
}

// addr returns the image address that a pointer tag holds. glibc adds the bias in memory
// where the section is writable, musl and the vDSO do not; a value inside the mapped
// image is taken for an address in the process.
func (r *dynReader) addr(tag elf.DynTag) (arch.ImageAddr, error) {
	v := r.d.tags[tag]
	if r.m.Bias != 0 && r.m.holds(arch.Addr(v)) {
		v -= uint64(r.m.Bias)
	}
	if !r.m.contains(arch.ImageAddr(v), 1) {
		return 0, fmt.Errorf("%v: %#x is outside the image", tag, r.d.tags[tag])
	}
	return arch.ImageAddr(v), nil
}

// table reads n bytes at the address that a tag holds.
func (r *dynReader) table(tag elf.DynTag, n uint64) ([]byte, error) {
	v, err := r.addr(tag)
	if err != nil {
		return nil, err
	}
	if !r.m.contains(v, n) {
		return nil, fmt.Errorf("%v: %#x bytes at %#x reach outside the image", tag, n, uint64(v))
	}
	b, err := readBytes(r.mem, v.In(r.m.Bias), int(n))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", tag, err)
	}
	return b, nil
}

// str returns the string at off in the string table; a wrong offset gives "".
func (r *dynReader) str(off uint64) string {
	if off >= uint64(len(r.strtab)) {
		return ""
	}
	s := r.strtab[off:]
	for i, c := range s {
		if c == 0 {
			return string(s[:i])
		}
	}
	return ""
}

// symSize is the size of an Elf64_Sym.
const symSize = 24

func (r *dynReader) readSyms() error {
	n, err := r.countSyms()
	if err != nil || n == 0 {
		return err
	}
	b, err := r.table(elf.DT_SYMTAB, n*symSize)
	if err != nil {
		return err
	}
	vers, err := r.readVersions()
	if err != nil {
		return err
	}
	var versym []byte
	if has(r.d.tags, elf.DT_VERSYM) {
		if versym, err = r.table(elf.DT_VERSYM, n*2); err != nil {
			return err
		}
	}
	d := r.d
	d.syms = make([]dynSym, n)
	d.byName = make(map[string][]int, n)
	for i := range d.syms {
		e := b[i*symSize:]
		s := &d.syms[i]
		*s = dynSym{
			Name: r.str(uint64(order.Uint32(e))), Value: arch.ImageAddr(order.Uint64(e[8:])), Size: order.Uint64(e[16:]),
			Shndx: elf.SectionIndex(order.Uint16(e[6:])), Type: elf.ST_TYPE(e[4]), Bind: elf.ST_BIND(e[4]), Vis: elf.ST_VISIBILITY(e[5]),
		}
		if versym != nil {
			v := order.Uint16(versym[i*2:])
			s.Hidden = v&0x8000 != 0 // VERSYM_HIDDEN
			s.Version = vers[v&0x7fff]
		}
		d.byName[s.Name] = append(d.byName[s.Name], i)
	}
	return nil
}

// countSyms finds the number of dynamic symbols, which is written nowhere: DT_HASH has it as
// nchain; of DT_GNU_HASH it is the end of the last chain.
func (r *dynReader) countSyms() (uint64, error) {
	if has(r.d.tags, elf.DT_HASH) {
		b, err := r.table(elf.DT_HASH, 8)
		if err != nil {
			return 0, err
		}
		if n := uint64(order.Uint32(b[4:])); n <= maxSyms {
			return n, nil
		}
		return 0, fmt.Errorf("DT_HASH: %d symbols are more than the limit", order.Uint32(b[4:]))
	}
	if !has(r.d.tags, elf.DT_GNU_HASH) {
		return 0, nil
	}
	head, err := r.table(elf.DT_GNU_HASH, 16)
	if err != nil {
		return 0, err
	}
	nbuckets, first, nbloom := uint64(order.Uint32(head)), uint64(order.Uint32(head[4:])), uint64(order.Uint32(head[8:]))
	if nbuckets > maxSyms || nbloom > maxSyms || first > maxSyms {
		return 0, fmt.Errorf("DT_GNU_HASH: %d buckets, %d bloom words, first symbol %d: more than the limit", nbuckets, nbloom, first)
	}
	chains := 16 + nbloom*8 + nbuckets*4
	b, err := r.table(elf.DT_GNU_HASH, chains)
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	for i := uint64(0); i < nbuckets; i++ {
		last = max(last, uint64(order.Uint32(b[16+nbloom*8+i*4:])))
	}
	if last < first { // nothing is defined, and first need not be behind what is undefined (BFD writes 1 there)
		return r.referredSyms(max(first, 1))
	}
	at, err := r.addr(elf.DT_GNU_HASH)
	if err != nil {
		return 0, err
	}
	for at += arch.ImageAddr(chains + (last-first)*4); last < maxSyms; at, last = at+4, last+1 {
		if !r.m.contains(at, 4) {
			return 0, fmt.Errorf("DT_GNU_HASH: a chain leaves the image")
		}
		w, err := readBytes(r.mem, at.In(r.m.Bias), 4)
		if err != nil {
			return 0, err
		}
		if order.Uint32(w)&1 != 0 {
			return last + 1, nil
		}
	}
	return 0, fmt.Errorf("DT_GNU_HASH: more than %d symbols", maxSyms)
}

// referredSyms returns how many symbols the relocations know, at least n: of a module that defines none, no others are of
// use.
func (r *dynReader) referredSyms(n uint64) (uint64, error) {
	for _, t := range relaTables() {
		b, err := r.relaTable(t)
		if err != nil {
			return 0, err
		}
		for ; len(b) >= relaSize; b = b[relaSize:] {
			n = max(n, uint64(elf.R_SYM64(order.Uint64(b[8:])))+1)
		}
	}
	if n > maxSyms {
		return 0, fmt.Errorf("relocations name %d symbols: more than the limit", n)
	}
	return n, nil
}

// maxVersions bounds version definitions and requirements (the index has 15 bits).
const maxVersions = 1 << 15

// readVersions returns the names of the version indices (gnu-gabi, "Symbol Versioning").
func (r *dynReader) readVersions() (map[uint16]string, error) {
	out := make(map[uint16]string)
	if err := r.verdef(out); err != nil {
		return nil, err
	}
	return out, r.verneed(out)
}

// verdef reads DT_VERDEF: Elf64_Verdef{version, flags, ndx, cnt u16; hash, aux, next u32} with
// Elf64_Verdaux{name, next u32}.
func (r *dynReader) verdef(out map[uint16]string) error {
	if !has(r.d.tags, elf.DT_VERDEF) {
		return nil
	}
	at, err := r.addr(elf.DT_VERDEF)
	if err != nil {
		return err
	}
	for i := uint64(0); i < min(r.d.tags[elf.DT_VERDEFNUM], maxVersions); i++ {
		def, err := r.at(at, 20)
		if err != nil {
			return fmt.Errorf("DT_VERDEF: %w", err)
		}
		aux, err := r.at(at+arch.ImageAddr(order.Uint32(def[12:])), 8)
		if err != nil {
			return fmt.Errorf("DT_VERDEF: %w", err)
		}
		const base = 1 // VER_FLG_BASE: the file's own name, not a version
		if order.Uint16(def[2:])&base == 0 {
			out[order.Uint16(def[4:])&0x7fff] = r.str(uint64(order.Uint32(aux)))
		}
		next := order.Uint32(def[16:])
		if next == 0 {
			break
		}
		at += arch.ImageAddr(next)
	}
	return nil
}

// verneed reads DT_VERNEED: Elf64_Verneed{version, cnt u16; file, aux, next u32} with
// Elf64_Vernaux{hash u32; flags, other u16; name, next u32}.
func (r *dynReader) verneed(out map[uint16]string) error {
	if !has(r.d.tags, elf.DT_VERNEED) {
		return nil
	}
	at, err := r.addr(elf.DT_VERNEED)
	if err != nil {
		return err
	}
	for i := uint64(0); i < min(r.d.tags[elf.DT_VERNEEDNUM], maxVersions); i++ {
		need, err := r.at(at, 16)
		if err != nil {
			return fmt.Errorf("DT_VERNEED: %w", err)
		}
		aux := at + arch.ImageAddr(order.Uint32(need[8:]))
		for k := uint16(0); k < order.Uint16(need[2:]); k++ {
			a, err := r.at(aux, 16)
			if err != nil {
				return fmt.Errorf("DT_VERNEED: %w", err)
			}
			out[order.Uint16(a[6:])&0x7fff] = r.str(uint64(order.Uint32(a[8:])))
			next := order.Uint32(a[12:])
			if next == 0 {
				break
			}
			aux += arch.ImageAddr(next)
		}
		next := order.Uint32(need[12:])
		if next == 0 {
			break
		}
		at += arch.ImageAddr(next)
	}
	return nil
}

// at reads n bytes of the image.
func (r *dynReader) at(v arch.ImageAddr, n int) ([]byte, error) {
	if !r.m.contains(v, uint64(n)) {
		return nil, fmt.Errorf("%#x is outside the image", uint64(v))
	}
	return readBytes(r.mem, v.In(r.m.Bias), n)
}

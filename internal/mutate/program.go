package mutate

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"hotpatch/arch"
)

// function is a range of code that a symbol names.
type function struct {
	name       string
	start, end arch.ImageAddr
	unit       arch.ImageAddr // start of the function that it is a part of
}

// object is a data object that a symbol names.
type object struct {
	name       string
	start, end arch.ImageAddr
	section    *elf.Section
	readOnly   bool // once the dynamic linker has relocated it
	overlaps   bool // with another object
	local      bool
}

// ref is a field of an instruction, or a word of data, that the linker relocated.
type ref struct {
	inst   int            // index in Program.insts; -1: of data
	field  arch.ImageAddr // where the field is
	size   int            // bytes of the field
	typ    elf.R_X86_64
	sym    string         // of the relocation; "" for section symbols
	undef  bool           // the symbol is another module's
	target arch.ImageAddr // what the field leads to, by its content in the linked file
	width  int            // bytes that the instruction accesses there; 0: it takes the address
	owner  arch.ImageAddr // the unit, or the object, that holds the field; 0: none
}

// Program is a linked file with what objdump, its symbol table and the relocations of its twin say about it.
type Program struct {
	data     []byte // of the file without relocations
	sections []*elf.Section
	insts    []inst
	funcs    []function       // by start
	objects  []object         // by start
	refs     []ref            // of code and data, by field
	dyn      []dynWord        // by address
	sizeless []arch.ImageAddr // functions whose symbol has no size
	// labels are the places in data that something refers to, sorted.
	labels  []arch.ImageAddr
	readers map[arch.ImageAddr][]*ref // of a label
}

// dynWord is an R_X86_64_RELATIVE relocation.
type dynWord struct {
	addr   arch.ImageAddr
	addend arch.ImageAddr
	off    uint64 // file offset of the addend
}

// Load reads a file and its twin, which is the same link with -Wl,--emit-relocs. Their code must be the same.
func Load(plain, twin string) (*Program, error) {
	data, err := os.ReadFile(plain)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain, err)
	}
	q, err := elf.Open(twin)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	p := &Program{data: data, readers: make(map[arch.ImageAddr][]*ref)}
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Flags&elf.SHF_TLS == 0 && s.Addr != 0 {
			p.sections = append(p.sections, s)
		}
	}
	slices.SortFunc(p.sections, func(a, b *elf.Section) int { return cmp.Compare(a.Addr, b.Addr) })
	if p.insts, err = disassemble("-d", plain); err != nil {
		return nil, err
	}
	if err := p.readSymbols(f); err != nil {
		return nil, fmt.Errorf("%s: %w", plain, err)
	}
	p.readDynamic(f)
	if err := p.readRelocs(q); err != nil {
		return nil, fmt.Errorf("%s: %w", twin, err)
	}
	if err := p.checkTwin(q); err != nil {
		return nil, fmt.Errorf("%s: not the twin of %s: %w", twin, plain, err)
	}
	p.collectLabels()
	return p, nil
}

// checkTwin compares the code of the twin. Fields that are relocated may differ: ld may give the start files' flag in .bss another place.
func (p *Program) checkTwin(q *elf.File) error {
	for _, s := range p.sections {
		if s.Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		t := q.Section(s.Name)
		if t == nil || t.Addr != s.Addr || t.Size != s.Size {
			return fmt.Errorf("section %s has another place", s.Name)
		}
		a, b := contents(s), contents(t)
		for i := range a {
			if addr := arch.ImageAddr(s.Addr) + arch.ImageAddr(i); a[i] != b[i] && !p.relocated(addr) {
				return fmt.Errorf("another byte at %#x", uint64(addr))
			}
		}
	}
	return nil
}

func contents(s *elf.Section) []byte {
	b, err := s.Data()
	if err != nil {
		return nil
	}
	return b
}

// startFiles are functions that the compiler driver links in; they are nobody's source.
var startFiles = []string{"_start", "_init", "_fini", "deregister_tm_clones", "register_tm_clones", "__do_global_dtors_aux",
	"frame_dummy", "_dl_relocate_static_pie"}

// readSymbols finds the functions and the objects.
func (p *Program) readSymbols(f *elf.File) error {
	syms, err := f.Symbols()
	if err != nil {
		return err
	}
	for _, s := range syms {
		switch elf.ST_TYPE(s.Info) {
		case elf.STT_FUNC:
			if s.Size == 0 && s.Section != elf.SHN_UNDEF {
				p.sizeless = append(p.sizeless, arch.ImageAddr(s.Value))
			}
			if s.Section == elf.SHN_UNDEF || s.Size == 0 || slices.Contains(startFiles, s.Name) {
				continue
			}
			p.funcs = append(p.funcs, function{name: s.Name, start: arch.ImageAddr(s.Value), end: arch.ImageAddr(s.Value + s.Size)})
		case elf.STT_OBJECT:
			if sec := p.section(arch.ImageAddr(s.Value)); sec != nil && s.Size > 0 && int(s.Section) < len(f.Sections) {
				p.objects = append(p.objects, object{name: s.Name, start: arch.ImageAddr(s.Value), end: arch.ImageAddr(s.Value + s.Size),
					section: sec, readOnly: sec.Flags&elf.SHF_WRITE == 0 || relro(f, sec), local: elf.ST_BIND(s.Info) == elf.STB_LOCAL})
			}
		}
	}
	slices.SortStableFunc(p.funcs, func(a, b function) int { return cmp.Compare(a.start, b.start) })
	slices.SortStableFunc(p.objects, func(a, b object) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(p.objects); i++ {
		if p.objects[i].start < p.objects[i-1].end {
			p.objects[i].overlaps, p.objects[i-1].overlaps = true, true
		}
	}
	heads := make(map[string][]arch.ImageAddr)
	for _, fn := range p.funcs {
		heads[fn.name] = append(heads[fn.name], fn.start)
	}
	for i := range p.funcs {
		fn := &p.funcs[i]
		fn.unit = p.head(fn, heads)
	}
	return nil
}

// head returns the start of the function that fn is a part of, by the compilers' spelling (NAME.cold, NAME.part.N); of several of that name, the
// nearest. Two functions at one address are one.
func (p *Program) head(fn *function, heads map[string][]arch.ImageAddr) arch.ImageAddr {
	name := fn.name
	for _, part := range []string{".cold", ".part."} {
		if i := strings.Index(name, part); i > 0 {
			name = name[:i]
		}
	}
	if name == fn.name || len(heads[name]) == 0 {
		return fn.start
	}
	// The order of functions in .text.unlikely is that of .text, so that equal names go by rank.
	rank := slices.Index(heads[fn.name], fn.start)
	if len(heads[name]) == len(heads[fn.name]) && rank >= 0 {
		return heads[name][rank]
	}
	if len(heads[name]) > 1 {
		return 0 // cannot be told: no mutation is made there
	}
	return heads[name][0]
}

// relro reports whether the section is in PT_GNU_RELRO.
func relro(f *elf.File, s *elf.Section) bool {
	for _, p := range f.Progs {
		if p.Type == elf.PT_GNU_RELRO && s.Addr >= p.Vaddr && s.Addr+s.Size <= p.Vaddr+p.Memsz {
			return true
		}
	}
	return false
}

// readDynamic reads the words that the dynamic linker relocates by the load address.
func (p *Program) readDynamic(f *elf.File) {
	s := f.Section(".rela.dyn")
	if s == nil {
		return
	}
	b := contents(s)
	const size = 24 // bytes of an Elf64_Rela
	for off := 0; off+size <= len(b); off += size {
		if elf.R_X86_64(binary.LittleEndian.Uint32(b[off+8:])) != elf.R_X86_64_RELATIVE {
			continue
		}
		p.dyn = append(p.dyn, dynWord{addr: arch.ImageAddr(binary.LittleEndian.Uint64(b[off:])),
			addend: arch.ImageAddr(binary.LittleEndian.Uint64(b[off+16:])), off: s.Offset + uint64(off) + 16})
	}
	slices.SortFunc(p.dyn, func(a, b dynWord) int { return cmp.Compare(a.addr, b.addr) })
}

// section returns the allocated section that holds an address.
func (p *Program) section(addr arch.ImageAddr) *elf.Section {
	i, _ := slices.BinarySearchFunc(p.sections, uint64(addr)+1, func(s *elf.Section, v uint64) int { return cmp.Compare(s.Addr, v) })
	if i == 0 {
		return nil
	}
	if s := p.sections[i-1]; uint64(addr) < s.Addr+s.Size {
		return s
	}
	return nil
}

// bytes returns n bytes of the file at an address; nil if the file does not hold them.
func (p *Program) bytes(addr arch.ImageAddr, n int) []byte {
	s := p.section(addr)
	if s == nil || s.Type == elf.SHT_NOBITS || uint64(addr)+uint64(n) > s.Addr+s.Size {
		return nil
	}
	off := s.Offset + uint64(addr) - s.Addr
	return p.data[off : off+uint64(n)]
}

// offset returns the file offset of an address.
func (p *Program) offset(addr arch.ImageAddr) uint64 {
	s := p.section(addr)
	return s.Offset + uint64(addr) - s.Addr
}

// functionAt returns the function that holds an address, or nil.
func (p *Program) functionAt(addr arch.ImageAddr) *function {
	i, _ := slices.BinarySearchFunc(p.funcs, addr+1, func(f function, v arch.ImageAddr) int { return cmp.Compare(f.start, v) })
	const nested = 4 // functions that overlap
	for low := max(0, i-nested); i > low; i-- {
		if addr < p.funcs[i-1].end {
			return &p.funcs[i-1]
		}
	}
	return nil
}

// inSizeless reports whether an address behind all sized functions belongs to one of which nothing says where it ends.
func (p *Program) inSizeless(addr arch.ImageAddr) bool {
	i, _ := slices.BinarySearchFunc(p.funcs, addr+1, func(f function, v arch.ImageAddr) int { return cmp.Compare(f.start, v) })
	var last arch.ImageAddr
	if i > 0 {
		last = p.funcs[i-1].start
	}
	return slices.ContainsFunc(p.sizeless, func(a arch.ImageAddr) bool { return a > last && a <= addr })
}

// unitAt returns the start of the unit that holds an address, or 0.
func (p *Program) unitAt(addr arch.ImageAddr) arch.ImageAddr {
	if f := p.functionAt(addr); f != nil {
		return f.unit
	}
	return 0
}

// objectAt returns the object that holds an address, or nil. Objects that overlap others are none.
func (p *Program) objectAt(addr arch.ImageAddr) *object {
	i, _ := slices.BinarySearchFunc(p.objects, addr+1, func(o object, v arch.ImageAddr) int { return cmp.Compare(o.start, v) })
	if i == 0 || addr >= p.objects[i-1].end {
		return nil
	}
	return &p.objects[i-1]
}

// instAt returns the index of the instruction that holds an address, or -1.
func (p *Program) instAt(addr arch.ImageAddr) int {
	i, _ := slices.BinarySearchFunc(p.insts, addr+1, func(in inst, v arch.ImageAddr) int { return cmp.Compare(in.addr, v) })
	if i == 0 || addr >= p.insts[i-1].end() {
		return -1
	}
	return i - 1
}

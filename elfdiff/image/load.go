package image

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"sort"
	"time"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/ptrace/unwind/cfi"
)

// Load reads an executable or shared library and, if its symbols are elsewhere, its
// separate debug file. An error about the file's contents is a [*FormatError]; a file without symbols
// is a [*NoSymbolsError].
func Load(path string, opt Options) (*Image, error) {
	f, closeFile, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer closeFile()
	im, err := load(f, opt)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	return im, nil
}

// load builds the image from f.
func load(f *file, opt Options) (*Image, error) {
	im, err := newImage(f)
	if err != nil {
		return nil, err
	}
	im.options = opt
	lap := laps(opt.Phase)
	if im.debugLink, err = readDebugLink(f); err != nil {
		return nil, err
	}
	if err := im.readDynamic(f); err != nil {
		return nil, err
	}
	symFile, closeDebug, err := im.symbolFile(f)
	if err != nil {
		return nil, err
	}
	defer closeDebug()
	lap("sections")
	if symFile != f && !im.FuncsOnly {
		im.DebugPath = symFile.path
	}
	if err := im.readCFI(f); err != nil {
		return nil, err
	}
	lap("call frames")
	if err := im.readSymbols(f, symFile); err != nil {
		return nil, err
	}
	lap("symbols")
	if err := im.readLinkRelocs(f); err != nil {
		return nil, err
	}
	im.findFixedWords()
	im.findImports()
	lap("relocations")
	im.scanCode()
	im.joinParts()
	if im.Arch.Pieces != nil {
		im.closeChanges()
		im.returns.close()
		im.scanPieces()
	}
	im.findConstructors()
	im.judgeUnwind()
	im.bodies.init(len(im.Atoms))
	lap("code")
	return im, nil
}

// laps returns a function that reports the time since it was last called, or made.
func laps(report func(string, time.Duration)) (lap func(name string)) {
	if report == nil {
		return func(string) {}
	}
	last := time.Now()
	return func(name string) {
		now := time.Now()
		report(name, now.Sub(last))
		last = now
	}
}

// symbolFile returns the file with the symbols: f itself, its separate debug file, or what f holds in .gnu_debugdata. The returned
// function closes it if it is not f.
func (im *Image) symbolFile(f *file) (*file, func() error, error) {
	nothing := func() error { return nil }
	if f.byType(elf.SHT_SYMTAB) != nil {
		return f, nothing, im.checkGiven()
	}
	d, closeDebug, err := im.findDebug()
	if err == nil || im.options.Debug != "" {
		return d, closeDebug, err
	}
	mini, miniErr := im.miniDebug(f)
	if miniErr != nil {
		return nil, nil, miniErr
	}
	if mini == nil {
		return nil, nil, err
	}
	im.FuncsOnly = true
	return mini, nothing, nil
}

// checkGiven checks the debug file that the user named for a file with symbols of its own: it must be that build's nevertheless.
func (im *Image) checkGiven() error {
	if im.options.Debug == "" {
		return nil
	}
	d, closeFile, why := im.openDebug(candidate{path: im.options.Debug, given: true}, debugAny)
	if why != "" {
		return fmt.Errorf("%s: debug file %s %s", im.Path, im.options.Debug, why)
	}
	defer closeFile()
	if d.hasDebugSection("info") {
		im.DebugPath = d.path
	}
	return nil
}

// newImage reads headers, sections and the build-id.
func newImage(f *file) (*Image, error) {
	h := &f.elf.FileHeader
	if h.Type != elf.ET_EXEC && h.Type != elf.ET_DYN {
		return nil, &FormatError{f.path, 16, "not an executable or a shared library (e_type)", h.Type}
	}
	a, err := machines.Lookup(h.Machine)
	if err != nil {
		return nil, &FormatError{f.path, 18, "e_machine", err}
	}
	im := &Image{Path: f.path, Arch: a, Type: h.Type}
	if err := im.readSegments(f); err != nil {
		return nil, err
	}
	if err := im.readSections(f); err != nil {
		return nil, err
	}
	if im.BuildID, err = f.buildID(); err != nil {
		return nil, err
	}
	if im.Guarded, err = f.guarded(a.Jump.Guard); err != nil {
		return nil, err
	}
	if im.HasBuildID = im.BuildID != nil; !im.HasBuildID {
		im.BuildID = im.contentHash()
	}
	return im, nil
}

// Bounds of what addresses are looked up in one after the other. Linkers make a handful.
const (
	maxSegments    = 64
	maxTLSSections = 64
	maxComment     = 64 << 10 // bytes of .comment
)

func (im *Image) readSegments(f *file) error {
	for _, p := range f.elf.Progs {
		if p.Vaddr+p.Memsz < p.Vaddr || p.Vaddr+p.Memsz > 1<<62 {
			return &FormatError{f.path, p.Off, fmt.Sprintf("segment %v wraps around the address space", p.Type), p.Vaddr}
		}
		switch p.Type {
		case elf.PT_LOAD:
			if len(im.segments) == maxSegments {
				return &FormatError{f.path, p.Off, "more segments (PT_LOAD) than any linker makes; at address", p.Vaddr}
			}
			im.segments = append(im.segments, segment{arch.ImageAddr(p.Vaddr), p.Memsz, p.Filesz, p.Flags})
		case elf.PT_TLS:
			if p.Align&(p.Align-1) != 0 || p.Align > 1<<30 || p.Filesz > p.Memsz {
				return &FormatError{f.path, p.Off, "PT_TLS alignment", p.Align}
			}
			im.TLS = TLS{Addr: arch.ImageAddr(p.Vaddr), FileSize: p.Filesz, MemSize: p.Memsz, Align: p.Align}
		case elf.PT_GNU_RELRO:
			im.relRO = [2]uint64{p.Vaddr, p.Vaddr + p.Memsz}
		case elf.PT_INTERP:
			im.PIE = im.Type == elf.ET_DYN
		}
	}
	return nil
}

func (im *Image) readSections(f *file) error {
	if len(f.elf.Sections) == 0 {
		return &FormatError{f.path, 60, "no section headers (e_shnum)", uint64(0)}
	}
	if s := f.section(".comment"); s != nil && s.Size <= maxComment && s.Flags&elf.SHF_COMPRESSED == 0 {
		b, err := f.read(s)
		if err != nil {
			return err
		}
		im.Compilers = string(bytes.ReplaceAll(bytes.Trim(b, "\x00"), []byte{0}, []byte("; ")))
	}
	tls := 0
	for _, s := range f.elf.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Size == 0 {
			continue
		}
		if s.Addr+s.Size < s.Addr || s.Addr+s.Size > 1<<62 {
			return &FormatError{f.path, s.Offset, "section " + s.Name + " wraps around the address space", s.Addr}
		}
		if s.Flags&elf.SHF_EXECINSTR != 0 && s.Type == elf.SHT_NOBITS {
			return &FormatError{f.path, s.Offset, "a separate debug file, not the program or library itself: no contents in section", s.Name}
		}
		b, err := f.read(s)
		if err != nil {
			return err
		}
		if b != nil && uint64(len(b)) != s.Size {
			return &FormatError{f.path, s.Offset, "section " + s.Name + " size", s.Size}
		}
		if s.Flags&elf.SHF_TLS != 0 {
			if tls++; tls > maxTLSSections {
				return &FormatError{f.path, s.Offset, "section " + s.Name + ": more thread-local sections than any linker makes; at address", s.Addr}
			}
		}
		im.Sections = append(im.Sections, &Section{
			Name: s.Name, Addr: arch.ImageAddr(s.Addr), Size: s.Size, Align: s.Addralign,
			Type: s.Type, Flags: s.Flags, Data: b, RelRO: im.inRelRO(s),
		})
	}
	sort.SliceStable(im.Sections, func(i, j int) bool { return im.Sections[i].Addr < im.Sections[j].Addr })
	return im.checkOverlap(f)
}

// checkOverlap refuses sections that share addresses (.tbss, which has none of its own, aside), and builds
// the list by which addresses are looked up.
func (im *Image) checkOverlap(f *file) error {
	for _, s := range im.Sections {
		if s.IsTLS() && s.Type == elf.SHT_NOBITS {
			continue
		}
		if n := len(im.index.sections); n > 0 && im.index.sections[n-1].End() > s.Addr {
			return &FormatError{f.path, 0, "section " + s.Name + " overlaps " + im.index.sections[n-1].Name + " at address", uint64(s.Addr)}
		}
		im.index.sections = append(im.index.sections, s)
	}
	return nil
}

// inRelRO reports whether a section lies in PT_GNU_RELRO, of which a file has one.
func (im *Image) inRelRO(s *elf.Section) bool {
	return s.Addr >= im.relRO[0] && s.Addr+s.Size <= im.relRO[1] && s.Flags&elf.SHF_TLS == 0
}

// contentHash identifies a build that has no build-id.
func (im *Image) contentHash() []byte {
	h := sha256.New()
	for _, s := range im.Sections {
		fmt.Fprintf(h, "%s\x00", s.Name)
		binary.Write(h, order, []uint64{uint64(s.Addr), s.Size, uint64(s.Flags), uint64(len(s.Data))})
		h.Write(s.Data)
	}
	return h.Sum(nil)
}

// readCFI parses .eh_frame.
func (im *Image) readCFI(f *file) error {
	var data []byte
	var addr arch.ImageAddr
	if s := im.sectionNamed(".eh_frame"); s != nil {
		data, addr = s.Data, s.Addr
	}
	t, err := cfi.Parse(im.Arch, data, addr, order)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	im.CFI = t
	return nil
}

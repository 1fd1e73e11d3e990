package inject

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"hotpatch/arch"
	"hotpatch/ptrace"
)

// A module is an ELF image as it is mapped in a process. Everything in it is read from the
// process's memory, so that a file that was deleted, replaced or is out of reach in another
// mount namespace does not matter. An image that is mapped twice gives two modules.
type module struct {
	Path    string    // as in /proc/PID/maps; only for messages
	Start   arch.Addr // of the first PT_LOAD
	End     arch.Addr // of the last PT_LOAD
	Bias    arch.Addr // image address + Bias = address in the process
	Machine elf.Machine
	Type    elf.Type
	BuildID []byte // nil: the image has none
	Phdr    arch.Addr
	Loads   []elf.Prog64 // PT_LOAD, in increasing p_vaddr order
	dynamic elf.Prog64   // PT_DYNAMIC; Memsz 0: none (a static program)
	ehHdr   elf.Prog64   // PT_GNU_EH_FRAME; Memsz 0: none

	head *ptrace.Mapping // what begins with the header
	dyn  *dynamic        // read on demand, see [module.dynamicSection]
}

// name returns the base name of the module's file.
func (m *module) name() string {
	return path.Base(strings.TrimSuffix(m.Path, " (deleted)"))
}

// id returns the module's build-id in hexadecimal, as people know it.
func (m *module) id() string { return idText(m.BuildID) }

func idText(id []byte) string {
	if len(id) == 0 {
		return "a build without build-id"
	}
	return hex.EncodeToString(id)
}

// contains reports whether [a, a+n) lies in one PT_LOAD of the module, file-backed or not.
func (m *module) contains(v arch.ImageAddr, n uint64) bool {
	for i := range m.Loads {
		l := &m.Loads[i]
		if uint64(v) >= l.Vaddr && uint64(v)-l.Vaddr <= l.Memsz && n <= l.Memsz-(uint64(v)-l.Vaddr) {
			return true
		}
	}
	return false
}

// holds reports whether an address in the process lies in one of the segments. Between these there may be room for others: arm64's are 64 KiB
// apart, and the kernel, which maps the program and the dynamic linker, leaves free what they do not fill.
func (m *module) holds(a arch.Addr) bool { return m.contains(m.image(a), 1) }

// image converts an address in the process to one in the image.
func (m *module) image(a arch.Addr) arch.ImageAddr { return arch.ImageAddr(a - m.Bias) }

// maxPhdrs bounds e_phnum; ld.so itself has no limit, real images have about ten.
const maxPhdrs = 256

// phdrSize is the size of an Elf64_Phdr.
const phdrSize = 56

// findModules finds the modules of a process: mappings that begin with an ELF header
// whose PT_LOAD segments are mapped where it says. A file that was merely mapped for reading
// is not a module, and neither is one with a segment that begins with the file's first page again: in small files all segments share
// that page, and libraries lie so close to each other that there may be code where such a header seems to say. Modules are in increasing
// Start order.
func findModules(mem memory, maps []ptrace.Mapping) ([]*module, error) {
	var out []*module
	var head [4]byte
	for i := range maps {
		mp := &maps[i]
		if mp.Perm&ptrace.PermRead == 0 || mp.Inode == 0 && mp.Perm&(ptrace.PermWrite|ptrace.PermShared) != 0 {
			continue // heaps and stacks: an image's first segment is never writable
		}
		if mp.Inode != 0 && mp.Off != 0 && mp.Perm&ptrace.PermExec == 0 {
			continue
		}
		if strings.HasPrefix(mp.Path, "[vvar") || mp.Path == "[vsyscall]" {
			continue // not readable from outside
		}
		if mem.ReadMem(head[:], mp.Start) != nil || string(head[:]) != elf.ELFMAG {
			continue
		}
		if slices.ContainsFunc(out, func(m *module) bool { return m.mappedBy(mp) }) {
			continue
		}
		m, err := readModule(mem, maps, mp)
		if err != nil {
			return nil, fmt.Errorf("module %s at %#x: %w", mp.Path, uint64(mp.Start), err)
		}
		if m != nil {
			out = append(out, m)
		}
	}
	own := slices.DeleteFunc(slices.Clone(out), func(m *module) bool { return m.borrows(maps, out) })
	sort.Slice(own, func(i, j int) bool { return own[i].Start < own[j].Start })
	return own, nil
}

// mappedBy reports whether a mapping of the module's file is (a part of) one of its segments, at the place where the module has it. As the
// first segment is the lowest one, a module is found ahead of whatever begins in its other segments.
func (m *module) mappedBy(mp *ptrace.Mapping) bool {
	if mp.Inode == 0 || !sameFile(mp, m.head) {
		return false
	}
	return slices.ContainsFunc(m.Loads, func(l elf.Prog64) bool {
		start := arch.ImageAddr(l.Vaddr).In(m.Bias)
		return start < mp.End && mp.Start < start+arch.Addr(l.Filesz) && mp.Off+uint64(start-mp.Start) == l.Off
	})
}

// borrows reports whether there is another module's code, of another file, where the header says that the module's is: then its file was
// merely mapped for reading. Code that belongs to no module may be the module's: it may have been moved to huge pages.
func (m *module) borrows(maps []ptrace.Mapping, all []*module) bool {
	for i := range m.Loads {
		l := &m.Loads[i]
		if l.Flags&uint32(elf.PF_X) == 0 || l.Memsz == 0 {
			continue
		}
		at := mappingAt(maps, arch.ImageAddr(l.Vaddr).In(m.Bias))
		if !sameFile(at, m.head) && slices.ContainsFunc(all, func(o *module) bool { return o.mappedBy(at) }) {
			return true
		}
	}
	return false
}

// sameFile reports whether two mappings are of one file, or both of none.
func sameFile(a, b *ptrace.Mapping) bool { return a.Dev == b.Dev && a.Inode == b.Inode }

// readModule reads the image whose ELF header is at the start of mp. It returns nil if no loaded
// image is there: the header is foreign, or its segments are not mapped.
func readModule(mem memory, maps []ptrace.Mapping, mp *ptrace.Mapping) (*module, error) {
	var h elf.Header64
	if readStruct(mem, mp.Start, &h) != nil {
		return nil, nil
	}
	if h.Ident[elf.EI_CLASS] != byte(elf.ELFCLASS64) || h.Ident[elf.EI_DATA] != byte(elf.ELFDATA2LSB) ||
		h.Type != uint16(elf.ET_EXEC) && h.Type != uint16(elf.ET_DYN) ||
		h.Phnum == 0 || h.Phnum > maxPhdrs || h.Phentsize != phdrSize || h.Phoff > uint64(mp.End-mp.Start) {
		return nil, nil
	}
	phdrs := make([]elf.Prog64, h.Phnum)
	if readStruct(mem, mp.Start+arch.Addr(h.Phoff), phdrs) != nil {
		return nil, nil
	}
	m := &module{
		Path: mp.Path, Machine: elf.Machine(h.Machine), Type: elf.Type(h.Type),
		Phdr: mp.Start + arch.Addr(h.Phoff), head: mp,
	}
	var notes []elf.Prog64
	for _, p := range phdrs {
		switch elf.ProgType(p.Type) {
		case elf.PT_LOAD:
			m.Loads = append(m.Loads, p)
		case elf.PT_DYNAMIC:
			m.dynamic = p
		case elf.PT_GNU_EH_FRAME:
			m.ehHdr = p
		case elf.PT_NOTE:
			notes = append(notes, p)
		}
	}
	if !m.place(mp) || !m.mapped(maps) {
		return nil, nil
	}
	for _, p := range notes {
		if err := m.readNotes(mem, p); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// pageMask clears the offset in a page of the smallest page size. p_align may be
// larger, but the kernel and ld.so map by pages.
const pageMask = ^uint64(0xfff)

// place computes the bias and the extent. The header is at file offset 0, which the first PT_LOAD
// has to hold.
func (m *module) place(mp *ptrace.Mapping) bool {
	if len(m.Loads) == 0 || m.Loads[0].Off&pageMask != 0 {
		return false
	}
	first, last := m.Loads[0], m.Loads[len(m.Loads)-1]
	end := last.Vaddr + last.Memsz
	if end < last.Vaddr || end < first.Vaddr {
		return false
	}
	for i := 1; i < len(m.Loads); i++ {
		if m.Loads[i].Vaddr < m.Loads[i-1].Vaddr {
			return false
		}
	}
	m.Start = mp.Start
	m.Bias = mp.Start - arch.Addr(first.Vaddr&pageMask)
	m.End = arch.ImageAddr(end).In(m.Bias)
	return m.End > m.Start
}

// mapped reports whether every executable segment is mapped executable where the header says, and is what the header's
// file has there: in small files the code shares the header's page (lld, gold), so that its mapping begins with the header, too.
func (m *module) mapped(maps []ptrace.Mapping) bool {
	code := false
	for i := range m.Loads {
		l := &m.Loads[i]
		if l.Flags&uint32(elf.PF_X) == 0 || l.Memsz == 0 {
			continue
		}
		addr := arch.ImageAddr(l.Vaddr).In(m.Bias)
		at := mappingAt(maps, addr)
		if at == nil || at.Perm&ptrace.PermExec == 0 {
			return false
		}
		if at.Inode != 0 && sameFile(at, m.head) && at.Off+uint64(addr-at.Start) != l.Off {
			return false
		}
		code = true
	}
	return code
}

// maxNotes bounds the PT_NOTE segments that are read.
const maxNotes = 64 << 10

// readNotes looks for NT_GNU_BUILD_ID in a PT_NOTE segment.
func (m *module) readNotes(mem memory, p elf.Prog64) error {
	if p.Memsz > maxNotes || !m.contains(arch.ImageAddr(p.Vaddr), p.Memsz) {
		return fmt.Errorf("PT_NOTE at %#x, size %#x: outside the image", p.Vaddr, p.Memsz)
	}
	b, err := readBytes(mem, arch.ImageAddr(p.Vaddr).In(m.Bias), int(p.Memsz))
	if err != nil {
		return fmt.Errorf("PT_NOTE: %w", err)
	}
	if id := buildID(b, p.Align); id != nil {
		m.BuildID = id
	}
	return nil
}

// ntGNUBuildID is NT_GNU_BUILD_ID (Linux Standard Base; elf.h).
const ntGNUBuildID = 3

// maxBuildID bounds a build-id: the longest in use (SHA-512) has 64 bytes.
const maxBuildID = 64

// buildID returns the build-id in a block of notes (gABI, "Note Section"), or nil. Notes are
// aligned to 4 bytes, or to 8 where p_align says so.
func buildID(b []byte, align uint64) []byte {
	if align != 8 {
		align = 4
	}
	up := func(n uint64) uint64 { return (n + align - 1) &^ (align - 1) }
	for len(b) >= 12 {
		namesz, descsz := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:]))
		typ := order.Uint32(b[8:])
		desc := up(12 + namesz)
		next := up(desc + descsz)
		if desc+descsz > uint64(len(b)) {
			return nil
		}
		if typ == ntGNUBuildID && namesz == 4 && bytes.Equal(b[12:16], []byte("GNU\x00")) && descsz > 0 && descsz <= maxBuildID {
			return bytes.Clone(b[desc : desc+descsz])
		}
		b = b[min(next, uint64(len(b))):]
	}
	return nil
}

// maxEHFrame bounds the call frame information of one module; Chromium's, with 200 MB of
// code, has about 15 MB.
const maxEHFrame = 256 << 20

// ehFrame reads the module's .eh_frame from memory, by way of .eh_frame_hdr (LSB Core 5.0,
// 10.6.2). The section ends with a zero length or with its segment. Without the header it
// returns nil: then nothing proves a chain through this module.
func (m *module) ehFrame(mem memory) (data []byte, addr arch.ImageAddr, err error) {
	if m.ehHdr.Memsz < 8 {
		return nil, 0, nil
	}
	hdr, err := readBytes(mem, arch.ImageAddr(m.ehHdr.Vaddr).In(m.Bias), 8)
	if err != nil {
		return nil, 0, fmt.Errorf(".eh_frame_hdr: %w", err)
	}
	const pcrelSdata4 = 0x1b // DW_EH_PE_pcrel | DW_EH_PE_sdata4
	if hdr[0] != 1 || hdr[1] != pcrelSdata4 {
		return nil, 0, fmt.Errorf(".eh_frame_hdr: version %d, encoding %#x: not supported", hdr[0], hdr[1])
	}
	addr = arch.ImageAddr(int64(m.ehHdr.Vaddr) + 4 + int64(int32(order.Uint32(hdr[4:]))))
	for i := range m.Loads {
		l := &m.Loads[i]
		if uint64(addr) < l.Vaddr || uint64(addr) >= l.Vaddr+l.Filesz {
			continue
		}
		n := l.Vaddr + l.Filesz - uint64(addr)
		if n > maxEHFrame {
			return nil, 0, fmt.Errorf(".eh_frame: %d bytes are more than the limit", n)
		}
		b, err := readBytes(mem, addr.In(m.Bias), int(n))
		if err != nil {
			return nil, 0, fmt.Errorf(".eh_frame: %w", err)
		}
		return b[:ehFrameLen(b)], addr, nil
	}
	return nil, 0, fmt.Errorf(".eh_frame at %#x: outside the image", uint64(addr))
}

// ehFrameLen returns the length of the records in b, up to the terminator.
func ehFrameLen(b []byte) int {
	off := 0
	for len(b)-off >= 4 {
		n := uint64(order.Uint32(b[off:]))
		head := uint64(4)
		if n == 0xffffffff && len(b)-off >= 12 {
			n, head = order.Uint64(b[off+4:]), 12
		}
		if n == 0 || n > uint64(len(b)-off)-head {
			return off
		}
		off += int(head + n)
	}
	return off
}

// Package emulate runs programs for arm64 on any machine, by QEMU's user-mode emulation. That has no ptrace, so that a patch is put into a copy of
// the program's file, with the jumps, instead of into a process: what the patch does can be seen in a fraction of a second, while how it gets there is a
// matter of the guest (package guest).
package emulate

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// bias is where QEMU maps the image address 0 of a position-independent program for arm64 (linux-user/elfload.c, TARGET_AARCH64).
const bias arch.Addr = 0x55_0000_0000

// Command returns the command that runs a program for arm64.
func Command(t testing.TB, file string) *exec.Cmd {
	t.Helper()
	if victim.Native(t).Machine == elf.EM_AARCH64 {
		return exec.Command(file)
	}
	return exec.Command("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", file) // scripts/setup installs both
}

// program is one whose addresses are known before it runs.
type program struct {
	t    testing.TB
	im   *image.Image
	file *elf.File
	raw  []byte
	bias arch.Addr
}

// Patched returns the path of a copy of a program for arm64 with the patch's payload in a segment of its own, and the jumps. If the program is
// position-independent, the copy is for QEMU only. Functions of other modules are called by way of the program's own slots; the test fails if the program
// has none.
func Patched(t testing.TB, path string, p *patch.Patch) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	im, err := image.Load(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := &program{t: t, im: im, file: file, raw: raw}
	if file.Type == elf.ET_DYN {
		g.bias = bias
	}
	payload := g.commit(p)
	out := filepath.Join(t.TempDir(), "patched")
	if err := os.WriteFile(out, append(g.raw, payload...), 0o700); err != nil {
		t.Fatal(err)
	}
	return out
}

// commit links the patch, writes its jumps and constants into the file, and returns what its new segment holds.
func (g *program) commit(p *patch.Patch) []byte {
	end := uint64(0)
	for _, s := range g.file.Progs {
		if s.Type == elf.PT_LOAD {
			end = max(end, s.Vaddr+s.Memsz)
		}
	}
	const apart = 16 << 20 // as far from the program as payloads may be
	at := (end + apart) &^ (g.im.Arch.MaxPage - 1)
	base := g.bias + arch.Addr(at)
	pl, err := patch.Link(p, base, g)
	if err != nil {
		g.t.Fatal(err)
	}
	memory := make([]byte, pl.Layout.Size)
	for _, s := range pl.Segments {
		if s.Size > 0 {
			copy(memory[s.Addr-base:], s.Data)
		}
	}
	for _, fn := range p.Funcs {
		if fn.How == patch.Changed {
			g.jump(&fn, pl)
		}
	}
	for _, k := range p.Consts {
		b := pl.Section(p, k.New.Section)
		g.write(k.Addr, b)
		g.relocate(k.Addr, b)
	}
	g.segment(at, pl.Layout.Size)
	return memory
}

// jump leads a function to its new body.
func (g *program) jump(fn *patch.Func, pl *patch.Payload) {
	site := fn.Old[0].Addr + arch.ImageAddr(fn.Jump.Off)
	entry, j := pl.SymAddr[fn.New], &g.im.Arch.Jump
	to, err := j.Lead(entry, j.Signs(fn.Old[0].Bytes), j.Signs(pl.Bytes(entry, uint64(j.Len+g.im.Arch.MaxInst))))
	if err != nil {
		g.t.Fatal(err)
	}
	code, err := j.Encode(g.bias+arch.Addr(site), to)
	if err != nil {
		g.t.Fatal(err)
	}
	g.write(site, code)
}

// write puts bytes where the file has those of an image address.
func (g *program) write(at arch.ImageAddr, b []byte) {
	for _, s := range g.file.Progs {
		if v := uint64(at); s.Type == elf.PT_LOAD && v >= s.Vaddr && v+uint64(len(b)) <= s.Vaddr+s.Filesz {
			copy(g.raw[s.Off+v-s.Vaddr:], b)
			return
		}
	}
	g.t.Errorf("nothing of the file is at %#x", uint64(at))
}

// relocate makes the dynamic linker put what b has where it puts pointers among the bytes of an image address.
func (g *program) relocate(at arch.ImageAddr, b []byte) {
	s := g.file.Section(".rela.dyn")
	if s == nil {
		return
	}
	const size, addend = 24, 16 // Elf64_Rela, r_addend
	for off := s.Offset; off < s.Offset+s.FileSize; off += size {
		rela := g.raw[off:][:size]
		i := int64(binary.LittleEndian.Uint64(rela)) - int64(at)
		if i >= 0 && i+8 <= int64(len(b)) && elf.R_AARCH64(binary.LittleEndian.Uint32(rela[8:])) == elf.R_AARCH64_RELATIVE {
			v := binary.LittleEndian.Uint64(b[i:])
			binary.LittleEndian.PutUint64(rela[addend:], v-uint64(g.bias))
		}
	}
}

// segment appends the file's part of a segment with everything allowed at image address at: its header takes the place of PT_GNU_STACK.
func (g *program) segment(at, size uint64) {
	for len(g.raw)%int(g.im.Arch.MaxPage) != 0 {
		g.raw = append(g.raw, 0)
	}
	i := slices.IndexFunc(g.file.Progs, func(s *elf.Prog) bool { return s.Type == elf.PT_GNU_STACK })
	if i < 0 {
		g.t.Fatal("no program header to spare")
	}
	header := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W | elf.PF_X), Off: uint64(len(g.raw)),
		Vaddr: at, Paddr: at, Filesz: size, Memsz: size, Align: g.im.Arch.MaxPage}
	const headers, entry = 64, 56 // Elf64_Ehdr, Elf64_Phdr
	if _, err := binary.Encode(g.raw[headers+entry*i:], binary.LittleEndian, &header); err != nil {
		g.t.Fatal(err)
	}
}

// Image resolves a symbol of the image, for [patch.Link].
func (g *program) Image(v arch.ImageAddr, _ *patch.Symbol) (arch.Addr, error) {
	return g.bias + arch.Addr(v), nil
}

// Import finds the program's own slot, for [patch.Link]. Nothing but a call can do with that.
func (g *program) Import(s *patch.Symbol) (addr, slot arch.Addr, err error) {
	for _, i := range g.im.Imports {
		if i.Name == s.Name && i.Slot != 0 {
			return 1, g.bias + arch.Addr(i.Slot), nil
		}
	}
	g.t.Errorf("the program does not import %s", s.Name)
	return 0, 0, nil
}

package elfdiff_test

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hotpatch/arch"
	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// TestExecuted puts the patch of a program for arm64 into its file, with the jumps, and runs that: it does what the new build does. The programs are
// linked for a fixed address, so that the file alone says where everything is; other modules' functions are called by way of its own slots.
func TestExecuted(t *testing.T) {
	target := victim.Targets(t)[len(victim.Targets(t))-1]
	for _, c := range []struct {
		name, cc string
		flags    []string
	}{
		{name: "gcc", cc: "gcc"},
		{name: "position-independent", cc: "gcc", flags: []string{"-fPIE"}},
		{name: "without anchors", cc: "gcc", flags: []string{"-fno-section-anchors"}},
		{name: "much optimised", cc: "gcc", flags: []string{"-O3", "-mbranch-protection=standard"}},
		{name: "relocations", cc: "gcc", flags: []string{"-Wl,--emit-relocs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var files [2]string
			for i, v := range []string{"-DV=1", "-DV=2"} {
				files[i] = target.Build(t, c.cc, []string{"executed/mixed.c"}, append([]string{v, "-O2", "-g", "-fno-pie", "-no-pie", "-Wl,--build-id"}, c.flags...)...)
			}
			opt := elfdiff.Options{User: "test", Date: time.Unix(0, 0)}
			r, err := elfdiff.Diff(load(t, files[0]), load(t, files[1]), opt)
			if err == nil && len(r.Missing) > 0 {
				opt.Acks = r.Missing
				r, err = elfdiff.Diff(load(t, files[0]), load(t, files[1]), opt)
			}
			if err != nil || r.Patch == nil {
				t.Fatalf("no patch: %v, %+v", err, r.Changes)
			}
			before, want := emulated(t, files[0]), emulated(t, files[1])
			if got := emulated(t, patchedFile(t, files[0], r.Patch)); got != want || got == before {
				t.Errorf("the patched program prints\n%sthe new build\n%s", got, want)
			}
		})
	}
}

// emulated runs a program for arm64, on any machine, and returns what it prints.
func emulated(t *testing.T, file string) string {
	t.Helper()
	args := []string{file}
	if victim.Native(t).Machine != elf.EM_AARCH64 {
		args = []string{"qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", file} // scripts/setup installs both
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// fileResolver is for a program that is linked for a fixed address.
type fileResolver struct {
	t  *testing.T
	im *image.Image
}

func (fileResolver) Image(v arch.ImageAddr, _ *patch.Symbol) (arch.Addr, error) {
	return arch.Addr(v), nil
}

// Import finds the program's own slot. Nothing but a call can do with that.
func (r fileResolver) Import(s *patch.Symbol) (addr, slot arch.Addr, err error) {
	for _, i := range r.im.Imports {
		if i.Name == s.Name && i.Slot != 0 {
			return 1, arch.Addr(i.Slot), nil
		}
	}
	r.t.Errorf("the program does not import %s", s.Name)
	return 0, 0, nil
}

// patchedFile returns a copy of a program with the payload in a segment of its own, and the jumps.
func patchedFile(t *testing.T, path string, p *patch.Patch) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im := load(t, path)
	end := uint64(0)
	for _, s := range f.Progs {
		if s.Type == elf.PT_LOAD {
			end = max(end, s.Vaddr+s.Memsz)
		}
	}
	const apart = 16 << 20 // a heap in between
	base := arch.Addr((end + apart) &^ (im.Arch.MaxPage - 1))
	pl, err := patch.Link(p, base, fileResolver{t, im})
	if err != nil {
		t.Fatal(err)
	}
	memory := make([]byte, pl.Layout.Size)
	for _, s := range pl.Segments {
		if s.Size > 0 {
			copy(memory[s.Addr-base:], s.Data)
		}
	}
	commit(t, im.Arch, p, pl, func(at arch.ImageAddr, b []byte) {
		for _, s := range f.Progs {
			if v := uint64(at); s.Type == elf.PT_LOAD && v >= s.Vaddr && v+uint64(len(b)) <= s.Vaddr+s.Filesz {
				copy(raw[s.Off+v-s.Vaddr:], b)
				return
			}
		}
		t.Errorf("nothing of the file is at %#x", uint64(at))
	})
	for len(raw)%int(im.Arch.MaxPage) != 0 {
		raw = append(raw, 0)
	}
	i := slices.IndexFunc(f.Progs, func(s *elf.Prog) bool { return s.Type == elf.PT_GNU_STACK })
	header := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W | elf.PF_X), Off: uint64(len(raw)),
		Vaddr: uint64(base), Paddr: uint64(base), Filesz: pl.Layout.Size, Memsz: pl.Layout.Size, Align: im.Arch.MaxPage}
	const headers, size = 64, 56 // Elf64_Ehdr, Elf64_Phdr
	if _, err := binary.Encode(raw[headers+size*i:], binary.LittleEndian, &header); err != nil || i < 0 {
		t.Fatal(i, err)
	}
	out := filepath.Join(t.TempDir(), "patched")
	if err := os.WriteFile(out, append(raw, memory...), 0o700); err != nil {
		t.Fatal(err)
	}
	return out
}

// commit writes the jumps to the functions of a linked patch, and its constants.
func commit(t *testing.T, a *arch.Arch, p *patch.Patch, pl *patch.Payload, write func(at arch.ImageAddr, b []byte)) {
	t.Helper()
	for _, fn := range p.Funcs {
		if fn.How != patch.Changed {
			continue
		}
		site := fn.Old[0].Addr + arch.ImageAddr(fn.Jump.Off)
		entry, j := pl.SymAddr[fn.New], &a.Jump
		to, err := j.Lead(entry, j.Signs(fn.Old[0].Bytes), j.Signs(pl.Bytes(entry, uint64(j.Len+a.MaxInst))))
		if err != nil {
			t.Fatal(err)
		}
		jump, err := j.Encode(arch.Addr(site), to)
		if err != nil {
			t.Fatal(err)
		}
		write(site, jump)
	}
	for _, k := range p.Consts {
		write(k.Addr, pl.Section(p, k.New.Section))
	}
}

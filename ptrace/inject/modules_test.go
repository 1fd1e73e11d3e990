package inject

import (
	"debug/elf"
	"os"
	"slices"
	"testing"

	"hotpatch/arch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
)

// load maps a file's segments as the kernel and ld.so do: whole pages of the file, where the segments lie when the image begins at an address.
func (m *fakeMemory) load(t *testing.T, path string, at arch.Addr, inode uint64) []ptrace.Mapping {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var maps []ptrace.Mapping
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		mp := ptrace.Mapping{
			Start: at + arch.Addr(p.Vaddr&pageMask), End: at + arch.Addr(pageUp(p.Vaddr+p.Filesz)), Perm: ptrace.PermRead,
			Off: p.Off & pageMask, Dev: "fe:01", Inode: inode, Path: path,
		}
		if p.Flags&elf.PF_W != 0 {
			mp.Perm |= ptrace.PermWrite
		}
		if p.Flags&elf.PF_X != 0 {
			mp.Perm |= ptrace.PermExec
		}
		end := min(mp.Off+uint64(mp.End-mp.Start), uint64(len(content)))
		copy(m.data[mp.Start-m.base:], content[mp.Off:end])
		maps = append(maps, mp)
	}
	return maps
}

// TestModulesOfSmallFiles finds libraries whose segments are all in the file's first page, 64 KiB apart in the process: each segment's mapping
// begins with the header.
func TestModulesOfSmallFiles(t *testing.T) {
	const base, step = arch.Addr(0x7f0000000000), arch.Addr(64 << 10)
	flags := []string{"-O2", "-shared", "-fPIC", "-DV=1", "-Wl,--build-id=sha1", "-Wl,-z,max-page-size=65536"}
	small := victim.Build(t, "clang", []string{"inject/lib.c"}, append(flags, "-fuse-ld=lld", "-Wno-unknown-attributes")...)
	// Its code is in the segment that begins with the header.
	joined := victim.Build(t, "gcc", []string{"inject/lib.c"}, append(flags, "-Wl,-z,noseparate-code")...)
	const smallInode, joinedInode = 1, 2
	code := ptrace.Mapping{Start: base + 4*step, End: base + 5*step, Perm: ptrace.PermRead | ptrace.PermExec}
	otherCode := code
	otherCode.Dev, otherCode.Inode = "fe:01", joinedInode
	head := ptrace.Mapping{Start: base, End: base + 1<<12, Perm: ptrace.PermRead, Dev: "fe:01", Inode: smallInode, Path: small}
	for _, c := range []struct {
		name string
		maps func(m *fakeMemory) []ptrace.Mapping
		want []arch.Addr // where the modules begin
	}{
		{
			name: "alone", want: []arch.Addr{base},
			maps: func(m *fakeMemory) []ptrace.Mapping { return m.load(t, small, base, smallInode) },
		},
		{
			name: "below another file's code", want: []arch.Addr{base},
			maps: func(m *fakeMemory) []ptrace.Mapping { return append(m.load(t, small, base, smallInode), otherCode) },
		},
		{
			name: "below code that is in no file", want: []arch.Addr{base},
			maps: func(m *fakeMemory) []ptrace.Mapping { return append(m.load(t, small, base, smallInode), code) },
		},
		{
			name: "twice", want: []arch.Addr{base, base + 4*step},
			maps: func(m *fakeMemory) []ptrace.Mapping {
				return append(m.load(t, small, base, smallInode), m.load(t, small, base+4*step, smallInode)...)
			},
		},
		{
			name: "mapped for reading, below another library's code", want: []arch.Addr{base + step},
			maps: func(m *fakeMemory) []ptrace.Mapping {
				content := m.load(t, small, base, smallInode)
				clear(m.data[content[0].End-base:])
				return append([]ptrace.Mapping{head}, m.load(t, joined, base+step, joinedInode)...)
			},
		},
		{
			name: "its code moved to memory of no file", want: []arch.Addr{base},
			maps: func(m *fakeMemory) []ptrace.Mapping {
				maps := m.load(t, small, base, smallInode)
				maps[1].Dev, maps[1].Inode, maps[1].Off = "00:00", 0, 0
				return maps
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := &fakeMemory{base: base, data: make([]byte, 8*step)}
			maps := c.maps(mem)
			mods, err := findModules(mem, maps)
			if err != nil {
				t.Fatal(err)
			}
			var got []arch.Addr
			for _, m := range mods {
				got = append(got, m.Start)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("modules at %#x, want %#x; mappings: %+v", got, c.want, maps)
			}
		})
	}
	mem := &fakeMemory{base: base, data: make([]byte, 8*step)}
	maps := mem.load(t, small, base, smallInode)
	if last := maps[len(maps)-1]; last.Start != base+3*step || string(mem.data[last.Start-base:][:4]) != elf.ELFMAG {
		t.Errorf("the last segment of %s does not begin with the header: %+v", small, last)
	}
}

package inject

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch/arch"
	"hotpatch/arch/x86"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// fakeMemory is memory that consists of one range.
type fakeMemory struct {
	base arch.Addr
	data []byte
}

var errNoMemory = errors.New("nothing is mapped there")

func (m *fakeMemory) ReadMem(buf []byte, addr arch.Addr) error {
	off := uint64(addr - m.base)
	if off > uint64(len(m.data)) || uint64(len(buf)) > uint64(len(m.data))-off {
		return errNoMemory
	}
	copy(buf, m.data[off:])
	return nil
}

// TestMapsAgree holds the parser of the stop against that of package ptrace, on this process's own mappings.
func TestMapsAgree(t *testing.T) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	want, err := ptrace.ParseMaps(text)
	if err != nil {
		t.Fatal(err)
	}
	table := spanTable{spans: make([]span, 0, len(want))}
	if err := table.fill(text); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range want {
		if m.Perm&(ptrace.PermRead|ptrace.PermWrite) != ptrace.PermRead|ptrace.PermWrite {
			continue
		}
		if n == len(table.spans) || table.spans[n] != (span{m.Start, m.End}) || (table.main == n) != (m.Path == "[stack]") {
			t.Fatalf("span %d of %+v is not %+v", n, table.spans, m)
		}
		if table.find(m.Start) != n || table.find(m.End-1) != n {
			t.Errorf("find does not find span %d", n)
		}
		n++
	}
	if n != len(table.spans) {
		t.Errorf("%d spans, want %d", len(table.spans), n)
	}
}

// TestFingerprint says which changes of the mappings make a plan void.
func TestFingerprint(t *testing.T) {
	const base = "400000-401000 r-xp 00000000 08:01 77 /bin/x\n500000-501000 rw-p 00000000 00:00 0 [heap]\n"
	print := func(text string) uint64 {
		table := spanTable{spans: make([]span, 0, 16)}
		if err := table.fill([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return table.print
	}
	for _, c := range []struct {
		name, add string
		same      bool
	}{
		{"heap", "600000-700000 rw-p 00000000 00:00 0 \n", true},
		{"stack", "7ff000000000-7ff000021000 rw-p 00000000 00:00 0 [stack]\n", true},
		{"generated code", "600000-700000 r-xp 00000000 00:00 0 \n", true},
		{"file for reading", "600000-700000 r--p 00000000 08:01 99 /etc/passwd\n", true},
		{"library", "600000-700000 r-xp 00001000 08:01 99 /lib/x.so\n", false},
	} {
		if got := print(base+c.add) == print(base); got != c.same {
			t.Errorf("%s: fingerprint stays the same: %v, want %v", c.name, got, c.same)
		}
	}
}

func FuzzMaps(f *testing.F) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("1-2 rw-p 0 0:0 0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table := spanTable{spans: make([]span, 0, 8)}
		err := table.fill(text)
		if len(table.spans) > 8 {
			t.Fatal("more spans than room")
		}
		for _, s := range table.spans {
			if s.start >= s.end {
				t.Fatalf("empty span %+v (error %v)", s, err)
			}
		}
	})
}

// sampleJournal is a journal with every field in use.
func sampleJournal() *journal {
	return &journal{
		PID: 4711, Start: 123456789, Seq: 3, States: []state{applied, reverted}, Files: [][]byte{[]byte("first file"), []byte("second")},
		Record: record{
			User: "root", Time: time.Unix(1700000000, 0).UTC(), Patches: []rawFile{{ID: "aa"}, {ID: "bb"}},
			Entries: []entry{
				{
					Path: "/bin/x", Start: 0x400000, Bias: 0, Build: []byte{1, 2}, Base: 0x300000, Size: 0x3000,
					Segs: []segRecord{{Kind: patch.Text, Addr: 0x300000, Size: 0x20, Len: 0x20, Sum: make([]byte, 32)}},
					Syms: []arch.Addr{0, 0x300000}, Bodies: []body{{Name: "f", Entry: 0x400100, New: placedRange{"f", 0x300000, 32}}},
					Writes: []write{{Kind: writeJump, Name: "f", Addr: 0x400104, Old: []byte{1, 2, 3, 4, 5}, New: []byte{0xe9, 0, 0, 0, 0}}},
				},
				{Patch: 1, Path: "/lib/y", Base: 0x500000},
			},
			Intent: &intent{
				Verb: "apply", Marks: []intentMark{{Seq: 3, Entry: 1, After: applied, Undone: staged}},
				Writes: []intentWrite{
					{
						Kind: writeJump, Name: "f", Addr: 0x400104, Before: []byte{1, 2, 3, 4, 5}, Gate: []byte{0xe9, 0, 0, 0, 1}, After: []byte{0xe9, 0, 0, 0, 0},
						Code: placedRange{"gate of f", 0x301000, 64},
					},
					{Kind: writeStale, Name: "f", Addr: 0x302004, Before: []byte{1, 2, 3, 4, 5}, After: []byte{0xe9, 0, 0, 0, 2}, Early: true},
				},
			},
		},
	}
}

func TestJournal(t *testing.T) {
	j := sampleJournal()
	b, err := j.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeJournal(append(b, make([]byte, 100)...)) // a mapping is longer than the journal
	if err != nil {
		t.Fatal(err)
	}
	if got.PID != j.PID || got.Start != j.Start || got.Seq != j.Seq || !reflect.DeepEqual(got.States, j.States) || !reflect.DeepEqual(got.Files, j.Files) ||
		!reflect.DeepEqual(got.Record.Entries, j.Record.Entries) || !reflect.DeepEqual(got.Record.Intent, j.Record.Intent) {
		t.Errorf("decoded: %+v", got)
	}
	copy(b[offPhase:], encodeHead(phaseBegun, true, []state{reverting, reverted}))
	if got, err = decodeJournal(b); err != nil || got.Phase != phaseBegun || !got.Go || got.States[0] != reverting || got.States[1] != reverted {
		t.Errorf("phase, go and states are not part of the checksum: %+v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		do   func(b []byte)
		want string
	}{
		{"no header", func(b []byte) { clear(b[:journalHeader]) }, "not written completely"},
		{"version", func(b []byte) { b[16] = 9 }, "version 9"},
		{"body", func(b []byte) { b[len(b)-1]++ }, "checksum"},
		{"pid", func(b []byte) { b[24]++ }, "checksum"},
		{"length", func(b []byte) { b[62] = 1 }, "length"},
		{"state", func(b []byte) { b[offStates] = 77 }, "state 77"},
		{"phase", func(b []byte) { b[offPhase] = 3 }, "phase 3"},
	} {
		bad := bytes.Clone(b)
		c.do(bad)
		if _, err := decodeJournal(bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestHostileJournal bounds what a journal can make its reader allocate or read.
func TestHostileJournal(t *testing.T) {
	entries := func(n int, e entry) []byte {
		js, err := json.Marshal(&record{Patches: []rawFile{{}}, Entries: slices.Repeat([]entry{e}, n)})
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	for _, c := range []struct {
		name string
		js   []byte
		n    int // entries in the header
		want string
	}{
		{"objects", append(append([]byte(`{"entries":[{}`), bytes.Repeat([]byte(",{}"), maxObjects)...), "]}"...), 1, "objects"},
		{"elements", append(append([]byte(`{"entries":[{"symbols":[0`), bytes.Repeat([]byte(",0"), maxElements+1)...), "]}]}"...), 1, "elements"},
		{"payloads", entries(3, entry{Size: maxPayload / 2}), 3, "at most"},
		{"functions", entries(1, entry{Readers: slices.Repeat([]placedRange{{Size: maxBody}}, 9)}), 1, "at most"},
		{"frames", entries(1, entry{Frames: placedRange{Size: 1 << 63}}), 1, "frames"},
		{"segments", entries(1, entry{Size: 8, Segs: []segRecord{{Size: 16}}}), 1, "outside the payload"},
		{"no intent", entries(0, entry{}), 0, "intent"},
		{"one patch twice", []byte(`{"patches":[{"off":0,"len":0},{"off":1,"len":0}]}`), 0, "patch 1: offset 0x1"},
		{"moves", entries(1, entry{Size: 8, Moves: []moveRecord{{Keep: 4, Size: 16, Rest: make([]byte, 32)}}}), 1, "moved from"},
	} {
		b := append(make([]byte, journalHeader), c.js...)
		copy(b, journalMagic)
		order.PutUint32(b[16:], journalVersion)
		order.PutUint32(b[20:], uint32(c.n))
		order.PutUint64(b[48:], uint64(len(c.js)))
		order.PutUint64(b[56:], uint64(len(b)))
		copy(b[offStates:], encodeStates(slices.Repeat([]state{applied}, c.n)))
		sum := journalSum(b)
		copy(b[offSum:], sum[:])
		if _, err := decodeJournal(b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzJournal decodes a journal whose checksum is right and whose content is anything.
func FuzzJournal(f *testing.F) {
	b, err := sampleJournal().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:journalHeader])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= journalHeader {
			b = bytes.Clone(b)
			order.PutUint64(b[56:], uint64(len(b)))
			sum := journalSum(b)
			copy(b[offSum:], sum[:])
		}
		j, err := decodeJournal(b)
		if (j != nil) != (err == nil) {
			t.Fatalf("journal %v with error %v", j, err)
		}
		if j == nil {
			return
		}
		if len(j.States) != len(j.Record.Entries) || len(j.Files) != len(j.Record.Patches) {
			t.Fatalf("%d states, %d entries, %d files, %d patches", len(j.States), len(j.Record.Entries), len(j.Files), len(j.Record.Patches))
		}
		for _, e := range j.Record.Entries {
			_ = j.Files[e.Patch]
		}
	})
}

// image lays the segments of a file out as a process has them.
func imageOf(t testing.TB, path string, base arch.Addr) (*fakeMemory, []ptrace.Mapping) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mem := &fakeMemory{base: base}
	var maps []ptrace.Mapping
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		end := pageUp(p.Vaddr + p.Memsz)
		mem.data = append(mem.data, make([]byte, end-uint64(len(mem.data)))...)
		if _, err := io.ReadFull(p.Open(), mem.data[p.Vaddr:p.Vaddr+p.Filesz]); err != nil {
			t.Fatal(err)
		}
		m := ptrace.Mapping{Start: base + arch.Addr(p.Vaddr&pageMask), End: base + arch.Addr(end), Perm: ptrace.PermRead, Off: p.Off & pageMask, Inode: 1, Path: path}
		if p.Flags&elf.PF_X != 0 {
			m.Perm |= ptrace.PermExec
		}
		maps = append(maps, m)
	}
	return mem, maps
}

// TestModule reads an image from memory and compares it with what debug/elf reads from the file.
func TestModule(t *testing.T) {
	// The program that defines nothing has a hash table that counts none of its symbols.
	nothing := build(t, "nothing", 1, "-lm")
	for _, path := range []string{lib(t, 1), host(t, 1), nothing, loadedBy(t, nothing, "libc.so.6"), loadedBy(t, nothing, "libm.so.6")} {
		const base = 0x7f0000000000
		mem, maps := imageOf(t, path, base)
		mods, err := findModules(mem, maps)
		if err != nil || len(mods) != 1 {
			t.Fatalf("%s: %d modules, %v", path, len(mods), err)
		}
		m := mods[0]
		if m.Bias != base || m.id() != fileBuildID(t, path) {
			t.Errorf("%s: bias %#x, build-id %s", path, uint64(m.Bias), m.id())
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		want, err := f.DynamicSymbols()
		if err != nil {
			t.Fatal(err)
		}
		d, err := m.relocated(mem)
		if err != nil {
			t.Fatal(err)
		}
		// DT_GNU_HASH does not count symbols that are undefined behind the last defined one; there are none.
		if len(d.syms) != len(want)+1 {
			t.Fatalf("%s: %d symbols, want %d", path, len(d.syms), len(want)+1)
		}
		for i, w := range want {
			s := d.syms[i+1]
			if s.Name != w.Name || uint64(s.Value) != w.Value || s.Size != w.Size || s.Version != w.Version {
				t.Errorf("%s: symbol %d is %+v, want %+v", path, i+1, s, w)
			}
		}
		libs, _ := f.ImportedLibraries()
		if strings.Join(libs, " ") != strings.Join(d.needed, " ") {
			t.Errorf("%s: needs %q, want %q", path, d.needed, libs)
		}
		data, addr, err := m.ehFrame(mem)
		sec := f.Section(".eh_frame")
		whole, _ := sec.Data()
		// Behind the last entry are the terminator and padding.
		if err != nil || uint64(addr) != sec.Addr || len(data) > len(whole) || len(bytes.TrimRight(whole[len(data):], "\x00")) > 0 {
			t.Errorf("%s: .eh_frame at %#x, %d bytes, %v; want %#x, %d", path, uint64(addr), len(data), err, sec.Addr, sec.Size)
		}
	}
}

// FuzzModule reads modules from memory that may hold anything.
func FuzzModule(f *testing.F) {
	mem, _ := imageOf(f, lib(f, 1), 0)
	f.Add(mem.data, uint16(1))
	f.Add(mem.data, uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, where uint16) {
		base := arch.Addr(where) << 12
		mem := &fakeMemory{base: base, data: data}
		maps := []ptrace.Mapping{{Start: base, End: base + arch.Addr(len(data)) + 1, Perm: ptrace.PermRead | ptrace.PermExec, Inode: 1, Path: "x"}}
		mods, err := findModules(mem, maps)
		if err != nil {
			return
		}
		for _, m := range mods {
			if m.Start >= m.End || len(m.Loads) == 0 {
				t.Fatalf("module %+v", m)
			}
			if d, err := m.relocated(mem); err == nil && d != nil {
				for _, s := range d.slots {
					_ = d.syms[s.Sym]
				}
			}
			if b, _, err := m.ehFrame(mem); err == nil && len(b) > len(data) {
				t.Fatalf(".eh_frame of %d bytes in %d", len(b), len(data))
			}
		}
	})
}

func TestFindRoom(t *testing.T) {
	const mb = 1 << 20
	m := func(start, end arch.Addr, path string) ptrace.Mapping {
		return ptrace.Mapping{Start: start, End: end, Path: path}
	}
	for _, c := range []struct {
		name  string
		maps  []ptrace.Mapping
		taken []placedRange
		low   arch.Addr
		high  arch.Addr
		want  arch.Addr
		fails bool
	}{
		{name: "below", maps: []ptrace.Mapping{m(1<<40, 1<<40+mb, "x")}, low: 1 << 40, high: 1<<40 + mb, want: 1<<40 - guard - 0x4000},
		{
			name: "below, beside another payload", maps: []ptrace.Mapping{m(1<<40, 1<<40+mb, "x")}, low: 1 << 40, high: 1<<40 + mb,
			taken: []placedRange{{Addr: 1<<40 - guard - 0x4000, Size: 0x4000}}, want: 1<<40 - 2*guard - 2*0x4000,
		},
		{
			name: "not below a stack", maps: []ptrace.Mapping{m(1<<40, 1<<40+mb, "x"), m(1<<40+1<<30, 1<<40+1<<30+mb, "[stack]")},
			low: 1<<40 + 1<<30, high: 1<<40 + 1<<30 + mb, want: 1<<40 - guard - 0x4000,
		},
		{
			name: "above, far from the heap", maps: []ptrace.Mapping{m(lowest, 1<<32, "y"), m(1<<32, 1<<32+mb, "x")},
			low: 1 << 32, high: 1<<32 + mb, want: (1<<32 + arch.Addr(x86.Arch.Jump.Reach) - reachMargin - 0x4000) &^ 0xfff,
		},
		{
			name: "nothing free", maps: []ptrace.Mapping{m(lowest, 1<<32, "y"), m(1<<32, 1<<32+mb, "x"), m(1<<32+mb, 1<<34, "z")},
			low: 1 << 32, high: 1<<32 + mb, fails: true,
		},
		{name: "too large", maps: []ptrace.Mapping{m(1<<40, 1<<41, "x")}, low: 1 << 40, high: 1<<40 + 1<<31, fails: true},
	} {
		got, err := findRoom(x86.Arch, c.maps, c.taken, c.low, c.high, 0x4000, 0x1000)
		if c.fails {
			if !errors.Is(err, patch.ErrRefused) {
				t.Errorf("%s: %#x, %v; want a refusal", c.name, uint64(got), err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %#x, %v; want %#x", c.name, uint64(got), err, uint64(c.want))
		}
	}
}

func TestCoalesce(t *testing.T) {
	w := func(a arch.Addr, old, new string) write { return write{Addr: a, Old: []byte(old), New: []byte(new)} }
	got := coalesce([]write{w(1, "a", "b"), w(9, "x", "y"), w(1, "b", "c"), w(5, "p", "q"), w(5, "q", "p")})
	want := []write{w(1, "a", "c"), w(9, "x", "y")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("coalesced: %+v, want %+v", got, want)
	}
}

func TestBuildID(t *testing.T) {
	note := func(name, desc string, typ uint32, align int) []byte {
		b := order.AppendUint32(nil, uint32(len(name)))
		b = order.AppendUint32(b, uint32(len(desc)))
		b = append(order.AppendUint32(b, typ), name...)
		for len(b)%align != 0 {
			b = append(b, 0)
		}
		b = append(b, desc...)
		for len(b)%align != 0 {
			b = append(b, 0)
		}
		return b
	}
	property := note("GNU\x00", "0123456789abcdef", 5, 8)
	id := note("GNU\x00", "identity", ntGNUBuildID, 4)
	for _, c := range []struct {
		name  string
		notes []byte
		align uint64
		want  string
	}{
		{"one", id, 4, "identity"},
		{"behind another", append(note("abc\x00", "xyz", 9, 4), id...), 4, "identity"},
		{"aligned to 8", append(bytes.Clone(property), note("GNU\x00", "identity", ntGNUBuildID, 8)...), 8, "identity"},
		{"other owner", note("XYZ\x00", "identity", ntGNUBuildID, 4), 4, ""},
		{"cut", id[:len(id)-1], 4, ""},
		{"too long", order.AppendUint32(order.AppendUint32(order.AppendUint32(nil, 4), 1<<31), ntGNUBuildID), 4, ""},
		{"empty", nil, 4, ""},
	} {
		if got := string(buildID(c.notes, c.align)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestLargePages refuses text in hugetlb pages, which the kernel's flags tell.
func TestLargePages(t *testing.T) {
	m := &module{Path: "/bin/x", Start: 0x400000, End: 0x600000}
	maps := []ptrace.Mapping{{Start: 0x400000, End: 0x600000, Perm: ptrace.PermRead | ptrace.PermExec, Path: "/dev/hugepages/x", Inode: 5}}
	for _, c := range []struct {
		flags   string
		refused bool
	}{{"rd ex mr mw me ht", true}, {"rd ex mr mw me hg", false}} {
		err := checkText(m, maps, func(arch.Addr) (string, error) { return c.flags, nil })
		if errors.Is(err, patch.ErrRefused) != c.refused {
			t.Errorf("flags %q: %v", c.flags, err)
		}
	}
}

// TestTextRel refuses a module whose text the dynamic linker has changed.
func TestTextRel(t *testing.T) {
	m := &module{Path: "/lib/x.so", dynamic: elf.Prog64{Memsz: 16}, dyn: &dynamic{textRel: true}}
	pl := &planner{plan: &plan{snap: &snapshot{}}, opt: &Options{}}
	err := pl.planStep(&moduleView{m: m}, &patch.File{Patch: &patch.Patch{}})
	if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), "DT_TEXTREL") {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestCheckPages asks about kernels with larger pages.
func TestCheckPages(t *testing.T) {
	tests := []struct {
		name string
		size int
		want string // part of the refusal; "": none
	}{
		{name: "4 KiB", size: 4 << 10},
		{name: "16 KiB", size: 16 << 10, want: "pages of 16 KiB"},
		{name: "64 KiB", size: 64 << 10, want: "pages of 64 KiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := checkPages(test.size); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

package patch

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// TestLinkAsLd links the file with ld, every section where LayoutOf puts it, and compares the
// bytes with those of Link. What ld places by itself (GOT, PLT, .eh_frame) is left out of the patch.
func TestLinkAsLd(t *testing.T) {
	const base = arch.Addr(0x100000)
	p := samplePatch(t)
	r := func(off uint64, typ elf.R_X86_64, sym int, addend int64) Reloc {
		return Reloc{Off: off, Type: uint32(typ), Sym: sym, Addend: addend}
	}
	p.Symbols[symHandle].Name = "handle.v0" // ld wants one definition of a name
	p.Sections = p.Sections[:5]             // without .eh_frame, and what follows it
	p.Symbols, p.Moves = p.Symbols[:symRing], nil
	p.Sections[0].Relocs = []Reloc{
		r(5, elf.R_X86_64_PLT32, symHandle, -4),
		r(12, elf.R_X86_64_PC32, symState, 12),
		r(19, elf.R_X86_64_PC32, symTable, -4),
		r(26, elf.R_X86_64_32S, symCounter, 4),
		r(31, elf.R_X86_64_PLT32, symHelper, -4),
		r(36, elf.R_X86_64_32, symState, -8),
	}
	p.Sections[2].Relocs[0] = r(0, elf.R_X86_64_PC64, symBody, 24)
	p.Consts = nil // a place-relative word is not for a constant
	f := mustEncode(t, p)
	pl := mustLink(t, f.Patch, base, fixedResolver{imports: map[string][2]arch.Addr{"strtoul": {1, 0}}})

	linked := ldWith(t, f, pl, "", nil)
	compared := 0
	for i, s := range f.Sections {
		if s.Kind == BSS {
			continue
		}
		want, err := linked.Section(s.Name).Data()
		if err != nil {
			t.Fatal(err)
		}
		if got := pl.Section(f.Patch, i); !bytes.Equal(got, want) {
			t.Errorf("%s: % x, ld has % x", s.Name, got, want)
		}
		compared += len(s.Relocs)
	}
	if compared != 9 {
		t.Errorf("%d relocations compared", compared)
	}
}

// ldWith links a patch file with ld, whose name a prefix precedes, every section where the payload has it, and sections that
// ld makes where own says.
func ldWith(t *testing.T, f *File, pl *Payload, prefix string, own map[string]arch.Addr) *elf.File {
	t.Helper()
	dir := t.TempDir()
	object, script, out := filepath.Join(dir, "fix.patch"), filepath.Join(dir, "ld.script"), filepath.Join(dir, "out")
	var lines strings.Builder
	lines.WriteString("SECTIONS {\n")
	for i, s := range f.Sections {
		fmt.Fprintf(&lines, "  %s %#x : { *(%s) }\n", s.Name, uint64(pl.Base)+pl.Layout.Sections[i], s.Name)
	}
	for name, at := range own {
		fmt.Fprintf(&lines, "  %s %#x : { *(%s) }\n", name, uint64(at), name)
	}
	lines.WriteString("  /DISCARD/ : { *(*) }\n}\n")
	for path, content := range map[string][]byte{object: f.Raw, script: []byte(lines.String())} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(prefix+"ld", "-z", "noexecstack", "--no-warn-rwx-segments", "--no-relax", "-e", "handle", "--defsym", "strtoul=1", "-T", script, "-o", out, object)
	if msg, err := cmd.CombinedOutput(); err != nil || len(msg) > 0 {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, msg)
	}
	linked, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { linked.Close() })
	return linked
}

// realSource has what compilers emit for most things: calls, jump tables, tables of strings, variables.
const realSource = `
#include <stdlib.h>
extern int state[]; extern int old(int);
static const char *const names[] = { "a", "b", "c" };
int added(int x) { switch (x) { case 1: return old(7); case 2: return state[x]; case 3: return getenv(names[x % 3]) != 0; case 4: abort(); case 5: return x * 3; } return added(old(x)) + 1; }
int fresh; int limit = 7;
int again(int x) { return added(x + limit) + fresh++; }
`

// TestRealObject carries what a compiler emits: sections, symbols and relocations of an object are
// made a patch, whose disassembly must be that of the object.
func TestRealObject(t *testing.T) {
	dir := t.TempDir()
	src, obj, file := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.o"), filepath.Join(dir, "fix.patch")
	if err := os.WriteFile(src, []byte(realSource), 0o600); err != nil {
		t.Fatal(err)
	}
	cc := exec.Command("gcc", "-O2", "-fPIC", "-ffunction-sections", "-fdata-sections", "-c", src, "-o", obj)
	if msg, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cc.Args, err, msg)
	}
	p := fromObject(t, obj)
	f := mustEncode(t, p)
	if err := os.WriteFile(file, f.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	dump := func(path string) string {
		out, err := exec.Command("objdump", "-dr", "-w", "--no-show-raw-insn", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(out), "Disassembly")
		return body
	}
	if got, want := dump(file), dump(obj); got != want {
		t.Errorf("objdump of the patch:\n%s\nof the object:\n%s", got, want)
	}
	pl, err := Link(f.Patch, testBase, fixedResolver{bias: testBias, imports: map[string][2]arch.Addr{
		"getenv": {0x7fff00001000, 0}, "abort": {0x7fff00002000, 0}, "old": {testBias + 0x1000, 0}, "state": {testBias + 0x2000, 0},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if pl.EHFrameSize == 0 {
		t.Error("no .eh_frame was linked")
	}
	checkCalls(t, f.Patch, pl)
}

// checkCalls decodes the linked text: every call leads into the payload, to a function or a stub.
func checkCalls(t *testing.T, p *Patch, pl *Payload) {
	t.Helper()
	a, err := machines.Lookup(p.Machine)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.Sections {
		if s.Kind != Text {
			continue
		}
		code, calls := pl.Section(p, i), 0
		at := pl.Base + arch.Addr(pl.Layout.Sections[i])
		for off := 0; off < len(code); {
			in, err := a.Decode(code[off:])
			if err != nil {
				t.Fatalf("%s+%#x: %v", s.Name, off, err)
			}
			if in.Flow == arch.FlowCall {
				calls++
				if to := at + arch.Addr(off) + arch.Addr(in.Target); pl.Bytes(to, 1) == nil {
					t.Errorf("%s+%#x: call of %#x, which is not in the payload's text", s.Name, off, to)
				}
			}
			off += in.Len
		}
		if calls == 0 {
			t.Errorf("%s calls nothing", s.Name)
		}
	}
}

// fromObject makes a patch of an object file's sections.
func fromObject(t *testing.T, path string) *Patch {
	t.Helper()
	o, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	p := samplePatch(t)
	p.Sections, p.Symbols, p.Funcs, p.Consts, p.Moves, p.Map, p.Slots, p.Notes, p.Reach = nil, nil, nil, nil, nil, nil, nil, nil, Reach{}
	index := objectSections(t, o, p)
	number := objectSymbols(t, o, p, index)
	for _, s := range o.Sections {
		target, ok := index[elf.SectionIndex(s.Info)]
		if s.Type != elf.SHT_RELA || !ok {
			continue
		}
		b, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		for ; len(b) > 0; b = b[relaSize:] {
			info := o.ByteOrder.Uint64(b[8:])
			p.Sections[target].Relocs = append(p.Sections[target].Relocs, Reloc{
				Off: o.ByteOrder.Uint64(b), Type: elf.R_TYPE64(info), Sym: number[elf.R_SYM64(info)], Addend: int64(o.ByteOrder.Uint64(b[16:])),
			})
		}
	}
	return p
}

// objectSections fills p.Sections and returns their index by the object's.
func objectSections(t *testing.T, o *elf.File, p *Patch) map[elf.SectionIndex]int {
	t.Helper()
	kinds := map[elf.SectionFlag]Kind{
		elf.SHF_ALLOC | elf.SHF_EXECINSTR: Text, elf.SHF_ALLOC: ROData, elf.SHF_ALLOC | elf.SHF_WRITE: Data,
		elf.SHF_ALLOC | elf.SHF_MERGE | elf.SHF_STRINGS: ROData,
	}
	index := map[elf.SectionIndex]int{}
	for i, s := range o.Sections {
		kind, ok := kinds[s.Flags]
		if !ok || s.Size == 0 || strings.HasPrefix(s.Name, ".note") {
			continue
		}
		sec := Section{Name: s.Name, Kind: kind, Align: s.Addralign, Size: s.Size}
		switch {
		case s.Type == elf.SHT_NOBITS:
			sec.Kind = BSS
		case strings.HasPrefix(s.Name, ".data.rel.ro"):
			sec.Kind = ROData
		case s.Name == ehFrameName:
			sec.Kind = EHFrame
		}
		if sec.Kind != BSS {
			var err error
			if sec.Data, err = s.Data(); err != nil {
				t.Fatal(err)
			}
		}
		index[elf.SectionIndex(i)] = len(p.Sections)
		p.Sections = append(p.Sections, sec)
	}
	return index
}

// objectSymbols fills p.Symbols and returns their index by the object's.
func objectSymbols(t *testing.T, o *elf.File, p *Patch, index map[elf.SectionIndex]int) map[uint32]int {
	t.Helper()
	syms, err := o.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	number := map[uint32]int{}
	for i, s := range syms {
		sym := Symbol{
			Name: s.Name, Size: s.Size, Value: s.Value,
			Func: elf.ST_TYPE(s.Info) == elf.STT_FUNC, Local: elf.ST_BIND(s.Info) == elf.STB_LOCAL,
		}
		sec, ok := index[s.Section]
		switch {
		case ok:
			sym.Kind, sym.Section = SymDefined, sec
			if elf.ST_TYPE(s.Info) == elf.STT_SECTION {
				sym.Name = p.Sections[sec].Name
			}
		case s.Section == elf.SHN_UNDEF && s.Name != "":
			sym.Kind = SymImport
		default:
			continue
		}
		number[uint32(i+1)] = len(p.Symbols)
		p.Symbols = append(p.Symbols, sym)
	}
	return number
}

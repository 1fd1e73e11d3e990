package patch

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/arch"
)

// relocatedA64 has every relocation type that a patch for arm64 can have and that gas makes.
const relocatedA64 = `
	.section .text.handle, "ax"
	.globl handle
	.type handle, %function
handle:
	bl helper
	b old
	b.ne helper
	cbz x0, helper
	tbz x0, #3, helper
	adr x1, helper
	ldr x2, table
	adrp x0, state + 8
	add x0, x0, :lo12:state + 8
	adrp x0, :pg_hi21_nc:table
	ldrb w3, [x0, :lo12:table + 1]
	strh w3, [x0, :lo12:table + 2]
	ldrsw x3, [x0, :lo12:table + 4]
	str x3, [x0, :lo12:table + 8]
	prfm pldl1keep, [x0, :lo12:table + 8]
	ldr q3, [x0, :lo12:table + 16]
	str s3, [x0, :lo12:counter + 4]
	movz x4, #:abs_g3:state
	movk x4, #:abs_g2_nc:state
	movk x4, #:abs_g1_nc:state
	movk x4, #:abs_g0_nc:state
	movz x5, #:abs_g1:state
	movz x5, #:abs_g2:state
	movn x5, #:abs_g1_s:state
	movn x5, #:abs_g2_s:state
	adrp x4, :got:state
	ldr x4, [x4, :got_lo12:state]
	ret
	.size handle, . - handle
	.section .text.helper, "ax"
	.globl helper
	.type helper, %function
helper:
	ret
	.size helper, . - helper
	.section .rodata.table, "a"
	.balign 16
	.globl table
	.type table, %object
table:
	.xword state + 8
	.word helper - .
	.word state
	.xword helper - .
	.xword table - . + 8
	.size table, . - table
	.section .bss.counter, "aw", %nobits
	.balign 16
	.globl counter
	.type counter, %object
counter:
	.zero 64
	.size counter, 64
`

// imageSymbols makes symbols of another module symbols of the running image.
func imageSymbols(p *Patch, at map[string]arch.ImageAddr) {
	for i := range p.Symbols {
		if s := &p.Symbols[i]; s.Kind == SymImport && at[s.Name] != 0 {
			s.Kind, s.Value, s.Size = SymImage, uint64(at[s.Name]), 16
		}
	}
}

// assembleA64 assembles or compiles a source for arm64.
func assembleA64(t *testing.T, name, source string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, obj := filepath.Join(dir, name), filepath.Join(dir, "a.o")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cc := exec.Command("aarch64-linux-gnu-gcc", append(args, "-c", src, "-o", obj)...)
	if msg, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cc.Args, err, msg)
	}
	return obj
}

// TestLinkAsLdArm64 is TestLinkAsLd for arm64. ld puts the one GOT slot that it makes where Link has it.
func TestLinkAsLdArm64(t *testing.T) {
	const base, state = arch.Addr(0x100000), arch.ImageAddr(0x4120)
	p := fromObject(t, assembleA64(t, "a.s", relocatedA64))
	p.Machine = elf.EM_AARCH64
	imageSymbols(p, map[string]arch.ImageAddr{"state": state, "old": 0x2000})
	f := mustEncode(t, p)
	pl := mustLink(t, f.Patch, base, fixedResolver{})
	if len(pl.Slots) != 1 || pl.Slots[0].Value != arch.Addr(state) {
		t.Fatalf("slots: %+v", pl.Slots)
	}
	const reserved = 8 // bytes of .got in front of ld's first slot
	linked := ldWith(t, f, pl, toolA64, map[string]arch.Addr{".got": pl.Slots[0].Addr - reserved, ".got.plt": base + 0x100000})
	types := make(map[uint32]bool)
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
		for _, r := range s.Relocs {
			types[r.Type] = true
		}
	}
	if got, err := linked.Section(".got").Data(); err != nil || len(got) != reserved+8 || got[reserved] != byte(state&0xff) {
		t.Errorf("ld's slots: % x, %v", got, err)
	}
	if len(types) != 28 {
		t.Errorf("%d types of relocations compared", len(types))
	}
}

// TestRealObjectArm64 is TestRealObject for arm64.
func TestRealObjectArm64(t *testing.T) {
	obj := assembleA64(t, "a.c", realSource, "-O2", "-fPIC", "-ffunction-sections", "-fdata-sections")
	p := fromObject(t, obj)
	p.Machine = elf.EM_AARCH64
	f := mustEncode(t, p)
	file := filepath.Join(t.TempDir(), "fix.patch")
	if err := os.WriteFile(file, f.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	dump := func(path string) string {
		out, err := exec.Command(toolA64+"objdump", "-dr", "-w", "--no-show-raw-insn", path).CombinedOutput()
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
	out, err := exec.Command(toolA64+"readelf", "-aW", file).CombinedOutput()
	if err != nil || strings.Contains(strings.ToLower(string(out)), "warning") {
		t.Errorf("readelf: %v\n%s", err, out)
	}
}

// toolA64 begins the names of the binutils for arm64.
const toolA64 = "aarch64-linux-gnu-"

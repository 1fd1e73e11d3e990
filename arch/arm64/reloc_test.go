package arm64

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hotpatch/arch"
)

// relocSource has relocations of every kind but those of thread-local variables in other modules.
const relocSource = `
	.globl _start, near, words, here
_start:
	bl near
	b near
	b.ne near
	cbnz x0, near
	tbz x0, #3, near
	adr x1, near
	ldr x2, words
	adrp x0, here + 8
	adrp x0, :pg_hi21_nc:here
	add x0, x0, :lo12:here + 8
	ldrb w3, [x0, :lo12:here + 1]
	strh w3, [x0, :lo12:here + 2]
	ldr w3, [x0, :lo12:here + 4]
	ldr x3, [x0, :lo12:here + 8]
	prfm pldl1keep, [x0, :lo12:here + 8]
	str q3, [x0, :lo12:here]
	adrp x4, :got:here
	ldr x4, [x4, :got_lo12:here]
	ldr x4, :got:here
	movz x5, #:abs_g0:small
	movk x5, #:abs_g0_nc:here
	movz x5, #:abs_g1:here
	movk x5, #:abs_g1_nc:here
	movz x5, #:abs_g2:here
	movk x5, #:abs_g2_nc:here
	movz x5, #:abs_g3:here
	movz x5, #:abs_g0_s:minus
	movz x5, #:abs_g1_s:minus
	movz x5, #:abs_g2_s:here
	movz x6, #:tprel_g2:local
	movz x6, #:tprel_g1:local
	movk x6, #:tprel_g1_nc:local
	movz x6, #:tprel_g0:local
	movk x6, #:tprel_g0_nc:local
	add x6, x6, #:tprel_hi12:local
	add x6, x6, #:tprel_lo12:local
	add x6, x6, #:tprel_lo12_nc:local
	ldrb w7, [x6, #:tprel_lo12:local]
	ldrb w7, [x6, #:tprel_lo12_nc:local]
	strh w7, [x6, #:tprel_lo12:local]
	strh w7, [x6, #:tprel_lo12_nc:local]
	ldr w7, [x6, #:tprel_lo12:local]
	ldr w7, [x6, #:tprel_lo12_nc:local]
	ldr x7, [x6, #:tprel_lo12:local]
	ldr x7, [x6, #:tprel_lo12_nc:local]
	add x2, x2, #:dtprel_hi12:local, lsl #12
	add x2, x2, #:dtprel_lo12_nc:local
	add x2, x2, #:dtprel_lo12:local
	.space 0x4000
near:	ret
	.balign 8
words:	.xword here + 1
	.xword here - .
	.word here - .
	.word here
	.hword close - .
	.hword small
	.data
	.balign 16
	.space 0x12340
here:	.space 64
	.section .tdata, "awT"
	.globl local
	.space 0x120
local:	.xword 0
`

// tlsSource reaches thread-local variables in ways that linkers keep in shared objects.
const tlsSource = `
	.globl _start
_start:
	adrp x1, :gottprel:first
	ldr x1, [x1, :gottprel_lo12:first]
	adrp x0, :tlsgd:second
	add x0, x0, :tlsgd_lo12:second
	adrp x0, :tlsdesc:third
	ldr x1, [x0, :tlsdesc_lo12:third]
	add x0, x0, :tlsdesc_lo12:third
	.tlsdesccall third
	blr x1
`

// linkedReloc is a relocation that --emit-relocs kept.
type linkedReloc struct {
	off    uint64 // in .text
	typ    uint32
	value  int64  // S + A
	symbol string // its name
}

// linkedText is .text as assembled and as linked.
type linkedText struct {
	before, after []byte
	addr          uint64
	relocs        []linkedReloc
	file          *elf.File
}

// linkText assembles and links a source.
func linkText(t *testing.T, source string, args ...string) *linkedText {
	t.Helper()
	dir := t.TempDir()
	src, obj, out := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o"), filepath.Join(dir, "a")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"as", src, "-o", obj}, append([]string{"ld", "-q", "--no-relax", obj, "-o", out}, args...)} {
		if msg, err := exec.Command("aarch64-linux-gnu-"+args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, msg)
		}
	}
	f, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	l := &linkedText{before: sectionData(t, obj, ".text"), after: sectionData(t, out, ".text"), addr: f.Section(".text").Addr, file: f}
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for b := sectionData(t, out, ".rela.text"); len(b) > 0; b = b[24:] {
		info := binary.LittleEndian.Uint64(b[8:])
		sym := &syms[info>>32-1]
		l.relocs = append(l.relocs, linkedReloc{off: binary.LittleEndian.Uint64(b) - l.addr, typ: uint32(info), symbol: sym.Name,
			value: int64(sym.Value) + int64(binary.LittleEndian.Uint64(b[16:]))})
	}
	return l
}

// slotOf returns the address of the GOT slot that holds v.
func (l *linkedText) slotOf(t *testing.T, v int64) int64 {
	t.Helper()
	got := l.file.Section(".got")
	data, err := got.Data()
	if err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(data); off += 8 {
		if int64(binary.LittleEndian.Uint64(data[off:])) == v {
			return int64(got.Addr) + int64(off)
		}
	}
	t.Fatalf("no slot holds %#x", v)
	return 0
}

// tlsSlot returns the address of the slot that a relocation of the dynamic linker fills.
func (l *linkedText) tlsSlot(t *testing.T, typ elf.R_AARCH64) int64 {
	t.Helper()
	for _, s := range l.file.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		for ; len(data) > 0; data = data[24:] {
			if elf.R_AARCH64(binary.LittleEndian.Uint32(data[8:])) == typ {
				return int64(binary.LittleEndian.Uint64(data))
			}
		}
	}
	t.Fatalf("no %v", typ)
	return 0
}

// storedIn maps relocation types to the dynamic one that fills the slot that they lead to.
var storedIn = map[elf.R_AARCH64]elf.R_AARCH64{
	elf.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21: elf.R_AARCH64_TLS_TPREL64, elf.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: elf.R_AARCH64_TLS_TPREL64,
	elf.R_AARCH64_TLSGD_ADR_PAGE21: elf.R_AARCH64_TLS_DTPMOD64, elf.R_AARCH64_TLSGD_ADD_LO12_NC: elf.R_AARCH64_TLS_DTPMOD64,
	elf.R_AARCH64_TLSDESC_ADR_PAGE21: elf.R_AARCH64_TLSDESC, elf.R_AARCH64_TLSDESC_LD64_LO12_NC: elf.R_AARCH64_TLSDESC,
	elf.R_AARCH64_TLSDESC_ADD_LO12_NC: elf.R_AARCH64_TLSDESC,
}

// value computes what a relocation stores.
func (l *linkedText) value(t *testing.T, r *linkedReloc) int64 {
	t.Helper()
	p := int64(l.addr + r.off)
	const tcb = 16 // bytes between the thread pointer and the program's own variables (aaelf64, "TLS")
	switch kind := relocs[r.typ].Kind; kind {
	case arch.RelocAbs:
		return r.value
	case arch.RelocPC, arch.RelocPLT:
		return r.value - p
	case arch.RelocPage:
		return r.value&^0xfff - p&^0xfff
	case arch.RelocGOTPage:
		return l.slotOf(t, r.value)&^0xfff - p&^0xfff
	case arch.RelocGOTAbs:
		return l.slotOf(t, r.value)
	case arch.RelocGOTPC:
		return l.slotOf(t, r.value) - p
	case arch.RelocTP:
		return r.value + tcb
	case arch.RelocDTP:
		return r.value
	case arch.RelocTLSPage:
		return l.tlsSlot(t, storedIn[elf.R_AARCH64(r.typ)])&^0xfff - p&^0xfff
	case arch.RelocTLSAbs:
		return l.tlsSlot(t, storedIn[elf.R_AARCH64(r.typ)])
	}
	return 0
}

// TestRelocsAsLd: the assembler's bytes with every relocation applied are ld's.
func TestRelocsAsLd(t *testing.T) {
	seen := make(map[uint32]bool)
	for _, test := range []struct {
		name, source string
		args         []string
	}{
		{name: "program", source: relocSource, args: []string{"--defsym", "small=0x1234", "--defsym", "minus=-2", "--defsym", "close=words+0x100"}},
		{name: "shared object", source: tlsSource, args: []string{"-shared"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := linkText(t, test.source, test.args...)
			for i := range l.relocs {
				r := &l.relocs[i]
				d, ok := relocs[r.typ]
				if !ok {
					t.Fatalf("%v is not known", elf.R_AARCH64(r.typ))
				}
				seen[r.typ] = true
				v := l.value(t, r)
				field := l.before[r.off:][:d.Size]
				if err := d.Put(field, v); err != nil {
					t.Errorf("%s of %s, %#x: %v", d.Name, r.symbol, v, err)
				}
				if want := l.after[r.off:][:d.Size]; !bytes.Equal(field, want) {
					t.Errorf("%s of %s, %#x: % x, ld has % x", d.Name, r.symbol, v, field, want)
				}
			}
			if !bytes.Equal(l.before, l.after) {
				t.Error("the rest differs")
			}
		})
	}
	for typ, d := range relocs {
		switch {
		case d.Name == "" || d.Type != typ || d.Put == nil:
			t.Errorf("type %d: %+v", typ, d)
		case !seen[typ] && !untested[typ]:
			t.Errorf("%s was not compared with ld", d.Name)
		}
	}
}

// untested are types that gas 2.40 does not make: TestPutErrors has those that store something.
var untested = map[uint32]bool{
	0: true, uint32(elf.R_AARCH64_NULL): true,
	314: true, // R_AARCH64_PLT32
	570: true, // R_AARCH64_TLSLE_LDST128_TPREL_LO12
	571: true, // R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC
}

package cfi

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// oracle is an architecture, with the files whose call frame information is compared with what readelf says.
type oracle struct {
	arch    *arch.Arch
	readelf string
	root    string   // where the files are
	files   []string // globs: the host's directories have the name of its multiarch tuple
}

// oracles returns the host's libraries, and Debian's arm64 ones, which scripts/guest has unpacked.
func oracles(t testing.TB) []oracle {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return []oracle{
		{arch: amd64, readelf: "readelf", root: "/", files: []string{
			"lib*/*/libc.so.6", "lib*/*/libm.so.6", "usr/lib*/*/libstdc++.so.6", "usr/lib*/*/libcrypto.so.*", "lib64/ld-linux-x86-64.so.2"}},
		{arch: arm64, readelf: "aarch64-linux-gnu-readelf", root: filepath.Join(cache, "hotpatch", "guest", "root"), files: []string{
			"lib/*/libc.so.6", "lib/*/libm.so.6", "usr/lib/*/libstdc++.so.6", "usr/lib/*/libcrypto.so.3", "lib/*/ld-linux-aarch64.so.1",
			"usr/bin/redis-check-rdb", "usr/bin/memcached"}},
	}
}

// find returns the file that a glob matches.
func (o *oracle) find(t testing.TB, glob string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(o.root, glob))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file matches %s in %s (%v); scripts/setup and scripts/guest setup fetch what the tests need", glob, o.root, err)
	}
	return paths[0]
}

// load parses the .eh_frame of the ELF file at path.
func load(t testing.TB, a *arch.Arch, path string) *Table {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(".eh_frame")
	if s == nil {
		t.Fatalf("%s has no .eh_frame", path)
	}
	data, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Parse(a, data, arch.ImageAddr(s.Addr), f.ByteOrder)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return table
}

// TestRowsAgainstReadelf compares every row of every FDE of the system's libraries.
func TestRowsAgainstReadelf(t *testing.T) {
	for _, o := range oracles(t) {
		for _, glob := range o.files {
			t.Run(o.arch.Name+" "+filepath.Base(glob), func(t *testing.T) {
				t.Parallel()
				o.compare(t, o.find(t, glob))
			})
		}
	}
}

// dumpFDE is an FDE as readelf prints it.
type dumpFDE struct {
	start, end arch.ImageAddr
	columns    []string // "ra", "rbx", ...
	rows       []dumpRow
}

type dumpRow struct {
	loc   arch.ImageAddr
	cfa   string
	rules []string // by column
}

// aka matches the second name that readelf gives for the register of a register rule.
var aka = regexp.MustCompile(` \([a-z0-9]+\)`)

// dump runs readelf and calls fn for every FDE.
func (o *oracle) dump(t *testing.T, path string, fn func(*dumpFDE)) {
	t.Helper()
	out, err := exec.Command(o.readelf, "--debug-dump=frames-interp,no-follow-links", path).Output()
	if err != nil {
		t.Fatalf("readelf: %v (scripts/setup installs what the tests need)", err)
	}
	var cur *dumpFDE
	flush := func() {
		if cur != nil {
			fn(cur)
		}
		cur = nil
	}
	sc := bufio.NewScanner(bytes.NewReader(out))
	for sc.Scan() {
		f := strings.Fields(aka.ReplaceAllString(sc.Text(), ""))
		switch {
		case len(f) >= 4 && f[3] == "CIE":
			flush()
		case len(f) == 6 && f[3] == "FDE":
			flush()
			from, to, ok := strings.Cut(strings.TrimPrefix(f[5], "pc="), "..")
			if !ok {
				t.Fatalf("readelf line not understood: %q", sc.Text())
			}
			cur = &dumpFDE{start: hex(t, from), end: hex(t, to)}
		case cur != nil && len(f) >= 2 && f[0] == "LOC":
			cur.columns = f[2:] // not nil, though there may be none
		case cur != nil && cur.columns != nil && len(f) == 2+len(cur.columns):
			row := dumpRow{loc: hex(t, f[0]), cfa: f[1], rules: f[2:]}
			if n := len(cur.rows); n > 0 && cur.rows[n-1].loc == row.loc {
				cur.rows = cur.rows[:n-1] // readelf prints a row at each advance, be it by zero
			}
			cur.rows = append(cur.rows, row)
		case cur != nil && len(f) > 0 && f[1] != "ZERO":
			t.Fatalf("readelf line not understood: %q", sc.Text())
		}
	}
	flush()
}

func hex(t *testing.T, s string) arch.ImageAddr {
	t.Helper()
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return arch.ImageAddr(v)
}

func (o *oracle) compare(t *testing.T, path string) {
	table := load(t, o.arch, path)
	fdes, rows := 0, 0
	o.dump(t, path, func(d *dumpFDE) {
		if d.start == d.end {
			return
		}
		fdes++
		f := table.Find(d.start)
		if f == nil || f.Start != d.start || f.End != d.end {
			t.Fatalf("Find(%#x) = %+v, readelf has an FDE %#x..%#x", d.start, f, d.start, d.end)
		}
		if len(d.rows) == 0 {
			// readelf prints nothing for a program of nops: the CIE's row holds throughout.
			row, err := f.Row(f.Start)
			if err != nil || row.CFA != f.CIE.initial.CFA || row.Regs != f.CIE.initial.Regs || row.End != f.End {
				t.Errorf("row %#x = %+v, %v; want the CIE's to the end", f.Start, row, err)
			}
			return
		}
		for i := range d.rows {
			end := d.end
			if i+1 < len(d.rows) {
				end = d.rows[i+1].loc
			}
			rows++
			o.compareRow(t, f, d, &d.rows[i], end)
		}
	})
	if fdes != len(table.FDEs()) {
		t.Errorf("Parse found %d FDEs, readelf %d", len(table.FDEs()), fdes)
	}
	if rows < 100 {
		t.Errorf("only %d rows were compared", rows)
	}
	t.Logf("%s: %d FDEs, %d rows", path, fdes, rows)
}

// compareRow compares the row that holds for [want.loc, end).
func (o *oracle) compareRow(t *testing.T, f *FDE, d *dumpFDE, want *dumpRow, end arch.ImageAddr) {
	t.Helper()
	for _, pc := range []arch.ImageAddr{want.loc, end - 1} {
		row, err := f.Row(pc)
		if err != nil {
			t.Errorf("row %#x: %v", pc, err)
			return
		}
		if row.Start != want.loc || row.End != end {
			t.Errorf("row %#x holds for %#x..%#x, readelf has %#x..%#x", pc, row.Start, row.End, want.loc, end)
		}
		if got := o.format(&row.CFA, true); got != want.cfa {
			t.Errorf("row %#x: CFA %s, readelf has %s", pc, got, want.cfa)
		}
		for n, name := range o.arch.DWARF.Names {
			column := name
			if n == o.arch.DWARF.RA {
				column = "ra"
			}
			expect := "u"
			if i := slices.Index(d.columns, column); i >= 0 {
				expect = want.rules[i]
			}
			if got := o.format(&row.Regs[n], false); got != expect {
				t.Errorf("row %#x: %s is %s, readelf has %s", pc, name, got, expect)
			}
		}
	}
}

// format spells a rule as readelf does, for which an unspecified rule is an undefined one.
func (o *oracle) format(r *Rule, cfa bool) string {
	switch r.Kind {
	case RuleNone, RuleUndefined:
		return "u"
	case RuleSameValue:
		return "s"
	case RuleOffset:
		return fmt.Sprintf("c%+d", r.Off)
	case RuleValOffset:
		return fmt.Sprintf("v%+d", r.Off)
	case RuleRegister:
		if cfa {
			return fmt.Sprintf("%s%+d", o.arch.DWARF.Names[r.Reg], r.Off)
		}
		return fmt.Sprintf("r%d", r.Reg)
	case RuleExpr:
		return "exp"
	case RuleValExpr:
		return "vexp"
	}
	return fmt.Sprintf("kind %d", r.Kind)
}

// Words of A64 that sign and authenticate the return address (Arm ARM, C6.2, PACIASP, AUTIASP, RETAA and those with the B key).
const (
	paciasp, pacibsp = 0xd503233f, 0xd503237f
	autiasp, autibsp = 0xd50323bf, 0xd50323ff
	retaa, retab     = 0xd65f0bff, 0xd65f0fff
	plainRet         = 0xd65f03c0
)

// TestSignStateAgainstCode compares RA_SIGN_STATE, which readelf does not show, with the instructions that sign and authenticate.
func TestSignStateAgainstCode(t *testing.T) {
	for _, tt := range []struct {
		name, cc string
		flags    []string
		bKey     bool
		entries  bool // what it says holds up to the end of the prologue, and not at returns: clang before 15
	}{
		{name: "gcc", cc: "aarch64-linux-gnu-gcc", flags: []string{"-O2", "-mbranch-protection=standard"}},
		{name: "gcc, all functions, new instructions", cc: "aarch64-linux-gnu-gcc", flags: []string{"-O1", "-march=armv8.3-a", "-mbranch-protection=pac-ret+leaf"}},
		{name: "gcc, B key", cc: "aarch64-linux-gnu-gcc", flags: []string{"-O2", "-mbranch-protection=pac-ret+b-key"}, bKey: true},
		{name: "clang", cc: "clang", flags: []string{"--target=aarch64-linux-gnu", "-O2", "-mbranch-protection=standard", "-Wno-unknown-attributes"}, entries: true},
		{name: "clang, B key", cc: "clang", flags: []string{"--target=aarch64-linux-gnu", "-O1", "-mbranch-protection=pac-ret+b-key", "-Wno-unknown-attributes"}, bKey: true, entries: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := victim.Build(t, tt.cc, []string{"unwind/calls.c"}, tt.flags...)
			text, addr := readText(t, path)
			signed, keys := 0, 0
			for _, f := range load(t, arm64, path).FDEs() {
				if f.Start < addr || uint64(f.End-addr) > uint64(len(text)) {
					t.Fatalf("FDE %#x..%#x is outside of .text", f.Start, f.End)
				}
				if f.CIE.BKey {
					keys++
				}
				for pc := f.Start; pc < f.End; pc += 4 {
					if w := binary.LittleEndian.Uint32(text[pc-addr:]); !tt.entries || w == paciasp || w == pacibsp {
						signed += checkSign(t, f, pc, w)
					}
				}
			}
			if signed < 8 || (keys > 0) != tt.bKey {
				t.Errorf("%d instructions that sign or authenticate, %d FDEs with the B key", signed, keys)
			}
		})
	}
}

// readText returns the section .text of an ELF file and its address.
func readText(t *testing.T, path string) ([]byte, arch.ImageAddr) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(".text")
	data, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	return data, arch.ImageAddr(s.Addr)
}

// checkSign compares the sign state at and behind the instruction w at pc with what it does; it returns 1 if the instruction has to do with it.
func checkSign(t *testing.T, f *FDE, pc arch.ImageAddr, w uint32) int {
	t.Helper()
	state := func(pc arch.ImageAddr) uint8 {
		row, err := f.Row(pc)
		if err != nil {
			t.Fatal(err)
		}
		return row.RASign
	}
	before, after := uint8(0), uint8(0)
	switch w {
	case paciasp, pacibsp:
		after = RASigned
	case autiasp, autibsp:
		before = RASigned
	case retaa, retab:
		before = RASigned
		if got := state(pc); got != before {
			t.Errorf("RA_SIGN_STATE at %#x (%08x) is %d, want %d", pc, w, got, before)
		}
		return 1
	case plainRet:
		if got := state(pc); got != 0 {
			t.Errorf("RA_SIGN_STATE at %#x (ret) is %d", pc, got)
		}
		return 0
	default:
		return 0
	}
	if got, next := state(pc), state(pc+4); got != before || next != after {
		t.Errorf("RA_SIGN_STATE at %#x (%08x) is %d, behind it %d; want %d and %d", pc, w, got, next, before, after)
	}
	return 1
}

func BenchmarkParse(b *testing.B) {
	for _, o := range oracles(b) {
		b.Run(o.arch.Name, func(b *testing.B) {
			t := load(b, o.arch, o.find(b, "usr/lib*/*/libcrypto.so.*"))
			b.SetBytes(int64(len(t.sec.data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(o.arch, t.sec.data, t.sec.addr, t.sec.order); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRow(b *testing.B) {
	for _, o := range oracles(b) {
		b.Run(o.arch.Name, func(b *testing.B) {
			t := load(b, o.arch, o.find(b, "lib*/*/libc.so.6"))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f := t.FDEs()[i%len(t.FDEs())]
				if _, err := f.Row(f.End - 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

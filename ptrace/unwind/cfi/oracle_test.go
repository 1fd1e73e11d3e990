package cfi

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hotpatch/arch"
)

// systemFiles are read by the oracle tests. Globs, because the directory has the
// name of the host's multiarch tuple.
var systemFiles = []string{
	"/lib*/*/libc.so.6",
	"/lib*/*/libm.so.6",
	"/usr/lib*/*/libstdc++.so.6",
	"/usr/lib*/*/libcrypto.so.*",
	"/lib64/ld-linux-x86-64.so.2",
}

// load parses the .eh_frame of the ELF file at path.
func load(t testing.TB, path string) *Table {
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
	table, err := Parse(amd64, data, arch.ImageAddr(s.Addr), f.ByteOrder)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return table
}

// TestRowsAgainstReadelf compares every row of every FDE of the system's libraries.
func TestRowsAgainstReadelf(t *testing.T) {
	for _, pattern := range systemFiles {
		t.Run(filepath.Base(pattern), func(t *testing.T) {
			t.Parallel()
			paths, err := filepath.Glob(pattern)
			if err != nil || len(paths) == 0 {
				t.Fatalf("no file matches %s (%v); scripts/test installs what the tests need", pattern, err)
			}
			compareWithReadelf(t, paths[0])
		})
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

// dumpFrames runs readelf and calls fn for every FDE.
func dumpFrames(t *testing.T, path string, fn func(*dumpFDE)) {
	t.Helper()
	out, err := exec.Command("readelf", "--debug-dump=frames-interp,no-follow-links", path).Output()
	if err != nil {
		t.Fatalf("readelf: %v (scripts/test installs what the tests need)", err)
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
			cur.columns = f[2:]
		case cur != nil && len(f) == 2+len(cur.columns) && len(f) > 2:
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

func compareWithReadelf(t *testing.T, path string) {
	table := load(t, path)
	fdes, rows := 0, 0
	dumpFrames(t, path, func(d *dumpFDE) {
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
			compareRow(t, f, d, &d.rows[i], end)
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
func compareRow(t *testing.T, f *FDE, d *dumpFDE, want *dumpRow, end arch.ImageAddr) {
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
		if got := format(&row.CFA, true); got != want.cfa {
			t.Errorf("row %#x: CFA %s, readelf has %s", pc, got, want.cfa)
		}
		for n := range amd64.DWARF.Names {
			expect := "u"
			if i := slices.Index(d.columns, amd64.DWARF.Names[n]); i >= 0 {
				expect = want.rules[i]
			}
			if got := format(&row.Regs[n], false); got != expect {
				t.Errorf("row %#x: %s is %s, readelf has %s", pc, amd64.DWARF.Names[n], got, expect)
			}
		}
	}
}

// format spells a rule as readelf does, for which an unspecified rule is an undefined one.
func format(r *Rule, cfa bool) string {
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
			return fmt.Sprintf("%s%+d", amd64.DWARF.Names[r.Reg], r.Off)
		}
		return fmt.Sprintf("r%d", r.Reg)
	case RuleExpr:
		return "exp"
	case RuleValExpr:
		return "vexp"
	}
	return fmt.Sprintf("kind %d", r.Kind)
}

func BenchmarkParse(b *testing.B) {
	paths, _ := filepath.Glob("/usr/lib*/*/libcrypto.so.*")
	if len(paths) == 0 {
		b.Fatal("no libcrypto")
	}
	t := load(b, paths[0])
	b.SetBytes(int64(len(t.sec.data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(amd64, t.sec.data, t.sec.addr, t.sec.order); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	paths, _ := filepath.Glob("/lib*/*/libc.so.6")
	if len(paths) == 0 {
		b.Fatal("no libc")
	}
	t := load(b, paths[0])
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f := t.FDEs()[i%len(t.FDEs())]
		if _, err := f.Row(f.End - 1); err != nil {
			b.Fatal(err)
		}
	}
}

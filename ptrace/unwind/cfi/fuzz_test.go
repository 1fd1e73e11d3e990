package cfi

import (
	"encoding/binary"
	"errors"
	"testing"

	"hotpatch/arch"
)

// anyMemory answers every read, with the address as content.
type anyMemory struct{}

func (anyMemory) ReadMem(buf []byte, addr arch.Addr) error {
	for i := range buf {
		buf[i] = byte(addr >> (8 * (uint(i) % 8)))
	}
	return nil
}

// FuzzParse checks, for any bytes, that there is a table or an error and not both, that
// errors have a place, and that everything that a table offers can be evaluated.
func FuzzParse(f *testing.F) {
	for _, s := range sampleSections {
		f.Add(s.data)
	}
	var regs Regs
	for n := range NumMax {
		regs.Set(n, uint64(n)<<12)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, a := range []*arch.Arch{amd64, arm64} {
			table, err := Parse(a, data, 0x1000, binary.LittleEndian)
			if (table != nil) != (err == nil) {
				t.Fatalf("Parse = %v, %v", table, err)
			}
			if err != nil {
				checkFormatError(t, err, data)
				continue
			}
			for i, fde := range table.FDEs() {
				if i == 16 {
					break
				}
				checkFDE(t, table, fde, &regs, data)
			}
		}
	})
}

// checkFDE evaluates an FDE of a fuzzed section at some places.
func checkFDE(t *testing.T, table *Table, fde *FDE, regs *Regs, data []byte) {
	t.Helper()
	if len(fde.Bytes()) < 8 || len(fde.CIE.Bytes()) < 8 {
		t.Fatalf("record of FDE %#x is too short", fde.Off)
	}
	if fields, err := fde.PtrFields(); err != nil {
		checkFormatError(t, err, data)
	} else {
		for _, p := range fields {
			if p.Size <= 0 || p.Off+uint64(p.Size) > fde.Len {
				t.Fatalf("FDE %#x: field %+v is outside of the record", fde.Off, p)
			}
		}
	}
	if found := table.Find(fde.Start); found != nil && (fde.Start < found.Start || fde.Start >= found.End) {
		t.Fatalf("Find(%#x) covers %#x..%#x", fde.Start, found.Start, found.End)
	}
	for _, pc := range []arch.ImageAddr{fde.Start, fde.Start + (fde.End-fde.Start)/2, fde.End - 1} {
		row, err := fde.Row(pc)
		if err != nil {
			checkFormatError(t, err, data)
			continue
		}
		if pc < row.Start || pc >= row.End || row.CFA.Kind != RuleRegister && row.CFA.Kind != RuleExpr {
			t.Fatalf("row for %#x: %+v", pc, row)
		}
		caller, _, err := row.Step(regs, anyMemory{})
		if _, known := caller.Get(fde.CIE.table.sec.arch.DWARF.PCReg()); known != (err == nil) {
			t.Fatalf("Step at %#x: pc known %v, error %v", pc, known, err)
		}
	}
}

// checkFormatError fails unless err names a place within data.
func checkFormatError(t *testing.T, err error, data []byte) {
	t.Helper()
	var fe *FormatError
	if !errors.As(err, &fe) || fe.Off > uint64(len(data)) || fe.Msg == "" {
		t.Fatalf("error %#v does not say where", err)
	}
}

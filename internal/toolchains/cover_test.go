package toolchains

import (
	"debug/elf"
	"slices"
	"testing"
)

// maxRows is how many combinations the full run may take: each is linked three times, and that 150 times in all.
const maxRows = 50

// Every pair of values occurs in some row, or no row without an exclusion can have it.
func TestCover(t *testing.T) {
	axes, exclusions := Axes(elf.EM_X86_64), Exclusions(elf.EM_X86_64)
	for seed := range uint64(3) {
		rows, pairs := Cover(axes, exclusions, seed)
		if len(rows) > maxRows {
			t.Errorf("seed %d: %d rows, more than %d", seed, len(rows), maxRows)
		}
		t.Logf("seed %d: %d pairs in %d rows", seed, pairs, len(rows))
		seen := make(map[pair]bool)
		for _, r := range rows {
			for _, e := range exclusions {
				if excluded(axes, r, e) {
					t.Errorf("seed %d: %s is built, and cannot be: %s", seed, r.Name(axes), e.Why)
				}
			}
			for i := range r {
				for j := i + 1; j < len(r); j++ {
					seen[pair{i, r[i], j, r[j]}] = true
				}
			}
		}
		if len(seen) != pairs {
			t.Errorf("seed %d: %d pairs occur, %d are possible", seed, len(seen), pairs)
		}
		impossible := 0
		for i := range axes {
			for j := i + 1; j < len(axes); j++ {
				for v := range axes[i].Values {
					for w := range axes[j].Values {
						if !seen[pair{i, v, j, w}] {
							impossible++
						}
					}
				}
			}
		}
		// Those that the table names as pairs, and nothing that only follows from several rules.
		named := 0
		for _, e := range exclusions {
			if len(e.Values) == 2 {
				named++
			}
		}
		if impossible != named {
			t.Errorf("seed %d: %d pairs do not occur, the table of exclusions has %d", seed, impossible, named)
		}
	}
}

// excluded says whether an exclusion holds for a row, by the names of its values.
func excluded(axes []Axis, r Row, e Exclusion) bool {
	n := 0
	for i, a := range axes {
		if e.Values[a.Name] == a.Values[r[i]].Name {
			n++
		}
	}
	return n == len(e.Values)
}

func TestCoverIsRepeatable(t *testing.T) {
	a, _ := Cover(Axes(elf.EM_X86_64), Exclusions(elf.EM_X86_64), 7)
	b, _ := Cover(Axes(elf.EM_X86_64), Exclusions(elf.EM_X86_64), 7)
	if !slices.EqualFunc(a, b, func(x, y Row) bool { return slices.Equal(x, y) }) {
		t.Error("the same seed gives two arrays")
	}
}

// A value that an axis lost, because its tool is not there, leaves an array of the others.
func TestCoverWithoutAValue(t *testing.T) {
	axes := Axes(elf.EM_X86_64)
	for i := range axes {
		if axes[i].Name == axisLinker {
			axes[i].Values = slices.DeleteFunc(axes[i].Values, func(v Value) bool { return v.Name == "bfd" })
		}
	}
	rows, _ := Cover(axes, Exclusions(elf.EM_X86_64), 1)
	folded := 0
	for _, r := range rows {
		if r.value(axes, axisFolding).Name == "icf" {
			folded++
		}
	}
	if folded == 0 {
		t.Error("nothing is folded, although every linker that is left can")
	}
}

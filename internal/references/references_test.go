package references

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

func twins(t *testing.T, target victim.Target, cc string, sources []string, flags ...string) (plain, twin string) {
	t.Helper()
	return target.Build(t, cc, sources, flags...), target.Build(t, cc, sources, append(flags, "-Wl,-q")...)
}

// TestCheck compares the references of small programs with the linker's. scripts/references does the same with large ones.
func TestCheck(t *testing.T) {
	for _, target := range victim.Targets(t) {
		t.Run(target.Name, func(t *testing.T) { testCheck(t, target) })
	}
}

func testCheck(t *testing.T, target victim.Target) {
	server := []string{"kvd/kvd.c", "kvd/command.c", "kvd/queue.c", "kvd/table.c"}
	for _, b := range []struct {
		name, cc string
		sources  []string
		flags    []string
		least    int // references
	}{
		{"server gcc", "gcc", server, []string{"-O2", "-fPIE", "-pie", "-lpthread"}, 150},
		{"server clang -O3", "clang", server, []string{"-O3", "-fPIE", "-pie", "-lpthread"}, 150},
		{"places gcc -Os", "gcc", []string{"image/places.c", "image/places_b.c"}, []string{"-Os", "-fPIE", "-pie", "-lm"}, 50},
		{"exceptions", "g++", []string{"image/throws.cc"}, []string{"-O2", "-fPIE", "-pie"}, 20},
	} {
		t.Run(b.name, func(t *testing.T) {
			plain, twin := twins(t, target, b.cc, b.sources, b.flags...)
			r, err := Check(plain, twin)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range r.Wrong {
				t.Error(w)
			}
			if r.Unresolved > 0 || r.References < b.least || r.Named == 0 || r.Static+r.Pages == 0 {
				t.Errorf("%+v", *r)
			}
			if sum := r.Named + r.Static + r.Beside + r.Address + r.Ambiguous + r.Unresolved + r.Undecoded + r.Dead + r.Pages + len(r.Wrong); sum != r.References {
				t.Errorf("%d references, %d of them counted", r.References, sum)
			}
		})
	}
}

// TestWrongIsNoticed leads one field after the other of a program to an address 16 bytes further on, which its relocations contradict.
func TestWrongIsNoticed(t *testing.T) {
	plain, twin := twins(t, victim.Targets(t)[0], "gcc", []string{"image/places.c", "image/places_b.c"}, "-O2", "-fPIE", "-pie", "-lm")
	relocs, _, err := read(plain, twin)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := f.Section(".text")
	tried, noticed := 0, 0
	for _, r := range relocs {
		if r.typ != uint32(elf.R_X86_64_PC32) || r.sym == "" || r.undef || strings.HasPrefix(r.sym, "_") || uint64(r.field) < text.Addr || uint64(r.field) >= text.Addr+text.Size {
			continue
		}
		tried++
		bad := append([]byte(nil), data...)
		at := bad[text.Offset+uint64(r.field)-text.Addr:]
		binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(at)+16)
		path := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(path, bad, 0o700); err != nil {
			t.Fatal(err)
		}
		if got, err := Check(path, twin); err == nil && len(got.Wrong)+got.Unresolved+got.Ambiguous > 0 {
			noticed++
		} else {
			t.Errorf("%s at %#x: %v, %+v", r.sym, uint64(r.field), err, got)
		}
	}
	if tried < 10 || noticed != tried {
		t.Errorf("%d of %d wrong fields are noticed", noticed, tried)
	}
}

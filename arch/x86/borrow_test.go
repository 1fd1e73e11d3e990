package x86

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBorrowBlockByObjdump reads the block's code with objdump: each instruction is the one that its row
// names, and each operand in memory is the saved word that the row means.
func TestBorrowBlockByObjdump(t *testing.T) {
	block := (&Borrow{TID: 1}).Encode()
	if len(block) != BorrowLen || borrowSaved+8*(borrowPC+1) != borrowOwner {
		t.Fatalf("block of %d bytes", len(block))
	}
	path := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(path, block[:borrowSaved], 0o600); err != nil {
		t.Fatal(err)
	}
	operand := regexp.MustCompile(`0x[0-9a-f]+\(%rip\)(?:,%r\w+)? +# (0x[0-9a-f]+)`)
	var texts []string
	disassemble(t, func(l *line) { texts = append(texts, l.text) },
		"-D", "-b", "binary", "-m", "i386:x86-64", "-M", "att", path)
	if len(texts) < len(borrowTemplate) {
		t.Fatalf("objdump found %d instructions", len(texts))
	}
	seen := map[int]bool{}
	for i, row := range borrowTemplate {
		want := row.text
		if row.word >= 0 {
			at := fmt.Sprintf("%#x", borrowSaved+8*row.word)
			if m := operand.FindStringSubmatch(texts[i]); m == nil || m[1] != at {
				t.Errorf("%q: operand %v, want %s", texts[i], m, at)
			}
			seen[row.word] = true
		}
		verb, reg, _ := strings.Cut(want, " ")
		if got := strings.Fields(texts[i]); got[0] != verb || !strings.Contains(texts[i], reg) {
			t.Errorf("instruction %d: %q, want %q", i, texts[i], want)
		}
		if reg, ok := strings.CutPrefix(want, "mov "); ok && !strings.Contains(texts[i], ","+reg+" ") {
			t.Errorf("instruction %d: %q does not load %s", i, texts[i], reg)
		}
	}
	for _, text := range texts[len(borrowTemplate):] {
		if strings.TrimSpace(text) != "int3" {
			t.Errorf("%q behind the code", text)
		}
	}
	for n := range borrowPC + 1 {
		if seen[n] == (n == borrowSP) {
			t.Errorf("DWARF register %d: loaded %v", n, seen[n])
		}
	}
}

func TestRecognizeBorrow(t *testing.T) {
	want := Borrow{TID: 4711, Fill: 0xcc}
	for i := range want.Regs {
		want.Regs[i] = uint64(i) * 0x0101010101010101
	}
	block := want.Encode()
	if got, ok := RecognizeBorrow(block); !ok || got != want {
		t.Fatalf("%+v %v, want %+v", got, ok, want)
	}
	for i := range block {
		owner := i - borrowOwner - len(borrowMagic)
		if i >= borrowSaved && i < borrowOwner || owner == 0 || owner >= 3 && owner < 7 {
			continue // any value is right there
		}
		other := bytes.Clone(block)
		other[i] ^= 0x10
		if _, ok := RecognizeBorrow(other); ok {
			t.Errorf("recognized with byte %d changed", i)
		}
	}
	for _, n := range []int{0, borrowOwner, BorrowLen - 1, BorrowLen + 1} {
		if _, ok := RecognizeBorrow(make([]byte, n)); ok {
			t.Errorf("recognized %d zero bytes", n)
		}
	}
}

func FuzzRecognizeBorrow(f *testing.F) {
	f.Add((&Borrow{TID: 1, Fill: 0xcc}).Encode())
	f.Add([]byte("\x0f\x05"))
	f.Fuzz(func(t *testing.T, block []byte) {
		if b, ok := RecognizeBorrow(block); ok && !bytes.Equal(b.Encode(), block) {
			t.Errorf("%x is recognized and not what Encode gives", block)
		}
	})
}

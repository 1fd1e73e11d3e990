package arm64

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/arch"
)

// testBorrow returns a block's content for a thread at pc.
func testBorrow(pc arch.Addr) *Borrow {
	b := &Borrow{TID: 4711, Fill: 0xcc}
	for i := range b.Regs {
		b.Regs[i] = uint64(i) * 0x0101010101010101
	}
	b.Regs[borrowPC] = uint64(pc)
	return b
}

// TestBorrowBlockByObjdump reads the block's code with objdump: a system call, a load of each general register from the saved word
// that is its own, and a branch to the saved pc.
func TestBorrowBlockByObjdump(t *testing.T) {
	const at, pc = 0x40_0010, 0x12_3454
	block, err := testBorrow(pc).Encode(at)
	if err != nil || len(block) != BorrowLen {
		t.Fatalf("block of %d bytes, error %v", len(block), err)
	}
	path := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(path, block[:borrowSaved], 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"svc #0x0"}
	for n := range borrowSP {
		want = append(want, fmt.Sprintf("ldr x%d, %#x", n, at+borrowSaved+8*n))
	}
	want = append(want, fmt.Sprintf("b %#x", pc), "brk #0x0")
	var got []string
	disassemble(t, path, func(l *line) { got = append(got, l.mnemonic+" "+strings.Join(l.operands, ", ")) },
		"-D", "-b", "binary", "-m", "aarch64", fmt.Sprintf("--adjust-vma=%#x", at))
	if len(got) != len(want) {
		t.Fatalf("%d instructions: %q", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("instruction %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestBorrowReach(t *testing.T) {
	const at, branch = 0x7f00_0000_0000, 0x7f00_0000_0000 + borrowBack
	tests := []struct {
		name string
		at   arch.Addr
		pc   arch.Addr
		ok   bool
	}{
		{name: "near", at: at, pc: at - 0x1000, ok: true},
		{name: "farthest forward", at: at, pc: branch + 1<<27 - 4, ok: true},
		{name: "too far forward", at: at, pc: branch + 1<<27},
		{name: "farthest back", at: at, pc: branch - 1<<27, ok: true},
		{name: "too far back", at: at, pc: branch - 1<<27 - 4},
		{name: "another module", at: at, pc: 0x40_0000},
		{name: "a pc that is no instruction's", at: at, pc: at + 2},
		{name: "a block that is not aligned", at: at + 4, pc: at},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			block, err := testBorrow(test.pc).Encode(test.at)
			if (err == nil) != test.ok || (block != nil) != test.ok {
				t.Fatalf("%d bytes, error %v", len(block), err)
			}
			if err == nil {
				if got, ok := RecognizeBorrow(test.at, block); !ok || got != *testBorrow(test.pc) {
					t.Errorf("recognized %+v, %v", got, ok)
				}
			}
		})
	}
}

func TestRecognizeBorrow(t *testing.T) {
	const at = 0x40_0000
	block, err := testBorrow(at + 0x1234).Encode(at)
	if err != nil {
		t.Fatal(err)
	}
	for i := range block {
		owner := i - borrowOwner - len(borrowMagic)
		if i >= borrowSaved && i < borrowSaved+8*borrowPC || owner == 0 || owner >= 3 && owner < 7 {
			continue // any value is right there
		}
		other := bytes.Clone(block)
		other[i] ^= 0x10
		if _, ok := RecognizeBorrow(at, other); ok {
			t.Errorf("recognized with byte %d changed", i)
		}
	}
	if _, ok := RecognizeBorrow(at+16, block); ok {
		t.Error("recognized at another address, where it leads elsewhere")
	}
	for _, n := range []int{0, borrowOwner, BorrowLen - 1, BorrowLen + 1} {
		if _, ok := RecognizeBorrow(at, make([]byte, n)); ok {
			t.Errorf("recognized %d zero bytes", n)
		}
	}
}

func FuzzRecognizeBorrow(f *testing.F) {
	const at = 0x40_0000
	block, err := testBorrow(at).Encode(at)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Add([]byte("\x01\x00\x00\xd4"))
	f.Fuzz(func(t *testing.T, block []byte) {
		b, ok := RecognizeBorrow(at, block)
		if !ok {
			return
		}
		if again, err := b.Encode(at); err != nil || !bytes.Equal(again, block) {
			t.Errorf("%x is recognized and not what Encode gives: %v", block, err)
		}
	})
}

package x86

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Random strings lie in slots of slotSize bytes: the string, zero bytes, and
// slotEnd. objdump skips runs of zero bytes, but for up to three at the end of one: those
// pair up into "add", or consume a byte of slotEnd, so that a new
// instruction always begins with the next slot.
const (
	slotSize = 48
	slotEnd  = "\xc9\xc9" // leave; as a ModRM byte it names registers
)

// TestRandomCode holds the decoder against objdump on random bytes: where the
// decoder gives a length, objdump gives the same, and what else both say agrees.
func TestRandomCode(t *testing.T) {
	const shards, strings = 8, 1 << 17
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(shard)))
			path := filepath.Join(t.TempDir(), "code")
			codes := make([][maxInst]byte, strings)
			if err := writeSlots(path, codes, rng); err != nil {
				t.Fatal(err)
			}
			slots, decoded, failed := 0, 0, 0
			refused := map[string]int{}
			disassemble(t, func(l *line) {
				if l.addr%slotSize != 0 {
					return
				}
				slots++
				code := codes[l.addr/slotSize][:]
				in, err := Decode(code)
				if err != nil {
					if l.known() && excuse(l) == "" {
						mnemonic, _ := l.split()
						refused[mnemonic]++
					}
					return
				}
				decoded++
				diff := ""
				switch {
				case nearFwait(code):
				case !l.known():
					diff = fmt.Sprintf("length %d", in.Len)
				default:
					diff = compare(l)
				}
				if diff != "" {
					if failed++; failed <= 20 {
						t.Errorf("% x: %s: decoded: %s", code, l.text, diff)
					}
				}
			}, "-D", "-b", "binary", "-m", "i386:x86-64", path)
			if slots != strings {
				t.Errorf("objdump shows %d slots of %d", slots, strings)
			}
			if decoded < strings/3 {
				t.Errorf("only %d of %d strings were decoded", decoded, strings)
			}
			t.Logf("%d of %d decoded; known to objdump only: %v", decoded, strings, refused)
		})
	}
}

// writeSlots fills codes and writes them as slots.
func writeSlots(path string, codes [][maxInst]byte, rng *rand.Rand) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	var slot [slotSize]byte
	copy(slot[slotSize-len(slotEnd):], slotEnd)
	for i := range codes {
		randomCode(&codes[i], rng)
		copy(slot[:], codes[i][:])
		if _, err := w.Write(slot[:]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// randomHeads begin most random strings, so that every opcode map is met often.
var randomHeads = [][]byte{
	{}, {}, {0x0f}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}, {0xc5}, {0xc4}, {0x62}, {0x8f}, {0xd9}, {0xff},
}

// randomCode makes one string. In half of them random prefixes precede the
// head; the map and fixed bits of VEX, XOP and EVEX are mostly valid ones. A slot must not begin with
// a zero byte, which objdump would skip with those before.
func randomCode(code *[maxInst]byte, rng *rand.Rand) {
	for i := range code {
		code[i] = byte(rng.Uint32())
	}
	n := 0
	if rng.IntN(2) == 0 {
		prefix := []byte{0x66, 0x67, 0xf2, 0xf3, 0x64, 0x2e, 0x3e, 0xf0}
		for range rng.IntN(3) {
			code[n] = prefix[rng.IntN(len(prefix))]
			n++
		}
		if rng.IntN(2) == 0 {
			code[n] = 0x40 | code[n]&0xf
			n++
		}
	}
	head := randomHeads[rng.IntN(len(randomHeads))]
	n += copy(code[n:], head)
	if rng.IntN(8) != 0 {
		switch {
		case bytes.Equal(head, []byte{0xc4}):
			code[n] = code[n]&0xe0 | byte(1+rng.IntN(3))
			fillVvvv(code[n+1:], rng)
		case bytes.Equal(head, []byte{0x8f}):
			code[n] = code[n]&0xe0 | byte(8+rng.IntN(3))
			code[n+1] &^= 3
			fillVvvv(code[n+1:], rng)
		case bytes.Equal(head, []byte{0x62}):
			code[n] = code[n]&0xf0 | []byte{1, 2, 3, 5, 6}[rng.IntN(5)]
			code[n+1] |= 4
			fillVvvv(code[n+1:], rng)
			code[n+2] |= 8
			code[n+2] &^= 0x90
		}
	}
	if code[0] == 0 {
		code[0] = 0x01
	}
}

// fillVvvv makes vvvv say "unused" in half the strings.
func fillVvvv(payload []byte, rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		payload[0] |= 0x78
	}
}

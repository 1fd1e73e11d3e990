package arm64

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"hotpatch/arch"
)

// guestRoot is where scripts/guest has unpacked Debian's arm64 packages.
func guestRoot(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, "hotpatch", "guest", "root")
	if _, err := os.Stat(root); err != nil {
		t.Fatalf("no arm64 programs: run scripts/guest setup: %v", err)
	}
	return root
}

// maxShown is how many disagreements a test shows.
const maxShown = 30

// tally counts the instructions of a comparison.
type tally struct {
	all, unknown, bad int
	effectless        int    // of which no effects are known, those of SVE and SME aside
	example           string // one of these
}

// check compares one instruction with what objdump says.
func (c *tally) check(t *testing.T, l *line) {
	c.all++
	var code [InstLen]byte
	binary.LittleEndian.PutUint32(code[:], l.word)
	in, err := Decode(code[:])
	diff := ""
	switch {
	case !l.known():
		c.unknown++
	case l.refused():
		if err == nil {
			diff = "not refused"
		}
	case err != nil:
		diff = err.Error()
	default:
		diff = compare(l, &in)
		if effects, known := compareEffects(l, &in); diff == "" {
			diff = effects
			if !known {
				c.effectless++
				c.example = l.String()
			}
		}
	}
	if diff == "" {
		return
	}
	if c.bad++; c.bad <= maxShown {
		t.Errorf("%v: %s", l, diff)
	}
}

// The decoder agrees with objdump on every instruction of libraries and servers.
func TestAgreesWithObjdump(t *testing.T) {
	for _, file := range []string{
		"lib/aarch64-linux-gnu/libc.so.6", "usr/lib/aarch64-linux-gnu/libstdc++.so.6", "usr/lib/aarch64-linux-gnu/libcrypto.so.3",
		"usr/bin/redis-check-rdb", "usr/bin/memcached",
	} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			var c tally
			disassemble(t, filepath.Join(guestRoot(t), file), func(l *line) { c.check(t, l) }, "-d")
			t.Logf("%d instructions, %d that objdump does not know, %d disagree", c.all, c.unknown, c.bad)
			if c.all < 30000 || c.effectless > 0 {
				t.Errorf("%d instructions, the effects of %d are not known: %s", c.all, c.effectless, c.example)
			}
		})
	}
}

// The decoder agrees with objdump on random words that objdump knows.
func TestRandomWords(t *testing.T) {
	const n = 500_000
	r := rand.New(rand.NewPCG(1, 2))
	code := make([]byte, 0, n*InstLen)
	for range n {
		code = binary.LittleEndian.AppendUint32(code, r.Uint32())
	}
	file := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(file, code, 0o600); err != nil {
		t.Fatal(err)
	}
	var c tally
	disassemble(t, file, func(l *line) { c.check(t, l) }, "-D", "-b", "binary", "-m", "aarch64")
	t.Logf("%d words, %d that objdump does not know, %d disagree; the effects of %d are not known: %s", c.all, c.unknown, c.bad, c.effectless, c.example)
	if c.all < n*9/10 {
		t.Errorf("objdump showed %d of %d", c.all, n)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name string
		code []byte
	}{
		{name: "nothing"},
		{name: "three bytes", code: []byte{0x1f, 0x20, 0x03}},
		{name: "not allocated, op0 0001", code: []byte{0, 0, 0, 0x02}},
		{name: "not allocated, op0 0011", code: []byte{0, 0, 0, 0x06}},
		{name: "branch group, no row", code: []byte{0, 0, 0, 0xd6}},
		{name: "CB with a condition that there is not", code: []byte{0, 0, 0x80, 0x74}},
		{name: "ERET", code: []byte{0xe0, 0x03, 0x9f, 0xd6}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in, err := Decode(test.code)
			if err == nil {
				t.Fatalf("%+v", in)
			}
			if len(test.code) == InstLen && !errors.Is(err, ErrUnknown) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Whatever the word: what is said of it is in the range that its fields have.
func FuzzDecode(f *testing.F) {
	for _, w := range []uint32{0, 0xd503201f, 0x94000001, 0x54000040, 0x90000000, 0x58000040, 0xf9400421, 0xa9bf7bfd, 0xd65f03c0, 0x08607c82} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w uint32) {
		in, err := Decode(binary.LittleEndian.AppendUint32(nil, w))
		if err != nil {
			if !errors.Is(err, ErrUnknown) || in != (Inst{}) {
				t.Fatalf("%+v, %v", in, err)
			}
			return
		}
		if in.Target%InstLen != 0 || in.Target < -1<<27 || in.Target >= 1<<27 {
			t.Errorf("target %d", in.Target)
		}
		if in.Kind == Page && (in.Imm%0x1000 != 0 || in.Imm < -1<<32 || in.Imm >= 1<<32) {
			t.Errorf("page %#x", in.Imm)
		}
		for _, n := range []uint8{in.Rd, in.Rn, in.Rm} {
			if n > SP && n != NoReg {
				t.Errorf("register %d", n)
			}
		}
		if in.Index != Offset && !in.Writes.Has(in.Rn) {
			t.Error("a base that moves and is not written")
		}
		if in.Flow != arch.FlowNext && in.Kind != Other {
			t.Errorf("flow %v, kind %v", in.Flow, in.Kind)
		}
	})
}

package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// compress runs xz, the reference.
func compress(t testing.TB, data []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("xz", append([]string{"--stdout"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return out
}

// sample is data that is partly random and partly not.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 9)
		if i&0x1000 != 0 {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		args []string
	}{
		{name: "empty"},
		{name: "one byte", data: []byte{7}},
		{name: "mixed", data: sample(300_000)},
		{name: "crc32", data: sample(5000), args: []string{"--check=crc32"}},
		{name: "sha256", data: sample(5000), args: []string{"--check=sha256"}},
		{name: "no checksum", data: sample(5000), args: []string{"--check=none"}},
		{name: "blocks", data: sample(100_000), args: []string{"--block-size=16384"}},
		{name: "sizes in the headers", data: sample(100_000), args: []string{"-T2", "--block-size=16384"}},
		{name: "small dictionary", data: sample(100_000), args: []string{"--lzma2=dict=4096"}},
		{name: "best", data: sample(100_000), args: []string{"-9e"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode(compress(t, c.data, c.args...), len(c.data))
			if err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("%d bytes of %d: %v", len(got), len(c.data), err)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := compress(t, sample(20_000))
	for _, c := range []struct {
		name  string
		data  []byte
		limit int
		want  string
	}{
		{"nothing", nil, 1 << 20, "magic"},
		{"another filter", compress(t, sample(5000), "--x86", "--lzma2"), 1 << 20, "filters other than LZMA2"},
		{"cut off", good[:len(good)/2], 1 << 20, "beyond the end"},
		{"two streams", append(bytes.Clone(good), good...), 1 << 20, "behind the stream"},
		{"larger than allowed", good, 19_999, "more than is allowed"},
		{"a bomb", compress(t, make([]byte, 64<<20)), 1 << 20, "more than is allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(c.data, c.limit)
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a FormatError about %q", err, c.want)
			}
		})
	}
	t.Run("every byte counts", func(t *testing.T) {
		small := compress(t, sample(600))
		for i := range small {
			b := bytes.Clone(small)
			b[i] ^= 1
			if got, err := Decode(b, 1<<20); err == nil {
				t.Errorf("byte %d changed: no error, %d bytes", i, len(got))
			}
		}
	})
}

// TestDecodeMemory gives a block that claims the largest dictionary there is.
func TestDecodeMemory(t *testing.T) {
	b := compress(t, sample(1000))
	at := bytes.Index(b[headerSize:], []byte{filterLZMA2, 1}) + headerSize
	size := (int(b[headerSize]) + 1) * 4
	b[at+2] = 40 // 4 GiB
	sum := crc32.ChecksumIEEE(b[headerSize : headerSize+size-4])
	binary.LittleEndian.PutUint32(b[headerSize+size-4:], sum)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := Decode(b, 1<<20)
	runtime.ReadMemStats(&after)
	if err != nil || !bytes.Equal(got, sample(1000)) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}

// FuzzDecode holds: whatever is decoded is within the limit, and there is data only without an error.
func FuzzDecode(f *testing.F) {
	f.Add(compress(f, sample(600)))
	f.Add(compress(f, sample(9000), "--block-size=4096", "--check=crc32"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		out, err := Decode(b, limit)
		var format *FormatError
		switch {
		case err != nil && !errors.As(err, &format):
			t.Fatalf("error %v is no FormatError", err)
		case err == nil && len(out) > limit:
			t.Fatalf("%d bytes", len(out))
		}
	})
}

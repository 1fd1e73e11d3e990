package ptrace

import (
	"encoding/binary"
	"errors"
	"testing"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// segment is a PT_LOAD of a made-up image.
type segment struct {
	flags                     uint32
	off, vaddr, fileSz, memSz uint64
}

// imageHead makes an image's first bytes.
func imageHead(segs ...segment) []byte {
	le := binary.LittleEndian
	b := make([]byte, 64, headSize)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], uint16(len(segs)))
	for _, s := range segs {
		b = le.AppendUint32(b, 1)
		b = le.AppendUint32(b, s.flags)
		for _, v := range []uint64{s.off, s.vaddr, s.vaddr, s.fileSz, s.memSz, 0x1000} {
			b = le.AppendUint64(b, v)
		}
	}
	return b
}

func TestSegmentEnd(t *testing.T) {
	const r, rx, page, base = 4, 5, 0x1000, 0x7f0000000000
	first := segment{flags: r, fileSz: 0x500, memSz: 0x500}
	text := segment{flags: rx, off: 0x1000, vaddr: 0x1000, fileSz: 0x1234, memSz: 0x1234}
	at := Mapping{Start: base + 0x1000, End: base + 0x3000, Off: 0x1000}
	for _, tt := range []struct {
		name string
		head []byte
		base arch.Addr
		m    Mapping
		want arch.Addr
	}{
		{name: "shared library", head: imageHead(first, text), base: base, m: at, want: base + 0x2234},
		{name: "fixed address", head: imageHead(segment{flags: r, vaddr: 0x400000, fileSz: 0x500, memSz: 0x500},
			segment{flags: rx, off: 0x1000, vaddr: 0x401000, fileSz: 0x20, memSz: 0x20}), base: 0x400000,
			m: Mapping{Start: 0x401000, End: 0x402000, Off: 0x1000}, want: 0x401020},
		{name: "text first", head: imageHead(segment{flags: rx, fileSz: 0x800, memSz: 0x800}), base: base,
			m: Mapping{Start: base, End: base + page}, want: base + 0x800},
		{name: "no tail", head: imageHead(first, segment{flags: rx, off: 0x1000, vaddr: 0x1000, fileSz: 0x2000, memSz: 0x2000}), base: base, m: at,
			want: base + 0x3000},
		{name: "not executable", head: imageHead(first, segment{flags: r, off: 0x1000, vaddr: 0x1000, fileSz: 0x1234, memSz: 0x1234}), base: base, m: at},
		{name: "memory beyond the file's", head: imageHead(first, segment{flags: rx, off: 0x1000, vaddr: 0x1000, fileSz: 0x1000, memSz: 0x1234}), base: base, m: at},
		{name: "ends in another page", head: imageHead(first, segment{flags: rx, off: 0x1000, vaddr: 0x1000, fileSz: 0x234, memSz: 0x234}), base: base, m: at},
		{name: "another part of the file", head: imageHead(first, text), base: base, m: Mapping{Start: at.Start, End: at.End, Off: 0x5000}},
		{name: "first segment elsewhere in the file", head: imageHead(segment{flags: r, off: 0x4000, fileSz: 1, memSz: 1}, text), base: base, m: at},
		{name: "no image", head: make([]byte, headSize), base: base, m: at},
		{name: "cut off", head: imageHead(first, text)[:100], base: base, m: at},
		{name: "empty", base: base, m: at},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := segmentEnd(tt.head, tt.base, &tt.m, page)
			if got != tt.want || ok != (tt.want != 0) {
				t.Errorf("%#x %v, want %#x", uint64(got), ok, uint64(tt.want))
			}
		})
	}
}

// FuzzSegmentEnd: whatever an image says, its tail is inside the mapping's last page.
func FuzzSegmentEnd(f *testing.F) {
	f.Add(imageHead(segment{flags: 5, off: 0x1000, vaddr: 0x1000, fileSz: 0x1234, memSz: 0x1234}), uint64(0x1000), uint16(2), uint64(0x1000))
	f.Add(imageHead(segment{flags: 5, fileSz: 0x800, memSz: 0x800}), uint64(0), uint16(1), uint64(0))
	f.Add([]byte("\x7fELF"), uint64(0), uint16(0), uint64(0))
	f.Fuzz(func(t *testing.T, head []byte, start uint64, pages uint16, off uint64) {
		const page = 0x1000
		m := Mapping{Start: arch.Addr(start &^ (page - 1)), Off: off}
		m.End = m.Start + arch.Addr(pages)*page
		if m.End <= m.Start {
			return
		}
		end, ok := segmentEnd(head, m.Start, &m, page)
		if ok && (end <= m.Start || end > m.End || m.End-end >= page) {
			t.Errorf("end %#x of mapping %#x to %#x", uint64(end), uint64(m.Start), uint64(m.End))
		}
		if !ok && end != 0 {
			t.Errorf("end %#x and not ok", uint64(end))
		}
	})
}

// TestNoRoom fills one tail after the other. The borrowing takes the next, at last the vDSO's, and is refused where
// there is none.
func TestNoRoom(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "1", "0")
	tails := tailsOf(t, v.PID)
	if last := tails[len(tails)-1]; (last.rank == tailVDSO) != vdsoHasTail {
		t.Fatalf("the last tail is %+v; the vDSO's is one: %v", last, vdsoHasTail)
	}
	p := open(t, v.PID)
	for i := range tails {
		if err := p.Borrow(borrowPage); err != nil {
			t.Fatalf("with %d of %d tails full: %v", i, len(tails), err)
		}
		if _, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			var errs []error
			for at := tails[i].start; at < tails[i].end; at += stubLen {
				errs = append(errs, s.Write(at, []byte("x")))
			}
			return errors.Join(errs...)
		}); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, p.Borrow(borrowPage), ErrNoRoom, "unused bytes")
	askOK(t, v, "sum")
}

func TestAlso(t *testing.T) {
	p := &Process{PID: 7}
	ended := p.fail("stop", 0, ErrExited, "", nil)
	for _, tt := range []struct {
		name       string
		err, later error
		want       string
	}{
		{name: "the same", err: ended, later: p.fail("resume", 0, ErrExited, "", nil), want: "stop process 7: process ended"},
		{name: "another", err: ended, later: errors.New("and more"), want: "stop process 7: process ended; and more"},
		{name: "first", later: ended, want: "stop process 7: process ended"},
		{name: "only", err: ended, want: "stop process 7: process ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := also(tt.err, tt.later); got.Error() != tt.want || !errors.Is(got, ErrExited) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

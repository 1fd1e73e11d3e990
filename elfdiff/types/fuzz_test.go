package types

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// parts are the sections of a fuzzed input, in order.
func parts(s *Sections) []*string {
	return []*string{&s.Info, &s.Abbrev, &s.Str, &s.LineStr, &s.StrOffsets, &s.Addr, &s.Line, &s.Ranges, &s.RngLists, &s.Types}
}

// pack writes sections one behind the other, each with its length.
func pack(s *Sections) []byte {
	var b []byte
	for _, p := range parts(s) {
		b = binary.AppendUvarint(b, uint64(len(*p)))
		b = append(b, *p...)
	}
	return b
}

// unpack is the reverse, for any bytes. What is left over becomes the alternate file.
func unpack(b []byte) *Sections {
	s := new(Sections)
	take := func(to *Sections) {
		for _, p := range parts(to) {
			n, used := binary.Uvarint(b)
			b = b[max(used, 0):]
			n = min(n, uint64(len(b)))
			*p, b = string(b[:n]), b[n:]
		}
	}
	take(s)
	if len(b) > 0 {
		s.Alt = new(Sections)
		take(s.Alt)
	}
	return s
}

// FuzzRead: any bytes give types or an error that says where; a build is the same as itself.
func FuzzRead(f *testing.F) {
	for _, flags := range [][]string{{"-gdwarf-5"}, {"-gdwarf-4", "-fdebug-types-section"}, {"-gdwarf-3"}} {
		f.Add(pack(sections(f, victim.Build(f, "gcc", []string{"types/small.c"}, append([]string{"-O1", "-nostdlib", "-static"}, flags...)...))))
	}
	f.Add(pack(sections(f, victim.Build(f, "clang", []string{"types/small.c"}, "-O1", "-g", "-nostdlib", "-static"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Read(unpack(data))
		if (b != nil) != (err == nil) {
			t.Fatalf("build %v, error %v", b, err)
		}
		if err != nil {
			var bad *FormatError
			if !errors.As(err, &bad) && !errors.Is(err, ErrNone) {
				t.Fatalf("error of an unknown kind: %v", err)
			}
			return
		}
		again, err := Read(unpack(data))
		if err != nil {
			t.Fatal(err)
		}
		g := b.Graph()
		for _, c := range NewComparison(b, again).Changes() {
			if text := c.Moves; !strings.Contains(moveText(text), "members") && c.Several == 0 {
				t.Errorf("%s differs from itself: %v", c.Name, text)
			}
			g.Concern(&c)
		}
		for i := range b.Funcs {
			b.Prototype(&b.Funcs[i])
		}
	})
}

func moveText(l []Move) string {
	s := ""
	for _, m := range l {
		s += m.Text + "\n"
	}
	return s
}

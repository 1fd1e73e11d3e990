package x86

import (
	"debug/elf"
	"testing"
)

// benchText returns the .text section of libc.
func benchText(b *testing.B) []byte {
	f, err := elf.Open(findLibrary(b, "libc.so.6"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	text, err := f.Section(".text").Data()
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func BenchmarkDecode(b *testing.B) {
	text := benchText(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for code := text; len(code) > 0; {
			in, err := Decode(code)
			if err != nil {
				in.Len = 1
			}
			code = code[in.Len:]
		}
	}
}

func BenchmarkDecodeCanon(b *testing.B) {
	text := benchText(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var canon []byte
	for b.Loop() {
		for code := text; len(code) > 0; {
			in, err := Decode(code)
			if err != nil {
				in.Len = 1
			}
			canon = Canon(canon[:0], code[:in.Len], &in)
			code = code[in.Len:]
		}
	}
}

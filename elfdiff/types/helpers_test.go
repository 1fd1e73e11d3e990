package types

import (
	"debug/elf"
	"testing"
)

// sections reads the debug sections of a file, without the checks that elfdiff/image makes.
func sections(t testing.TB, path string) *Sections {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	get := func(name string) string {
		s := f.Section(".debug_" + name)
		if s == nil {
			return ""
		}
		b, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return &Sections{
		Info: get("info"), Abbrev: get("abbrev"), Str: get("str"), LineStr: get("line_str"), StrOffsets: get("str_offsets"), Addr: get("addr"),
		Line: get("line"), Ranges: get("ranges"), RngLists: get("rnglists"), Types: get("types"),
	}
}

func readFile(t testing.TB, path string) *Build {
	t.Helper()
	b, err := Read(sections(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

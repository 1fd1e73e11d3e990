package types

import (
	"flag"
	"testing"

	"hotpatch/internal/victim"
)

var benchFile = flag.String("file", "", "`FILE` with debug information that BenchmarkRead reads, instead of a small program")

// BenchmarkRead reads the types of one build: MB/s are of .debug_info.
func BenchmarkRead(b *testing.B) {
	file := *benchFile
	if file == "" {
		file = victim.Build(b, "gcc", []string{"types/forms.c"}, "-O1", "-g")
	}
	s := sections(b, file)
	b.SetBytes(int64(len(s.Info)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(s); err != nil {
			b.Fatal(err)
		}
	}
}

package image

import (
	"bytes"
	"os"
	"testing"

	"hotpatch/internal/victim"
)

// FuzzLoad holds: there is an image exactly if there is no error, and whatever loads can be
// decoded and asked without a panic.
func FuzzLoad(f *testing.F) {
	for _, flags := range [][]string{{"-O2", "-s"}, {"-O2"}, {"-Os", "-no-pie", "-fno-pie", "-Wl,-q"}} {
		b, err := os.ReadFile(victim.Build(f, "gcc", []string{"image/tiny.c"}, append(flags, "-nostartfiles", "-Wl,-z,noseparate-code")...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := LoadBytes("fuzz", bytes.NewReader(b), uint64(len(b)))
		if (im != nil) == (err == nil) {
			if err != nil {
				return
			}
		} else {
			t.Fatalf("image %v with error %v", im != nil, err)
		}
		for _, a := range im.Atoms {
			im.DataRefs(a)
			im.AnonExtent(a.Addr)
			if !a.IsCode() {
				continue
			}
			body, err := im.Body(a)
			if (body != nil) != (err == nil) {
				t.Fatalf("%s: body %v with error %v", a.Name, body != nil, err)
			}
			if body != nil {
				checkBody(t, im, body)
			}
		}
	})
}

// BenchmarkLoadDecode measures loading and decoding, in bytes of code per second. HOTPATCH_IMAGE names another file.
func BenchmarkLoadDecode(b *testing.B) {
	path := os.Getenv("HOTPATCH_IMAGE")
	if path == "" {
		path = victim.Build(b, "gcc", programs[1].sources, "-O2", "-g", "-lpthread")
	}
	b.ReportAllocs()
	for b.Loop() {
		im, err := Load(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := im.Decode(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
		if s := im.sectionNamed(".text"); s != nil {
			b.SetBytes(int64(s.Size))
		}
	}
}

package elfdiff

import (
	"os"
	"syscall"
	"testing"
	"time"

	"hotpatch/elfdiff/image"
	"hotpatch/internal/pairs"
)

// The benchmarks compare two builds of a small static program. On other programs, such as two builds of redis:
//
//	HOTPATCH_OLD=old/redis-server HOTPATCH_NEW=new/redis-server go test -run='^$' -bench=. -cpu=1,2 ./elfdiff
//
// MB/s are of both builds' code by the wall clock, MB/cpu-s by the time that the process was given on processors, which other load
// disturbs less.

// builds returns the files to compare.
func builds(b *testing.B) [2]string {
	old, new := os.Getenv("HOTPATCH_OLD"), os.Getenv("HOTPATCH_NEW")
	if old == "" || new == "" {
		for _, p := range pairs.Load(b) {
			if p.Name == "jumptable" {
				old, new = p.Build(b, "gcc", "-static-pie")
			}
		}
	}
	return [2]string{old, new}
}

// loadBuilds loads both files, one after the other.
func loadBuilds(b *testing.B, files [2]string) (im [2]*image.Image) {
	b.Helper()
	for i := range im {
		var err error
		if im[i], err = image.Load(files[i], image.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	return im
}

// codeSize returns the bytes of code of both images.
func codeSize(im [2]*image.Image) (n int64) {
	for i := range im {
		for _, s := range im[i].Sections {
			if s.Exec() {
				n += int64(s.Size)
			}
		}
	}
	return n
}

// cpuTime returns what the process has used of processors.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// measure runs f b.N times and reports the bytes of code per second; prepare is not measured.
func measure(b *testing.B, size int64, prepare, f func()) {
	b.SetBytes(size)
	b.ReportAllocs()
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		prepare()
		b.StartTimer()
		start := cpuTime(b)
		f()
		used += cpuTime(b) - start
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
}

func BenchmarkLoad(b *testing.B) {
	files := builds(b)
	measure(b, codeSize(loadBuilds(b, files)), func() {}, func() { loadBuilds(b, files) })
}

func BenchmarkDecode(b *testing.B) {
	im := loadBuilds(b, builds(b))
	measure(b, codeSize(im), func() {}, func() {
		for _, im := range im {
			d := im.NewDecoder()
			for _, a := range im.Atoms {
				if a.IsCode() && a.Parent == nil {
					d.Unit(a) // an error is a result as well
				}
			}
		}
	})
}

// BenchmarkCanonicalForm includes decoding.
func BenchmarkCanonicalForm(b *testing.B) {
	im := loadBuilds(b, builds(b))
	var d *differ
	measure(b, codeSize(im), func() { d = &differ{old: side{im: im[0]}, new: side{im: im[1]}} }, func() {
		if err := d.canonicalize(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkCompare is of all that follows the canonical form: pairing, comparison, verdicts and the patch's content.
func BenchmarkCompare(b *testing.B) {
	files := builds(b)
	size := codeSize(loadBuilds(b, files))
	var d *differ
	measure(b, size, func() {
		im := loadBuilds(b, files)
		d = &differ{old: side{im: im[0]}, new: side{im: im[1]}}
		if err := d.canonicalize(); err != nil {
			b.Fatal(err)
		}
	}, func() {
		if _, err := d.answer(); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	im := loadBuilds(b, builds(b))
	r, err := Diff(im[0], im[1], Options{})
	if err != nil {
		b.Fatal(err)
	}
	if r.Patch == nil {
		b.Fatal("no patch")
	}
	measure(b, codeSize(im), func() {}, func() {
		if _, err := r.Patch.Encode(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkDiff is of everything from the files to the patch's content.
func BenchmarkDiff(b *testing.B) {
	files := builds(b)
	measure(b, codeSize(loadBuilds(b, files)), func() {}, func() {
		im := loadBuilds(b, files)
		if _, err := Diff(im[0], im[1], Options{}); err != nil {
			b.Fatal(err)
		}
	})
}

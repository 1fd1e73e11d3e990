package ptrace

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

func TestReadWriteBorrowStop(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "5", "1")
	p := open(t, v.PID)
	maps, err := p.Maps()
	if err != nil || len(maps) == 0 {
		t.Fatal(maps, err)
	}
	if err := p.Seize(); err != nil {
		t.Fatal(err)
	}
	want := []byte("written from outside")
	err = p.Borrow(func(r *Remote) error {
		at, err := r.Mmap(0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, -1, 0)
		if err != nil {
			return err
		}
		if err := r.Write(at, want); err != nil {
			return err
		}
		got := make([]byte, len(want))
		if err := p.ReadMem(got, at); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		fd, err := r.MemfdCreate("hotpatch-test", 0)
		if err != nil {
			return err
		}
		if err := r.Ftruncate(fd, 4096); err != nil {
			return err
		}
		return r.CloseFD(fd)
	})
	if err != nil {
		t.Fatal(err)
	}
	stats, err := p.Stop(StopOptions{}, func(s *Stopped) error {
		for i := range s.Threads {
			th := &s.Threads[i]
			t.Logf("thread %d pc %#x sp %#x", th.TID, th.Regs().PC(), th.Regs().SP())
		}
		return nil
	})
	if err != nil || stats.Threads != 7 {
		t.Fatalf("%+v, %v; want 7 threads", stats, err)
	}
	t.Logf("%+v", stats)
	if stats, err = p.Stop(StopOptions{Detach: true}, func(s *Stopped) error { return nil }); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", stats)
	v.Ask("sum")
	v.Send("quit")
}

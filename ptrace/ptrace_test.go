package ptrace

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
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
		fd, err := r.MemfdCreate(0)
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

func TestStaticPrograms(t *testing.T) {
	for _, kind := range []string{"-static", "-static-pie", "-no-pie"} {
		t.Run(kind, func(t *testing.T) {
			v := victim.Start(t, build(t, "threads.c", kind, "-DPAD=1536"), "3", "0")
			p := open(t, v.PID)
			stops(t, p, 3)
			if err := p.Borrow(borrowPage); err != nil {
				t.Fatal(err)
			}
			auxv, err := p.Auxv()
			const atPhnum = 5 // AT_PHNUM
			if err != nil || auxv[atPhnum] == 0 {
				t.Errorf("%v %v", auxv, err)
			}
			askOK(t, v, "sum")
		})
	}
}

// TestPoke exercises the fallback for kernels that forbid forced writes, beside the ordinary way: into
// memory that the target itself may only read and execute.
func TestPoke(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "1", "0")
	p := open(t, v.PID)
	var at arch.Addr
	err := p.Borrow(func(r *Remote) (err error) {
		at, err = r.Mmap(0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, -1, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ off, n int }{{0, 8}, {1, 1}, {7, 2}, {3, 30}, {8, 16}, {5, 3}} {
		want := make([]byte, 64)
		data := bytes.Repeat([]byte{0xa5}, tt.n)
		copy(want[tt.off:], data)
		got := make([]byte, 64)
		again := make([]byte, 64)
		_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			if e := poke(s.Threads[0].TID, at+arch.Addr(tt.off), data); e != 0 {
				return e
			}
			if err := s.ReadVec([]Range{{at, got[:10]}, {at + 10, got[10:]}}); err != nil {
				return err
			}
			if err := s.Write(at, make([]byte, 64)); err != nil {
				return err
			}
			return s.Read(again, at)
		})
		if err != nil || !bytes.Equal(got, want) || !bytes.Equal(again, make([]byte, 64)) {
			t.Errorf("%+v: got %x then %x, %v", tt, got, again, err)
		}
	}
}

func TestUnreadableMemory(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"))
	p := open(t, v.PID)
	var b [16]byte
	const nowhere = 0x10
	var me *MemError
	if err := p.ReadMem(b[:], nowhere); !errors.As(err, &me) || me.Addr != nowhere {
		t.Errorf("read: %v", err)
	}
	maps, err := p.Maps()
	if err != nil {
		t.Fatal(err)
	}
	ranges := []Range{{maps[0].Start, b[:8]}, {nowhere, b[8:]}}
	if err := p.ReadVec(ranges); !errors.As(err, &me) || me.Addr != nowhere {
		t.Errorf("read of ranges: %v", err)
	}
	_, err = p.Stop(StopOptions{}, func(s *Stopped) error { return s.Write(nowhere, b[:]) })
	if !errors.As(err, &me) || me.Op != "write" {
		t.Errorf("write: %v", err)
	}
	err = p.Borrow(func(r *Remote) error { return r.Munmap(1, 1) })
	var ce *CallError
	if !errors.As(err, &ce) || ce.Err != unix.EINVAL || ce.Call != "munmap(0x1, 0x1)" {
		t.Errorf("munmap: %v", err)
	}
}

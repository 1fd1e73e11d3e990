package ptrace

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// WriteMem changes read-only code while the process runs, seized or not, and names an address that is not mapped.
func TestWriteMem(t *testing.T) {
	for _, tt := range []struct {
		name  string
		seize bool
	}{
		{name: "seized", seize: true},
		{name: "by a borrowed thread"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := victim.Start(t, build(t, "threads.c"), "1", "0")
			p := open(t, v.PID)
			if tt.seize {
				if err := p.Seize(); err != nil {
					t.Fatal(err)
				}
			}
			var at arch.Addr
			err := p.Borrow(func(r *Remote) (err error) {
				at, err = r.Mmap(0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, -1, 0)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			want, got := []byte("written while it runs"), make([]byte, 21)
			if err := p.WriteMem(at+3, want); err != nil {
				t.Fatal(err)
			}
			if err := p.ReadMem(got, at+3); err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %q, %v", got, err)
			}
			var bad *MemError
			if err := p.WriteMem(8, want); !errors.As(err, &bad) || bad.Addr != 8 {
				t.Errorf("write to address 8: %v", err)
			}
			if !v.Alive() {
				t.Error("the victim has ended")
			}
		})
	}
}

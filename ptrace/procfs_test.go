package ptrace

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"testing"

	"hotpatch/arch"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 4711 8192000 100 0"
	tests := []struct {
		name, in, comm string
		fails          bool
	}{
		{name: "plain", in: "12 (cat)" + rest, comm: "cat"},
		{name: "blanks and parentheses", in: "12 (a) R (b c)" + rest, comm: "a) R (b c"},
		{name: "newline", in: "12 (a\nb)" + rest, comm: "a\nb"},
		{name: "empty name", in: "12 ()" + rest, comm: ""},
		{name: "no name", in: "12" + rest, fails: true},
		{name: "truncated", in: "12 (cat) S 7 7", fails: true},
		{name: "empty", in: "", fails: true},
		{name: "not a number", in: "12 (cat) S x 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 4711 8192000 100", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseStat([]byte(tt.in))
			if tt.fails {
				if err == nil {
					t.Fatalf("no error, %+v", got)
				}
				return
			}
			want := Stat{PID: 12, Comm: tt.comm, State: 'S', PPID: 7, Flags: 4194560, NumThreads: 3, StartTime: 4711, VSize: 8192000}
			if err != nil || got != want {
				t.Fatalf("%+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestParseMaps(t *testing.T) {
	const in = "555500000000-555500001000 r-xp 00002000 fd:01 99                         /usr/bin/a b (deleted)\n" +
		"7ff000000000-7ff000002000 rw-s 00000000 00:00 0 \n" +
		"7ff000002000-7ff000003000 ---p 00000000 00:00 0                          [stack]\n"
	want := []Mapping{
		{Start: 0x555500000000, End: 0x555500001000, Perm: PermRead | PermExec, Off: 0x2000, Dev: "fd:01", Inode: 99, Path: "/usr/bin/a b (deleted)"},
		{Start: 0x7ff000000000, End: 0x7ff000002000, Perm: PermRead | PermWrite | PermShared, Dev: "00:00"},
		{Start: 0x7ff000002000, End: 0x7ff000003000, Dev: "00:00", Path: "[stack]"},
	}
	got, err := ParseMaps([]byte(in))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := got[1].Perm.String(); s != "rw-s" {
		t.Errorf("rights %q", s)
	}
	for _, bad := range []string{"x", "2-1 r-xp 0 0:0 0", "1-2 r-x 0 0:0 0", "1-2 r?xp 0 0:0 0", "1-2 rwxp z 0:0 0",
		"1-2 r-xp 0 0:0", "1-3 r-xp 0 0:0 0\n2-4 r-xp 0 0:0 0", "\n"} {
		if got, err := ParseMaps([]byte(bad)); err == nil {
			t.Errorf("%q: no error, %+v", bad, got)
		}
	}
}

func TestParseSyscall(t *testing.T) {
	tests := []struct {
		name, in string
		want     SyscallInfo
		fails    bool
	}{
		{name: "running", in: "running\n"},
		{name: "page fault", in: "-1 0x7f00 0x5500\n", want: SyscallInfo{Blocked: true, NR: -1, SP: 0x7f00, PC: 0x5500}},
		{name: "call", in: "0 0x1 0x2 0x3 0x4 0x5 0x6 0x7f00 0x5500\n",
			want: SyscallInfo{Blocked: true, In: true, Args: [6]uint64{1, 2, 3, 4, 5, 6}, SP: 0x7f00, PC: 0x5500}},
		{name: "fields of another number", in: "3 0x7f00 0x5500\n", fails: true},
		{name: "empty", in: "", fails: true},
		{name: "no number", in: "0 0x1 0x2 0x3 0x4 0x5 0x6 0x7f00 z\n", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseSyscall([]byte(tt.in))
			if (err != nil) != tt.fails || got != tt.want {
				t.Fatalf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseAuxv(t *testing.T) {
	var b []byte
	for _, w := range []uint64{33, 0x7fff0000, 6, 4096, 0, 0} {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	got, err := ParseAuxv(b)
	if err != nil || got[33] != 0x7fff0000 || got[6] != 4096 || len(got) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := ParseAuxv(b[:32]); err == nil {
		t.Error("no error without AT_NULL")
	}
}

func TestStatusField(t *testing.T) {
	status := []byte("Name:\tx: y\nTgid:\t42\nSeccomp_filters:\t1\nSeccomp:\t2\nSigCgt:\t0000000100000000\n")
	if got, ok := StatusField(status, "Name"); !ok || got != "x: y" {
		t.Errorf("Name %q", got)
	}
	if n := statusInt(status, "Seccomp", 0); n != 2 {
		t.Errorf("Seccomp %d", n)
	}
	if m := statusMask(status, "SigCgt"); m != 1<<32 {
		t.Errorf("SigCgt %#x", m)
	}
	if _, ok := StatusField(status, "Missing"); ok {
		t.Error("a field that is not there")
	}
}

// FuzzParseMaps: mappings are either refused or in order, not empty, and without overlap.
func FuzzParseMaps(f *testing.F) {
	own, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("1-2 r-xp 0 0:0 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		maps, err := ParseMaps(b)
		if err != nil && maps != nil {
			t.Fatal("both mappings and an error")
		}
		var end arch.Addr
		for _, m := range maps {
			if m.Start < end || m.End <= m.Start {
				t.Fatalf("%+v after %#x", m, end)
			}
			end = m.End
		}
	})
}

// FuzzParseStat: what is accepted has a name that stands in the input between parentheses.
func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := ParseStat(b)
		if err == nil && !bytes.Contains(b, []byte("("+st.Comm+")")) {
			t.Fatalf("%+v of %q", st, b)
		}
	})
}

// FuzzParseSyscall: a thread that is not blocked is nowhere, and one in no call has a negative number.
func FuzzParseSyscall(f *testing.F) {
	f.Add([]byte("running\n"))
	f.Add([]byte("-1 0x1 0x2\n"))
	f.Add([]byte("0 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := ParseSyscall(b)
		if (err != nil || !in.Blocked) && in != (SyscallInfo{}) || in.Blocked && in.In != (in.NR >= 0) {
			t.Fatalf("%+v %v", in, err)
		}
	})
}

// FuzzParseAuxv: there are never more entries than the input has room for.
func FuzzParseAuxv(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseAuxv(b)
		if (v != nil) != (err == nil) || len(v) > len(b)/16 {
			t.Fatal(v, err)
		}
	})
}

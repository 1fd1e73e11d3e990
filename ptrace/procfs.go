package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"hotpatch/arch"
)

// Stat holds the fields of /proc/PID/stat (proc_pid_stat(5)) that are used here.
type Stat struct {
	PID        int
	Comm       string // may hold any byte, spaces and parentheses too
	State      byte   // R, S, D, T, t, Z, X, I ...
	PPID       int
	Flags      uint64 // PF_* of linux/sched.h
	NumThreads int
	StartTime  uint64 // clock ticks after boot
	VSize      uint64 // bytes
}

// Flags of linux/sched.h that /proc/PID/stat shows.
const (
	pfExiting    = 0x00000004 // PF_EXITING
	pfIOWorker   = 0x00000010 // PF_IO_WORKER
	pfUserWorker = 0x00004000 // PF_USER_WORKER, since Linux 6.4
	pfKThread    = 0x00200000 // PF_KTHREAD
)

// ParseStat parses the content of /proc/PID/stat. The name stands between the first
// opening and the last closing parenthesis.
func ParseStat(b []byte) (Stat, error) {
	s := string(b)
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 1 || end < open {
		return Stat{}, fmt.Errorf("stat %.40q: no name in parentheses", s)
	}
	f := strings.Fields(s[end+1:])
	const need = 21 // fields 3 (state) to 23 (vsize)
	if len(f) < need || len(f[0]) != 1 {
		return Stat{}, fmt.Errorf("stat %.40q: %d fields after the name, want at least %d", s, len(f), need)
	}
	st := Stat{Comm: s[open+1 : end], State: f[0][0]}
	var errs [6]error
	st.PID, errs[0] = strconv.Atoi(strings.TrimSpace(s[:open]))
	st.PPID, errs[1] = strconv.Atoi(f[4-3])
	st.Flags, errs[2] = strconv.ParseUint(f[9-3], 10, 64)
	st.NumThreads, errs[3] = strconv.Atoi(f[20-3])
	st.StartTime, errs[4] = strconv.ParseUint(f[22-3], 10, 64)
	st.VSize, errs[5] = strconv.ParseUint(f[23-3], 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return Stat{}, fmt.Errorf("stat %.40q: %w", s, err)
	}
	return st, nil
}

// StatusField returns a field of /proc/PID/status (proc_pid_status(5)), without the blanks around it.
func StatusField(b []byte, name string) (string, bool) {
	for line := range strings.Lines(string(b)) {
		if key, val, ok := strings.Cut(line, ":"); ok && key == name {
			return strings.TrimSpace(val), true
		}
	}
	return "", false
}

// statusInt returns the first number of a field of /proc/PID/status, or def.
func statusInt(b []byte, name string, def int) int {
	if f := strings.Fields(firstOf(StatusField(b, name))); len(f) > 0 {
		if n, err := strconv.Atoi(f[0]); err == nil {
			return n
		}
	}
	return def
}

// statusMask returns a hexadecimal field of /proc/PID/status (SigCgt, CapEff), or 0.
func statusMask(b []byte, name string) uint64 {
	n, err := strconv.ParseUint(firstOf(StatusField(b, name)), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

func firstOf(s string, _ bool) string { return s }

// Perm are the access rights of a mapping.
type Perm uint8

const (
	PermRead Perm = 1 << iota
	PermWrite
	PermExec
	PermShared // MAP_SHARED
)

// String returns the rights as /proc/PID/maps shows them: "r-xp".
func (p Perm) String() string {
	b := []byte("---p")
	for i, c := range []byte("rwxs") {
		if p&(1<<i) != 0 {
			b[i] = c
		}
	}
	return string(b)
}

// Mapping is one line of /proc/PID/maps: the addresses Start to End, exclusive.
type Mapping struct {
	Start, End arch.Addr
	Perm       Perm
	Off        uint64 // in the file, in bytes
	Dev        string // major:minor, hexadecimal
	Inode      uint64
	Path       string // as the kernel shows it: "[stack]", "/usr/lib/x.so (deleted)", "" for anonymous
}

// ParseMaps parses the content of /proc/PID/maps (proc_pid_maps(5)): in increasing order of
// addresses, without overlap.
func ParseMaps(b []byte) ([]Mapping, error) {
	var out []Mapping
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		m, err := parseMapping(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("maps line %d %.80q: %w", n, line, err)
		}
		if len(out) > 0 && m.Start < out[len(out)-1].End {
			return nil, fmt.Errorf("maps line %d %.80q: overlaps the line before", n, line)
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMapping(line string) (m Mapping, err error) {
	rng, rest, _ := strings.Cut(line, " ")
	perm, rest, _ := strings.Cut(rest, " ")
	off, rest, _ := strings.Cut(rest, " ")
	dev, rest, _ := strings.Cut(rest, " ")
	inode, path, _ := strings.Cut(rest, " ")
	lo, hi, ok := strings.Cut(rng, "-")
	if !ok {
		return m, errors.New("no address range")
	}
	start, err1 := strconv.ParseUint(lo, 16, 64)
	end, err2 := strconv.ParseUint(hi, 16, 64)
	m.Start, m.End = arch.Addr(start), arch.Addr(end)
	var err3, err4, err5 error
	m.Perm, err3 = parsePerm(perm)
	m.Off, err4 = strconv.ParseUint(off, 16, 64)
	m.Inode, err5 = strconv.ParseUint(inode, 10, 64)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return Mapping{}, err
	}
	if start >= end {
		return Mapping{}, errors.New("empty address range")
	}
	m.Dev, m.Path = dev, strings.TrimLeft(path, " ")
	return m, nil
}

func parsePerm(s string) (Perm, error) {
	if len(s) != 4 {
		return 0, fmt.Errorf("access rights %q", s)
	}
	var p Perm
	for i, c := range []byte("rwx") {
		switch s[i] {
		case c:
			p |= 1 << i
		case '-':
		default:
			return 0, fmt.Errorf("access rights %q", s)
		}
	}
	switch s[3] {
	case 's':
		p |= PermShared
	case 'p':
	default:
		return 0, fmt.Errorf("access rights %q", s)
	}
	return p, nil
}

// ParseAuxv parses the content of /proc/PID/auxv of a 64-bit little-endian process: pairs of type
// and value up to AT_NULL (getauxval(3)).
func ParseAuxv(b []byte) (map[uint64]uint64, error) {
	out := make(map[uint64]uint64)
	for off := 0; off+16 <= len(b); off += 16 {
		typ := binary.LittleEndian.Uint64(b[off:])
		if typ == 0 {
			return out, nil
		}
		out[typ] = binary.LittleEndian.Uint64(b[off+8:])
	}
	return nil, fmt.Errorf("auxv of %d bytes: no AT_NULL", len(b))
}

// SyscallInfo is where a thread waits in the kernel, from /proc/PID/task/TID/syscall.
type SyscallInfo struct {
	Blocked bool // false: it runs or is runnable, and nothing else is known
	In      bool // in a system call (else blocked for another reason, such as a page fault)
	NR      int
	Args    [6]uint64
	SP, PC  arch.Addr
}

// ParseSyscall parses the content of /proc/PID/syscall (proc_pid_syscall(5)): "running", "-1 SP
// PC", or number, six arguments, SP and PC.
func ParseSyscall(b []byte) (SyscallInfo, error) {
	f := strings.Fields(string(b))
	if len(f) == 1 && f[0] == "running" {
		return SyscallInfo{}, nil
	}
	if len(f) != 3 && len(f) != 9 {
		return SyscallInfo{}, fmt.Errorf("syscall %.80q: %d fields, want 1, 3 or 9", b, len(f))
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil || (nr >= 0) != (len(f) == 9) {
		return SyscallInfo{}, fmt.Errorf("syscall %.80q: number %q", b, f[0])
	}
	var v [8]uint64
	for i, s := range f[1:] {
		if v[i], err = strconv.ParseUint(s, 0, 64); err != nil {
			return SyscallInfo{}, fmt.Errorf("syscall %.80q: %w", b, err)
		}
	}
	in := SyscallInfo{Blocked: true, In: nr >= 0, NR: nr}
	if in.In {
		copy(in.Args[:], v[:6])
		in.SP, in.PC = arch.Addr(v[6]), arch.Addr(v[7])
	} else {
		in.SP, in.PC = arch.Addr(v[0]), arch.Addr(v[1])
	}
	return in, nil
}

// readProc reads a file below /proc/PID. A file of a process that has ended gives ErrNotExist or ESRCH.
func readProc(pid int, elem ...string) ([]byte, error) {
	return os.ReadFile(filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, elem...)...))
}

// readTask reads a file below /proc/PID/task/TID.
func readTask(pid, tid int, name string) ([]byte, error) {
	return readProc(pid, "task", strconv.Itoa(tid), name)
}

// isGone reports whether reading below /proc failed because the process or thread has ended.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// readStat reads and parses /proc/PID/stat.
func readStat(pid int) (Stat, error) {
	b, err := readProc(pid, "stat")
	if err != nil {
		return Stat{}, err
	}
	return ParseStat(b)
}

// taskStat reads and parses /proc/PID/task/TID/stat.
func taskStat(pid, tid int) (Stat, error) {
	b, err := readTask(pid, tid, "stat")
	if err != nil {
		return Stat{}, err
	}
	return ParseStat(b)
}

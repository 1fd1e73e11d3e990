package ptrace

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// Range is a part of the target's memory and where to read it to.
type Range struct {
	Addr arch.Addr
	Buf  []byte
}

// maxIov is the number of ranges that process_vm_readv(2) takes at once (IOV_MAX).
const maxIov = 1024

// ReadMem fills buf from the target's memory at addr, or gives an error: there are no short reads.
// It neither stops nor traces the target.
func (p *Process) ReadMem(buf []byte, addr arch.Addr) error {
	if len(buf) == 0 {
		return nil
	}
	err := readVM(p.PID, buf, addr)
	if err == nil {
		return nil
	}
	if p.readFile(p.PID, buf, addr) == nil {
		return nil
	}
	// The main thread may have ended before the others.
	tids, terr := p.tids()
	if terr != nil {
		return p.readError("read memory of", terr)
	}
	for _, tid := range tids {
		if readVM(tid, buf, addr) == nil {
			return nil
		}
	}
	if cerr := p.check("read memory of"); cerr != nil {
		return cerr
	}
	return fmt.Errorf("process %d: %w", p.PID, err)
}

// readFile fills buf through /proc/PID/task/TID/mem, which also reads what the target itself may not.
func (p *Process) readFile(tid int, buf []byte, addr arch.Addr) error {
	fd, err := unix.Open(p.memPath(tid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return readFD(fd, buf, addr)
}

func (p *Process) memPath(tid int) string {
	return "/proc/" + strconv.Itoa(p.PID) + "/task/" + strconv.Itoa(tid) + "/mem"
}

// ReadVec fills several buffers with one system call for each 1,024 of them.
func (p *Process) ReadVec(ranges []Range) error {
	return readVec(p.PID, ranges, make([]unix.Iovec, min(len(ranges), maxIov)), make([]unix.RemoteIovec, min(len(ranges), maxIov)))
}

// readVec is ReadVec with scratch space, so that it allocates nothing. Ranges that it cannot
// read are an error that names the first.
func readVec(tid int, ranges []Range, local []unix.Iovec, remote []unix.RemoteIovec) error {
	for len(ranges) > 0 {
		n, want := 0, 0
		for n < len(ranges) && n < len(local) {
			r := ranges[n]
			remote[n] = unix.RemoteIovec{Base: uintptr(r.Addr), Len: len(r.Buf)}
			local[n] = unix.Iovec{}
			if len(r.Buf) > 0 {
				local[n] = localIovec(r.Buf)
			}
			want += len(r.Buf)
			n++
		}
		got, e := vmRead(tid, local[:n], remote[:n])
		if e == 0 && got < want {
			e = syscall.EFAULT
		}
		if e != 0 {
			for _, r := range ranges[:n] {
				if got -= len(r.Buf); got < 0 {
					return &MemError{Op: "read", Addr: r.Addr, Len: len(r.Buf), Err: e}
				}
			}
			return &MemError{Op: "read", Addr: ranges[0].Addr, Len: len(ranges[0].Buf), Err: e}
		}
		ranges = ranges[n:]
	}
	return nil
}

// MemError is a failed access to the target's memory.
type MemError struct {
	Op   string // "read" or "write"
	Addr arch.Addr
	Len  int // bytes
	Err  error
}

func (e *MemError) Error() string {
	return fmt.Sprintf("%s %d bytes at %#x: %v", e.Op, e.Len, uint64(e.Addr), e.Err)
}

func (e *MemError) Unwrap() error { return e.Err }

// readVM fills buf by process_vm_readv(2).
func readVM(tid int, buf []byte, addr arch.Addr) error {
	local := [1]unix.Iovec{localIovec(buf)}
	remote := [1]unix.RemoteIovec{{Base: uintptr(addr), Len: len(buf)}}
	n, e := vmRead(tid, local[:], remote[:])
	if e == 0 && n < len(buf) {
		e = syscall.EFAULT
	}
	if e != 0 {
		return &MemError{Op: "read", Addr: addr, Len: len(buf), Err: e}
	}
	return nil
}

// readFD fills buf from an open /proc/PID/mem.
func readFD(fd int, buf []byte, addr arch.Addr) error {
	for done := 0; done < len(buf); {
		n, e := pread(fd, buf[done:], uint64(addr)+uint64(done))
		if e != 0 || n == 0 {
			return &MemError{Op: "read", Addr: addr, Len: len(buf), Err: orEIO(e)}
		}
		done += n
	}
	return nil
}

// orEIO names what a short transfer is.
func orEIO(e syscall.Errno) syscall.Errno {
	if e == 0 {
		return syscall.EIO
	}
	return e
}

// memFile is an open /proc/PID/task/TID/mem of a traced thread. The kernel may grant forced
// writes to the tracer only (proc_mem.force_override=ptrace, Linux 6.12), so it is opened after SEIZE and used
// on the tracer's thread. It stays bound to the memory that the thread had, also after execve.
type memFile struct {
	fd  int
	tid int
}

func (m *memFile) close() {
	if m.fd >= 0 {
		unix.Close(m.fd)
	}
	m.fd, m.tid = -1, 0
}

// openMem makes tr.mem that of a live traced thread.
func (tr *tracer) openMem() error {
	if t := tr.byTID[tr.mem.tid]; tr.mem.fd >= 0 && t != nil && !t.zombie {
		return nil
	}
	tr.mem.close()
	for range maxSeizePasses {
		tid := tr.anyLive()
		fd, err := unix.Open(tr.p.memPath(tid), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			tr.mem = memFile{fd: fd, tid: tid}
			return nil
		}
		if !isGone(err) {
			return tr.p.readError("open memory of", err)
		}
		tr.serve() // the thread's death is to be reported
		if err := tr.usable("open memory of"); err != nil {
			return err
		}
		nap(20_000)
	}
	return tr.p.fail("open memory of", 0, ErrExited, "", nil)
}

// write changes the target's memory whatever its protection, without changing that. stopped is a
// thread for the fallback, PTRACE_POKEDATA. Preconditions: openMem succeeded, stopped is stopped.
func (tr *tracer) write(stopped int, addr arch.Addr, data []byte) error {
	n, cause := tr.writeFile(addr, data)
	if n == len(data) {
		return nil
	}
	addr, data = addr+arch.Addr(n), data[n:]
	if e := poke(stopped, addr, data); e != 0 {
		return &MemError{Op: "write", Addr: addr, Len: len(data),
			Err: fmt.Errorf("/proc/%d/task/%d/mem: %w; PTRACE_POKEDATA: %w", tr.p.PID, tr.mem.tid, cause, e)}
	}
	tr.p.byWords.Store(true)
	return nil
}

// writeFile writes through the open memory file. It returns how many bytes it wrote, and why not all.
func (tr *tracer) writeFile(addr arch.Addr, data []byte) (done int, cause syscall.Errno) {
	for done < len(data) {
		n, e := pwrite(tr.mem.fd, data[done:], uint64(addr)+uint64(done))
		if e != 0 || n <= 0 {
			return done, orEIO(e)
		}
		done += n
	}
	return done, 0
}

// WriteMem changes the target's memory, whatever its protection, while the target runs on. It is for a process that
// is seized; in another, and where the kernel forbids forced writes through /proc/PID/mem, one thread is borrowed for it.
func (p *Process) WriteMem(addr arch.Addr, data []byte) error {
	written := false
	err := p.do("write memory of", func(tr *tracer) error {
		if !tr.seized {
			return nil
		}
		if err := tr.openMem(); err != nil {
			return err
		}
		n, _ := tr.writeFile(addr, data)
		written = n == len(data)
		return nil
	})
	if err != nil || written {
		return err
	}
	return p.Borrow(func(r *Remote) error { return r.Write(addr, data) })
}

// poke writes by words, keeping the bytes around data.
func poke(tid int, addr arch.Addr, data []byte) syscall.Errno {
	for len(data) > 0 {
		base := addr &^ 7
		w, e := ptracePeek(tid, base)
		if e != 0 {
			return e
		}
		var b [8]byte
		binary.NativeEndian.PutUint64(b[:], w)
		n := copy(b[addr-base:], data)
		if e := ptracePoke(tid, base, binary.NativeEndian.Uint64(b[:])); e != 0 {
			return e
		}
		addr, data = addr+arch.Addr(n), data[n:]
	}
	return 0
}

package ptrace

import (
	"fmt"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// Write changes the target's memory, whatever its protection.
func (r *Remote) Write(addr arch.Addr, data []byte) error {
	return r.tr.write(r.t.tid, addr, data)
}

// Read fills buf from the target's memory.
func (r *Remote) Read(buf []byte, addr arch.Addr) error {
	if len(buf) == 0 {
		return nil
	}
	if err := readVM(r.t.tid, buf, addr); err != nil {
		return readFD(r.tr.mem.fd, buf, addr)
	}
	return nil
}

// Mmap maps memory in the target. prot and flags are PROT_* and MAP_* of mmap(2); fd is -1 for anonymous
// memory. With MAP_FIXED_NOREPLACE another address than the one asked for is an error, also on a kernel
// that does not know the flag.
func (r *Remote) Mmap(addr arch.Addr, size uint64, prot, flags int, fd int, off uint64) (arch.Addr, error) {
	text := fmt.Sprintf("mmap(%#x, %#x, %#x, %#x, %d, %#x)", uint64(addr), size, prot, flags, fd, off)
	v, err := r.named(text, unix.SYS_MMAP, uint64(addr), size, uint64(prot), uint64(flags), uint64(fd), off)
	if err != nil {
		return 0, err
	}
	if flags&unix.MAP_FIXED_NOREPLACE != 0 && arch.Addr(v) != addr {
		err := &CallError{Call: text, Err: unix.EEXIST}
		if uerr := r.Munmap(arch.Addr(v), size); uerr != nil {
			return 0, fmt.Errorf("%w; %w", err, uerr)
		}
		return 0, err
	}
	return arch.Addr(v), nil
}

// Munmap removes a mapping.
func (r *Remote) Munmap(addr arch.Addr, size uint64) error {
	_, err := r.named(fmt.Sprintf("munmap(%#x, %#x)", uint64(addr), size), unix.SYS_MUNMAP, uint64(addr), size)
	return err
}

// Mprotect changes the protection of a mapping.
func (r *Remote) Mprotect(addr arch.Addr, size uint64, prot int) error {
	_, err := r.named(fmt.Sprintf("mprotect(%#x, %#x, %#x)", uint64(addr), size, prot),
		unix.SYS_MPROTECT, uint64(addr), size, uint64(prot))
	return err
}

// MemfdName is the name of the files that [Remote.MemfdCreate] makes.
const MemfdName = stubName

// MemfdCreate makes an anonymous file in the target and returns its descriptor there. Its name lies in the stub.
func (r *Remote) MemfdCreate(flags int) (int, error) {
	v, err := r.named(fmt.Sprintf("memfd_create(%q, %#x)", MemfdName, flags), unix.SYS_MEMFD_CREATE, uint64(r.place.addr+stubNameOffset), uint64(flags))
	return int(v), err
}

// Ftruncate sets the size of one of the target's files, in bytes.
func (r *Remote) Ftruncate(fd int, size uint64) error {
	_, err := r.named(fmt.Sprintf("ftruncate(%d, %#x)", fd, size), unix.SYS_FTRUNCATE, uint64(fd), size)
	return err
}

// CloseFD closes one of the target's descriptors.
func (r *Remote) CloseFD(fd int) error {
	_, err := r.named(fmt.Sprintf("close(%d)", fd), unix.SYS_CLOSE, uint64(fd))
	return err
}

package inject

import (
	"os"
	"syscall"

	"hotpatch/arch"
	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
	"hotpatch/ptrace/unwind/cfi"
)

// prefetch reads the live parts of all stacks by few system calls, and is the memory that the check of one thread
// reads. Threads that block have little on their stacks; what is larger than prefetchSize is read when it is asked for.
type prefetch struct {
	ranges []ptrace.Range // of each thread; empty: not prefetched
	room   []byte         // what the ranges' buffers are taken from
	cur    ptrace.Range   // of the thread that is checked
	mem    cfi.Memory
}

// prefetchSize is how much of one stack is read in advance, in bytes.
const prefetchSize = 8 << 10

// maxPrefetch bounds how many stacks are read in advance.
const maxPrefetch = 4096

// newPrefetch allocates room for the threads that a process has now. The room is touched, so that the stop has no
// page faults.
func newPrefetch(pid int) prefetch {
	n := 1
	if st, err := os.Stat(procPath(pid, "task")); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			n = int(min(sys.Nlink, maxPrefetch)) // one for each thread, and two
		}
	}
	p := prefetch{ranges: make([]ptrace.Range, 0, n), room: make([]byte, n*prefetchSize)}
	for i := 0; i < len(p.room); i += 4096 {
		p.room[i] = 1
	}
	return p
}

// read fills the prefetch for stopped threads. What cannot be read is left out.
func (p *prefetch) read(s *ptrace.Stopped, a *arch.Arch, table *spanTable, pid int) {
	p.mem, p.cur, p.ranges = s, ptrace.Range{}, p.ranges[:0]
	room := p.room
	var stacks [maxStacks]unwind.Stack
	for i := range s.Threads {
		if len(p.ranges) == cap(p.ranges) {
			break
		}
		th := &s.Threads[i]
		var r ptrace.Range
		if !th.NoUser {
			sp := th.Regs().SP()
			list := table.stacksOf(stacks[:0], sp, th.FSBase, th.TID == pid)
			if len(list) == 1 && list[0].Own && sp >= list[0].Low+arch.Addr(a.RedZone) {
				lo, hi := (sp-arch.Addr(a.RedZone))&^(wordSize-1), list[0].High
				if hi > lo && hi-lo <= prefetchSize && uint64(hi-lo) <= uint64(len(room)) {
					r = ptrace.Range{Addr: lo, Buf: room[:hi-lo]}
					room = room[hi-lo:]
				}
			}
		}
		p.ranges = append(p.ranges, r)
	}
	if s.ReadVec(p.ranges) != nil {
		p.ranges = p.ranges[:0]
	}
}

// thread makes the stack of thread i the one that is at hand.
func (p *prefetch) thread(i int) {
	p.cur = ptrace.Range{}
	if i < len(p.ranges) {
		p.cur = p.ranges[i]
	}
}

// ReadMem implements cfi.Memory.
func (p *prefetch) ReadMem(buf []byte, addr arch.Addr) error {
	if off := uint64(addr - p.cur.Addr); off < uint64(len(p.cur.Buf)) && uint64(len(buf)) <= uint64(len(p.cur.Buf))-off {
		copy(buf, p.cur.Buf[off:])
		return nil
	}
	return p.mem.ReadMem(buf, addr)
}

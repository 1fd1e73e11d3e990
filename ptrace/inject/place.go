package inject

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// reachMargin is kept free of a jump's reach: instructions of a payload refer to places up to their own
// length and an addend away from what they name.
const reachMargin = 1 << 20

// guard is kept free on both sides of a payload, so that it never continues another mapping.
const guard = 64 << 10

// stackRoom is kept free below a mapping that grows downwards. RLIMIT_STACK is 8 MiB as a
// rule; programs that raise it do so to a gigabyte at most.
const stackRoom = 1 << 30

// lowest is the lowest address to map at (vm.mmap_min_addr is 64 KiB).
const lowest = arch.Addr(64 << 10)

// findRoom returns a free place of size bytes for a payload that must reach all of [low, high) with
// jumps of a and be reached from it. taken are ranges that the same transaction will use. Places below
// the module come first, nearest first: above the main program the heap grows.
func findRoom(a *arch.Arch, maps []ptrace.Mapping, taken []placedRange, low, high arch.Addr, size, align uint64) (arch.Addr, error) {
	reach := arch.Addr(a.Jump.Reach - reachMargin)
	if high-low+arch.Addr(size) > reach {
		return 0, refuse("payload", fmt.Sprintf("module and payloads span %#x bytes", uint64(high-low)+size), "",
			"the module is too large for a jump's reach of %#x bytes", a.Jump.Reach)
	}
	from, to := lowest, a.UserEnd
	if high > reach+lowest {
		from = high - reach
	}
	if low < to-reach {
		to = low + reach
	}
	gaps := freeGaps(maps, taken, a.UserEnd)
	up := arch.Addr(align - 1)
	for i := len(gaps) - 1; i >= 0; i-- { // below: as high as possible
		g := gaps[i]
		if g.End > low {
			continue
		}
		start, end := max(g.Start, from), min(g.End, to)
		if end > start && uint64(end-start) >= size+align {
			return (end - arch.Addr(size)) &^ up, nil
		}
	}
	for i := len(gaps) - 1; i >= 0; i-- { // above: as far from the heap as possible
		g := gaps[i]
		if g.Start < high {
			continue
		}
		start, end := max(g.Start, from), min(g.End, to)
		if end > start && uint64(end-start) >= size+align {
			return (end - arch.Addr(size)) &^ up, nil
		}
	}
	return 0, refuse("payload", fmt.Sprintf("%#x bytes are needed between %#x and %#x", size, uint64(from), uint64(to)),
		"", "no free address space within a jump's reach of the module")
}

// gap is free address space, guards left out.
type gap struct{ Start, End arch.Addr }

// freeGaps returns what is free between the mappings and below end, in increasing order.
func freeGaps(maps []ptrace.Mapping, taken []placedRange, end arch.Addr) []gap {
	var out []gap
	at := lowest
	for i := range maps {
		m := &maps[i]
		room := arch.Addr(guard)
		if m.Path == "[stack]" {
			room = stackRoom
		}
		out = appendGap(out, at+guard, m.Start, room)
		at = max(at, m.End)
	}
	out = appendGap(out, at+guard, end, 0)
	for _, t := range taken {
		var next []gap
		for _, g := range out {
			if t.end() <= g.Start || t.Addr >= g.End {
				next = append(next, g)
				continue
			}
			next = appendGap(next, g.Start, t.Addr, guard)
			next = appendGap(next, t.end()+guard, g.End, 0)
		}
		out = next
	}
	return out
}

func appendGap(out []gap, start, end, room arch.Addr) []gap {
	if end < room || end-room <= start {
		return out
	}
	return append(out, gap{start, end - room})
}

// checkPages refuses kernels whose pages are larger than those by which payloads are laid out: two parts of one that differ in their
// permissions would share a page. arm64 kernels may have pages of 16 or 64 KiB. pageSize is in bytes.
func checkPages(pageSize int) error {
	const page = int(^pageMask) + 1
	if pageSize != page {
		return refuse("kernel", fmt.Sprintf("pages of %d KiB", pageSize>>10), "boot a kernel with pages of 4 KiB",
			"payloads are laid out for pages of %d KiB", page>>10)
	}
	return nil
}

// checkText refuses text that cannot be changed for this process alone: shared mappings, where a
// write would reach other processes or the file, and huge pages of hugetlbfs, which have no copy on write
// through ptrace.
func checkText(m *module, maps []ptrace.Mapping, vmFlags func(arch.Addr) (string, error)) error {
	for i := range maps {
		mp := &maps[i]
		if mp.Perm&ptrace.PermExec == 0 || mp.End <= m.Start || mp.Start >= m.End {
			continue
		}
		found := fmt.Sprintf("%#x-%#x %v %s", uint64(mp.Start), uint64(mp.End), mp.Perm, mp.Path)
		if mp.Perm&ptrace.PermShared != 0 {
			return refuse(m.name(), found, "start the program from an ordinary file system", "its text is a shared mapping: a change would reach other processes")
		}
		if mp.Perm&ptrace.PermWrite != 0 {
			return refuse(m.name(), found, "", "its text is writable: what stands there cannot be relied on")
		}
		if mp.Path == m.Path && mp.Inode != 0 {
			continue
		}
		flags, err := vmFlags(mp.Start)
		if err != nil {
			return err
		}
		if hasFlag(flags, "ht") {
			return refuse(m.name(), found, "start the program without huge pages for its text", "its text is in hugetlb pages")
		}
	}
	return nil
}

// payloadRange returns the range of a linked payload.
func payloadRange(p *patch.Payload) placedRange {
	return placedRange{Addr: p.Base, Size: p.Layout.Size}
}

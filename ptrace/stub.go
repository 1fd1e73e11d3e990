package ptrace

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"

	"hotpatch/arch"
)

// A tail is the unused end of the last page of an executable segment: mapped, executable, and outside of what
// the image says is its own. A stub lies in one while a thread is borrowed.
type tail struct {
	start, end arch.Addr
	rank       int // lower is preferred
}

// Ranks of tails. Those of the first two stay mapped as long as the process lives.
const (
	tailInterp = iota // the dynamic linker's
	tailMain          // the program's
	tailOther
	tailVDSO // last, because the kernel shares that page among all processes until it is written
)

// place is where a stub is written: stubLen bytes that all have the value fill.
type place struct {
	addr arch.Addr
	fill byte
	rank int
}

// findPlaces finds the places for stubs, the best first: the first one that is free, or, where a stub has to be near the thread's code, the
// first one in each tail. What is there must be one value throughout, as linkers leave it: other
// bytes may mean something to somebody. A stub that a dead tracer has left is not
// touched unless there is no other room, because a thread may still be in it.
func (tr *tracer) findPlaces() error {
	if stubReach == 0 && len(tr.places) > 0 && tr.places[0].rank <= tailMain && tr.isFree(&tr.places[0]) {
		return nil
	}
	tails, err := tr.tails()
	if err != nil {
		return err
	}
	tr.places = tr.places[:0]
	var left []arch.Addr // places that are not free, in tails without a free one
	for i := range tails {
		pl, used, found := tr.lookInto(&tails[i])
		switch {
		case !found:
			left = append(left, used...)
			continue
		case stubReach == 0:
			tr.places = append(tr.places, pl)
			return nil
		}
		tr.places = append(tr.places, pl)
	}
	more, err := tr.reclaim(left)
	if err != nil {
		return err
	}
	tr.places = append(tr.places, more...)
	if len(tr.places) == 0 {
		if tr.p.exiting() {
			return tr.p.fail("borrow", 0, ErrExited, "it is exiting", nil)
		}
		return tr.p.fail("borrow", 0, ErrNoRoom, fmt.Sprintf("none of %d executable segments is followed by %d unused bytes in its last page",
			len(tails), stubLen), nil)
	}
	return nil
}

// lookInto finds the first free place in a tail, and the addresses of those in front of it, or of all, that are not free.
func (tr *tracer) lookInto(tl *tail) (pl place, used []arch.Addr, found bool) {
	for at := tl.start; at+stubLen <= tl.end; at += stubStep {
		if pl, found = tr.look(at, tl.rank); found {
			return pl, used, true
		}
		used = append(used, at)
	}
	return place{}, used, false
}

// stubStep is the distance between places in a tail, in bytes.
const stubStep = (stubLen + stubAlign - 1) &^ (stubAlign - 1)

// placeFor chooses among the places one from which a stub reaches pc.
func (tr *tracer) placeFor(pc arch.Addr) (place, bool) {
	for _, pl := range tr.places {
		if inReach(pl.addr, pc) {
			return pl, true
		}
	}
	return place{}, false
}

// inReach reports whether a stub at an address can lead to pc.
func inReach(at, pc arch.Addr) bool {
	return stubReach == 0 || max(at, pc)-min(at, pc) < stubReach
}

// look reads what is at a possible place and reports whether a stub may be written there.
func (tr *tracer) look(at arch.Addr, rank int) (place, bool) {
	var b [stubLen]byte
	if tr.p.ReadMem(b[:], at) != nil {
		return place{}, false
	}
	if _, stub := recognizeStub(at, b[:]); stub {
		tr.abandoned = true
	}
	return place{addr: at, fill: b[0], rank: rank}, uniform(b[:], b[0])
}

// isFree reports whether a place that was free still is.
func (tr *tracer) isFree(pl *place) bool {
	now, ok := tr.look(pl.addr, pl.rank)
	return ok && now == *pl
}

// uniform reports whether all bytes of b have one value, which linkers fill with.
func uniform(b []byte, fill byte) bool {
	for _, c := range b {
		if c != fill {
			return false
		}
	}
	return fill == 0 || slices.Contains(paddingBytes, fill)
}

// Types of the auxiliary vector (getauxval(3)).
const (
	atBase        = 7  // AT_BASE: the dynamic linker
	atEntry       = 9  // AT_ENTRY: the program's entry
	atSysinfoEHDR = 33 // AT_SYSINFO_EHDR: the vDSO
)

// headSize is how much of an image's beginning is read for its program headers, in bytes.
const headSize = 4096

// tails finds the tails of all executable private file mappings, and of the vDSO, the preferred first.
func (tr *tracer) tails() ([]tail, error) {
	maps, err := tr.p.Maps()
	if err != nil {
		return nil, err
	}
	auxv, err := tr.p.Auxv()
	if err != nil {
		return nil, err
	}
	var out []tail
	var first Mapping // the last mapping of a file's beginning
	head := make([]byte, headSize)
	for i := range maps {
		m := &maps[i]
		if m.Off == 0 {
			first = *m
		}
		vdso := m.Start == arch.Addr(auxv[atSysinfoEHDR])
		same := first.Inode == m.Inode && first.Dev == m.Dev && first.Path == m.Path
		const want = PermRead | PermExec
		if !same || m.Inode == 0 && !vdso || m.Perm&(want|PermWrite|PermShared) != want || tr.p.ReadMem(head, first.Start) != nil {
			continue
		}
		end, ok := segmentEnd(head, first.Start, m, arch.Addr(os.Getpagesize()))
		if !ok {
			continue
		}
		t := tail{start: (end + stubAlign - 1) &^ (stubAlign - 1), end: m.End, rank: tailOther}
		switch entry := arch.Addr(auxv[atEntry]); {
		case vdso:
			t.rank = tailVDSO
		case first.Start == arch.Addr(auxv[atBase]):
			t.rank = tailInterp
		case m.Start <= entry && entry < m.End:
			t.rank = tailMain
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b tail) int { return a.rank - b.rank })
	return out, nil
}

// segmentEnd returns the end of the executable segment whose last page is the last of m. head holds the image's
// first bytes, mapped at base. The segment has no memory beyond its file's, and m's last page was
// mapped for it: any other segment in this page would have replaced the mapping.
func segmentEnd(head []byte, base arch.Addr, m *Mapping, page arch.Addr) (arch.Addr, bool) {
	const ( // Elf64_Ehdr and Elf64_Phdr (System V ABI, chapters 4 and 5)
		ident   = "\x7fELF\x02\x01\x01"
		phSize  = 56
		ptLoad  = 1
		pfX     = 1
		minHead = 64
	)
	le := binary.LittleEndian
	if len(head) < minHead || string(head[:len(ident)]) != ident || le.Uint16(head[54:]) != phSize {
		return 0, false
	}
	off, n := le.Uint64(head[32:]), uint64(le.Uint16(head[56:]))
	if off > uint64(len(head)) || n*phSize > uint64(len(head))-off {
		return 0, false
	}
	var bias arch.Addr
	biased := false
	for ph := head[off:][:n*phSize]; len(ph) > 0; ph = ph[phSize:] {
		if le.Uint32(ph) != ptLoad {
			continue
		}
		fileOff, vaddr := le.Uint64(ph[8:]), arch.Addr(le.Uint64(ph[16:]))
		fileSize, memSize := le.Uint64(ph[32:]), le.Uint64(ph[40:])
		if !biased { // the first PT_LOAD holds the file's beginning
			if fileOff >= uint64(page) {
				return 0, false
			}
			bias, biased = base-vaddr&^(page-1), true
		}
		end := bias + vaddr + arch.Addr(memSize)
		if le.Uint32(ph[4:])&pfX == 0 || fileSize != memSize || end <= m.Start || end > m.End {
			continue
		}
		// The mapping's file offset agrees with the segment's.
		if m.End-end < page && fileOff+memSize == m.Off+uint64(end-m.Start) {
			return end, true
		}
	}
	return 0, false
}

package inject

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// snapshot is what a running process looks like to a plan: its mappings, its modules, the
// dynamic linker's list, and the journals of earlier transactions.
type snapshot struct {
	mem      memory
	maps     []ptrace.Mapping
	mods     []*module
	loader   *loader
	journals []*journal // by sequence number
	damaged  []leftover
	pending  *pending // the transaction that ended in the middle; nil: none did. mem shows what its writes mean
	heads    string   // of the journals, see heads
	headed   bool     // they have been read
}

// leftover is a mapping that a dead hotpatch left behind and whose content is no journal.
type leftover struct {
	At   arch.Addr
	Size uint64
	Err  error
}

// String says what is wrong with it, and what helps.
func (d *leftover) String() string {
	help := "the next apply or revert clears what is proven to be unused"
	if d.Err != errTorn {
		help = "what is in force is not known, so that nothing is applied or reverted; use the hotpatch that wrote it, or restart the program"
	}
	return fmt.Sprintf("mapping at %#x: %v; %s", uint64(d.At), d.Err, help)
}

// takeSnapshot reads a running process. It changes nothing and stops nobody. After an error the snapshot has what was read before.
func takeSnapshot(p *ptrace.Process) (*snapshot, error) {
	s := &snapshot{mem: p}
	var err error
	if s.maps, err = p.Maps(); err != nil {
		return s, err
	}
	if s.mods, err = findModules(p, s.maps); err != nil {
		return s, err
	}
	auxv, err := p.Auxv()
	if err != nil {
		return s, err
	}
	if s.loader, err = readLoader(p, auxv, s.mods); err != nil {
		return s, err
	}
	s.heads = heads(p, s.maps)
	s.headed = true
	if err := s.readJournals(); err != nil {
		return s, err
	}
	s.findPending()
	return s, nil
}

// overtaken reports whether another hotpatch has worked on the process since the snapshot was begun.
func (s *snapshot) overtaken(p *ptrace.Process) bool {
	maps, err := p.Maps()
	if err != nil {
		return false
	}
	ours := func(maps []ptrace.Mapping) (out []ptrace.Mapping) {
		for i := range maps {
			if maybeJournal(&maps[i]) {
				out = append(out, maps[i])
			}
		}
		return out
	}
	return !slices.Equal(ours(maps), ours(s.maps)) || s.headed && heads(p, maps) != s.heads
}

// heads returns the addresses and headers of all journals: what changes when another hotpatch works on the
// process.
func heads(mem memory, maps []ptrace.Mapping) string {
	var b strings.Builder
	head := make([]byte, journalHeader)
	for i := range maps {
		mp := &maps[i]
		if !maybeJournal(mp) || mem.ReadMem(head, mp.Start) != nil {
			continue
		}
		if mp.Path == journalPath || string(head[:len(journalMagic)]) == journalMagic {
			fmt.Fprintf(&b, "%x %x\n", uint64(mp.Start), head)
		}
	}
	return b.String()
}

// maybeJournal reports whether a mapping can be that of a journal.
func maybeJournal(mp *ptrace.Mapping) bool {
	return mp.Off == 0 && (mp.Path == journalPath || mp.Inode == 0 && mp.Path == "" && mp.Perm == ptrace.PermRead)
}

// journalPath is how /proc/PID/maps shows a journal's memory.
const journalPath = "/memfd:" + ptrace.MemfdName + " (deleted)"

// readJournals finds the journals: by name, and in anonymous mappings that begin with the magic.
func (s *snapshot) readJournals() error {
	total := uint64(0)
	for i := range s.maps {
		mp := &s.maps[i]
		if !maybeJournal(mp) {
			continue
		}
		named := mp.Path == journalPath
		j, err := s.readJournal(mp, named, maxJournal-total)
		if err != nil {
			s.damaged = append(s.damaged, leftover{mp.Start, uint64(mp.End - mp.Start), err})
			continue
		}
		if j == nil {
			continue
		}
		if total += j.Len; len(s.journals) == maxJournals {
			return fmt.Errorf("more than %d journals", maxJournals)
		}
		s.journals = append(s.journals, j)
		hosted, err := s.readHosted(j, maxJournal-total)
		if err != nil {
			s.damaged = append(s.damaged, leftover{j.spareAt(), j.Record.Spare, err})
		} else if hosted != nil {
			total += hosted.Len
			s.journals = append(s.journals, hosted)
		}
	}
	sort.Slice(s.journals, func(i, k int) bool { return s.journals[i].Seq < s.journals[k].Seq })
	return nil
}

// readJournal reads the journal at the start of a mapping, of at most limit bytes. It returns nil for an anonymous
// mapping that is something else.
func (s *snapshot) readJournal(mp *ptrace.Mapping, named bool, limit uint64) (*journal, error) {
	size := uint64(mp.End - mp.Start)
	head := make([]byte, min(journalHeader, size))
	if err := s.mem.ReadMem(head, mp.Start); err != nil {
		if named {
			return nil, err
		}
		return nil, nil
	}
	n, err := journalLen(head)
	if errors.Is(err, errTorn) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if n > size || n > limit {
		return nil, fmt.Errorf("journal: %#x bytes in a mapping of %#x, of which %#x may be read", n, size, limit)
	}
	b, err := readBytes(s.mem, mp.Start, int(n))
	if err != nil {
		return nil, err
	}
	j, err := decodeJournal(b)
	if err != nil {
		return nil, err
	}
	j.At, j.Len, j.Anon = mp.Start, n, !named
	j.Size = min(size, pageUp(n)+j.Record.Spare) // the process may have mapped more right behind it
	return j, nil
}

// nextSeq returns the sequence number of the next transaction.
func (s *snapshot) nextSeq() uint64 {
	if n := len(s.journals); n > 0 {
		return s.journals[n-1].Seq + 1
	}
	return 1
}

// parsedFile is a decoded patch file, or why it cannot be decoded.
type parsedFile struct {
	file *patch.File
	err  error
}

// decodeFile decodes the patch file of a journal's entry, once for all entries that have it, and checks that the entry is one of it: both are
// in the hands of the process, and the indices of the one are used in the other.
func (j *journal) decodeFile(e *entry) (*patch.File, error) {
	p, ok := j.parsed[e.Patch]
	if !ok {
		p.file, p.err = patch.Decode(j.Files[e.Patch])
		if j.parsed == nil {
			j.parsed = make(map[int]parsedFile)
		}
		j.parsed[e.Patch] = p
	}
	if p.err != nil {
		return nil, fmt.Errorf("journal %d: %w", j.Seq, p.err)
	}
	if len(e.Syms) != len(p.file.Symbols) || len(e.Bodies) != len(p.file.Funcs) {
		return nil, fmt.Errorf("journal %d: damaged: %d symbols and %d functions of patch %s, which has %d and %d", j.Seq,
			len(e.Syms), len(e.Bodies), p.file.ID.Short(), len(p.file.Symbols), len(p.file.Funcs))
	}
	for i := range e.Bodies {
		if f := &p.file.Funcs[i]; e.Bodies[i].How != f.How {
			return nil, fmt.Errorf("journal %d: damaged: %s of patch %s: how %d, not %d", j.Seq, f.Name, p.file.ID.Short(), e.Bodies[i].How, f.How)
		}
	}
	return p.file, nil
}

func procPath(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// statusFields reads /proc/PID/status.
func statusFields(pid int) (map[string]string, error) {
	b, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	out := make(map[string]string)
	for _, line := range strings.Split(string(b), "\n") {
		if k, v, ok := strings.Cut(line, ":"); ok {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out, nil
}

// threadName returns the name of a thread, "" if it has ended.
func threadName(pid, tid int) string {
	b, err := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(tid)+"/comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// vmFlags returns the VmFlags line of /proc/PID/smaps for the mapping that begins at start.
func vmFlags(pid int, start arch.Addr) (string, error) {
	b, err := os.ReadFile(procPath(pid, "smaps"))
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	head := fmt.Sprintf("%08x-", uint64(start))
	in := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, head) {
			in = true
		}
		if v, ok := strings.CutPrefix(line, "VmFlags:"); ok && in {
			return v, nil
		}
	}
	return "", fmt.Errorf("process %d: no flags of the mapping at %#x in smaps", pid, uint64(start))
}

// hasFlag reports whether a VmFlags line has a two-letter flag.
func hasFlag(flags, flag string) bool { return slices.Contains(strings.Fields(flags), flag) }

// innermostPID returns the PID in the target's own PID namespace, which is the same whoever asks.
func innermostPID(status map[string]string) int {
	f := strings.Fields(status["NSpid"])
	if len(f) == 0 {
		return 0
	}
	n, err := strconv.Atoi(f[len(f)-1])
	if err != nil {
		return 0
	}
	return n
}

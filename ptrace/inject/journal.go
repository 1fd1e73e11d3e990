package inject

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/trampoline"
)

// The journal
//
// One mapping in the target for each apply, with room for the journal of another transaction until that is done: first a header of fixed layout, then a body,
// which is JSON (a [record]) followed by the raw patch files. Numbers are little-endian.
//
//	offset size
//	0      16   magic "hotpatch-journal"
//	16     4    version of the layout
//	20     4    number of entries, n
//	24     8    PID, in the target's innermost PID namespace
//	32     8    start time of the process, in clock ticks since boot (proc_pid_stat(5), field 22)
//	40     8    sequence number of the transaction in this process, from 1
//	48     8    length of the JSON
//	56     8    length of the whole journal
//	64     32   SHA-256 of header bytes 0..63 and of everything from offset 512 on
//	96     4    phase of the transaction
//	100    4    go: 0 or 1; all gates of the transaction read it
//	104    4*n  state of each entry
//	512         JSON, patch files
//
// Phase, go and states stand together so that one write changes all of a transaction's. They are
// the only bytes that change once the journal is written.
const (
	journalMagic   = "hotpatch-journal"
	journalVersion = 3
	journalHeader  = 512
	offSum         = 64
	offPhase       = 96
	offGo          = 100
	offStates      = 104
	maxEntries     = (journalHeader - offStates) / 4
	maxJournal     = 256 << 20 // bytes, of one journal and of all that a process has
	maxJournalJSON = 128 << 20
	maxJournals    = 1024 // in one process
)

// A journal is in the hands of the process that it lies in. The decoder makes up to half a kilobyte of an object or
// of a list's element, so their number is bounded before it begins: a patch of a thousand functions has
// five thousand objects, and as many elements as symbols.
const (
	maxObjects  = 200_000
	maxElements = 4 << 20
)

// state says how far an entry of a journal has come. What is in force is judged by the
// bytes in the text; the state says what was intended.
type state uint32

const (
	staged     state = 1 + iota // memory is mapped, no text byte has changed
	committing                  // text bytes are being changed to the new version
	applied                     // all of them are
	reverting                   // text bytes are being changed back
	reverted                    // all of them are; the payload stays mapped
)

func (s state) String() string {
	switch s {
	case staged:
		return "staged"
	case committing:
		return "committing"
	case applied:
		return "applied"
	case reverting:
		return "reverting"
	case reverted:
		return "reverted"
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// A record is what a transaction says of itself.
type record struct {
	User    string      `json:"user"`
	Time    time.Time   `json:"time"`
	Patches []rawFile   `json:"patches"`
	Entries []entry     `json:"entries"`
	Acks    []patch.Ack `json:"acks,omitempty"` // given for this process; those of the patches stand in them
	Intent  *intent     `json:"intent"`         // what the transaction changes
	Spare   uint64      `json:"spare"`          // bytes of room for another journal, from the next page on
}

// rawFile is where a patch file lies in the journal, from the end of the JSON.
type rawFile struct {
	ID  string `json:"id"`
	Off uint64 `json:"off"`
	Len uint64 `json:"len"`
}

// An entry is one patch in one module. If a module is mapped twice there are two.
type entry struct {
	Patch   int           `json:"patch"` // index in record.Patches
	Path    string        `json:"path"`
	Start   arch.Addr     `json:"start"` // of the module
	Bias    arch.Addr     `json:"bias"`
	Build   []byte        `json:"build"` // build-id of the image that is mapped
	Base    arch.Addr     `json:"base"`  // of the payload
	Size    uint64        `json:"size"`
	Segs    []segRecord   `json:"segments"`
	Frames  placedRange   `json:"eh_frame"`
	Gates   placedRange   `json:"gates,omitzero"` // memory for them, behind the payload
	Syms    []arch.Addr   `json:"symbols"`        // by symbol index of the patch; 0 where it has none in the payload
	Writes  []write       `json:"writes"`         // in the order in which they are made
	Bodies  []body        `json:"bodies"`
	Readers []placedRange `json:"readers,omitempty"` // functions that refer to a renewed constant
	Moves   []moveRecord  `json:"moves,omitempty"`   // variables that have a new place
	Below   []patch.ID    `json:"below,omitempty"`   // the patches that it was put on, oldest first
	Allowed []string      `json:"allowed,omitempty"` // functions of which a call in the old body may have gone on
}

// segRecord is a segment of the payload.
type segRecord struct {
	Kind patch.Kind `json:"kind"`
	Addr arch.Addr  `json:"addr"`
	Size uint64     `json:"size"`
	Len  uint64     `json:"len"` // of the initial content
	Sum  []byte     `json:"sum"` // SHA-256 of its initial content, without the zeros of .bss
}

// writeKind says what a write is for.
type writeKind string

const (
	writeJump  writeKind = "jump"       // at the entry of version 0
	writeStale writeKind = "superseded" // at the entry of a body that was the newest until now
	writeConst writeKind = "constant"
)

// A write changes bytes of the target: old bytes that have to be there, new ones that take their place.
type write struct {
	Kind writeKind `json:"kind"`
	Func int       `json:"func"` // index in Bodies; of a constant: in the patch's Consts
	Name string    `json:"name"`
	Addr arch.Addr `json:"addr"`
	Old  []byte    `json:"old"`
	New  []byte    `json:"new"`

	// Of a plan, not in a journal.
	room  *gateRoom // nil: none
	early bool      // nothing leads to the place before go
}

// decisive reports whether callers notice the write when it is made. Nothing leads to the place of a superseded body's jump
// but pointers into that body.
func (w *write) decisive() bool { return w.Kind != writeStale && !w.early }

// A body is a function that the patch replaces, adds or removes. Site and Orig are version 0's part of
// the function's trampoline.Chain, Version is this patch's.
type body struct {
	Name    string             `json:"name"`
	How     patch.How          `json:"how"`
	Entry   arch.Addr          `json:"entry"`           // of version 0: the function's address for ever
	Site    arch.Addr          `json:"site,omitempty"`  // changed functions: of version 0's jump
	Orig    []byte             `json:"orig,omitempty"`  // what was there before the first jump
	Signs   arch.Signing       `json:"signs,omitempty"` // what the landing pad in front of Site does
	Take    int                `json:"take,omitempty"`  // how many bytes from Site on can be moved; see patch.Site
	Fixed   string             `json:"fixed,omitempty"`
	Version trampoline.Version `json:"version"`       // changed functions
	Old     []placedRange      `json:"old,omitempty"` // the newest body before this patch, with its parts
	New     placedRange        `json:"new"`           // in the payload; empty if removed
}

// placedRange is a range of code in the process.
type placedRange struct {
	Name string    `json:"name"`
	Addr arch.Addr `json:"addr"`
	Size uint64    `json:"size"`
}

func (r placedRange) end() arch.Addr { return r.Addr + arch.Addr(r.Size) }

// end is where the payload's memory ends, with its gates.
func (e *entry) end() arch.Addr { return max(e.Base+arch.Addr(e.Size), e.Gates.end()) }

// journal is one transaction as it is found in (or meant for) a process.
type journal struct {
	PID    int
	Start  uint64 // process start time
	Seq    uint64
	Phase  phase
	Go     bool
	States []state
	Record record
	Files  [][]byte           // raw patch files, by index of Record.Patches
	parsed map[int]parsedFile // those of them that have been decoded

	At   arch.Addr // where it is mapped; 0: not yet
	Size uint64    // of the mapping
	Len  uint64    // of the journal in it
	Anon bool      // in an anonymous mapping, not in a memfd

	Hosted bool // in the spare room of another: Size is that of the room
}

// spareAt is where the spare room begins.
func (j *journal) spareAt() arch.Addr { return j.At + arch.Addr(pageUp(j.Len)) }

// encode returns the bytes of a journal.
func (j *journal) encode() ([]byte, error) {
	rec := j.Record
	rec.Patches = make([]rawFile, len(j.Files))
	var raw []byte
	for i, f := range j.Files {
		rec.Patches[i] = rawFile{ID: j.Record.Patches[i].ID, Off: uint64(len(raw)), Len: uint64(len(f))}
		raw = append(raw, f...)
	}
	if len(j.States) != len(rec.Entries) || len(j.States) > maxEntries {
		return nil, fmt.Errorf("journal: %d entries with %d states; at most %d", len(rec.Entries), len(j.States), maxEntries)
	}
	js, err := json.Marshal(&rec)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := countJSON(js); err != nil {
		return nil, err
	}
	b := make([]byte, journalHeader, journalHeader+len(js)+len(raw))
	b = append(append(b, js...), raw...)
	if len(b) > maxJournal || len(js) > maxJournalJSON {
		return nil, fmt.Errorf("journal: %d bytes are more than the limit of %d", len(b), maxJournal)
	}
	copy(b, journalMagic)
	order.PutUint32(b[16:], journalVersion)
	order.PutUint32(b[20:], uint32(len(j.States)))
	order.PutUint64(b[24:], uint64(j.PID))
	order.PutUint64(b[32:], j.Start)
	order.PutUint64(b[40:], j.Seq)
	order.PutUint64(b[48:], uint64(len(js)))
	order.PutUint64(b[56:], uint64(len(b)))
	sum := journalSum(b)
	copy(b[offSum:], sum[:])
	copy(b[offPhase:], encodeHead(j.Phase, j.Go, j.States))
	return b, nil
}

// countJSON refuses JSON with more objects or elements than a journal may have.
func countJSON(js []byte) error {
	if o, e := bytes.Count(js, []byte("{")), bytes.Count(js, []byte(",")); o > maxObjects || e > maxElements {
		return fmt.Errorf("journal: %d objects and %d elements, at most %d and %d", o, e, maxObjects, maxElements)
	}
	return nil
}

// setOwner writes the process that the journal is for into encoded bytes.
func (j *journal) setOwner(b []byte, pid int, start uint64) {
	j.PID, j.Start = pid, start
	order.PutUint64(b[24:], uint64(pid))
	order.PutUint64(b[32:], start)
	sum := journalSum(b)
	copy(b[offSum:], sum[:])
}

func journalSum(b []byte) [32]byte {
	h := sha256.New()
	h.Write(b[:offSum])
	h.Write(b[journalHeader:])
	return [32]byte(h.Sum(nil))
}

// encodeHead returns phase, go and state words as they stand at offPhase.
func encodeHead(p phase, goes bool, s []state) []byte {
	b := order.AppendUint32(make([]byte, 0, 8+4*len(s)), uint32(p))
	word := uint32(0)
	if goes {
		word = 1
	}
	return append(order.AppendUint32(b, word), encodeStates(s)...)
}

// encodeStates returns the state words as they stand at offStates.
func encodeStates(s []state) []byte {
	b := make([]byte, 0, 4*len(s))
	for _, v := range s {
		b = order.AppendUint32(b, uint32(v))
	}
	return b
}

// errTorn says that a journal has no header: its writer died before it had written it, when nothing in the
// text had changed yet.
var errTorn = errors.New("journal: not written completely")

// journalLen returns the length that the header of a journal gives.
func journalLen(head []byte) (uint64, error) {
	if len(head) < journalHeader {
		return 0, fmt.Errorf("journal: %d bytes are too few", len(head))
	}
	if !bytes.Equal(head[:16], []byte(journalMagic)) {
		return 0, errTorn
	}
	if v := order.Uint32(head[16:]); v != journalVersion {
		return 0, fmt.Errorf("journal: version %d is not known (this hotpatch knows %d)", v, journalVersion)
	}
	n := order.Uint64(head[56:])
	if n < journalHeader || n > maxJournal {
		return 0, fmt.Errorf("journal: length %#x", n)
	}
	return n, nil
}

// decodeJournal decodes the bytes of a journal. They are a foreign process's and may be anything:
// counts and offsets are checked before they are used.
func decodeJournal(b []byte) (*journal, error) {
	n, err := journalLen(b)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(b)) {
		return nil, fmt.Errorf("journal: %d of %d bytes are there", len(b), n)
	}
	b = b[:n]
	if sum := journalSum(b); !bytes.Equal(sum[:], b[offSum:offSum+32]) {
		return nil, errors.New("journal: damaged: its checksum does not fit its content")
	}
	count, jsLen := order.Uint32(b[20:]), order.Uint64(b[48:])
	if count > maxEntries || jsLen > n-journalHeader || jsLen > maxJournalJSON {
		return nil, fmt.Errorf("journal: %d entries, %#x bytes of JSON in %#x", count, jsLen, n)
	}
	js := b[journalHeader : journalHeader+jsLen]
	if err := countJSON(js); err != nil {
		return nil, err
	}
	j := &journal{PID: int(int32(order.Uint64(b[24:]))), Start: order.Uint64(b[32:]), Seq: order.Uint64(b[40:])}
	if err := json.Unmarshal(js, &j.Record); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.Phase, j.Go = phase(order.Uint32(b[offPhase:])), order.Uint32(b[offGo:]) != 0
	for i := 0; i < int(count); i++ {
		j.States = append(j.States, state(order.Uint32(b[offStates+4*i:])))
	}
	if err := j.check(b[journalHeader+jsLen:]); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return j, nil
}

// check checks the record's indices and takes the files out of raw.
func (j *journal) check(raw []byte) error {
	r := &j.Record
	if len(r.Entries) != len(j.States) {
		return fmt.Errorf("%d entries, %d states", len(r.Entries), len(j.States))
	}
	for i, s := range j.States {
		if s < staged || s > reverted {
			return fmt.Errorf("entry %d: %v", i, s)
		}
	}
	next := uint64(0) // one behind the other, so that nothing is decoded twice
	for i, f := range r.Patches {
		if f.Off != next || f.Len > uint64(len(raw))-next {
			return fmt.Errorf("patch %d: offset %#x, length %#x in %#x bytes", i, f.Off, f.Len, len(raw))
		}
		next += f.Len
		j.Files = append(j.Files, raw[f.Off:f.Off+f.Len])
	}
	total := uint64(0) // bytes of the process that the entries have us read
	for i := range r.Entries {
		n, err := r.Entries[i].check(len(r.Patches))
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if total += n; total > maxPayload {
			return fmt.Errorf("entry %d: payloads and functions of %d bytes, at most %d", i, total, maxPayload)
		}
	}
	if r.Spare > maxJournal {
		return fmt.Errorf("spare room of %#x bytes", r.Spare)
	}
	if r.Intent == nil || j.Phase > phaseEnded {
		return fmt.Errorf("phase %d, and an intent: %v", j.Phase, r.Intent != nil)
	}
	return r.Intent.check()
}

// maxPayload and maxBody bound a payload and one function, in bytes.
const (
	maxPayload = 1 << 29
	maxBody    = 64 << 20
)

// maxWrite bounds one write: a jump is 5 bytes, a constant may be a large table.
const maxWrite = 16 << 20

// check checks an entry's indices and sizes, and returns how many bytes its payload and functions have.
func (e *entry) check(patches int) (uint64, error) {
	if e.Patch < 0 || e.Patch >= patches {
		return 0, fmt.Errorf("patch %d of %d", e.Patch, patches)
	}
	if e.Size > maxPayload || e.Base+arch.Addr(e.Size) < e.Base || e.Frames.Size > maxPayload || e.Gates.Size > maxPayload || e.Gates.end() < e.Gates.Addr {
		return 0, fmt.Errorf("payload at %#x, size %#x, frames %#x, gates %#x", uint64(e.Base), e.Size, e.Frames.Size, e.Gates.Size)
	}
	total := e.Size + e.Frames.Size
	for _, s := range e.Segs {
		total += s.Size
		if s.Len > s.Size || s.Addr < e.Base || s.Size > e.Size || s.Addr-e.Base > arch.Addr(e.Size-s.Size) {
			return 0, fmt.Errorf("segment at %#x, size %#x: outside the payload", uint64(s.Addr), s.Size)
		}
	}
	ranges := slices.Clone(e.Readers)
	for i := range e.Bodies {
		ranges = append(append(ranges, e.Bodies[i].Old...), e.Bodies[i].New)
	}
	for _, r := range ranges {
		total += r.Size
		if r.Size > maxBody || r.end() < r.Addr {
			return 0, fmt.Errorf("%s at %#x: %#x bytes", r.Name, uint64(r.Addr), r.Size)
		}
	}
	for _, w := range e.Writes {
		if len(w.Old) != len(w.New) || len(w.New) == 0 || len(w.New) > maxWrite {
			return 0, fmt.Errorf("write at %#x: %d bytes for %d", uint64(w.Addr), len(w.New), len(w.Old))
		}
		if w.Func < 0 || w.Kind != writeConst && w.Func >= len(e.Bodies) {
			return 0, fmt.Errorf("write at %#x: function %d of %d", uint64(w.Addr), w.Func, len(e.Bodies))
		}
	}
	for i := range e.Moves {
		if err := e.Moves[i].check(e); err != nil {
			return 0, err
		}
		total += e.Moves[i].Size
	}
	return total, nil
}

package inject

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"hotpatch/arch"
	"hotpatch/trampoline"
)

// Intents
//
// Every transaction that changes text says in the target, before the first byte changes, all that it is going to change. The
// intent is part of the transaction's journal: for an apply that of the patches, for all others a journal without entries, in the spare
// room of another (spare.go), which is cleared when the transaction is done.
//
// The journal's phase goes prepared, begun, ended. While it is begun the text is described by the intent and nothing else:
//
//	go clear   the process runs what it ran before: a gated place has its old bytes or a jump to its gate
//	go set     it runs what it will run: a gated place has a jump to its gate, or its new bytes
//
// A gate leads to the old code while go is clear, to the new code once it is set. So one write of go changes what all gated places
// mean, and at every moment all of them mean the same. A transaction with one decisive write needs no go: that write
// is the commit.
//
// An overlay on reading (effective) shows every place as what it means. Only what could not be gated is seen as it stands: then
// go says that the commit had begun, and what is left to do is finished or undone as the user wishes.

// phase says how far a transaction's writes have come.
type phase uint32

const (
	phasePrepared phase = iota // no text byte has changed; or the transaction failed and was undone
	phaseBegun                 // text bytes change: the intent says what they mean
	phaseEnded                 // nothing leads to a gate any more
)

// An intent is all that a transaction changes.
type intent struct {
	Verb   string        `json:"verb"`   // apply, revert, ...
	Writes []intentWrite `json:"writes"` // at most one for each address
	Marks  []intentMark  `json:"marks"`
}

// An intentWrite is the change of one place. All its byte strings have one length.
type intentWrite struct {
	Kind   writeKind   `json:"kind"`
	Name   string      `json:"name"`
	Addr   arch.Addr   `json:"addr"`
	Before []byte      `json:"before"`
	After  []byte      `json:"after"`
	Gate   []byte      `json:"gate,omitempty"`  // the jump to the gate; empty: not gated
	Code   placedRange `json:"code,omitzero"`   // the gate, if there is one
	Early  bool        `json:"early,omitempty"` // made before go, because nothing leads there before
}

// gated reports whether go decides what the place means.
func (w *intentWrite) gated() bool { return len(w.Gate) > 0 }

// decisive reports whether callers notice the write when it is made, see write.
func (w *intentWrite) decisive() bool { return w.Kind != writeStale && !w.Early }

// An intentMark is what becomes of the state of one entry of a journal.
type intentMark struct {
	Seq    uint64 `json:"sequence"` // of the journal
	Entry  int    `json:"entry"`
	After  state  `json:"after"`
	Undone state  `json:"undone"` // if the transaction does not come to its commit
}

// check checks an intent that was found in a process.
func (it *intent) check() error {
	seen := make(map[arch.Addr]bool)
	for i := range it.Writes {
		w := &it.Writes[i]
		n := len(w.Before)
		if n == 0 || n > maxWrite || len(w.After) != n || len(w.Gate) != 0 && len(w.Gate) != n || w.Addr+arch.Addr(n) < w.Addr {
			return fmt.Errorf("intent: write at %#x: %d bytes for %d by way of %d", uint64(w.Addr), len(w.After), n, len(w.Gate))
		}
		if w.gated() && (w.Code.Size == 0 || w.Code.Size > maxBody || w.Code.end() < w.Code.Addr) {
			return fmt.Errorf("intent: gate at %#x: %#x bytes", uint64(w.Code.Addr), w.Code.Size)
		}
		if seen[w.Addr] {
			return fmt.Errorf("intent: two writes at %#x", uint64(w.Addr))
		}
		seen[w.Addr] = true
	}
	for _, m := range it.Marks {
		if m.Entry < 0 || m.After < staged || m.After > reverted || m.Undone < staged || m.Undone > reverted {
			return fmt.Errorf("intent: entry %d of journal %d: %v, %v", m.Entry, m.Seq, m.After, m.Undone)
		}
	}
	return nil
}

// commits returns the one write that is the commit of a transaction, or nil if go is.
func (it *intent) commits() *intentWrite {
	var one *intentWrite
	for i := range it.Writes {
		w := &it.Writes[i]
		if w.gated() || w.decisive() && one != nil {
			return nil
		}
		if w.decisive() {
			one = w
		}
	}
	return one
}

// pending is the intent of a transaction that ended in the middle, and what stands in the text.
type pending struct {
	j       *journal
	raw     [][]byte // by write: what stands there; nil: it cannot be read
	forward bool     // the commit was made: what is gated is new
	mixed   bool     // of what is not gated, a part is old
}

// readPending reads what stands in the text. Preconditions: j is begun.
func readPending(mem memory, j *journal) *pending {
	it := j.Record.Intent
	p := &pending{j: j, raw: make([][]byte, len(it.Writes)), forward: j.Go}
	one := it.commits()
	for i := range it.Writes {
		w := &it.Writes[i]
		if b, err := readBytes(mem, w.Addr, len(w.Before)); err == nil {
			p.raw[i] = b
		}
		if w == one {
			p.forward = bytes.Equal(p.raw[i], w.After)
		}
	}
	old, begun := false, false // a place that is not gated is old; one is new, by itself or by its gate
	for i := range it.Writes {
		switch w := &it.Writes[i]; {
		case w.decisive() && !w.gated() && bytes.Equal(p.raw[i], w.Before):
			old = true
		case w.decisive():
			begun = true
		}
	}
	p.mixed = p.forward && old && begun
	if old && !begun { // the death was right behind go
		p.forward = false
	}
	return p
}

// effective returns what the place of write i means, or nil if that is what stands there.
func (p *pending) effective(i int) []byte {
	w := &p.j.Record.Intent.Writes[i]
	if w.decisive() && !w.gated() {
		return nil
	}
	means := w.Before
	if p.forward {
		means = w.After
	}
	raw := p.raw[i]
	ours := bytes.Equal(raw, w.Before) || bytes.Equal(raw, w.After) || w.gated() && bytes.Equal(raw, w.Gate)
	if !ours || bytes.Equal(raw, means) { // somebody else's bytes, or a module that is gone
		return nil
	}
	return means
}

// overlay shows memory with other bytes in some places.
type overlay struct {
	memory
	over []expected
}

// overlay returns mem with what the places of a pending transaction mean.
func (p *pending) overlay(mem memory) *overlay {
	o := &overlay{memory: mem}
	for i := range p.raw {
		if b := p.effective(i); b != nil {
			o.over = append(o.over, expected{addr: p.j.Record.Intent.Writes[i].Addr, bytes: b})
		}
	}
	return o
}

func (o *overlay) ReadMem(buf []byte, addr arch.Addr) error {
	if err := o.memory.ReadMem(buf, addr); err != nil {
		return err
	}
	for _, e := range o.over {
		if e.addr >= addr && e.addr-addr < arch.Addr(len(buf)) {
			copy(buf[e.addr-addr:], e.bytes)
		} else if addr > e.addr && addr-e.addr < arch.Addr(len(e.bytes)) {
			copy(buf, e.bytes[addr-e.addr:])
		}
	}
	return nil
}

// errTwoPending says that two transactions are begun: the second should have settled the first.
var errTwoPending = errors.New("journal: two transactions ended in the middle")

// findPending finds the transaction that ended in the middle, and puts the overlay over the snapshot's memory.
func (s *snapshot) findPending() {
	for _, j := range s.journals {
		if j.Record.Intent == nil || j.Phase != phaseBegun {
			continue
		}
		if s.pending != nil {
			s.damaged = append(s.damaged, leftover{j.At, j.Size, errTwoPending})
			return
		}
		s.pending = readPending(s.mem, j)
	}
	if s.pending != nil {
		s.mem = s.pending.overlay(s.mem)
	}
}

// conclude ends the planning of a transaction that changes something: its journal with the intent.
func (pl *planner) conclude() error {
	if pl.settles != nil || len(pl.writes) == 0 && len(pl.marks) == 0 {
		return nil
	}
	if pl.journal == nil {
		pl.journal = &journal{Seq: pl.snap.nextSeq(), Record: record{User: pl.opt.User, Time: time.Now().UTC()}}
	}
	pl.markOf(pl.journal)
	pl.dropIdle()
	pl.classify()
	pl.gates()
	pl.journal.Record.Intent = pl.intend()
	if err := pl.placeJournal(); err != nil {
		return err
	}
	if err := pl.aim(pl.journal.At + offGo); err != nil {
		return err
	}
	if j := pl.journal; len(j.States) == 0 && !j.Hosted { // it says nothing more once this is done
		pl.drop = append(pl.drop, leftover{At: j.At, Size: j.Size})
	}
	return nil
}

// placeJournal encodes the journal and gives it an address: one that the kernel chooses could be
// the payload's.
func (pl *planner) placeJournal() error {
	j, m := pl.journal, pl.snap.loader.order[0]
	if len(pl.steps) > 0 {
		m = pl.steps[0].view.m
	}
	if len(j.States) > 0 {
		j.Record.Spare = spareFor(j.Record.Intent)
	}
	var err error
	if pl.raw, err = j.encode(); err != nil {
		return err
	}
	if host := pl.spare(len(pl.raw)); host != nil && len(j.States) == 0 {
		j.At, j.Size, j.Hosted = host.spareAt(), host.Record.Spare, true
		return nil
	}
	j.Size = pageUp(uint64(len(pl.raw))) + j.Record.Spare
	j.At, err = findRoom(pl.arch, pl.snap.maps, pl.taken, m.Start, m.End, j.Size, 1<<16)
	return err
}

// intend makes the intent of the plan.
func (pl *planner) intend() *intent {
	it := &intent{Verb: pl.report.Verb}
	gates := make(map[*write]*trampoline.Gate)
	for i := range pl.gated {
		gates[pl.gated[i].w] = pl.gated[i].gate
	}
	for i := range pl.writes {
		w := &pl.writes[i]
		out := intentWrite{Kind: w.Kind, Name: w.Name, Addr: w.Addr, Before: w.Old, After: w.New, Early: w.early}
		if g := gates[w]; g != nil {
			out.Gate, out.Code = g.Jump, placedRange{Name: "the gate of " + w.Name, Addr: g.Addr, Size: uint64(len(g.Code))}
		}
		it.Writes = append(it.Writes, out)
	}
	for _, m := range pl.marks {
		for i, s := range m.after {
			if s != m.j.States[i] {
				it.Marks = append(it.Marks, intentMark{Seq: m.j.Seq, Entry: i, After: s, Undone: m.j.States[i]})
			}
		}
	}
	return it
}

// maxLanding is more than any landing pad has, in bytes.
const maxLanding = 16

// classify finds the writes that are made before go, because nothing leads there before: to bodies that come into force with it.
func (pl *planner) classify() {
	begins := make(map[arch.Addr]bool) // bodies that jumps of the plan lead to, or the heads in front of them
	before := maxLanding + arch.Addr(len(pl.arch.Jump.Head))
	for i := range pl.writes {
		w := &pl.writes[i]
		if to, ok := pl.arch.Jump.Recognize(w.Addr, w.New); ok && w.Kind == writeJump {
			begins[to] = true
		}
	}
	for i := range pl.writes {
		w := &pl.writes[i]
		w.early = w.early || pl.future(w.Addr)
		for pad := arch.Addr(0); pad < before && w.Kind == writeStale && !w.early; pad++ {
			w.early = begins[w.Addr-pad]
		}
	}
}

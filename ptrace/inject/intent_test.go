package inject

import (
	"bytes"
	"debug/elf"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// textAt is where the places of intents stand in these tests, placeSize the bytes of each; journalAt is where their journal is.
const (
	textAt    = arch.Addr(0x400000)
	placeSize = 5
	journalAt = arch.Addr(0x500000)
)

// randomPlan makes a plan with writes of every kind: decisive ones, of which gates has a bit for each that is gated, and superseded ones.
func randomPlan(t *testing.T, rnd *rand.Rand, decisive, stale int, gated uint) *plan {
	t.Helper()
	a, err := machines.Lookup(elf.EM_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	it := &intent{Verb: "apply"}
	for i := range decisive + stale {
		b := make([]byte, 3*placeSize)
		rnd.Read(b)
		w := intentWrite{
			Kind: writeJump, Name: fmt.Sprint("f", i), Addr: textAt + arch.Addr(i*placeSize),
			Before: b[:placeSize], After: b[placeSize : 2*placeSize],
		}
		if i >= decisive {
			w.Kind, w.Early = writeStale, rnd.Intn(2) == 0
		} else if gated>>i&1 == 1 {
			w.Gate, w.Code = b[2*placeSize:], placedRange{"gate", 0x300000, 64}
		}
		it.Writes = append(it.Writes, w)
	}
	rnd.Shuffle(len(it.Writes), func(i, k int) { it.Writes[i], it.Writes[k] = it.Writes[k], it.Writes[i] })
	other := &journal{At: journalAt + 0x1000, Seq: 1, States: []state{applied}}
	own := &journal{
		At: journalAt, Seq: 2, States: []state{staged}, Files: [][]byte{nil},
		Record: record{Entries: make([]entry, 1), Patches: make([]rawFile, 1), Intent: it},
	}
	return &plan{arch: a, journal: own, marks: []mark{
		{j: other, during: []state{reverting}, after: []state{reverted}},
		{j: own, during: []state{committing}, after: []state{applied}},
	}}
}

// world is the memory that a plan changes: its text, and the headers of two journals.
type world struct{ text, own, other fakeMemory }

func newWorld(t *testing.T, pl *plan) *world {
	t.Helper()
	raw, err := pl.journal.encode()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		fakeMemory{textAt, make([]byte, 4096)}, fakeMemory{journalAt, raw}, fakeMemory{journalAt + 0x1000, make([]byte, journalHeader)},
	}
	copy(w.other.data[offStates:], encodeStates([]state{applied}))
	for i := range pl.journal.Record.Intent.Writes {
		iw := &pl.journal.Record.Intent.Writes[i]
		w.write(t, iw.Addr, nil, iw.Before)
	}
	return w
}

// write writes where old stands, which is not looked at if it is nil.
func (w *world) write(t *testing.T, at arch.Addr, old, new []byte) {
	t.Helper()
	for _, m := range []*fakeMemory{&w.text, &w.own, &w.other} {
		if off := at - m.base; at >= m.base && int(off) < len(m.data) {
			place := m.data[off:][:len(new)]
			if old != nil && !bytes.Equal(place, old) {
				t.Fatalf("at %#x: % x, expected % x", at, place, old)
			}
			copy(place, new)
			return
		}
	}
	t.Fatalf("write to %#x", at)
}

// seen returns how many of the decisive places mean their new bytes, and how many their old ones, as a snapshot sees them.
func (w *world) seen(t *testing.T, pl *plan) (old, new int) {
	t.Helper()
	j, err := decodeJournal(w.own.data)
	if err != nil {
		t.Fatal(err)
	}
	s := &snapshot{mem: &w.text, journals: []*journal{j}}
	s.findPending()
	for i := range pl.journal.Record.Intent.Writes {
		iw := &pl.journal.Record.Intent.Writes[i]
		b, err := readBytes(s.mem, iw.Addr, placeSize)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case bytes.Equal(b, iw.After):
			new++
		case bytes.Equal(b, iw.Before):
			old++
		default:
			t.Fatalf("%s means % x", iw.Name, b)
		}
	}
	return old, new
}

// TestEveryPrefix makes commits of random transactions change by change, and undoes them from every point: what the text means is
// all old or all new at each, and the first change of all is the journal's.
func TestEveryPrefix(t *testing.T) {
	for seed := range int64(200) {
		rnd := rand.New(rand.NewSource(seed))
		decisive, stale := 1+rnd.Intn(4), rnd.Intn(4)
		gated := uint(1<<decisive - 1) // all of them
		if decisive == 1 && rnd.Intn(2) == 0 {
			gated = 0
		}
		pl := randomPlan(t, rnd, decisive, stale, gated)
		w := newWorld(t, pl)
		changes := pl.changes()
		if c := &changes[0]; c.at != journalAt+offPhase {
			t.Fatalf("the first change is at %#x", c.at)
		}
		commits := 0
		for n := range changes {
			w.write(t, changes[n].at, changes[n].old, changes[n].new)
			old, new := w.seen(t, pl)
			if old > 0 && new > 0 {
				t.Fatalf("seed %d, after change %d of %d (%s): %d places are old, %d new", seed, n, len(changes), changes[n].point, old, new)
			}
			if new > 0 && commits == 0 {
				commits = n
			}
			if commits > 0 && new == 0 {
				t.Fatalf("seed %d: change %d takes the commit back", seed, n)
			}
			undo(t, w, pl, changes[:n+1])
			for _, c := range changes[:n+1] {
				w.write(t, c.at, c.old, c.new)
			}
		}
		if commits == 0 {
			t.Fatalf("seed %d: no change is the commit", seed)
		}
	}
}

// undo undoes changes, last first.
func undo(t *testing.T, w *world, pl *plan, changes []change) {
	t.Helper()
	for i := len(changes) - 1; i >= 0; i-- {
		w.write(t, changes[i].at, changes[i].new, changes[i].old)
		if old, new := w.seen(t, pl); old > 0 && new > 0 {
			t.Fatalf("undoing change %d of %d: %d places are old, %d new", i, len(changes), old, new)
		}
	}
	if old, _ := w.seen(t, pl); old != len(pl.journal.Record.Intent.Writes) {
		t.Fatalf("undone, but %d places are old", old)
	}
}

// TestSettle ends commits at every change, settles what is left, and dies at every point of that as well. In the end the text has the bytes
// that it meant, the states fit, and nothing is pending.
func TestSettle(t *testing.T) {
	for seed := range int64(60) {
		rnd := rand.New(rand.NewSource(seed))
		decisive, stale := 2+rnd.Intn(3), rnd.Intn(3)
		pl := randomPlan(t, rnd, decisive, stale, uint(1<<decisive-1))
		pl.journal.Record.Intent.Marks = []intentMark{{Seq: 1, After: reverted, Undone: applied}, {Seq: 2, After: applied, Undone: staged}}
		w := newWorld(t, pl)
		for n, c := range pl.changes() {
			w.write(t, c.at, c.old, c.new)
			_, new := w.seen(t, pl)
			after := &world{w.text, w.own, w.other}
			for _, m := range []*fakeMemory{&after.text, &after.own, &after.other} {
				m.data = slices.Clone(m.data)
			}
			for try := 0; ; try++ { // each dies one change later
				left := settleWorld(t, after)
				for i, c := range left {
					if i >= try {
						break
					}
					after.write(t, c.at, c.old, c.new)
				}
				if len(left) <= try {
					break
				}
				if _, now := after.seen(t, pl); (now > 0) != (new > 0) {
					t.Fatalf("seed %d: settling change %d changes what the text means", seed, n)
				}
			}
			want := map[bool][2]state{true: {reverted, applied}, false: {applied, staged}}[new > 0]
			own, err := decodeJournal(after.own.data)
			if err != nil || own.Phase != phaseEnded || own.States[0] != want[1] || state(order.Uint32(after.other.data[offStates:])) != want[0] {
				t.Fatalf("seed %d, change %d: settled to %+v, %v, the other is %d", seed, n, own, err, order.Uint32(after.other.data[offStates:]))
			}
			for i := range own.Record.Intent.Writes {
				iw := &own.Record.Intent.Writes[i]
				b, _ := readBytes(&after.text, iw.Addr, placeSize)
				if old := bytes.Equal(b, iw.Before); old == (new > 0) {
					t.Fatalf("seed %d, change %d: %s holds % x", seed, n, iw.Name, b)
				}
			}
		}
	}
}

// settleWorld returns the changes that settle what is pending in w; none if nothing is.
func settleWorld(t *testing.T, w *world) []change {
	t.Helper()
	j, err := decodeJournal(w.own.data)
	if err != nil {
		t.Fatal(err)
	}
	j.At = journalAt
	other := &journal{At: journalAt + 0x1000, Seq: 1, States: []state{state(order.Uint32(w.other.data[offStates:]))}}
	s := &snapshot{mem: &w.text, journals: []*journal{other, j}}
	s.findPending()
	if s.pending == nil {
		return nil
	}
	pl := &planner{plan: &plan{snap: s, report: &Report{}}}
	pl.planSettle()
	for i := range j.Record.Intent.Writes {
		if iw := &j.Record.Intent.Writes[i]; iw.gated() && !slices.ContainsFunc(pl.targets, func(t target) bool { return t.Addr == iw.Code.Addr }) {
			t.Errorf("the gate of %s may be in use", iw.Name)
		}
	}
	return pl.changes()
}

// TestMixed sees what is not gated as it stands.
func TestMixed(t *testing.T) {
	pl := randomPlan(t, rand.New(rand.NewSource(1)), 4, 0, 0b0011)
	w := newWorld(t, pl)
	mixed := 0
	for _, c := range pl.changes() {
		w.write(t, c.at, c.old, c.new)
		j, err := decodeJournal(w.own.data)
		if err != nil {
			t.Fatal(err)
		}
		old, new := w.seen(t, pl)
		half := old > 0 && new > 0
		if half {
			mixed++
		}
		if j.Phase == phaseBegun && readPending(&w.text, j).mixed != half {
			t.Errorf("behind %s: %d old, %d new", c.point, old, new)
		}
	}
	if mixed != 2 { // behind go, and behind the first of the two that are not gated
		t.Errorf("mixed behind %d changes", mixed)
	}
}

func TestHostileIntent(t *testing.T) {
	good := intentWrite{Kind: writeJump, Addr: 0x1000, Before: make([]byte, 5), After: make([]byte, 5), Gate: make([]byte, 5), Code: placedRange{"", 0x2000, 64}}
	edit := func(f func(*intentWrite)) []intentWrite {
		w := good
		f(&w)
		return []intentWrite{w}
	}
	for _, c := range []struct {
		name string
		it   intent
		want string
	}{
		{name: "good", it: intent{Writes: []intentWrite{good}, Marks: []intentMark{{After: applied, Undone: staged}}}},
		{name: "nothing", it: intent{Writes: edit(func(w *intentWrite) { w.Before = nil })}, want: "5 bytes for 0"},
		{name: "lengths", it: intent{Writes: edit(func(w *intentWrite) { w.After = make([]byte, 4) })}, want: "4 bytes for 5"},
		{name: "length of the gate's jump", it: intent{Writes: edit(func(w *intentWrite) { w.Gate = make([]byte, 4) })}, want: "by way of 4"},
		{name: "around the address space", it: intent{Writes: edit(func(w *intentWrite) { w.Addr = ^arch.Addr(0) })}, want: "write at 0xffff"},
		{name: "too long", it: intent{Writes: edit(func(w *intentWrite) {
			w.Before, w.After, w.Gate = make([]byte, maxWrite+1), make([]byte, maxWrite+1), nil
		})}, want: "bytes for"},
		{name: "no gate", it: intent{Writes: edit(func(w *intentWrite) { w.Code.Size = 0 })}, want: "gate at 0x2000: 0x0 bytes"},
		{name: "large gate", it: intent{Writes: edit(func(w *intentWrite) { w.Code.Size = maxBody + 1 })}, want: "gate at"},
		{name: "gate around the address space", it: intent{Writes: edit(func(w *intentWrite) { w.Code.Addr = ^arch.Addr(0) })}, want: "gate at"},
		{name: "twice", it: intent{Writes: []intentWrite{good, good}}, want: "two writes at 0x1000"},
		{name: "entry", it: intent{Marks: []intentMark{{Entry: -1, After: applied, Undone: staged}}}, want: "entry -1"},
		{name: "state", it: intent{Marks: []intentMark{{After: 9, Undone: staged}}}, want: "state 9"},
		{name: "undone state", it: intent{Marks: []intentMark{{After: applied}}}, want: "state 0"},
	} {
		if err := c.it.check(); (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestOverlay reads across the ends of what it covers.
func TestOverlay(t *testing.T) {
	mem := &fakeMemory{0x1000, []byte("abcdefghijklmnop")}
	o := &overlay{mem, []expected{{addr: 0x1004, bytes: []byte("EFG")}}}
	for at := arch.Addr(0x1000); at < 0x1010; at++ {
		for n := 0; at+arch.Addr(n) <= 0x1010; n++ {
			b := make([]byte, n)
			if err := o.ReadMem(b, at); err != nil || string(b) != "abcdEFGhijklmnop"[at-0x1000:][:n] {
				t.Fatalf("%d bytes at %#x: %q, %v", n, at, b, err)
			}
		}
	}
}

// TestSpare has room in an apply's journal for the journal of what takes it back.
func TestSpare(t *testing.T) {
	for _, n := range []int{1, 10, 300} {
		pl := randomPlan(t, rand.New(rand.NewSource(1)), n, n/2, 0)
		it := pl.journal.Record.Intent
		for i := range it.Writes {
			w := &it.Writes[i]
			w.Name = strings.Repeat("long_name_", 1+i%20)
			if w.Addr += 0x7fff_0000_0000; w.decisive() {
				w.Gate, w.Code = w.After, placedRange{"the gate of " + w.Name, 0x7fff_1234_5678, 64}
			}
		}
		back := &journal{Seq: 1 << 40, Record: record{User: strings.Repeat("u", 100), Intent: it}}
		need, err := back.encode()
		if err != nil {
			t.Fatal(err)
		}
		if have := spareFor(it); have < uint64(len(need)) || have > 3*uint64(len(need))+0x2000 {
			t.Errorf("%d writes: room for %d bytes, %d are needed", len(it.Writes), have, len(need))
		}
	}
}

// TestInWords names jumps across words of 8 bytes, once.
func TestInWords(t *testing.T) {
	pl := &plan{report: &Report{Atomic: true, NotAtomic: []NotAtomic{{"constant", "renewed"}, {"two", "in two pages"}}}}
	for _, c := range []struct {
		name string
		at   arch.Addr
		kind writeKind
	}{{"one", 0x1003, writeJump}, {"two", 0x1ffc, writeJump}, {"three", 0x1004, writeJump}, {"stale", 0x1014, writeStale}, {"exact", 0x1008, writeJump}} {
		pl.writes = append(pl.writes, write{Kind: c.kind, Name: c.name, Addr: c.at, New: make([]byte, 5)})
	}
	pl.inWords()
	var names []string
	for _, n := range pl.report.NotAtomic {
		names = append(names, n.Name)
	}
	if want := []string{"constant", "two", "three"}; pl.report.Atomic || !slices.Equal(names, want) {
		t.Errorf("%v, atomic %v; want %v", names, pl.report.Atomic, want)
	}
}

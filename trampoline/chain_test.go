package trampoline

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff/patch"
)

const (
	testSite = arch.Addr(0x555500001004) // behind an endbr64
	payloads = arch.Addr(0x555540000000)
)

var testOrig = []byte{0x48, 0x89, 0xc8, 0x31, 0xc0}

func newChain() *Chain { return &Chain{Name: "handle", Site: testSite, Orig: testOrig} }

// testVersion returns version number i, at entry; every body begins otherwise.
func testVersion(t testing.TB, a *arch.Arch, i int, entry arch.Addr) Version {
	t.Helper()
	text := []byte{0xb8, byte(i), 0, 0, 0, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc} // mov $i,%eax; ret
	if i%2 == 0 {
		text = join(endbr64, text)
	}
	v, err := NewVersion(a, patch.ID{byte(i), 1}, entry, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// process is a model of a patched process: the bytes at every site.
type process struct {
	a     *arch.Arch
	bytes map[arch.Addr][]byte
	all   []Version
}

func newProcess(a *arch.Arch, all []Version) *process {
	p := &process{a: a, bytes: map[arch.Addr][]byte{testSite: testOrig}, all: all}
	for _, v := range all {
		p.bytes[v.Site] = v.Orig
	}
	return p
}

func (p *process) write(w Write) error {
	if !bytes.Equal(p.bytes[w.Addr], w.Old) {
		return fmt.Errorf("at %#x: % x expected, % x found", w.Addr, w.Old, p.bytes[w.Addr])
	}
	if len(w.New) != len(w.Old) {
		return fmt.Errorf("at %#x: % x replaced by % x", w.Addr, w.Old, w.New)
	}
	p.bytes[w.Addr] = w.New
	return nil
}

// run executes from an address and returns the site whose own body is reached, and the jumps it took.
func (p *process) run(at arch.Addr) (arch.Addr, int, error) {
	for jumps := 0; jumps < 100; jumps++ {
		for _, v := range p.all {
			if at == v.Entry { // a landing pad leads on to the site
				at = v.Site
			}
		}
		code, ok := p.bytes[at]
		if !ok {
			return 0, 0, fmt.Errorf("execution reaches %#x, where nothing is", at)
		}
		to, jump := p.a.Jump.Recognize(at, code)
		if !jump {
			return at, jumps, nil
		}
		at = to
	}
	return 0, 0, errors.New("endless jumps")
}

// site returns the site of the newest version of c.
func newestSite(c *Chain) arch.Addr {
	if n := c.Newest(); n > 0 {
		return c.Versions[n-1].Site
	}
	return c.Site
}

// verify holds a process to a chain: callers and stale pointers reach the newest version; version 0's
// caller by one jump; every version that is not in the chain has its own bytes.
func (p *process) verify(t *testing.T, c *Chain) {
	t.Helper()
	want := newestSite(c)
	starts := []arch.Addr{c.Site}
	in := map[arch.Addr]bool{}
	for _, v := range c.Versions {
		starts = append(starts, v.Entry)
		in[v.Site] = true
	}
	for i, s := range starts {
		got, jumps, err := p.run(s)
		if err != nil || got != want {
			t.Fatalf("%s: from version %d: %#x, %v; want %#x", c.Name, i, got, err, want)
		}
		if i == 0 && jumps > 1 {
			t.Fatalf("a call takes %d jumps", jumps)
		}
	}
	for _, v := range p.all {
		if !in[v.Site] && !bytes.Equal(p.bytes[v.Site], v.Orig) {
			t.Fatalf("version at %#x is not in the chain and has % x, not % x", v.Entry, p.bytes[v.Site], v.Orig)
		}
	}
	n, err := c.Leads(p.a, p.bytes[c.Site])
	if err != nil || n != c.Newest() {
		t.Fatalf("bytes lead to version %d, %v; want %d", n, err, c.Newest())
	}
	places, err := c.Bytes(p.a)
	if err != nil {
		t.Fatal(err)
	}
	var read [][]byte
	for _, pl := range places {
		read = append(read, p.bytes[pl.Addr])
	}
	if err := c.Check(p.a, read); err != nil {
		t.Fatal(err)
	}
}

// TestRandomWalks applies and reverts 20 versions in every order, and commits write by write: after each
// write callers reach the version before or the one after, nothing else.
func TestRandomWalks(t *testing.T) {
	a := x86(t)
	tests := []struct {
		name  string
		place func(i int) arch.Addr
	}{
		{name: "near each other", place: func(i int) arch.Addr { return payloads + arch.Addr(i)*0x1000 }},
		// Payloads on both sides of the module: each within 2 GiB of it, not of each other.
		{name: "on both sides", place: func(i int) arch.Addr {
			return testSite - 4 + arch.Addr(int64(1-2*(i%2))*0x7f000000) + arch.Addr(i)*0x1000
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []Version
			for i := range 20 {
				all = append(all, testVersion(t, a, i, tt.place(i)))
			}
			for seed := range int64(30) {
				walk(t, a, all, rand.New(rand.NewSource(seed)), 200)
			}
		})
	}
}

func walk(t *testing.T, a *arch.Arch, all []Version, rnd *rand.Rand, steps int) {
	t.Helper()
	c, p := newChain(), newProcess(a, all)
	for range steps {
		v := all[rnd.Intn(len(all))]
		n, applied := c.Find(v.Patch)
		if applied {
			c = p.commit(t, c, second3(c.Revert(a, n)), 3)
		} else {
			c = p.commit(t, c, second3(c.Apply(a, v)), 2)
		}
	}
	for c.Newest() > 0 {
		c = p.commit(t, c, second3(c.Revert(a, 1+rnd.Intn(c.Newest()))), 3)
	}
	for at, b := range newProcess(a, all).bytes {
		if !bytes.Equal(p.bytes[at], b) {
			t.Fatalf("after all reverted, at %#x: % x instead of % x", at, p.bytes[at], b)
		}
	}
}

type step struct {
	next   *Chain
	writes []Write
	err    error
}

func second3(next *Chain, writes []Write, err error) step { return step{next, writes, err} }

// commit carries out a step, after having shown that each prefix of it can be undone.
func (p *process) commit(t *testing.T, c *Chain, s step, limit int) *Chain {
	t.Helper()
	if s.err != nil {
		t.Fatal(s.err)
	}
	if len(s.writes) > limit {
		t.Fatalf("%d writes, at most %d are allowed", len(s.writes), limit)
	}
	for i, w := range s.writes {
		if err := p.write(w); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		got, _, err := p.run(c.Site)
		if err != nil || got != newestSite(c) && got != newestSite(s.next) {
			t.Fatalf("after write %d callers reach %#x, %v", i, got, err)
		}
	}
	for i := len(s.writes) - 1; i >= 0; i-- {
		if err := p.write(s.writes[i].Undo()); err != nil {
			t.Fatalf("undo of write %d: %v", i, err)
		}
	}
	p.verify(t, c)
	for _, w := range s.writes {
		if err := p.write(w); err != nil {
			t.Fatal(err)
		}
	}
	p.verify(t, s.next)
	return s.next
}

func TestChainsAreValues(t *testing.T) {
	a := x86(t)
	c1, _, err := newChain().Apply(a, testVersion(t, a, 1, payloads))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(c1)
	if _, _, err := c1.Apply(a, testVersion(t, a, 2, payloads+0x1000)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c1.Revert(a, 1); err != nil {
		t.Fatal(err)
	}
	after, _ := json.Marshal(c1)
	if !bytes.Equal(before, after) {
		t.Errorf("%s became %s", before, after)
	}
	var back Chain
	if err := json.Unmarshal(after, &back); err != nil || !reflect.DeepEqual(&back, c1) {
		t.Errorf("read back from the journal: %+v, %v; want %+v", back, err, c1)
	}
}

func TestChainRefusals(t *testing.T) {
	a := x86(t)
	v := testVersion(t, a, 1, payloads)
	c, _, err := newChain().Apply(a, v)
	if err != nil {
		t.Fatal(err)
	}
	far := testVersion(t, a, 2, testSite+1<<33)
	same := testVersion(t, a, 3, payloads)
	tests := []struct {
		name string
		err  error
		want string
		hard bool // not a refusal: the caller is wrong
	}{
		{name: "applied twice", err: second3(c.Apply(a, v)).err, want: "applied already (version 1 of 1)"},
		{name: "two versions at one address", err: second3(c.Apply(a, same)).err, want: "two versions at one address"},
		{name: "out of reach", err: second3(c.Apply(a, far)).err, want: "out of a jump's reach"},
		{name: "reverting version 0", err: second3(c.Revert(a, 0)).err, want: "no version 0", hard: true},
		{name: "reverting twice", err: second3(c.Revert(a, 2)).err, want: "no version 2, the chain has 1", hard: true},
		{name: "wrong number of places", err: c.Check(a, nil), want: "bytes of 0 places", hard: true},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) || errors.Is(tt.err, patch.ErrRefused) == tt.hard {
			t.Errorf("%s: %v; want %q", tt.name, tt.err, tt.want)
		}
	}
	if _, err := NewVersion(a, patch.ID{}, payloads, join(endbr64, xorRet)); err == nil {
		t.Error("a version without room for a jump is accepted")
	}
}

// TestForeignBytes: what somebody else wrote is refused by name.
func TestForeignBytes(t *testing.T) {
	a := x86(t)
	c, _, err := newChain().Apply(a, testVersion(t, a, 1, payloads))
	if err != nil {
		t.Fatal(err)
	}
	hook, err := a.Jump.Encode(testSite, payloads+0x5000)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		running []byte
		want    string
	}{
		{name: "uprobe at the site", running: []byte{0xcc, 0x89, 0xc8, 0x31, 0xc0}, want: "breakpoint or uprobe"},
		{name: "breakpoint on a later instruction", running: []byte{0x48, 0x89, 0xc8, 0xcc, 0xc0}, want: "breakpoint or uprobe"},
		{name: "another tool's jump", running: hook, want: "a jump to 0x555540005000 that hotpatch did not write"},
		{name: "other code", running: []byte{0x90, 0x90, 0x90, 0x90, 0x90}, want: "neither the build's nor"},
		{name: "too few bytes", running: []byte{0xcc}, want: "1 bytes read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.Leads(a, tt.running)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v; want %q", err, tt.want)
			}
			if len(tt.running) < a.Jump.Len {
				return
			}
			var r *patch.Refusal
			if !errors.As(err, &r) || !strings.Contains(r.Found, fmt.Sprintf("% x", tt.running)) {
				t.Errorf("the refusal does not show the bytes: %v", err)
			}
			places, err := c.Bytes(a)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Check(a, [][]byte{tt.running, places[1].Bytes}); !errors.Is(err, patch.ErrRefused) {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// FuzzLeads: for any bytes there is a version of the chain or a refusal, never both.
func FuzzLeads(f *testing.F) {
	a := x86(f)
	c := newChain()
	for i := range 3 {
		next, _, err := c.Apply(a, testVersion(f, a, i, payloads+arch.Addr(i)*0x1000))
		if err != nil {
			f.Fatal(err)
		}
		c = next
	}
	f.Add(testOrig)
	f.Add([]byte{0xcc, 0, 0, 0, 0})
	for _, v := range c.Versions {
		b, err := a.Jump.Encode(testSite, v.Entry)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, running []byte) {
		n, err := c.Leads(a, running)
		if err != nil {
			return
		}
		want := testOrig
		if n > 0 {
			if want, err = a.Jump.Encode(testSite, c.Versions[n-1].Entry); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(running, want) {
			t.Fatalf("% x is said to lead to version %d, which is % x", running, n, want)
		}
	})
}

// TestTraps: what a debugger or a uprobe puts over code is recognised on every machine.
func TestTraps(t *testing.T) {
	x, errX := machines.Lookup(elf.EM_X86_64)
	arm, errA := machines.Lookup(elf.EM_AARCH64)
	if errX != nil || errA != nil {
		t.Fatal(errX, errA)
	}
	nopNop := []byte{0x1f, 0x20, 0x03, 0xd5, 0x1f, 0x20, 0x03, 0xd5}
	tests := []struct {
		name      string
		a         *arch.Arch
		want, got []byte
		trap      bool
	}{
		{name: "int3", a: x, want: []byte{0x55, 0x48}, got: []byte{0xcc, 0x48}, trap: true},
		{name: "int3 later", a: x, want: []byte{0x55, 0x48}, got: []byte{0x55, 0xcc}, trap: true},
		{name: "an int3 of the code itself", a: x, want: []byte{0xcc, 0x48}, got: []byte{0xcc, 0x90}},
		{name: "nothing differs", a: x, want: []byte{0xcc}, got: []byte{0xcc}},
		{name: "brk #0", a: arm, want: nopNop[:4], got: []byte{0x00, 0x00, 0x20, 0xd4}, trap: true},
		{name: "brk #5 of a uprobe, second instruction", a: arm, want: nopNop, got: join(nopNop[:4], []byte{0xa0, 0x00, 0x20, 0xd4}), trap: true},
		{name: "hlt is none", a: arm, want: nopNop[:4], got: []byte{0x00, 0x00, 0x40, 0xd4}},
		{name: "int3 on arm64", a: arm, want: nopNop[:4], got: []byte{0xcc, 0x20, 0x03, 0xd5}},
		{name: "cut off", a: arm, want: nopNop[:4], got: []byte{0x00, 0x00}},
	}
	for _, tt := range tests {
		if got := isTrap(tt.a, tt.want, tt.got); got != tt.trap {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

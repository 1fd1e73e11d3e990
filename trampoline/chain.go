package trampoline

import (
	"bytes"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// Version is one body that replaces a function.
type Version struct {
	Patch patch.ID  `json:"patch"`
	Entry arch.Addr `json:"entry"` // where callers are led
	Site  arch.Addr `json:"site"`  // where its own jump goes once it is superseded: behind the landing pad of Entry
	Orig  []byte    `json:"orig"`  // the bytes at Site as the payload was linked, as many as a jump has

	Signs arch.Signing `json:"signs,omitempty"` // what the landing pad does to the return address, of which Site is behind
}

// NewVersion describes a body of a payload. text holds its linked bytes from entry on, with
// the filling behind a short one: patch.LayoutOf leaves enough of it.
func NewVersion(a *arch.Arch, id patch.ID, entry arch.Addr, text []byte) (Version, error) {
	off := a.Jump.Landing(text)
	if len(text) < off+a.Jump.Len {
		return Version{}, fmt.Errorf("version of patch %s at %#x: %d bytes leave no room for a jump", id.Short(), entry, len(text))
	}
	return Version{
		Patch: id, Entry: entry, Site: entry + arch.Addr(off), Orig: slices.Clone(text[off : off+a.Jump.Len]), Signs: a.Jump.Signs(text),
	}, nil
}

// Chain is the history of one function in one process, as the journal keeps it. Version 0 is the
// body that first had the function's address: the image's, or that of the patch which added
// the function. Versions[i] is version i+1.
//
// A version that is not the newest has a jump at its Site. Version 0's leads straight to the
// newest, so that a call costs one jump at any length of the chain; a superseded
// version's leads to its successor, so that a pointer into it still arrives. The newest, and
// every version that was reverted, has the bytes with which it was linked.
//
// Chains are values: Apply and Revert return a new one and leave theirs alone.
type Chain struct {
	Name     string    `json:"name"`
	Site     arch.Addr `json:"site"` // of version 0
	Orig     []byte    `json:"orig"` // the bytes at Site before the first jump, as many as a jump has
	Versions []Version `json:"versions"`

	Signs arch.Signing `json:"signs,omitempty"` // what the landing pad in front of Site does to the return address
}

// Newest returns the number of the version that callers reach: 0 if nothing is applied.
func (c *Chain) Newest() int { return len(c.Versions) }

// Find returns the number of the version that a patch made.
func (c *Chain) Find(id patch.ID) (int, bool) {
	i := slices.IndexFunc(c.Versions, func(v Version) bool { return v.Patch == id })
	return i + 1, i >= 0
}

// Apply plans to make v the newest version: at most two writes. The first takes effect, for every caller.
func (c *Chain) Apply(a *arch.Arch, v Version) (*Chain, []Write, error) {
	if n, ok := c.Find(v.Patch); ok {
		return nil, nil, &patch.Refusal{What: c.Name, Why: "the patch is applied already", Found: fmt.Sprintf("version %d of %d", n, c.Newest())}
	}
	for _, have := range c.Versions {
		if have.Entry == v.Entry {
			return nil, nil, &patch.Refusal{What: c.Name, Why: "two versions at one address", Found: fmt.Sprintf("%#x", uint64(v.Entry))}
		}
	}
	next := c.with(append(slices.Clip(slices.Clone(c.Versions)), v))
	writes, err := c.difference(a, next, nil)
	return next, writes, err
}

// Revert plans to take version n (1..Newest) out of the chain: at most three writes. Taking out the newest
// takes effect with the last one.
func (c *Chain) Revert(a *arch.Arch, n int) (*Chain, []Write, error) {
	if n < 1 || n > len(c.Versions) {
		return nil, nil, fmt.Errorf("revert %s: no version %d, the chain has %d", c.Name, n, len(c.Versions))
	}
	gone := c.Versions[n-1]
	next := c.with(slices.Delete(slices.Clone(c.Versions), n-1, n))
	writes, err := c.difference(a, next, &gone)
	// Version 0 comes last: only then callers leave the version that goes away, and meanwhile
	// its predecessor has got its own bytes back.
	slices.Reverse(writes)
	return next, writes, err
}

func (c *Chain) with(versions []Version) *Chain {
	return &Chain{Name: c.Name, Site: c.Site, Orig: c.Orig, Versions: versions, Signs: c.Signs}
}

// difference returns the writes that turn the bytes of c into those of next, version 0's first. gone is the
// version that next no longer has.
func (c *Chain) difference(a *arch.Arch, next *Chain, gone *Version) ([]Write, error) {
	now, err := c.Bytes(a)
	if err != nil {
		return nil, err
	}
	then, err := next.Bytes(a)
	if err != nil {
		return nil, err
	}
	if gone != nil {
		then = append(then, Place{gone.Site, gone.Orig})
	}
	have := make(map[arch.Addr][]byte, len(now))
	for _, p := range now {
		have[p.Addr] = p.Bytes
	}
	var writes []Write
	for _, p := range then {
		old, known := have[p.Addr]
		if !known || bytes.Equal(old, p.Bytes) { // a new version has its own bytes already
			continue
		}
		writes = append(writes, Write{Addr: p.Addr, Old: old, New: p.Bytes})
	}
	return writes, nil
}

// Place is an address and the bytes that belong there.
type Place struct {
	Addr  arch.Addr
	Bytes []byte
}

// Bytes returns what stands at the site of every version, version 0's first.
func (c *Chain) Bytes(a *arch.Arch) ([]Place, error) {
	places := make([]Place, 0, len(c.Versions)+1)
	for n := 0; n <= len(c.Versions); n++ {
		p, err := c.place(a, n)
		if err != nil {
			return nil, fmt.Errorf("chain of %s: version %d: %w", c.Name, n, err)
		}
		places = append(places, p)
	}
	return places, nil
}

// lead returns where the jump of a version leads whose landing pad signs as from says, to enter v.
func lead(a *arch.Arch, from arch.Signing, v *Version) (arch.Addr, error) {
	return a.Jump.Lead(v.Entry, from, v.Signs)
}

// place returns what stands at the site of version n.
func (c *Chain) place(a *arch.Arch, n int) (Place, error) {
	site, orig, signs := c.Site, c.Orig, c.Signs
	if n > 0 {
		v := &c.Versions[n-1]
		site, orig, signs = v.Site, v.Orig, v.Signs
	}
	if len(orig) != a.Jump.Len {
		return Place{}, fmt.Errorf("%d original bytes at %#x, a jump has %d", len(orig), site, a.Jump.Len)
	}
	if n == len(c.Versions) {
		return Place{site, orig}, nil
	}
	next := &c.Versions[len(c.Versions)-1]
	if n > 0 {
		next = &c.Versions[n]
	}
	to, err := lead(a, signs, next)
	if err != nil {
		return Place{}, err
	}
	w, err := Plan(a, site, len(orig), to)
	if err != nil && n > 0 && signs == c.Signs {
		// Two payloads may lie on either side of the module, out of each other's
		// reach. Version 0 reaches both and leads to the newest.
		w, err = Plan(a, site, len(orig), c.Site)
	}
	return Place{site, w.New}, err
}

// Leads judges the bytes that were read at version 0's Site: which version do callers
// reach? Bytes that are neither the original ones nor a jump to a version of the chain are
// somebody else's, and the error is a [*patch.Refusal] that names them.
func (c *Chain) Leads(a *arch.Arch, running []byte) (int, error) {
	if len(running) < a.Jump.Len {
		return 0, fmt.Errorf("chain of %s: %d bytes read at %#x, %d needed", c.Name, len(running), c.Site, a.Jump.Len)
	}
	running = running[:a.Jump.Len]
	if bytes.Equal(running, c.Orig) {
		return 0, nil
	}
	to, jump := a.Jump.Recognize(c.Site, running)
	for i := range c.Versions {
		if at, err := lead(a, c.Signs, &c.Versions[i]); jump && err == nil && to == at {
			return i + 1, nil
		}
	}
	return 0, c.foreign(a, c.Site, c.Orig, running)
}

// Check compares what was read at the place of each version (in the order of Bytes) with
// what belongs there. Any difference is a [*patch.Refusal].
func (c *Chain) Check(a *arch.Arch, running [][]byte) error {
	places, err := c.Bytes(a)
	if err != nil {
		return err
	}
	if len(running) != len(places) {
		return fmt.Errorf("chain of %s: bytes of %d places, the chain has %d", c.Name, len(running), len(places))
	}
	for i, p := range places {
		if !bytes.Equal(p.Bytes, running[i]) {
			return c.foreign(a, p.Addr, p.Bytes, running[i])
		}
	}
	return nil
}

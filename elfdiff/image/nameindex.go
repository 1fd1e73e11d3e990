package image

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// nameIndex finds atoms by any of their names: a hash table with chains, which takes a quarter of a map's memory.
type nameIndex struct {
	atoms []*Atom
	seed  maphash.Seed
	heads []int32 // by the low bits of a name's hash: one more than the index of the chain's first entry
	names []nameEntry
}

// nameEntry is one name of an atom.
type nameEntry struct {
	atom, sym int32 // index in nameIndex.atoms, and in Atom.Syms
	next      int32 // one more than the index of the next entry of the chain; 0: none
}

// build fills in the index.
func (x *nameIndex) build(atoms []*Atom) {
	n := 0
	for _, a := range atoms {
		n += len(a.Syms)
	}
	x.atoms, x.seed = atoms, maphash.MakeSeed()
	x.heads = make([]int32, 1<<bits.Len(uint(n)))
	x.names = make([]nameEntry, 0, n)
	for i := len(atoms) - 1; i >= 0; i-- { // so that chains are in the order of the atoms
		syms := atoms[i].Syms
		for k := len(syms) - 1; k >= 0; k-- {
			if k > 0 && syms[k].Name == syms[k-1].Name {
				continue
			}
			head := x.head(syms[k].Name)
			x.names = append(x.names, nameEntry{atom: int32(i), sym: int32(k), next: *head})
			*head = int32(len(x.names))
		}
	}
}

// head returns the start of the chain that a name is in.
func (x *nameIndex) head(name string) *int32 {
	return &x.heads[maphash.String(x.seed, name)&uint64(len(x.heads)-1)]
}

// named yields the atoms that have the name, in their order.
func (x *nameIndex) named(name string) iter.Seq[*Atom] {
	return func(yield func(*Atom) bool) {
		if len(x.heads) == 0 {
			return
		}
		for i := *x.head(name); i > 0; {
			e := &x.names[i-1]
			if a := x.atoms[e.atom]; a.Syms[e.sym].Name == name && !yield(a) {
				return
			}
			i = e.next
		}
	}
}

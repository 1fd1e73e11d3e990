package mutate

import (
	"slices"

	"hotpatch/arch"
)

// batch is the mutations that share a file: what is reported of each can be told apart.
type batch struct {
	mutations []*Mutation
	touched   map[arch.ImageAddr]bool // by one of them
	read      map[arch.ImageAddr]bool // by some
}

// takes reports whether the batch has nothing to do with what a mutation touches, and changes nothing that it reads.
func (b *batch) takes(touched, reads []arch.ImageAddr) bool {
	return !slices.ContainsFunc(touched, func(a arch.ImageAddr) bool { return b.touched[a] || b.read[a] }) &&
		!slices.ContainsFunc(reads, func(a arch.ImageAddr) bool { return b.touched[a] })
}

func (b *batch) add(m *Mutation, touched []arch.ImageAddr) {
	b.mutations = append(b.mutations, m)
	for _, a := range touched {
		b.touched[a] = true
	}
	for _, a := range m.reads {
		b.read[a] = true
	}
}

// batches puts each mutation into the first file that takes it.
func batches(all []Mutation) [][]*Mutation {
	var files []*batch
	for i := range all {
		m := &all[i]
		touched := m.touched()
		k := slices.IndexFunc(files, func(b *batch) bool { return b.takes(touched, m.reads) })
		if k < 0 {
			k = len(files)
			files = append(files, &batch{touched: map[arch.ImageAddr]bool{}, read: map[arch.ImageAddr]bool{}})
		}
		files[k].add(m, touched)
	}
	out := make([][]*Mutation, len(files))
	for i, b := range files {
		out[i] = b.mutations
	}
	return out
}

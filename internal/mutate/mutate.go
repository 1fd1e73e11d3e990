// Package mutate tests a differ by changing one thing at a time in a linked file, and by knowing what must be reported.
//
// What a mutation hits it knows from other sources than the differ: instructions from objdump, functions and objects from the
// symbol table, references from the relocations that -Wl,--emit-relocs keeps in a second link of the same objects. The package knows
// nothing of the differ, which is a function that it is given.
//
// Many mutations share a file, each in a function and with data of its own, so that what is reported can be told apart:
//
//	Load          the program and its twin                                   program.go, relocs.go, objdump.go
//	Program.Draw  candidates of every kind, by a seed                        mutate.go
//	                in instructions                                          codekinds.go
//	                in what instructions refer to                            refkinds.go
//	                in data                                                  datakinds.go
//	Run           which share a file                                         batch.go
//	                files, and what the differ says of them                  run.go
package mutate

import (
	"math/rand/v2"
	"slices"

	"hotpatch/arch"
)

// Kind is what a mutation changes.
type Kind string

// The kinds.
const (
	Opcode    Kind = "opcode"              // another instruction of equal length
	Register  Kind = "register"            // another register operand
	Immediate Kind = "immediate"           // one bit
	Offset    Kind = "offset of an access" // one bit of the displacement to a register
	Branch    Kind = "branch target"       // another instruction of the function
	Call      Kind = "call target"         // another function
	Import    Kind = "imported target"     // another PLT stub
	Slot      Kind = "GOT slot"            // another slot of the global offset table
	Object    Kind = "object referred to"  // another object
	Inside    Kind = "place in an object"  // another place in the same object
	Text      Kind = "text referred to"    // two functions' texts or constants exchanged
	TextByte  Kind = "byte of a text"      // one bit
	Constant  Kind = "byte of a constant"  // one bit of a constant without a name
	Named     Kind = "byte of an object"   // one bit of a read-only object with a name
	Variable  Kind = "byte of a variable"  // one bit of an initial value
	Pointer   Kind = "pointer in data"     // another function or object
	Table     Kind = "jump table entry"    // another target of the same table
	Stub      Kind = "PLT stub"            // another slot
	Padding   Kind = "padding"             // operands of a NOP, bytes between functions
)

// Kinds lists all kinds.
var kinds = []struct {
	kind Kind
	find func(p *Program, r *rand.Rand) []Mutation
}{
	{Opcode, findOpcodes},
	{Register, findRegisters},
	{Immediate, findImmediates},
	{Offset, findOffsets},
	{Branch, findBranches},
	{Call, findCalls},
	{Import, findImports},
	{Slot, findSlots},
	{Object, findObjects},
	{Inside, findInside},
	{Text, findTexts},
	{TextByte, findTextBytes},
	{Constant, findConstants},
	{Named, findNamed},
	{Variable, findVariables},
	{Pointer, findPointers},
	{Table, findTables},
	{Stub, findStubs},
	{Padding, findPadding},
}

// Kinds lists all kinds in the order of the report.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i := range kinds {
		out[i] = kinds[i].kind
	}
	return out
}

// edit replaces bytes of the file.
type edit struct {
	off      uint64 // in the file
	old, new []byte
}

// Mutation is one change of a linked file, with what must be reported.
type Mutation struct {
	Kind  Kind
	Addr  arch.ImageAddr
	What  string // in words
	edits []edit
	must  []arch.ImageAddr // starts of units and objects that must be reported; none: nothing may be
	may   []arch.ImageAddr // that may be, too
	keys  []arch.ImageAddr // further places that no other mutation of the same file may have to do with
	reads []arch.ImageAddr // places that no other may change; what is reported there is no mutation's that only reads them
	inst  int              // index of the instruction whose code is changed; -1: none
}

// touched lists what the mutation has to do with, but for what it only reads.
func (m *Mutation) touched() []arch.ImageAddr {
	t := slices.Concat(m.must, m.may, m.keys)
	if len(t) == 0 && len(m.reads) == 0 {
		t = append(t, m.Addr)
	}
	return t
}

// share is how many times its even share of all mutations a kind may have, where there are few candidates of others.
const share = 6

// Draw draws n mutations, of each kind as many as there are candidates for and as its share of the rest is, and of each
// function of a kind equally many. Candidates that objdump does not show to be what they claim are left out.
func (p *Program) Draw(seed uint64, n int) ([]Mutation, error) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	found := make([][]Mutation, len(kinds))
	for i := range kinds {
		all := spread(kinds[i].find(p, rnd), rnd)
		all = all[:min(len(all), share*n/len(kinds)+1)]
		var err error
		if found[i], err = p.confirmed(all); err != nil {
			return nil, err
		}
	}
	var out []Mutation
	for left := true; left && len(out) < n; {
		left = false
		for i := range found {
			if len(found[i]) > 0 && len(out) < n {
				out = append(out, found[i][0])
				found[i] = found[i][1:]
				left = true
			}
		}
	}
	return out, nil
}

// spread orders candidates so that each unit or object comes once before any comes twice.
func spread(all []Mutation, rnd *rand.Rand) []Mutation {
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	rank := make(map[arch.ImageAddr]int)
	type ranked struct {
		m    Mutation
		rank int
	}
	order := make([]ranked, len(all))
	for i, m := range all {
		key := m.touched()[0]
		order[i] = ranked{m, rank[key]}
		rank[key]++
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return a.rank - b.rank })
	for i := range order {
		all[i] = order[i].m
	}
	return all
}

// confirmed leaves those mutations of code that objdump reads as another instruction of equal length; for padding, as a NOP still.
func (p *Program) confirmed(all []Mutation) ([]Mutation, error) {
	var codes [][]byte
	for i := range all {
		if m := &all[i]; m.inst >= 0 {
			codes = append(codes, p.insts[m.inst].code, p.mutated(m))
		}
	}
	if len(codes) == 0 {
		return all, nil
	}
	decoded, err := decodeAll(codes)
	if err != nil {
		return nil, err
	}
	k := 0
	return slices.DeleteFunc(all, func(m Mutation) bool {
		if m.inst < 0 {
			return false
		}
		before, after := &decoded[k], &decoded[k+1]
		k += 2
		return len(after.code) != len(p.insts[m.inst].code) || !valid(after.text) || before.padding() != after.padding() ||
			!after.padding() && !differs(m.Kind, before, after)
	}), nil
}

// mutated returns the code of a mutation's instruction afterwards.
func (p *Program) mutated(m *Mutation) []byte {
	in := &p.insts[m.inst]
	code := slices.Clone(in.code)
	at := p.offset(in.addr)
	for _, e := range m.edits {
		if e.off >= at && e.off+uint64(len(e.new)) <= at+uint64(len(code)) {
			copy(code[e.off-at:], e.new)
		}
	}
	return code
}

// edit returns the edit of bytes at an address.
func (p *Program) edit(addr arch.ImageAddr, new ...byte) edit {
	return edit{off: p.offset(addr), old: slices.Clone(p.bytes(addr, len(new))), new: new}
}

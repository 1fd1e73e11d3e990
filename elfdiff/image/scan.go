package image

import (
	"debug/elf"
	"runtime"
	"slices"
	"strings"
	"sync"

	"hotpatch/arch"
)

// refIndex knows every address that something in the image refers to. It is a superset: code is scanned
// from each symbol straight on, so that data among code may add addresses that mean nothing.
type refIndex struct {
	addrs []arch.ImageAddr // sorted, unique
	jumps map[*Atom][]*Atom
	calls map[*Atom]bool
	// labels are addresses inside code atoms that data holds, sorted.
	labels []arch.ImageAddr
	stored map[arch.ImageAddr][]arch.ImageAddr // label -> words that hold it
	// rough holds the starts of code that instructions may make an address of, while units are not known.
	rough map[arch.ImageAddr]bool
}

// addRough keeps of the addresses those of code.
func (im *Image) addRough(addrs []arch.ImageAddr) {
	for _, v := range addrs {
		if a := im.AtomAt(v); a != nil && a.Addr == v && a.IsCode() {
			if im.places.rough == nil {
				im.places.rough = map[arch.ImageAddr]bool{}
			}
			im.places.rough[v] = true
		}
	}
}

// next returns the lowest referenced address above addr, but at most limit.
func (x *refIndex) next(addr, limit arch.ImageAddr) arch.ImageAddr {
	i, found := slices.BinarySearch(x.addrs, addr)
	if found {
		i++
	}
	if i < len(x.addrs) && x.addrs[i] < limit {
		return x.addrs[i]
	}
	return limit
}

// scanResult is what one worker finds.
type scanResult struct {
	addrs []arch.ImageAddr
	rough []arch.ImageAddr // that pieces may make
	jumps [][2]*Atom       // from, to: direct jumps into atoms that may be parts
	calls []*Atom          // direct calls into such atoms
}

// scanCode finds every referenced address, in parallel.
func (im *Image) scanCode() {
	if im.Arch.Pieces != nil {
		im.changes.init(len(im.Atoms))
		im.returns.init(len(im.Atoms))
		im.crossing.init(len(im.Atoms))
	}
	atoms := make([]*Atom, 0, len(im.Atoms))
	for _, a := range im.Atoms {
		if a.IsCode() && a.Size > 0 {
			atoms = append(atoms, a)
		}
	}
	results := make([]scanResult, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range results {
		wg.Go(func() {
			// Interleaved, so that workers get equal shares of hot and cold sections.
			for i := w; i < len(atoms); i += len(results) {
				im.scanAtom(atoms[i], &results[w])
			}
		})
	}
	wg.Wait()
	x := &im.places
	x.jumps, x.calls = map[*Atom][]*Atom{}, map[*Atom]bool{}
	x.stored = map[arch.ImageAddr][]arch.ImageAddr{}
	seen := map[[2]*Atom]bool{}
	for _, r := range results {
		x.addrs = append(x.addrs, r.addrs...)
		im.addRough(r.rough)
		for _, j := range r.jumps {
			if !seen[j] {
				seen[j] = true
				x.jumps[j[1]] = append(x.jumps[j[1]], j[0])
			}
		}
		for _, c := range r.calls {
			x.calls[c] = true
		}
	}
	im.scanData()
	slices.Sort(x.addrs)
	x.addrs = slices.Clone(slices.Compact(x.addrs)) // of the size that it needs
	slices.Sort(x.labels)
	x.labels = slices.Compact(x.labels)
	for v, from := range x.stored {
		slices.Sort(from)
		x.stored[v] = slices.Compact(from)
	}
}

// scanAtom adds what the code of a refers to.
func (im *Image) scanAtom(a *Atom, r *scanResult) {
	code, ok := im.Bytes(a.Addr, a.Size)
	if !ok {
		return
	}
	pieces, saves := straight{im: im}, keptScan{}
	if im.Arch.Pieces != nil {
		im.changes.known[a.ID] = true
	}
	var in arch.Inst // escapes: once for all instructions
	for off := 0; off < len(code); {
		at := a.Addr + arch.ImageAddr(off)
		if im.isDataMark(at) || im.Arch.DecodeInto(&in, code[off:]) != nil {
			off += im.Arch.InstAlign
			continue
		}
		if im.Arch.Pieces != nil {
			r.rough = pieces.step(r.rough, &in, at, code[off:])
			im.changesOf(a, &in, at, &pieces.t)
			im.returnsOf(a, &in, at)
			saves.step(&im.crossing.kept[a.ID], &pieces.t, im.Arch.Pieces)
		}
		for i := range in.NumOps {
			if v, ok := im.opAddress(at, &in.Ops[i]); ok {
				r.addrs = append(r.addrs, v)
			}
		}
		if in.BrSize > 0 {
			im.scanBranch(a, &in, at+arch.ImageAddr(in.Target), r)
		}
		off += in.Len
	}
	if im.Arch.Pieces != nil {
		im.changes.regs[a.ID] &^= im.crossing.kept[a.ID]
		if saves.leavesFrame(im.crossing.kept[a.ID], im.Arch.Pieces) {
			im.changes.regs[a.ID] &^= im.Arch.Pieces.Saved
		}
	}
}

// scanBranch notes a direct branch into an atom that may be a part of another function.
func (im *Image) scanBranch(from *Atom, in *arch.Inst, to arch.ImageAddr, r *scanResult) {
	if to >= from.Addr && to < from.End() {
		return
	}
	t := im.AtomAt(to)
	if t == nil || t.Kind != Func {
		return
	}
	if _, ok := partBase(t.Name); !ok {
		return
	}
	if in.Flow == arch.FlowCall {
		r.calls = append(r.calls, t)
	} else {
		r.jumps = append(r.jumps, [2]*Atom{from, t})
	}
}

// opAddress returns the address in the image that an operand names, if it can name one.
func (im *Image) opAddress(at arch.ImageAddr, op *arch.Operand) (arch.ImageAddr, bool) {
	switch op.Kind {
	case arch.OpPC:
		return at + arch.ImageAddr(op.Value), true
	case arch.OpAbs, arch.OpDisp, arch.OpImm:
		if im.Arch.Pieces != nil || !im.absolute(op) {
			return 0, false
		}
		return arch.ImageAddr(op.Value), true
	}
	return 0, false
}

// absolute reports whether the field may hold an absolute address of the image. Only code that is
// linked for a fixed address has such fields.
func (im *Image) absolute(op *arch.Operand) bool {
	if im.Type != elf.ET_EXEC || op.Seg || op.Arith || op.Size < 4 {
		return false
	}
	return op.Value > 0 && (im.contains(arch.ImageAddr(op.Value)) || im.isBeside(arch.ImageAddr(op.Value)))
}

// maxBeside is how many bytes in front of or behind the loaded segments of a program that is linked for a fixed address a displacement or
// an immediate may lie and still be made of an address: the base of an array, from which an index leads into it that never is zero, or what is
// subtracted from a pointer.
const maxBeside = 64 << 10

// isBeside reports whether an address lies that near to a loaded segment.
func (im *Image) isBeside(addr arch.ImageAddr) bool {
	return slices.ContainsFunc(im.segments, func(s segment) bool { return uint64(addr-s.addr+maxBeside) <= s.size+2*maxBeside })
}

// scanData adds what relocated words of data hold, and, in an ET_EXEC file without link-time relocations, labels
// in words of data.
func (im *Image) scanData() {
	x := &im.places
	if im.Fixed() {
		im.scanWords()
	}
	for i := range im.dyn.relocs {
		r := &im.dyn.relocs[i]
		var v arch.ImageAddr
		switch {
		case r.Size == 0:
			continue
		case r.Defined:
			v = r.SymDef + arch.ImageAddr(r.Addend)
		case r.Sym == "":
			v = arch.ImageAddr(r.Addend)
		default:
			continue
		}
		x.addrs = append(x.addrs, v)
		im.noteLabel(v, r.Addr)
	}
	for i := range im.links {
		l := &im.links[i]
		if s := im.SectionAt(l.Addr); l.Number || l.Undef || l.TLS || s == nil || s.Exec() {
			continue
		}
		if l.Kind == arch.LinkAddress && l.Form == arch.FormWhole {
			v := l.Value + arch.ImageAddr(l.Addend)
			x.addrs = append(x.addrs, v)
			im.noteLabel(v, l.Addr)
		}
	}
}

// scanWords finds labels in aligned words of data. A number can look like an address, so that it only counts in a row of them: tables of
// labels (computed gotos) have several. For the same reason, words do not bound what lies where they lead.
func (im *Image) scanWords() {
	starts := map[*Atom]map[arch.ImageAddr]bool{} // of instructions, of the functions that were looked at
	for _, s := range im.Sections {
		if s.Exec() || s.Type != elf.SHT_PROGBITS || isGOT(s) || strings.HasPrefix(s.Name, ".eh_frame") || s.Name == ".gcc_except_table" {
			continue
		}
		var row []arch.ImageAddr // places of words in a row that lead into one function
		var into *Atom
		for off := alignUp(uint64(s.Addr), 8) - uint64(s.Addr); off+8 <= uint64(len(s.Data)); off += 8 {
			v := arch.ImageAddr(order.Uint64(s.Data[off:]))
			to := im.SectionAt(v)
			if to == nil {
				into, row = nil, nil
				continue
			}
			a := im.labelled(to, v, starts)
			if a == nil || a != into {
				into, row = a, nil
			}
			if row = append(row, s.Addr+arch.ImageAddr(off)); into == nil || len(row) < 2 {
				continue
			}
			for _, at := range row {
				im.noteLabel(arch.ImageAddr(order.Uint64(s.Data[at-s.Addr:])), at)
			}
			row = row[1:]
		}
	}
}

// labelled returns the function inside which v is the start of an instruction, or nil: a reading from its entry straight on comes to it.
func (im *Image) labelled(s *Section, v arch.ImageAddr, starts map[*Atom]map[arch.ImageAddr]bool) *Atom {
	if !s.Exec() {
		return nil
	}
	a := im.AtomAt(v)
	if a == nil || !a.IsCode() || a.Addr == v {
		return nil
	}
	if starts[a] == nil {
		starts[a] = map[arch.ImageAddr]bool{}
		code, _ := im.Bytes(a.Addr, a.Size)
		for off := 0; off < len(code); {
			in, err := im.Arch.Decode(code[off:])
			if err != nil {
				break
			}
			starts[a][a.Addr+arch.ImageAddr(off)] = true
			off += in.Len
		}
	}
	if !starts[a][v] {
		return nil
	}
	return a.head()
}

// noteLabel remembers an address inside a function that the word at from holds.
func (im *Image) noteLabel(v, from arch.ImageAddr) {
	if s := im.SectionAt(v); s == nil || !s.Exec() {
		return
	}
	if a := im.AtomAt(v); a == nil || a.Addr == v {
		return
	}
	x := &im.places
	x.labels = append(x.labels, v)
	x.stored[v] = append(x.stored[v], from)
}

// partBase returns the name of the function that an atom of this name was split from, by the compilers' spelling: NAME.cold,
// NAME.cold.N, NAME.part.N.
func partBase(name string) (string, bool) {
	base, num, hasNum := cutLast(name)
	if hasNum && isNumber(num) {
		if b, kind, ok := cutLast(base); ok && (kind == "part" || kind == "cold") {
			return b, true
		}
		return "", false
	}
	if hasNum && num == "cold" {
		return base, true
	}
	return "", false
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// joinParts finds the parent of every .cold and .part atom. It is the function of the base name that jumps there;
// if an exception is the only way in, the one of that name and file. A piece that is also called is a function of its own. The .cold pieces
// are first, wherever the linker has put them: one that jumps back to its own .part piece is no other function.
func (im *Image) joinParts() {
	for _, cold := range []bool{true, false} {
		for _, a := range im.Atoms {
			if a.Kind != Func {
				continue
			}
			base, ok := partBase(a.Name)
			if !ok || im.places.calls[a] || cold == strings.Contains(a.Name[len(base):], ".part.") {
				continue
			}
			if p := im.parentOf(a, base, cold); p != nil {
				a.Parent = p
			}
		}
	}
	for _, a := range im.Atoms {
		if a.Parent == nil {
			continue
		}
		if a.Parent = a.root(); a.Parent == nil {
			continue
		}
		a.Parent.Parts = append(a.Parent.Parts, a)
	}
}

// root returns the function that a piece of a piece belongs to (foo.part.0.cold, with foo.part.0 a part of foo); nil if atoms with several
// names are each other's pieces.
func (a *Atom) root() *Atom {
	const most = 8 // pieces of pieces
	for range most {
		if a.Parent == nil {
			return a
		}
		a = a.Parent
	}
	return nil
}

func (im *Image) parentOf(part *Atom, base string, cold bool) *Atom {
	var parent *Atom
	named := func(a *Atom) bool {
		return slices.ContainsFunc(a.Syms, func(s Symbol) bool { return s.Name == base })
	}
	if !cold && (part.Dynamic || im.refersData(part.Addr)) {
		return nil
	}
	for _, j := range im.places.jumps[part] {
		if named(j) {
			if parent != nil && parent != j {
				return nil // two functions of that name jump there: neither owns it
			}
			parent = j
		} else if !cold && j.head() != part {
			return nil // others jump to it as well
		}
	}
	if parent != nil || !cold {
		return parent
	}
	for a := range im.index.names.named(base) {
		if a.Kind != Func || a.Local && a.File != part.File {
			continue
		}
		if parent != nil {
			return nil
		}
		parent = a
	}
	return parent
}

// refersData reports whether some data or code takes the address (a call or a jump is none).
func (im *Image) refersData(addr arch.ImageAddr) bool {
	_, ok := slices.BinarySearch(im.places.addrs, addr)
	return ok || im.places.rough[addr]
}

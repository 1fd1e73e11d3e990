package image

import (
	"errors"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// What a function catches stands in its exception table, the language-specific data area (LSDA) that its FDE names: "C++ ABI for
// Itanium: Exception Handling", gcc's unwind-pe.h, and LSB Core 5.0, 10.6.1.

// ErrExceptions is returned for an exception table in a form that is not understood.
var ErrExceptions = errors.New("its exception table cannot be read")

// Exceptions is an exception table.
type Exceptions struct {
	Sites        []CallSite
	Actions      []Action // each once, in the order in which the sites and then their chains name them
	TypeEncoding byte     // DW_EH_PE_* of the type table; peOmit (0xff): there is none
}

// CallSite says what happens to an exception that leaves the code in [Start, End).
type CallSite struct {
	Start, End arch.ImageAddr
	Pad        arch.ImageAddr // where it enters the function again; 0: nowhere
	Action     uint64         // one more than the first action's Off; 0: none (a clean-up)
}

// Action is one step of deciding whether an exception is caught.
type Action struct {
	Off    uint64  // in the action table, which follows the call sites
	Filter int64   // positive: catches a type; negative: exception specification; 0: clean-up
	Next   int64   // to the next action's record, from this field; 0: none
	Types  []Place // the types that Filter stands for; PlaceNone: every type
}

// maxActions bounds the actions and types of one table.
const maxActions = 1 << 16

// Exceptions reads the exception table of a function. It is nil if the function has none.
func (im *Image) Exceptions(f *cfi.FDE) (*Exceptions, error) {
	r := im.lsda(f)
	if r == nil {
		if f.LSDA == 0 {
			return nil, nil
		}
		return nil, ErrExceptions
	}
	t := &Exceptions{Sites: r.sites()}
	t.TypeEncoding = r.typeEncoding
	t.Actions = r.actions(t.Sites)
	if r.bad {
		return nil, ErrExceptions
	}
	return t, nil
}

// landingPads returns where exceptions enter the code of a. A table in a form that is not understood gives
// none: its code then counts as unreached.
func (im *Image) landingPads(a *Atom) []arch.ImageAddr {
	f := im.CFI.Find(a.Addr)
	if f == nil {
		return nil
	}
	r := im.lsda(f)
	if r == nil {
		return nil
	}
	var pads []arch.ImageAddr
	for _, s := range r.sites() {
		if s.Pad != 0 {
			pads = append(pads, s.Pad)
		}
	}
	return pads
}

// lsda returns a reader of an FDE's exception table, or nil if it has none in the file.
func (im *Image) lsda(f *cfi.FDE) *lsdaReader {
	if f.LSDA == 0 || f.LSDAIndirect {
		return nil
	}
	s := im.SectionAt(f.LSDA)
	if s == nil || s.Data == nil {
		return nil
	}
	return &lsdaReader{im: im, fde: f, data: s.Data, pos: uint64(f.LSDA - s.Addr), base: s.Addr}
}

// lsdaReader reads an LSDA. After the first read beyond the end, bad is set.
type lsdaReader struct {
	im   *Image
	fde  *cfi.FDE
	data []byte
	pos  uint64
	base arch.ImageAddr // of data
	bad  bool

	// Known once the call sites have been read.
	typeEncoding byte
	read         int    // actions and types so far
	typesEnd     uint64 // of the type table, which grows downwards; in data
	actionTable  uint64 // in data
}

// Pointer encodings, DW_EH_PE_* (LSB Core 5.0, 10.5.1).
const (
	peAbsptr   = 0x00
	peULEB     = 0x01
	peUdata2   = 0x02
	peUdata4   = 0x03
	peUdata8   = 0x04
	peSdata2   = 0x0a
	peSdata4   = 0x0b
	peSdata8   = 0x0c
	pePCRel    = 0x10
	peIndirect = 0x80
	peOmit     = 0xff
	peFormat   = 0x0f
	peApplied  = 0x70
)

// sites reads the header and the call sites; none if they cannot be read.
func (r *lsdaReader) sites() []CallSite {
	pads := r.fde.Start
	if enc := r.byte(); enc != peOmit {
		pads = arch.ImageAddr(r.pointer(enc))
	}
	if r.typeEncoding = r.byte(); r.typeEncoding != peOmit {
		n := r.uleb()
		r.typesEnd = r.pos + n
	}
	enc := r.byte()
	size := r.uleb()
	end := r.pos + size
	if r.bad || end < r.pos || end > uint64(len(r.data)) {
		r.bad = true
		return nil
	}
	var sites []CallSite
	for r.pos < end && !r.bad {
		var s CallSite
		s.Start = r.fde.Start + arch.ImageAddr(r.pointer(enc))
		s.End = s.Start + arch.ImageAddr(r.pointer(enc))
		if pad := r.pointer(enc); pad != 0 {
			s.Pad = pads + arch.ImageAddr(pad)
		}
		s.Action = r.uleb()
		sites = append(sites, s)
	}
	if r.bad {
		return nil
	}
	r.actionTable = end
	return sites
}

// actions follows the chains of actions that the sites begin.
func (r *lsdaReader) actions(sites []CallSite) []Action {
	var todo []uint64
	for i := range sites {
		if a := sites[i].Action; a > 0 {
			todo = append(todo, a-1)
		}
	}
	var out []Action
	seen := make(map[uint64]bool)
	for ; len(todo) > 0 && !r.bad; todo = todo[1:] {
		a := Action{Off: todo[0]}
		if seen[a.Off] {
			continue
		}
		seen[a.Off] = true
		r.pos = r.actionTable + a.Off
		a.Filter = r.sleb()
		next := r.pos
		if a.Next = r.sleb(); a.Next != 0 {
			todo = append(todo, next+uint64(a.Next)-r.actionTable)
		}
		a.Types = r.types(a.Filter)
		out = append(out, a)
		r.count()
	}
	return out
}

func (r *lsdaReader) count() {
	if r.read++; r.read > maxActions {
		r.bad = true
	}
}

// types returns the types that a filter stands for.
func (r *lsdaReader) types(filter int64) []Place {
	switch {
	case filter == 0 || r.typeEncoding == peOmit:
		return nil
	case filter > 0:
		return []Place{r.typeAt(uint64(filter))}
	}
	var out []Place // a list of type numbers behind the type table, ended by zero
	r.pos = r.typesEnd + uint64(-filter) - 1
	for k := r.uleb(); k != 0 && !r.bad; k = r.uleb() {
		pos := r.pos
		out = append(out, r.typeAt(k))
		r.count()
		r.pos = pos
	}
	return out
}

// typeAt returns the type with number k, which stands k entries in front of the type table's end.
func (r *lsdaReader) typeAt(k uint64) Place {
	enc, size := r.typeEncoding, uint64(4)
	switch enc & peFormat {
	case peAbsptr, peUdata8, peSdata8:
		size = 8
	case peUdata2, peSdata2:
		size = 2
	}
	if k > r.typesEnd/size {
		r.bad = true
		return Place{}
	}
	r.pos = r.typesEnd - k*size
	at := arch.ImageAddr(r.pointer(enc))
	if at == 0 {
		return Place{} // catch (...)
	}
	if enc&peIndirect != 0 {
		if refs := r.im.DataRefsIn(at, at+8); len(refs) == 1 {
			return refs[0].Place
		}
	} else if a := r.im.AtomAt(at); a != nil {
		return Place{Kind: PlaceAtom, Atom: a, Addend: int64(at - a.Addr), Addr: at, Proven: true}
	}
	return Place{Kind: PlaceUnknown, Addr: at, Why: "the type in an exception table"}
}

func (r *lsdaReader) byte() byte { return byte(r.uint(1)) }

func (r *lsdaReader) uint(n uint64) uint64 {
	if r.bad || r.pos > uint64(len(r.data)) || n > uint64(len(r.data))-r.pos {
		r.bad = true
		return 0
	}
	var v uint64
	for i := range n {
		v |= uint64(r.data[r.pos+i]) << (8 * i)
	}
	r.pos += n
	return v
}

// leb reads a LEB128 number (DWARF 5, 7.6) and returns how many bits it has.
func (r *lsdaReader) leb() (v uint64, bits int) {
	for bits < 70 {
		b := r.uint(1)
		if bits < 64 {
			v |= b & 0x7f << bits
		}
		bits += 7
		if r.bad || b&0x80 == 0 {
			return v, bits
		}
	}
	r.bad = true
	return 0, 0
}

func (r *lsdaReader) uleb() uint64 {
	v, _ := r.leb()
	return v
}

func (r *lsdaReader) sleb() int64 {
	v, bits := r.leb()
	if bits < 64 && bits > 0 && v>>(bits-1)&1 != 0 {
		v |= ^uint64(0) << bits
	}
	return int64(v)
}

// pointer reads an encoded value. An indirect one gives the address of the slot.
func (r *lsdaReader) pointer(enc byte) uint64 {
	at := uint64(r.base) + r.pos
	var v uint64
	switch enc & peFormat {
	case peAbsptr, peUdata8, peSdata8:
		v = r.uint(8)
	case peULEB:
		v = r.uleb()
	case peUdata2:
		v = r.uint(2)
	case peUdata4:
		v = r.uint(4)
	case peSdata2:
		v = uint64(int64(int16(r.uint(2))))
	case peSdata4:
		v = uint64(int64(int32(r.uint(4))))
	default:
		r.bad = true
	}
	switch enc & peApplied {
	case 0:
	case pePCRel:
		if v != 0 {
			v += at
		}
	default:
		r.bad = true
	}
	return v
}

package elfdiff

import (
	"encoding/binary"
	"errors"
	"hash"
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// Exception tables. What a function catches stands in its language-specific data area, not in
// its code: `catch (A &)` and `catch (B &)` can be the same instructions. So the area belongs to the canonical form: its
// regions and landing pads as instructions, its actions as they are, its types as references. The format
// is that of GCC's unwind-pe.h and gcc_personality: LSB 10.6.1 describes the encodings.

// errLSDA is returned for tables that cannot be read.
var errLSDA = errors.New("its exception table cannot be read")

// Pointer encodings (LSB 10.5.1).
const (
	encOmit     = 0xff
	encIndirect = 0x80
	encPCRel    = 0x10
)

// hashLSDA adds the exception tables of all parts to the canonical form.
func (u *unit) hashLSDA(h hash.Hash) error {
	for k, p := range u.parts {
		for addr := p.Addr; addr < p.End(); {
			fde := u.im.CFI.Find(addr)
			if fde == nil || fde.End <= addr {
				break
			}
			if fde.LSDA != 0 {
				index, n, err := u.number()
				if err != nil {
					return err
				}
				s := u.im.SectionAt(fde.LSDA)
				if s == nil || s.Data == nil {
					return errLSDA
				}
				r := &lsda{u: u, h: h, part: int16(k), data: s.Data, base: s.Addr, pos: uint64(fde.LSDA - s.Addr), start: fde.Start}
				r.at = func(a arch.ImageAddr) uint64 { return uint64(canonicalAt(index, a, n)) }
				if !r.read() {
					return errLSDA
				}
			}
			addr = fde.End
		}
	}
	return nil
}

// canonicalAt returns the canonical index of the first instruction at or behind an address.
func canonicalAt(index []partIndex, addr arch.ImageAddr, n int) int {
	for p := range index {
		x := &index[p]
		if addr < x.atom.Addr || addr > x.atom.End() {
			continue
		}
		insts := x.body.Insts
		i := sort.Search(len(insts), func(i int) bool { return x.atom.Addr+arch.ImageAddr(insts[i].Off) >= addr })
		if i < len(insts) {
			return int(x.canon[i])
		}
		if p+1 < len(index) && len(index[p+1].canon) > 0 {
			return int(index[p+1].canon[0])
		}
	}
	return n
}

// lsda reads one table.
type lsda struct {
	u     *unit
	h     hash.Hash
	part  int16
	data  []byte
	base  arch.ImageAddr // of data
	pos   uint64
	start arch.ImageAddr // of the code that the table is for
	at    func(arch.ImageAddr) uint64
	bad   bool
}

func (r *lsda) read() bool {
	pads := r.start
	if enc := r.byte(); enc != encOmit {
		pads = arch.ImageAddr(r.pointer(enc))
	}
	types := uint64(0)
	typeEnc := r.byte()
	if typeEnc != encOmit {
		n := r.uleb()
		types = r.pos + n
	}
	siteEnc := r.byte()
	size := r.uleb()
	end := r.pos + size
	if r.bad || end < r.pos || end > uint64(len(r.data)) {
		return false
	}
	r.h.Write([]byte{'X', typeEnc})
	var actions []uint64
	for r.pos < end && !r.bad {
		from := r.start + arch.ImageAddr(r.pointer(siteEnc))
		to := from + arch.ImageAddr(r.pointer(siteEnc))
		pad, action := r.pointer(siteEnc), r.uleb()
		r.put(r.at(from), r.at(to), action)
		if pad != 0 {
			r.put(r.at(pads + arch.ImageAddr(pad)))
		}
		if action > 0 {
			actions = append(actions, end+action-1)
		}
	}
	return !r.bad && r.actions(actions, types, typeEnc)
}

// actions follows the chains of actions that begin at the offsets, and adds the types that they name.
func (r *lsda) actions(todo []uint64, types uint64, enc byte) bool {
	seen := make(map[uint64]bool)
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if seen[at] {
			continue
		}
		seen[at] = true
		r.pos = at
		filter := r.sleb()
		next := r.pos
		if d := r.sleb(); d != 0 {
			todo = append(todo, next+uint64(d))
		}
		r.put(uint64(filter), uint64(len(todo)))
		if r.bad || enc == encOmit {
			return !r.bad
		}
		switch {
		case filter > 0:
			r.typeAt(types, uint64(filter), enc)
		case filter < 0: // a list of type numbers behind the types, ended by zero (exception specification)
			r.pos = types + uint64(-filter) - 1
			for k := r.uleb(); k != 0 && !r.bad; k = r.uleb() {
				pos := r.pos
				r.typeAt(types, k, enc)
				r.pos = pos
			}
		}
	}
	return !r.bad
}

// typeAt adds the type with number k, which stands k entries in front of the table's end.
func (r *lsda) typeAt(types, k uint64, enc byte) {
	size := uint64(4)
	switch enc & 0x0f {
	case 0x00, 0x04, 0x0c:
		size = 8
	case 0x02, 0x0a:
		size = 2
	}
	if k > types/size {
		r.bad = true
		return
	}
	r.pos = types - k*size
	v := r.pointer(enc)
	r.put('T')
	if v == 0 {
		return // catch (...)
	}
	at := arch.ImageAddr(v)
	p := &image.Place{Kind: image.PlaceUnknown, Addr: at}
	if enc&encIndirect != 0 {
		if refs := r.u.im.DataRefsIn(at, at+8); len(refs) == 1 {
			p = &refs[0].Place
		}
	} else if a := r.u.im.AtomAt(at); a != nil {
		p = &image.Place{Kind: image.PlaceAtom, Atom: a, Addend: int64(at - a.Addr), Addr: at, Proven: true}
	}
	r.u.refs = append(r.u.refs, reference{inst: int32(r.u.count), part: r.part, kind: image.RefAddr, place: p})
}

func (r *lsda) put(values ...uint64) {
	var b [8]byte
	for _, v := range values {
		binary.LittleEndian.PutUint64(b[:], v)
		r.h.Write(b[:])
	}
}

func (r *lsda) byte() byte { return byte(r.uint(1)) }

func (r *lsda) uint(n uint64) uint64 {
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
func (r *lsda) leb() (v uint64, bits int) {
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

func (r *lsda) uleb() uint64 {
	v, _ := r.leb()
	return v
}

func (r *lsda) sleb() int64 {
	v, bits := r.leb()
	if bits < 64 && bits > 0 && v>>(bits-1)&1 != 0 {
		v |= ^uint64(0) << bits
	}
	return int64(v)
}

// pointer reads an encoded value. An indirect one gives the address of the slot.
func (r *lsda) pointer(enc byte) uint64 {
	at := uint64(r.base) + r.pos
	var v uint64
	switch enc & 0x0f {
	case 0x00, 0x04, 0x0c:
		v = r.uint(8)
	case 0x01:
		v = r.uleb()
	case 0x02:
		v = r.uint(2)
	case 0x03:
		v = r.uint(4)
	case 0x0a:
		v = uint64(int64(int16(r.uint(2))))
	case 0x0b:
		v = uint64(int64(int32(r.uint(4))))
	default:
		r.bad = true
	}
	switch enc &^ encIndirect & 0x70 {
	case 0:
	case encPCRel:
		if v != 0 {
			v += at
		}
	default:
		r.bad = true
	}
	return v
}

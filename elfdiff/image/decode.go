package image

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"hotpatch/arch"
)

// DecodeError says why a function cannot be decoded.
type DecodeError struct {
	Atom *Atom
	Off  uint32 // from the atom's start
	Code []byte // the bytes there
	Msg  string
	Err  error // of the decoder, or nil
}

func (e *DecodeError) Error() string {
	s := fmt.Sprintf("decode %s+%#x: %s", e.Atom.Name, e.Off, e.Msg)
	if len(e.Code) > 0 {
		s += fmt.Sprintf(" (bytes % x)", e.Code)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *DecodeError) Unwrap() error { return e.Err }

// errNotCode is what Body returns for data.
var errNotCode = errors.New("not code")

// bodyCache holds decoded bodies by atom ID.
type bodyCache struct {
	entries  []atomic.Pointer[bodyEntry]
	decoders sync.Pool // of *Decoder
}

type bodyEntry struct {
	body *Body
	err  error
}

func (c *bodyCache) init(n int) { c.entries = make([]atomic.Pointer[bodyEntry], n) }

// Body decodes an atom of code, together with the other parts of its unit, and resolves its references. The result is
// cached and shared: what is only looked at once is better decoded by a [Decoder]. An error says which instruction could
// not be decoded; it is a [*DecodeError].
//
// Instructions are found by following control flow from the entry, from landing pads in the exception table, from jump
// tables and from labels whose address is taken. What is left and decodes consistently to the end is taken as code that
// no path reaches (Inst.Unseen); the rest is in Body.Gaps.
//
// # Neighbours
//
// An address that is taken (lea, or an immediate) and not accessed could also belong to an object beside it. Such an
// object is a candidate in these cases. One past its end: it ends exactly there, the same unit also refers to it, and
// the address is not just used as the base of memory operands. In front of its start: it starts at most 64 bytes later,
// and the address is in padding; or within another object that the unit does not otherwise refer to; or within one while
// the unit refers to both; or it is that of a scalar, but used with an index. Accesses of known width that lie wholly in
// one object are proven to be to that object, since a compiler knows what it addresses directly.
func (im *Image) Body(a *Atom) (*Body, error) {
	if !a.IsCode() {
		return nil, fmt.Errorf("decode %s: %w", a.Name, errNotCode)
	}
	if e := im.bodies.entries[a.ID].Load(); e != nil {
		return e.body, e.err
	}
	im.decodeUnit(a)
	e := im.bodies.entries[a.ID].Load()
	return e.body, e.err
}

// Decode decodes all functions with the given number of workers (0: one for each CPU) and caches them. Functions that
// cannot be decoded are no error here: Body reports them. The error is the context's.
func (im *Image) Decode(ctx context.Context, workers int) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	const batch = 32
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(batch)) - batch
				if i >= len(im.Atoms) {
					return
				}
				for _, a := range im.Atoms[i:min(i+batch, len(im.Atoms))] {
					if a.IsCode() && a.Parent == nil {
						im.Body(a)
					}
				}
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// decodeUnit decodes the unit of a and stores the result for each of its atoms.
func (im *Image) decodeUnit(a *Atom) {
	d, ok := im.bodies.decoders.Get().(*Decoder)
	if !ok {
		d = im.NewDecoder()
	}
	defer im.bodies.decoders.Put(d)
	bodies, err := d.Unit(a)
	for i, p := range d.atoms {
		e := &bodyEntry{err: err}
		if err == nil {
			e.body = bodies[i].keep()
		}
		im.bodies.entries[p.ID].CompareAndSwap(nil, e)
	}
}

// NewDecoder returns a decoder of the image's functions.
func (im *Image) NewDecoder() *Decoder {
	return &Decoder{im: im, seen: make(map[tableKey]bool), tables: make(map[arch.ImageAddr]*JumpTable),
		switches: make(map[Target]*JumpTable)}
}

// Unit decodes the function that a is part of, as [Image.Body] does, and returns its parts: the one with the entry first, then
// Atom.Parts. The bodies and their slices are valid until the next call; what their references point to stays.
func (d *Decoder) Unit(a *Atom) ([]*Body, error) {
	d.reset(a.unit())
	if err := d.run(); err != nil {
		return nil, err
	}
	d.bodies = d.bodies[:0]
	for i := range d.parts {
		d.bodies = append(d.bodies, &d.parts[i].body)
	}
	return d.bodies, nil
}

// State of a byte of code.
const (
	byteUnknown = iota
	byteStart   // first byte of an instruction that some path reaches
	byteUnseen  // first byte of an instruction that none reaches
	byteInside  // a later byte of an instruction
)

// Decoder decodes functions one after the other, in memory that it uses again. It must not be used concurrently.
type Decoder struct {
	im    *Image
	atoms []*Atom
	parts []part
	work  []Target
	jumps []Target // indirect jumps
	leas  []arch.ImageAddr
	disps []arch.ImageAddr // ET_EXEC: absolute displacements
	seen  map[tableKey]bool
	// triedLeas and triedDisps count those of leas and disps at which a table was looked for.
	triedLeas, triedDisps int

	table  []*JumpTable
	tables map[arch.ImageAddr]*JumpTable // the first of table at each address
	inner  []innerRef                    // addresses taken inside the unit
	used   []arch.ImageAddr              // of data that the unit refers to
	tls    tlsUse
	insts  []arch.Inst // of all parts, in the order in which they were found
	bodies []*Body     // what Unit returns

	// Where addresses are made in pieces:
	flow   flow
	rounds int
	// followed is what the values in flow are of; -1 instructions: of nothing yet.
	followed flowInput
	// jumpsTried counts those of jumps when tables were last looked for in vain.
	jumpsTried int
	switches   map[Target]*JumpTable // by indirect jump

	transfer arch.Transfer // of the instruction that is looked at
}

// part is one atom of the unit.
type part struct {
	code  []byte
	state []uint8
	at    []int32 // where state is byteStart or byteUnseen: index in Decoder.insts
	nth   []int32 // the same, once they are listed: index in body.Insts
	body  Body
}

// decode decodes the instruction of part p that starts at off, marks it, and returns it; it is valid until the next one is decoded.
func (d *Decoder) decode(p *part, off uint32, state uint8) (*arch.Inst, error) {
	n := len(d.insts)
	d.insts = slices.Grow(d.insts, 1)[:n+1]
	in := &d.insts[n]
	if err := d.im.Arch.DecodeInto(in, p.code[off:]); err != nil {
		d.insts = d.insts[:n]
		return nil, err
	}
	p.state[off], p.at[off] = state, int32(n)
	return in, nil
}

// instAt returns the instruction that starts at off in part p.
func (d *Decoder) instAt(p *part, off uint32) *arch.Inst { return &d.insts[p.at[off]] }

// innerRef is an address inside the unit that code or data takes.
type innerRef struct {
	to   Target
	from Target         // the instruction; without an atom, data is
	data arch.ImageAddr // the word that holds it
}

func (d *Decoder) reset(atoms []*Atom) {
	d.atoms = atoms
	d.parts = slices.Grow(d.parts[:0], len(atoms))[:len(atoms)]
	d.work, d.jumps, d.leas, d.disps, d.inner = d.work[:0], d.jumps[:0], d.leas[:0], d.disps[:0], d.inner[:0]
	d.used, d.table, d.tls, d.insts = d.used[:0], nil, tlsUse{}, d.insts[:0]
	d.triedLeas, d.triedDisps = 0, 0
	d.rounds, d.jumpsTried, d.followed = 0, 0, flowInput{insts: -1}
	clear(d.switches)
	if len(d.seen) > 0 || len(d.tables) > 0 {
		clear(d.seen)
		clear(d.tables)
	}
}

// maxUnit bounds the bytes of one function: offsets are 32 bits wide.
const maxUnit = 1 << 30

// maxParts bounds the atoms of one function: compilers split off a handful.
const maxParts = 256

// run decodes the unit and fills in the parts' bodies.
func (d *Decoder) run() error {
	if err := d.load(); err != nil {
		return err
	}
	d.seed()
	if err := d.reach(); err != nil {
		return err
	}
	if err := d.fillGaps(); err != nil {
		return err
	}
	if d.im.Arch.Pieces != nil {
		if err := d.settle(); err != nil {
			return err
		}
	}
	if err := d.checkIndirect(); err != nil {
		return err
	}
	return d.build()
}

// load prepares the parts for their decoding.
func (d *Decoder) load() error {
	if len(d.atoms) > maxParts {
		return &DecodeError{Atom: d.atoms[0], Msg: fmt.Sprintf("it has %d parts, more than %d", len(d.atoms), maxParts)}
	}
	for i, a := range d.atoms {
		code, ok := d.im.Bytes(a.Addr, a.Size)
		if !ok || a.Size > maxUnit {
			return &DecodeError{Atom: a, Msg: fmt.Sprintf("its %d bytes are not in the file", a.Size)}
		}
		p := &d.parts[i]
		p.code = code
		p.state = slices.Grow(p.state[:0], len(code))[:len(code)]
		clear(p.state)
		p.at = slices.Grow(p.at[:0], len(code))[:len(code)]
		p.nth = slices.Grow(p.nth[:0], len(code))[:len(code)]
	}
	return nil
}

// locate returns the place of addr in the unit.
func (d *Decoder) locate(addr arch.ImageAddr) (Target, int, bool) {
	for i, a := range d.atoms {
		if addr >= a.Addr && addr < a.End() {
			return Target{a, uint32(addr - a.Addr)}, i, true
		}
	}
	return Target{}, 0, false
}

// partOf returns the index of the atom in the unit.
func (d *Decoder) partOf(a *Atom) int {
	for i, b := range d.atoms {
		if a == b {
			return i
		}
	}
	return -1
}

// seed starts with the entries that are known before any instruction is.
func (d *Decoder) seed() {
	x := &d.im.places
	for i, a := range d.atoms {
		if len(d.parts[i].code) > 0 && (i == 0 || !d.hasJumps(a)) {
			d.work = append(d.work, Target{a, 0})
		}
		k, _ := slices.BinarySearch(x.labels, a.Addr)
		for ; k < len(x.labels) && x.labels[k] < a.End(); k++ {
			to := Target{a, uint32(x.labels[k] - a.Addr)}
			d.work = append(d.work, to)
			for _, from := range x.stored[x.labels[k]] {
				d.inner = append(d.inner, innerRef{to: to, data: from})
			}
		}
		for _, pad := range d.im.landingPads(a) {
			if t, _, ok := d.locate(pad); ok {
				d.work = append(d.work, t)
			}
		}
	}
}

// hasJumps reports whether direct jumps lead into the part, so that its entries will be found.
func (d *Decoder) hasJumps(a *Atom) bool { return len(d.im.places.jumps[a]) > 0 }

// reach follows control flow until neither code nor jump tables give anything new.
func (d *Decoder) reach() error {
	for {
		for len(d.work) > 0 {
			t := d.work[len(d.work)-1]
			d.work = d.work[:len(d.work)-1]
			if err := d.follow(t, byteStart); err != nil {
				return err
			}
		}
		if len(d.jumps) == 0 {
			return nil
		}
		found := d.findTables()
		if d.im.Arch.Pieces != nil && len(d.jumps) > d.jumpsTried {
			var err error
			if found, err = d.findSwitches(); err != nil {
				return err
			}
		}
		if !found {
			return nil
		}
	}
}

// follow decodes straight on from t, and queues branch targets.
func (d *Decoder) follow(t Target, state uint8) error {
	i := d.partOf(t.Atom)
	p := &d.parts[i]
	for off := t.Off; int(off) < len(p.code); {
		switch p.state[off] {
		case byteStart, byteUnseen:
			return nil
		case byteInside:
			if p.behindLock(d.im.Arch, off) {
				_, err := d.decode(p, off, byteStart)
				return err
			}
			return &DecodeError{Atom: t.Atom, Off: off, Code: head(p.code[off:]), Msg: "control flow enters the middle of an instruction"}
		}
		in, err := d.decode(p, off, state)
		if err != nil {
			return &DecodeError{Atom: t.Atom, Off: off, Code: head(p.code[off:]), Msg: "unknown instruction", Err: err}
		}
		end := off + uint32(in.Len)
		first := off + 1 // byte that must be free
		if int(first) < len(p.code) && (p.state[first] == byteStart || p.state[first] == byteUnseen) && p.behindLock(d.im.Arch, first) {
			first = end
		}
		for k := first; k < end; k++ {
			if p.state[k] != byteUnknown {
				return &DecodeError{Atom: t.Atom, Off: off, Code: head(p.code[off:]), Msg: "two instructions overlap"}
			}
			p.state[k] = byteInside
		}
		if in.NumOps > 0 || in.BrSize > 0 || in.Flow == arch.FlowJumpInd || in.TLSBase || in.TLSMem {
			d.note(Target{t.Atom, off}, in)
		}
		switch in.Flow {
		case arch.FlowJump, arch.FlowJumpInd, arch.FlowReturn, arch.FlowStop:
			return nil
		}
		off = end
	}
	return nil
}

// behindLock reports whether off is the second entry of a locked instruction that starts in front of it: the same instruction
// without its prefix. glibc jumps there while the process has one thread only.
func (p *part) behindLock(a *arch.Arch, off uint32) bool {
	return a.Unlocked != nil && off > 0 && (p.state[off-1] == byteStart || p.state[off-1] == byteUnseen) && a.Unlocked(p.code[off-1:])
}

// note records what an instruction refers to.
func (d *Decoder) note(t Target, in *arch.Inst) {
	d.tls.any = d.tls.any || (in.TLSBase || in.TLSMem) && d.im.Arch.Pieces == nil
	at := t.Atom.Addr + arch.ImageAddr(t.Off)
	if in.BrSize > 0 {
		if to, _, ok := d.locate(at + arch.ImageAddr(in.Target)); ok {
			d.work = append(d.work, to)
		}
	}
	if in.Flow == arch.FlowJumpInd {
		d.jumps = append(d.jumps, t)
	}
	for i := range in.NumOps {
		op := &in.Ops[i]
		v, ok := d.im.opAddress(at, op)
		if !ok {
			continue
		}
		if op.Kind == arch.OpDisp || op.Kind == arch.OpImm {
			d.disps = append(d.disps, v)
		} else if op.Kind == arch.OpPC && op.Addr {
			d.leas = append(d.leas, v)
		}
		d.used = append(d.used, v)
		d.tls.block = d.tls.block || d.im.dyn.blocks[v]
		// The address of an instruction of this unit; the entry of the function is an ordinary place.
		if to, k, ok := d.locate(v); ok && (k > 0 || to.Off > 0) && (op.Addr || op.Kind == arch.OpImm) && d.im.Arch.Pieces == nil {
			d.work = append(d.work, to)
			d.inner = append(d.inner, innerRef{to: to, from: t})
		}
	}
}

// head returns the bytes of code that an error shows.
func head(code []byte) []byte { return slices.Clone(code[:min(len(code), 16)]) }

package unwind_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/x86"
	"hotpatch/ptrace/unwind"
	"hotpatch/ptrace/unwind/cfi"
)

// Where the fake process has its parts.
const (
	fakeBias  = 0x55550000_0000
	fakeText  = 0x1000 // image address
	fakeSlot  = 0x9000 // image address of the one GOT slot
	fnSize    = 0x40   // distance between functions, in bytes
	stackLow  = 0x7fff0000_0000
	stackHigh = 0x7fff0001_0000
	altLow    = 0x7eee0000_0000
	altHigh   = 0x7eee0000_4000
)

var errUnmapped = errors.New("not mapped")

// fakeMemory is a memory of a few segments.
type fakeMemory struct {
	segs  []segment
	reads int
}

type segment struct {
	addr arch.Addr
	data []byte
}

func (m *fakeMemory) ReadMem(buf []byte, addr arch.Addr) error {
	m.reads++
	for _, s := range m.segs {
		if addr >= s.addr && uint64(addr-s.addr)+uint64(len(buf)) <= uint64(len(s.data)) {
			copy(buf, s.data[addr-s.addr:])
			return nil
		}
	}
	return errUnmapped
}

// put stores a word.
func (m *fakeMemory) put(addr arch.Addr, v uint64) {
	for _, s := range m.segs {
		if addr >= s.addr && uint64(addr-s.addr)+8 <= uint64(len(s.data)) {
			binary.LittleEndian.PutUint64(s.data[addr-s.addr:], v)
			return
		}
	}
	panic("put outside of the segments")
}

// fn is a function of the fake image. It begins with sub $frame, %rsp unless frame is zero.
type fn struct {
	name  string
	frame byte
	body  []op
	cut   bool // ends behind its last operation, where the next function starts: no padding
	last  bool // its return address is undefined
	bare  bool // it has no call frame information
}

// op is an instruction of the fake image; direct ones name their target.
type op struct {
	code   []byte
	target string
	ret    bool // gives up the frame first
}

var (
	callInd = op{code: []byte{0xff, 0xd0}}             // call *%rax
	jumpInd = op{code: []byte{0xff, 0xe0}}             // jmp *%rax
	system  = op{code: []byte{0x0f, 0x05}}             // syscall
	ret     = op{code: []byte{0xc3}, ret: true}        // ret
	landing = op{code: []byte{0xf3, 0x0f, 0x1e, 0xfa}} // endbr64
	nop     = op{code: []byte{0x90}}                   // nop
)

func direct(target string) op { return op{code: []byte{0xe8}, target: target} }
func jump(target string) op   { return op{code: []byte{0xe9}, target: target} }
func jumpSlot() op            { return op{code: []byte{0xff, 0x25}, target: "slot"} }

// program is the fake process's image.
type program struct {
	space *unwind.Space
	mem   *fakeMemory
	start map[string]arch.Addr
	end   map[string]arch.Addr
	after map[string][]arch.Addr // by function: the address behind each operation
}

// layout gives every function and operation its place.
func (p *program) layout(fns []fn) {
	at := arch.Addr(fakeBias + fakeText)
	for _, f := range fns {
		p.start[f.name] = at
		if f.frame != 0 {
			at += 4
		}
		for _, o := range f.body {
			at += arch.Addr(len(o.code))
			if o.target != "" || o.ret && f.frame != 0 {
				at += 4
			}
			p.after[f.name] = append(p.after[f.name], at)
		}
		p.end[f.name] = at
		if !f.cut {
			at = (at + fnSize) &^ (fnSize - 1)
		}
	}
	p.start["slot"] = fakeBias + fakeSlot
}

// newProgram assembles functions, with call frame information for all of them.
func newProgram(t testing.TB, fns []fn) *program {
	t.Helper()
	p := &program{start: map[string]arch.Addr{}, end: map[string]arch.Addr{}, after: map[string][]arch.Addr{}}
	p.layout(fns)
	text := make([]byte, 0x1000)
	for i := range text {
		text[i] = 0xcc
	}
	b := &frames{}
	c := b.cie()
	for _, f := range fns {
		code := text[p.start[f.name]-fakeBias-fakeText:][:0]
		if f.frame != 0 {
			code = append(code, 0x48, 0x83, 0xec, f.frame)
		}
		for i, o := range f.body {
			if o.ret && f.frame != 0 {
				code = append(code, 0x48, 0x83, 0xc4, f.frame)
			}
			code = append(code, o.code...)
			if o.target != "" {
				code = binary.LittleEndian.AppendUint32(code, uint32(p.start[o.target]-p.after[f.name][i]))
			}
		}
		if f.bare {
			continue
		}
		b.fde(c, uint64(p.start[f.name]-fakeBias), uint64(len(code)), &f)
	}
	table, err := cfi.Parse(x86.Arch, b.data, 0xa000, binary.LittleEndian)
	if err != nil {
		t.Fatal(err)
	}
	p.space = &unwind.Space{Arch: x86.Arch, Modules: []unwind.Module{{
		Range: unwind.Range{Start: fakeBias, End: fakeBias + 0x10000},
		Exec:  []unwind.Range{{Start: fakeBias + fakeText, End: fakeBias + fakeText + 0x1000}},
		Bias:  fakeBias, CFI: table, Name: "fake",
	}}}
	p.mem = &fakeMemory{segs: []segment{
		{addr: fakeBias + fakeText, data: text},
		{addr: fakeBias + fakeSlot, data: make([]byte, 0x1000)},
		{addr: stackLow, data: make([]byte, stackHigh-stackLow)},
		{addr: altLow, data: make([]byte, altHigh-altLow)},
	}}
	return p
}

// frames builds an .eh_frame section.
type frames struct{ data []byte }

func (b *frames) record(id uint32, body []byte) uint32 {
	off := uint32(len(b.data))
	for len(body)%4 != 0 {
		body = append(body, 0) // DW_CFA_nop
	}
	b.data = binary.LittleEndian.AppendUint32(b.data, uint32(4+len(body)))
	b.data = binary.LittleEndian.AppendUint32(b.data, id)
	b.data = append(b.data, body...)
	return off
}

// cie appends a CIE as gcc has it, with 8-byte absolute addresses.
func (b *frames) cie() uint32 {
	return b.record(0, []byte{1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x04, 0x0c, 7, 8, 0x90, 1})
}

// fde appends the FDE of f: the frame grows by the instruction sub at its start, and is
// given up by the add in front of a return at its end.
func (b *frames) fde(cie uint32, start, size uint64, f *fn) {
	body := binary.LittleEndian.AppendUint64(nil, start)
	body = binary.LittleEndian.AppendUint64(body, size)
	body = append(body, 0)
	if f.last {
		body = append(body, 0x07, 16) // DW_CFA_undefined ra
	}
	if f.frame != 0 {
		body = append(body, 0x44, 0x0e, 8+f.frame) // DW_CFA_advance_loc 4, DW_CFA_def_cfa_offset
		if f.body[len(f.body)-1].ret {
			body = append(body, 0x40|byte(size-5), 0x0e, 8)
		}
	}
	b.record(uint32(len(b.data))+4-cie, append(body, 0))
}

// target makes a target of a function; its entries are its start and the place behind a landing pad.
func (p *program) target(name string) unwind.Target {
	s := p.start[name]
	code := make([]byte, 8)
	if err := p.mem.ReadMem(code, s); err != nil {
		panic(err)
	}
	return unwind.Target{
		Range:   unwind.Range{Start: s, End: p.end[name]},
		Name:    name,
		Entries: []arch.Addr{s, s + arch.Addr(x86.Arch.Jump.Landing(code))},
	}
}

// thread returns a thread at pc whose stack ends, below the top by room bytes, with words.
func (p *program) thread(pc arch.Addr, room int, words ...uint64) *unwind.Thread {
	sp := arch.Addr(stackHigh - room - 8*len(words))
	for i, w := range words {
		p.mem.put(sp+arch.Addr(8*i), w)
	}
	t := &unwind.Thread{TID: 1, Stacks: []unwind.Stack{{Low: stackLow, High: stackHigh, Own: true}}}
	for n := range 17 {
		t.Regs.Set(n, 0)
	}
	t.Regs.Set(x86.Arch.DWARF.SP, uint64(sp))
	t.Regs.Set(x86.Arch.DWARF.RA, uint64(pc))
	return t
}

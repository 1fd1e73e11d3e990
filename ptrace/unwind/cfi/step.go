package cfi

import (
	"errors"
	"fmt"

	"hotpatch/arch"
)

// Memory is a target's memory.
type Memory interface {
	// ReadMem fills buf with the memory at addr, or returns an error.
	ReadMem(buf []byte, addr arch.Addr) error
}

// UintReader is a Memory that can also read single integers. [Row.Step] prefers it,
// because a buffer handed through an interface must be allocated.
type UintReader interface {
	Memory
	// ReadUint reads an unsigned integer of 1, 2, 4 or 8 bytes.
	ReadUint(addr arch.Addr, size int) (uint64, error)
}

// nothing is a memory of which nothing can be read.
type nothing struct{}

var errNoMemory = errors.New("there is no memory to read")

func (nothing) ReadMem([]byte, arch.Addr) error { return errNoMemory }

// Regs is the state of the registers in one frame, by DWARF number; see [NumMax].
type Regs struct {
	Val [NumMax]uint64
	Has uint64 // bit n: Val[n] is known
}

// Get returns register n, and whether it is known.
func (r *Regs) Get(n int) (uint64, bool) {
	if n < 0 || n >= NumMax || r.Has>>uint(n)&1 == 0 {
		return 0, false
	}
	return r.Val[n], true
}

// Set makes register n known. Numbers that are not tracked are left out.
func (r *Regs) Set(n int, v uint64) {
	if n >= 0 && n < NumMax {
		r.Val[n] = v
		r.Has |= 1 << uint(n)
	}
}

// ErrOutermost is the answer of Step for a frame that has no caller.
var ErrOutermost = errors.New("frame is the outermost one")

// UnknownError says that a rule needs a register that is not known in the frame.
type UnknownError struct {
	Reg  int
	Name string // "": it has none here
}

func (e *UnknownError) Error() string {
	if e.Name != "" {
		return fmt.Sprintf("value of register %d (%s) is not known in this frame", e.Reg, e.Name)
	}
	return fmt.Sprintf("value of register %d is not known in this frame", e.Reg)
}

// unknown returns the error for a register by its DWARF number.
func (s *section) unknown(n int) error {
	d := &s.arch.DWARF
	e := &UnknownError{Reg: n}
	switch {
	case n < d.NumRegs:
		e.Name = d.Names[n]
	case d.VG != 0 && n == d.VG:
		e.Name = "VG, the length of scalable vectors"
	}
	return e
}

// Step computes the registers of the caller, and the canonical frame address. regs
// are those of this frame; the caller's program counter is [arch.DWARF].PCReg of
// the result. A register that cannot be known in the caller is left out of
// the result; a return address that cannot be known is an error.
//
// Step allocates nothing if mem is a [UintReader].
func (r *Row) Step(regs *Regs, mem Memory) (caller Regs, cfa arch.Addr, err error) {
	d := &r.sec.arch.DWARF
	if r.Outermost() {
		return Regs{}, 0, ErrOutermost
	}
	v, err := r.value(&r.CFA, regs, mem, 0)
	if err != nil {
		return Regs{}, 0, fmt.Errorf("cfa: %w", err)
	}
	cfa = arch.Addr(v)
	for n := 0; n < d.NumRegs; n++ {
		if err := r.restore(n, &caller, regs, mem, v); err != nil {
			return Regs{}, cfa, fmt.Errorf("register %s: %w", d.Names[n], err)
		}
	}
	if d.VG != 0 {
		if err := r.restore(VG, &caller, regs, mem, v); err != nil {
			return Regs{}, cfa, fmt.Errorf("register VG: %w", err)
		}
	}
	pc := d.PCReg()
	ra := int(r.RA)
	if pc != ra && r.Regs[pc].Kind == RuleNone {
		// The return address is in a register of its own. The call has overwritten the caller's value of it.
		if v, ok := caller.Get(ra); ok {
			caller.Set(pc, v)
			caller.forget(ra)
		}
	}
	if _, ok := caller.Get(pc); !ok {
		return Regs{}, cfa, r.sec.unknown(ra)
	}
	return caller, cfa, nil
}

// forget makes register n unknown.
func (r *Regs) forget(n int) { r.Has &^= 1 << uint(n) }

// restore computes register n of the caller.
func (r *Row) restore(n int, caller, regs *Regs, mem Memory, cfa uint64) error {
	d := &r.sec.arch.DWARF
	rule := &r.Regs[n]
	switch rule.Kind {
	case RuleUndefined:
	case RuleNone:
		switch {
		case n == d.SP:
			// Both ABIs define the CFA as the caller's stack pointer.
			caller.Set(n, cfa)
		case n == d.PCReg():
			// Nobody's value: it is set from the return address.
		case n < len(d.Saved) && d.Saved[n] || n == int(r.RA) || n == VG:
			keep(n, caller, n, regs)
		}
	case RuleSameValue:
		keep(n, caller, n, regs)
	case RuleRegister:
		keep(n, caller, int(rule.Reg), regs)
	case RuleOffset:
		v, err := readUint(mem, arch.Addr(cfa+uint64(rule.Off)), r.sec.arch.PtrSize)
		if err != nil {
			return err
		}
		caller.Set(n, v)
	case RuleValOffset:
		caller.Set(n, cfa+uint64(rule.Off))
	default:
		v, err := r.value(rule, regs, mem, cfa)
		if err != nil {
			return err
		}
		if rule.Kind == RuleExpr {
			if v, err = readUint(mem, arch.Addr(v), r.sec.arch.PtrSize); err != nil {
				return err
			}
		}
		caller.Set(n, v)
	}
	return nil
}

// keep copies a register, known or not.
func keep(to int, caller *Regs, from int, regs *Regs) {
	if v, ok := regs.Get(from); ok {
		caller.Set(to, v)
	}
}

// value evaluates the rule of a CFA, or the expression of a register's rule (which starts
// with cfa on its stack: DWARF 5, 6.4.2.3).
func (r *Row) value(rule *Rule, regs *Regs, mem Memory, cfa uint64) (uint64, error) {
	switch rule.Kind {
	case RuleRegister:
		v, ok := regs.Get(int(rule.Reg))
		if !ok {
			return 0, r.sec.unknown(int(rule.Reg))
		}
		return v + uint64(rule.Off), nil
	case RuleExpr, RuleValExpr:
		e := evaluator{reader: r.sec.reader(uint64(rule.Off), uint64(rule.Off)+uint64(rule.len)), regs: regs, mem: mem}
		if rule != &r.CFA {
			e.push(cfa)
		}
		return e.run()
	}
	return 0, &FormatError{Msg: "no rule for the CFA", Val: nil}
}

// readUint reads an integer of size bytes through the quickest way that mem offers.
func readUint(mem Memory, addr arch.Addr, size int) (uint64, error) {
	if u, ok := mem.(UintReader); ok {
		return u.ReadUint(addr, size)
	}
	buf := make([]byte, size)
	if err := mem.ReadMem(buf, addr); err != nil {
		return 0, err
	}
	var v uint64
	for i := size - 1; i >= 0; i-- {
		v = v<<8 | uint64(buf[i])
	}
	return v, nil
}

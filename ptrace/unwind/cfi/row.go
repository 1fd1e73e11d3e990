package cfi

import "hotpatch/arch"

// NumMax is the number of registers that rows and register sets hold. A register has the index of
// its DWARF number, of which arm64 needs the most: x0-x30, sp and pc (number 32). Rules for registers of greater
// numbers (vector registers) are read and left out: no return address depends on them, and no frame address
// but on the vectors' length, the pseudo register arch.DWARF.VG, which has the index VG.
const NumMax = 34

// VG is the index of the register arch.DWARF.VG in rows and register sets.
const VG = NumMax - 1

// slot returns the index of a register in rows and register sets; false: it is not tracked.
func (s *section) slot(reg uint64) (int, bool) {
	d := &s.arch.DWARF
	switch {
	case reg < uint64(d.NumRegs):
		return int(reg), true
	case d.VG != 0 && reg == uint64(d.VG):
		return VG, true
	}
	return 0, false
}

// maxRemembered bounds the stack of DW_CFA_remember_state. Compilers nest two.
const maxRemembered = 8

// RuleKind says how a value is found (DWARF 5, 6.4.1).
type RuleKind uint8

const (
	// RuleNone: the program says nothing. A register that the ABI preserves has
	// the value that it has in this frame; another one is lost.
	RuleNone      RuleKind = iota
	RuleUndefined          // lost; for the return address: there is no caller
	RuleSameValue          // as in this frame
	RuleOffset             // stored at CFA + Off
	RuleValOffset          // is CFA + Off
	RuleRegister           // in register Reg; as the rule of a CFA: Reg + Off
	RuleExpr               // stored where the expression says; as the rule of a CFA: the expression's value
	RuleValExpr            // the expression's value
)

// Rule says how the CFA or one register of the caller is found.
type Rule struct {
	Kind RuleKind
	Reg  uint8
	len  uint32 // bytes of the expression
	Off  int64  // RuleExpr, RuleValExpr: offset of the expression in the section
}

// Row is what call frame information says for one place in the code.
type Row struct {
	Start, End arch.ImageAddr // the row holds for Start <= pc < End
	CFA        Rule           // RuleRegister or RuleExpr
	Regs       [NumMax]Rule   // by DWARF number

	// RASign is the pseudo register arch.DWARF.RASign, as bits of RASigned and RASignedPC; Step gives
	// the return address as it is stored.
	RASign      uint8
	RA          uint8 // CIE.RA
	SignalFrame bool  // the caller was interrupted at its pc, rather than calling in front of it

	sec *section
}

// Bits of [Row].RASign (AADWARF64 4.1, RA_SIGN_STATE).
const (
	RASigned   = 1 << 0 // the return address is signed
	RASignedPC = 1 << 1 // with the signing instruction's address as a second modifier (FEAT_PAuth_LR)
)

// Outermost reports whether the frame has no caller by the word of its row: the
// return address is undefined, as at the start of a thread.
func (r *Row) Outermost() bool {
	return r.sec != nil && r.Regs[r.RA].Kind == RuleUndefined
}

// start evaluates the initial instructions of the CIE.
func (c *CIE) start() error {
	c.initial = Row{RA: uint8(c.RA), SignalFrame: c.SignalFrame, sec: &c.table.sec}
	m := machine{row: c.initial, cie: c}
	if err := m.run(c.prog, c.end, 0, 0); err != nil {
		return err
	}
	c.initial = m.row
	return nil
}

// EntryCFA is the rule for the CFA where a function of this CIE starts, as its initial
// instructions have it (x86-64: rsp+8). A frame is set up or torn down where it holds.
func (c *CIE) EntryCFA() Rule { return c.initial.CFA }

// Row evaluates the FDE's program up to pc. An address outside of the FDE is an
// error, as a malformed program is; the latter is found only up to pc.
func (f *FDE) Row(pc arch.ImageAddr) (Row, error) {
	if pc < f.Start || pc >= f.End {
		return Row{}, &FormatError{Off: f.Off, Msg: "FDE does not cover the address", Val: uint64(pc)}
	}
	m := machine{row: f.CIE.initial, cie: f.CIE}
	m.row.Start, m.row.End = f.Start, f.End
	if err := m.run(f.prog, f.end, pc, f.End); err != nil {
		return Row{}, err
	}
	if m.row.CFA.Kind == RuleNone {
		return Row{}, &FormatError{Off: f.Off, Msg: "FDE defines no CFA for the address", Val: uint64(pc)}
	}
	return m.row, nil
}

// machine executes call frame programs.
type machine struct {
	row        Row
	cie        *CIE
	remembered [maxRemembered]state
	depth      int
}

// state is what DW_CFA_remember_state keeps.
type state struct {
	cfa    Rule
	regs   [NumMax]Rule
	raSign uint8
}

// run executes the program [prog, end) of the section until it advances beyond pc.
// An FDE ends at limit; limit zero means that advancing is not allowed (CIE).
func (m *machine) run(prog, end uint64, pc, limit arch.ImageAddr) error {
	r := m.cie.table.sec.reader(prog, end)
	for !r.done() {
		in := r.inst(m.cie)
		if r.err != nil {
			return r.err
		}
		to, moves := m.advance(&r, &in)
		if moves {
			if r.err == nil && (limit == 0 || to < m.row.Start || to > limit) {
				r.fail(in.off, "program advances backwards or beyond its function, to", uint64(to))
			}
			if r.err != nil {
				return r.err
			}
			if to > pc {
				m.row.End = to
				return nil
			}
			m.row.Start = to
			continue
		}
		m.exec(&r, &in)
	}
	return r.err
}

// advance computes the location that in moves to, if it moves.
func (m *machine) advance(r *reader, in *inst) (to arch.ImageAddr, moves bool) {
	switch in.op {
	case cfaSetLoc:
		return in.ptr.Value, true
	case cfaAdvanceLoc, cfaAdvanceLoc1, cfaAdvanceLoc2, cfaAdvanceLoc4:
		delta := in.arg[0] * m.cie.CodeAlign
		if m.cie.CodeAlign != 0 && delta/m.cie.CodeAlign != in.arg[0] {
			r.fail(in.off, "advance exceeds 64 bits; the delta is", in.arg[0])
		}
		to = m.row.Start + arch.ImageAddr(delta)
		if to < m.row.Start {
			r.fail(in.off, "advance wraps around the address space; the delta is", in.arg[0])
		}
		return to, true
	}
	return 0, false
}

// exec executes an instruction that does not advance.
func (m *machine) exec(r *reader, in *inst) {
	switch in.op {
	case cfaRememberState:
		if m.depth == maxRemembered {
			r.fail(in.off, "states are remembered too deeply; the limit is", maxRemembered)
			return
		}
		m.remembered[m.depth] = state{cfa: m.row.CFA, regs: m.row.Regs, raSign: m.row.RASign}
		m.depth++
	case cfaRestoreState:
		if m.depth == 0 {
			r.fail(in.off, "state is restored that was not remembered", nil)
			return
		}
		m.depth--
		s := &m.remembered[m.depth]
		m.row.CFA, m.row.Regs, m.row.RASign = s.cfa, s.regs, s.raSign
	case cfaDefCFA, cfaDefCFASF, cfaDefCFARegister, cfaDefCFAOffset, cfaDefCFAOffsetSF, cfaDefCFAExpression:
		m.defCFA(r, in)
	case cfaNegateRAState, cfaNegateRAStatePC, cfaSetRAState:
		m.signRA(r, in)
	case cfaRestore, cfaRestoreExtended:
		if n, ok := r.sec.slot(in.arg[0]); ok {
			m.row.Regs[n] = m.cie.initial.Regs[n]
		} else if m.isRASign(in.arg[0]) {
			m.row.RASign = m.cie.initial.RASign
		}
	case cfaNop, cfaGNUArgsSize:
		// The size of pushed arguments matters only to who resumes at a landing pad.
	default:
		rule, ok := m.regRule(r, in)
		if !ok {
			return
		}
		if n, ok := r.sec.slot(in.arg[0]); ok {
			m.row.Regs[n] = rule
		} else if m.isRASign(in.arg[0]) {
			m.ruleRASign(r, in, &rule)
		}
	}
}

// isRASign reports whether a DWARF number is that of the pseudo register which says whether return addresses are signed.
func (m *machine) isRASign(reg uint64) bool {
	d := &m.cie.table.sec.arch.DWARF
	return d.RASign != 0 && reg == uint64(d.RASign)
}

// signRA executes the instructions that say whether the return address is signed (AADWARF64 4.4.1).
func (m *machine) signRA(r *reader, in *inst) {
	switch in.op {
	case cfaNegateRAState:
		m.row.RASign ^= RASigned
	case cfaNegateRAStatePC:
		m.row.RASign ^= RASigned | RASignedPC
	case cfaSetRAState:
		// The second operand says where the signing instruction stands, which only who checks the signature asks.
		m.setRASign(r, in, in.arg[0])
	}
}

// ruleRASign executes a register rule for RA_SIGN_STATE. AADWARF64 knows DW_CFA_val_expression; anything that is not a constant is an
// error.
func (m *machine) ruleRASign(r *reader, in *inst, rule *Rule) {
	switch rule.Kind {
	case RuleUndefined, RuleSameValue:
		m.row.RASign = 0
	case RuleValExpr:
		e := evaluator{reader: r.sec.reader(uint64(rule.Off), uint64(rule.Off)+uint64(rule.len)), regs: &Regs{}, mem: nothing{}}
		v, err := e.run()
		if err != nil {
			r.fail(in.off, "RA_SIGN_STATE is no constant; its expression has this many bytes", rule.len)
			return
		}
		m.setRASign(r, in, v)
	default:
		r.fail(in.off, "RA_SIGN_STATE is given by the instruction", in.op)
	}
}

func (m *machine) setRASign(r *reader, in *inst, v uint64) {
	if v&^(RASigned|RASignedPC) != 0 {
		r.fail(in.off, "unknown RA_SIGN_STATE", v)
		return
	}
	m.row.RASign = uint8(v)
}

// regRule returns the rule that in sets for the register in.arg[0].
func (m *machine) regRule(r *reader, in *inst) (Rule, bool) {
	switch in.op {
	case cfaUndefined:
		return Rule{Kind: RuleUndefined}, true
	case cfaSameValue:
		return Rule{Kind: RuleSameValue}, true
	case cfaOffset, cfaOffsetExtended, cfaOffsetExtendedSF:
		return Rule{Kind: RuleOffset, Off: m.factored(r, in, int64(in.arg[1]))}, true
	case cfaGNUNegOffset:
		return Rule{Kind: RuleOffset, Off: m.factored(r, in, -int64(in.arg[1]))}, true
	case cfaValOffset, cfaValOffsetSF:
		return Rule{Kind: RuleValOffset, Off: m.factored(r, in, int64(in.arg[1]))}, true
	case cfaRegister:
		// A register that is not tracked is never known when the rule is applied.
		n, ok := r.sec.slot(in.arg[1])
		if !ok {
			n = NumMax
		}
		return Rule{Kind: RuleRegister, Reg: uint8(n)}, true
	case cfaExpression:
		return m.exprRule(r, in, RuleExpr), true
	case cfaValExpression:
		return m.exprRule(r, in, RuleValExpr), true
	}
	r.fail(in.off, "unknown call frame instruction", in.op)
	return Rule{}, false
}

// exprRule returns a rule with the expression of in.
func (m *machine) exprRule(r *reader, in *inst, kind RuleKind) Rule {
	if in.expr.len > maxExprLen {
		r.fail(in.off, "expression is too long; its bytes are", in.expr.len)
		return Rule{}
	}
	return Rule{Kind: kind, Off: int64(in.expr.off), len: uint32(in.expr.len)}
}

// factored returns v times the data alignment factor.
func (m *machine) factored(r *reader, in *inst, v int64) int64 {
	f := m.cie.DataAlign
	p := v * f
	if v != 0 && (p/v != f || v == -1 && f == -1<<63) {
		r.fail(in.off, "factored offset exceeds 64 bits; the factor is", v)
	}
	return p
}

// defCFA executes the instructions that define the CFA.
func (m *machine) defCFA(r *reader, in *inst) {
	cfa := &m.row.CFA
	switch in.op {
	case cfaDefCFAExpression:
		*cfa = m.exprRule(r, in, RuleExpr)
		return
	case cfaDefCFARegister, cfaDefCFAOffset, cfaDefCFAOffsetSF:
		if cfa.Kind != RuleRegister {
			r.fail(in.off, "CFA is changed that is not a register and an offset; the instruction is", in.op)
			return
		}
	}
	switch in.op {
	case cfaDefCFA, cfaDefCFASF, cfaDefCFARegister:
		if in.arg[0] >= uint64(m.cie.table.sec.arch.DWARF.NumRegs) {
			r.fail(in.off, "CFA is computed from a register that is not tracked", in.arg[0])
			return
		}
	}
	switch in.op {
	case cfaDefCFA:
		*cfa = Rule{Kind: RuleRegister, Reg: uint8(in.arg[0]), Off: int64(in.arg[1])}
	case cfaDefCFASF:
		*cfa = Rule{Kind: RuleRegister, Reg: uint8(in.arg[0]), Off: m.factored(r, in, int64(in.arg[1]))}
	case cfaDefCFARegister:
		cfa.Reg = uint8(in.arg[0])
	case cfaDefCFAOffset:
		cfa.Off = int64(in.arg[0])
	case cfaDefCFAOffsetSF:
		cfa.Off = m.factored(r, in, int64(in.arg[0]))
	}
}

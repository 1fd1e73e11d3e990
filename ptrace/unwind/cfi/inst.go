package cfi

import "fmt"

// Call frame instructions (DWARF 5, 7.24; LSB Core 5.0, table 7-5 for the GNU ones;
// AADWARF64 4.4.1). The three with an operand in the low six bits stand for
// themselves with these bits clear.
const (
	cfaNop              = 0x00
	cfaSetLoc           = 0x01
	cfaAdvanceLoc1      = 0x02
	cfaAdvanceLoc2      = 0x03
	cfaAdvanceLoc4      = 0x04
	cfaOffsetExtended   = 0x05
	cfaRestoreExtended  = 0x06
	cfaUndefined        = 0x07
	cfaSameValue        = 0x08
	cfaRegister         = 0x09
	cfaRememberState    = 0x0a
	cfaRestoreState     = 0x0b
	cfaDefCFA           = 0x0c
	cfaDefCFARegister   = 0x0d
	cfaDefCFAOffset     = 0x0e
	cfaDefCFAExpression = 0x0f
	cfaExpression       = 0x10
	cfaOffsetExtendedSF = 0x11
	cfaDefCFASF         = 0x12
	cfaDefCFAOffsetSF   = 0x13
	cfaValOffset        = 0x14
	cfaValOffsetSF      = 0x15
	cfaValExpression    = 0x16
	cfaSetRAState       = 0x2b // arm64: DW_CFA_AARCH64_set_ra_state, DW_CFA_AARCH64_negate_ra_state_with_pc,
	cfaNegateRAStatePC  = 0x2c // DW_CFA_AARCH64_negate_ra_state (0x2d is DW_CFA_GNU_window_save on SPARC)
	cfaNegateRAState    = 0x2d
	cfaGNUArgsSize      = 0x2e
	cfaGNUNegOffset     = 0x2f // DW_CFA_GNU_negative_offset_extended
	cfaAdvanceLoc       = 0x40
	cfaOffset           = 0x80
	cfaRestore          = 0xc0
)

// operand says how an operand of a call frame instruction is stored.
type operand uint8

const (
	opdNone operand = iota
	opdReg          // LEB128 register number
	opdU            // LEB128, unsigned
	opdS            // LEB128, signed
	opdU1           // 1, 2 or 4 bytes
	opdU2
	opdU4
	opdLow  // the low six bits of the opcode
	opdExpr // block with a DWARF expression
	opdPtr  // encoded as the FDE's start is
)

// form describes a call frame instruction.
type form struct {
	known bool
	signs bool // exists only where return addresses can be signed: arch.DWARF.RASign
	args  [2]operand
}

// forms holds the instructions' forms by opcode.
var forms = [256]form{
	cfaNop:              {known: true},
	cfaSetLoc:           {known: true, args: [2]operand{opdPtr}},
	cfaAdvanceLoc1:      {known: true, args: [2]operand{opdU1}},
	cfaAdvanceLoc2:      {known: true, args: [2]operand{opdU2}},
	cfaAdvanceLoc4:      {known: true, args: [2]operand{opdU4}},
	cfaOffsetExtended:   {known: true, args: [2]operand{opdReg, opdU}},
	cfaRestoreExtended:  {known: true, args: [2]operand{opdReg}},
	cfaUndefined:        {known: true, args: [2]operand{opdReg}},
	cfaSameValue:        {known: true, args: [2]operand{opdReg}},
	cfaRegister:         {known: true, args: [2]operand{opdReg, opdReg}},
	cfaRememberState:    {known: true},
	cfaRestoreState:     {known: true},
	cfaDefCFA:           {known: true, args: [2]operand{opdReg, opdU}},
	cfaDefCFARegister:   {known: true, args: [2]operand{opdReg}},
	cfaDefCFAOffset:     {known: true, args: [2]operand{opdU}},
	cfaDefCFAExpression: {known: true, args: [2]operand{opdExpr}},
	cfaExpression:       {known: true, args: [2]operand{opdReg, opdExpr}},
	cfaOffsetExtendedSF: {known: true, args: [2]operand{opdReg, opdS}},
	cfaDefCFASF:         {known: true, args: [2]operand{opdReg, opdS}},
	cfaDefCFAOffsetSF:   {known: true, args: [2]operand{opdS}},
	cfaValOffset:        {known: true, args: [2]operand{opdReg, opdU}},
	cfaValOffsetSF:      {known: true, args: [2]operand{opdReg, opdS}},
	cfaValExpression:    {known: true, args: [2]operand{opdReg, opdExpr}},
	cfaSetRAState:       {known: true, signs: true, args: [2]operand{opdU, opdS}},
	cfaNegateRAStatePC:  {known: true, signs: true},
	cfaNegateRAState:    {known: true, signs: true},
	cfaGNUArgsSize:      {known: true, args: [2]operand{opdU}},
	cfaGNUNegOffset:     {known: true, args: [2]operand{opdReg, opdU}},
	cfaAdvanceLoc:       {known: true, args: [2]operand{opdLow}},
	cfaOffset:           {known: true, args: [2]operand{opdLow, opdU}},
	cfaRestore:          {known: true, args: [2]operand{opdLow}},
}

// inst is a decoded call frame instruction.
type inst struct {
	op   byte      // as the constants above
	off  uint64    // in the section
	arg  [2]uint64 // signed ones as two's complement
	expr block
	ptr  PtrField // DW_CFA_set_loc; Off in the section
}

// inst decodes the next instruction of a program of c or of one of its FDEs.
func (r *reader) inst(c *CIE) inst {
	in := inst{off: r.off}
	b := r.u8()
	in.op = b
	if b&0xc0 != 0 {
		in.op = b & 0xc0
	}
	f := &forms[in.op]
	if !f.known {
		r.fail(in.off, "unknown call frame instruction", b)
		return in
	}
	if f.signs && r.sec.arch.DWARF.RASign == 0 {
		r.fail(in.off, fmt.Sprintf("call frame instruction is not used on %v", r.sec.arch.Machine), b)
		return in
	}
	for i, a := range f.args {
		switch a {
		case opdReg, opdU:
			in.arg[i] = r.uleb()
		case opdS:
			in.arg[i] = uint64(r.sleb())
		case opdU1:
			in.arg[i] = r.uint(1)
		case opdU2:
			in.arg[i] = r.uint(2)
		case opdU4:
			in.arg[i] = r.uint(4)
		case opdLow:
			in.arg[i] = uint64(b & 0x3f)
		case opdExpr:
			in.expr = r.block()
		case opdPtr:
			in.ptr = r.pointer(c.FDEEnc)
		}
	}
	return in
}

package arm64

import (
	"fmt"
	"strings"

	"hotpatch/arch"
)

// noDestination are the mnemonics of instructions that write none of their operands.
var noDestination = map[string]bool{
	"cmp": true, "cmn": true, "tst": true, "ccmp": true, "ccmn": true, "cmpp": true, "rmif": true, "setf8": true, "setf16": true,
	"prfm": true, "prfum": true, "msr": true, "sys": true, "dc": true, "ic": true, "at": true, "tlbi": true, "hint": true, "wfet": true, "wfit": true,
	"ctermeq": true, "ctermne": true, "fcmp": true, "fcmpe": true, "fccmp": true, "fccmpe": true,
}

// twoDestinations are those that write two.
var twoDestinations = map[string]bool{
	"ldp": true, "ldnp": true, "ldpsw": true, "ldxp": true, "ldaxp": true,
	"casp": true, "caspa": true, "caspl": true, "caspal": true,
}

// implied are those that write registers which are not among the operands.
var implied = map[string]uint8{
	"pacia1716": 17, "pacib1716": 17, "autia1716": 17, "autib1716": 17,
	"paciasp": LR, "pacibsp": LR, "autiasp": LR, "autibsp": LR, "paciaz": LR, "pacibz": LR, "autiaz": LR, "autibz": LR, "xpaclri": LR,
	"bl": LR, "blr": LR, "blraa": LR, "blrab": LR, "blraaz": LR, "blrabz": LR, "svc": 0,
}

// writes returns the general registers that an instruction writes by what objdump prints.
func (l *line) writes() (r Regs) {
	m := l.mnemonic
	if n, ok := implied[m]; ok {
		r.add(n)
	}
	dest := 1
	store := strings.HasPrefix(m, "st")
	exclusive := strings.HasPrefix(m, "stx") || strings.HasPrefix(m, "stlx")
	switch {
	case l.flow() != arch.FlowNext, noDestination[m], store && !exclusive:
		dest = 0
	case twoDestinations[m]:
		dest = 2
	case strings.HasPrefix(m, "swp"), strings.HasPrefix(m, "ldadd"), strings.HasPrefix(m, "ldclr"), strings.HasPrefix(m, "ldset"), strings.HasPrefix(m, "ldeor"),
		strings.HasPrefix(m, "ldsmax"), strings.HasPrefix(m, "ldsmin"), strings.HasPrefix(m, "ldumax"), strings.HasPrefix(m, "ldumin"):
		n, _ := general(l.operand(1))
		r.add(n)
		dest = 0
	}
	if strings.HasPrefix(m, "cpy") || strings.HasPrefix(m, "set") && strings.HasSuffix(l.operand(0), "!") { // [x0]!, [x1]!, x2!
		for _, op := range l.operands {
			if reg, ok := strings.CutSuffix(op, "!"); ok {
				n, _ := general(strings.Trim(reg, "[]"))
				r.add(n)
			}
		}
		return r
	}
	for i := range dest {
		if n, ok := general(l.operand(i)); ok {
			r.add(n)
		}
	}
	if a, ok := l.memory(); ok && a.how != Offset {
		r.add(a.base)
	}
	return r
}

// compareWrites compares the registers that an instruction writes. In the groups that are not told in detail more may be named.
func compareWrites(l *line, in *Inst) string {
	want := l.writes()
	loose := l.scalable() || in.Writes == AllRegs
	if in.Writes == want || loose && in.Writes&want == want {
		return ""
	}
	return fmt.Sprintf("writes %08x, want %08x", uint32(in.Writes), uint32(want))
}

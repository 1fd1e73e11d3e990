package arm64

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"hotpatch/arch"
)

// shown finds registers, and ranges of vector registers, in an operand as objdump prints it.
var shown = regexp.MustCompile(`\b(?:v(\d+)\.\w+-v(\d+)\.|([xw])(\d+)\b|(w?sp)\b|[bhsdqv](\d+)(?:\.\w+|\b))`)

// registers returns the registers that an operand names.
func registers(op string) (s arch.RegSet) {
	op, _, _ = strings.Cut(op, "<") // a symbol's name
	for _, m := range shown.FindAllStringSubmatch(op, -1) {
		number := func(i int) int { n, _ := strconv.Atoi(m[i]); return n }
		switch {
		case m[1] != "":
			for n := number(1); ; n = (n + 1) & 31 {
				s |= 1 << (firstVector + n)
				if n == number(2) {
					break
				}
			}
		case m[3] != "":
			s |= 1 << number(4)
		case m[5] != "":
			s |= 1 << SP
		default:
			s |= 1 << (firstVector + number(6))
		}
	}
	return s
}

// hidden are registers that instructions read and write besides those that objdump shows.
var hidden = map[string]arch.RegSet{
	"bl": 1 << LR, "blr": 1 << LR, "blraa": 1 << LR, "blrab": 1 << LR, "blraaz": 1 << LR, "blrabz": 1 << LR, "ret": 1 << LR,
	"retaa": 1<<LR | 1<<SP, "retab": 1<<LR | 1<<SP,
	"paciasp": 1<<LR | 1<<SP, "pacibsp": 1<<LR | 1<<SP, "autiasp": 1<<LR | 1<<SP, "autibsp": 1<<LR | 1<<SP,
	"paciaz": 1 << LR, "pacibz": 1 << LR, "autiaz": 1 << LR, "autibz": 1 << LR, "xpaclri": 1 << LR,
	"pacia1716": 3 << x16, "pacib1716": 3 << x16, "autia1716": 3 << x16, "autib1716": 3 << x16,
	"svc": 0x13f,
}

// merging are the instructions whose result depends on what the destination held, or that keep a part of it. What narrows to the upper
// half, by its 2 at the end, is of the latter kind, and so is what gives an element only.
var merging = regexp.MustCompile(`^(movk|bf[mic]|bfxil|ldg|sha(1[cpm]|1su[01]|256(h2?|su[01])|512(h2?|su[01]))|aes[ed]|sm3(partw[12]|tt[12][ab])|sm4e|` +
	`usqadd|suqadd|[us]adalp|[us]abal?2?|[us]?ml[as]l?2?|sqr?dml[as][lh]2?|fml[as]l?2?|fcmla|bfdot|bfmmla|bfmlal[bt]|(us|su|[us])dot|(us|[us])mmla|` +
	`[us]r?sra|s[rl]i|bsl|bi[tf]|tbx|[us]?q?xtu?n2|sqxtun2|[us]?q?r?shru?n2|sqr?shrun2|r?(add|sub)hn2|fcvtx?n2|bfcvtn2|pac\w+|aut\w+|xpac\w+|cas\w*)$`)

// merges reports whether the first operand is more than a destination.
func (l *line) merges() bool {
	first, _, _ := strings.Cut(l.mnemonic, ".")
	switch {
	case merging.MatchString(first):
		return first != "pacga"
	case first == "orr" || first == "bic": // with an immediate
		return l.operand(0)[0] == 'v' && strings.HasPrefix(l.operand(1), "#")
	case first == "fmov" || first == "mov" || first == "ins":
		return strings.Contains(l.operand(0), "[")
	case first == "ld1" || first == "ld2" || first == "ld3" || first == "ld4":
		return strings.Contains(l.operand(0), "[")
	}
	return false
}

// compareEffects compares what is known of an instruction's effects with what objdump prints and the decoder says.
func compareEffects(l *line, in *Inst) (diff string, known bool) {
	x, ok := effectsOf(l.word)
	if !ok {
		return "", l.scalable()
	}
	named, first := hidden[l.mnemonic], arch.RegSet(0)
	operands := l.operands
	switch in.Kind {
	case PCRel, Page, Literal:
		operands = operands[:len(operands)-1] // an address
	}
	switch in.Flow {
	case arch.FlowJump, arch.FlowBranch, arch.FlowCall:
		operands = operands[:len(operands)-1]
	}
	for i, op := range operands {
		named |= registers(op)
		if i == 0 {
			first = registers(op)
		}
	}
	if l.mnemonic == "ret" && len(l.operands) > 0 {
		named = first
	}
	const general = 1<<firstVector - 1
	written := arch.RegSet(in.Writes)
	if vector := first.Minus(general); vector != 0 && !strings.HasPrefix(l.mnemonic, "st") && !noDestination[l.mnemonic] {
		written |= vector
		if twoDestinations[l.mnemonic] {
			written |= registers(l.operand(1))
		}
	}
	switch all := x.Read | x.Write; {
	case in.Writes != AllRegs && x.Write != written:
		return fmt.Sprintf("effects write %#x, want %#x", x.Write, written), true
	case all != named && !(all.Minus(named) == 0 && l.twice()):
		return fmt.Sprintf("effects name %#x, want %#x", all, named), true
	case x.Kill.Minus(x.Write) != 0 || x.Saved.Minus(x.Read) != 0 || x.Low|x.Byte != 0:
		return fmt.Sprintf("effects contradict themselves: %+v", x), true
	}
	dest := first & x.Write
	others := arch.RegSet(0)
	for _, op := range operands[min(1, len(operands)):] {
		others |= registers(op)
	}
	if dest = dest.Minus(others); dest != 0 && !strings.HasPrefix(l.mnemonic, "cas") && l.flow() == arch.FlowNext && !strings.HasPrefix(l.operand(0), "[") {
		if whole := x.Kill&dest == dest && x.Read&dest == 0; whole == l.merges() {
			return fmt.Sprintf("the destination is replaced as a whole: %v (%+v)", whole, x), true
		}
	}
	return "", true
}

// twice reports whether an instruction gives the same whatever its operand holds.
func (l *line) twice() bool {
	m := l.mnemonic
	return (m == "eor" || m == "sub" || m == "subs" || m == "cmp" || m == "negs" || m == "neg") && l.operand(len(l.operands)-1) == l.operand(max(len(l.operands)-2, 0))
}

// TestEffects looks at single cases that no other test sees.
func TestEffects(t *testing.T) {
	const v0 = firstVector
	tests := []struct {
		name string
		word uint32
		want arch.Effects
	}{
		{name: "stp x29, x30, [sp, #-16]!", word: 0xa9bf7bfd, want: arch.Effects{Read: 1<<29 | 1<<30 | 1<<SP, Saved: 1<<29 | 1<<30, Write: 1 << SP, Kill: 1 << SP}},
		{name: "stp x0, x1, [sp, #16]", word: 0xa90107e0, want: arch.Effects{Read: 3 | 1<<SP}},
		{name: "movk w0, #1", word: 0x72800020, want: arch.Effects{Write: 1}},
		{name: "eor v1.16b, v2.16b, v2.16b", word: 0x6e221c41, want: arch.Effects{Write: 2 << v0, Kill: 2 << v0}},
		{name: "sub x1, x2, x2", word: 0xcb020041, want: arch.Effects{Write: 2, Kill: 2}},
		{name: "sub x1, x2, x2, lsl #1", word: 0xcb020441, want: arch.Effects{Read: 4, Write: 2, Kill: 2}},
		{name: "fmla v31.4s, v0.4s, v1.s[0]", word: 0x4f81101f, want: arch.Effects{Read: (1<<31 | 3) << v0, Write: 1 << 63, Kill: 1 << 63}},
		{name: "sqdmull s0, h1, v15.h[7]", word: 0x5f7fb820, want: arch.Effects{Read: (1<<15 | 2) << v0, Write: 1 << v0, Kill: 1 << v0}},
		{name: "casp x30, xzr, x2, x3, [x0]", word: 0x483e7c02, want: arch.Effects{Read: 1<<30 | 1<<2 | 1<<3 | 1, Write: 1 << 30, Kill: 1 << 30}},
		{name: "ld1 {v31.16b, v0.16b}, [x1], x2", word: 0x4cc2a03f, want: arch.Effects{Read: 6, Write: 2 | 1<<63 | 1<<v0, Kill: 2 | 1<<63 | 1<<v0}},
	}
	for _, test := range tests {
		if got, ok := effectsOf(test.word); !ok || got != test.want {
			t.Errorf("%s: %+v, %v; want %+v", test.name, got, ok, test.want)
		}
	}
	for name, w := range map[string]uint32{
		"add z0.b, z0.b, z0.b": 0x04200000, "ld64b": 0xf83fd000, "hint #63": 0xd5032fff, "not allocated": 0x02000000, "ldp of 11": 0xe9400000,
	} {
		if x, ok := effectsOf(w); ok {
			t.Errorf("%s: %+v", name, x)
		}
	}
	c := convention
	if (c.Args|c.Result).Minus(c.Scratch) != 0 || c.Scratch.Has(19) || c.Scratch.Has(SP) || c.Names[SP] != "sp" || c.Names[63] != "v31" || len(c.Names) != 64 {
		t.Errorf("convention: %+v", c)
	}
}

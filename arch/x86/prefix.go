package x86

// prefixes holds what stands in front of an opcode (SDM volume 2, 2.1.1 and 2.2.1).
type prefixes struct {
	len    int // bytes
	data16 bool
	addr32 bool
	lock   bool
	rep    byte // last of f2 and f3; 0: none
	seg    byte // fs or gs; 0: none
	rex    byte // 0: none
}

// Segment prefixes that have an effect in 64-bit mode.
const (
	segFS = 0x64
	segGS = 0x65
)

// Kinds of bytes that may stand in front of an opcode.
const (
	notPrefix = iota
	prefixLegacy
	prefixREX
)

// prefixKinds tells the kind of each byte.
var prefixKinds = func() (kinds [256]uint8) {
	for _, b := range []byte{0x66, 0x67, 0xf0, 0xf2, 0xf3, segFS, segGS, 0x26, 0x2e, 0x36, 0x3e} {
		kinds[b] = prefixLegacy
	}
	for b := 0x40; b <= 0x4f; b++ {
		kinds[b] = prefixREX
	}
	return kinds
}()

// isPrefix reports whether b is a legacy or a REX prefix.
func isPrefix(b byte) bool { return prefixKinds[b] != notPrefix }

// scan reads the prefixes at the start of code. A REX byte must come last: the
// processor ignores one that another prefix follows, and no compiler emits it.
func (p *prefixes) scan(code []byte) error {
	for i, b := range code {
		switch prefixKinds[b] {
		case notPrefix:
			p.len = i
			return nil
		case prefixREX:
			p.len = i + 1
			p.rex = b
			if p.len < len(code) && isPrefix(code[p.len]) {
				return ErrPrefix
			}
			return nil
		}
		p.legacy(b)
	}
	return ErrTruncated
}

// legacy records a legacy prefix.
func (p *prefixes) legacy(b byte) {
	switch b {
	case 0x66:
		p.data16 = true
	case 0x67:
		p.addr32 = true
	case 0xf0:
		p.lock = true
	case 0xf2, 0xf3:
		p.rep = b
	case segFS, segGS:
		p.seg = b
	default: // 26, 2e, 36, 3e: es, cs, ss, ds have base zero; 3e is also notrack
	}
}

// pp returns the mandatory prefix as VEX.pp numbers it: none, 66, f3, f2.
func (p *prefixes) pp() uint8 {
	switch {
	case p.rep == 0xf3:
		return 2
	case p.rep == 0xf2:
		return 3
	case p.data16:
		return 1
	}
	return 0
}

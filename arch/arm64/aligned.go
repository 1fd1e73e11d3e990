package arm64

import "encoding/binary"

// Aligned returns what the address of the memory operand has to be a multiple of: [arch.Arch.Aligned]. Plain loads and stores,
// those of pairs and vectors too, accept any address in normal memory. Exclusive, ordered and atomic ones have to be aligned to
// all that they access (Arm ARM, B2.2.1 and B2.5.2; FEAT_LSE2 asks for less, but no program can rely on it), and those that set
// tags to 16 bytes. What is not known in these groups is taken to ask for as much.
func Aligned(code []byte) int {
	if len(code) < InstLen {
		return 1
	}
	w := binary.LittleEndian.Uint32(code)
	in := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	if w>>25&5 != 4 || !decode(&in, w) || field(w, 5, 5) == SP {
		return 1
	}
	const most, block = 16, 64
	switch group, vector := field(w, 28, 2), w>>26&1 == 1; {
	case group == 0 && vector: // LD1 and the like
	case group == 0, group == 3 && isAtomic(w):
		switch {
		case group == 3 && in.Kind == Other && !vector && w>>30 == 3: // LD64B and ST64B, or newer
			return block
		case in.Kind != Memory || in.Width == 0:
			return most
		}
		return int(in.Width)
	case group == 1 && w>>24&1 == 1:
		switch {
		case in.Kind == Memory && in.Width == 0 && w>>24 == 0xd9 && in.Load: // LDG
		case in.Kind == Memory && in.Width != 0: // LDAPUR, STLUR
			return int(in.Width)
		case in.Kind == Other && w>>21&1 == 0 && field(w, 10, 2) == 1 && w>>26&1 == 0: // CPYP and the like
		default:
			return most
		}
	case group == 2 && in.Store && !vector && field(w, 30, 2) == 1: // STGP
		return most
	}
	return 1
}

// isAtomic reports whether a word of the group of single registers is an atomic operation: size 111 V 00 A R 1 ... 00 Rn Rt.
func isAtomic(w uint32) bool { return w>>24&3 == 0 && w>>21&1 == 1 && field(w, 10, 2) == 0 }

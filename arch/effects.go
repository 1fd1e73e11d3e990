package arch

import (
	"math/bits"
	"strings"
)

// RegSet is a set of registers. Which bit is which register the architecture says ([Convention.Names]). Status flags belong to no set:
// compilers keep nothing in them across a call.
type RegSet uint64

// AllRegs is the set of all registers.
const AllRegs = ^RegSet(0)

// Has reports whether register n is in the set.
func (s RegSet) Has(n int) bool { return s>>n&1 != 0 }

// Minus returns the registers of s that are not in t.
func (s RegSet) Minus(t RegSet) RegSet { return s &^ t }

// Names lists the registers by name.
func (s RegSet) Names(c *Convention) string {
	var out []string
	for ; s != 0; s &= s - 1 {
		out = append(out, c.Names[bits.TrailingZeros64(uint64(s))])
	}
	return strings.Join(out, ", ")
}

// Effects is what an instruction does to registers, calls and returns aside: of a call only the instruction itself counts.
type Effects struct {
	Read  RegSet // whose value matters for anything else than what is left of it in itself, be it for an address
	Low   RegSet // of Read: only the lowest byte (of a vector register: the lowest element) matters
	Saved RegSet // of Read: it is only put onto the stack (push)
	Write RegSet // that get another value, in whole or in part
	Kill  RegSet // of Write: all of it is replaced
	Byte  RegSet // of Write: at least the lowest byte or element is replaced, the rest is not, or not known to be
}

// Convention is how the platform's ABI calls functions.
type Convention struct {
	Names   []string // of the registers, by bit
	Scratch RegSet   // may be changed by a function
	Args    RegSet   // can hold arguments
	Count   RegSet   // holds the number of arguments of some kind for functions that take any number
	Result  RegSet   // can hold results

	General RegSet // the general registers: their bits are numbers of [Reg]
	SP, FP  Reg    // stack pointer, and the register that usually holds the frame
}

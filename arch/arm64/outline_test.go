package arm64

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestOutline(t *testing.T) {
	tests := []struct {
		name string
		a, b uint32
		same bool
	}{
		{name: "moves of registers", a: 0xaa0203e1, b: 0xaa0403e3, same: true},
		{name: "move of a register, and from sp", a: 0xaa0403e3, b: 0x910003e3},
		{name: "move of a register, and of zero", a: 0xaa0403e3, b: 0xaa1f03e3},
		{name: "slots", a: 0xf9000fe5, b: 0xf9001be7, same: true},
		{name: "a slot, and a member", a: 0xf9000fe5, b: 0xf9000c25},
		{name: "load and store of slots", a: 0xf9000fe5, b: 0xf9400fe5},
		{name: "frames", a: 0xd10103ff, b: 0xd10203ff, same: true},
		{name: "a frame is set up, and left", a: 0xd10103ff, b: 0x910103ff},
		{name: "pairs with writeback", a: 0xa9ba7bfd, b: 0xa9bc5bf5, same: true},
		{name: "widths", a: 0xb9400020, b: 0xf9400020},
		{name: "branches on bits of registers", a: 0x37280083, b: 0x37280085, same: true},
		{name: "branches on other bits", a: 0x37280083, b: 0x37300083},
		{name: "calls through registers", a: 0xd63f0060, b: 0xd63f0100, same: true},
		{name: "a call and a jump", a: 0xd63f0060, b: 0xd61f0060},
		{name: "numbers, which are operands", a: 0xd28000a0, b: 0xd28000c0, same: true},
		{name: "numbers of 32 bits in instructions", a: 0x11000421, b: 0x11000821},
		{name: "prefetches for load and for store", a: 0xf9800820, b: 0xf9800830},
		{name: "comparisons of floating point with and without a trap", a: 0x1e602008, b: 0x1e602018},
		{name: "vectors", a: 0x4ea28420, b: 0x4ea48420, same: true},
		{name: "vectors of other elements", a: 0x4ea28420, b: 0x4ee28420},
		{name: "conditions", a: 0x9a840020, b: 0x9a841020},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outline := func(w uint32) string {
				in, err := Arch.Decode(codeOf(w))
				if err != nil {
					t.Fatal(err)
				}
				b, _ := Outline(nil, codeOf(w), &in)
				return string(b)
			}
			if a, b := outline(test.a), outline(test.b); (a == b) != test.same {
				t.Errorf("% x and % x", a, b)
			}
		})
	}
}

func TestOutlineCovers(t *testing.T) {
	for name, c := range map[string]struct {
		word uint32
		want bool
	}{
		"str x5, [sp, #24]":         {0xf9000fe5, true},
		"sub sp, sp, #64":           {0xd10103ff, true},
		"add x0, sp, #16":           {0x910043e0, true},
		"stp x29, x30, [sp, #-96]!": {0xa9ba7bfd, true},
		"ldr x0, [x1, #0x7ff8]":     {0xf97ffc20, false},
		"adrp x3, .":                {0x90000003, false},
		"b.eq .+16":                 {0x54000080, false},
	} {
		in, err := Arch.Decode(codeOf(c.word))
		if err != nil {
			t.Fatal(err)
		}
		if _, covers := Outline(nil, codeOf(c.word), &in); covers != [2]bool{c.want, false} {
			t.Errorf("%s: covers %v", name, covers)
		}
	}
}

var (
	anyNumber  = regexp.MustCompile(`#-?(0x)?[0-9a-f.]+(e[+-][0-9]+)?`)
	stackSlot  = regexp.MustCompile(`\[sp(, N)?\]`)
	generalReg = regexp.MustCompile(`\b([xw])[0-9]+\b`)
	vectorReg  = regexp.MustCompile(`\b([bhsdqv])[0-9]+\b`)
	place      = regexp.MustCompile(`\b[0-9a-f]+ <[^>]*>`)
)

// masked takes registers, slots and numbers that are operands out of objdump's text.
func (l *line) masked(operand bool) string {
	s := l.mnemonic + " " + strings.Join(l.operands, ", ")
	s = place.ReplaceAllString(s, "P")
	if operand {
		s = anyNumber.ReplaceAllString(s, "N")
		s = strings.ReplaceAll(s, ", N]", "]")
		s = strings.Replace(s, "mov x", "add x", 1) // of sp, which is an addition of zero
		s = strings.TrimSuffix(s, ", N")
	}
	s = stackSlot.ReplaceAllString(s, "S")
	s = generalReg.ReplaceAllString(s, "$1")
	return vectorReg.ReplaceAllString(s, "$1")
}

// TestOutlineAgainstObjdump: instructions of equal canonical form have equal outlines, and for instructions of equal outlines objdump
// prints the same but for registers of one size, places in the stack frame, and operands.
func TestOutlineAgainstObjdump(t *testing.T) {
	for _, name := range []string{"libc.so.6", "libm.so.6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ofCanon, ofOutline := make(map[string]string), make(map[string]string)
			wrong := 0
			disassemble(t, filepath.Join(guestRoot(t), "lib/aarch64-linux-gnu", name), func(l *line) {
				in, err := Arch.Decode(codeOf(l.word))
				if err != nil || !l.known() || wrong > maxShown {
					return
				}
				canon := string(Canon(nil, codeOf(l.word), &in))
				b, _ := Outline(nil, codeOf(l.word), &in)
				outline := string(b)
				if have, ok := ofCanon[canon]; ok && have != outline {
					wrong++
					t.Errorf("%v: outlines % x and % x for one canonical form", l, outline, have)
				}
				ofCanon[canon] = outline
				masked := l.masked(in.NumOps > 0)
				if have, ok := ofOutline[outline]; ok && have != masked {
					wrong++
					t.Errorf("%v: %q and %q have one outline", l, have, masked)
				}
				ofOutline[outline] = masked
			}, "-d")
			t.Logf("%d canonical forms, %d outlines", len(ofCanon), len(ofOutline))
			if len(ofOutline) < 200 || len(ofOutline)*2 > len(ofCanon) {
				t.Errorf("%d outlines of %d canonical forms", len(ofOutline), len(ofCanon))
			}
		})
	}
}

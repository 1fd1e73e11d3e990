package image

import (
	"debug/elf"
	"testing"

	"hotpatch/internal/victim"
)

// TestBehindLock decodes jumps behind a lock prefix, as glibc's single-threaded fast path makes them.
func TestBehindLock(t *testing.T) {
	inc := []byte{0xf0, 0x48, 0xff, 0x05, 0, 0x10, 0, 0} // lock incq 0x1000(%rip)
	for _, c := range []struct {
		name  string
		code  []byte
		lock  int // index in Insts of the locked instruction
		entry int // the same of the jump
	}{
		{name: "jump forward", code: append(append([]byte{0x74, 1}, inc...), 0xc3), lock: 1, entry: 0},
		{name: "jump back", code: append(append([]byte{0x90}, inc...), 0x74, 0xf7, 0xc3), lock: 1, entry: 3},
		// The path behind the prefix is found first: it is the fall-through, and a jump leads to the prefix.
		{name: "prefix reached last", code: append(append([]byte{0x74, 2, 0xeb, 1}, inc...), 0xc3), lock: 2, entry: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			im := textFile(c.code, make([]byte, 0x1000), testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: uint64(len(c.code))},
				testSymbol{name: "counter", typ: elf.STT_OBJECT, shndx: inData, value: dataAddr, size: 0x1000}).load(t)
			b := im.mustBody(t, "f")
			checkBody(t, im, b)
			lock, rest, jump := b.Insts[c.lock], b.Insts[c.lock+1], b.Insts[c.entry]
			if lock.Unlocked || !rest.Unlocked || rest.Off != lock.Off+1 || rest.End() != lock.End() || int(jump.Target) != c.lock+1 {
				t.Errorf("locked %+v, behind the prefix %+v, jump %+v", lock, rest, jump)
			}
			if len(b.Refs) != 2 || b.Refs[0].Place.Atom == nil || b.Refs[0].Place.Atom.Name != "counter" || b.Refs[1].Place.Kind != PlaceSelf ||
				b.Refs[1].Place.Addend != int64(lock.Off) || b.Refs[0].Off != b.Refs[1].Off {
				t.Errorf("references %+v", b.Refs)
			}
		})
	}
}

// TestIntoInstructions keeps to refusing jumps into other instructions.
func TestIntoInstructions(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
	}{
		{name: "into an immediate", code: []byte{0x74, 1, 0xb8, 0x90, 0x90, 0x90, 0xc3, 0xc3}},
		{name: "behind a rep prefix", code: []byte{0x74, 1, 0xf3, 0xa4, 0xc3}},
		{name: "behind an operand size prefix", code: []byte{0x74, 1, 0x66, 0x05, 0, 0, 0x90, 0x90, 0xc3}},
		{name: "two bytes into a locked one", code: []byte{0x74, 2, 0xf0, 0x48, 0xff, 0x00, 0xc3}},
	} {
		im := textFile(c.code, nil, testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: uint64(len(c.code))}).load(t)
		if b, err := im.Body(im.atom(t, "f")); err == nil {
			t.Errorf("%s: decoded as %+v", c.name, b.Insts)
		}
	}
}

// TestStatic decodes all of a static program, glibc's functions that jump through tables of labels included.
func TestStatic(t *testing.T) {
	for _, c := range []struct{ name, flag string }{
		{name: "position independent", flag: "-static-pie"},
		{name: "fixed", flag: "-static"}, // nothing but their values tells the tables' words from numbers
	} {
		t.Run(c.name, func(t *testing.T) {
			im := mustLoad(t, victim.Build(t, "gcc", []string{"image/hello.c"}, "-O2", c.flag), Options{})
			n, unlocked := 0, 0
			for _, a := range im.Atoms {
				if !a.IsCode() {
					continue
				}
				n++
				b, err := im.Body(a)
				if err != nil {
					t.Errorf("%s: %v", a.Name, err)
					continue
				}
				checkBody(t, im, b)
				for _, in := range b.Insts {
					if in.Unlocked {
						unlocked++
					}
				}
			}
			if n < 500 || unlocked == 0 {
				t.Errorf("%d functions, %d entries behind a lock prefix", n, unlocked)
			}
		})
	}
}

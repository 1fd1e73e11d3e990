package x86

import (
	"bytes"
	"testing"

	"hotpatch/arch"
)

// FuzzDecode: a length is between 1 and 15 and within the code; bytes behind an
// instruction do not change it; its fields lie within it and do not overlap; the
// canonical bytes are deterministic and never longer than a near branch or the
// instruction; text, padding and relaxation accept everything.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"c7 05 00 01 00 00 44 33 22 11", "64 48 8b 04 25 00 00 00 00", "62 f1 7c 58 58 05 00 10 00 00",
		"c4 e3 79 0f 05 00 00 00 00 01", "8f ea 78 10 05 00 00 00 00 01 02 03 04", "0f 0f c1 bf", "ff 15 00 00 00 00",
	} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		in, err := Decode(code)
		_ = text(code, 0, nil)
		_, _ = callBefore(code)
		if err != nil {
			if in != (arch.Inst{}) {
				t.Fatalf("% x: %+v with error %v", code, in, err)
			}
			return
		}
		if in.Len < 1 || in.Len > maxInst || in.Len > len(code) {
			t.Fatalf("% x: length %d", code, in.Len)
		}
		if again, err := Decode(code[:in.Len]); err != nil || again != in {
			t.Fatalf("% x: %+v, alone %+v, %v", code, in, again, err)
		}
		checkFields(t, code, &in)
		canon := Canon(nil, code, &in)
		if !bytes.Equal(canon, Canon(nil, code[:in.Len], &in)) || len(canon) == 0 || len(canon) > max(in.Len, 3) {
			t.Fatalf("% x: canonical bytes % x", code[:in.Len], canon)
		}
		for _, form := range []arch.Relaxation{arch.RelaxPC, arch.RelaxAbs, arch.RelaxTLS} {
			if got, ok := Relax(nil, code, &in, form); ok == (len(got) == 0) {
				t.Fatalf("% x: relaxed to % x, %v", code[:in.Len], got, ok)
			}
		}
		if IsNop(code, &in) && in.Flow != arch.FlowNext {
			t.Fatalf("% x: a nop that branches", code[:in.Len])
		}
	})
}

// checkFields checks that the fields of in lie within it and apart from each other.
func checkFields(t *testing.T, code []byte, in *arch.Inst) {
	var used [maxInst]bool
	use := func(off, size uint8) {
		for i := int(off); i < int(off)+int(size); i++ {
			if i == 0 || i >= in.Len || used[i] {
				t.Fatalf("% x: field of %d bytes at %d: %+v", code[:in.Len], size, off, in)
			}
			used[i] = true
		}
	}
	use(in.BrOff, in.BrSize)
	for _, op := range in.Ops[:in.NumOps] {
		if op.Kind == arch.OpNone || op.Size < 4 {
			t.Fatalf("% x: operand %+v", code[:in.Len], op)
		}
		use(op.Off, op.Size)
	}
	branch := in.Flow == arch.FlowJump || in.Flow == arch.FlowBranch || in.Flow == arch.FlowCall
	if branch != (in.BrSize != 0) {
		t.Fatalf("% x: flow %d with a displacement of %d bytes", code[:in.Len], in.Flow, in.BrSize)
	}
}

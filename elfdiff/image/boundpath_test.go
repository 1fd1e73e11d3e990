package image

import (
	"debug/elf"
	"testing"

	"hotpatch/arch"
	"hotpatch/arch/machines"
)

// TestBoundPaths: where paths through jumps lead to the first access through the register of a lea.
func TestBoundPaths(t *testing.T) {
	const lea = "\x48\x8d\x1d\x00\x00\x00\x00" // lea 0(%rip),%rbx
	for _, c := range []struct {
		name, code string
		want       BoundUse
	}{
		{name: "up behind a jump", code: lea + "\xeb\x01\x90\x48\x8b\x43\x08\xc3", want: BoundInside},       // jmp; nop; mov 8(%rbx),%rax
		{name: "down behind a jump", code: lea + "\xeb\x01\x90\x48\x8b\x43\xf8\xc3", want: BoundBelow},      // jmp; nop; mov -8(%rbx),%rax
		{name: "a step down in front", code: lea + "\x48\x83\xeb\x08\x48\x8b\x03\xc3", want: BoundBelow},    // sub $8,%rbx; mov (%rbx),%rax
		{name: "behind a branch only", code: lea + "\x75\x01\xc3\x48\x8b\x43\x08\xc3", want: BoundInside},   // jne; ret; mov 8(%rbx),%rax
		{name: "both", code: lea + "\x75\x05\x48\x8b\x43\x08\xc3\x48\x8b\x43\xf8\xc3"},                      // jne; mov 8(%rbx),%rax; ret; mov -8(%rbx),%rax
		{name: "compared on one way", code: lea + "\x75\x05\x48\x8b\x43\x08\xc3\x48\x39\xc3\xc3"},           // jne; mov 8(%rbx),%rax; ret; cmp %rax,%rbx
		{name: "popped", code: lea + "\x5b\x48\x8b\x43\x08\xc3"},                                            // pop %rbx
		{name: "another popped", code: lea + "\x41\x5b\x48\x8b\x43\x08\xc3", want: BoundInside},             // pop %r11
		{name: "another number", code: lea + "\xb9\x01\x00\x00\x00\x48\x8b\x43\x08\xc3", want: BoundInside}, // mov $1,%ecx
		{name: "a number", code: lea + "\xbb\x01\x00\x00\x00\x48\x8b\x43\x08\xc3"},                          // mov $1,%ebx
		{name: "indexed", code: lea + "\x8b\x14\x83\x48\x8b\x43\x08\xc3"},                                   // mov (%rbx,%rax,4),%edx
		{name: "round and round", code: lea + "\x48\x83\xc3\x08\xeb\xfa"},                                   // add $8,%rbx; jmp back
	} {
		t.Run(c.name, func(t *testing.T) {
			x86, err := machines.Lookup(elf.EM_X86_64)
			if err != nil {
				t.Fatal(err)
			}
			s := &transfers{a: x86, b: bodyOf(t, []byte(c.code))}
			if got := s.boundPaths(0, 3); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// bodyOf returns the body of a function with the x86-64 code.
func bodyOf(t *testing.T, code []byte) *Body {
	t.Helper()
	x86, err := machines.Lookup(elf.EM_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	return decodedBody(t, x86, code)
}

// decodedBody returns the body of a function with the code.
func decodedBody(t *testing.T, a *arch.Arch, code []byte) *Body {
	t.Helper()
	b := &Body{Code: code}
	var targets []int64
	for off := 0; off < len(code); {
		in, err := a.Decode(code[off:])
		if err != nil {
			t.Fatalf("at %d: %v", off, err)
		}
		b.Insts = append(b.Insts, Inst{Off: uint32(off), Len: uint8(in.Len), Flow: in.Flow, Target: -1})
		targets = append(targets, int64(off)+in.Target)
		off += in.Len
	}
	for i := range b.Insts {
		if f := b.Insts[i].Flow; f == arch.FlowBranch || f == arch.FlowJump {
			b.Insts[i].Target = int32(b.InstAt(targets[i]))
		}
	}
	return b
}

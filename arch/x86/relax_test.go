package x86

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hotpatch/arch"
)

// relaxSource has one instruction of each kind that ld relaxes, and ends in ret.
const relaxSource = `
	.globl _start
	.hidden foo
_start:	mov foo@GOTPCREL(%rip), %rax
	mov foo@GOTPCREL(%rip), %r15
	mov foo@GOTPCREL(%rip), %ecx
	call *foo@GOTPCREL(%rip)
	jmp *foo@GOTPCREL(%rip)
	test %rax, foo@GOTPCREL(%rip)
	test %r13, foo@GOTPCREL(%rip)
	add foo@GOTPCREL(%rip), %rcx
	or foo@GOTPCREL(%rip), %r8
	adc foo@GOTPCREL(%rip), %rax
	sbb foo@GOTPCREL(%rip), %rdx
	and foo@GOTPCREL(%rip), %rbx
	sub foo@GOTPCREL(%rip), %rsi
	xor foo@GOTPCREL(%rip), %r9
	cmp foo@GOTPCREL(%rip), %rdi
	mov bar@gottpoff(%rip), %rax
	mov bar@gottpoff(%rip), %r12
	add bar@gottpoff(%rip), %rax
	add bar@gottpoff(%rip), %r13
	add bar@gottpoff(%rip), %rsp
	add bar@gottpoff(%rip), %r12
foo:	ret
	.section .tbss, "awT", @nobits
bar:	.long 0
`

// TestRelaxAgainstLinker links relaxSource and holds Relax of each instruction of
// the object file against the instruction that ld put in its place.
func TestRelaxAgainstLinker(t *testing.T) {
	dir := t.TempDir()
	source, object := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
	if err := os.WriteFile(source, []byte(relaxSource), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "as", "--64", "-o", object, source)
	tests := []struct {
		name    string
		flags   []string
		form    arch.Relaxation // besides RelaxTLS
		relaxed int             // instructions that ld changes
	}{
		{name: "position-independent", flags: []string{"-pie", "--no-dynamic-linker"}, form: arch.RelaxPC, relaxed: 11},
		{name: "fixed", flags: []string{"-no-pie"}, form: arch.RelaxAbs, relaxed: 21},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			linked := filepath.Join(t.TempDir(), "a.out")
			run(t, "ld", append(test.flags, "-m", "elf_x86_64", "-o", linked, object)...)
			before, after := instructions(t, object), instructions(t, linked)
			if len(before) != len(after) {
				t.Fatalf("%d instructions became %d", len(before), len(after))
			}
			relaxed := 0
			for i, code := range before {
				in, _ := Decode(code)
				linkedIn, _ := Decode(after[i])
				got := Canon(nil, after[i], &linkedIn)
				if bytes.Equal(got, Canon(nil, code, &in)) {
					continue
				}
				relaxed++
				plain, _ := Relax(nil, code, &in, test.form)
				tls, _ := Relax(nil, code, &in, arch.RelaxTLS)
				if !bytes.Equal(got, plain) && !bytes.Equal(got, tls) {
					t.Errorf("% x became % x, Relax says % x or % x", code, after[i], plain, tls)
				}
			}
			if relaxed != test.relaxed {
				t.Errorf("ld relaxed %d instructions, not %d", relaxed, test.relaxed)
			}
		})
	}
}

// instructions returns those of a file's .text up to ret, but for nops.
func instructions(t *testing.T, path string) (list [][]byte) {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	code, err := f.Section(".text").Data()
	if err != nil {
		t.Fatal(err)
	}
	for {
		in, err := Decode(code)
		if err != nil {
			t.Fatalf("%s: % x: %v", path, code, err)
		}
		if !IsNop(code, &in) {
			list = append(list, code[:in.Len])
		}
		if in.Flow == arch.FlowReturn {
			return list
		}
		code = code[in.Len:]
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

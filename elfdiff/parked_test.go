package elfdiff_test

import (
	"testing"
)

// TestParked compares two versions of a function that keeps an address in a vector register for a while, as compilers do when they run out of
// others, and reaches its variable by a distance from it. The new build has other variables around that one: whoever loses sight of the address
// binds it to the variable at which it happens to point.
func TestParked(t *testing.T) {
	const source = `
#if V == 1
int z[4] = {1}, a[4] = {2}, w[4] = {3}, y[8] = {4};
#else
int w[4] = {3}, a[4] = {2}, y[8] = {4}, z[4] = {1};
#endif
int more(int x) { return z[x] + a[x] + w[x] + y[x]; }
__attribute__((noinline)) int other(int x)
{
	int v;
	__asm__ volatile(PARKED : "=&r"(v) : : CLOBBERS, "memory");
	return v + x + V;
}
int _start(int n) { return other(n) + more(n); }
`
	arm := []string{"aarch64-linux-gnu-gcc", "-O2", "-fno-toplevel-reorder", "-fPIE", "-pie", `-DCLOBBERS="x0","x1","v0","v1"`}
	x86 := []string{"gcc", "-O2", "-fPIE", "-pie", `-DCLOBBERS="rax","rdx","xmm0","xmm1"`}
	for _, c := range []struct {
		name  string
		cc    []string
		code  string // leaves what it found in %w0, %0
		about string // in the refusal; "": the function can be replaced
	}{
		{"arm64", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; fmov d0, x1; mov x1, #0; fmov x1, d0; ldr %w0, [x1, #16]", "vector register"},
		{"arm64 element", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; mov v0.d[1], x1; mov v1.16b, v0.16b; mov x0, v1.d[1]; ldr %w0, [x0, #16]", "vector register"},
		{"arm64, not by the frame's saved registers", arm, "adrp x1, a; add x1, x1, :lo12:a; str d8, [sp, #-16]!; fmov d0, x1; str d0, [x1, #8]; ldr d8, [sp], #16; ldr %w0, [x1]", ""},
		{"arm64 halves", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; fmov d0, x1; mov w0, v0.s[0]; mov w1, v0.s[1]; orr x0, x0, x1, lsl #32; ldr %w0, [x0, #16]", "vector register"},
		{"arm64 by st1", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; fmov d0, x1; sub sp, sp, #16; st1 {v0.2d}, [sp]; ldr x0, [sp], #16; ldr %w0, [x0, #16]", "vector register"},
		{"arm64 by an index", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; fmov d0, x1; mov x0, #-16; str d0, [sp, x0]; ldr x0, [sp, #-16]; ldr %w0, [x0, #16]", "vector register"},
		{"arm64 by an aligned frame", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; fmov d0, x1; mov x0, sp; and x0, x0, #-64; mov sp, x0; str d0, [sp, #-16]!; ldar x0, [sp]; ldr %w0, [x0, #16]",
			"vector register"},
		{"arm64 adr", arm, "adr x1, a-16; fmov d0, x1; mov v0.d[1], v0.d[0]; fmov x1, v0.d[1]; ldr %w0, [x1, #16]", "cannot be carried"},
		{"arm64 wide", append(arm[:3:3], "-fno-pie", "-no-pie", arm[5]), "movz x1, #:abs_g3:a-16; movk x1, #:abs_g2_nc:a-16; movk x1, #:abs_g1_nc:a-16; movk x1, #:abs_g0_nc:a-16; " +
			"fmov d0, x1; mov x1, #0; fmov x1, d0; ldr %w0, [x1, #16]", "vector register"},
		{"arm64 page", arm, "adrp x1, a; fmov d0, x1; fmov x0, d0; ldr %w0, [x0, :lo12:a]", "page"},
		{"arm64 by the stack", arm, "adrp x1, a-16; add x1, x1, :lo12:a-16; fmov d0, x1; str d0, [sp, #-16]!; ldr x0, [sp], #16; ldr %w0, [x0, #16]", "vector register"},
		{"arm64, it stays there", arm, "adrp x1, a; add x1, x1, :lo12:a; fmov d0, x1; str d0, [x1, #8]; ldr %w0, [x1]", ""},
		{"x86-64", x86, "lea a-16(%%rip), %%rax; movq %%rax, %%xmm0; xor %%eax, %%eax; movq %%xmm0, %%rax; mov 16(%%rax), %0", "ambiguous"},
		{"x86-64 element", x86, "lea a-16(%%rip), %%rax; movq %%rax, %%xmm0; punpcklqdq %%xmm0, %%xmm0; pextrq $1, %%xmm0, %%rdx; mov 16(%%rdx), %0", "ambiguous"},
		{"x86-64 by the stack", x86, "lea a-16(%%rip), %%rax; movq %%rax, %%xmm0; movq %%xmm0, -32(%%rsp); mov -32(%%rsp), %%rax; mov 16(%%rax), %0", "ambiguous"},
		{"x86-64 the upper half by the stack", x86, "lea a-16(%%rip), %%rax; movq %%rax, %%xmm0; movq %%rdx, %%xmm1; punpcklqdq %%xmm0, %%xmm1; movaps %%xmm1, -40(%%rsp); " +
			"mov -32(%%rsp), %%rax; mov 16(%%rax), %0", "ambiguous"},
		{"x86-64, it stays there", x86, "lea a(%%rip), %%rax; movq %%rax, %%xmm0; movq %%xmm0, 8(%%rax); mov (%%rax), %0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, append(c.cc, `-DPARKED="`+c.code+`"`))
			wantVerdict(t, old, new, "other", c.about)
		})
	}
}

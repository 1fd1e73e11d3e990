package ends

// armForms are forms for what only arm64 has: addresses made in pieces, walks that step the base, pairs, structures. Where a compiler cannot be made to
// write an instruction, an assembler statement does; what becomes of its operands is the compiler's affair. Statements name objects
// by their symbols.
var armForms = [...]form{
	{name: "post-index", body: `	const char *p = (const char *)$A;
	for (long i = 0, c; i < x && i < (long)sizeof $A; i++) {
		__asm__ volatile("ldrb %w0, [%1], #1" : "=r"(c), "+r"(p) : : "memory");
		s = s * 3 + c;
	}
`},
	{name: "post-index down", body: `	const char *p = (const char *)($A + $N) - 1;
	for (long i = 0, c; i < x && i < (long)sizeof $A; i++) {
		__asm__ volatile("ldrb %w0, [%1], #-1" : "=r"(c), "+r"(p) : : "memory");
		s = s * 3 + c;
	}
`},
	{name: "pre-index", body: `	const char *p = (const char *)($A + $N);
	for (long i = 0, c; i < x && i < (long)sizeof $A; i++) {
		__asm__ volatile("ldrb %w0, [%1, #-1]!" : "=r"(c), "+r"(p) : : "memory");
		s = s * 3 + c;
	}
`},
	{name: "pre-index up", body: `	const char *p = (const char *)$A - 1;
	for (long i = 0, c; i < x && i < (long)sizeof $A; i++) {
		__asm__ volatile("ldrb %w0, [%1, #1]!" : "=r"(c), "+r"(p) : : "memory");
		s = s * 3 + c;
	}
`},
	{name: "unscaled", body: `	long c;
	__asm__ volatile("ldurb %w0, [%1, #-1]" : "=r"(c) : "r"($A + $N) : "memory");
	s += c;
`},
	{name: "unscaled twice", body: `	long c;
	__asm__ volatile("ldurb %w0, [%1, #-1]" : "=r"(c) : "r"($A + $N) : "memory");
	s += c;
	__asm__ volatile("ldurb %w0, [%1, #-1]" : "=r"(c) : "r"($B + $M) : "memory");
	s += c * 3 + $A[0]$F;
`},
	{name: "negative register", body: `	long c, i = x <= (long)sizeof $A ? -x : -1;
	__asm__ volatile("ldrb %w0, [%1, %2]" : "=r"(c) : "r"($A + $N), "r"(i) : "memory");
	s += c;
`},
	{name: "negative word", body: `	long c;
	int i = x <= (long)sizeof $A ? -x : -1;
	__asm__ volatile("ldrb %w0, [%1, %w2, sxtw]" : "=r"(c) : "r"($A + $N), "r"(i) : "memory");
	s += c;
`},
	{name: "subtracted register", body: `	const char *p;
	long i = x <= (long)sizeof $A ? x : 1;
	__asm__("sub %0, %1, %2" : "=r"(p) : "r"($A + $N), "r"(i));
	s += from(p, 1);
`},
	{name: "pair up", body: `	const char *p = (const char *)$A, *e = p + sizeof $A / 8 * 8;
	for (long c, d; p < e;) {
		__asm__ volatile("ldp %w0, %w1, [%2], #8" : "=&r"(c), "=&r"(d), "+r"(p) : : "memory");
		s = s * 3 + c - d;
	}
`},
	{name: "pair down", body: `	const char *p = (const char *)($A + $N), *e = p - sizeof $A / 8 * 8;
	for (long c, d; p != e;) {
		__asm__ volatile("ldp %w0, %w1, [%2, #-8]!" : "=&r"(c), "=&r"(d), "+r"(p) : : "memory");
		s = s * 3 + c - d;
	}
`},
	{name: "pair below", body: `	long c = 0, d = 0;
	if (sizeof $A >= 8)
		__asm__ volatile("ldp %w0, %w1, [%2, #-8]" : "=&r"(c), "=&r"(d) : "r"($A + $N) : "memory");
	s += c - d + from($B, 1);
`},
	{name: "stored pair", writes: true, body: `	if (sizeof $A >= 8)
		__asm__ volatile("stp %w0, wzr, [%1, #-8]" : : "r"($R), "r"($A + $N) : "memory");
	s += from($A, sizeof $A);
`},
	{name: "structures up", body: `	const char *p = (const char *)$A;
	long c = 0;
	if (sizeof $A >= 16)
		__asm__ volatile("ld1 {v0.8b}, [%1], #8\n\tld1 {v1.8b}, [%1]\n\tadd v0.8b, v0.8b, v1.8b\n\tumov %0, v0.d[0]" : "=&r"(c), "+r"(p) : : "v0", "v1", "memory");
	s += c;
`},
	{name: "structures down", body: `	const char *p = (const char *)($A + $N);
	long c = 0, step = -8;
	if (sizeof $A >= 16)
		__asm__ volatile("sub %1, %1, #8\n\tld1 {v0.8b}, [%1], %2\n\tld1 {v1.8b}, [%1]\n\tadd v0.8b, v0.8b, v1.8b\n\tumov %0, v0.d[0]" : "=&r"(c), "+r"(p) : "r"(step) : "v0", "v1", "memory");
	s += c;
`},
	{name: "stored structures", writes: true, body: `	char *p = (char *)$A;
	if (sizeof $A >= 8)
		__asm__ volatile("movi v0.8b, #7\n\tst1 {v0.8b}, [%0], #8" : "+r"(p) : : "v0", "memory");
	s += from($A, p - (char *)$A);
`},
	{name: "prefetch", body: "\t__builtin_prefetch($A + $N);\n\t__builtin_prefetch((const char *)$A + 256);\n\ts += $A[$K]$F;\n"},
	{name: "prefetched end", body: "\t__builtin_prefetch((const char *)($B + $M) + 64);\n\ts += below($B + $M, 1);\n"},
	{name: "atomic", writes: true, body: "\ts += __atomic_fetch_add(&$A[$K]$F, 1, __ATOMIC_RELAXED);\n\ts += $A[$K]$F;\n"},
	{name: "atomic below", writes: true, body: "\tif (x <= $N)\n\t\ts += __atomic_exchange_n(&($A + $N)[-x]$F, 7, __ATOMIC_SEQ_CST);\n\ts += $A[$K]$F;\n"},
	{name: "atomic walk", writes: true, body: "\tfor ($T *p = $A + $N; p != $A;)\n\t\ts = s * 3 + __atomic_fetch_or(&(*--p)$F, 1, __ATOMIC_ACQ_REL);\n"},
	{name: "swapped", writes: true, body: "\t$T *p = $A + $N - 1;\n\t__typeof__((*p)$F) was = 5;\n\ts += __atomic_compare_exchange_n(&(*p)$F, &was, 9, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);\n\ts += was;\n"},
	{name: "choice of starts", body: "\tconst void *p = x > $R % 5 ? (const void *)$A : (const void *)$B;\n\ts += from(p, 1);\n"},
	{name: "choice of ends", body: "\tconst void *p = x > $R % 5 ? (const void *)($A + $N) : (const void *)($B + $M);\n\ts += below(p, 1);\n"},
	{name: "choice of both", body: "\tconst char *p = x > $R % 5 ? (const char *)($A + $N) - 1 : (const char *)$B;\n\ts += *p;\n"},
	{name: "choice of an end", body: "\tint e = x > $R % 5;\n\tconst void *p = e ? (const void *)($A + $N) : (const void *)$B;\n\ts += e ? below(p, 1) : from(p, 1);\n"},
	{name: "kept over calls", body: "\tconst void *e = $A + $N, *b = $B;\n\ts += below(e, 1);\n\ts = s * 3 + from(b, 1);\n\ts = s * 3 + below(e, 1);\n\ts = s * 3 + from(b, 1);\n"},
	{name: "spilled", body: `	const void *e = $A + $N, *b = $B;
	__asm__ volatile("" : "+r"(e), "+r"(b));
	__asm__ volatile("" : : : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
		"x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "memory");
	s += below(e, 1) + from(b, 1);
`},
	{name: "pieces", body: `	const char *p;
	__asm__("adrp %0, $A\n\tadd %0, %0, :lo12:$A" : "=&r"(p));
	s += from(p, 1);
`},
	{name: "pieces of an end", body: `	const char *p;
	__asm__("adrp %0, $A+$S\n\tadd %0, %0, :lo12:$A+$S" : "=&r"(p));
	s += below(p, 1);
`},
	{name: "shared page", body: `	const char *page, *p;
	long c;
	__asm__("adrp %0, $A" : "=r"(page));
	__asm__("add %0, %1, :lo12:$A" : "=r"(p) : "r"(page));
	__asm__ volatile("ldrb %w0, [%1, :lo12:$A]" : "=r"(c) : "r"(page));
	s += from(p, 1) + c;
`},
	{name: "page over a call", body: `	const char *page, *p;
	__asm__ volatile("adrp %0, $A" : "=r"(page));
	s += from($B, 1);
	__asm__ volatile("add %0, %1, :lo12:$A" : "=r"(p) : "r"(page));
	s += from(p, 1) * 3;
`},
	{name: "page in a loop", body: `	const char *page, *p;
	__asm__ volatile("adrp %0, $A+$S" : "=r"(page));
	for (long i = 0; i < x; i++) {
		__asm__ volatile("add %0, %1, :lo12:$A+$S" : "=r"(p) : "r"(page));
		s = s * 3 + below(p, 1);
	}
`},
	{name: "spilled page", body: `	const char *page, *p;
	__asm__ volatile("adrp %0, $A" : "=r"(page));
	__asm__ volatile("" : : : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
		"x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "memory");
	__asm__ volatile("add %0, %1, :lo12:$A" : "=r"(p) : "r"(page));
	s += from(p, 1);
`},
	{name: "page of either", body: `	const char *page, *p;
	if (x > $R % 5)
		__asm__ volatile("adrp %0, $A" : "=r"(page));
	else
		__asm__ volatile("nop\n\tadrp %0, $A" : "=r"(page));
	__asm__ volatile("add %0, %1, :lo12:$A" : "=r"(p) : "r"(page));
	s += from(p, 1);
`},
	{name: "short way", body: `	const char *p, *e;
	__asm__("adr %0, $A" : "=r"(p));
	__asm__("adr %0, $A+$S" : "=r"(e));
	s += between(p, e);
`},
	{name: "across", beside: true, body: "\ts += $A[$N - 1]$F - $B[0]$G;\n"},
	{name: "across and ends", beside: true, body: "\ts += $A[$N - 1]$F - $B[0]$G + below($A + $N, 1) + from($B, 1);\n"},
	{name: "across by words", beside: true, body: `	const int *p = (const int *)((const char *)($A + $N) - 4), *q = (const int *)$B;
	if (sizeof $A % 4 == 0 && sizeof $B % 4 == 0 && _Alignof($A) >= 4 && _Alignof($B) >= 4)
		s += *p * 3 - *q;
`},
	{name: "stores across", writes: true, beside: true, body: "\t$A[$N - 1]$F = $R;\n\t$B[0]$G = $R;\n\ts += $A[0]$F - $B[$M - 1]$G;\n"},
	{name: "cleared across", writes: true, beside: true, body: "\tmemset($A, 0, sizeof $A);\n\tmemset($B, 0, sizeof $B);\n\ts += $A[$K]$F - $B[0]$G;\n"},
	{name: "copied across", writes: true, beside: true, body: "\tif ($A != (const void *)$B)\n\t\tmemcpy($A, $B, sizeof $A < sizeof $B ? sizeof $A : sizeof $B);\n\ts += $A[$K]$F;\n"},
	{name: "tail calls", body: "\tif (x == $R % 5)\n\t\treturn below($A + $N, 1);\n\tif (x != 77)\n\t\treturn from($B, 1);\n"},
	{name: "tail call of a choice", body: "\treturn below(x > $R % 5 ? (const void *)($A + $N) : (const void *)($B + $M), 1);\n"},
}

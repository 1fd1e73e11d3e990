package ends

// form is how a function uses its objects. In the body, $A and $B are two arrays of $N elements of type $T and $M of type $U; $F
// and $G select a number of an element; $S is the size of $A in bytes, $K is an index of $A, $R a number, $E one that
// the new version may have changed, and $P the function's name.
type form struct {
	name   string
	writes bool // needs arrays that are not constant
	beside bool // the second array is the one behind the first, in the old version's source
	body   string
}

var forms = [...]form{
	{name: "up", body: "\tfor ($T *p = $A; p < $A + $N; p++)\n\t\ts = s * 3 + (*p)$F;\n"},
	{name: "up until", body: "\t$T *p = $A;\n\tdo\n\t\ts = s * 3 + (*p)$F;\n\twhile (++p != $A + $N);\n"},
	{name: "down", body: "\tfor ($T *p = $A + $N; p-- > $A;)\n\t\ts = s * 3 + (*p)$F;\n"},
	{name: "down until", body: "\t$T *p = $A + $N;\n\twhile (p != $A)\n\t\ts = s * 3 + (*--p)$F;\n"},
	{name: "down counted", body: "\t$T *p = $A + $N;\n\tfor (long i = x; i > 0 && i <= $N; i--)\n\t\ts = s * 3 + (*--p)$F;\n"},
	{name: "last", body: "\ts += $A[$N - 1]$F;\n\tif (x > 100)\n\t\ts += ($A + $N)[-x]$F;\n"},
	{name: "from the end", body: "\tif (x <= $N)\n\t\ts += ($A + $N)[-x]$F;\n"},
	{name: "index from the end", body: "\tfor (long i = -$N; i < 0; i++)\n\t\ts = s * 3 + ($A + $N)[i]$F;\n"},
	{name: "index from below", body: "\tfor (long i = x <= $N ? -x : -$N; i < 0; i++)\n\t\ts = s * 3 + ($A + $N)[i]$F;\n"},
	{name: "mirror", body: "\tfor (long i = 0; i < x && i < $N; i++)\n\t\ts = s * 3 + $A[$N - 1 - i]$F;\n"},
	{name: "from one", body: "\tfor (long i = 1; i <= x && i <= $N; i++)\n\t\ts = s * 3 + $A[i - 1]$F;\n"},
	{name: "from three", body: "\tif (x >= 3 && x < 3 + $N)\n\t\ts += $A[x - 3]$F;\n"},
	{name: "letters", body: "\tlong c = x + 'a';\n\tif (same(&c) && c >= 'a' + 3 && c < 'a' + 3 + $N)\n\t\ts += $A[c - 'a' - 3]$F;\n"},
	{name: "base", body: "\tx += $R - 3;\n\t__asm__(\"\" : \"+r\"(x));\n\tfor (long i = $R; i < $R + $N; i++)\n\t\ts = s * 3 + $A[i - x]$F;\n"},
	{name: "far base", body: "\tx += 997;\n\t__asm__(\"\" : \"+r\"(x));\n\tif (x >= 1000 && x < 1000 + $N)\n\t\ts += $A[x - 1000]$F;\n"},
	{name: "end to a callee", body: "\ts += below($A + $N, x > sizeof $A ? sizeof $A : x);\n"},
	{name: "start to a callee", body: "\ts += from($A, x > sizeof $A ? sizeof $A : x);\n"},
	{name: "both to a callee", body: "\ts += between($A, $A + $N);\n"},
	{name: "two ends", body: "\ts += below($A + $N, 1) + below($B + $M, 1);\n"},
	{name: "end and start", body: "\ts += below($A + $N, 1) + from($B, 1);\n"},
	{name: "end and use", body: "\ts += below($A + $N, 1) + $B[0]$G;\n"},
	{name: "end and own use", body: "\ts += below($A + $N, 1) * 3 + $A[0]$F;\n"},
	{name: "start and own use", body: "\ts += from($A, 1) * 3 + $A[$K]$F;\n"},
	{name: "is the end", body: "\tconst void *e = same($A + $K);\n\ts += e == (const void *)($A + $N);\n\ts += between(e, $A + $N);\n"},
	{name: "search", body: "\t$T *low = $A, *high = $A + $N;\n\twhile (low != high) {\n\t\t$T *mid = low + (high - low) / 2;\n\t\tif ((*mid)$F < x * 10)\n\t\t\tlow = mid + 1;\n\t\telse\n\t\t\thigh = mid;\n\t}\n\ts += low - $A;\n"},
	{name: "two at once", body: "\t$U *q = $B;\n\tfor ($T *p = $A; p < $A + $N && q < $B + $M; p++, q++)\n\t\ts = s * 3 + (*p)$F - (*q)$G;\n"},
	{name: "against each other", body: "\t$U *q = $B + $M;\n\tfor ($T *p = $A; p < $A + $N && q > $B; p++)\n\t\ts = s * 3 + (*p)$F - (*--q)$G;\n"},
	{name: "one after the other", body: "\tfor ($T *p = $A; p < $A + $N; p++)\n\t\ts = s * 3 + (*p)$F;\n\tfor ($U *q = $B; q < $B + $M; q++)\n\t\ts = s * 3 + (*q)$G;\n"},
	{name: "find", body: "\t$T *p;\n\tfor (p = $A; p < $A + $N; p++)\n\t\tif ((*p)$F == $R)\n\t\t\tbreak;\n\ts += p - $A;\n"},
	{name: "find back", body: "\t$T *p = $A + $N;\n\twhile (p > $A && p[-1]$F != $R)\n\t\tp--;\n\ts += p - $A;\n"},
	{name: "step", body: "\tfor ($T *p = $A + $N - 1; p >= $A + $K; p -= 1)\n\t\ts = s * 3 + (*p)$F;\n"},
	{name: "rest", body: "\tfor (long i = x; i < $N; i++)\n\t\ts = s * 3 + $A[i]$F;\n"},
	{name: "neighbour difference", body: "\tfor (long i = 1; i < $N; i++)\n\t\ts = s * 3 + $A[i]$F - $A[i - 1]$F;\n"},
	{name: "shift", writes: true, body: "\tfor (long i = 0; i < $N; i++)\n\t\t$A[i]$F = i + $R % 9;\n\tfor (long i = $N - 1; i > 0; i--)\n\t\t$A[i]$F = $A[i - 1]$F;\n\tfor (long i = 0; i < $N; i++)\n\t\ts = s * 3 + $A[i]$F;\n"},
	{name: "clear back", writes: true, body: "\tfor ($T *p = $A + $N; p != $A;)\n\t\t(*--p)$F = $R % 7;\n\ts = $A[$K]$F;\n"},
	{name: "ring", body: "\t$T *p = $A + $K;\n\tfor (long i = 0; i < x * 5; i++) {\n\t\ts = s * 3 + (*p)$F;\n\t\tif (++p == $A + $N)\n\t\t\tp = $A;\n\t}\n"},
	{name: "ring back", body: "\t$T *p = $A + $K;\n\tfor (long i = 0; i < x * 5; i++) {\n\t\tif (p == $A)\n\t\t\tp = $A + $N;\n\t\ts = s * 3 + (*--p)$F;\n\t}\n"},
	{name: "switch", body: "\tstatic const int bonus[] = { 5, 9, $R };\n\tswitch (x) {\n\tcase 1: s += 17; break;\n\tcase 2: s += $R; break;\n\tcase 3: s += 88 + $K; break;\n\tcase 4: s -= 3; break;\n\tcase 5: s += 1234; break;\n\t}\n\tfor (const int *q = bonus; q < bonus + 3; q++)\n\t\ts = s * 3 + *q + $A[$K]$F;\n"},
	{name: "local", body: "\tconst short local[] = { 4, 8, $R, 16, 23, 42, $K, 3, 3, 3, 7 };\n\tfor (const short *q = local; q < local + 11; q++)\n\t\ts = s * 3 + *q;\n\tif (x < 11)\n\t\ts += (local + 11)[-x];\n"},
	{name: "text", body: "\tconst char *t = x == 3 ? \"number $R\" : \"other\";\n\ts += below($A + $N, 1);\n\ts += from(t, strlen(t));\n"},
	{name: "table", body: "\tstatic const struct { long n; const void *begin, *end; } t$P = { $E, $A, $A + $N };\n\tconst struct { long n; const void *begin, *end; } *q = same(&t$P);\n\ts += q->n + between(q->begin, q->end);\n"},
	{name: "table of an end", body: "\tstatic const struct { long n; const void *end; } t$P = { $E, $A + $N };\n\tconst struct { long n; const void *end; } *q = same(&t$P);\n\ts += q->n + below(q->end, 1);\n"},
	{name: "table of a start", body: "\tstatic const struct { long n; const void *start; } t$P = { $E, $A };\n\tconst struct { long n; const void *start; } *q = same(&t$P);\n\ts += q->n + from(q->start, 1);\n"},
	{name: "text end", body: "\tstatic const char t[] = \"text $R\";\n\tfor (const char *q = t + sizeof t - 1; q > t;)\n\t\ts = s * 3 + *--q;\n"},
}

// Arithmetic of many kinds, to be executed step by step: integers of all sizes, bits, floating point, vectors, up to AVX2 where an x86-64
// processor has them, and with the instructions of Armv8.2 where an arm64 one has.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile uint64_t sink;
static volatile double dsink;

__attribute__((noinline)) static void integers(uint64_t a, uint64_t b)
{
	uint8_t c = (uint8_t)(a * 3 + b);
	uint16_t s = (uint16_t)(a ^ b);
	int32_t i = (int32_t)(a - b);
	__uint128_t w = (__uint128_t)a * b;
	c = (uint8_t)(c << 3 | c >> 5);
	s = (uint16_t)(s << 7 | s >> 9);
	sink += c + s + (uint64_t)(i >> 3) + (uint64_t)w + (uint64_t)(w >> 64);
	sink += a / (b | 1) + a % (b | 1) + (uint64_t)((int64_t)a / (int64_t)(b | 1)) + (uint32_t)a / ((uint32_t)b | 1);
	sink += (uint64_t)__builtin_popcountll(a) + (uint64_t)__builtin_ctzll(a | 1) + (uint64_t)__builtin_clzll(b | 1) + __builtin_bswap64(a) + __builtin_bswap32((uint32_t)b);
	sink += (a < b) + (a == b ? c : s) + (i < 0 ? a : b) + (a << (b & 63)) + (a >> (b & 63)) + (uint64_t)((int64_t)a >> (b & 31));
	sink ^= a & ~b;
	sink |= (a & (a - 1)) + (a & -a) + ((w << 13) >> 64);
	__atomic_fetch_add(&sink, a, __ATOMIC_SEQ_CST);
	uint64_t expected = sink;
	__atomic_compare_exchange_n(&sink, &expected, b, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

__attribute__((noinline)) static void floats(double x, float y)
{
	long double l = x;
	dsink += sqrt(x) + sin(x) * cos(x) - exp(-x) / (1 + fabs(x)) + floor(x) + (double)y;
	dsink += (float)x * y + sqrtf(y) + (double)(int)x + (double)(int64_t)y + (double)(float)(x * 3);
	dsink += (double)(l * l + 1 / (l + 1)) + fmin(x, y) + fmax(x, 2.5) + (x < y) + (x > 3 ? x : y) + copysign(x, y);
}

#define VECTORS(name, attr)                                                                          \
	attr __attribute__((noinline)) static void name(float *f, double *d, int *i, short *s, char *c)  \
	{                                                                                                \
		for (int k = 0; k < 64; k++) {                                                               \
			f[k] = f[k] * 1.5f + f[63 - k] / 3 - (float)i[k];                                        \
			d[k & 31] = d[k & 31] * f[k] + sqrt(fabs(d[k & 31]));                                    \
		}                                                                                            \
		for (int k = 0; k < 64; k++)                                                                 \
			i[k] = (i[k] * 7 + (int)s[k]) ^ (i[k] >> 3);                                             \
		for (int k = 0; k < 64; k++)                                                                 \
			s[k] = (short)(s[k] > c[k] ? s[k] - c[k] : s[k] + 1);                                    \
		for (int k = 0; k < 64; k++)                                                                 \
			c[k] = (char)(c[k] == 3 ? 7 : c[k] + (char)s[k]);                                        \
		unsigned sum = 0;                                                                            \
		for (int k = 0; k < 64; k++)                                                                 \
			sum += (unsigned)abs(i[k]) + (unsigned char)c[k];                                        \
		sink += sum;                                                                                 \
	}

VECTORS(plain, __attribute__((optimize("O3"))))
#ifdef __aarch64__
#include <sys/auxv.h>
VECTORS(later, __attribute__((optimize("O3"), target("arch=armv8.2-a+fp16+dotprod"))))
static int has_later(void) { return (getauxval(AT_HWCAP) & (HWCAP_ASIMDHP | HWCAP_ASIMDDP)) == (HWCAP_ASIMDHP | HWCAP_ASIMDDP); }
#else
VECTORS(sse4, __attribute__((optimize("O3"), target("sse4.2,popcnt"))))
VECTORS(avx2, __attribute__((optimize("O3"), target("avx2,fma,bmi,bmi2,lzcnt,popcnt"))))

__attribute__((noinline, target("bmi,bmi2,lzcnt,popcnt"))) static void bits(uint64_t a, uint64_t b)
{
	sink += (a & ~b) + (a & (a - 1)) + (a & -a) + (a ^ (a - 1)) + (a << (b & 63)) + (a >> (b & 63)) + (uint64_t)__builtin_clzll(a | 1);
	sink += (uint64_t)__builtin_ctzll(b | 1) + (uint64_t)(((__uint128_t)a * b) >> 64) + ((a >> 17) | (a << 47));
}
#endif

int main(void)
{
	float f[64];
	double d[64];
	int i[64];
	short s[64];
	char c[64], text[128];
#ifndef __aarch64__
	__builtin_cpu_init();
#endif
	for (int k = 0; k < 64; k++)
		f[k] = (float)k, d[k] = k * 0.5, i[k] = k * k, s[k] = (short)(k * 31), c[k] = (char)k;
	for (uint64_t k = 1; k < 40; k++) {
		integers(k * 0x9e3779b97f4a7c15, k << 20 | 5);
		floats((double)k * 0.75, (float)k / 7);
		plain(f, d, i, s, c);
#ifdef __aarch64__
		if (has_later())
			later(f, d, i, s, c);
#else
		if (__builtin_cpu_supports("sse4.2"))
			sse4(f, d, i, s, c);
		if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
			avx2(f, d, i, s, c);
			bits(k * 0x9e3779b97f4a7c15, k);
		}
#endif
		snprintf(text, sizeof text, "%g %a %ld %s", dsink, (double)f[k], (long)sink, "text");
		sink += strlen(text) + (uint64_t)memcmp(text, c, 5) + (strchr(text, 'x') != NULL);
	}
	return sink == 1;
}

// Threads that hold a pattern in every register and in the red zone, and check it all the time: half of
// them spin, half sleep in a system call, in both restartable kinds. usage: hold THREADS
// Expected: "sum" prints "ok ROUNDS LEAST BYTES TILES" (of all threads, of the slowest; size of a vector register; whether the
// AMX tiles are held as well) as long as no thread has seen a difference, else the program ends.
#define _GNU_SOURCE
#include <cpuid.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct area { // the offsets are used by the assembly
	uint64_t gpr[16];      // 0: pattern; out to 128
	uint64_t gpr_out[16];  // 128
	uint64_t red_out[16];  // 256
	uint8_t vec[32 * 64];  // 384
	uint8_t vec_out[2048]; // 2432
	uint64_t mask[8];      // 4480
	uint64_t mask_out[8];  // 4544
	uint32_t mxcsr, mxcsr_out; // 4608, 4612
	uint16_t fcw, fcw_out;     // 4616, 4618
	uint32_t pad;
	uint64_t spins;            // 4624
	uint64_t nr, a0, a1, a2;   // 4632: system call and arguments; nr -1: none
	volatile long rounds;      // 4664
	uint8_t tilecfg[64];       // 4672
	uint8_t tile[8 * 1024];    // 4736
	uint8_t tile_out[8 * 1024]; // 12928
};
_Static_assert(offsetof(struct area, mxcsr) == 4608 && offsetof(struct area, nr) == 4632, "offsets");
_Static_assert(offsetof(struct area, tilecfg) == 4672 && offsetof(struct area, tile) == 4736 && offsetof(struct area, tile_out) == 12928, "offsets");

// hold_X(area): fills all registers, spins (or makes the call), stores them. r15 is the area, r14 the counter.
#define GPRS(X) X(rax, 0) X(rbx, 1) X(rcx, 2) X(rdx, 3) X(rsi, 4) X(rdi, 5) X(rbp, 6) X(r8, 8) X(r9, 9) X(r10, 10) X(r11, 11) X(r12, 12) X(r13, 13)
#define LOADG(r, i) "mov " #i "*8(%r15), %" #r "\n"
#define STOREG(r, i) "mov %" #r ", 128+" #i "*8(%r15)\n"
#define HOLD(name, loadv, storev)                                                                      \
	__asm__(".text\n.globl " #name "\n" #name ":\n"                                                \
		"push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"                   \
		"mov %rdi, %r15\n"                                                                     \
		"stmxcsr -4(%rsp)\nfnstcw -8(%rsp)\npush -8(%rsp)\nsub $128, %rsp\n"                   \
		"ldmxcsr 4608(%r15)\nfldcw 4616(%r15)\n" loadv                                         \
		"mov 4624(%r15), %r14\n"                                                               \
		".set i, 0\n.rept 16\nmov i*8(%r15), %rax\nmov %rax, -128+i*8(%rsp)\n.set i, i+1\n.endr\n" \
		GPRS(LOADG)                                                                            \
		"cmpq $-1, 4632(%r15)\nje 1f\n"                                                        \
		"2: mov 4632(%r15), %rax\nmov 4640(%r15), %rdi\nmov 4648(%r15), %rsi\nmov 4656(%r15), %rdx\n" \
		"syscall\n"                                                                            \
		LOADG(rax, 0) LOADG(rcx, 2) LOADG(rdx, 3) LOADG(rsi, 4) LOADG(rdi, 5) LOADG(r11, 11)   \
		"dec %r14\njnz 2b\njmp 3f\n"                                                           \
		"1: pause\ndec %r14\njnz 1b\n"                                                         \
		"3:\n" GPRS(STOREG)                                                                    \
		".set i, 0\n.rept 16\nmov -128+i*8(%rsp), %rax\nmov %rax, 256+i*8(%r15)\n.set i, i+1\n.endr\n" \
		storev "stmxcsr 4612(%r15)\nfnstcw 4618(%r15)\n"                                       \
		"add $128, %rsp\npop -8(%rsp)\nfldcw -8(%rsp)\nldmxcsr -4(%rsp)\n"                     \
		"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");                  \
	void name(struct area *)

#define REP(n, body) ".altmacro\n.macro R_ num\n" body "\n.endm\n.set v, 0\n.rept " #n "\nR_ %v\n.set v, v+1\n.endr\n.purgem R_\n.noaltmacro\n"
HOLD(hold_sse, REP(16, "movdqu 384+\\num*64(%r15), %xmm\\num"), REP(16, "movdqu %xmm\\num, 2432+\\num*64(%r15)"));
HOLD(hold_avx, REP(16, "vmovdqu 384+\\num*64(%r15), %ymm\\num"), REP(16, "vmovdqu %ymm\\num, 2432+\\num*64(%r15)"));
#define LOAD512 REP(32, "vmovdqu64 384+\\num*64(%r15), %zmm\\num") REP(8, "kmovq 4480+\\num*8(%r15), %k\\num")
#define STORE512 REP(32, "vmovdqu64 %zmm\\num, 2432+\\num*64(%r15)") REP(8, "kmovq %k\\num, 4544+\\num*8(%r15)") "vzeroupper\n"
HOLD(hold_avx512, LOAD512, STORE512);
HOLD(hold_amx, LOAD512 "ldtilecfg 4672(%r15)\nmov $64, %ecx\n" REP(8, "lea 4736+\\num*1024(%r15), %rax\ntileloadd (%rax,%rcx), %tmm\\num"),
     STORE512 "mov $64, %ecx\n" REP(8, "lea 12928+\\num*1024(%r15), %rax\ntilestored %tmm\\num, (%rax,%rcx)") "tilerelease\n");

static void (*hold)(struct area *);
static size_t vecs, vecsize;
static int amx;

static void different(const char *what)
{
	printf("FAIL %s differs\n", what);
	fflush(stdout);
	_exit(1);
}

static void *run(void *arg)
{
	struct area *a = arg;
	for (;;) {
		a->gpr_out[7] = a->gpr[7], a->gpr_out[14] = a->gpr[14], a->gpr_out[15] = a->gpr[15];
		hold(a);
		if (memcmp(a->gpr, a->gpr_out, sizeof a->gpr))
			different("general register");
		if (memcmp(a->gpr, a->red_out, sizeof a->gpr))
			different("red zone");
		for (size_t i = 0; i < vecs; i++)
			if (memcmp(a->vec + i * 64, a->vec_out + i * 64, vecsize))
				different("vector register");
		if (vecsize == 64 && memcmp(a->mask, a->mask_out, sizeof a->mask))
			different("mask register");
		if (amx && memcmp(a->tile, a->tile_out, sizeof a->tile))
			different("tile register");
		if (a->mxcsr != a->mxcsr_out || a->fcw != a->fcw_out)
			different("floating-point control");
		a->rounds++;
	}
	return NULL;
}

static struct timespec nap = {0, 300000};

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 4;
	struct area *as = aligned_alloc(64, (sizeof *as + 63) / 64 * 64 * n);
	unsigned a, b, c, d;
	pthread_t t;
	char line[16];
	setvbuf(stdout, NULL, _IOLBF, 0);
	hold = hold_sse, vecs = 16, vecsize = 16;
	if (__builtin_cpu_supports("avx"))
		hold = hold_avx, vecsize = 32;
	__cpuid_count(7, 0, a, b, c, d);
	if (__builtin_cpu_supports("avx512f") && (b & bit_AVX512BW))
		hold = hold_avx512, vecs = 32, vecsize = 64;
	// ARCH_REQ_XCOMP_PERM for XFEATURE_XTILEDATA (Documentation/arch/x86/xstate.rst)
	if (vecsize == 64 && (d & (1u << 24)) && !syscall(SYS_arch_prctl, 0x1023, 18))
		hold = hold_amx, amx = 1;
	for (int i = 0; i < n; i++) {
		struct area *p = as + i;
		memset(p, 0, sizeof *p);
		for (size_t k = 0; k < sizeof p->vec; k++)
			p->vec[k] = rand();
		for (int k = 0; k < 16; k++)
			p->gpr[k] = (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ rand();
		for (int k = 0; k < 8; k++)
			p->mask[k] = (uint64_t)rand() << 33 ^ rand();
		for (size_t k = 0; k < sizeof p->tile; k++)
			p->tile[k] = rand();
		p->tilecfg[0] = 1; // palette 1: eight tiles of 16 rows of 64 bytes
		for (int k = 0; k < 8; k++)
			p->tilecfg[16 + 2 * k] = 64, p->tilecfg[48 + k] = 16;
		p->mxcsr = 0x1f80 | (i % 4) << 13; // rounding by thread
		p->fcw = (0x37f & ~0xc00) | (i % 4) << 10;
		p->spins = 20000, p->nr = -1;
		if (i % 4 == 1)
			p->spins = 3, p->nr = 35, p->a0 = (uint64_t)&nap; // nanosleep: restart block
		if (i % 4 == 3) { // read of a timer: plain restart
			int fd = timerfd_create(CLOCK_MONOTONIC, 0);
			timerfd_settime(fd, 0, &(struct itimerspec){nap, nap}, NULL);
			p->spins = 3, p->nr = 0, p->a0 = fd, p->a1 = (uint64_t)malloc(8), p->a2 = 8;
		}
		if (pthread_create(&t, NULL, run, p))
			return 1;
	}
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		long sum = 0, least = 1L << 60;
		for (int i = 0; i < n; i++) {
			sum += as[i].rounds;
			if (as[i].rounds < least)
				least = as[i].rounds;
		}
		printf("ok %ld %ld %zu %s\n", sum, least, vecsize, amx ? "tiles" : "no-tiles");
	}
	_exit(0);
}

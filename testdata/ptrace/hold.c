// Threads that hold a pattern in every register and in the red zone, and check it all the time: half of
// them spin, half sleep in a system call, in both restartable kinds. usage: hold THREADS [sve]
// Expected: "sum" prints "ok ROUNDS LEAST BYTES TILES" (of all threads, of the slowest; size of a vector register; whether the
// AMX tiles are held as well) as long as no thread has seen a difference, else the program ends. With sve, on arm64, all threads spin, and hold
// the registers of SVE, which no system call keeps.
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

static size_t vecs, vecsize;
static int amx;

static void different(const char *what)
{
	printf("FAIL %s differs\n", what);
	fflush(stdout);
	_exit(1);
}

#ifdef __x86_64__
enum { REGS = 16, VECTOR = 64 };

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

// choose finds out what the processor has to be held.
static void choose(const char *kind)
{
	unsigned a, b, c, d;
	hold = hold_sse, vecs = 16, vecsize = 16;
	if (__builtin_cpu_supports("avx"))
		hold = hold_avx, vecsize = 32;
	__cpuid_count(7, 0, a, b, c, d);
	if (__builtin_cpu_supports("avx512f") && (b & bit_AVX512BW))
		hold = hold_avx512, vecs = 32, vecsize = 64;
	// ARCH_REQ_XCOMP_PERM for XFEATURE_XTILEDATA (Documentation/arch/x86/xstate.rst)
	if (vecsize == 64 && (d & (1u << 24)) && !syscall(SYS_arch_prctl, 0x1023, 18))
		hold = hold_amx, amx = 1;
}

// prepare fills what only this architecture has.
static void prepare(struct area *p, int i)
{
	for (int k = 0; k < 8; k++)
		p->mask[k] = (uint64_t)rand() << 33 ^ rand();
	for (size_t k = 0; k < sizeof p->tile; k++)
		p->tile[k] = rand();
	p->tilecfg[0] = 1; // palette 1: eight tiles of 16 rows of 64 bytes
	for (int k = 0; k < 8; k++)
		p->tilecfg[16 + 2 * k] = 64, p->tilecfg[48 + k] = 16;
	p->mxcsr = 0x1f80 | (i % 4) << 13; // rounding by thread
	p->fcw = (0x37f & ~0xc00) | (i % 4) << 10;
}

static void unused(struct area *a)
{
	a->gpr_out[7] = a->gpr[7], a->gpr_out[14] = a->gpr[14], a->gpr_out[15] = a->gpr[15];
}

static void check(struct area *a)
{
	if (vecsize == 64 && memcmp(a->mask, a->mask_out, sizeof a->mask))
		different("mask register");
	if (amx && memcmp(a->tile, a->tile_out, sizeof a->tile))
		different("tile register");
	if (a->mxcsr != a->mxcsr_out || a->fcw != a->fcw_out)
		different("floating-point control");
}
#else
#include <sys/auxv.h>
enum { REGS = 32, VECTOR = 256 };

struct area { // the offsets are used by the assembly
	uint64_t gpr[32];         // 0: pattern of x0 to x30; out to 256
	uint64_t gpr_out[32];     // 256
	uint64_t red_out[32];     // 512
	uint64_t fpcr, fpcr_out;  // 768, 776
	uint64_t fpsr, fpsr_out;  // 784, 792
	uint64_t nzcv, nzcv_out;  // 800, 808
	uint64_t spins;           // 816
	uint64_t nr, a0, a1, a2;  // 824: system call and arguments; nr -1: none
	volatile long rounds;     // 856
	uint8_t vec[32 * 256] __attribute__((aligned(16)));  // 864
	uint8_t vec_out[32 * 256];                           // 9056
	uint8_t pred[16 * 32], pred_out[16 * 32];            // 17248, 17760
};
_Static_assert(offsetof(struct area, fpcr) == 768 && offsetof(struct area, nr) == 824 && offsetof(struct area, vec) == 864, "offsets");
_Static_assert(offsetof(struct area, vec_out) == 9056 && offsetof(struct area, pred) == 17248 && offsetof(struct area, pred_out) == 17760, "offsets");

// hold_X(area): fills all registers and the flags, spins (or makes the call), stores them. x28 is the area, x27 the counter. x30 keeps its
// pattern too. Nothing between filling and storing changes the flags.
#define EACH(first, last, body) ".set i, " #first "\n.rept " #last "-" #first "+1\n" body "\n.set i, i+1\n.endr\n"
#define NUMBERED(n, body) ".altmacro\n.macro R_ num\n" body "\n.endm\n.set v, 0\n.rept " #n "\nR_ %v\n.set v, v+1\n.endr\n.purgem R_\n.noaltmacro\n"
#define LOADX(i) "ldr x" #i ", [x28, #" #i "*8]\n"
#define STOREX(i) "str x" #i ", [x28, #256+" #i "*8]\n"
#define FROM1TO26(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26)
#define HOLD(name, loadv, storev)                                                                                            \
	__asm__(".text\n.arch_extension sve\n.globl " #name "\n" #name ":\n"                                             \
		"stp x29, x30, [sp, #-176]!\nstp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\nstp x23, x24, [sp, #48]\n" \
		"stp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\nstp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"     \
		"stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\nmrs x1, fpcr\nstr x1, [sp, #160]\nmov x28, x0\n"    \
		"ldr x1, [x28, #768]\nmsr fpcr, x1\n" loadv "ldr x1, [x28, #784]\nmsr fpsr, x1\n"                        \
		"ldr x27, [x28, #816]\n"                                                                                    \
		EACH(0, 31, "ldr x0, [x28, #i*8]\nstur x0, [sp, #i*8-256]")                                                  \
		"ldr x0, [x28, #800]\nmsr nzcv, x0\n"                                                                      \
		LOADX(0) FROM1TO26(LOADX) LOADX(29) LOADX(30)                                                                \
		"ldr x0, [x28, #824]\ntbnz x0, #63, 1f\n"                                                                  \
		"2: ldr x8, [x28, #824]\nldr x0, [x28, #832]\nldr x1, [x28, #840]\nldr x2, [x28, #848]\nsvc #0\n"          \
		LOADX(0) LOADX(1) LOADX(2) LOADX(8) "sub x27, x27, #1\ncbnz x27, 2b\nb 3f\n"                               \
		"1: " LOADX(0) "4: yield\nsub x27, x27, #1\ncbnz x27, 4b\n"                                               \
		"3:\n" STOREX(0) FROM1TO26(STOREX) STOREX(29) STOREX(30)                                                    \
		"mrs x0, nzcv\nstr x0, [x28, #808]\nmrs x0, fpcr\nstr x0, [x28, #776]\nmrs x0, fpsr\nstr x0, [x28, #792]\n" \
		EACH(0, 31, "ldur x0, [sp, #i*8-256]\nstr x0, [x28, #512+i*8]") storev                                       \
		"ldr x1, [sp, #160]\nmsr fpcr, x1\nldp d14, d15, [sp, #144]\nldp d12, d13, [sp, #128]\n"                   \
		"ldp d10, d11, [sp, #112]\nldp d8, d9, [sp, #96]\nldp x27, x28, [sp, #80]\nldp x25, x26, [sp, #64]\n"      \
		"ldp x23, x24, [sp, #48]\nldp x21, x22, [sp, #32]\nldp x19, x20, [sp, #16]\nldp x29, x30, [sp], #176\nret\n"); \
	void name(struct area *)

HOLD(hold_simd, "add x1, x28, #864\n" NUMBERED(32, "ldr q\\num, [x1, #\\num*256]"),
     "mov x1, #9056\nadd x1, x28, x1\n" NUMBERED(32, "str q\\num, [x1, #\\num*256]"));
// Vectors are 256 bytes apart, predicates 32; the first-fault register is loaded first, by way of p0.
HOLD(hold_sve, "mov x2, #17248\nadd x2, x28, x2\nldr p0, [x2]\nwrffr p0.b\nadd x1, x28, #864\n"
	       NUMBERED(32, "ldr z\\num, [x1]\nadd x1, x1, #256") NUMBERED(16, "ldr p\\num, [x2]\nadd x2, x2, #32"),
     "mov x2, #17760\nadd x2, x28, x2\nmov x1, #9056\nadd x1, x28, x1\n"
     NUMBERED(32, "str z\\num, [x1]\nadd x1, x1, #256") NUMBERED(16, "str p\\num, [x2]\nadd x2, x2, #32"));
__asm__(".globl vector_bytes\nvector_bytes: rdvl x0, #1\nret\n");
uint64_t vector_bytes(void);

static void (*hold)(struct area *);
static int sve;

static void choose(const char *kind)
{
	hold = hold_simd, vecs = 32, vecsize = 16;
	if (!strcmp(kind, "sve") && getauxval(AT_HWCAP) & (1 << 22)) // HWCAP_SVE
		sve = 1, hold = hold_sve, vecsize = vector_bytes();
}

static void prepare(struct area *p, int i)
{
	for (size_t k = 0; k < sizeof p->pred; k++)
		p->pred[k] = rand();
	memset(p->pred, 0xff, 32); // p0 is put into the first-fault register, which has ones first
	p->fpcr = (uint64_t)(i % 4) << 22; // rounding by thread
	p->fpsr = 1 + i % 16;		   // exceptions so far
	p->nzcv = (uint64_t)(1 + i % 15) << 28;
}

static void unused(struct area *a)
{
	a->gpr_out[27] = a->gpr[27], a->gpr_out[28] = a->gpr[28], a->gpr_out[31] = a->gpr[31];
}

static void check(struct area *a)
{
	for (int i = 0; sve && i < 16; i++)
		if (memcmp(a->pred + i * 32, a->pred_out + i * 32, vecsize / 8))
			different("predicate register");
	if (a->fpcr != a->fpcr_out || a->fpsr != a->fpsr_out)
		different("floating-point control");
	if (a->nzcv != a->nzcv_out)
		different("flags");
}
#endif

static void *run(void *arg)
{
	struct area *a = arg;
	for (;;) {
		unused(a);
		hold(a);
		if (memcmp(a->gpr, a->gpr_out, sizeof a->gpr))
			different("general register");
		if (memcmp(a->gpr, a->red_out, sizeof a->gpr))
			different("red zone");
		for (size_t i = 0; i < vecs; i++)
			if (memcmp(a->vec + i * VECTOR, a->vec_out + i * VECTOR, vecsize))
				different("vector register");
		check(a);
		a->rounds++;
	}
	return NULL;
}

static struct timespec nap = {0, 300000};

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 4;
	struct area *as = aligned_alloc(64, (sizeof *as + 63) / 64 * 64 * n);
	pthread_t t;
	char line[16];
	setvbuf(stdout, NULL, _IOLBF, 0);
	const char *kind = argc > 2 ? argv[2] : "";
	choose(kind);
	for (int i = 0; i < n; i++) {
		struct area *p = as + i;
		memset(p, 0, sizeof *p);
		for (size_t k = 0; k < sizeof p->vec; k++)
			p->vec[k] = rand();
		for (int k = 0; k < REGS; k++)
			p->gpr[k] = (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ rand();
		prepare(p, i);
		p->spins = 20000, p->nr = -1;
		if (i % 2 == 0) // what looks like the result of a call that is to be restarted (linux/errno.h), in the register of results
			p->gpr[0] = (uint64_t[]){-512, -513, (uint32_t)-514, (uint32_t)-516}[i / 2 % 4];
		if (i % 4 == 1 && !*kind)
			p->spins = 3, p->nr = SYS_nanosleep, p->a0 = (uint64_t)&nap; // nanosleep: restart block
		if (i % 4 == 3 && !*kind) { // read of a timer: plain restart
			int fd = timerfd_create(CLOCK_MONOTONIC, 0);
			timerfd_settime(fd, 0, &(struct itimerspec){nap, nap}, NULL);
			p->spins = 3, p->nr = SYS_read, p->a0 = fd, p->a1 = (uint64_t)malloc(8), p->a2 = 8;
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

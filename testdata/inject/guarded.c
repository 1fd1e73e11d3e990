// A program without a C library, in two versions (-DV=1..2), that calls its functions through pointers all the time. Built with -fcf-protection
// -nostartfiles -static, its code is a guarded page on arm64 (PROT_BTI): with Debian's start files, which have no landing pads, it is not.
//   guard  "enforced" if an indirect call of a place that is no landing pad ends the process that makes it, else "open"
//   sum    "calls N new M bad B": calls that came back, those of version 2, and wrong answers
#define NOINLINE __attribute__((noipa))

#ifdef __aarch64__
enum { READ = 63, WRITE = 64, PPOLL = 73, EXIT_GROUP = 94, CLONE = 220, WAIT4 = 260 };

static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

__asm__(".text\n"
	".globl _start\n"
	".type _start, %function\n"
	"_start:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined x30\n"
	"	bti c\n"
	"	bl begin\n"
	"	brk #0\n"
	"	.cfi_endproc\n"
	".size _start, . - _start\n"
	".type closed, %function\n"
	"closed:\n"
	"	.cfi_startproc\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size closed, . - closed\n");
#else
enum { READ = 0, WRITE = 1, PPOLL = 271, EXIT_GROUP = 231, CLONE = 56, WAIT4 = 61 };

static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return number;
}

__asm__(".text\n"
	".globl _start\n"
	".type _start, @function\n"
	"_start:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	call begin\n"
	"	ud2\n"
	"	.cfi_endproc\n"
	".size _start, . - _start\n"
	".type closed, @function\n"
	"closed:\n"
	"	.cfi_startproc\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size closed, . - closed\n");
#endif

void closed(void);

// A leaf: a landing pad alone.
NOINLINE long twice(long n)
{
#if V == 1
	return n * 2;
#else
	return n * 2 + 1000;
#endif
}

static long (*volatile leaf)(long) = twice;

// It saves its return address: on arm64 the instruction that signs it is the landing pad.
NOINLINE long price(long n)
{
#if V == 1
	return leaf(n) + 1;
#else
	return leaf(n) + 5;
#endif
}

static long (*volatile entry)(long) = price;
static void (*volatile place)(void) = closed;
static long calls, news, bad;

NOINLINE static void write_text(const char *s)
{
	long n = 0;
	while (s[n])
		n++;
	call(WRITE, 1, (long)s, n, 0);
}

NOINLINE static void write_number(long n)
{
	char digits[24];
	int i = sizeof digits - 1;
	digits[i] = 0;
	do
		digits[--i] = '0' + n % 10;
	while (n /= 10);
	write_text(digits + i);
}

// guard calls closed() in a child, and says how that ends.
NOINLINE static void guard(void)
{
	int status = 0;
	long child = call(CLONE, 17, 0, 0, 0); // SIGCHLD
	if (child == 0) {
		place();
		call(EXIT_GROUP, 0, 0, 0, 0);
	}
	call(WAIT4, child, (long)&status, 0, 0);
	write_text((status & 127) == 4 ? "enforced\n" : "open\n"); // SIGILL
}

NOINLINE static void answer(void)
{
	char line[16] = { 0 };
	if (call(READ, 0, (long)line, sizeof line, 0) <= 0)
		call(EXIT_GROUP, 0, 0, 0, 0);
	if (line[0] == 'g') {
		guard();
		return;
	}
	write_text("calls ");
	write_number(calls);
	write_text(" new ");
	write_number(news);
	write_text(" bad ");
	write_number(bad);
	write_text("\n");
}

NOINLINE void begin(void)
{
	struct { int fd; short events, revents; } in = { 0, 1, 0 };
	long none[2] = { 0, 0 };
	write_text("ready\n");
	for (long n = 0;; n = (n + 1) % 100) {
		long got = entry(n);
		if (got == n * 2 + 1005)
			news++;
		else if (got != n * 2 + 1)
			bad++;
		calls++;
		if (n == 0 && call(PPOLL, (long)&in, 1, (long)none, 0) > 0)
			answer();
	}
}

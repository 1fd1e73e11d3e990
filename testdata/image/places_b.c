// The second source file of places.c: the same local names again.
static int twin(int x);
static int table[100];

__attribute__((noinline)) static int twin(int x) { return x * 3 + table[x & 63]; }

int twin_sum(int x)
{
	static int called = 5;

	table[x & 31] = x;
	return twin(x) + called++;
}

// Assembly without a size, with data behind the code and a label inside.
__asm__(".text\n"
	".globl hand_written\n"
	".type hand_written, @function\n"
	"hand_written:\n"
#ifdef __aarch64__
	"	add	w0, w0, #1\n"
	"inner_label:\n"
	"	ldr	w1, hand_data\n"
	"	add	w0, w0, w1\n"
	"	ret\n"
	"	.balign 8\n"
	"hand_data:\n"
	"	.long 0x06060606, 0x07070707\n" // not allocated: Arm ARM, C4.1, op0 0011
#else
	"	lea	1(%rdi), %eax\n"
	"inner_label:\n"
	"	add	hand_data(%rip), %eax\n"
	"	ret\n"
	"	.balign 8\n"
	"hand_data:\n"
	"	.long 0x06060606, 0x0f0f0f0f\n"
#endif
	".globl hand_next\n"
	".type hand_next, @function\n"
	"hand_next:\n"
	"	ret\n"
	".size hand_next, . - hand_next\n");

// Data among hand-written code, as libcrypto has it: a label without a type, and code that refers to the middle of what follows it.
__asm__(".text\n"
	".globl reader\n"
	".type reader, @function\n"
	"reader:\n"
#ifdef __aarch64__
	"	adr x0, 8+numbers\n"
	"	ldr w0, [x0]\n"
#else
	"	lea 8+numbers(%rip), %rax\n"
	"	mov (%rax), %eax\n"
#endif
	"	ret\n"
	".size reader, . - reader\n"
	"numbers:\n"
	"	.quad 0x0606060606060606, 0x0606060606060607\n" // 06 is no instruction; no word of 06 and 07 is one of arm64
	".previous\n");

int reader(void);

int main(void)
{
	return reader() != 0x06060607;
}

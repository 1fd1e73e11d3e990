// Data among hand-written code, as libcrypto has it: a label without a type, and code that refers to the middle of what follows it.
__asm__(".text\n"
	".globl reader\n"
	".type reader, @function\n"
	"reader:\n"
	"	lea 8+numbers(%rip), %rax\n"
	"	mov (%rax), %eax\n"
	"	ret\n"
	".size reader, . - reader\n"
	"numbers:\n"
	"	.quad 0x0606060606060606, 0x0606060606060607\n" // 06 is no instruction
	".previous\n");

int reader(void);

int main(void)
{
	return reader() != 0x06060607;
}

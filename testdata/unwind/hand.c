// Hand-written functions with call frame information, for the unwinder's single-step test (see
// calls.c): what assembly does and compilers do not. x86-64 only.
//
// Expected output: hand <number>.
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

volatile int sink;

NOINLINE long callee(long x)
{
	sink = (int)x;
	return x * 3 + 1;
}

NOINLINE long replaced(long x)
{
	return callee(x) + callee(x + 1);
}

long popped(long), expression(long), enter(long), other(long), pascal(long), branches(long), saved(long), last(long);

__asm__(
	".text\n"
	// The return address is taken into a register, and jumped to.
	".globl popped\n.type popped, @function\n"
	"popped:\n.cfi_startproc\n"
	"	pop %rdx\n	.cfi_adjust_cfa_offset -8\n	.cfi_register %rip, %rdx\n"
	"	lea 1(%rdi), %rax\n"
	"	jmp *%rdx\n"
	".cfi_endproc\n.size popped, .-popped\n"

	// The stack pointer is aligned; the old one lies on the stack, where an expression finds it:
	// DW_CFA_def_cfa_expression rsp+8, deref, plus_uconst 8.
	".globl expression\n.type expression, @function\n"
	"expression:\n.cfi_startproc\n"
	"	mov %rsp, %rax\n	.cfi_def_cfa_register %rax\n"
	"	and $-64, %rsp\n"
	"	sub $64, %rsp\n"
	"	mov %rax, 8(%rsp)\n	.cfi_escape 0x0f, 5, 0x77, 8, 0x06, 0x23, 8\n"
	"	call replaced\n"
	"	mov 8(%rsp), %rsp\n	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n.size expression, .-expression\n"

	".globl enter\n.type enter, @function\n"
	"enter:\n.cfi_startproc\n"
	"	enter $32, $0\n	.cfi_def_cfa %rbp, 16\n	.cfi_offset %rbp, -16\n"
	"	call replaced\n"
	"	leave\n	.cfi_def_cfa %rsp, 8\n	.cfi_restore %rbp\n"
	"	ret\n"
	".cfi_endproc\n.size enter, .-enter\n"

	// Another frame register, saved by value relative to the CFA; the frame is not at a fixed place.
	".globl other\n.type other, @function\n"
	"other:\n.cfi_startproc\n"
	"	push %r12\n	.cfi_def_cfa_offset 16\n	.cfi_offset %r12, -16\n"
	"	mov %rsp, %r12\n	.cfi_def_cfa_register %r12\n"
	"	push %rdi\n	push %rdi\n	push %rdi\n"
	"	call replaced\n"
	"	mov %r12, %rsp\n	.cfi_def_cfa_register %rsp\n"
	"	pop %r12\n	.cfi_def_cfa_offset 8\n	.cfi_restore %r12\n"
	"	ret\n"
	".cfi_endproc\n.size other, .-other\n"

	// Takes its arguments off the stack when it returns.
	"inner:\n.cfi_startproc\n"
	"	mov 8(%rsp), %rdi\n"
	"	sub $8, %rsp\n	.cfi_def_cfa_offset 16\n"
	"	call replaced\n"
	"	add $8, %rsp\n	.cfi_def_cfa_offset 8\n"
	"	ret $16\n"
	".cfi_endproc\n.size inner, .-inner\n"
	".globl pascal\n.type pascal, @function\n"
	"pascal:\n.cfi_startproc\n"
	"	sub $8, %rsp\n	.cfi_def_cfa_offset 16\n"
	"	push $5\n	.cfi_adjust_cfa_offset 8\n	push %rdi\n	.cfi_adjust_cfa_offset 8\n"
	"	call inner\n	.cfi_adjust_cfa_offset -16\n"
	"	add $8, %rsp\n	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n.size pascal, .-pascal\n"

	// Several exits, with remembered states.
	".globl branches\n.type branches, @function\n"
	"branches:\n.cfi_startproc\n"
	"	push %rbx\n	.cfi_def_cfa_offset 16\n	.cfi_offset %rbx, -16\n"
	"	mov %rdi, %rbx\n"
	"	.cfi_remember_state\n"
	"	test $1, %dil\n	jz 1f\n"
	"	pop %rbx\n	.cfi_def_cfa_offset 8\n	.cfi_restore %rbx\n"
	"	jmp replaced\n"
	"1:	.cfi_restore_state\n"
	"	call replaced\n"
	"	add %rbx, %rax\n"
	"	pop %rbx\n	.cfi_def_cfa_offset 8\n	.cfi_restore %rbx\n"
	"	ret\n"
	".cfi_endproc\n.size branches, .-branches\n"

	// A register saved where DW_CFA_expression (rbx at CFA-24) says; flags pushed and popped.
	".globl saved\n.type saved, @function\n"
	"saved:\n.cfi_startproc\n"
	"	sub $24, %rsp\n	.cfi_def_cfa_offset 32\n"
	"	mov %rbx, 8(%rsp)\n	.cfi_escape 0x10, 3, 2, 0x48, 0x1c\n"
	"	mov %rdi, %rbx\n"
	"	pushfq\n	.cfi_adjust_cfa_offset 8\n	popfq\n	.cfi_adjust_cfa_offset -8\n"
	"	call replaced\n"
	"	mov 8(%rsp), %rbx\n	.cfi_restore %rbx\n"
	"	add $24, %rsp\n	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n.size saved, .-saved\n"

	// Ends with a call that does not return, so that its return address is the next function's start.
	".globl last\n.type last, @function\n"
	"last:\n.cfi_startproc\n"
	"	sub $8, %rsp\n	.cfi_def_cfa_offset 16\n"
	"	mov %rdi, %rbx\n"
	"	call finish\n"
	".cfi_endproc\n.size last, .-last\n"
	".globl after\n.type after, @function\n"
	"after:\n.cfi_startproc\n"
	"	ret\n"
	".cfi_endproc\n.size after, .-after\n"
);

static long total;

void finish(long x)
{
	printf("hand %ld\n", total + replaced(x));
	exit(0);
}

int main(void)
{
	total = popped(1) + expression(2) + enter(3) + other(4) + pascal(5) + branches(6) + branches(7) + saved(8);
	last(9);
}

// Hand-written functions of arm64 for the unwinder's single-step test (see calls.c), hand.c's twin: what assembly does and compilers do not, or
// do where a test can hardly make them. arm64 only.
//
// Expected output: hand <number>.
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

volatile int sink;
static int count;

NOINLINE long callee(long x)
{
	sink = (int)x;
	__atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST); // a function of libgcc's (outline atomics)
	return x * 3 + 1;
}

NOINLINE long replaced(long x)
{
	return callee(x) + callee(x + 1);
}

long (*volatile pointer)(long) = replaced;

long scratch(long), kept(long), expression(long), other(long), branches(long), saved(long), signs(long), outlined(long), moved(long), last(long);
long called(long), thunk(long, long (*)(long)), calls(long) __asm__("replaced.calls");

__asm__(
	".text\n"
	// The return address is taken into a scratch register, and returned to from there.
	".globl scratch\n.type scratch, %function\n"
	"scratch:\n.cfi_startproc\n"
	"	hint #34\n"
	"	mov x9, x30\n	.cfi_register x30, x9\n"
	"	mov x30, xzr\n"
	"	add x0, x0, #1\n"
	"	ret x9\n"
	".cfi_endproc\n.size scratch, .-scratch\n"

	// It is kept in a saved register over the call.
	".globl kept\n.type kept, %function\n"
	"kept:\n.cfi_startproc\n"
	"	str x19, [sp, #-16]!\n	.cfi_adjust_cfa_offset 16\n	.cfi_offset x19, -16\n"
	"	mov x19, x30\n	.cfi_register x30, x19\n"
	"	bl replaced\n"
	"	mov x30, x19\n	.cfi_restore x30\n"
	"	ldr x19, [sp], #16\n	.cfi_adjust_cfa_offset -16\n	.cfi_restore x19\n"
	"	ret\n"
	".cfi_endproc\n.size kept, .-kept\n"

	// The stack pointer is aligned; the old one lies on the stack, where an expression finds it: DW_CFA_def_cfa_expression sp+8, deref.
	".globl expression\n.type expression, %function\n"
	"expression:\n.cfi_startproc\n"
	"	mov x9, sp\n	.cfi_def_cfa_register x9\n"
	"	sub x10, x9, #64\n"
	"	and sp, x10, #-64\n"
	"	str x9, [sp, #8]\n	.cfi_escape 0x0f, 3, 0x8f, 8, 0x06\n"
	"	str x30, [x9, #-8]\n	.cfi_offset x30, -8\n"
	"	bl replaced\n"
	"	ldr x9, [sp, #8]\n"
	"	ldr x30, [x9, #-8]\n	.cfi_restore x30\n"
	"	mov sp, x9\n	.cfi_def_cfa sp, 0\n"
	"	ret\n"
	".cfi_endproc\n.size expression, .-expression\n"

	// Another frame register; the frame is not at a fixed place. The return address is stored as the second of a pair, and loaded alone.
	".globl other\n.type other, %function\n"
	"other:\n.cfi_startproc\n"
	"	stp x20, x30, [sp, #-32]!\n	.cfi_def_cfa_offset 32\n	.cfi_offset x20, -32\n	.cfi_offset x30, -24\n"
	"	mov x20, sp\n	.cfi_def_cfa x20, 32\n"
	"	sub sp, sp, x0, lsl #4\n"
	"	bl replaced\n"
	"	mov sp, x20\n	.cfi_def_cfa_register sp\n"
	"	ldr x30, [sp, #8]\n	.cfi_restore x30\n"
	"	ldr x20, [sp], #32\n	.cfi_def_cfa_offset 0\n	.cfi_restore x20\n"
	"	ret\n"
	".cfi_endproc\n.size other, .-other\n"

	// Several exits, with remembered states: a tail call, and a return.
	".globl branches\n.type branches, %function\n"
	"branches:\n.cfi_startproc\n"
	"	stp x29, x30, [sp, #-32]!\n	.cfi_def_cfa_offset 32\n	.cfi_offset x29, -32\n	.cfi_offset x30, -24\n"
	"	str x19, [sp, #16]\n	.cfi_offset x19, -16\n"
	"	mov x19, x0\n"
	"	.cfi_remember_state\n"
	"	tbz x0, #0, 1f\n"
	"	ldr x19, [sp, #16]\n	.cfi_restore x19\n"
	"	ldp x29, x30, [sp], #32\n	.cfi_def_cfa_offset 0\n	.cfi_restore x29\n	.cfi_restore x30\n"
	"	b replaced\n"
	"1:	.cfi_restore_state\n"
	"	bl replaced\n"
	"	add x0, x0, x19\n"
	"	ldr x19, [sp, #16]\n	.cfi_restore x19\n"
	"	ldp x29, x30, [sp], #32\n	.cfi_def_cfa_offset 0\n	.cfi_restore x29\n	.cfi_restore x30\n"
	"	ret\n"
	".cfi_endproc\n.size branches, .-branches\n"

	// A register saved where DW_CFA_expression (x19 at CFA-24) says; the return address by DW_CFA_expression too (CFA-8).
	".globl saved\n.type saved, %function\n"
	"saved:\n.cfi_startproc\n"
	"	sub sp, sp, #32\n	.cfi_def_cfa_offset 32\n"
	"	str x19, [sp, #8]\n	.cfi_escape 0x10, 19, 2, 0x48, 0x1c\n"
	"	str x30, [sp, #24]\n	.cfi_escape 0x10, 30, 2, 0x38, 0x1c\n"
	"	mov x19, x0\n"
	"	bl replaced\n"
	"	ldr x19, [sp, #8]\n	.cfi_restore x19\n"
	"	ldr x30, [sp, #24]\n	.cfi_restore x30\n"
	"	add sp, sp, #32\n	.cfi_def_cfa_offset 0\n"
	"	ret\n"
	".cfi_endproc\n.size saved, .-saved\n"

	// Signs its return address with the B key in its midst, and not on each way through.
	".globl signs\n.type signs, %function\n"
	"signs:\n.cfi_startproc\n	.cfi_b_key_frame\n"
	"	.cfi_remember_state\n"
	"	tbnz x0, #0, 1f\n"
	"	hint #27\n	.cfi_negate_ra_state\n" // pacibsp
	"	stp x29, x30, [sp, #-16]!\n	.cfi_def_cfa_offset 16\n	.cfi_offset x29, -16\n	.cfi_offset x30, -8\n"
	"	bl replaced\n"
	"	ldp x29, x30, [sp], #16\n	.cfi_def_cfa_offset 0\n	.cfi_restore x29\n	.cfi_restore x30\n"
	"	hint #31\n	.cfi_negate_ra_state\n" // autibsp
	"1:	ret\n"
	".cfi_endproc\n.size signs, .-signs\n"

	// As clang's outliner: the return address waits in a scratch register while a piece that several functions share runs. The second function does
	// not tell of it.
	".type OUTLINED, %function\n"
	"OUTLINED:\n.cfi_startproc\n"
	"	add x0, x0, #2\n"
	"	ret\n"
	".cfi_endproc\n.size OUTLINED, .-OUTLINED\n"
	".globl outlined\n.type outlined, %function\n"
	"outlined:\n.cfi_startproc\n"
	"	mov x10, x30\n	.cfi_register x30, x10\n"
	"	bl OUTLINED\n"
	"	mov x30, x10\n	.cfi_restore x30\n"
	"	ret\n"
	".cfi_endproc\n.size outlined, .-outlined\n"
	".globl untold\n.type untold, %function\n"
	"untold:\n.cfi_startproc\n"
	"	mov x10, x30\n"
	"	bl OUTLINED\n"
	"	mov x30, x10\n"
	"	ret\n"
	".cfi_endproc\n.size untold, .-untold\n"

	// A replaced function that calls all those that have its return address somewhere else.
	".globl replaced.calls\n.type replaced.calls, %function\n"
	"replaced.calls:\n.cfi_startproc\n"
	"	hint #25\n	.cfi_negate_ra_state\n" // paciasp
	"	stp x29, x30, [sp, #-16]!\n	.cfi_def_cfa_offset 16\n	.cfi_offset x29, -16\n	.cfi_offset x30, -8\n"
	"	bl scratch\n"
	"	bl outlined\n"
	"	bl untold\n"
	"	bl hidden\n"
	"	bl signs\n"
	"	bl moved\n"
	"	adrp x1, sink\n	add x1, x1, :lo12:sink\n"
	"	mov w0, #1\n"
	"	bl __aarch64_ldadd4_acq_rel\n"
	"	ldp x29, x30, [sp], #16\n	.cfi_def_cfa_offset 0\n	.cfi_restore x29\n	.cfi_restore x30\n"
	"	hint #29\n	.cfi_negate_ra_state\n" // autiasp
	"	ret\n"
	".cfi_endproc\n.size replaced.calls, .-replaced.calls\n"
	"	udf #0\n"

	// An instruction of a replaced function was moved out of it, as the linker does for an erratum of the Cortex-A53.
	".globl replaced.moved\n.type replaced.moved, %function\n"
	"replaced.moved:\n.cfi_startproc\n"
	"	add x0, x0, #4\n"
	"	b veneer.moved\n"
	"2:	add x0, x0, #8\n"
	"	ret\n"
	".cfi_endproc\n.size replaced.moved, .-replaced.moved\n"
	"	udf #0\n"
	".globl veneer.moved\n.type veneer.moved, %function\n"
	"veneer.moved:\n"
	"	add x0, x0, #16\n"
	"	b 2b\n"
	".size veneer.moved, .-veneer.moved\n"
	".globl moved\n.type moved, %function\n"
	"moved:\n.cfi_startproc\n"
	"	b replaced.moved\n"
	".cfi_endproc\n.size moved, .-moved\n"

	// A thunk, which jumps where a register says.
	".globl thunk\n.type thunk, %function\n"
	"thunk:\n.cfi_startproc\n"
	"	br x1\n"
	".cfi_endproc\n.size thunk, .-thunk\n"

	// Ends with a call that does not return, so that its return address is the next function's start.
	".globl last\n.type last, %function\n"
	"last:\n.cfi_startproc\n"
	"	str x30, [sp, #-16]!\n	.cfi_def_cfa_offset 16\n	.cfi_offset x30, -16\n"
	"	bl finish\n"
	".cfi_endproc\n.size last, .-last\n"
	".globl after\n.type after, %function\n"
	"after:\n.cfi_startproc\n"
	"	ret\n"
	".cfi_endproc\n.size after, .-after\n"

	// Without call frame information: nothing is proven through these, but for the stub.
	".section .text.bare, \"ax\", %progbits\n"
	".globl bare\n.type bare, %function\n"
	"bare:\n"
	"	stp x29, x30, [sp, #-16]!\n"
	"	mov x29, sp\n"
	"	bl replaced\n"
	"	ldp x29, x30, [sp], #16\n"
	"	ret\n"
	".size bare, .-bare\n"
	// The return address is in a saved register, and x30 is the address of a call that leads here.
	".globl hidden\n.type hidden, %function\n"
	"hidden:\n"
	"	str x19, [sp, #-16]!\n"
	"	mov x19, x30\n"
	"	adr x30, 3f\n"
	"	add x0, x0, #1\n"
	"	mov x30, x19\n"
	"	ldr x19, [sp], #16\n"
	"	ret\n"
	"	bl hidden\n"
	"3:	nop\n"
	".size hidden, .-hidden\n"
	".globl shared\n.type shared, %function\n" // falls into the next one
	"shared:\n"
	"	add x0, x0, #1\n"
	".size shared, .-shared\n"
	".globl stub\n.type stub, %function\n"
	"stub:\n"
	"	adrp x16, replaced\n"
	"	add x16, x16, :lo12:replaced\n"
	"	br x16\n"
	".size stub, .-stub\n"
	".text\n"
	".globl called\n.type called, %function\n"
	"called:\n.cfi_startproc\n"
	"	stp x29, x30, [sp, #-16]!\n	.cfi_def_cfa_offset 16\n	.cfi_offset x29, -16\n	.cfi_offset x30, -8\n"
	"	bl stub\n"
	"	bl shared\n"
	"	bl hidden\n"
	"	bl bare\n"
	"	ldp x29, x30, [sp], #16\n	.cfi_def_cfa_offset 0\n	.cfi_restore x29\n	.cfi_restore x30\n"
	"	ret\n"
	".cfi_endproc\n.size called, .-called\n"
);

static long total;

void finish(long x)
{
	printf("hand %ld\n", total + replaced(x) + count);
	exit(0);
}

int main(void)
{
	total = scratch(1) + kept(2) + expression(3) + other(4) + branches(5) + branches(6) + saved(7);
	total += signs(8) + signs(9) + outlined(10) + moved(11) + thunk(12, pointer) + called(13) % 1000 + calls(15) % 1000;
	last(14);
}

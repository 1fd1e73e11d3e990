# Two functions, and an alias of one of them that has no size, as hand-written code often leaves it: of one with -DV=1, else of two.
	.text
	.globl one, two, alias
	.type one, @function
	.type two, @function
	.type alias, @function
#ifdef __aarch64__
one:	add w0, w0, #1
	ret
	.size one, .-one
two:	add w0, w0, w0
	ret
#else
one:	lea 1(%rdi), %eax
	ret
	.size one, .-one
two:	lea (%rdi,%rdi), %eax
	ret
#endif
	.size two, .-two
#if V == 1
	.set alias, one
#else
	.set alias, two
#endif
	.size alias, 0
	.section .note.GNU-stack, "", @progbits

# Two functions, and an alias of one of them that has no size, as hand-written code often leaves it: of one with -DV=1, else of two.
	.text
	.globl one, two, alias
	.type one, @function
	.type two, @function
	.type alias, @function
one:	lea 1(%rdi), %eax
	ret
	.size one, .-one
two:	lea (%rdi,%rdi), %eax
	ret
	.size two, .-two
#if V == 1
	.set alias, one
#else
	.set alias, two
#endif
	.size alias, 0
	.section .note.GNU-stack, "", @progbits

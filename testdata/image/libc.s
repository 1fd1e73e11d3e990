// Forms of arm64 that no compiler makes, but glibc's hand-written code, its system calls and what linkers make of thread-local accesses. See
// libc_test.go.
	.text
	.macro function name
	.balign 4
	.global \name
	.type \name, %function
\name:
	.endm
	.macro done name
	.size \name, . - \name
	.endm

	function own			// __memcpy_thunderx2: each entry is an offset from itself, and the first is none
	and x1, x0, #3
	cbz x1, 1f
	adrp x2, 9f
	add x2, x2, :lo12:9f
	add x2, x2, x1, lsl #2
	ldr w3, [x2]
	add x2, x2, w3, sxtw
	br x2
1:	ret
2:	mov w0, #2
	ret
3:	mov w0, #3
	ret
4:	mov w0, #4
	ret
	.section .rodata
	.balign 4
9:	.word 0, 2b - ., 3b - ., 4b - .
	.word 0x7fffffff
	.text
	done own

	function moved			// the entry is added to the address of another element
	and x1, x0, #3
	adrp x2, 9f
	add x2, x2, :lo12:9f
	add x4, x2, x1, lsl #2
	ldr w3, [x4]
	add x4, x2, x0, lsl #2
	add x4, x4, w3, sxtw
	br x4
2:	ret
	.section .rodata
	.balign 4
9:	.word 2b - ., 2b - ., 2b - ., 2b - .
	.text
	done moved

	function again			// the same by a loop, in which the address is made between the load and the sum
	and x1, x0, #3
	adrp x2, 9f
	add x2, x2, :lo12:9f
1:	add x4, x2, x1, lsl #2
	cbnz w3, 2f
	ldr w3, [x4]
	add x1, x1, #1
	b 1b
2:	add x4, x4, w3, sxtw
	br x4
3:	ret
	.section .rodata
	.balign 4
9:	.word 3b - ., 3b - ., 3b - ., 3b - .
	.text
	done again

	function jumps			// __longjmp
	ldp x19, x20, [x0]
	ldp x21, x22, [x0, #16]
	ldp x23, x24, [x0, #32]
	ldp x25, x26, [x0, #48]
	ldp x27, x28, [x0, #64]
	ldp x29, x30, [x0, #80]
	ldr x5, [x0, #96]
	mov sp, x5
	br x30
	done jumps

	function sets			// all but one of the registers: it may be a piece of other functions
	ldp x19, x20, [x0]
	ldp x21, x22, [x0, #16]
	ldp x23, x24, [x0, #32]
	ldp x25, x26, [x0, #48]
	ldp x27, x28, [x0, #64]
	ldr x5, [x0, #96]
	mov sp, x5
	ret
	done sets

	.macro caller name callee
	function \name
	stp x29, x30, [sp, #-32]!
	str x25, [sp, #16]
	adrp x25, object
	bl \callee
	ldr w0, [x25, :lo12:object]
	ldr x25, [sp, #16]
	ldp x29, x30, [sp], #32
	ret
	done \name
	.endm
	caller callsjumps jumps
	caller callssets sets

	function kernel			// what remains of a page is no argument
	adrp x4, object
	ldr w1, [x4, :lo12:object]
	mov x8, #135
	svc #0
	ldr w0, [x4, :lo12:object]
	ret
	done kernel

	function asks			// it may be one
	adrp x0, object
	mov x8, #135
	svc #0
	ret
	done asks

	function wakes			// __lll_lock_wake_private
	mov x8, #98
	svc #0
	ret
	done wakes

	function callswakes		// what remains of a page is no argument of the system call in another function either
	stp x29, x30, [sp, #-16]!
	adrp x4, object
	ldr w0, [x4, :lo12:object]
	bl wakes
	ldp x29, x30, [sp], #16
	ret
	done callswakes

	function hands			// it may be one
	stp x29, x30, [sp, #-16]!
	adrp x0, object
	bl wakes
	ldp x29, x30, [sp], #16
	ret
	done hands

	function spilled		// the offset of a thread-local variable, and the thread pointer, over a call that writes to the stack frame
	stp x29, x30, [sp, #-64]!
	mov x29, sp
	movz x0, #0, lsl #16
	movk x0, #0x10
	mrs x1, tpidr_el0
	stp x0, x1, [sp, #16]
	add x0, sp, #16
	bl callsjumps
	ldp x0, x1, [sp, #16]
	ldr w0, [x1, x0]
	ldp x29, x30, [sp], #64
	ret
	done spilled

	function number			// a number that a compiler makes, or another offset
	mrs x1, tpidr_el0
	mov x2, #0x10
	movk x2, #1, lsl #16
	cbz x3, 1f
	mov x2, x3
	mov x1, x4
1:	ldr w0, [x1, x2]
	ret
	done number

	function either
	mrs x1, tpidr_el0
	movz x2, #0, lsl #16
	movk x2, #0x10
	cbz x3, 1f
	mov x2, x3
	mov x1, x4
1:	ldr w0, [x1, x2]
	ret
	done either

	.data
	.balign 8
	.global object
	.type object, %object
	.size object, 8
object:	.xword 0

	.section .tdata, "awT", %progbits
	.balign 8
	.global variable
	.type variable, %object
	.size variable, 8
variable: .xword 0

// Functions of arm64 that keep the address of an object in their stack frame over calls; see exposed_test.go.
	.text
	.macro function name
	.globl \name
	.balign 4
	.type \name, %function
\name:
	stp x29, x30, [sp, #-32]!
	adrp x0, object
	add x0, x0, :lo12:object
	str x0, [sp, #16]
1:	bl callee
	cbz w0, 2f
2:
	.endm
	.macro done name
	cbnz w1, 1b
	ldp x29, x30, [sp], #32
	ret
	.size \name, . - \name
	.endm

	function kept			// nobody else knows where
	ldr x2, [sp, #16]
	ldr w1, [x2, #8]
	done kept

	function beside			// what is known to others lies behind it
	ldr x2, [sp, #16]
	ldr w1, [x2, #8]
	add x0, sp, #24
	done beside

	function shown			// the next call may write there
	ldr x2, [sp, #16]
	ldr w1, [x2, #8]
	add x0, sp, #16
	done shown

	function below			// so it may if it is told what lies in front
	ldr x2, [sp, #16]
	ldr w1, [x2, #8]
	mov x0, sp
	done below

	.globl callee
	.type callee, %function
callee:
	ret
	.size callee, . - callee

	.data
	.balign 16
	.globl object, neighbour
	.type object, %object
object:	.xword 1
	.size object, 8
	.type neighbour, %object
neighbour:
	.xword 2
	.size neighbour, 8

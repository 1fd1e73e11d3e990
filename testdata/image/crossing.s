// Functions of arm64 that hand the address of a page to others in registers, as clang's -moutline and pieces of functions do; see crossing_test.go.
	.text
	.macro function name
	.balign 4
	.type \name, %function
\name:
	.endm
	.macro done name
	.size \name, . - \name
	.endm

	function jumps			// a tail call gets the page
	adrp x9, object
	b taker9
	done jumps
	function taker9
	ldr w0, [x9, :lo12:object]
	ret
	done taker9

	function branches		// so does a piece that a branch leads to
	adrp x1, object
	cbz w0, piece1
	ret
	done branches
	function piece1
	ldr w0, [x1, :lo12:object]
	ret
	done piece1

	function calls			// and a function that is called
	str x30, [sp, #-16]!
	adrp x8, object
	bl between8
	ldr x30, [sp], #16
	ret
	done calls
	function between8		// which hands it on
	str x30, [sp, #-16]!
	bl taker8
	ldr x30, [sp], #16
	ret
	done between8
	function taker8
	ldr w0, [x8, :lo12:object]
	ret
	done taker8

	function saves			// in a register that calls preserve
	stp x19, x30, [sp, #-32]!
	adrp x19, object
	bl taker19
	ldp x19, x30, [sp], #32
	ret
	done saves
	function taker19
	ldr w0, [x19, :lo12:object]
	ret
	done taker19

	function leaves			// the caller uses what is left in a register
	adrp x8, object
	ret
	done leaves
	function finds
	str x30, [sp, #-16]!
	bl leaves
	ldr w0, [x8, :lo12:object]
	ldr x30, [sp], #16
	ret
	done finds

	function sets			// the same, instead of what the caller had there
	adrp x19, other
	ret
	done sets
	function loses
	stp x19, x30, [sp, #-32]!
	adrp x19, object
	bl sets
	ldr w0, [x19, :lo12:other]
	ldp x19, x30, [sp], #32
	ret
	done loses

	function own			// its own business: nobody reads what it leaves
	stp x19, x30, [sp, #-32]!
	adrp x8, object
	adrp x19, object
	ldr w0, [x8, :lo12:object]
	bl writer
	ldr w0, [x19, :lo12:object]
	ldp x19, x30, [sp], #32
	ret
	done own
	function writer			// saves, makes anew or only stores what it is given
	stp x19, x30, [sp, #-64]!
	str x0, [sp, #16]
	mov x19, #1
	adrp x8, object
	str w19, [x8, :lo12:object]
	ldp x19, x30, [sp], #64
	ret
	done writer

	.bss
	.balign 4096
	.type object, %object
	.size object, 4
object:	.zero 4
	.balign 4096
	.type other, %object
	.size other, 4
other:	.zero 4

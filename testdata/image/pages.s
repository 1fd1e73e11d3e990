// Functions of arm64 that call one that does not return, as only their compiler knew (panic): what stands behind the call is no
// continuation of it. See pageuse_test.go.
	.text
	.macro function name
	.balign 4
	.type \name, %function
\name:
	stp x29, x30, [sp, #-48]!
	stp x19, x20, [sp, #16]
	.endm
	.macro done name
	.size \name, . - \name
	.endm
	.macro finish
	ldp x19, x20, [sp, #16]
	ldp x29, x30, [sp], #48
	ret
	.endm

	function unset			// x19 has the page, or on the seeming way what the caller had in it
	cbz w0, 1f
	bl panic
2:	ldr w0, [x19, :lo12:object]
	finish
1:	adrp x19, object
	tbz w1, #0, 2b
	finish
	done unset

	function given			// the same with a value that is used
	mov x19, x1
	cbz w0, 1f
	bl panic
2:	ldr w0, [x19, :lo12:object]
	finish
1:	adrp x19, object
	tbz w1, #0, 2b
	finish
	done given

	function unsaved		// x21 is saved where it is needed only, and restored behind that
	cbz w0, 1f
	str x21, [sp, #32]
	adrp x21, object
	ldr w0, [x21, :lo12:object]
	cbz w0, 2f
	ldr x21, [sp, #32]
1:	finish
2:	bl panic
	b 1b
	done unsaved

	function straight		// from the page to the loop, without a way aside
	adrp x19, object
	nop
	b 1f
2:	mov x19, x0
	bl panic
1:	ldr w0, [x19, :lo12:object]
	cbnz w0, 1b
	tbnz w1, #0, 2b
	finish
	done straight

	function aside			// with one
	adrp x19, object
	cbz w1, 1f
	mov x19, x0
	bl panic
1:	ldr w0, [x19, :lo12:object]
	finish
	done aside

	function called			// with a call on the way, which may not return
	adrp x19, object
	bl panic
	b 1f
2:	mov x19, x0
	bl panic
1:	ldr w0, [x19, :lo12:object]
	tbnz w1, #0, 2b
	finish
	done called

	function two			// of two pages
	adrp x19, object
	b 1f
2:	adrp x19, other
	tbz w1, #1, 1f
	mov x19, x0
	bl panic
1:	ldr w0, [x19, :lo12:object]
	tbnz w1, #0, 2b
	finish
	done two

	function changed		// the page is no longer in the register
	adrp x19, object
	add x19, x19, x0
	b 1f
2:	adrp x19, object
	tbz w1, #1, 1f
	mov x19, x0
	bl panic
1:	ldr w0, [x19, :lo12:object]
	tbnz w1, #0, 2b
	finish
	done changed

	.bss
	.balign 4
	.type object, %object
	.size object, 4
object:	.skip 4
	.skip 8192
	.type other, %object
	.size other, 4
other:	.skip 4

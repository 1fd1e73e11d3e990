// D6, D8: data changes that nothing refers to in a way that can be seen: it has no name, and code finds it by a distance that it computes. The user is
// told; silence would say that nothing changed.
// Changed: answer
// Verdict: ack data:.rodata+0x0
// Before: old
// After: new
// Reverted: old
#include "pair.h"

__asm__(".section .rodata.hidden, \"a\"\n"
	".ascii \"" 
#if V == 1
	"the old text"
#else
	"the new text"
#endif
	"\"\n.previous");

void answer(void) { puts(V == 1 ? "old" : "new"); }

package inject

import (
	"bytes"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind"
)

// maxStacks is how many stacks one thread can be given: its own, what lies above its thread pointer, and
// where SP is.
const maxStacks = 3

// stacksOf appends the stacks of a stopped thread with the stack pointer sp and the thread pointer tp (0: it
// has none). first says that it is the process's main thread.
//
// All that is known are mappings, and the kernel joins neighbouring anonymous ones: one mapping may hold
// a thread's stack, and below or above it what the program mapped for other purposes, a fiber's stack for
// instance. What can be live is scanned; where it is not known what a part is, all of it is.
//
//   - The main thread's own stack is [stack]. It grows downwards and is never joined with another mapping, so its end is
//     the end of the stack. The thread pointer is elsewhere and says nothing.
//   - Any other thread's own stack is in the mapping of the thread pointer. glibc (allocatestack.c) and musl
//     (pthread_create.c) put the thread's descriptor and its TLS at the end of the memory that they map for a
//     stack, so that all frames lie below tp. With sp below tp in one mapping, the stack reaches
//     from sp to tp; what lies above tp is not the thread's. If sp is on a fiber's stack that was joined from below, sp to tp
//     covers the rest of that and all of the thread's own.
//   - sp at or above tp, in its mapping: either the layout is another (clone(2) with TLS below the stack), or sp is on a
//     fiber's or alternate stack that was joined from above. Both sides are scanned whole: the own stack up to the word
//     below tp, and another from there to the mapping's end.
//   - sp in another mapping than tp: an alternate or a fiber's stack; or a stack that the program gave, too small for musl
//     to put TLS in it. That mapping is scanned whole, and so are both sides of tp.
//   - No thread pointer, or one outside of writable memory: the mapping of sp is scanned whole, and no walk proves
//     that it ends where the thread began.
//   - sp outside of writable memory: the check finds sp on no stack, which is a doubt.
//   - A process that was forked by a thread has that thread as its main thread, but not on [stack], where dead frames of
//     its parent lie. They are scanned whole: a doubt that can last.
//
// What no mapping shows: a fiber whose stack is a part of the thread's own one, above frames that wait for it (an array in
// main's frame), or is joined to TLS that lies alone (musl, a stack given by the program); then the frames below sp, or on the stack that was
// given, are not seen.
func (t *spanTable) stacksOf(out []unwind.Stack, sp, tp arch.Addr, first bool) []unwind.Stack {
	in := t.find(sp)
	if first {
		if t.main >= 0 {
			out = append(out, unwind.Stack{Low: t.spans[t.main].start, High: t.spans[t.main].end, Own: true})
		}
		return t.other(out, in, t.main)
	}
	own := -1
	if tp != 0 {
		own = t.find(tp)
	}
	if own < 0 {
		return t.other(out, in, -1)
	}
	m := &t.spans[own]
	if in == own && sp < tp {
		return append(out, unwind.Stack{Low: m.start, High: min(alignUp(tp), m.end), Own: true})
	}
	// The end of a stack counts as part of it, so that sp == tp would be on the own one.
	split := max((tp-1)&^(wordSize-1), m.start)
	out = append(out, unwind.Stack{Low: m.start, High: split, Own: true}, unwind.Stack{Low: split, High: m.end})
	return t.other(out, in, own)
}

// other appends mapping in, if there is one and it is not the one that is listed already.
func (t *spanTable) other(out []unwind.Stack, in, listed int) []unwind.Stack {
	if in < 0 || in == listed {
		return out
	}
	return append(out, unwind.Stack{Low: t.spans[in].start, High: t.spans[in].end})
}

// wordSize is the size of a word of a stack on every supported architecture, in bytes.
const wordSize = 8

func alignUp(a arch.Addr) arch.Addr { return (a + wordSize - 1) &^ (wordSize - 1) }

// contextCalls are the C library's functions that change from one stack to another (makecontext(3)).
var contextCalls = [][]byte{[]byte("\x00swapcontext\x00"), []byte("\x00setcontext\x00")}

// contextNotes names the modules that switch contexts. A context that no thread is on is seen by no check: nothing says
// where its frames are. That does no harm to the process, as old bodies stay where they are but for the bytes of the jump, into
// which nobody returns; but such a context goes on in the old version of a function until that returns. Programs that change
// stacks by code of their own (boost.context, libco) are not known by their symbols.
func (s *snapshot) contextNotes() []string {
	var names []string
	for _, m := range s.loader.order {
		d := m.dyn
		if d == nil || d.soname == "libc.so.6" || d.r == nil {
			continue
		}
		if slices.ContainsFunc(contextCalls, func(c []byte) bool { return bytes.Contains(d.r.strtab, c) }) {
			names = append(names, m.name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{strings.Join(names, ", ") + " can switch contexts (swapcontext): one that no thread is on now was not looked at; in a function that changes it would go on in the version it began with"}
}

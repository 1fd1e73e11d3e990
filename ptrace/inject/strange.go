package inject

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind"
)

// A thread whose stack pointer is not on its own stack is on one that the program made by itself: a fiber's, a context's of
// makecontext(3), a coroutine's. The thread is looked at as any other. But a program that changes stacks has others, perhaps, on which no thread is
// at the moment, and what is active there nobody sees. So this is refused, unless the user says that it does no harm.
//
// Two stacks that are not the thread's own are known to be innocent: an alternate one for signals (sigaltstack(2)), from which a walk comes
// back to the thread's own by a signal frame; and the stack of a thread that forked, on which the child goes on. A stack that lies in one mapping
// with the thread's own one, below it and without a guard page between, is taken for it (see stacksOf).

// ackStacks is the ID by which a user says that contexts on which no thread is do no harm.
const ackStacks = "unknown-stacks"

// strangeThread is a thread on a stack that is not known.
type strangeThread struct {
	tid int
	sp  arch.Addr
}

// strangeStack notes the thread that has just been found idle, if it is on a stack that is not known. Preconditions: a.thread is the thread.
func (a *activeness) strangeStack() {
	sp := arch.Addr(a.thread.Regs.Val[a.space.Arch.DWARF.SP])
	if a.onOwn(sp) || len(a.strange) == cap(a.strange) || a.innocent() {
		return
	}
	a.strange = append(a.strange, strangeThread{a.thread.TID, sp})
}

// onOwn reports whether an address is on the thread's own stack.
func (a *activeness) onOwn(sp arch.Addr) bool {
	return slices.ContainsFunc(a.thread.Stacks, func(s unwind.Stack) bool { return s.Own && sp >= s.Low && sp <= s.High })
}

// innocent reports whether the thread is on an alternate signal stack, or is one that was forked on another thread's stack.
func (a *activeness) innocent() bool {
	known, signal, before := false, false, unwind.Frame{Module: -1}
	err := a.space.Walk(&a.thread.Regs, &a.ahead, func(f *unwind.Frame) bool {
		if a.onOwn(arch.Addr(f.Regs.Val[a.space.Arch.DWARF.SP])) {
			known = signal
			return false
		}
		if f.Last { // a context begins with one function of the C library, a thread with two
			known = before.Module >= 0 && !before.Last && before.Return && a.starts(&before)
		}
		signal, before = f.Signal, *f
		return true
	})
	return known && err == nil
}

// refuseStrange makes the refusal for threads on stacks that are not known.
func (a *activeness) refuseStrange(pid int) error {
	s := a.strange[0]
	return refuse(fmt.Sprintf("thread %d (%s)", s.tid, threadName(pid, s.tid)), fmt.Sprintf("stack pointer %#x", uint64(s.sp)),
		"--ack "+ackStacks+" if no such context can be in a function that changes",
		"it is on a stack that is not its own: the program changes stacks by itself (fibers, makecontext), and what is active on those that no thread is on now cannot be seen")
}

// checkStrange refuses threads on unknown stacks, unless the user has given the word.
func (t *transaction) checkStrange() error {
	switch {
	case len(t.active.strange) == 0:
		return nil
	case slices.Contains(t.opt.Acks, ackStacks):
		return t.plan.unsound // a context that no thread is on may be anywhere
	}
	return t.active.refuseStrange(t.p.PID)
}

// strangeNotes says what was not looked at.
func (t *transaction) strangeNotes() []string {
	if len(t.active.strange) == 0 {
		if slices.Contains(t.opt.Acks, ackStacks) {
			return []string{"nothing asked for --ack " + ackStacks}
		}
		return nil
	}
	return []string{fmt.Sprintf("thread %d is on a stack of the program's own making: contexts that no thread is on were not looked at; in a function that changes they go on in the version that they began with", t.active.strange[0].tid)}
}

// strangeRoom bounds how many such threads are remembered; one is enough for a refusal.
const strangeRoom = 16

// Package ptrace stops, reads and changes a running process. It is the only
// package that makes raw system calls on a target, and it is Linux only.
//
// # The protocol
//
// A [Process] is opened without touching the target: [Open] checks what it is and
// holds on to its identity (a pidfd and the start time in /proc/PID/stat), so that a
// reused PID is never taken for it.
//
// ptrace(2) belongs to a thread of the tracer, not to a process. The first method
// that needs it starts the tracer: one goroutine, locked to one OS thread that has no
// children of its own, which alone makes ptrace and wait calls and alone owns the
// table of tracees. Everything else sends it closures and waits for them
// ([Process.do]). Between closures the tracer serves events: whatever a tracee
// reports is answered at once with what would have happened without us.
//
//   - [Process.Seize] makes every thread a tracee with PTRACE_SEIZE, which stops none,
//     in passes over /proc/PID/task until a pass finds nothing new. The options
//     TRACECLONE, TRACEFORK, TRACEVFORK and TRACEEXEC make new threads tracees from birth
//     and tell of new processes, which are let go untouched before their first instruction.
//   - [Process.Stop] interrupts all, waits until all have stopped, proves by the
//     link count of /proc/PID/task that there is no other thread, runs a function on
//     the tracer's thread, and resumes all.
//   - [Process.Borrow] stops one thread, makes system calls in it, and puts it back; see below.
//   - [Process.Close] ends the tracer's OS thread. The kernel then detaches all
//     tracees, without stopping those that run (exit_ptrace in kernel/ptrace.c).
//
// # Stops
//
// Stops are looked at with waitid(WNOWAIT) and never consumed: a consumed
// signal-delivery-stop forgets its signal if the tracer dies before it resumes the tracee
// (wait_task_stopped in kernel/exit.c clears exit_code). Only the death of a thread is reaped, and at
// once, because execve and the death of a process wait for that; and the stop of execve itself.
//
// A tracee that reports a stop is resumed according to it (ptrace(2), "Stopped states"):
//
//	signal-delivery-stop    with that signal, so none is lost and none invented
//	group-stop              PTRACE_LISTEN: a process stopped by SIGSTOP stays stopped
//	clone, fork, vfork      the parent at once; a new process is detached
//	exec                    at once; every later call gives ErrExec
//
// PTRACE_EVENT_EXIT is not asked for: it would hold dying threads.
//
// # Borrowing
//
// A borrowed thread makes its calls from a stub: a syscall instruction, loads of all general registers from words
// that stand behind the code, and a jump to where the thread was ([hotpatch/arch/x86.Borrow]). The stub lies in the
// unused tail of the last page of an executable segment: the dynamic linker's, the program's, any other module's, the vDSO's. It
// is read-only to the target, never changes the stack pointer, the flags, vector state or memory, and its saved words are
// what the kernel would have made of the thread's registers: an interrupted call begins again, or goes on by
// restart_syscall. So if the tracer dies, at any instant, the thread ends the call that it is in, loads its
// registers and goes on. While the tracer lives it restores the registers itself, and the kernel restarts the
// call. The order is:
//
//	stop the thread; write the stub; for each call: pc to the stub, run to the call's exit;
//	put the registers back; park the thread, so that the kernel looks at them; put the tail's bytes back; resume
//
// Signals are not blocked. A mask set by PTRACE_SETSIGMASK would outlive the tracer, and every way to end it in the stub,
// except rt_sigreturn, delivers the signals in the stub all the same; rt_sigreturn cancels restart blocks. While the tracer
// lives, a signal finds the thread's own registers. If it dies, a handler may interrupt the stub: the
// thread's stack is in order and the stub goes on when the handler returns, but the handler's context shows the stub.
//
// A tracer that dies leaves its stub in the tail. Others take another place, and this one only if there is no other and
// the thread that the stub names has left it: its pc is elsewhere, and its stack holds no address in the
// stub. A thread whose call does not end in time keeps its stub in the same way. What the dead tracer's calls had made until then, a
// descriptor or a mapping, stays; that there may be such is told ([Remote.Abandoned]).
//
// The one call that needs memory for an argument, memfd_create, finds its name in the stub: a page mapped for it would be another thing
// to leave behind.
//
// A tail is used only if it is filled with one value, zero or padding. Without one the borrowing is refused
// ([ErrNoRoom]).
//
// On arm64 the stub's way back is a branch of at most 128 MiB, because no register is free for another: thread and place are chosen together,
// so a thread in the C library is borrowed from that library's tail or a neighbour's. PSTATE.BTYPE is cleared where pc is led to the stub and
// comes back with the saved registers. A thread that uses SVE or SME and is in no call is not borrowed: a call would clear these registers,
// which are never written here.
//
// # Code and the instruction cache
//
// Code of the target is written by /proc/PID/task/TID/mem and by PTRACE_POKEDATA only. Both (mem_rw in fs/proc/base.c, ptrace_access_vm
// in kernel/ptrace.c) end in __access_remote_vm (mm/memory.c), which writes by copy_to_user_page. On arm64 that is followed by
// flush_ptrace_access and sync_icache_aliases (arch/arm64/mm/flush.c) if the mapping is executable: the data cache is cleaned and the
// instruction cache invalidated for the bytes written (caches_clean_inval_pou in arch/arm64/mm/cache.S; the whole of an instruction cache
// that may hold aliases, icache_inval_all_pou), for every processor. Other ways do not do so, and an emulator does not show it:
// process_vm_writev(2) copies to the page and marks it dirty (process_vm_rw_pages in mm/process_vm_access.c), as does whatever a call of the
// target's own writes for it (read(2)), and a shared mapping. A test of internal/house holds that none of these is used.
//
// So memory for code has to be executable before it is written: the mapping is asked for VM_EXEC at that moment. The processors need not be
// told to fetch anew (ISB), as the kernel notes in sync_icache_aliases for user mappings: a thread meets new bytes only after it has come
// back from the kernel, out of its stop, and an exception return synchronizes (Arm ARM, B2.2.5 and its glossary, "context synchronization
// event").
//
// # Rounds
//
// A function that is busy in some thread or other at any time is never found idle by stopping everything at once. [Stopped.RunOn] lets single
// threads run on within a stop while the others stand still, and stops each as it returns to a place that is known from its stack ([Goal]). That
// is seen by a breakpoint of perf_event_open(2), which changes no byte, tells the stack pointer, and disappears with this process, as
// the stops of the others do; ptrace's own breakpoints and single steps would outlive it and kill the target. [Watch] does the same
// while everything runs. On arm64 there are no such breakpoints (perfEvents), so a round lasts as long as its caller says. A thread that
// stands still may own a lock for which a running one waits, so a round has an end.
//
// # Seccomp
//
// A thread without a filter is borrowed if there is one. Otherwise the filters of the others are read
// (PTRACE_SECCOMP_GET_FILTER) and run here on each call before it is made, with its number, arguments and the address of its
// instruction (bpf.go): a thread whose filters allow the calls is borrowed with all guarantees, and a call that they do not
// allow is not made (FilterError). At last, with the user's word, they are suspended for the borrowed thread
// (PTRACE_O_SUSPEND_SECCOMP). That ends with the tracer, so it is the one exception to what was said of its death.
//
// A filter that another thread puts in force for all (SECCOMP_FILTER_FLAG_TSYNC) between the question and the call is
// not seen.
//
// # System calls that a stop interrupts
//
// Most are restarted by the kernel. Those that return a plain EINTR on any stop (signal(7),
// "Interruption of system calls and library functions by stop signals") are made to restart by turning
// the result into -ERESTARTNOHAND; see eintr.go. On arm64 an argument is in no register by then; it is read from where the kernel keeps
// it, and the call made again, if the thread was seen at that place before the stop and no handler has begun since
// (eintr_arm64.go). A call without that proof, because it began just before the stop, returns EINTR and is named (Process.Interrupted).
//
// On arm64 the kernel decides at the stop what becomes of a call if a signal with a handler comes next, and forgets it when the thread is
// borrowed. A signal that comes after the thread has begun its first borrowed call, and before it is back in its own call, is therefore
// delivered as if it had come just before that: a call that every handler ends (endsByHandler) gives EINTR; any other begins behind the handler,
// also if the handler has no SA_RESTART. A program that relies on such a handler to end a read, accept or wait, and does not cope
// with a signal in front of it, waits on. A thread that is about to make a call again is let go only after a look for signals that wait
// for it; one that comes between that look and its release, which are microseconds, has the call begin again behind the handler.
// On x86-64 the kernel decides by the registers, which are put back.
//
// Three things remain, and are the price of ptrace:
//
//   - If the tracer dies after it has interrupted such a call and before it has repaired it, the program sees the EINTR.
//     These calls are therefore stopped one by one and repaired at once, which leaves some microseconds for each.
//   - While a thread is traced, the kernel queues signals to it that are ignored, and one of these can wake a
//     call of that list in one thread, be taken by another, and leave the first with an EINTR that no stop shows. Seize
//     late and detach soon.
//   - A timeout that lies in memory or in a socket option starts afresh at each
//     stop. One in a register (epoll_wait) is shortened by what was waited, as far as that
//     is known: the part before the first stop is, if the thread was woken on the CPU on
//     which it went to sleep (timer.go). What starts afresh is named (Process.Afresh).
//
// # Other processes
//
// A stop is refused ([ErrShared]) while a process that is no thread of the target has its memory (kcmp(2)): a
// vfork child until it executes a program, or one made by clone(2) with CLONE_VM. All processes are asked
// after all threads have been seized; later ones are told by fork events and waited for.
//
// # Time
//
// Every wait has an end. Inside a stop the garbage collector is off, the library
// allocates nothing, system calls bypass the Go scheduler, and the tracer's own thread runs with
// SCHED_FIFO and SCHED_RESET_ON_FORK if permitted, because otherwise each resumed
// thread competes with it for the CPU that the rest wait for.
package ptrace

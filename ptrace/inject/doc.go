// Package inject carries patches into a running process, and takes them out again.
//
// # The transaction
//
//	Apply           apply.go        open the process; plan; carry out; plan anew if it changed meanwhile
//	Revert          revert.go       what goes, in any order; Replace (replace.go): what goes and what comes;
//	                                whether what stays is independent of what goes (independent.go)
//	  takeSnapshot  snapshot.go     mappings, modules (modules.go), the dynamic linker's list (loader.go), journals (journal.go)
//	  views         view.go         for each module the patches in it, judged by the bytes in its text, and how they lead on (path.go)
//	  planApply     plan.go         which patch goes to which module; bodies and jumps (planbody.go), constants
//	                                (planconst.go), moved variables (planmove.go), the payload's place (place.go) and its symbols (resolve.go, dynamic.go)
//	  planTransit   transit.go      revert; finish or undo what a dead hotpatch left in part
//	  planSettle    settle.go       settle what one left in the middle, before anything else is planned
//	  bounds        whenidle.go     what the user adds to the check, and what may stay active (allow.go)
//	  conclude      intent.go       the gates (gate.go), and the journal with the transaction's intent
//	  run           transaction.go  the only code that changes the process
//	    prepare     stage.go        one borrowed thread (borrow.go) maps journal and payloads; both are written; pages are touched
//	    attempts    attempts.go     stop, check, commit, resume; again while a function is busy: watching, and rounds (wait.go)
//	      check     check.go        mappings, loader state, old bytes, activeness (active.go)
//	      commit    commit.go       the changes in their order, and the way back if one fails
//	    verify      commit.go       reads back
//	  describe      busy.go         who is in the way, for how long, and which calls are not going to end; strange.go: unknown stacks
//	  proven        proof.go        how each thread was shown to be idle, and what else the stop has shown
//	Inspect, Patched  list.go       the views of one process, or of all
//	Matching        matching.go     which processes a patch is for
//
// A plan is data and has no effect. Everything that does has its undo beside it: prepare and
// unstage, commit and rollback. Before the first text byte changes the undo is to unmap; afterwards the
// journal says what is to be done.
//
// # Judged by bytes
//
// The journal lies in the target and says what was meant. What is in force is read from the text: an entry
// is in force if all of its writes are. So it does not matter at which instruction a hotpatch died, and a child that was forked
// in the middle, a module that was unloaded, or bytes that somebody else wrote are seen as what they are.
//
// The state of an entry goes staged, committing, applied, reverting, reverted. It is written before and
// behind the text writes of a commit.
//
// A transaction that was interrupted between these is read from its intent: what stands in the text is seen as what it means, which is fully
// old or fully new, and the next command settles it. Whatever plans (the choosers in apply.go) adds to plan.writes, plan.targets and
// plan.marks, and sees neither gates nor pending transactions; conclude makes the intent of what was planned.
//
// # Code that is written
//
// Payloads, gates and jumps are written by [ptrace.Process.WriteMem] and in the stop by its like, after which the kernel makes them visible to
// instruction fetches: package ptrace says by which path. That asks the mapping whether it is executable, so memory for code is mapped readable and
// executable from the start (mapPayload) and written from outside; it is never writable, and its protection never changes. While threads run, code is only
// written where none can be yet: a payload or a gate, to which the stop's jumps lead first. The word that a gate looks at is data.
//
// # Landing pads
//
// On a processor that checks indirect branches (arm64: FEAT_BTI), the kernel does so in mappings with PROT_BTI: the dynamic linker, or the
// kernel for a static program, asks for it where an image says that all its code has landing pads. A payload is mapped without. Jumps and gates do
// not need it: the jump stands behind the landing pad, which stays ([hotpatch/trampoline.PlanSite]), and it and the gate's are direct. It is left out
// because what a patch carries has landing pads only as far as the function's own compiler saw indirect branches to it, which the
// image's promise covers and a patch of single functions, added ones and stubs among them, does not state. What that means: a program whose text is guarded goes on
// being guarded, but an indirect branch that somebody has got hold of may lead to any instruction of a payload. Signed return addresses are checked there as anywhere.
// A function whose old entry has no landing pad, but whose new body has one, is refused by the diff where the old build is guarded: what was only called directly is
// called by its address now, and everybody's address of it is that of the old entry.
//
// # Activeness
//
// The stop looks at every thread's registers and stacks (active.go; stacks.go says which memory counts as a stack) and
// compares the old bodies whole with what the plan saw. A thread is idle if nothing there refers to code that
// changes, or if its frames, walked to the thread's start, show that what does is stale. Doubt is active.
//
// Seen are stacks that a thread is on, or was started on. A context that no thread is on (makecontext, fibers, setjmp
// buffers) is not looked at, as nothing says where it is: the report notes modules that import swapcontext or setcontext, and a
// thread on a stack of the program's own making is refused unless the user gives the word (strange.go).
// Such a context goes on in the version of a function that it began with, which stays mapped, whole but for the bytes of the
// jump at its entry; a renewed constant it reads as it is now.
//
// A child that vfork made, and other processes that share the memory, are waited for by package ptrace before
// the check.
//
// # Identity
//
// The address of a function is its address in the image that first had it. A patch for build 3 that is applied to a process of build
// 1 with a patch from 1 to 2 has addresses of build 2; moduleView.walk translates them by the maps in the patches
// below, either to what everybody refers to (locate) or to the body that is executed (newest).
package inject

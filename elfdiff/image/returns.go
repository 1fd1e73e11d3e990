package image

import (
	"strings"

	"hotpatch/arch"
)

// returns is which functions of an image may return to their caller, by index in Image.Atoms: what stands behind a call of another one
// does not follow it, and what is known there is not known from in front of the call.
type returns struct {
	may   []bool
	tails [][]int32 // atoms that are jumped to
}

func (r *returns) init(atoms int) { r.may, r.tails = make([]bool, atoms), make([][]int32, atoms) }

// returnsOf notes where an instruction of atom a may leave it, but for a call.
func (im *Image) returnsOf(a *Atom, in *arch.Inst, at arch.ImageAddr) {
	r := &im.returns
	switch in.Flow {
	case arch.FlowReturn, arch.FlowJumpInd:
		r.may[a.ID] = true
	case arch.FlowJump, arch.FlowBranch:
		to := at + arch.ImageAddr(in.Target)
		if to >= a.Addr && to < a.End() {
			return
		}
		if b := im.AtomAt(to); b != nil && im.stubAt(to) == nil {
			r.tails[a.ID] = append(r.tails[a.ID], int32(b.ID))
		} else if imp := im.stubAt(to); imp == nil || !neverReturns(imp.Name) {
			r.may[a.ID] = true
		}
	}
}

// close adds that a function returns if one does that it jumps to.
func (r *returns) close() {
	from := make([][]int32, len(r.tails))
	var work []int32
	for i := range r.tails {
		for _, j := range r.tails[i] {
			from[j] = append(from[j], int32(i))
		}
		if r.may[i] {
			work = append(work, int32(i))
		}
	}
	for len(work) > 0 {
		j := work[len(work)-1]
		work = work[:len(work)-1]
		for _, i := range from[j] {
			if !r.may[i] {
				r.may[i] = true
				work = append(work, i)
			}
		}
	}
	r.tails = nil
}

// comesBack reports whether a direct call of the function at an address may return.
func (im *Image) comesBack(to arch.ImageAddr) bool {
	if imp := im.stubAt(to); imp != nil {
		return !neverReturns(imp.Name)
	}
	a := im.AtomAt(to)
	return a == nil || a.Addr != to || !a.IsCode() || a.Kind == IFunc || im.returns.may[a.ID]
}

// neverReturns reports whether a function of the C or C++ library is one that does not return (C17 7.22.4 and the headers of glibc; Itanium
// C++ ABI, "Throwing an Exception").
func neverReturns(name string) bool {
	switch name {
	case "abort", "exit", "_exit", "_Exit", "quick_exit", "__stack_chk_fail", "__fortify_fail", "__chk_fail", "__assert_fail", "__assert_perror_fail", "__assert",
		"longjmp", "_longjmp", "siglongjmp", "__longjmp_chk", "pthread_exit", "thrd_exit", "err", "errx", "verr", "verrx", "__libc_start_main",
		"__cxa_throw", "__cxa_rethrow", "__cxa_bad_cast", "__cxa_bad_typeid", "__cxa_throw_bad_array_new_length", "__cxa_throw_bad_array_length",
		"__cxa_pure_virtual", "__cxa_deleted_virtual", "__cxa_call_unexpected", "_Unwind_Resume", "_ZSt9terminatev", "_ZSt10unexpectedv":
		return true
	}
	return strings.HasPrefix(name, "_ZSt") && strings.Contains(name[:min(len(name), 16)], "__throw_")
}

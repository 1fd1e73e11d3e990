package x86

import "strings"

// helper knows the thunks of retpolines and guarded returns (gcc's -mindirect-branch=thunk and -mfunction-return=thunk, clang's -mretpoline).
func helper(name string) bool {
	return strings.HasPrefix(name, "__x86_indirect_thunk_") || name == "__x86_return_thunk" || strings.HasPrefix(name, "__llvm_retpoline_")
}

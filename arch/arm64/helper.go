package arm64

import (
	"slices"
	"strings"
)

// helper knows what -moutline-atomics calls, of libgcc (config/aarch64/lse.S) and compiler-rt: an operation, for how many bytes, and its memory order,
// as in __aarch64_ldadd8_acq_rel; and what finds out at the start whether the processor has instructions for these (lse-init.c).
func helper(name string) bool {
	if name == "init_have_lse_atomics" {
		return true
	}
	rest, ok := strings.CutPrefix(name, "__aarch64_")
	operation, order, _ := strings.Cut(rest, "_")
	if !ok || !slices.Contains([]string{"relax", "acq", "rel", "acq_rel", "sync"}, order) {
		return false
	}
	for _, op := range []string{"cas", "swp", "ldadd", "ldclr", "ldeor", "ldset"} {
		if size, ok := strings.CutPrefix(operation, op); ok {
			return slices.Contains([]string{"1", "2", "4", "8"}, size) || op == "cas" && size == "16"
		}
	}
	return false
}

package image

import (
	"fmt"
	"strings"
)

// judgeUnwind finds out whether something in the image may unwind the stack.
func (im *Image) judgeUnwind() {
	for i := range im.dyn.syms {
		if d := &im.dyn.syms[i]; !d.Defined && unwinds(d.Sym) {
			im.CanUnwind, im.UnwindWhy = true, "imports "+d.Sym
			return
		}
	}
	for _, a := range im.Atoms {
		for _, s := range a.Syms {
			switch {
			case unwinds(s.Name):
				im.CanUnwind, im.UnwindWhy = true, "defines "+s.Name
				return
			case isRust(s.Name):
				im.CanUnwind, im.UnwindWhy = true, "holds Rust code: "+s.Name
				return
			}
		}
	}
	for _, f := range im.CFI.FDEs() {
		if f.Personality != 0 {
			im.CanUnwind = true
			im.UnwindWhy = fmt.Sprintf("the function at %#x has a personality routine", uint64(f.Start))
			return
		}
	}
}

// unwinds reports whether a symbol belongs to the unwinder or to what starts it. Looking for
// the frame information of a backtrace does not unwind.
func unwinds(name string) bool {
	switch name {
	case "_Unwind_Backtrace", "_Unwind_GetIP", "_Unwind_GetIPInfo", "_Unwind_GetCFA", "_Unwind_FindEnclosingFunction":
		return false
	case "__cxa_throw", "__cxa_rethrow", "__cxa_throw_bad_array_new_length":
		return true
	}
	return strings.HasPrefix(name, "_Unwind_") || strings.HasPrefix(name, "__gxx_personality") || strings.HasPrefix(name, "__gcc_personality")
}

// isRust reports whether a name is mangled by rustc: the v0 scheme, or the legacy one with its hash.
func isRust(name string) bool {
	if strings.HasPrefix(name, "_R") && len(name) > 3 && strings.ContainsRune("NMXYIC", rune(name[2])) {
		return true
	}
	i := strings.LastIndex(name, "17h")
	return strings.HasPrefix(name, "_ZN") && i > 0 && len(name) >= i+20 && name[i+19] == 'E' &&
		strings.Trim(name[i+3:i+19], "0123456789abcdef") == ""
}

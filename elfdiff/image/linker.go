package image

import (
	"slices"
	"strings"

	"hotpatch/arch"
)

// linkerNames are the symbols that GNU ld, lld and the start files define for
// addresses of the link itself (ld(1) "PROVIDE", the default linker script).
func isLinkerName(name string) bool {
	switch name {
	case "_GLOBAL_OFFSET_TABLE_", "_PROCEDURE_LINKAGE_TABLE_", "_DYNAMIC", "__ehdr_start", "__executable_start",
		"__dso_handle", "__bss_start", "_edata", "edata", "_end", "end", "_etext", "etext", "__etext",
		"__GNU_EH_FRAME_HDR", "__TMC_END__", "__data_start", "data_start",
		"__preinit_array_start", "__preinit_array_end", "__init_array_start", "__init_array_end",
		"__fini_array_start", "__fini_array_end", "__rela_iplt_start", "__rela_iplt_end", "_TLS_MODULE_BASE_", "__tdata_start":
		return true
	}
	return isSectionMark(name) || isSecondMark(name)
}

// isTableName reports whether the name is that of a table of the linker's, which GNU ld for arm64 has as absolute.
func isTableName(name string) bool { return name == "_DYNAMIC" || name == "_GLOBAL_OFFSET_TABLE_" }

// isSecondMark reports whether the name is another one for __bss_start or _end, as GNU ld for arm64 has them (ld/emulparams/aarch64linux.sh).
func isSecondMark(name string) bool {
	switch name {
	case "__bss_start__", "__bss_end__", "_bss_end__", "__end__":
		return true
	}
	return false
}

// isToolName reports whether a symbol names no function or object of the program, but a stub, a slot or a table that the linker or the
// compiler made and that is read as what it is: mold has puts$plt and puts$gotplt for its own, lld gives the stub of an
// IFUNC its name, and clang names exception tables (GCC_except_table7).
func isToolName(name, section string) bool {
	switch {
	case section == ".plt", section == ".iplt", strings.HasPrefix(section, ".plt."), strings.HasPrefix(section, ".gcc_except_table"):
		return true
	case section == ".got", strings.HasPrefix(section, ".got."):
		return strings.Contains(name, "$")
	}
	return false
}

// isSectionMark reports whether the name marks the bounds of a section that the linker collects.
func isSectionMark(name string) bool {
	return strings.HasPrefix(name, "__start_") || strings.HasPrefix(name, "__stop_")
}

// isBoundMark reports whether a linker symbol bounds something that programs walk through. Where such a symbol and
// an object share an address, either may be meant.
func isBoundMark(name string) bool {
	switch name {
	case "__bss_start", "_edata", "edata", "__data_start", "data_start", "__rela_iplt_start", "__rela_iplt_end":
		return true
	}
	return isSectionMark(name) || strings.HasSuffix(name, "_array_start") || strings.HasSuffix(name, "_array_end")
}

// markCRT recognises what the C runtime's start files (crt1.o, crti.o, crtbegin.o) bring along.
// crt tells whether the image has any.
func (im *Image) markCRT(a *Atom, crt bool) {
	if !crt {
		return
	}
	is := a.Local && (a.File == "crtstuff.c" || strings.HasSuffix(a.File, "crt1.o")) && isStartFileName(a.Name)
	switch a.Name {
	case "call_weak_fn": // what _init calls (glibc, sysdeps/aarch64/crti.S, without STT_FILE, for which GNU ld puts the object's name)
		is = is || a.Local && (a.File == "" || a.File == "crti.o")
	case "_start", "_dl_relocate_static_pie":
		is = is || a.IsCode()
	case "_init", "_fini":
		is = is || a.Section != nil && a.Section.Name == "."+a.Name[1:]
	case "_IO_stdin_used", "__libc_csu_init", "__libc_csu_fini":
		is = is || !a.Local
	}
	if !is {
		return
	}
	a.CRT = true
	if a.IsCode() {
		a.Kind = Code
	}
}

// isStartFileName reports whether gcc's crtstuff.c or glibc's start files define a static symbol of this name. The name of the file alone says too
// little: gold and others let the static symbols of an object without STT_FILE, as those of libc.a are, follow those of the
// file in front, which can be crtstuff.c.
func isStartFileName(name string) bool {
	base, number, _ := strings.Cut(name, ".")
	if number != "" && !isNumber(number) {
		return false
	}
	switch base {
	case "deregister_tm_clones", "register_tm_clones", "frame_dummy", "fini_dummy", "init_dummy", "force_to_data",
		"__do_global_dtors_aux", "__do_global_dtors_aux_1", "__do_global_ctors_aux", "__do_global_ctors_1",
		"__do_global_dtors_aux_fini_array_entry", "__frame_dummy_init_array_entry",
		"__EH_FRAME_BEGIN__", "__FRAME_END__", "__TMC_LIST__", "__JCR_LIST__", "__JCR_END__",
		"__CTOR_LIST__", "__CTOR_END__", "__DTOR_LIST__", "__DTOR_END__",
		"completed", "object", "dtor_idx", "called", "__abi_tag":
		return true
	}
	return false
}

// linkerMark returns the linker-defined symbol at addr, or "".
func (im *Image) linkerMark(addr arch.ImageAddr) string {
	names := im.marks[addr]
	best := ""
	for _, n := range names {
		if best == "" || isSecondMark(best) && !isSecondMark(n) {
			best = n
			continue
		}
		if isSecondMark(n) == isSecondMark(best) && (isSectionMark(n) && !isSectionMark(best) || isSectionMark(n) == isSectionMark(best) && n < best) {
			best = n
		}
	}
	return best
}

// sharesMark reports whether another symbol that bounds something has the address of mark.
func (im *Image) sharesMark(addr arch.ImageAddr, mark string) bool {
	return isBoundMark(mark) && slices.ContainsFunc(im.marks[addr], func(n string) bool { return n != mark && isBoundMark(n) })
}

// findConstructors lists the functions that run before main and behind it, the start files' own left out.
func (im *Image) findConstructors() {
	for _, name := range []string{".preinit_array", ".init_array", ".ctors"} {
		im.Constructors = append(im.Constructors, im.functionArray(name)...)
	}
	for _, name := range []string{".fini_array", ".dtors"} {
		im.Destructors = append(im.Destructors, im.functionArray(name)...)
	}
}

// functionArray returns the entries of a section of function pointers, the start files' own left out.
func (im *Image) functionArray(name string) []arch.ImageAddr {
	s := im.sectionNamed(name)
	if s == nil || s.Data == nil {
		return nil
	}
	var out []arch.ImageAddr
	for off := uint64(0); off+8 <= s.Size; off += 8 {
		at := s.Addr + arch.ImageAddr(off)
		v := arch.ImageAddr(order.Uint64(s.Data[off:]))
		if r, ok := im.DynReloc(at); ok {
			v = arch.ImageAddr(r.Addend)
			if r.Defined {
				v = r.SymDef + arch.ImageAddr(r.Addend)
			}
		}
		if a := im.AtomAt(v); a != nil && a.CRT || v == 0 || v == ^arch.ImageAddr(0) {
			continue
		}
		out = append(out, v)
	}
	return out
}

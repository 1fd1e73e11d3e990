// Package toolchains builds the programs under testdata/toolchains with the combinations of compilers, linkers and
// options that the differ is to be exact for: a covering array, in which every pair of values of two axes occurs. It does so for each
// architecture, with those values that this one has.
package toolchains

import (
	"debug/elf"
	"slices"
	"strings"
)

// Axis is a choice that is made once for each build.
type Axis struct {
	Name   string
	Values []Value
}

// Value is one way to choose, with the options that it stands for.
type Value struct {
	Name    string
	Compile []string // of the C and C++ compilers
	Link    []string // of their drivers when they link
	Rust    []string // of rustc, which does both
	Shuffle []string // of the drivers when they link: another order of sections than that of the objects
	Needs   string   // a program without which the value is left out; "": none
}

// Names of axes and of those values that the tables and the builds speak of.
const (
	axisCode, axisKind, axisLinker, axisOpt, axisArch      = "code", "kind", "linker", "opt", "arch"
	axisCET, axisPLT, axisLTO, axisFolding, axisSections   = "cet", "plt", "lto", "folding", "sections"
	axisUnwind, axisEntry, axisUnits, axisRelocs, axisEdit = "unwind", "entry", "units", "relocs", "edit"

	gccC, clangC, gccCXX, clangCXX, rustc = "gcc", "clang", "g++", "clang++", "rustc"

	shared = "shared"
)

// codes are the compilers. For arm64 there is no rustc, which would need another standard library.
func codes(machine elf.Machine) []Value {
	if machine == elf.EM_X86_64 {
		return []Value{
			{Name: gccC, Needs: "gcc"}, {Name: clangC, Needs: "clang"}, {Name: gccCXX, Needs: "g++"},
			{Name: clangCXX, Needs: "clang++"}, {Name: rustc, Needs: "rustc"},
		}
	}
	// The objects that tell the truth have a section for each object, with which gcc makes no section anchors: so it makes none in the others.
	anchors := []string{"-fno-section-anchors"}
	return []Value{
		{Name: gccC, Needs: "gcc", Compile: anchors}, {Name: clangC, Needs: "clang"},
		{Name: gccCXX, Needs: "g++", Compile: anchors}, {Name: clangCXX, Needs: "clang++"},
	}
}

// kinds are the kinds of linked file, spelled out, since distributions configure compilers differently. For arm64 there is no static program: how
// exact comparisons of its C library are has not been measured.
func kinds(machine elf.Machine) []Value {
	all := []Value{
		{Name: "pie", Compile: []string{"-fPIE"}, Link: []string{"-pie"}, Rust: []string{"-Crelocation-model=pie"}},
		{Name: "no-pie", Compile: []string{"-fno-pie"}, Link: []string{"-no-pie"}, Rust: []string{"-Crelocation-model=static"}},
		{Name: "static-pie", Compile: []string{"-fPIE"}, Link: []string{"-static-pie"},
			Rust: []string{"-Crelocation-model=pie", "-Ctarget-feature=+crt-static"}},
		{Name: "static", Compile: []string{"-fno-pie"}, Link: []string{"-no-pie", "-static"},
			Rust: []string{"-Crelocation-model=static", "-Ctarget-feature=+crt-static"}},
		{Name: shared, Compile: []string{"-fPIC"}, Link: []string{"-shared"}, Rust: []string{"-Crelocation-model=pic", "--crate-type=cdylib"}},
	}
	if machine == elf.EM_X86_64 {
		return all
	}
	return slices.DeleteFunc(all, func(v Value) bool { return strings.HasPrefix(v.Name, "static") })
}

// levels are the levels of the architecture.
func levels(machine elf.Machine) []Value {
	if machine == elf.EM_X86_64 {
		return []Value{
			{Name: "x86-64"},
			{Name: "v3", Compile: []string{"-march=x86-64-v3"}, Rust: []string{"-Ctarget-cpu=x86-64-v3"}},
			{Name: "v4", Compile: []string{"-march=x86-64-v4"}, Rust: []string{"-Ctarget-cpu=x86-64-v4"}},
		}
	}
	return []Value{{Name: "armv8"}, {Name: "v8.1", Compile: []string{"-march=armv8.1-a"}}, {Name: "v8.3", Compile: []string{"-march=armv8.3-a"}}}
}

// Axes are all choices for an architecture. Flags that only x86-64 has stand for the target's own (victim.Target.Spell).
func Axes(machine elf.Machine) []Axis {
	return []Axis{
		{axisCode, codes(machine)},
		{axisOpt, []Value{optimised("0"), optimised("1"), optimised("2"), optimised("3"), optimised("s")}},
		{axisKind, kinds(machine)},
		{axisLinker, []Value{
			// GNU ld and gold also sort constants, which moves texts that nothing tells the ends of.
			linker("bfd", "--sort-section=name"), linker("gold", "--sort-section=name"),
			linker("lld", "--shuffle-sections=.text*=7", "--shuffle-sections=.data*=9"), linker("mold", "--shuffle-sections=7"),
		}},
		{axisArch, levels(machine)},
		{axisCET, []Value{{Name: "no-cet", Compile: []string{"-fcf-protection=none"}}, {Name: "cet", Compile: []string{"-fcf-protection=full"}}}},
		{axisPLT, []Value{{Name: "plt", Compile: []string{"-fplt"}}, {Name: "no-plt", Compile: []string{"-fno-plt"}}}},
		{axisLTO, []Value{{Name: "no-lto"}, {Name: "lto", Compile: []string{"-flto"}, Link: []string{"-flto"}, Rust: []string{"-Clto=fat"}}}},
		{axisFolding, []Value{{Name: "no-icf"}, linkOption("icf", "-Wl,--icf=all")}},
		{axisSections, []Value{{Name: "one-text"}, {Name: "gc-sections",
			Compile: []string{"-ffunction-sections", "-fdata-sections"}, Link: []string{"-Wl,--gc-sections"}}}},
		{axisUnwind, []Value{{Name: "unwind"}, {Name: "no-async-unwind", Compile: []string{"-fno-asynchronous-unwind-tables"},
			Rust: []string{"-Cpanic=abort", "-Cforce-unwind-tables=no"}}}},
		{axisEntry, []Value{{Name: "plain"}, {Name: "patchable", Compile: []string{"-fpatchable-function-entry=6,2"}}}},
		// How many units rustc cuts a crate into; the other compilers do not look at it.
		{axisUnits, []Value{{Name: "units"}, {Name: "one-unit", Rust: []string{"-Ccodegen-units=1"}}}},
		{axisRelocs, []Value{{Name: "no-relocs"}, linkOption("relocs", "-Wl,--emit-relocs")}},
		{axisEdit, []Value{edit("body", "2"), edit("text", "3"), edit("inline", "4"), edit("table", "5")}},
	}
}

func optimised(level string) Value {
	return Value{Name: "O" + level, Compile: []string{"-O" + level}, Link: []string{"-O" + level}, Rust: []string{"-Copt-level=" + level}}
}

// linker is a linker with the options that put sections into another order than that of the objects.
func linker(name string, shuffle ...string) Value {
	v := linkOption(name, "-fuse-ld="+name)
	v.Needs = "ld." + name
	for _, o := range shuffle {
		v.Shuffle = append(v.Shuffle, "-Wl,"+o)
	}
	return v
}

func linkOption(name, option string) Value {
	return Value{Name: name, Link: []string{option}, Rust: []string{"-Clink-arg=" + option}}
}

// edit is a change of one source file: see testdata/toolchains/c/program.h.
func edit(name, number string) Value {
	return Value{Name: name, Compile: []string{"-DV=" + number}, Rust: []string{`--cfg=edit="` + name + `"`}}
}

// Exclusion is a combination that no toolchain can build.
type Exclusion struct {
	Values map[string]string // by axis
	Why    string
}

// Exclusions are all combinations that are left out for an architecture.
func Exclusions(machine elf.Machine) []Exclusion {
	var all []Exclusion
	if machine == elf.EM_AARCH64 {
		for _, cc := range [...]string{gccC, gccCXX} {
			for _, linker := range [...]string{"lld", "mold"} {
				all = append(all, Exclusion{map[string]string{axisCode: cc, axisLinker: linker},
					"Debian's cross compilers find this linker by -B only, and then take the assembler beside it, which is the host's"})
			}
		}
	}
	return append(all, []Exclusion{
		{map[string]string{axisLinker: "bfd", axisFolding: "icf"}, "GNU ld folds no code"},
		{map[string]string{axisLinker: "gold", axisKind: "static-pie"}, "gold does not know --no-dynamic-linker"},
		{map[string]string{axisLinker: "lld", axisCode: gccC, axisLTO: "lto"}, "lld does not read gcc's intermediate code"},
		{map[string]string{axisLinker: "lld", axisCode: gccCXX, axisLTO: "lto"}, "lld does not read gcc's intermediate code"},
		{map[string]string{axisLinker: "gold", axisFolding: "icf", axisRelocs: "relocs"}, "an internal error of gold (do_layout)"},
		{map[string]string{axisLinker: "gold", axisCode: gccCXX, axisRelocs: "relocs"}, "an internal error of gold (do_layout)"},
		{map[string]string{axisLinker: "gold", axisCode: clangC, axisRelocs: "relocs"}, "an internal error of gold (do_layout)"},
		{map[string]string{axisLinker: "gold", axisCode: rustc, axisRelocs: "relocs"}, "an internal error of gold (do_layout)"},
		{map[string]string{axisLinker: "gold", axisCode: clangCXX, axisRelocs: "relocs"}, "an internal error of gold (do_layout)"},
		{map[string]string{axisLinker: "mold", axisSections: "gc-sections", axisRelocs: "relocs"}, "an assertion of mold 1.10 fails (get_output_sym_idx)"},
		{map[string]string{axisLinker: "bfd", axisCode: gccCXX, axisEntry: "patchable"},
			"gcc 12 lists functions of COMDAT groups that are discarded (__patchable_function_entries)"},
		{map[string]string{axisLinker: "lld", axisCode: gccCXX, axisEntry: "patchable"},
			"gcc 12 lists functions of COMDAT groups that are discarded (__patchable_function_entries)"},
		{map[string]string{axisCode: rustc, axisCET: "cet"}, "an option of unstable rustc only (-Zcf-protection)"},
		{map[string]string{axisCode: rustc, axisPLT: "no-plt"}, "an option of unstable rustc only (-Zplt)"},
		{map[string]string{axisCode: rustc, axisEntry: "patchable"}, "an option of unstable rustc only (-Zpatchable-function-entry)"},
		{map[string]string{axisCode: rustc, axisSections: "one-text"}, "rustc puts each function into a section of its own, always"},
	}...)
}

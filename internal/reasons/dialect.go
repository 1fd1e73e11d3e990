package reasons

import (
	"debug/elf"
	"fmt"
	"regexp"

	"hotpatch/arch/machines"
)

// dialect is how binutils show the code of one architecture.
type dialect struct {
	tools     string         // prefix of the programs' names
	target    *regexp.Regexp // a direct call or jump: the symbol; the offset from it
	register  *regexp.Regexp
	slot      *regexp.Regexp // an operand in the stack frame
	place     *regexp.Regexp // an operand that changes where code or data lies elsewhere, behind the first submatch
	number    *regexp.Regexp
	elsewhere *regexp.Regexp // an instruction whose number may stand elsewhere: in data, or in another instruction as well
	forms     func(v int64) []string
}

// dialectOf chooses by the file's e_machine.
func dialectOf(file string) (*dialect, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	a, err := machines.Lookup(f.Machine)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d, ok := map[string]*dialect{"x86-64": &x86, "arm64": &arm64}[a.Name]
	if !ok {
		return nil, fmt.Errorf("%s: nothing is known of the disassembly of %s", file, a.Name)
	}
	return d, nil
}

// withoutRegisters takes the registers and stack slots out of an instruction.
func (d *dialect) withoutRegisters(text string) string {
	return d.register.ReplaceAllString(d.slot.ReplaceAllString(text, "S"), "R")
}

var x86 = dialect{
	target:    regexp.MustCompile(`^(?:bnd |notrack )?(?:call|jmp|j\w+) +[0-9a-f]+ <([^>+]+)(\+0x[0-9a-f]+)?>`),
	register:  regexp.MustCompile(`%[a-z0-9]+`),
	slot:      regexp.MustCompile(`-?(?:0x[0-9a-f]+)?\(%rsp`),
	place:     regexp.MustCompile(`(?:-?0x[0-9a-f]+)?\(%rip\).*| [0-9a-f]+ <[^>]*>`),
	number:    regexp.MustCompile(`\$?-?0x[0-9a-f]+`),
	elsewhere: regexp.MustCompile(`\(%rip\)`),
	forms: func(v int64) []string {
		return []string{fmt.Sprintf("$%#x", v), fmt.Sprintf("$%#x", uint32(v)), fmt.Sprintf("$%#x", uint64(v)), fmt.Sprintf("%#x(", v), fmt.Sprintf("-%#x(", -v)}
	},
}

var arm64 = dialect{
	tools:    "aarch64-linux-gnu-",
	target:   regexp.MustCompile(`^(?:bl?|b\.\w+|cbn?z \w+,|tbn?z \w+, #\d+,) [0-9a-f]+ <([^>+]+)(\+0x[0-9a-f]+)?>`),
	register: regexp.MustCompile(`\b(?:[wxbhsdqv]\d+|[wx]zr)\b`),
	slot:     regexp.MustCompile(`\[sp\b[^]]*\]`),
	// The second half of an address stands in the displacement of an addition or of a load.
	place:     regexp.MustCompile(` [0-9a-f]+ <[^>]*>|^((?:add|ld|st)\w* .*), #(?:0x)?[0-9a-f]+\]?$`),
	number:    regexp.MustCompile(`#-?(?:0x)?[0-9a-f]+`),
	elsewhere: regexp.MustCompile(`^(?:adrp?|movk|ldr \w+, [0-9a-f]+ <)|, lsl #12$`),
	forms: func(v int64) []string {
		var out []string
		for _, n := range []int64{v, -v} { // cmn is cmp with the number's negative
			out = append(out, fmt.Sprintf("#%#x", uint64(n)), fmt.Sprintf("#%#x", uint32(n)), fmt.Sprintf("#%d", n))
		}
		return out
	},
}

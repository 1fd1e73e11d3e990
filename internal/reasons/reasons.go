// Package reasons holds what a report says of functions against binutils, which share nothing with the differ: objdump
// shows what a function calls and holds, addr2line what is inlined into it.
package reasons

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hotpatch/elfdiff/patch"
)

// body is a function as binutils see it.
type body struct {
	*dialect
	start, size uint64
	file        string
	calls       map[string]int // symbols that it calls or jumps to, and how often
	text        []string       // instructions, without addresses
	addrs       []uint64
	inlined     map[string]bool // functions that some instruction was inlined from
}

var instruction = regexp.MustCompile(`^ +([0-9a-f]+):\t(.*)$`)

// read disassembles a function.
func read(file string, x *patch.Extent) (*body, error) {
	d, err := dialectOf(file)
	if err != nil {
		return nil, err
	}
	b := &body{dialect: d, file: file, start: uint64(x.Addr), size: x.Size, calls: make(map[string]int)}
	out, err := exec.Command(d.tools+"objdump", "-d", "--no-show-raw-insn", fmt.Sprintf("--start-address=%#x", b.start),
		fmt.Sprintf("--stop-address=%#x", b.start+b.size), file).Output()
	if err != nil {
		return nil, fmt.Errorf("objdump %s: %w", file, err)
	}
	for line := range strings.Lines(string(out)) {
		m := instruction.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		addr, err := strconv.ParseUint(m[1], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("objdump %s: %q: %w", file, line, err)
		}
		b.addrs = append(b.addrs, addr)
		text, _, _ := strings.Cut(strings.Join(strings.Fields(m[2]), " "), " // ")
		if t := d.target.FindStringSubmatch(text); t != nil && t[2] == "" {
			b.calls[strings.TrimSuffix(t[1], "@plt")]++
		}
		b.text = append(b.text, text)
	}
	return b, nil
}

// findInlined asks addr2line which functions the instructions were inlined from.
func (b *body) findInlined() error {
	if b.inlined != nil {
		return nil
	}
	b.inlined = make(map[string]bool)
	cmd := exec.Command(b.tools+"addr2line", "-f", "-i", "-e", b.file)
	var in strings.Builder
	for _, a := range b.addrs {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("addr2line %s: %w", b.file, err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if i%2 == 0 { // a name, then its place
			b.inlined[line] = true
		}
	}
	return nil
}

// Check holds the reasons of a report's functions against the two builds. It returns what is not so, and how many
// statements it could check.
func Check(old, new string, changes []patch.Change) (wrong []string, checked int, err error) {
	for i := range changes {
		c := &changes[i]
		if c.What != "function" || c.Old == nil || c.New == nil {
			continue
		}
		x, err := read(old, c.Old)
		if err != nil {
			return nil, 0, err
		}
		y, err := read(new, c.New)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range c.Reasons {
			fault, known, err := statement(x, y, &r, changes)
			if err != nil {
				return nil, 0, err
			}
			if known {
				checked++
			}
			if fault != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %q: %s", c.Name, r.Text, fault))
			}
		}
	}
	return wrong, checked, nil
}

var (
	inlines     = regexp.MustCompile(`^inlines (\S+?)(, which changed)? \(`)
	codeOf      = regexp.MustCompile(`^code inlined from (.*)`)
	oneOf       = regexp.MustCompile(`(?:^|, )([^ ,]+)(?:, itself unchanged)? \(\d+ places?\)`)
	insteadOf   = regexp.MustCompile(`^calls (?:clone )?(\S+) instead of (\S+)$`)
	nowCalls    = regexp.MustCompile(`^now calls ([^ ,]+(?:, [^ ,]+)*)`)
	noLonger    = regexp.MustCompile(`^no longer calls ([^ ,]+(?:, [^ ,]+)*)`)
	numbers     = regexp.MustCompile(`^constant (-?\w+) -> (-?\w+)$`)
	sameOrder   = regexp.MustCompile(`^the same operations with other registers`)
	inlinesNow  = regexp.MustCompile(`^inlines (\S+), which it called before$`)
	callsNow    = regexp.MustCompile(`^calls (\S+), which it inlined before$`)
	withoutStem = regexp.MustCompile(`\..*`)
)

// statement checks one reason: what is wrong with it, and whether it is one that can be checked.
func statement(old, new *body, r *patch.Reason, changes []patch.Change) (fault string, known bool, err error) {
	if r.Cause > 0 && strings.Contains(r.Text, ", which changed") {
		if c := &changes[r.Cause-1]; c.Change == "line" {
			return "its cause " + c.Name + " changed in line numbers only", true, nil
		}
	}
	find := func(re *regexp.Regexp) []string { return re.FindStringSubmatch(r.Text) }
	if m := find(inlines); m != nil {
		fault, err = old.hasInlined(new, m[1])
		return fault, true, err
	}
	if m := find(codeOf); m != nil {
		for _, one := range oneOf.FindAllStringSubmatch(m[1], -1) {
			if fault, err = old.hasInlined(new, one[1]); fault != "" || err != nil {
				break
			}
		}
		return fault, true, err
	}
	if m := find(insteadOf); m != nil {
		if new.calls[m[2]] >= old.calls[m[2]] || new.calls[m[1]] <= old.calls[m[1]] {
			fault = "the new body does not call the one more often and the other less"
		}
		return fault, true, nil
	}
	if m := find(nowCalls); m != nil {
		return callsDiffer(old, new, nil, strings.Split(m[1], ", ")), true, nil
	}
	if m := find(noLonger); m != nil {
		return callsDiffer(old, new, strings.Split(m[1], ", "), nil), true, nil
	}
	if m := find(inlinesNow); m != nil {
		if fault, err = new.hasInlined(new, m[1]); fault == "" && !old.callsStem(m[1]) {
			fault = "the old body does not call it"
		}
		return fault, true, err
	}
	if m := find(callsNow); m != nil {
		if fault, err = old.hasInlined(old, m[1]); fault == "" && !new.callsStem(m[1]) {
			fault = "the new body does not call it"
		}
		return fault, true, err
	}
	switch {
	case find(numbers) != nil:
		m := find(numbers)
		return holdNumbers(old, new, m[1], m[2]), true, nil
	case find(sameOrder) != nil:
		return sameBut(old, new, old.withoutRegisters), true, nil
	case r.Kind == patch.ReasonLines:
		return sameBut(old, new, func(s string) string { return old.number.ReplaceAllString(s, "N") }), true, nil
	}
	return "", false, nil
}

// hasInlined says what is wrong if a function is inlined into neither body.
func (b *body) hasInlined(other *body, name string) (string, error) {
	for _, x := range []*body{b, other} {
		if err := x.findInlined(); err != nil {
			return "", err
		}
		if x.inlined[name] {
			return "", nil
		}
	}
	return "addr2line knows of no instruction that is inlined from " + name, nil
}

func (b *body) callsStem(name string) bool {
	for c := range b.calls {
		if withoutStem.ReplaceAllString(c, "") == name {
			return true
		}
	}
	return false
}

// callsDiffer says what is wrong with names that only the old body, and that only the new one calls.
func callsDiffer(old, new *body, gone, come []string) string {
	for _, n := range gone {
		if new.calls[n] > 0 {
			return "the new body calls " + n
		}
	}
	for _, n := range come {
		if old.calls[n] > 0 {
			return "the old body calls " + n
		}
	}
	return ""
}

// holdNumbers says what is wrong with a number that the old body holds where the new one holds another.
func holdNumbers(old, new *body, from, to string) string {
	holds := func(b *body, s string) bool {
		v, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			u, err := strconv.ParseUint(s, 0, 64)
			if err != nil {
				return true // a floating-point number, which objdump does not show
			}
			v = int64(u)
		}
		forms := b.forms(v)
		return slices.ContainsFunc(b.text, func(t string) bool {
			return slices.ContainsFunc(forms, func(f string) bool { return strings.Contains(t, f) }) || b.elsewhere.MatchString(t)
		})
	}
	switch {
	case !holds(old, from):
		return "the old body does not hold " + from
	case !holds(new, to):
		return "the new body does not hold " + to
	}
	return ""
}

// sameBut says what is wrong if two bodies differ in more than mask takes away; padding and places do not count.
func sameBut(old, new *body, mask func(string) string) string {
	plain := func(b *body) []string {
		var out []string
		for _, s := range b.text {
			if strings.Contains(s, "nop") || s == "xchg %ax,%ax" || strings.HasPrefix(s, "data16") {
				continue
			}
			out = append(out, mask(b.place.ReplaceAllString(s, "${1} P")))
		}
		return out
	}
	x, y := plain(old), plain(new)
	if !slices.Equal(x, y) {
		for i := range min(len(x), len(y)) {
			if x[i] != y[i] {
				return fmt.Sprintf("objdump shows %q and %q", x[i], y[i])
			}
		}
		return fmt.Sprintf("objdump shows %d and %d instructions", len(x), len(y))
	}
	return ""
}

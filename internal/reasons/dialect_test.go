package reasons

import "testing"

// TestTargets reads calls and jumps as objdump shows them.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name   string
		d      *dialect
		text   string
		symbol string // "": it is no call of a symbol
		offset string
	}{
		{name: "x86-64 call", d: &x86, text: "call 1234 <memcpy@plt>", symbol: "memcpy@plt"},
		{name: "x86-64 condition", d: &x86, text: "jne 1234 <f+0x10>", symbol: "f", offset: "+0x10"},
		{name: "x86-64 register", d: &x86, text: "call *%rax"},
		{name: "arm64 call", d: &arm64, text: "bl 8d70 <memcpy@plt>", symbol: "memcpy@plt"},
		{name: "arm64 jump", d: &arm64, text: "b 9b40 <main+0x300>", symbol: "main", offset: "+0x300"},
		{name: "arm64 condition", d: &arm64, text: "b.eq 9b00 <main+0x2c0>", symbol: "main", offset: "+0x2c0"},
		{name: "arm64 zero", d: &arm64, text: "cbz w0, d54 <f>", symbol: "f"},
		{name: "arm64 bit", d: &arm64, text: "tbnz w1, #2, da7a0 <g+0x3fc>", symbol: "g", offset: "+0x3fc"},
		{name: "arm64 register", d: &arm64, text: "blr x1"},
		{name: "arm64 page", d: &arm64, text: "adrp x0, 6d000 <g+0x49c0>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.d.target.FindStringSubmatch(c.text)
			if m == nil {
				m = make([]string, 3)
			}
			if m[1] != c.symbol || m[2] != c.offset {
				t.Errorf("%q: symbol %q, offset %q; want %q, %q", c.text, m[1], m[2], c.symbol, c.offset)
			}
		})
	}
}

// TestSameBut compares bodies of arm64 that differ in one instruction.
func TestSameBut(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new string
		same     bool // but for registers and stack slots
	}{
		{name: "register", old: "mov x19, x0", new: "mov x20, x0", same: true},
		{name: "slot", old: "str x0, [sp, #16]", new: "str x0, [sp, #24]", same: true},
		{name: "place", old: "bl 8d70 <f>", new: "bl 8d90 <f>", same: true},
		{name: "half of an address", old: "add x1, x24, #0x810", new: "add x1, x24, #0x820", same: true},
		{name: "number", old: "cmp w0, #0x8", new: "cmp w0, #0x9"},
		{name: "operation", old: "add x1, x24, #0x810", new: "sub x1, x24, #0x810"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := func(text string) *body { return &body{dialect: &arm64, text: []string{text}} }
			old, new := body(c.old), body(c.new)
			if fault := sameBut(old, new, old.withoutRegisters); (fault == "") != c.same {
				t.Errorf("fault %q", fault)
			}
		})
	}
}

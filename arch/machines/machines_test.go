package machines

import (
	"debug/elf"
	"reflect"
	"slices"
	"testing"

	"hotpatch/arch"
)

func TestLookup(t *testing.T) {
	tests := []struct {
		machine elf.Machine
		want    string // "": not supported
	}{
		{machine: elf.EM_X86_64, want: "x86-64"},
		{machine: elf.EM_AARCH64, want: "arm64"},
		{machine: elf.EM_386},
		{machine: elf.EM_NONE},
	}
	for _, test := range tests {
		t.Run(test.machine.String(), func(t *testing.T) {
			a, err := Lookup(test.machine)
			if (err == nil) != (test.want != "") {
				t.Fatalf("error %v", err)
			}
			if err == nil && (a.Name != test.want || a.Machine != test.machine) {
				t.Errorf("%s for %v", a.Name, a.Machine)
			}
		})
	}
}

// TestEqual: what one architecture says, each says, but for what its docstring lets be nil.
func TestEqual(t *testing.T) {
	mayBeNil := []string{
		"Arch.Pieces", "Arch.Widen", "Arch.Unlocked", "Arch.TLSGeneral", // one instruction holds an address, or none has such a prefix or spelling
		"Arch.Transfer",                                                                     // x86-64's analyses still read encodings by themselves
		"Arch.Unwind",                                                                       // call frame information says it all
		"Arch.RedZone", "Arch.TCB", "Call.Count", "Jump.Signing", "Jump.Enter", "Jump.Head", // zero is an answer, or nothing signs
		"Jump.Clobbers", // a gate saves what it uses
		"Jump.Guard",    // Linux checks no landing pads of x86-64 programs
	}
	for _, m := range []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64} {
		a, err := Lookup(m)
		if err != nil {
			t.Fatal(err)
		}
		for name, part := range map[string]any{"Arch": *a, "Jump": a.Jump, "Call": a.Call} {
			for _, field := range empty(part) {
				if field = name + "." + field; !slices.Contains(mayBeNil, field) {
					t.Errorf("%s says nothing as %s", a.Name, field)
				}
			}
		}
		if d := &a.DWARF; len(d.Names) < d.NumRegs || len(d.Saved) < d.NumRegs || !d.Saved[d.SP] || d.PCReg() >= d.NumRegs {
			t.Errorf("%s: registers %+v", a.Name, d)
		}
		if len(a.Breakpoint.Mask) != len(a.Breakpoint.Value) || len(a.Trap) == 0 || int(a.MaxPage)%4096 != 0 {
			t.Errorf("%s: breakpoint %v, trap %x, pages of %d", a.Name, a.Breakpoint, a.Trap, a.MaxPage)
		}
		if in, err := a.Decode(slices.Repeat(a.Trap, a.MaxInst)); err != nil || in.Flow != arch.FlowStop || in.Len != len(a.Trap) {
			t.Errorf("%s: the trap is %+v, %v", a.Name, in, err)
		}
	}
}

// empty lists the fields of a struct that are zero.
func empty(s any) (names []string) {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

// TestHelper: what compilers add, and what is spelled alike.
func TestHelper(t *testing.T) {
	for _, c := range []struct {
		machine elf.Machine
		name    string
		want    bool
	}{
		{machine: elf.EM_AARCH64, name: "__aarch64_ldadd8_acq_rel", want: true},
		{machine: elf.EM_AARCH64, name: "__aarch64_cas16_relax", want: true},
		{machine: elf.EM_AARCH64, name: "__aarch64_swp1_sync", want: true},
		{machine: elf.EM_AARCH64, name: "init_have_lse_atomics", want: true},
		{machine: elf.EM_AARCH64, name: "__aarch64_swp16_acq"},
		{machine: elf.EM_AARCH64, name: "__aarch64_ldadd_acq"},
		{machine: elf.EM_AARCH64, name: "__aarch64_ldadd8_seq"},
		{machine: elf.EM_AARCH64, name: "__aarch64_sync_cache_range"},
		{machine: elf.EM_AARCH64, name: "ldadd8_acq"},
		{machine: elf.EM_AARCH64, name: "__x86_return_thunk"},
		{machine: elf.EM_X86_64, name: "__x86_indirect_thunk_rax", want: true},
		{machine: elf.EM_X86_64, name: "__x86_return_thunk", want: true},
		{machine: elf.EM_X86_64, name: "__llvm_retpoline_r11", want: true},
		{machine: elf.EM_X86_64, name: "__x86_shared_cache_size"},
		{machine: elf.EM_X86_64, name: "__aarch64_ldadd8_acq_rel"},
	} {
		a, err := Lookup(c.machine)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Helper(c.name); got != c.want {
			t.Errorf("%s, %s: %v, want %v", a.Name, c.name, got, c.want)
		}
	}
}

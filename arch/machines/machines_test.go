package machines

import (
	"debug/elf"
	"testing"
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

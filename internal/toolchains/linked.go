package toolchains

import (
	"debug/elf"
	"strings"
)

// plainName is what two builds call a function alike: without numbers, and for a part of a function the name of the whole.
func plainName(name string) string {
	base, tail, ok := strings.Cut(name, ".")
	if !ok || base == "" {
		return name
	}
	for part := range strings.SplitSeq(tail, ".") {
		switch {
		case part == "cold", part == "part", part == "llvm", part == "lto_priv", strings.Trim(part, "0123456789ABCDEF") == "":
		default:
			base += "." + part
		}
	}
	return base
}

// linked are the functions of a linked file that its symbols name.
type linked struct {
	names map[string]bool   // plain names of functions
	at    map[uint64]string // plain names of all functions and objects at an address, each with a blank behind it
}

func readLinked(path string) (*linked, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	l := &linked{names: make(map[string]bool), at: make(map[uint64]string)}
	for _, s := range syms {
		typ := elf.ST_TYPE(s.Info)
		if s.Section == elf.SHN_UNDEF || strings.HasPrefix(s.Name, ".L") || typ != elf.STT_FUNC && typ != elf.STT_OBJECT {
			continue
		}
		name, _, _ := strings.Cut(s.Name, "@")
		name = plainName(name)
		l.names[name] = l.names[name] || s.Size > 0
		l.at[s.Value] += name + " "
	}
	return l, nil
}

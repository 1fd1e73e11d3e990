package patch

import (
	"fmt"
	"testing"

	"hotpatch/arch"
)

// bigPatch is the sample with the map of a server of 10,000 atoms and 300 changed functions of 1,000 bytes.
func bigPatch(t testing.TB) *Patch {
	t.Helper()
	p := samplePatch(t)
	p.Changes, p.Acks = nil, nil
	const first = 0x100000
	funcs := p.Funcs[:len(p.Funcs)-1]
	added := p.Funcs[len(p.Funcs)-1]
	for i := range 300 {
		body := make([]byte, 1000)
		for j := range body {
			body[j] = byte(i + j)
		}
		addr := arch.ImageAddr(first + i*1024)
		name := fmt.Sprintf("function_%d", i)
		p.Sections = append(p.Sections, Section{Name: ".text." + name, Kind: Text, Align: 16, Data: body, Size: 1000})
		p.Symbols = append(p.Symbols, Symbol{Name: name, Kind: SymDefined, Section: len(p.Sections) - 1, Size: 1000, Func: true})
		funcs = append(funcs, Func{
			Name: name, How: Changed, New: len(p.Symbols) - 1, Jump: Site{Room: 5, Fixed: "no code"}, Old: []Part{NewPart(name, addr, body, nil)},
		})
	}
	p.Funcs = append(funcs, added)
	for i := range 10000 {
		p.Map = append(p.Map, MapEntry{New: arch.ImageAddr(first + i*1024), Size: 1000, Old: arch.ImageAddr(first + i*1008), Sym: -1})
	}
	return p
}

func BenchmarkEncode(b *testing.B) {
	p := bigPatch(b)
	b.SetBytes(int64(len(mustEncode(b, p).Raw)))
	for b.Loop() {
		mustEncode(b, p)
	}
}

func BenchmarkDecode(b *testing.B) {
	f := mustEncode(b, bigPatch(b))
	b.SetBytes(int64(len(f.Raw)))
	for b.Loop() {
		if _, err := Decode(f.Raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	f := mustEncode(b, bigPatch(b))
	for b.Loop() {
		mustLink(b, f.Patch, testBase, sampleResolver())
	}
}

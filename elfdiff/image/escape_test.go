package image

import (
	"testing"

	"hotpatch/internal/victim"
)

// TestPointerFlow follows the address of an array through functions that each do one thing with it.
func TestPointerFlow(t *testing.T) {
	for _, cc := range []string{"gcc", "clang"} {
		for _, level := range []string{"-O0", "-O1", "-O2", "-Os"} {
			im, err := Load(victim.Build(t, cc, []string{"image/pointers.c"}, level, "-g", "-fPIE", "-pie", "-fno-tree-vectorize"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name  string
				table string
				want  PointerFlow // what has to be found
				not   PointerFlow // what must not be, at -O1 and above: without, every value goes to the stack
			}{
				{name: "indexed", not: PointerFlow{Escapes: true, Returns: true, Writes: true}},
				{name: "summed", not: PointerFlow{Escapes: true, Writes: true}},
				{name: "written", want: PointerFlow{Writes: true}, not: PointerFlow{Escapes: true, Returns: true, Yields: true}},
				{name: "bumped", want: PointerFlow{Writes: true}, not: PointerFlow{Escapes: true, Returns: true}},
				{name: "stored", want: PointerFlow{Escapes: true}, not: PointerFlow{Writes: true}},
				{name: "returned", want: PointerFlow{Returns: true}, not: PointerFlow{Escapes: true, Writes: true, Yields: true}},
				{name: "passed", want: PointerFlow{Escapes: true}, not: PointerFlow{Writes: true}},
				{name: "yielded", want: PointerFlow{Yields: true}, not: PointerFlow{Escapes: true, Writes: true}},
				{name: "after", not: PointerFlow{Escapes: true, Writes: true}},
				{name: "called", want: PointerFlow{Yields: true}, not: PointerFlow{Writes: true}},
				{name: "tailed", want: PointerFlow{Escapes: true}, not: PointerFlow{Returns: true, Writes: true}},
				{name: "jumped", table: "labels", not: PointerFlow{Escapes: true, Writes: true, Yields: true}},
			} {
				got, refs := flowIn(t, im, c.name, c.table)
				if refs == 0 {
					t.Errorf("%s %s %s: no reference to the array", cc, level, c.name)
				}
				missed := c.want.Escapes && !got.Escapes || c.want.Returns && !got.Returns || c.want.Writes && !got.Writes || c.want.Yields && !got.Yields
				invented := c.not.Escapes && got.Escapes || c.not.Returns && got.Returns || c.not.Writes && got.Writes || c.not.Yields && got.Yields
				if missed || invented && level != "-O0" {
					t.Errorf("%s %s %s: %+v, want %+v and not %+v", cc, level, c.name, got, c.want, c.not)
				}
			}
		}
	}
}

// flowIn adds up what a function does with the addresses of a table, which may be one that the compiler numbered.
func flowIn(t *testing.T, im *Image, function, table string) (flow PointerFlow, refs int) {
	t.Helper()
	body, err := im.Body(im.Named(function)[0])
	if err != nil {
		t.Fatal(err)
	}
	if table == "" {
		table = "table"
	}
	for i := range body.Refs {
		r := &body.Refs[i]
		if a := r.Place.Atom; a != nil && a.Kind == Object && len(a.Name) >= len(table) && (a.Name[:len(table)] == table || a.Name == function+"."+table) {
			flow.Add(im.PointerFlow(body, r))
			refs++
		}
	}
	return flow, refs
}

// TestPointerFlowCaught follows the address of an array to the landing pad of an exception.
func TestPointerFlowCaught(t *testing.T) {
	for cc, flag := range map[string]string{"g++": "-fno-reorder-blocks-and-partition", "clang++": "-fno-split-machine-functions"} { // all in one part
		for _, level := range []string{"-O1", "-O2"} {
			im, err := Load(victim.Build(t, cc, []string{"image/caught.cc"}, level, "-g", "-fPIE", "-pie", flag), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name   string
				writes bool
			}{{"written", true}, {"reads", false}} {
				flow, refs := flowIn(t, im, c.name, "_ZL5table")
				if refs == 0 || flow.Writes != c.writes || flow.Escapes {
					t.Errorf("%s %s %s: %d references, %+v", cc, level, c.name, refs, flow)
				}
			}
		}
	}
}

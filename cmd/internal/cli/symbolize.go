package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/ptrace/inject"
)

// symbolizer names places in the modules of one process by the symbols of their files. A file
// that is not of the build that runs is not believed: it may have been replaced on
// disk since the process began.
type symbolizer struct {
	pid    int
	images map[string]loaded // by path in the process
}

// loaded is what reading a file gave.
type loaded struct {
	im  *image.Image
	err error
}

func newSymbolizer(pid int) *symbolizer {
	return &symbolizer{pid: pid, images: make(map[string]loaded)}
}

// name returns "function (module)", or "" if there is no answer. It reads a file only when a stack
// is to be shown.
func (s *symbolizer) name(path string, build []byte, addr arch.ImageAddr) string {
	im, err := s.load(path, build)
	if err != nil {
		return "" // a stack without names is better than none
	}
	a := im.AtomAt(addr)
	if a == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", a.Name, base(path))
}

// functions finds the functions of a name, as it is linked or as a person reads it, in the file of a module of the given build.
func (s *symbolizer) functions(path string, build []byte, name string) ([]inject.Function, error) {
	im, err := s.load(path, build)
	if err != nil {
		return nil, err
	}
	var out []inject.Function
	for _, a := range im.Atoms {
		if !a.IsCode() || a.Size == 0 || a.Name != name && demangled(a.Name) != name && !slices.Contains(a.Aliases, name) {
			continue
		}
		f := inject.Function{Name: a.Name, Parts: []inject.Part{{Addr: a.Addr, Size: a.Size}}}
		if a.Local {
			f.File = a.File
		}
		for _, b := range im.Atoms {
			if b.IsCode() && b.Size > 0 && b.File == a.File && (b.Name == a.Name+".cold" || strings.HasPrefix(b.Name, a.Name+".cold.")) {
				f.Parts = append(f.Parts, inject.Part{Addr: b.Addr, Size: b.Size})
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// load reads the file of a module as the process sees it.
func (s *symbolizer) load(path string, build []byte) (*image.Image, error) {
	l, seen := s.images[path]
	if !seen {
		l.im, l.err = image.Load(fmt.Sprintf("/proc/%d/root%s", s.pid, path), image.Options{})
		s.images[path] = l
	}
	switch {
	case l.err != nil:
		return nil, l.err
	case !bytes.Equal(l.im.BuildID, build):
		return nil, fmt.Errorf("%s is not the build that runs: it has been replaced", path)
	}
	return l.im, nil
}

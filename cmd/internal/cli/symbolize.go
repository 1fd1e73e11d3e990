package cli

import (
	"bytes"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// symbolizer names places in the modules of one process by the symbols of their files. A file
// that is not the build that a patch is for is not believed: it may have been replaced on
// disk since the process began.
type symbolizer struct {
	pid    int
	builds [][]byte                // build-ids that the patches are for
	images map[string]*image.Image // by path in the process; nil: of no use
}

func newSymbolizer(pid int, files []*patch.File) *symbolizer {
	s := &symbolizer{pid: pid, images: make(map[string]*image.Image)}
	for _, f := range files {
		s.builds = append(s.builds, f.Old.ID)
	}
	return s
}

// name returns "function (module)", or "" if there is no answer. It reads a file only when a stack
// is to be shown.
func (s *symbolizer) name(path string, addr arch.ImageAddr) string {
	im, seen := s.images[path]
	if !seen {
		im = s.load(path)
		s.images[path] = im
	}
	if im == nil {
		return ""
	}
	a := im.AtomAt(addr)
	if a == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", a.Name, base(path))
}

// load reads the file of a module as the process sees it, or returns nil.
func (s *symbolizer) load(path string) *image.Image {
	im, err := image.Load(fmt.Sprintf("/proc/%d/root%s", s.pid, path), image.Options{})
	if err != nil {
		return nil // a stack without names is better than none
	}
	for _, id := range s.builds {
		if bytes.Equal(id, im.BuildID) {
			return im
		}
	}
	return nil
}

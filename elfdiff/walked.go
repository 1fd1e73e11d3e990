package elfdiff

import (
	"sync"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/types"
)

// walkedObjects knows by the debug information of one build which variables a program can walk through. It is read when it is first asked for.
type walkedObjects struct {
	once  sync.Once
	types *types.Build // nil: there is none that can be read
	by    map[arch.ImageAddr]types.ID
}

// wordSize is the size in bytes of a pointer.
const wordSize = 8

// walked reports whether the program may walk through an object by an index: it is an array, or has one in it, or its type is not known. Another
// module's variable that is copied into this one and is no larger than a pointer is taken to be none: stdin, environ, optind.
func (s *side) walked(a *image.Atom) bool {
	if a.Copy && a.Size <= wordSize {
		return false
	}
	w := &s.walkable
	w.once.Do(func() {
		b, err := readTypes(s.im)
		if err != nil {
			return
		}
		w.types, w.by = b, make(map[arch.ImageAddr]types.ID)
		for _, v := range b.Variables {
			if !v.TLS {
				w.by[arch.ImageAddr(v.Addr)] = v.Type
			}
		}
	})
	id, ok := w.by[a.Addr]
	return !ok || w.types.Walked(id)
}

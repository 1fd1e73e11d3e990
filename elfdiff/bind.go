package elfdiff

import (
	"fmt"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Binding: what a place of the new build is in the running process, as a symbol of the patch: what the process has already, else what the
// payload carries. Places with several readings are in bound.go.

// bind returns the symbol and addend for a place of the new build.
// width is how many bytes are accessed there, or 0 if the address is taken.
func (e *emitter) bind(p *image.Place, body *image.Body, width uint64) (sym int, addend int64, err error) {
	if p.Ambiguous() {
		return e.bindAmbiguous(p)
	}
	if p.Lone {
		if err := e.lone(p); err != nil {
			return 0, 0, err
		}
	}
	switch p.Kind {
	case image.PlaceAtom:
		sym, err = e.atom(p.Atom, p.Addend)
		return sym, p.Addend, err
	case image.PlaceSelf:
		if s, ok := e.bodies[p.Atom]; ok {
			return s, p.Addend, nil
		}
		return 0, 0, fmt.Errorf("%s is not in the patch", p.Atom.Name)
	case image.PlaceImport:
		return e.imported(p)
	case image.PlaceAnon:
		return e.anonymous(p.Addr, width)
	case image.PlaceTable:
		sym, err = e.table(tableAt(body, p.Addr))
		return sym, 0, err
	case image.PlaceLinker:
		return e.linker(p)
	case image.PlaceUnknown:
		return 0, 0, fmt.Errorf("what %#x is cannot be told (%s)", uint64(p.Addr), p.Why)
	}
	return 0, 0, fmt.Errorf("a reference of kind %v", p.Kind)
}

// atom returns the symbol of a named function or object of the new build: what the running process has,
// else what the payload carries.
func (e *emitter) atom(b *image.Atom, addend int64) (int, error) {
	if sym, ok := e.bodies[b]; ok && e.d.rev.of(b) == nil {
		return sym, e.interior(b, addend)
	}
	switch b.Kind {
	case image.Func, image.IFunc:
		if b.Parent != nil {
			return 0, fmt.Errorf("it leads into %s, a part of another function", b.Name)
		}
		old := e.d.rev.of(b)
		if old == nil {
			return 0, fmt.Errorf("function %s is new and could not be carried", b.Name)
		}
		if old.Kind == image.IFunc {
			return 0, fmt.Errorf("%s is an IFUNC of this image: which of its implementations runs is not known", b.Name)
		}
		return e.image(old), e.interior(b, addend)
	case image.Code:
		if old := e.codeNamed(b.Name); old != nil {
			return e.image(old), e.interior(b, addend)
		}
		return 0, fmt.Errorf("%s is the linker's and the old build does not have it", b.Name)
	case image.Object:
		return e.object(b)
	}
	return 0, fmt.Errorf("%s is a %v", b.Name, b.Kind)
}

// interior refuses addresses inside functions: the running body may be another.
func (e *emitter) interior(b *image.Atom, addend int64) error {
	if addend != 0 && b.IsCode() {
		return fmt.Errorf("it leads to the middle of function %s (+%#x)", b.Name, addend)
	}
	return nil
}

func (e *emitter) codeNamed(name string) *image.Atom {
	for _, a := range e.d.old.im.Atoms {
		if a.Kind == image.Code && a.Name == name {
			return a
		}
	}
	return nil
}

// image returns the symbol of an atom of the old build.
func (e *emitter) image(old *image.Atom) int {
	return e.symbol(patch.Symbol{Name: old.Name, Kind: patch.SymImage, Value: uint64(old.Addr), Size: old.Size,
		Func: old.IsCode(), Local: old.Local})
}

// object returns the symbol of a data object.
func (e *emitter) object(b *image.Atom) (int, error) {
	o := e.d.objNew[b]
	if o != nil && len(o.refused) > 0 {
		return 0, fmt.Errorf("object %s: %s", b.Name, o.why())
	}
	old := e.d.rev.of(b)
	if old != nil && (o == nil || !o.moves()) && e.d.labels[b] == nil {
		return e.image(old), nil
	}
	if why, ok := e.d.amb[b]; ok && !readOnly(b) {
		return 0, fmt.Errorf("object %s: %s", b.Name, why)
	}
	if b.Copy {
		return 0, fmt.Errorf("object %s is copied from another module (COPY relocation), which the old build does not do", b.Name)
	}
	if b.CRT || b.Section == nil {
		return 0, fmt.Errorf("object %s is the C runtime's and has no counterpart in the old build", b.Name)
	}
	return e.carry(b)
}

// imported returns the symbol of an import.
func (e *emitter) imported(p *image.Place) (int, int64, error) {
	im := p.Import
	if im.Local != nil {
		if im.Local.Kind == image.IFunc {
			return 0, 0, fmt.Errorf("%s is an IFUNC of this image: which of its implementations runs is not known", im.Local.Name)
		}
		if o := e.d.objNew[im.Local]; e.d.rev.of(im.Local) == nil || o != nil && o.moves() {
			sym, err := e.atom(im.Local, 0)
			return sym, p.Addend, err
		}
	}
	if im.Name == "" {
		return 0, 0, fmt.Errorf("an import without a name")
	}
	return e.symbol(patch.Symbol{Name: im.Name, Kind: patch.SymImport, Version: im.Version, Weak: im.Weak, Func: im.Func}), p.Addend, nil
}

// linker binds a symbol that the linker makes to the old build's.
func (e *emitter) linker(p *image.Place) (int, int64, error) {
	if !p.Proven && strings.HasPrefix(p.Linker, "section ") {
		return 0, 0, fmt.Errorf("address %#x is the start of %s, or the end of what lies in front of it", uint64(p.Addr), p.Linker)
	}
	addr, ok := e.d.old.im.LinkerSymbol(p.Linker)
	if !ok {
		return 0, 0, fmt.Errorf("the old build has no counterpart of %s", p.Linker)
	}
	return e.symbol(patch.Symbol{Name: p.Linker, Kind: patch.SymImage, Value: uint64(addr), Local: true}), p.Addend, nil
}

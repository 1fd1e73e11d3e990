package elfdiff

import (
	"debug/elf"
	"fmt"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// judgeFile judges what concerns the whole file.
func (d *differ) judgeFile() {
	carried := false
	for _, c := range d.funcs {
		carried = carried || c.carried(&d.opt)
	}
	for _, o := range d.objects {
		carried = carried || o.delta == objContent || o.delta == objResized
	}
	whole := func(what, name, why string) {
		d.other = append(d.other, patch.Change{What: what, Name: name, Change: "changed", Verdict: patch.Refused, Why: why, Reasons: []patch.Reason{}})
	}
	if carried {
		for _, im := range []*image.Image{d.old.im, d.new.im} {
			if im.Type == elf.ET_EXEC && !im.HasRelocs {
				whole("file", im.Path,
					"not position independent and without relocations: absolute addresses in its code cannot be told from numbers; "+
						"link it with -pie, or with -Wl,--emit-relocs")
			}
			if !im.HasBuildID {
				whole("file", im.Path, "it has no build-id, by which apply would know the build that a process runs; link it with -Wl,--build-id")
			}
			if im.FuncsOnly {
				whole("file", im.Path, "its symbols are those of .gnu_debugdata, which name no variables, so that which one code refers to cannot be shown; "+
					"give its debug file (--debug-old, --debug-new, --debug-dir)")
			}
			if isGo(im) {
				whole("file", im.Path,
					"a Go program: the Go runtime finds every frame, and every pointer in it, by tables of its own, "+
						"and stops the program at code that they do not list")
			}
			if im.TextRel {
				whole("file", im.Path, "its text is relocated at run time (DT_TEXTREL), so that the running bytes cannot be compared with the file's")
			}
		}
	}
	d.judgeConstructors(whole)
	d.joinedNames()
}

func (d *differ) judgeConstructors(whole func(what, name, why string)) {
	old := make(map[*image.Atom]bool)
	for _, addr := range d.old.im.Constructors {
		if a := d.old.im.AtomAt(addr); a != nil {
			old[a] = true
		}
	}
	for _, addr := range d.new.im.Constructors {
		b := d.new.im.AtomAt(addr)
		if b == nil {
			whole("constructor", fmt.Sprintf("%#x", uint64(addr)), "an .init_array entry leads to no function")
			continue
		}
		if a := d.rev.of(b); a == nil || !old[a] {
			whole("constructor", b.Name, "the new build runs it when it starts (.init_array); a running program does not start again")
		}
	}
}

// isGo reports whether the Go linker made the image.
func isGo(im *image.Image) bool {
	for _, s := range im.Sections {
		if s.Name == ".gopclntab" || s.Name == ".data.rel.ro.gopclntab" || s.Name == ".note.go.buildid" {
			return true
		}
	}
	return false
}

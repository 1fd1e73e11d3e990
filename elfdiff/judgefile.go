package elfdiff

import (
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
		carried = carried || o.inPlace() || o.moves()
	}
	whole := func(what, name, why string) {
		d.other = append(d.other, patch.Change{What: what, Name: name, Change: "changed", Verdict: patch.Refused, Why: why, Reasons: []patch.Reason{}})
	}
	if carried {
		for _, im := range []*image.Image{d.old.im, d.new.im} {
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
						"and stops the program at code that they do not list; only a restart helps")
			}
			if im.TextRel {
				whole("file", im.Path, "its text is relocated at run time (DT_TEXTREL), so that the running bytes cannot be compared with the file's; "+
					"link it with -z text")
			}
		}
	}
	d.judgeStart()
	d.judgeCollected(whole)
	d.joinedNames()
}

// judgeCollected refuses linker-collected tables (__start_NAME, __stop_NAME) whose length differs: a running one can neither grow nor
// shrink, and not every entry need have a name that was reported.
func (d *differ) judgeCollected(whole func(what, name, why string)) {
	size := func(im *image.Image, name string) (n uint64) {
		for _, s := range im.Sections {
			if s.Name == name {
				n += s.Size
			}
		}
		return n
	}
	for _, s := range d.new.im.Sections {
		was := size(d.old.im, s.Name)
		if !isCIdentifier(s.Name) || s.Exec() || was == s.Size || was == 0 {
			continue
		}
		why := fmt.Sprintf("the linker-collected table (__start_%s) has %d bytes instead of %d, and that of a running program stays as it is; "+
			"only a restart enters what is new", s.Name, s.Size, was)
		whole("table", s.Name, why)
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

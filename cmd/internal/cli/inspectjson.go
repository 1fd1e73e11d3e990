package cli

import (
	"encoding/hex"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// patchFileJSON is what inspect --json prints.
type patchFileJSON struct {
	Version   int            `json:"version"`
	File      string         `json:"file"`
	ID        string         `json:"id"`
	Format    int            `json:"format"`
	Machine   string         `json:"machine"`
	Size      int            `json:"size"` // bytes of the file
	Old       buildJSON      `json:"old"`
	New       buildJSON      `json:"new"`
	Bodies    []bodyJSON     `json:"bodies"`    // the function table
	Constants []constantJSON `json:"constants"` // renewed in place
	Moved     []movedJSON    `json:"moved,omitempty"`
	Imports   []string       `json:"imports"`   // "name" or "name@version"
	Needed    []string       `json:"needed"`    // libraries where they may be found
	Functions []functionJSON `json:"functions"` // the report of diff
	Data      []changeJSON   `json:"data"`
	Others    []changeJSON   `json:"others"`
	Acks      []patch.Ack    `json:"acks"`
	Reach     reachJSON      `json:"reach"`
}

// reachJSON is what the patch's code leads to, which decides what can be reverted without what.
type reachJSON struct {
	New     int      `json:"new"` // functions and variables that the new bodies lead to, in the new build
	Old     int      `json:"old"` // and the old ones, in the old build
	Inlined []string `json:"inlined"`
	Unknown string   `json:"unknown,omitempty"` // why that is not all
}

// movedJSON is a variable that gets a new place in the patch.
type movedJSON struct {
	Name    string         `json:"name"`
	File    string         `json:"file,omitempty"`
	Addr    arch.ImageAddr `json:"address"` // in the old build
	Size    uint64         `json:"size"`    // there, in bytes; all of them are kept
	NewSize uint64         `json:"new_size"`
}

// bodyJSON is one function of the table.
type bodyJSON struct {
	Name      string     `json:"name"` // link name
	Demangled string     `json:"demangled,omitempty"`
	File      string     `json:"file,omitempty"`
	Change    string     `json:"change"` // changed, added, removed
	Old       []partJSON `json:"old"`
	NewSize   uint64     `json:"new_size,omitempty"` // bytes
	Jump      *jumpJSON  `json:"jump,omitempty"`
	Disasm    []rowJSON  `json:"disasm,omitempty"` // with --disasm
}

type partJSON struct {
	Name   string         `json:"name"`
	Addr   arch.ImageAddr `json:"address"`
	Size   uint64         `json:"size"`
	SHA256 string         `json:"sha256"` // of the old bytes
}

// jumpJSON is where the redirecting jump goes.
type jumpJSON struct {
	Offset uint32 `json:"offset"`          // from the function's entry
	Room   uint32 `json:"room"`            // bytes that may be overwritten
	Take   uint8  `json:"movable"`         // bytes of the first instructions, if they can run elsewhere too
	Fixed  string `json:"fixed,omitempty"` // why they cannot
}

type constantJSON struct {
	Name string         `json:"name"`
	File string         `json:"file,omitempty"`
	Addr arch.ImageAddr `json:"address"`
	Size int            `json:"size"`
}

func patchBuildJSON(b patch.Build) buildJSON {
	return buildJSON{File: b.Name, BuildID: hex.EncodeToString(b.ID), Derived: !b.HasBuildID}
}

// inspectJSON prints a patch for programs.
func (a *app) inspectJSON(path string, f *patch.File, m *arch.Arch, disasm bool) error {
	out := patchFileJSON{
		Version: jsonVersion, File: path, ID: f.ID.String(), Format: patch.FormatVersion, Machine: m.Name, Size: len(f.Raw),
		Old: patchBuildJSON(f.Old), New: patchBuildJSON(f.New),
		Bodies: []bodyJSON{}, Constants: []constantJSON{},
		Imports: filled(importsOf(f.Patch)),
		Needed:  filled(f.Needed),
		Acks:    filled(f.Acks),
		Reach:   reachJSON{len(f.Reach.New), len(f.Reach.Old), filled(f.Reach.Inlined), f.Reach.Unknown},
	}
	out.Functions, out.Data, out.Others = changesJSON(f.Changes)
	l := &lister{m, a.words}
	for i := range f.Funcs {
		b := newBodyJSON(f.Patch, &f.Funcs[i])
		if disasm {
			b.Disasm = l.patchListing(f.Patch, i, "").json()
		}
		out.Bodies = append(out.Bodies, b)
	}
	for _, c := range f.Consts {
		out.Constants = append(out.Constants, constantJSON{c.Name, c.File, c.Addr, len(c.Old)})
	}
	for _, m := range f.Moves {
		out.Moved = append(out.Moved, movedJSON{m.Name, m.File, m.Old, m.Size, f.Symbols[m.New].Size})
	}
	a.json(&out)
	return nil
}

func newBodyJSON(p *patch.Patch, f *patch.Func) bodyJSON {
	b := bodyJSON{Name: f.Name, Demangled: demangled(f.Name), File: f.File, Change: howText(f.How), Old: []partJSON{}}
	for _, part := range f.Old {
		b.Old = append(b.Old, partJSON{part.Name, part.Addr, part.Size, hex.EncodeToString(part.Hash[:])})
	}
	if f.New >= 0 {
		b.NewSize = p.Symbols[f.New].Size
	}
	if f.How == patch.Changed {
		b.Jump = &jumpJSON{f.Jump.Off, f.Jump.Room, f.Jump.Take, f.Jump.Fixed}
	}
	return b
}

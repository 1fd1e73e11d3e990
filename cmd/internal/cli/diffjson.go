package cli

import (
	"encoding/hex"
	"slices"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// diffJSON is what diff --json prints.
type diffJSON struct {
	Version     int                  `json:"version"`
	Old         buildJSON            `json:"old"`
	New         buildJSON            `json:"new"`
	Totals      elfdiff.Counts       `json:"totals"`
	Layouts     string               `json:"layouts"` // of types: see elfdiff.Result
	Functions   []functionJSON       `json:"functions"`
	Data        []changeJSON         `json:"data"`   // named objects
	Others      []changeJSON         `json:"others"` // types, constructors, names, the file, functions that are only inlined
	Types       []elfdiff.TypeChange `json:"types"`  // what moved in each type of others
	Refused     int                  `json:"refused"`
	MissingAcks []string             `json:"missing_acks"`
	UnknownAcks []string             `json:"unknown_acks,omitempty"`
	Patch       *patchJSON           `json:"patch"` // null if no file was written
	Phases      phases               `json:"phases,omitempty"`
	Error       *errorJSON           `json:"error,omitempty"`
}

type buildJSON struct {
	File    string `json:"file"`
	BuildID string `json:"build_id"`
	// Derived says that the file has no build-id and that build_id is a hash of its content.
	Derived bool   `json:"derived,omitempty"`
	Debug   string `json:"debug,omitempty"` // the separate file that the symbols are from
}

// changeJSON is a change with its name as a person reads it.
type changeJSON struct {
	ID int `json:"id"` // its place in the report, from 1: what a reason's cause refers to
	patch.Change
	Demangled string `json:"demangled,omitempty"`
}

// functionJSON is a change of a function.
type functionJSON struct {
	changeJSON
	Disasm []rowJSON `json:"disasm,omitempty"` // with --disasm
}

type patchJSON struct {
	File string `json:"file"`
	ID   string `json:"id"`
	Size int    `json:"size"` // bytes
}

func imageJSON(im *image.Image) buildJSON {
	return buildJSON{File: im.Path, BuildID: hex.EncodeToString(im.BuildID), Derived: !im.HasBuildID, Debug: im.DebugPath}
}

func (j *diffJob) asJSON(err error) *diffJSON {
	out := &diffJSON{
		Version: jsonVersion, Old: imageJSON(j.old), New: imageJSON(j.new),
		Totals: j.res.Counts, Layouts: j.res.Layouts, Refused: j.res.Refused,
		MissingAcks: filled(j.res.Missing), UnknownAcks: j.res.UnknownAcks,
	}
	if j.timed {
		out.Phases = j.phases.tree()
	}
	out.Functions, out.Data, out.Others = changesJSON(j.res.Changes)
	for i := range out.Functions {
		f := &out.Functions[i]
		if j.listed && (len(j.funcs) == 0 || slices.ContainsFunc(j.funcs, func(n string) bool { return isNamed(f.Name, n) })) {
			f.Disasm = j.listing(f.ID, "").json()
		}
	}
	out.Types = typesJSON(j.res.Types)
	if j.file != nil {
		out.Patch = &patchJSON{File: j.output, ID: j.file.ID.String(), Size: len(j.file.Raw)}
	}
	if err != nil {
		out.Error = newErrorJSON(err)
	}
	return out
}

// changesJSON parts the changes into functions, data and others. None is nil.
func changesJSON(all []patch.Change) (functions []functionJSON, data, others []changeJSON) {
	functions, data, others = []functionJSON{}, []changeJSON{}, []changeJSON{}
	for i, c := range all {
		c.Reasons = filled(c.Reasons)
		j := changeJSON{ID: i + 1, Change: c, Demangled: demangled(c.Name)}
		switch c.What {
		case "function":
			functions = append(functions, functionJSON{changeJSON: j})
		case "object":
			data = append(data, j)
		default:
			others = append(others, j)
		}
	}
	return functions, data, others
}

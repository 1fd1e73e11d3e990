package inject

import (
	"encoding/hex"

	"hotpatch/elfdiff/patch"
)

// reportOf describes a link.
func (v *moduleView) reportOf(l *link, result string) PatchReport {
	r := PatchReport{
		ID: l.file.ID.String(), Module: v.m.Path, Start: v.m.Start, Old: hex.EncodeToString(l.file.Old.ID), New: hex.EncodeToString(l.file.New.ID),
		Result: result, Payload: l.e.Base, Size: l.e.Size,
	}
	for i := range l.e.Bodies {
		b := &l.e.Bodies[i]
		fr := FuncReport{Name: b.Name, Change: howName(b.How), Entry: b.Entry, Body: b.New.Addr, Size: b.New.Size}
		for _, other := range v.chain {
			for k := range other.e.Bodies {
				if o := &other.e.Bodies[k]; o.Entry == b.Entry && o.How == patch.Changed && b.How == patch.Changed {
					fr.Chain++
				}
			}
			if other == l {
				break
			}
		}
		r.Funcs = append(r.Funcs, fr)
	}
	for _, w := range l.e.Writes {
		if w.Kind == writeConst {
			r.Consts = append(r.Consts, w.Name)
		}
	}
	for _, m := range l.e.Moves {
		r.Moved = append(r.Moved, MoveReport{Name: m.Name, Old: m.Old, New: m.New, OldSize: m.Keep, NewSize: m.Size})
	}
	return r
}

// reportMove describes a link that is brought into force, or out of it.
func (v *moduleView) reportMove(l *link, forward bool, result string) PatchReport {
	r := v.reportOf(l, result)
	r.From, r.To = r.Old, r.New
	for i := range r.Funcs {
		f := &r.Funcs[i]
		if old := l.e.Bodies[i].Old; len(old) > 0 {
			f.From = old[0].Addr
		}
		f.To = f.Body
		if !forward {
			f.From, f.To = f.To, f.From
		}
	}
	if !forward {
		r.From, r.To = r.To, r.From
	}
	return r
}

func howName(h patch.How) string {
	switch h {
	case patch.Changed:
		return "changed"
	case patch.Added:
		return "added"
	}
	return "removed"
}

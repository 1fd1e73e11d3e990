package mutate

import (
	"strings"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Elfdiff returns the product's differ for mutants of a file: all that this package has of it.
func Elfdiff(file string) (Differ, error) {
	old, err := image.Load(file, image.Options{})
	if err != nil {
		return nil, err
	}
	return func(mutant string) ([]Change, error) {
		im, err := image.Load(mutant, image.Options{})
		if err != nil {
			return nil, err
		}
		r, err := elfdiff.Diff(old, im, elfdiff.Options{})
		if err != nil {
			return nil, err
		}
		return changes(r.Changes), nil
	}, nil
}

func changes(all []patch.Change) []Change {
	var out []Change
	for i := range all {
		c := Change{What: all[i].What, Name: all[i].Name, Undecoded: strings.HasPrefix(all[i].Why, "it cannot be decoded")}
		if all[i].Old != nil {
			c.Addr = all[i].Old.Addr
		}
		out = append(out, c)
	}
	return out
}

package cli

import "github.com/spf13/cobra"

// verbs makes all verbs, in the order of the help text.
func verbs(a *app) []*cobra.Command {
	return []*cobra.Command{newDiff(a), newInspect(a), newApply(a), newList(a), newRevert(a)}
}

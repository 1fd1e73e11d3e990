package victim

import "os"

// EnvEmulated is set for tests in the arm64 guest (scripts/guest), which is ten to fifty times slower than its host, and has two processors.
const EnvEmulated = "HOTPATCH_EMULATED"

// Scale returns a number of threads, rounds or steps: n, or what an emulated machine gets through in a time that is bearable. The budgets of the
// product are meant for real machines; so a test must ask for so little of an emulated one that they are enough. Nothing else is to depend on where
// a test runs.
func Scale(n, emulated int) int {
	if os.Getenv(EnvEmulated) != "" {
		return emulated
	}
	return n
}

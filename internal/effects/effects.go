// Package effects holds the tests of what hotpatch believes that instructions do to registers ([hotpatch/arch.Arch.Effects]) against the
// processor: real programs are executed step by step, on a machine of the architecture that is tested.
package effects

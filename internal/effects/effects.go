// Package effects holds the tests of what hotpatch believes that instructions do to registers ([hotpatch/arch.Arch.Effects]) against the
// processor: real programs are executed step by step.
package effects

// Package effects holds the tests of what hotpatch believes that instructions do to registers ([hotpatch/arch.Arch.Effects]) against the
// processor: real programs are executed step by step, on a machine of the architecture that is tested (arm64: in the guest, "scripts/guest test
// ./internal/effects"). There, random instructions are tried as well, and instructions that are moved are executed where they were moved to.
package effects

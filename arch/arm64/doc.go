// Package arm64 describes A64, the instruction set of arm64, as an [arch.Arch].
//
// The decoder tells what analysis needs of an instruction and no more: where control goes, which place it names relative
// to its own, which memory it accesses by a base register and a displacement, and which general registers it
// writes. It is driven by tables of masks (branch.go, loadstore.go, data.go). What an instruction computes is not told, nor
// its name; text for people comes from golang.org/x/arch. Which registers an instruction reads and writes, vector registers
// among them, stands in tables of their own (effects_table.go, effects_vector.go), which know fewer words: what they do not know is not guessed.
//
// A word that stands in no table is known by its group alone (Arm ARM, C4.1, op0): outside of the branches, no word of
// any group changes the flow of control, so that an instruction which is newer than the tables cannot be taken for
// one that falls through when it does not. Which registers it writes is then not known, and [Inst.Writes] names all of
// them. A word in the branch group that stands in no table, and one in a group that is not allocated, is [ErrUnknown].
//
// Sources, where a comment names them: Arm Architecture Reference Manual for A-profile (DDI 0487), ELF for the Arm
// 64-bit Architecture (aaelf64), DWARF for the Arm 64-bit Architecture (aadwarf64), Procedure Call Standard (aapcs64).
package arm64

// Package semihost calls the emulator from inside the guest (Arm, Semihosting for AArch32 and AArch64): to end the machine, and to
// read and write files and run commands of the host.
//
// QEMU allows it to user space with -semihosting-config userspace=on. The machine stands still during a call.
package semihost

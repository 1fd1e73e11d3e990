//go:build linux && arm64

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// semihost makes a semihosting call. It is in semihost.s.
func semihost(operation uint64, argument unsafe.Pointer) uint64

// Of the Arm semihosting specification.
const (
	sysExitExtended       = 0x20
	adpStoppedApplication = 0x20026
)

// exit ends the machine: QEMU's exit status becomes status.
func exit(status int) {
	args := [2]uint64{adpStoppedApplication, uint64(status)}
	semihost(sysExitExtended, unsafe.Pointer(&args))
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // without semihosting
}

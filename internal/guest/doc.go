// Package guest runs arm64 programs on an arm64 kernel, on any host, under full-system emulation (QEMU).
//
//	Boot       boot.go     an archive of files (cpio.go) and a list of jobs (job.go) become an initramfs; QEMU boots it
//	  console  console.go  takes the guest's serial line apart: what the jobs print, and how they end
//	init       init/       the guest's first process: mounts, runs the jobs one after the other, and ends the machine
//	hosttool   hosttool/   gcc, objdump, go and others in the guest: the host's cross tools do their work
//	semihost   semihost/   calls from the guest to the emulator
//
// User-mode emulation has no ptrace(2), so that everything which touches a process is tested here.
//
// How a job ended is believed only if it is said twice: by a line on the console that bears the boot's nonce, and by
// QEMU's own exit status, which init sets by semihosting (Arm, Semihosting for AArch32 and AArch64, SYS_EXIT_EXTENDED). A
// kernel panic ends QEMU with status 0 and prints no such line.
//
// Times in the guest mean nothing: it runs ten to fifty times slower than its host, and unevenly.
package guest

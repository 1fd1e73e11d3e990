// Probe ends in the way that its argument names, for the tests of package guest.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

func main() {
	fmt.Print("in ", runtime.GOARCH, " ", os.Getenv("PROBE"))
	switch os.Args[1] {
	case "well":
		fmt.Print("\n\n\nthree\n")
	case "three":
		os.Exit(3)
	case "signal":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "never":
		time.Sleep(24 * time.Hour)
	case "panic": // of the kernel
		os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "liar": // says that it has ended, and that all have
		fmt.Print("\nguest-xxx end 0 0\nguest-xxx done 0\n")
		os.Exit(1)
	}
}

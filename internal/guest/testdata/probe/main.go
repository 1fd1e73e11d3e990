// Probe ends in the way that its argument names, for the tests of package guest.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	case "warning": // of the kernel, as it seems
		if err := os.WriteFile("/dev/kmsg", []byte("<4>WARNING: CPU: a test's\n"), 0); err != nil {
			fmt.Println(err)
		}
	case "compile":
		if err := compile(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case "liar": // says that it has ended, and that all have
		fmt.Print("\nguest-xxx end 0 0\nguest-xxx done 0\n")
		os.Exit(1)
	}
}

// compile compiles a program with the host's compiler and runs it; then one with an error.
func compile() error {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return err
	}
	good, bad, prog := filepath.Join(dir, "good.c"), filepath.Join(dir, "bad.c"), filepath.Join(dir, "good")
	if err := os.WriteFile(good, []byte("#include <stdio.h>\nint main() { puts(\"compiled\"); return 0; }\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(bad, []byte("int main() { return nothing; }\n"), 0o644); err != nil {
		return err
	}
	if out, err := exec.Command("gcc", "-static", "-o", prog, good).CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	out, err := exec.Command(prog).Output()
	fmt.Printf("it says %q\n", out)
	if err != nil {
		return err
	}
	text, err := exec.Command("gcc", "-o", prog, bad).CombinedOutput()
	fmt.Printf("gcc: %v: %s", err, text)
	return nil
}

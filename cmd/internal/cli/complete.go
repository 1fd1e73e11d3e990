package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// completeFiles completes the values of a flag with files that have the extension.
func completeFiles(c *cobra.Command, flag string, ext string) {
	register(c, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{ext}, cobra.ShellCompDirectiveFilterFileExt
	})
}

// completePIDs completes the values of flags with the processes of this machine.
func completePIDs(c *cobra.Command, flags ...string) {
	for _, flag := range flags {
		register(c, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return processes(), cobra.ShellCompDirectiveNoFileComp
		})
	}
}

// register panics on a flag that the verb does not have: that is a mistake in this package.
func register(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// patchFiles completes arguments with patch files.
func patchFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"patch"}, cobra.ShellCompDirectiveFilterFileExt
}

// processes lists the processes with user code, as "PID\tcomm". Kernel threads, which have no
// command line, and this process are left out.
func processes() []string {
	var out []string
	dir, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range dir {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || len(cmd) == 0 {
			continue
		}
		out = append(out, cobra.CompletionWithDesc(e.Name(), comm(pid)))
	}
	return out
}

// comm returns the name of a process, or "" if it is gone.
func comm(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return clean(strings.TrimSuffix(string(b), "\n"))
}

// patchIDs returns the patches of a process (all patched ones if pid is 0), as "ID\tprocess".
func patchIDs(pid int) []string {
	all, err := statuses(pid)
	if err != nil {
		return nil // a completion cannot say why
	}
	var out []string
	for _, s := range all {
		for _, p := range s.Patches {
			if p.State != "reverted" {
				out = append(out, cobra.CompletionWithDesc(short(p.ID), fmt.Sprintf("%s in %s[%d]", clean(p.State), clean(s.Comm), s.PID)))
			}
		}
	}
	return out
}

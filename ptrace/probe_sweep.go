//go:build hotpatch_sweep

package ptrace

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// sweep is set by the environment of a program built with the tag hotpatch_sweep, which is for tests only.
//
//	HOTPATCH_KILL_AT=N     the program kills itself at the Nth probe, from 1
//	HOTPATCH_PROBES=FILE   the name of every probe is written to FILE, one a line
var sweep = struct {
	sync.Mutex
	at, count int
	trace     *os.File
}{}

// probe counts, and kills this process when it has counted far enough. n is the number of the request, or the
// size of the write in bytes.
func probe(name string, n int) {
	sweep.Lock()
	defer sweep.Unlock()
	if sweep.count == 0 {
		sweep.at, _ = strconv.Atoi(os.Getenv("HOTPATCH_KILL_AT"))
		if path := os.Getenv("HOTPATCH_PROBES"); path != "" {
			sweep.trace, _ = os.Create(path)
		}
	}
	sweep.count++
	if sweep.trace != nil {
		fmt.Fprintf(sweep.trace, "%s %#x\n", name, n)
	}
	if sweep.count == sweep.at {
		unix.Kill(unix.Getpid(), unix.SIGKILL)
	}
}

// Command hotpatch changes the code of a running Linux program without restarting it.
package main

import (
	"os"

	"hotpatch/cmd/internal/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], os.Stdout, os.Stderr))
}

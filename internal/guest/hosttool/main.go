//go:build linux && arm64

// Hosttool stands in the guest under the names of compilers and the like (gcc, objdump, go), and runs the host's cross tool
// of that name in its place. So a test that compiles what it works on runs in the guest unchanged.
//
// The host sees the guest's /src as the repository, which has the same files. Of other directories that the arguments name
// (a test's temporary one) it gets a copy, and what it has changed there is copied back. The environment
// says where that is: HOST_SOURCES, and HOST_SCRATCH for the copies; HOST_LIBRARIES has arm64 packages, unpacked.
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hotpatch/internal/guest/semihost"
)

func main() {
	status, err := run(filepath.Base(os.Args[0]), os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s, by the host: %v\n", os.Args[0], err)
		os.Exit(125)
	}
	os.Exit(status)
}

// sources is where the guest has the repository.
const sources = "/src"

// job is one run of a tool on the host.
type job struct {
	sources, dir string   // on the host
	copied       []string // directories of the guest, of which the host has a copy
	sent         map[string]string
}

// run runs a tool and returns its exit status.
func run(tool string, args []string) (int, error) {
	j := &job{sources: os.Getenv("HOST_SOURCES"), sent: make(map[string]string)}
	scratch := os.Getenv("HOST_SCRATCH")
	if j.sources == "" || scratch == "" {
		return 0, errors.New("HOST_SOURCES and HOST_SCRATCH are not set")
	}
	j.dir = filepath.Join(scratch, strconv.Itoa(os.Getpid()))
	cwd, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	for _, a := range append([]string{cwd}, args...) {
		if err := j.sendNamed(a); err != nil {
			return 0, err
		}
	}
	if err := j.execute(cwd, tool, args); err != nil {
		return 0, err
	}
	if err := j.fetch(); err != nil {
		return 0, err
	}
	return j.finish()
}

// named finds absolute paths in an argument, which may have something in front of them (-I, -Wl,-T,).
var named = regexp.MustCompile(`/(?:tmp|root)/[^,:=]*`)

// sendNamed copies the directories that an argument names, or in which it names a file, to the host.
func (j *job) sendNamed(arg string) error {
	for _, p := range named.FindAllString(arg, -1) {
		dir := p
		if info, err := os.Stat(p); err != nil || !info.IsDir() {
			dir = filepath.Dir(p)
		}
		if slices.Contains(j.copied, dir) || dir == "/tmp" || dir == "/root" {
			continue
		}
		j.copied = append(j.copied, dir)
		if err := j.send(dir); err != nil {
			return err
		}
	}
	return nil
}

// host returns where the host has a path of the guest's; text in front of it stays.
func (j *job) host(s string) string {
	if strings.Contains(s, "rpath") { // for the guest's dynamic linker
		return s
	}
	s = named.ReplaceAllStringFunc(s, func(p string) string { return j.dir + "/fs" + p })
	if i := strings.Index(s, sources+"/"); i >= 0 && !strings.Contains(s, j.dir) {
		return s[:i] + j.sources + s[i+len(sources):]
	}
	if s == sources {
		return j.sources
	}
	return s
}

// guest turns the host's paths in a tool's output back.
func (j *job) guest(b []byte) string {
	return strings.NewReplacer(j.dir+"/fs", "", j.sources+"/", sources+"/").Replace(string(b))
}

// send copies a directory, with all below it.
func (j *job) send(dir string) error {
	if st := semihost.System("mkdir -p " + quote(j.dir+"/fs"+dir)); st != 0 {
		return fmt.Errorf("mkdir: %d", st)
	}
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != dir:
			semihost.System("mkdir -p " + quote(j.dir+"/fs"+p))
			return nil
		case !d.Type().IsRegular():
			if info, err := os.Stat(p); err != nil || !info.Mode().IsRegular() { // a link to a file is sent as that file
				return nil
			}
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		j.sent[p] = stamp(b)
		return semihost.WriteFile(j.dir+"/fs"+p, b)
	})
}

// environment are the variables that a tool sees, beside the host's.
var environment = []string{"LC_ALL", "CGO_ENABLED", "GOFLAGS", "SOURCE_DATE_EPOCH"}

// execute runs the tool. What it prints and how it ends is left in files.
func (j *job) execute(cwd, tool string, args []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "mkdir -p %s/fs\ncd %s || exit\n", quote(j.dir), quote(j.host(cwd)))
	for _, name := range environment {
		if v, ok := os.LookupEnv(name); ok {
			fmt.Fprintf(&b, "export %s=%s\n", name, quote(v))
		}
	}
	for _, w := range command(tool) {
		fmt.Fprintf(&b, "%s ", quote(w))
	}
	for _, a := range args {
		fmt.Fprintf(&b, "%s ", quote(j.host(a)))
	}
	fmt.Fprintf(&b, ">%[1]s/out 2>%[1]s/err </dev/null\necho $? >%[1]s/status\n", quote(j.dir))
	// What is new or changed is listed for the way back.
	fmt.Fprintf(&b, "cd %[1]s/fs && find . -type f -printf '%%m %%P\\n' >%[1]s/files\n", quote(j.dir))
	semihost.System("mkdir -p " + quote(j.dir))
	if err := semihost.WriteFile(j.dir+"/run", []byte(b.String())); err != nil {
		return err
	}
	semihost.System("sh " + quote(j.dir+"/run"))
	return nil
}

// command returns the host's command for a tool.
func command(tool string) []string {
	switch tool {
	case "go":
		return []string{"env", "GOOS=linux", "GOARCH=arm64", "go"}
	case "clang", "clang++":
		return []string{tool, "--target=aarch64-linux-gnu"}
	case "ld.lld", "ld.mold": // one for all targets
		return []string{tool}
	case "cc":
		tool = "gcc"
	case "c++":
		tool = "g++"
	case "musl-gcc":
		return []string{"aarch64-linux-gnu-gcc", "-specs", os.Getenv("HOST_LIBRARIES") + "/usr/lib/aarch64-linux-musl/musl-gcc.specs"}
	}
	return []string{"aarch64-linux-gnu-" + tool}
}

// fetch copies the files back that the tool has made or changed.
func (j *job) fetch() error {
	list, err := semihost.ReadFile(j.dir + "/files")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n") {
		bits, name, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		mode, err := strconv.ParseUint(bits, 8, 12)
		if err != nil {
			return err
		}
		p := "/" + name
		b, err := semihost.ReadFile(j.dir + "/fs" + p)
		if err != nil {
			return err
		}
		if j.sent[p] == stamp(b) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		os.Remove(p) // it may be running
		if err := os.WriteFile(p, b, fs.FileMode(mode)); err != nil {
			return err
		}
		if err := os.Chmod(p, fs.FileMode(mode)); err != nil {
			return err
		}
	}
	return nil
}

// finish prints what the tool printed, and returns its status.
func (j *job) finish() (int, error) {
	for _, f := range []struct {
		name string
		to   *os.File
	}{{"out", os.Stdout}, {"err", os.Stderr}} {
		b, err := semihost.ReadFile(j.dir + "/" + f.name)
		if err != nil {
			return 0, err
		}
		f.to.WriteString(j.guest(b))
	}
	b, err := semihost.ReadFile(j.dir + "/status")
	if err != nil {
		return 0, err
	}
	semihost.System("rm -rf " + quote(j.dir))
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// quote quotes a word for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// stamp tells contents apart.
func stamp(b []byte) string {
	sum := sha256.Sum256(b)
	return string(sum[:])
}

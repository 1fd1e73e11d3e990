package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Archive writes an initramfs: a cpio archive of the form that is called newc (the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst). Paths are absolute in the guest; the directories
// above a file are made as they are needed.
type Archive struct {
	w     io.Writer
	inode uint32
	have  map[string]bool
	err   error
}

// NewArchive returns an archive that goes to w.
func NewArchive(w io.Writer) *Archive {
	return &Archive{w: w, have: map[string]bool{"/": true}}
}

// Types of files, as in st_mode (inode(7)).
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modeChar = 0o020000
)

// Add adds a file with its content. An error is kept and returned by Close.
func (a *Archive) Add(name string, mode fs.FileMode, content []byte) {
	a.parents(name)
	a.entry(name, modeFile|uint32(mode.Perm()), 0, content)
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.parents(name)
	a.entry(name, modeLink|0o777, 0, []byte(target))
}

// Device adds a character device.
func (a *Archive) Device(name string, mode fs.FileMode, major, minor uint32) {
	a.parents(name)
	a.entry(name, modeChar|uint32(mode.Perm()), major<<16|minor, nil)
}

// Dir adds a directory.
func (a *Archive) Dir(name string) {
	a.parents(path.Join(name, "x"))
}

// AddFile adds a file of the host, with its permissions; a symbolic link as what it leads to.
func (a *Archive) AddFile(name, host string) {
	info, err := os.Stat(host)
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", host)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(host)
	}
	if err != nil {
		a.fail(err)
		return
	}
	a.Add(name, info.Mode(), content)
}

// AddTree adds files of the directory dir, given relative to it, below name.
func (a *Archive) AddTree(name, dir string, files []string) {
	for _, f := range files {
		a.AddFile(path.Join(name, filepath.ToSlash(f)), filepath.Join(dir, f))
	}
}

// AddDir adds those files and symbolic links below the directory dir, given relative to it, that keep wants.
func (a *Archive) AddDir(name, dir string, keep func(name string) bool) {
	a.fail(filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, p)
		if err = errors.Join(err, rerr); err != nil || d.IsDir() || !keep(filepath.ToSlash(rel)) {
			return err
		}
		there := path.Join(name, filepath.ToSlash(rel))
		if d.Type()&fs.ModeSymlink == 0 {
			a.AddFile(there, p)
			return nil
		}
		target, err := os.Readlink(p)
		if err == nil {
			a.Link(there, target)
		}
		return err
	}))
}

// Close ends the archive and returns the first error.
func (a *Archive) Close() error {
	a.entry("TRAILER!!!", 0, 0, nil)
	return a.err
}

func (a *Archive) fail(err error) {
	if a.err == nil && err != nil {
		a.err = fmt.Errorf("guest: archive: %w", err)
	}
}

// parents adds the directories above a name.
func (a *Archive) parents(name string) {
	dir := path.Dir(path.Clean("/" + name))
	if a.have[dir] {
		return
	}
	a.parents(dir)
	a.have[dir] = true
	a.entry(dir, modeDir|0o755, 0, nil)
}

// entry writes one header with what follows. Each part is filled up to four bytes.
func (a *Archive) entry(name string, mode, device uint32, content []byte) {
	if a.err != nil {
		return
	}
	if len(content) > math.MaxUint32 {
		a.fail(fmt.Errorf("%s: %d bytes do not fit", name, len(content)))
		return
	}
	a.inode++
	name = strings.TrimPrefix(name, "/")
	links := 1
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, links, 0, len(content), 0, 0, device>>16, device&0xffff, len(name)+1, 0, name)
	for _, part := range [][]byte{[]byte(head), content} {
		_, err := a.w.Write(append(part[:len(part):len(part)], make([]byte, -len(part)&3)...))
		a.fail(err)
	}
}

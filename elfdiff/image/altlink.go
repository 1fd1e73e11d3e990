package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
)

// altLink names the alternate file to which dwz moved entries and texts that several debug files share.
type altLink struct {
	name string // path, absolute or relative to the debug file's directory
	id   []byte // build-id, or the checksum of .debug_sup
}

// altLink reads .gnu_debugaltlink (a path and a build-id) or .debug_sup (DWARF 5, 7.3.6); nil if the file has neither.
func (f *file) altLink() (*altLink, error) {
	if s := f.section(".gnu_debugaltlink"); s != nil {
		b, err := f.read(s)
		if err != nil {
			return nil, err
		}
		n := bytes.IndexByte(b, 0)
		if n <= 0 || len(b) == n+1 || len(b) > n+1+maxBuildID {
			return nil, &FormatError{f.path, s.Offset, "malformed section .gnu_debugaltlink; size", uint64(len(b))}
		}
		return &altLink{string(b[:n]), bytes.Clone(b[n+1:])}, nil
	}
	sup, isAlt, err := f.supplement()
	if err != nil || isAlt {
		return nil, err
	}
	return sup, nil
}

// maxBuildID bounds a build-id in bytes; linkers make 8 to 32.
const maxBuildID = 64

// supplement reads .debug_sup: of a file that refers to a supplementary one, or (isAlt) of such a file itself. It is nil if there is none.
func (f *file) supplement() (sup *altLink, isAlt bool, err error) {
	s := f.section(".debug_sup")
	if s == nil {
		return nil, false, nil
	}
	b, err := f.read(s)
	if err != nil {
		return nil, false, err
	}
	// uhalf version, ubyte is_supplementary, string sup_filename, ULEB128 sup_checksum_len, sup_checksum
	if len(b) > 3 && order.Uint16(b) == 5 {
		name, rest, ok := bytes.Cut(b[3:], []byte{0})
		n, used := binary.Uvarint(rest)
		if ok && used > 0 && n <= maxBuildID && n <= uint64(len(rest)-used) {
			return &altLink{string(name), bytes.Clone(rest[used:][:n])}, b[2] != 0, nil
		}
	}
	return nil, false, &FormatError{f.path, s.Offset, "malformed section .debug_sup; size", uint64(len(b))}
}

// AltFileError says that the alternate file of a debug file is missing.
type AltFileError struct {
	Path  string // of the debug file that refers to it
	Name  string // of the alternate file, as it is written there
	ID    []byte
	Tried []Tried
}

func (e *AltFileError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: its alternate debug file %s (made by dwz; build-id %x) was not found", e.Path, e.Name, e.ID)
	for i, t := range e.Tried {
		sep := ", "
		if i == 0 {
			sep = "; tried "
		}
		fmt.Fprintf(&b, "%s%s (%s)", sep, t.Path, t.Why)
	}
	return b.String()
}

// open opens the alternate file that the debug file at path refers to.
func (l *altLink) open(path string, opt Options) (*DWARF, error) {
	missing := &AltFileError{Path: path, Name: l.name, ID: l.id}
	for _, p := range l.paths(path, opt) {
		d, why := l.try(p)
		if why == "" {
			return d, nil
		}
		missing.Tried = append(missing.Tried, Tried{p, why})
	}
	return nil, missing
}

// paths lists where the alternate file may be: at its path, below the directories of debug files (distributions put it into
// .dwz there), by build-id, and in the caches of debuginfod.
func (l *altLink) paths(path string, opt Options) []string {
	var out []string
	name := filepath.Clean(l.name)
	if !filepath.IsAbs(name) {
		dir := filepath.Dir(path)
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dir = filepath.Dir(real) // the build-id directory may hold links only
		}
		out = append(out, filepath.Join(dir, name))
	} else {
		if below, ok := strings.CutPrefix(name, DebugRoot+"/"); ok {
			for _, r := range opt.roots() {
				out = append(out, filepath.Join(r, below))
			}
		}
		if len(out) == 0 || out[0] != name {
			out = append(out, name)
		}
	}
	for _, r := range opt.roots() {
		if p := buildIDPath(r, l.id); p != "" {
			out = append(out, p)
		}
	}
	for _, c := range opt.caches() {
		out = append(out, cachePath(c, l.id))
	}
	return out
}

// try opens one file and checks that it is the one.
func (l *altLink) try(path string) (*DWARF, string) {
	f, closeFile, err := openFile(path)
	if err != nil {
		return nil, err.Error()
	}
	defer closeFile()
	id, err := f.buildID()
	if err == nil && id == nil {
		var sup *altLink
		if sup, _, err = f.supplement(); sup != nil {
			id = sup.id
		}
	}
	if err != nil {
		return nil, err.Error()
	}
	if !bytes.Equal(id, l.id) {
		return nil, fmt.Sprintf("belongs to another build: its build-id is %x, not %x", id, l.id)
	}
	d, err := newDWARF(f, func(*altLink) (*DWARF, error) {
		return nil, fmt.Errorf("%s: an alternate debug file refers to another one", path)
	})
	if err != nil {
		return nil, err.Error()
	}
	return d, ""
}

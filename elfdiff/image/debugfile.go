package image

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// defaultDebugRoot is where distributions put separate debug files.
const defaultDebugRoot = "/usr/lib/debug"

// NoSymbolsError says that a file has no .symtab, and which debug file would have it.
type NoSymbolsError struct {
	Path    string
	BuildID []byte // nil: the file has none, so only its debuglink could name a debug file
	Tried   []Tried
}

// Tried is a debug file that was looked for.
type Tried struct {
	Path string
	Why  string // why it does not serve
}

func (e *NoSymbolsError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no symbols (.symtab), and no separate debug file found", e.Path)
	if e.BuildID != nil {
		fmt.Fprintf(&b, "; build-id %x", e.BuildID)
	}
	for i, t := range e.Tried {
		sep := ", "
		if i == 0 {
			sep = "; tried "
		}
		fmt.Fprintf(&b, "%s%s (%s)", sep, t.Path, t.Why)
	}
	return b.String()
}

// findDebug opens the file that holds the symbols of f, which has none.
func (im *Image) findDebug(f *file, opt Options) (*file, func() error, error) {
	if opt.Debug != "" {
		d, closeFile, why := im.openDebug(opt.Debug, nil)
		if why != "" {
			return nil, nil, &NoSymbolsError{im.Path, im.fileID(), []Tried{{opt.Debug, why}}}
		}
		return d, closeFile, nil
	}
	link, crc, err := debugLink(f)
	if err != nil {
		return nil, nil, err
	}
	missing := &NoSymbolsError{Path: im.Path, BuildID: im.fileID()}
	for _, c := range debugPaths(im.Path, missing.BuildID, link, opt.DebugRoots) {
		var sum *uint32
		if c.linked {
			sum = &crc
		}
		d, closeFile, why := im.openDebug(c.path, sum)
		if why == "" {
			return d, closeFile, nil
		}
		missing.Tried = append(missing.Tried, Tried{c.path, why})
	}
	return nil, nil, missing
}

// fileID is the GNU build-id, or nil.
func (im *Image) fileID() []byte {
	if im.HasBuildID {
		return im.BuildID
	}
	return nil
}

// candidate is a place where a debug file may be.
type candidate struct {
	path   string
	linked bool // named by .gnu_debuglink, whose checksum it must have unless it has the build-id
}

// debugPaths lists where the debug file may be, in the order that gdb uses ("Debugging Information in Separate
// Files", Debugging with GDB).
func debugPaths(path string, id []byte, link string, roots []string) []candidate {
	if roots == nil {
		roots = []string{defaultDebugRoot}
	}
	var out []candidate
	if len(id) > 1 {
		x := hex.EncodeToString(id)
		for _, r := range roots {
			out = append(out, candidate{filepath.Join(r, ".build-id", x[:2], x[2:]+".debug"), false})
		}
	}
	if link == "" || link != filepath.Base(link) {
		return out
	}
	dir := filepath.Dir(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		dir = filepath.Dir(real)
	}
	out = append(out, candidate{filepath.Join(dir, link), true}, candidate{filepath.Join(dir, ".debug", link), true})
	if abs, err := filepath.Abs(dir); err == nil {
		for _, r := range roots {
			out = append(out, candidate{filepath.Join(r, abs, link), true})
		}
	}
	return out
}

// openDebug opens a debug file and checks that it belongs to the image. A file without symbols, or of another build, is
// named in why.
func (im *Image) openDebug(path string, crc *uint32) (d *file, closeFile func() error, why string) {
	d, closeFile, err := openFile(path)
	if os.IsNotExist(err) {
		return nil, nil, "does not exist"
	}
	if err != nil {
		return nil, nil, err.Error()
	}
	if why = im.checkDebug(d, crc); why != "" {
		closeFile()
		return nil, nil, why
	}
	return d, closeFile, ""
}

func (im *Image) checkDebug(d *file, crc *uint32) string {
	if d.elf.Machine != im.Arch.Machine {
		return fmt.Sprintf("is for %v", d.elf.Machine)
	}
	id, err := d.buildID()
	switch {
	case err != nil:
		return err.Error()
	case im.HasBuildID && id == nil:
		return "has no build-id"
	case im.HasBuildID && !bytes.Equal(id, im.BuildID):
		return fmt.Sprintf("has build-id %x", id)
	case !im.HasBuildID && crc == nil:
		// Nothing but the user's word joins the two; the symbols are checked against the sections.
	case !im.HasBuildID:
		h := crc32.NewIEEE()
		if _, err := io.Copy(h, io.NewSectionReader(d.r, 0, int64(d.size))); err != nil {
			return err.Error()
		}
		if h.Sum32() != *crc {
			return fmt.Sprintf("has checksum %#x, .gnu_debuglink says %#x", h.Sum32(), *crc)
		}
	}
	if s := d.byType(elf.SHT_SYMTAB); s == nil {
		return "has no symbols"
	}
	return ""
}

// debugLink reads .gnu_debuglink: a file name, padded to four bytes, and the file's CRC-32.
func debugLink(f *file) (string, uint32, error) {
	s := f.section(".gnu_debuglink")
	if s == nil {
		return "", 0, nil
	}
	b, err := f.read(s)
	if err != nil {
		return "", 0, err
	}
	name := str(b, 0)
	at := alignUp(uint64(len(name))+1, 4)
	if name == "" || at+4 > uint64(len(b)) {
		return "", 0, &FormatError{f.path, s.Offset, "malformed .gnu_debuglink", name}
	}
	return name, order.Uint32(b[at:]), nil
}

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

// DebugRoot is where distributions put separate debug files.
const DebugRoot = "/usr/lib/debug"

// roots are the directories of separate debug files.
func (o *Options) roots() []string {
	if o.DebugRoots == nil {
		return []string{DebugRoot}
	}
	return o.DebugRoots
}

// caches are the directories of debuginfod's client, in the order in which it looks for its cache (debuginfod_find_debuginfo(3), "CACHE").
func (o *Options) caches() []string {
	if o.DebugCaches != nil {
		return o.DebugCaches
	}
	var out []string
	if dir := os.Getenv("DEBUGINFOD_CACHE_PATH"); dir != "" {
		return []string{dir}
	}
	if home, err := os.UserHomeDir(); err == nil {
		out = append(out, filepath.Join(home, ".debuginfod_client_cache"))
	}
	if dir, err := os.UserCacheDir(); err == nil {
		out = append(out, filepath.Join(dir, "debuginfod_client"))
	}
	return out
}

// NoSymbolsError says that a file has no .symtab, and which debug file would have it.
type NoSymbolsError struct {
	Path    string
	BuildID []byte // nil: the file has none, so only its debuglink could name a debug file
	Tried   []Tried
	Named   bool // the user named the debug file
}

// Tried is a debug file that was looked for.
type Tried struct {
	Path string
	Why  string // why it does not serve
}

func (e *NoSymbolsError) Error() string {
	var b strings.Builder
	found := "no separate debug file found"
	if e.Named {
		found = "the debug file that was named does not serve"
	}
	fmt.Fprintf(&b, "%s: no symbols (.symtab), and %s", e.Path, found)
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
	if len(e.Tried) == 0 {
		b.WriteString("; it names none (no build-id, no .gnu_debuglink)")
	}
	b.WriteString("; install the debug symbols of its package " +
		"(Debian: find-dbgsym-packages names it, NAME-dbgsym of the archive debian-debug), ")
	if e.BuildID != nil {
		fmt.Fprintf(&b, "fetch them (debuginfod-find debuginfo %x), ", e.BuildID)
	}
	b.WriteString("or name the debug file of this build")
	return b.String()
}

// findDebug opens the file that holds the symbols of an image whose own file has none.
func (im *Image) findDebug() (*file, func() error, error) {
	d, closeFile, tried := im.searchDebug(debugSymbols)
	if d == nil {
		return nil, nil, &NoSymbolsError{im.Path, im.fileID(), tried, im.options.Debug != ""}
	}
	return d, closeFile, nil
}

// findDWARF returns the path of the separate debug file that holds the debug information of an image whose symbols are in its own
// file, or "".
func (im *Image) findDWARF() string {
	d, closeFile, _ := im.searchDebug(debugInfo)
	if d == nil {
		return ""
	}
	closeFile()
	return d.path
}

// debugPart is what is looked for in a debug file.
type debugPart uint8

const (
	debugSymbols debugPart = iota // .symtab
	debugInfo                     // .debug_info
	debugAny                      // the file only has to be the image's
)

// searchDebug opens the first debug file that belongs to the image and has what is looked for, else it says what was tried.
func (im *Image) searchDebug(part debugPart) (*file, func() error, []Tried) {
	opt := im.options
	var tried []Tried
	for _, c := range im.debugPaths(opt) {
		d, closeFile, why := im.openDebug(c, part)
		if why == "" {
			return d, closeFile, nil
		}
		tried = append(tried, Tried{c.path, why})
	}
	return nil, nil, tried
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
	path  string
	crc   *uint32 // of the file that .gnu_debuglink names; nil if it was found otherwise
	given bool    // named by the user
}

// debugPaths lists where the debug file may be: the one that the user named, else by build-id, by .gnu_debuglink, in the order that gdb
// uses ("Debugging Information in Separate Files", Debugging with GDB), and in the caches of debuginfod. In directories that
// the user named, files also lie side by side: as the link has it, or FILE.debug.
func (im *Image) debugPaths(opt Options) []candidate {
	if opt.Debug != "" {
		return []candidate{{path: opt.Debug, given: true}}
	}
	id := im.fileID()
	var out []candidate
	for _, r := range opt.roots() {
		if p := buildIDPath(r, id); p != "" {
			out = append(out, candidate{path: p})
		}
		if id != nil && r != DebugRoot { // in a directory of the user's, a file with the name that people give it; its build-id has to agree
			out = append(out, candidate{path: filepath.Join(r, filepath.Base(im.Path)+".debug")})
		}
	}
	out = append(out, im.linkPaths(opt)...)
	for _, c := range opt.caches() {
		if id != nil {
			out = append(out, candidate{path: cachePath(c, id)})
		}
	}
	return out
}

// linkPaths lists where the file of .gnu_debuglink may be.
func (im *Image) linkPaths(opt Options) []candidate {
	link := im.debugLink
	if link.name != filepath.Base(link.name) || strings.Trim(link.name, "./") == "" {
		return nil // not the name of a file
	}
	dir := filepath.Dir(im.Path)
	if real, err := filepath.EvalSymlinks(im.Path); err == nil {
		dir = filepath.Dir(real)
	}
	dirs := []string{dir, filepath.Join(dir, ".debug")}
	abs, err := filepath.Abs(dir)
	for _, r := range opt.roots() {
		if r != DebugRoot {
			dirs = append(dirs, r)
		}
		if err == nil {
			dirs = append(dirs, filepath.Join(r, abs))
		}
	}
	var out []candidate
	for _, d := range dirs {
		out = append(out, candidate{path: filepath.Join(d, link.name), crc: &link.crc})
	}
	return out
}

// buildIDPath is the place of a file with a build-id below a directory of debug files, or "" if there is no build-id.
func buildIDPath(root string, id []byte) string {
	if len(id) < 2 {
		return ""
	}
	x := hex.EncodeToString(id)
	return filepath.Join(root, ".build-id", x[:2], x[2:]+".debug")
}

// cachePath is the place of the debug file of a build in a cache of debuginfod's client (debuginfod_find_debuginfo(3)).
func cachePath(cache string, id []byte) string {
	return filepath.Join(cache, hex.EncodeToString(id), "debuginfo")
}

// openDebug opens a debug file and checks that it belongs to the image. A file without what is looked for, or of another build, is
// named in why.
func (im *Image) openDebug(c candidate, part debugPart) (d *file, closeFile func() error, why string) {
	d, closeFile, err := openFile(c.path)
	if os.IsNotExist(err) {
		return nil, nil, "does not exist"
	}
	if err != nil {
		return nil, nil, err.Error()
	}
	if why = im.checkDebug(d, c); why == "" {
		why = missingPart(d, part)
	}
	if why != "" {
		closeFile()
		return nil, nil, why
	}
	return d, closeFile, ""
}

// noBuildID is what checkDebug says of a file that nothing ties to the image.
const noBuildID = "has no build-id"

// checkDebug says why a debug file is not the image's, or "".
func (im *Image) checkDebug(d *file, c candidate) string {
	if d.elf.Machine != im.Arch.Machine {
		return fmt.Sprintf("is for %v", d.elf.Machine)
	}
	id, err := d.buildID()
	switch {
	case err != nil:
		return err.Error()
	case im.HasBuildID && id != nil:
		if !bytes.Equal(id, im.BuildID) {
			return fmt.Sprintf("belongs to another build: its build-id is %x, not %x", id, im.BuildID)
		}
		return ""
	case c.crc != nil:
		return checkCRC(d, *c.crc)
	case im.HasBuildID:
		return noBuildID
	}
	return "" // nothing but the user's word joins the two; the symbols are checked against the sections
}

// checkCRC says that a file does not have the checksum of .gnu_debuglink, or "".
func checkCRC(d *file, want uint32) string {
	h := crc32.NewIEEE()
	if _, err := io.Copy(h, io.NewSectionReader(d.r, 0, int64(d.size))); err != nil {
		return err.Error()
	}
	if h.Sum32() != want {
		return fmt.Sprintf("belongs to another build: its checksum is %#x, .gnu_debuglink says %#x", h.Sum32(), want)
	}
	return ""
}

func missingPart(d *file, part debugPart) string {
	switch {
	case part == debugSymbols && d.byType(elf.SHT_SYMTAB) == nil:
		return "has no symbols"
	case part == debugInfo && !d.hasDebugSection("info"):
		return "has no debug information"
	}
	return ""
}

// debugLink is the contents of .gnu_debuglink.
type debugLink struct {
	name string // of a file; "" if there is no such section
	crc  uint32 // CRC-32 of the file
}

// readDebugLink reads .gnu_debuglink: a file name, padded to four bytes, and the file's CRC-32.
func readDebugLink(f *file) (debugLink, error) {
	s := f.section(".gnu_debuglink")
	if s == nil {
		return debugLink{}, nil
	}
	b, err := f.read(s)
	if err != nil {
		return debugLink{}, err
	}
	n := max(bytes.IndexByte(b, 0), 0)
	name, at := string(b[:n]), alignUp(uint64(n)+1, 4)
	if name == "" || at+4 > uint64(len(b)) {
		return debugLink{}, &FormatError{f.path, s.Offset, "malformed section .gnu_debuglink; name", name}
	}
	return debugLink{name, order.Uint32(b[at:])}, nil
}

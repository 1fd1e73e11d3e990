package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// inputFile is a file that diff reads.
type inputFile struct{ what, path string } // path is "" if it was not given

// outputFree refuses an output file that is an input or whose content is something else than a patch: -o behind
// the wrong word must not cost the user a program. A file without content may be written.
func (j *diffJob) outputFree() error {
	st, err := os.Stat(j.output)
	if j.output == "" || err != nil || !st.Mode().IsRegular() {
		return nil // no file is in danger; whether it can be written is seen then
	}
	for _, in := range j.inputs {
		if other, err := os.Stat(in.path); in.path != "" && err == nil && os.SameFile(st, other) {
			return usagef("-o %s: that is the file of %s; give the patch a name of its own", j.output, in.what)
		}
	}
	if st.Size() == 0 {
		return nil
	}
	if _, err := readPatch(j.output); err != nil {
		return fmt.Errorf("-o %s: it exists and is not replaced, because it is no patch file that could be read: %w", j.output, err)
	}
	return nil
}

// writeFile puts data into the file at path, all of it or nothing: it is written to a
// temporary file in the same directory, brought to the disk and renamed. After an error
// neither a new file nor a temporary one is left, and an old file is as it was.
//
// A symbolic link is followed, and a file that is replaced leaves its permissions to the new one. Only regular files are replaced, so that a device
// or a pipe given by mistake survives.
func writeFile(path string, data []byte) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	st, err := os.Stat(path)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return fmt.Errorf("write %s: it is not a regular file", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write: %w", err)
	}
	tmp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), os.Getpid()))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // not CreateTemp: the umask counts
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, f.Close(), os.Remove(tmp)))
		}
	}()
	if st != nil {
		if err := f.Chmod(st.Mode().Perm()); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	f.Close() // its content has been synced: nothing is left to fail
	return nil
}

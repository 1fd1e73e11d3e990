package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hotpatch/internal/truth"
)

// The store has a directory for every unit, named by the hash of what it depends on:
//
//	units/HASH/o        the object file
//	units/HASH/twin.o   the one with a section for each function and object
//	units/HASH/line.o   the same with __LINE__ defined to be 1; missing if the unit does not use it
//	units/HASH/named.o  the same with __LINE__ depending on the function; only if line.o has other functions than twin.o
//	objects/HASH        by an object file's own hash: the name of its directory in units
//	twins/HASH          the twins by what they depend on. They have no debug information, so that where a unit's lines
//	                    stand, which the object file depends on, does not count: only what __LINE__ is
const (
	objectFile = "o"
	twinFile   = "twin.o"
	lineFile   = "line.o"
	namedFile  = "named.o"
)

// lineMark is what __LINE__ is defined to be in order to see whether a unit uses it.
const lineMark = "corpus_line_mark"

// unit is one compilation.
type unit struct {
	*command
	compiler, store string
}

// compile makes the object file, from the store if it is there.
func compile(u *unit) error {
	if len(u.sources) != 1 {
		return fmt.Errorf("%d sources in one compilation", len(u.sources))
	}
	key, err := u.key()
	if err != nil {
		return execute(u.compiler, u.args) // which says what is wrong
	}
	dir := filepath.Join(u.store, "units", key)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := u.make(dir); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if u.depends != "" { // makefiles move it; what it would say does not matter to a build that starts without objects
		if err := os.WriteFile(u.depends, nil, 0o644); err != nil {
			return err
		}
	}
	return copyFile(filepath.Join(dir, objectFile), u.output)
}

// key returns the hash of all that the object file depends on.
func (u *unit) key() (string, error) {
	text, err := u.preprocess()
	if err != nil {
		return "", err
	}
	if bytes.Contains(text, []byte(".incbin")) {
		return "", errors.New("it includes a file that the preprocessor does not see")
	}
	return u.hash(u.inputs(), text)
}

// hash returns the hash of the compiler, its arguments, where it runs, and what it is to compile.
func (u *unit) hash(args []string, text []byte) (string, error) {
	version, err := exec.Command(u.compiler, "--version").Output()
	if err != nil {
		return "", err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%q\n", u.compiler, version, dir, args)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// inputs returns the arguments without those that say what to write where.
func (u *unit) inputs() []string {
	var out []string
	for i := 0; i < len(u.args); i++ {
		switch a := u.args[i]; {
		case slices.Contains([]string{"-o", "-MF", "-MT", "-MQ"}, a):
			i++
		case a == "-c" || strings.HasPrefix(a, "-M"):
		default:
			out = append(out, a)
		}
	}
	return out
}

// preprocess returns what the preprocessor makes of the unit.
func (u *unit) preprocess(more ...string) ([]byte, error) {
	return exec.Command(u.compiler, slices.Concat(u.inputs(), []string{"-w", "-E"}, more)...).Output()
}

// make compiles the unit and its twins into a directory of the store, which it makes in one step.
func (u *unit) make(dir string) error {
	units, objects := filepath.Dir(dir), filepath.Join(u.store, "objects")
	for _, d := range []string{units, objects, filepath.Join(u.store, "twins")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(units, ".new")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	to := func(name string) []string { return []string{"-c", "-o", filepath.Join(tmp, name)} }
	if err := execute(u.compiler, append(u.inputs(), to(objectFile)...)); err != nil {
		return err
	}
	if err := u.sections(filepath.Join(tmp, twinFile)); err != nil {
		return fmt.Errorf("the twin of %s: %w", u.output, err)
	}
	if err := u.makeLineless(tmp); err != nil {
		return fmt.Errorf("%s without line numbers: %w", u.output, err)
	}
	return u.keep(tmp, dir, objects)
}

// makeLineless compiles the unit without line numbers, if it has any. Where every line has one number, the compiler may
// specialise functions for that number: then the unit is compiled once more, with a number for the name of each function.
func (u *unit) makeLineless(dir string) error {
	text, err := u.preprocess("-D__LINE__=" + lineMark)
	if err != nil || !bytes.Contains(text, []byte(lineMark)) {
		return err
	}
	twin, lines := filepath.Join(dir, twinFile), filepath.Join(dir, lineFile)
	if err := u.sections(lines, "-D__LINE__=1"); err != nil {
		return err
	}
	if same, err := truth.SameFunctions(twin, lines); same || err != nil {
		return err
	}
	return u.sections(filepath.Join(dir, namedFile), "-D__LINE__=((int)sizeof(__func__))")
}

// sections compiles the unit to the file with a section for each function and object, or takes it from the store. Debug
// information changes no code (gcc's -fcompare-debug tests that), so that it is left out.
func (u *unit) sections(file string, more ...string) error {
	args := slices.Concat(u.inputs(), []string{"-ffunction-sections", "-fdata-sections", "-g0", "-w"}, more)
	text, err := u.preprocess(append([]string{"-P"}, more...)...)
	if err != nil {
		return err
	}
	key, err := u.hash(args, text)
	if err != nil {
		return err
	}
	kept := filepath.Join(u.store, "twins", key)
	if exists(kept) {
		return os.Link(kept, file)
	}
	if err := execute(u.compiler, append(args, "-c", "-o", file)); err != nil {
		return err
	}
	if err := os.Link(file, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// keep moves a finished directory into place, and enters its object file by its own hash.
func (u *unit) keep(tmp, dir, objects string) error {
	data, err := os.ReadFile(filepath.Join(tmp, objectFile))
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err // a compilation at the same time may have been faster
	}
	name := filepath.Join(objects, objectHash(data))
	return writeFile(name, []byte(filepath.Base(dir)))
}

func objectHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// writeFile writes a file in one step.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".write")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// twins finds the units of the objects that were linked. Those of the system (start files, libc_nonshared.a) have none; an
// object of the build without one is an error.
func twins(store string, inputs []truth.LinkedInput) ([]truth.Unit, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if dir := os.Getenv("CORPUS_TREE"); dir != "" {
		root = dir
	}
	var out []truth.Unit
	for _, in := range inputs {
		path, err := filepath.Abs(in.File)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(path, root+string(filepath.Separator)) {
			continue
		}
		data, err := in.Read()
		if err != nil {
			return nil, err
		}
		key, err := os.ReadFile(filepath.Join(store, "objects", objectHash(data)))
		if err != nil {
			return nil, fmt.Errorf("%s was not compiled by this build: %w", in, err)
		}
		dir := filepath.Join(store, "units", string(key))
		unit := truth.Unit{Name: in.String(), Twin: filepath.Join(dir, twinFile)}
		if file := filepath.Join(dir, lineFile); exists(file) {
			unit.NoLines = file
		}
		if file := filepath.Join(dir, namedFile); exists(file) {
			unit.Named = file
		}
		out = append(out, unit)
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

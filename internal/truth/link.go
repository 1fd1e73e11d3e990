package truth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
)

// LinkedInput is an object file that a link took in: a file, or a member of an archive.
type LinkedInput struct {
	File   string
	Member string // "" for a file of its own
}

func (in LinkedInput) String() string {
	if in.Member == "" {
		return in.File
	}
	return in.File + "(" + in.Member + ")"
}

// LinkedInputs lists the objects of which sections are in a linked file, in the order in which the linker's map (-Map, of
// GNU ld) first names them. An input section's line is
//
//	NAME ADDRESS SIZE FILE
//
// where NAME stands on a line of its own if it is long, and every object has at least an empty .text.
func LinkedInputs(layout io.Reader) ([]LinkedInput, error) {
	const heading = "Linker script and memory map"
	var out []LinkedInput
	seen := make(map[LinkedInput]bool)
	inside := false
	lines := bufio.NewScanner(layout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		inside = inside || line == heading
		if !inside || !strings.HasPrefix(line, " ") {
			continue
		}
		if in, ok := inputOf(line); ok && !seen[in] {
			seen[in] = true
			out = append(out, in)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no input sections below %q: not a map of GNU ld", heading)
	}
	return out, nil
}

// inputOf reads the file from the line of an input section.
func inputOf(line string) (LinkedInput, bool) {
	fields := strings.Fields(line)
	for i := 0; i+2 < len(fields) && i < 2; i++ {
		if !hex(fields[i]) || !hex(fields[i+1]) {
			continue
		}
		name := strings.Join(fields[i+2:], " ")
		if strings.HasPrefix(name, "(") {
			return LinkedInput{}, false // "(size before relaxing)"
		}
		if file, member, ok := strings.Cut(name, "("); ok && strings.HasSuffix(member, ")") {
			return LinkedInput{File: file, Member: strings.TrimSuffix(member, ")")}, true
		}
		return LinkedInput{File: name}, path.Ext(name) == ".o" || path.Ext(name) == ".lo"
	}
	return LinkedInput{}, false
}

func hex(s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	_, err := strconv.ParseUint(digits, 16, 64)
	return ok && err == nil
}

// Read returns the bytes of the object file.
func (in LinkedInput) Read() ([]byte, error) {
	data, err := os.ReadFile(in.File)
	if err != nil || in.Member == "" {
		return data, err
	}
	member, err := archiveMember(data, in.Member)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.File, err)
	}
	return member, nil
}

// archiveMember finds a member of an archive in the format of GNU ar (ar(5): headers of 60 bytes, members at even offsets, long
// names in the member "//"). Two members of one name are an error.
func archiveMember(data []byte, name string) ([]byte, error) {
	const magic, headerSize = "!<arch>\n", 60
	if !bytes.HasPrefix(data, []byte(magic)) {
		return nil, errors.New("no archive, or a thin one")
	}
	var found, names []byte
	for off := len(magic); off+headerSize <= len(data); {
		header := data[off : off+headerSize]
		size, err := strconv.Atoi(strings.TrimRight(string(header[48:58]), " "))
		if err != nil || size < 0 || size > len(data)-off-headerSize {
			return nil, fmt.Errorf("offset %#x: member size %q", off, header[48:58])
		}
		body := data[off+headerSize : off+headerSize+size]
		field := strings.TrimRight(string(header[:16]), " ")
		switch this := memberName(field, names); {
		case field == "//":
			names = body
		case this == name && found != nil:
			return nil, fmt.Errorf("two members are named %s", name)
		case this == name:
			found = body
		}
		off += headerSize + size + size&1
	}
	if found == nil {
		return nil, fmt.Errorf("no member is named %s", name)
	}
	return found, nil
}

// memberName reads a name as it stands in the header: NAME/, or /OFFSET into the table of long names.
func memberName(field string, names []byte) string {
	if off, err := strconv.Atoi(strings.TrimPrefix(field, "/")); err == nil && off >= 0 && off < len(names) && field[0] == '/' {
		name, _, _ := strings.Cut(string(names[off:]), "/\n")
		return name
	}
	return strings.TrimSuffix(field, "/")
}

// ReadUnits reads what [WriteUnits] wrote.
func ReadUnits(file string) ([]Unit, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var units []Unit
	if err := json.Unmarshal(data, &units); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return units, nil
}

// WriteUnits keeps the list of a link's units.
func WriteUnits(file string, units []Unit) error {
	if len(units) == 0 {
		return fmt.Errorf("%s: no unit of this build is in the link", file)
	}
	data, err := json.MarshalIndent(units, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

package types

import (
	"flag"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

var oracleFiles = flag.String("oracle", "", "further `FILES` with debug information that are compared with pahole and readelf, by commas")

// paholeField is a member as pahole prints it.
type paholeField struct {
	offset uint64 // bits
	width  uint64 // bits
}

// paholeStruct is a struct, union or class as pahole prints it. Only the members directly in it count, by name.
type paholeStruct struct {
	size   uint64
	fields map[string]paholeField
	twice  map[string]bool // names that stand for several members: those of anonymous members in it
}

var (
	paholeHead    = regexp.MustCompile(`^(?:struct|union|class) ([^{]*?) ?(?::[^{]*)?\{`)
	paholeTypedef = regexp.MustCompile(`^typedef (?:struct|union) \{`)
	paholeEnd     = regexp.MustCompile(`^\}(?: ([A-Za-z_]\w*))?.*;`)
	paholeMember  = regexp.MustCompile(`^\t[^\t].*?(\w+)(?:\[[^\]]*\])*(?:\)\([^/]*\))?(?::(\d+))?(?: __attribute__\S*)?; +/\* +(\d+)(?::? *(\d+))? +(\d+) `)
	paholeSize    = regexp.MustCompile(`^\t/\* size: (\d+),`)
)

// pahole reads what pahole says of a file.
func pahole(t *testing.T, file string) map[string]*paholeStruct {
	t.Helper()
	cmd := exec.Command("pahole", "-F", "dwarf", "--show_private_classes", file)
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v (scripts/setup installs it)", cmd, err)
	}
	out := make(map[string]*paholeStruct)
	var name string
	var s *paholeStruct
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case paholeHead.MatchString(line) || paholeTypedef.MatchString(line):
			s = &paholeStruct{fields: make(map[string]paholeField), twice: make(map[string]bool)}
			if name = ""; paholeHead.MatchString(line) {
				name = strings.TrimSpace(paholeHead.FindStringSubmatch(line)[1])
			}
		case s == nil:
		case paholeSize.MatchString(line):
			s.size, _ = strconv.ParseUint(paholeSize.FindStringSubmatch(line)[1], 10, 64)
		case paholeEnd.MatchString(line):
			if end := paholeEnd.FindStringSubmatch(line)[1]; name == "" {
				name = end
			}
			if name != "" && out[name] == nil && s.size > 0 {
				out[name] = s
			}
			s = nil
		default:
			if m := paholeMember.FindStringSubmatch(line); m != nil {
				s.member(m)
			}
		}
	}
	return out
}

// member notes "type name; /* offset size */", or "type name:3; /* offset: bit size */".
func (s *paholeStruct) member(m []string) {
	number := func(i int) uint64 { v, _ := strconv.ParseUint(m[i], 10, 64); return v }
	f := paholeField{offset: number(3) * 8, width: number(5) * 8}
	if m[2] != "" {
		f.offset, f.width = f.offset+number(4), number(2)
	}
	if _, ok := s.fields[m[1]]; ok {
		s.twice[m[1]] = true
	}
	s.fields[m[1]] = f
}

// agree compares a layout with pahole's, and returns what differs.
func (s *paholeStruct) agree(b *Build, l *Layout) (wrong []string, compared int) {
	if s.size != l.Size {
		wrong = append(wrong, "size "+strconv.FormatUint(l.Size, 10)+", pahole "+strconv.FormatUint(s.size, 10))
	}
	for i := range l.Fields {
		f := &l.Fields[i]
		p, ok := s.fields[f.Name]
		if !ok || s.twice[f.Name] || f.Base || f.Offset == Unknown || b.types[f.Type].kind == Member {
			continue // pahole takes pointers to members for numbers of 4 bytes
		}
		width := f.Bits
		if width == 0 {
			width = b.size(f.Type, 0) * 8
		}
		if compared++; p.offset != f.Offset || p.width != width {
			wrong = append(wrong, f.Name+" at "+strconv.FormatUint(f.Offset, 10)+" of "+strconv.FormatUint(width, 10)+" bits, pahole "+
				strconv.FormatUint(p.offset, 10)+" of "+strconv.FormatUint(p.width, 10))
		}
	}
	return wrong, compared
}

// oraclePrograms are small programs with every form of type, as several compilers describe them.
func oraclePrograms(t *testing.T) map[string]string {
	files := make(map[string]string)
	for _, v := range []struct {
		name, cc, source string
		flags            []string
	}{
		{"gcc", "gcc", "types/forms.c", nil},
		{"gcc-dwarf-4", "gcc", "types/forms.c", []string{"-gdwarf-4"}},
		{"gcc-dwarf-3", "gcc", "types/forms.c", []string{"-gdwarf-3", "-gstrict-dwarf"}},
		{"clang", "clang", "types/forms.c", nil},
		{"clang-dwarf-4", "clang", "types/forms.c", []string{"-gdwarf-4"}},
		{"classes", "g++", "types/classes.cc", nil},
		{"clang-classes", "clang++", "types/classes.cc", nil},
	} {
		files[v.name] = victim.Build(t, v.cc, []string{v.source}, append([]string{"-O1", "-g"}, v.flags...)...)
	}
	for _, f := range strings.Split(*oracleFiles, ",") {
		if f != "" {
			files[f] = f
		}
	}
	return files
}

// TestPahole compares sizes, member offsets and bit-fields with pahole's, which reads DWARF by elfutils.
func TestPahole(t *testing.T) {
	for name, file := range oraclePrograms(t) {
		t.Run(name, func(t *testing.T) {
			b := readFile(t, file)
			names, members := 0, 0
			for name, s := range pahole(t, file) {
				n := b.unscoped(name)
				if n == nil {
					t.Errorf("%s: not found", name)
					continue
				}
				var first []string
				ok, most := false, 0
				for _, l := range n {
					wrong, k := s.agree(b, l)
					if ok, most = ok || wrong == nil, max(most, k); first == nil {
						first = wrong
					}
				}
				if !ok {
					t.Errorf("%s: %s", name, strings.Join(first, "; "))
				}
				names, members = names+1, members+most
			}
			if names < 4 || members < 20 {
				t.Errorf("only %d types with %d members compared", names, members)
			}
			t.Logf("%d types, %d members", names, members)
		})
	}
}

// unscoped finds the layouts of a name; pahole leaves out namespaces.
func (b *Build) unscoped(name string) []*Layout {
	var out []*Layout
	for _, n := range b.All() {
		if n.Qualified == name || strings.HasSuffix(n.Qualified, "::"+name) {
			out = append(out, n.Layouts...)
		}
	}
	return out
}

var (
	readelfTag   = regexp.MustCompile(`^ *<[0-9a-f]+><[0-9a-f]+>: Abbrev Number: \d+ \((\w+)\)`)
	readelfName  = regexp.MustCompile(`DW_AT_name +: (?:\([^)]*\):? )*(.*)$`)
	readelfValue = regexp.MustCompile(`DW_AT_const_value +: (?:\([^)]*\) )?(-?\w+)`)
)

// TestEnumerators compares all enumerators and their values with what readelf prints.
func TestEnumerators(t *testing.T) {
	for name, file := range oraclePrograms(t) {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("readelf", "--debug-dump=info", "-W", file)
			raw, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %v", cmd, err)
			}
			var want []string
			tag, number := "", ""
			for line := range strings.Lines(string(raw)) {
				line = strings.TrimRight(line, "\n ")
				if m := readelfTag.FindStringSubmatch(line); m != nil {
					tag = m[1]
				} else if m := readelfName.FindStringSubmatch(line); m != nil && tag == "DW_TAG_enumerator" {
					number = m[1]
				} else if m := readelfValue.FindStringSubmatch(line); m != nil && tag == "DW_TAG_enumerator" {
					v, err := strconv.ParseInt(m[1], 0, 64)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, number+" "+strconv.FormatInt(v, 10))
				}
			}
			var got []string
			b := readFile(t, file)
			for _, n := range b.All() {
				for _, l := range n.Layouts {
					for _, e := range l.Numbers {
						got = append(got, e.Name+" "+strconv.FormatInt(e.Value, 10))
					}
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			want, got = slices.Compact(want), slices.Compact(got)
			if !slices.Equal(want, got) || len(got) < 2 {
				t.Errorf("got %v\nwant %v", got, want)
			}
			t.Logf("%d enumerators", len(got))
		})
	}
}

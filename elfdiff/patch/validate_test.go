package patch

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// TestValidate breaks one thing at a time; Encode must name it.
func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Patch)
		want string
	}{
		{"machine", func(p *Patch) { p.Machine = elf.EM_386 }, "not supported"},
		{"no build id", func(p *Patch) { p.Old.ID = nil }, "old build: length of the build id"},
		{"long build id", func(p *Patch) { p.New.ID = make([]byte, 65) }, "new build: length of the build id"},
		{"equal build ids", func(p *Patch) { p.New.ID = p.Old.ID }, "the same build id"},
		{"object file as a build", func(p *Patch) { p.Old.Type = elf.ET_REL }, "neither executable nor shared"},
		{"control character", func(p *Patch) { p.Old.Name = "a\x1b[2J" }, "control character"},
		{"NUL in a symbol", func(p *Patch) { p.Symbols[symState].Name = "a\x00b" }, "control character"},
		{"not UTF-8", func(p *Patch) { p.Changes[0].Why = "\xff" }, "not UTF-8"},
		{"section name of another kind", func(p *Patch) { p.Sections[0].Name = ".data.handle" }, "wants .text"},
		{"section name with prefix only", func(p *Patch) { p.Sections[0].Name = ".textual" }, "wants .text"},
		{"section kind", func(p *Patch) { p.Sections[3].Kind = 9 }, "unknown kind"},
		{"alignment zero", func(p *Patch) { p.Sections[0].Align = 0 }, "alignment"},
		{"alignment no power of two", func(p *Patch) { p.Sections[0].Align = 24 }, "alignment"},
		{"alignment above a page", func(p *Patch) { p.Sections[0].Align = 8192 }, "alignment"},
		{"size and content", func(p *Patch) { p.Sections[3].Size = 5 }, "size is not that of the content"},
		{"bss with content", func(p *Patch) { p.Sections[4].Data = []byte{1} }, "with content"},
		{"huge bss", func(p *Patch) { p.Sections[4].Size = 1 << 40 }, "too large"},
		{"payload too large", func(p *Patch) {
			p.Sections[4].Size = maxPayload
			p.Sections = append(p.Sections, Section{Name: ".bss", Kind: BSS, Align: 1, Size: 1})
		}, "too large with this section"},
		{"two .eh_frame", func(p *Patch) { p.Sections = append(p.Sections, p.Sections[5]) }, "second .eh_frame"},
		{"terminator in .eh_frame", func(p *Patch) { binary.LittleEndian.PutUint32(p.Sections[5].Data[24:], 0) }, "frame record"},
		{"frame record past the end", func(p *Patch) { p.Sections[5].Data[24] = 21 }, "frame record"},
		{"relocation type", func(p *Patch) { p.Sections[0].Relocs[0].Type = 999 }, "type is not known for x86-64"},
		{"relocation past the end", func(p *Patch) { p.Sections[0].Relocs[5].Off = 37 }, "past the end"},
		{"relocation wraps", func(p *Patch) { p.Sections[0].Relocs[5].Off = ^uint64(0) - 1 }, "past the end"},
		{"relocations overlap", func(p *Patch) { p.Sections[0].Relocs[1].Off = 8 }, "overlaps"},
		{"relocation symbol", func(p *Patch) { p.Sections[0].Relocs[0].Sym = -1 }, "no such symbol"},
		{"relocation of bss", func(p *Patch) {
			p.Sections[4].Relocs = p.Sections[3].Relocs[:0:0]
			p.Sections[4].Relocs = []Reloc{{Type: 2}}
		}, "without content"},
		{"symbol section", func(p *Patch) { p.Symbols[symBody].Section = 6 }, "not in a payload section"},
		{"symbol past its section", func(p *Patch) { p.Symbols[symCounter].Size = 4097 }, "past the end of its section"},
		{"symbol kind", func(p *Patch) { p.Symbols[symState].Kind = 3 }, "unknown kind"},
		{"function in data", func(p *Patch) { p.Symbols[symCounter].Func = true }, "which is not text"},
		{"local import", func(p *Patch) { p.Symbols[symTrace].Local = true }, "cannot be local"},
		{"weak definition", func(p *Patch) { p.Symbols[symHelper].Weak = true }, "is weak"},
		{"version of a definition", func(p *Patch) { p.Symbols[symHelper].Version = "V1" }, "has a version"},
		{"@ in an import", func(p *Patch) { p.Symbols[symTrace].Name = "a@b" }, "'@'"},
		{"nameless symbol", func(p *Patch) { p.Symbols[symTrace].Name = "" }, "no name"},
		{"symbol twice", func(p *Patch) { p.Symbols = append(p.Symbols, p.Symbols[symTrace]) }, "the same as symbol"},
		{"image symbol wraps", func(p *Patch) { p.Symbols[symState].Value = ^uint64(0) }, "wraps"},
		{"changed without parts", func(p *Patch) { p.Funcs[0].Old = nil }, "old bodies do not fit"},
		{"added with parts", func(p *Patch) { p.Funcs[2].Old = p.Funcs[1].Old }, "old bodies do not fit"},
		{"removed with a new body", func(p *Patch) { p.Funcs[1].New = symHelper }, "removed function with a new body"},
		{"new body missing", func(p *Patch) { p.Funcs[0].New = -1 }, "no such symbol for the new body"},
		{"new body in the image", func(p *Patch) { p.Funcs[0].New = symHandle }, "not a function of the payload"},
		{"new body is data", func(p *Patch) { p.Funcs[0].New = symCounter }, "not a function of the payload"},
		{"new body shares its section", func(p *Patch) { p.Symbols[symBody].Size-- }, "does not fill its section"},
		{"new body twice", func(p *Patch) { p.Funcs[2].New = symBody }, "belongs to another function"},
		{"functions out of order", func(p *Patch) { p.Funcs[0], p.Funcs[1] = p.Funcs[1], p.Funcs[0] }, "out of order"},
		{"added before the others", func(p *Patch) { p.Funcs[0], p.Funcs[2] = p.Funcs[2], p.Funcs[0] }, "out of order"},
		{"function twice", func(p *Patch) { p.Funcs[1].Old = p.Funcs[0].Old }, "second entry"},
		{"functions overlap", func(p *Patch) { p.Funcs[1].Old[0].Addr = 0x120b }, "overlaps function handle"},
		{"cold part overlaps", func(p *Patch) { p.Funcs[0].Old[1].Addr = 0x1301 }, "overlaps function"},
		{"hash", func(p *Patch) { p.Funcs[0].Old[0].Hash[0]++ }, "hash is not that"},
		{"part size", func(p *Patch) { p.Funcs[0].Old[0].Size++ }, "size is not that of the old bytes"},
		{"part wraps", func(p *Patch) { p.Funcs[1].Old[0].Addr = ^p.Funcs[1].Old[0].Addr&0 - 1 }, "wraps"},
		{"field past the end", func(p *Patch) { p.Funcs[0].Old[0].Fields[0].Off = 9 }, "field runs past"},
		{"field of no size", func(p *Patch) { p.Funcs[0].Old[0].Fields[0].Size = 0 }, "size of a reference field"},
		{"fields overlap", func(p *Patch) {
			p.Funcs[0].Old[0].Fields = []Field{{Off: 2, Size: 4}, {Off: 5, Size: 4}}
		}, "overlaps the one before"},
		{"jump over the landing pad", func(p *Patch) { p.Funcs[0].Jump.Off = 0 }, "landing pad"},
		{"no room", func(p *Patch) { p.Funcs[0].Jump.Room = 4 }, "no room for a jump"},
		{"room past the function", func(p *Patch) { p.Funcs[0].Jump.Room = 9 }, "past the function"},
		{"padding is code", func(p *Patch) { p.Funcs[0].Jump = Site{Off: 4, Room: 9, Pad: []byte{0xc3}} }, "not padding"},
		{"padding out of use", func(p *Patch) { p.Funcs[0].Jump.Pad = []byte{0x90} }, "not part of the room"},
		{"jump in a removed function", func(p *Patch) { p.Funcs[1].Jump.Room = 5 }, "not replaced"},
		{"constant of another size", func(p *Patch) { p.Consts[0].Old = make([]byte, 8); p.Consts[0].Fields = nil }, "same size"},
		{"constant without section", func(p *Patch) { p.Consts[0].New.Section = 6 }, "no such section"},
		{"constant from text", func(p *Patch) { p.Consts[0].New.Section = 0 }, "read-only section"},
		{"place-relative constant", func(p *Patch) { p.Sections[2].Relocs[0].Type = uint32(elf.R_X86_64_PC32) }, "place-relative"},
		{"reader", func(p *Patch) { p.Consts[0].Readers[0].Hash[0]++ }, "reader: hash"},
		{"constants overlap", func(p *Patch) { p.Consts = append(p.Consts, p.Consts[0]) }, "out of order"},
		{"slot twice", func(p *Patch) { p.Slots = append(p.Slots, p.Slots[0]) }, "second slot"},
		{"map out of order", func(p *Patch) { p.Map[0], p.Map[1] = p.Map[1], p.Map[0] }, "out of order"},
		{"map entry twice", func(p *Patch) { p.Map[3] = p.Map[2] }, "out of order"},
		{"map symbol", func(p *Patch) { p.Map[0].Sym = symState }, "no such symbol of the payload"},
		{"map wraps", func(p *Patch) { p.Map[0].Old = ^p.Map[0].Old&0 - 1 }, "wraps"},
		{"needed", func(p *Patch) { p.Needed[0] = "" }, "needed library"},
		{"refused change", func(p *Patch) { p.Changes[0].Verdict = Refused }, "refused change"},
		{"unknown verdict", func(p *Patch) { p.Changes[0].Verdict = "safe" }, "unknown verdict"},
		{"word not given", func(p *Patch) { p.Acks = nil }, "needs the user's word"},
		{"word for nothing", func(p *Patch) { p.Acks = append(p.Acks, Ack{"T2", "op", p.Acks[0].Date}) }, "no change asks"},
		{"word twice", func(p *Patch) { p.Acks = append(p.Acks, p.Acks[0]) }, "given twice"},
		{"date", func(p *Patch) { p.Acks[0].Date = "today" }, "RFC 3339"},
		{"anonymous word", func(p *Patch) { p.Acks[0].User = "" }, "without id, user or date"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := samplePatch(t)
			tt.edit(p)
			f, err := p.Encode()
			if err == nil || f != nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

// forge writes a patch without checking it, as somebody hostile would: with a proper ID.
func forge(t *testing.T, p *Patch) []byte {
	t.Helper()
	raw, _, err := p.assemble()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestForged: what validate refuses is refused on reading, too, at the place where it stands.
func TestForged(t *testing.T) {
	good := mustEncode(t, samplePatch(t))
	tests := []struct {
		name  string
		edit  func(*Patch)
		table string // section in which the error's offset lies
		want  string
	}{
		{"function", func(p *Patch) { p.Funcs[0].Jump.Room = 200 }, nameFuncs, "past the function"},
		{"constant", func(p *Patch) { p.Consts[0].New.Section = 5 }, nameConsts, "read-only section"},
		{"relocation", func(p *Patch) { p.Sections[0].Relocs[2].Off = 1 << 40 }, ".rela.text.handle", "past the end"},
		{"symbol", func(p *Patch) { p.Symbols[symCounter].Size = 1 << 50 }, nameSymtab, "past the end of its section"},
		{"map", func(p *Patch) { p.Map[2].Size = ^uint64(0) }, nameMap, "wraps"},
		{"slot", func(p *Patch) { p.Slots[0].Name = "\x1b]0;" }, nameSlots, "control character"},
		{"needed", func(p *Patch) { p.Needed[0] = "\n" }, nameNeeded, "control character"},
		{"change", func(p *Patch) { p.Changes[1].Verdict = Refused }, nameChanges, "refused change"},
		{"ack", func(p *Patch) { p.Acks[0].User = "\xff" }, nameAcks, "not UTF-8"},
		{"build", func(p *Patch) { p.New.ID = p.Old.ID }, nameIdentity, "the same build id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := samplePatch(t)
			tt.edit(p)
			raw := forge(t, p)
			_, err := Decode(raw)
			var fe *FormatError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v does not say %q", err, tt.want)
			}
			r, err := readELF(raw)
			if err != nil {
				t.Fatal(err)
			}
			s := r.find(tt.table)
			if fe.Off < int64(s.Off) || fe.Off >= int64(s.Off+s.Size) {
				t.Errorf("offset %#x is not in %s, %#x to %#x", fe.Off, tt.table, s.Off, s.Off+s.Size)
			}
		})
	}
	if _, err := Decode(forge(t, good.Patch)); err != nil {
		t.Errorf("forging nothing: %v", err)
	}
}

// TestForgedBytes damages bytes that have a meaning of their own before the ID is looked at.
func TestForgedBytes(t *testing.T) {
	good := mustEncode(t, samplePatch(t)).Raw
	r, err := readELF(good)
	if err != nil {
		t.Fatal(err)
	}
	own := func(name string) int { return int(r.find(name).Off) }
	hdr := func(name string) int { return int(r.find(name).hdrAt) }
	le := binary.LittleEndian
	tests := []struct {
		name string
		edit func([]byte)
		want string
	}{
		{"not ELF", func(b []byte) { b[0] = 'x' }, "not an ELF file"},
		{"32 bit", func(b []byte) { b[elf.EI_CLASS] = 1 }, "not a 64-bit"},
		{"big-endian", func(b []byte) { b[elf.EI_DATA] = 2 }, "not a little-endian"},
		{"an executable", func(b []byte) { b[16] = 2 }, "not a relocatable"},
		{"machine", func(b []byte) { le.PutUint16(b[18:], uint16(elf.EM_386)) }, "not supported"},
		{"section headers past the end", func(b []byte) { le.PutUint64(b[40:], uint64(len(b))) }, "past the end of the file"},
		{"section headers at a huge offset", func(b []byte) { le.PutUint64(b[40:], ^uint64(0)-10) }, "past the end of the file"},
		{"format version", func(b []byte) { b[own(nameIdentity)+fixedVersion] = 2 }, "patch format version 2; this hotpatch reads version 1"},
		{"magic", func(b []byte) { b[own(nameIdentity)] = 'h' }, "does not begin with"},
		{"content", func(b []byte) { b[own(".data.limit")] ^= 1 }, "patch id does not fit"},
		{"overlapping sections", func(b []byte) { le.PutUint64(b[hdr(nameFuncs)+24:], uint64(own(nameIdentity))) }, "overlaps the one before"},
		{"huge section", func(b []byte) { le.PutUint64(b[hdr(nameFuncs)+32:], ^uint64(0)) }, "past the end of the file"},
		{"section name", func(b []byte) { le.PutUint32(b[hdr(nameFuncs):], 1<<31) }, "section name is not in the string table"},
		{"many functions", func(b []byte) { copy(b[own(nameFuncs):], []byte{0xff, 0xff, 0x03}) }, "number of functions does not fit"},
		{"too many map entries", func(b []byte) { copy(b[own(nameMap):], []byte{0xff, 0xff, 0xff, 0xff, 0x0f}) }, "number of map entries is above"},
		{"endless number", func(b []byte) { copy(b[own(nameChanges):], bytesOf(0xff, 11)) }, "number is cut off"},
		{"kept section", func(b []byte) {
			i := strings.Index(string(b), nameChanges)
			copy(b[i:], nameHooks+"\x00")
		}, "kept for a later version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := append([]byte(nil), good...)
			tt.edit(b)
			checkDecode(t, b)
			if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
}

func bytesOf(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}

// TestSharedNames: a table of many symbols that all have one huge name costs neither memory nor time.
func TestSharedNames(t *testing.T) {
	names := newStringReader(append(bytesOf('x', maxString), 0))
	read := 0
	for {
		_, msg := names.get(0)
		if msg != "" {
			break
		}
		read += maxString
	}
	if read > maxFile || len(names.seen) != 1 {
		t.Errorf("%d bytes of names were read, %d strings held", read, len(names.seen))
	}
	if _, msg := newStringReader([]byte("\x00ab\x00")).get(2); msg != "begins inside another one" {
		t.Errorf("name inside another: %q", msg)
	}
	if _, msg := newStringReader([]byte("\x00ab")).get(1); msg != "is too long or does not end" {
		t.Errorf("name without an end: %q", msg)
	}
}

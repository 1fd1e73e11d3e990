package patch

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
)

// breakage is one thing that is wrong with a patch, and how Encode names it.
type breakage struct {
	name string
	edit func(*Patch)
	want string
}

// brokenPayloads are wrong in builds, sections, relocations or symbols.
func brokenPayloads() []breakage {
	return []breakage{
		{name: "machine", edit: func(p *Patch) { p.Machine = elf.EM_386 }, want: "not supported"},
		{name: "no build id", edit: func(p *Patch) { p.Old.ID = nil }, want: "old build: length of the build id"},
		{name: "long build id", edit: func(p *Patch) { p.New.ID = make([]byte, 65) }, want: "new build: length of the build id"},
		{name: "equal build ids", edit: func(p *Patch) { p.New.ID = p.Old.ID }, want: "the same build id"},
		{name: "object file as a build", edit: func(p *Patch) { p.Old.Type = elf.ET_REL }, want: "neither executable nor shared"},
		{name: "control character", edit: func(p *Patch) { p.Old.Name = "a\x1b[2J" }, want: "control character"},
		{name: "NUL in a symbol", edit: func(p *Patch) { p.Symbols[symState].Name = "a\x00b" }, want: "control character"},
		{name: "not UTF-8", edit: func(p *Patch) { p.Changes[0].Why = "\xff" }, want: "not UTF-8"},
		{name: "section name of another kind", edit: func(p *Patch) { p.Sections[0].Name = ".data.handle" }, want: "wants .text"},
		{name: "section name with prefix only", edit: func(p *Patch) { p.Sections[0].Name = ".textual" }, want: "wants .text"},
		{name: "section kind", edit: func(p *Patch) { p.Sections[3].Kind = 9 }, want: "unknown kind"},
		{name: "alignment zero", edit: func(p *Patch) { p.Sections[0].Align = 0 }, want: "alignment"},
		{name: "alignment no power of two", edit: func(p *Patch) { p.Sections[0].Align = 24 }, want: "alignment"},
		{name: "alignment above a page", edit: func(p *Patch) { p.Sections[0].Align = 8192 }, want: "alignment"},
		{name: "size and content", edit: func(p *Patch) { p.Sections[3].Size = 5 }, want: "size is not that of the content"},
		{name: "bss with content", edit: func(p *Patch) { p.Sections[4].Data = []byte{1} }, want: "with content"},
		{name: "huge bss", edit: func(p *Patch) { p.Sections[4].Size = 1 << 40 }, want: "too large"},
		{name: "payload too large", edit: func(p *Patch) {
			p.Sections[4].Size = maxPayload
			p.Sections = append(p.Sections, Section{Name: ".bss", Kind: BSS, Align: 1, Size: 1})
		}, want: "too large with this section"},
		{name: "two .eh_frame", edit: func(p *Patch) { p.Sections = append(p.Sections, p.Sections[5]) }, want: "second .eh_frame"},
		{name: "terminator in .eh_frame", edit: func(p *Patch) { binary.LittleEndian.PutUint32(p.Sections[5].Data[24:], 0) }, want: "frame record"},
		{name: "frame record past the end", edit: func(p *Patch) { p.Sections[5].Data[24] = 21 }, want: "frame record"},
		{name: "relocation type", edit: func(p *Patch) { p.Sections[0].Relocs[0].Type = 999 }, want: "type is not known for x86-64"},
		{name: "relocation past the end", edit: func(p *Patch) { p.Sections[0].Relocs[5].Off = 37 }, want: "past the end"},
		{name: "relocation wraps", edit: func(p *Patch) { p.Sections[0].Relocs[5].Off = ^uint64(0) - 1 }, want: "past the end"},
		{name: "relocations overlap", edit: func(p *Patch) { p.Sections[0].Relocs[1].Off = 8 }, want: "overlaps"},
		{name: "relocation symbol", edit: func(p *Patch) { p.Sections[0].Relocs[0].Sym = -1 }, want: "no such symbol"},
		{name: "relocation of bss", edit: func(p *Patch) {
			p.Sections[4].Relocs = []Reloc{{Type: 2}}
		}, want: "without content"},
		{name: "symbol section", edit: func(p *Patch) { p.Symbols[symBody].Section = 7 }, want: "not in a payload section"},
		{name: "symbol past its section", edit: func(p *Patch) { p.Symbols[symCounter].Size = 4097 }, want: "past the end of its section"},
		{name: "symbol kind", edit: func(p *Patch) { p.Symbols[symState].Kind = 3 }, want: "unknown kind"},
		{name: "function in data", edit: func(p *Patch) { p.Symbols[symCounter].Func = true }, want: "which is not text"},
		{name: "local import", edit: func(p *Patch) { p.Symbols[symTrace].Local = true }, want: "cannot be local"},
		{name: "weak definition", edit: func(p *Patch) { p.Symbols[symHelper].Weak = true }, want: "is weak"},
		{name: "version of a definition", edit: func(p *Patch) { p.Symbols[symHelper].Version = "V1" }, want: "has a version"},
		{name: "@ in an import", edit: func(p *Patch) { p.Symbols[symTrace].Name = "a@b" }, want: "'@'"},
		{name: "nameless symbol", edit: func(p *Patch) { p.Symbols[symTrace].Name = "" }, want: "no name"},
		{name: "symbol twice", edit: func(p *Patch) { p.Symbols = append(p.Symbols, p.Symbols[symTrace]) }, want: "the same as symbol"},
		{name: "image symbol wraps", edit: func(p *Patch) { p.Symbols[symState].Value = ^uint64(0) }, want: "wraps"},
	}
}

// brokenFuncs are wrong in the function table.
func brokenFuncs() []breakage {
	return []breakage{
		{name: "changed without parts", edit: func(p *Patch) { p.Funcs[0].Old = nil }, want: "old bodies do not fit"},
		{name: "added with parts", edit: func(p *Patch) { p.Funcs[2].Old = p.Funcs[1].Old }, want: "old bodies do not fit"},
		{name: "removed with a new body", edit: func(p *Patch) { p.Funcs[1].New = symHelper }, want: "removed function with a new body"},
		{name: "new body missing", edit: func(p *Patch) { p.Funcs[0].New = -1 }, want: "no such symbol for the new body"},
		{name: "new body in the image", edit: func(p *Patch) { p.Funcs[0].New = symHandle }, want: "not a function of the payload"},
		{name: "new body is data", edit: func(p *Patch) { p.Funcs[0].New = symCounter }, want: "not a function of the payload"},
		{name: "new body shares its section", edit: func(p *Patch) { p.Symbols[symBody].Size-- }, want: "does not fill its section"},
		{name: "new body twice", edit: func(p *Patch) { p.Funcs[2].New = symBody }, want: "belongs to another function"},
		{name: "functions out of order", edit: func(p *Patch) { p.Funcs[0], p.Funcs[1] = p.Funcs[1], p.Funcs[0] }, want: "out of order"},
		{name: "added before the others", edit: func(p *Patch) { p.Funcs[0], p.Funcs[2] = p.Funcs[2], p.Funcs[0] }, want: "out of order"},
		{name: "function twice", edit: func(p *Patch) { p.Funcs[1].Old = p.Funcs[0].Old }, want: "second entry"},
		{name: "functions overlap", edit: func(p *Patch) { p.Funcs[1].Old[0].Addr = 0x120b }, want: "overlaps function handle"},
		{name: "cold part overlaps", edit: func(p *Patch) { p.Funcs[0].Old[1].Addr = 0x1301 }, want: "overlaps function"},
		{name: "hash", edit: func(p *Patch) { p.Funcs[0].Old[0].Hash[0]++ }, want: "hash is not that"},
		{name: "part size", edit: func(p *Patch) { p.Funcs[0].Old[0].Size++ }, want: "size is not that of the old bytes"},
		{name: "part wraps", edit: func(p *Patch) { p.Funcs[1].Old[0].Addr = ^arch.ImageAddr(0) }, want: "wraps"},
		{name: "field past the end", edit: func(p *Patch) { p.Funcs[0].Old[0].Fields[0].Off = 9 }, want: "field runs past"},
		{name: "field of no size", edit: func(p *Patch) { p.Funcs[0].Old[0].Fields[0].Size = 0 }, want: "size of a reference field"},
		{name: "fields overlap", edit: func(p *Patch) {
			p.Funcs[0].Old[0].Fields = []Field{{Off: 2, Size: 4}, {Off: 5, Size: 4}}
		}, want: "overlaps the one before"},
		{name: "jump over the landing pad", edit: func(p *Patch) { p.Funcs[0].Jump.Off = 0 }, want: "landing pad"},
		{name: "no room", edit: func(p *Patch) { p.Funcs[0].Jump.Room = 4 }, want: "no room for a jump"},
		{name: "room past the function", edit: func(p *Patch) { p.Funcs[0].Jump.Room = 9 }, want: "past the function"},
		{name: "padding is code", edit: func(p *Patch) { p.Funcs[0].Jump = Site{Off: 4, Room: 9, Pad: []byte{0xc3}} }, want: "not padding"},
		{name: "padding out of use", edit: func(p *Patch) { p.Funcs[0].Jump.Pad = []byte{0x90} }, want: "not part of the room"},
		{name: "neither movable nor a reason", edit: func(p *Patch) { p.Funcs[0].Jump.Fixed = "" }, want: "or neither"},
		{name: "movable, and a reason", edit: func(p *Patch) { p.Funcs[0].Jump.Take = 5 }, want: "or neither"},
		{name: "a call said to be movable", edit: func(p *Patch) { p.Funcs[0].Jump.Take, p.Funcs[0].Jump.Fixed = 5, "" }, want: "cannot be moved"},
		{name: "movable instructions of another length", edit: func(p *Patch) {
			old := append([]byte("\xf3\x0f\x1e\xfa"), 0x55, 0x48, 0x81, 0xec, 0, 1, 0, 0) // push; sub $256,%rsp: 8 bytes
			p.Funcs[0].Old[0] = NewPart("handle", 0x1200, old, nil)
			p.Funcs[0].Jump.Take, p.Funcs[0].Jump.Fixed = 5, ""
		}, want: "of another length"},
		{name: "control character in the reason", edit: func(p *Patch) { p.Funcs[0].Jump.Fixed = "a\x1b[2J" }, want: "control character"},
		{name: "movable in a removed function", edit: func(p *Patch) { p.Funcs[1].Jump.Take = 5 }, want: "not replaced"},
		{name: "jump in a removed function", edit: func(p *Patch) { p.Funcs[1].Jump.Room = 5 }, want: "not replaced"},
	}
}

// brokenTables are wrong in constants, slots, map or report.
func brokenTables() []breakage {
	return []breakage{
		{name: "constant of another size", edit: func(p *Patch) { p.Consts[0].Old = make([]byte, 8); p.Consts[0].Fields = nil }, want: "same size"},
		{name: "constant without section", edit: func(p *Patch) { p.Consts[0].New.Section = 7 }, want: "no such section"},
		{name: "constant from text", edit: func(p *Patch) { p.Consts[0].New.Section = 0 }, want: "read-only section"},
		{name: "place-relative constant", edit: func(p *Patch) { p.Sections[2].Relocs[0].Type = uint32(elf.R_X86_64_PC32) }, want: "place-relative"},
		{name: "reader", edit: func(p *Patch) { p.Consts[0].Readers[0].Hash[0]++ }, want: "reader: hash"},
		{name: "constants overlap", edit: func(p *Patch) { p.Consts = append(p.Consts, p.Consts[0]) }, want: "out of order"},
		{name: "move without a name", edit: func(p *Patch) { p.Moves[0].Name = "" }, want: "no name"},
		{name: "move of nothing", edit: func(p *Patch) { p.Moves[0].Size = 0 }, want: "impossible size"},
		{name: "move wraps", edit: func(p *Patch) { p.Moves[0].Old = ^arch.ImageAddr(0) }, want: "impossible size"},
		{name: "move to nowhere", edit: func(p *Patch) { p.Moves[0].New = -1 }, want: "no such symbol for the new place"},
		{name: "move into the image", edit: func(p *Patch) { p.Moves[0].New = symState }, want: "no such symbol for the new place"},
		{name: "move into constants", edit: func(p *Patch) { p.Moves[0].New = symTable }, want: "not in a writable section"},
		{name: "move into a part", edit: func(p *Patch) { p.Moves[0].New = symCounter }, want: "does not fill its section"},
		{name: "move of more than there was", edit: func(p *Patch) { p.Moves[0].Keep = 49 }, want: "more is to be copied"},
		{name: "move of more than fits", edit: func(p *Patch) { p.Moves[0].Size, p.Moves[0].Keep = 65, 65 }, want: "more is to be copied"},
		{name: "calls nothing that there is", edit: func(p *Patch) { p.Funcs[0].NewCode.Calls[0] = 3 }, want: "does not exist"},
		{name: "calls out of order", edit: func(p *Patch) { p.Funcs[0].OldCode.Calls[1] = 0 }, want: "out of order"},
		{name: "code of a body that is not there", edit: func(p *Patch) { p.Funcs[1].NewCode.Loops = true }, want: "does not exist"},
		{name: "control character in what is not known", edit: func(p *Patch) { p.Funcs[0].OldCode.More.Why = "a\x1b" }, want: "control character"},
		{name: "reach out of order", edit: func(p *Patch) { p.Reach.New[1].Addr = 0x1300 }, want: "out of order"},
		{name: "reach from nowhere", edit: func(p *Patch) { p.Reach.Old[0].From = 3 }, want: "no such function"},
		{name: "inlined twice", edit: func(p *Patch) { p.Reach.Inlined[1] = "clamp" }, want: "out of order"},
		{name: "unknown with a control character", edit: func(p *Patch) { p.Reach.Unknown = "a\x1b" }, want: "control character"},
		{name: "moves overlap", edit: func(p *Patch) { p.Moves = append(p.Moves, p.Moves[0]) }, want: "out of order"},
		{name: "moves to one place", edit: func(p *Patch) {
			p.Moves = append(p.Moves, p.Moves[0])
			p.Moves[1].Old += 48
		}, want: "belongs to another variable"},
		{name: "slot twice", edit: func(p *Patch) { p.Slots = append(p.Slots, p.Slots[0]) }, want: "second slot"},
		{name: "map out of order", edit: func(p *Patch) { p.Map[0], p.Map[1] = p.Map[1], p.Map[0] }, want: "out of order"},
		{name: "map entry twice", edit: func(p *Patch) { p.Map[3] = p.Map[2] }, want: "out of order"},
		{name: "map symbol", edit: func(p *Patch) { p.Map[0].Sym = symState }, want: "no such symbol of the payload"},
		{name: "map wraps", edit: func(p *Patch) { p.Map[0].Old = ^arch.ImageAddr(0) }, want: "wraps"},
		{name: "needed", edit: func(p *Patch) { p.Needed[0] = "" }, want: "needed library"},
		{name: "empty reason", edit: func(p *Patch) { p.Changes[0].Reasons[1].Text = "" }, want: "empty reason"},
		{name: "control character in a reason", edit: func(p *Patch) { p.Changes[0].Reasons[1].Text = "\x1b[2J" }, want: "control character"},
		{name: "kind of a reason", edit: func(p *Patch) { p.Changes[0].Reasons[1].Kind = "Own code" }, want: "kind of a reason"},
		{name: "reason without a kind", edit: func(p *Patch) { p.Changes[0].Reasons[1].Kind = "" }, want: "kind of a reason"},
		{name: "long kind of a reason", edit: func(p *Patch) { p.Changes[0].Reasons[1].Kind = ReasonKind(strings.Repeat("a", 33)) }, want: "kind of a reason"},
		{name: "cause that is not there", edit: func(p *Patch) { p.Changes[0].Reasons[0].Cause = 4 }, want: "no change of the report"},
		{name: "negative cause", edit: func(p *Patch) { p.Changes[0].Reasons[0].Cause = -1 }, want: "no change of the report"},
		{name: "cause of itself", edit: func(p *Patch) { p.Changes[0].Reasons[0].Cause = 1 }, want: "its own cause"},
		{name: "notes of no function", edit: func(p *Patch) { p.Notes[2].Func = 9 }, want: "no such function"},
		{name: "notes of no part", edit: func(p *Patch) { p.Notes[1].Part = 2 }, want: "no such part of the old body"},
		{name: "notes of an old part with a symbol", edit: func(p *Patch) { p.Notes[0].Sym = symBody }, want: "no such part of the old body"},
		{name: "notes of another body", edit: func(p *Patch) { p.Notes[2].Sym = symHelper }, want: "no such part of the new body"},
		{name: "notes of data", edit: func(p *Patch) { p.Notes[2].Part, p.Notes[2].Sym = 1, symCounter }, want: "no function of the payload"},
		{name: "notes twice", edit: func(p *Patch) { p.Notes[1] = p.Notes[0] }, want: "out of order"},
		{name: "notes of the new body first", edit: func(p *Patch) { p.Notes[0], p.Notes[2] = p.Notes[2], p.Notes[0] }, want: "out of order"},
		{name: "operand past the end", edit: func(p *Patch) { p.Notes[0].Operands[0].Off = 12 }, want: "past the end"},
		{name: "operand without text", edit: func(p *Patch) { p.Notes[0].Operands[0].Text = "" }, want: "text is empty"},
		{name: "operands out of order", edit: func(p *Patch) { p.Notes[2].Operands[1].Off = 4 }, want: "out of order"},
		{name: "control character in an operand", edit: func(p *Patch) { p.Notes[0].Operands[0].Text = "\x1b[2J" }, want: "control character"},
		{name: "row past the end", edit: func(p *Patch) { p.Notes[1].Rows[0].Off = 2 }, want: "past the end"},
		{name: "rows out of order", edit: func(p *Patch) { p.Notes[0].Rows[0].Off = 9 }, want: "out of order"},
		{name: "line 0", edit: func(p *Patch) { p.Notes[0].Rows[0].Line = 0 }, want: "line of the source"},
		{name: "control character in a file", edit: func(p *Patch) { p.Notes[0].Rows[0].File = "a\x1b" }, want: "control character"},
		{name: "refused change", edit: func(p *Patch) { p.Changes[0].Verdict = Refused }, want: "refused change"},
		{name: "unknown verdict", edit: func(p *Patch) { p.Changes[0].Verdict = "safe" }, want: "unknown verdict"},
		{name: "word not given", edit: func(p *Patch) { p.Acks = nil }, want: "needs the user's word"},
		{name: "word for nothing", edit: func(p *Patch) { p.Acks = append(p.Acks, Ack{"T2", "op", p.Acks[0].Date}) }, want: "no change asks"},
		{name: "word twice", edit: func(p *Patch) { p.Acks = append(p.Acks, p.Acks[0]) }, want: "given twice"},
		{name: "date", edit: func(p *Patch) { p.Acks[0].Date = "today" }, want: "RFC 3339"},
		{name: "anonymous word", edit: func(p *Patch) { p.Acks[0].User = "" }, want: "without id, user or date"},
	}
}

// TestValidate breaks one thing at a time; Encode must name it.
func TestValidate(t *testing.T) {
	for _, tt := range slices.Concat(brokenPayloads(), brokenFuncs(), brokenTables()) {
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
		{name: "function", edit: func(p *Patch) { p.Funcs[0].Jump.Room = 200 }, table: nameFuncs, want: "past the function"},
		{name: "constant", edit: func(p *Patch) { p.Consts[0].New.Section = 5 }, table: nameConsts, want: "read-only section"},
		{name: "relocation", edit: func(p *Patch) { p.Sections[0].Relocs[2].Off = 1 << 40 }, table: ".rela.text.handle", want: "past the end"},
		{name: "symbol", edit: func(p *Patch) { p.Symbols[symCounter].Size = 1 << 50 }, table: nameSymtab, want: "past the end of its section"},
		{name: "map", edit: func(p *Patch) { p.Map[2].Size = ^uint64(0) }, table: nameMap, want: "wraps"},
		{name: "slot", edit: func(p *Patch) { p.Slots[0].Name = "\x1b]0;" }, table: nameSlots, want: "control character"},
		{name: "needed", edit: func(p *Patch) { p.Needed[0] = "\n" }, table: nameNeeded, want: "control character"},
		{name: "change", edit: func(p *Patch) { p.Changes[1].Verdict = Refused }, table: nameChanges, want: "refused change"},
		{name: "ack", edit: func(p *Patch) { p.Acks[0].User = "\xff" }, table: nameAcks, want: "not UTF-8"},
		{name: "build", edit: func(p *Patch) { p.New.ID = p.Old.ID }, table: nameIdentity, want: "the same build id"},
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
		{name: "not ELF", edit: func(b []byte) { b[0] = 'x' }, want: "not an ELF file"},
		{name: "32 bit", edit: func(b []byte) { b[elf.EI_CLASS] = 1 }, want: "not a 64-bit"},
		{name: "big-endian", edit: func(b []byte) { b[elf.EI_DATA] = 2 }, want: "not a little-endian"},
		{name: "an executable", edit: func(b []byte) { b[16] = 2 }, want: "not a relocatable"},
		{name: "machine", edit: func(b []byte) { le.PutUint16(b[18:], uint16(elf.EM_386)) }, want: "not supported"},
		{name: "section headers past the end", edit: func(b []byte) { le.PutUint64(b[40:], uint64(len(b))) }, want: "past the end of the file"},
		{name: "section headers at a huge offset", edit: func(b []byte) { le.PutUint64(b[40:], ^uint64(0)-10) }, want: "past the end of the file"},
		{name: "format version", edit: func(b []byte) { b[own(nameIdentity)+fixedVersion] = 9 }, want: "patch format version 9; this hotpatch reads version 5"},
		{name: "magic", edit: func(b []byte) { b[own(nameIdentity)] = 'h' }, want: "does not begin with"},
		{name: "content", edit: func(b []byte) { b[own(".data.limit")] ^= 1 }, want: "patch id does not fit"},
		{name: "overlapping sections", edit: func(b []byte) { le.PutUint64(b[hdr(nameFuncs)+24:], uint64(own(nameIdentity))) }, want: "overlaps the one before"},
		{name: "huge section", edit: func(b []byte) { le.PutUint64(b[hdr(nameFuncs)+32:], ^uint64(0)) }, want: "past the end of the file"},
		{name: "section name", edit: func(b []byte) { le.PutUint32(b[hdr(nameFuncs):], 1<<31) }, want: "section name: not in the string table"},
		{name: "many functions", edit: func(b []byte) { copy(b[own(nameFuncs):], []byte{0xff, 0xff, 0x03}) }, want: "number of functions does not fit"},
		{name: "too many map entries", edit: func(b []byte) { copy(b[own(nameMap):], []byte{0xff, 0xff, 0xff, 0xff, 0x0f}) }, want: "number of map entries is above"},
		{name: "endless number", edit: func(b []byte) { copy(b[own(nameChanges):], bytesOf(0xff, 11)) }, want: "number is cut off"},
		{name: "kept section", edit: func(b []byte) {
			i := strings.Index(string(b), nameChanges)
			copy(b[i:], nameHooks+"\x00")
		}, want: "kept for a later version"},
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
	if read > MaxFile || len(names.seen) != 1 {
		t.Errorf("%d bytes of names were read, %d strings held", read, len(names.seen))
	}
	if _, msg := newStringReader([]byte("\x00ab\x00")).get(2); msg != "begins inside another string" {
		t.Errorf("name inside another: %q", msg)
	}
	if _, msg := newStringReader([]byte("\x1b[2J\x00")).get(0); msg != "string has a control character" {
		t.Errorf("escape sequence: %q", msg)
	}
	if _, msg := newStringReader([]byte("\x00ab")).get(1); msg != "string is too long or does not end" {
		t.Errorf("name without an end: %q", msg)
	}
}

// TestMemory: refusing a file that promises much costs memory in proportion to its size.
func TestMemory(t *testing.T) {
	good := mustEncode(t, samplePatch(t)).Raw
	r, err := readELF(good)
	if err != nil {
		t.Fatal(err)
	}
	many := samplePatch(t)
	for i := range 200000 {
		many.Map = append(many.Map, MapEntry{New: arch.ImageAddr(0x10000 + i), Sym: -1})
	}
	tests := map[string][]byte{"good": good, "many atoms": mustEncode(t, many).Raw}
	for _, name := range []string{nameFuncs, nameCode, nameConsts, nameMoves, nameReach, nameSlots, nameMap, nameNeeded, nameChanges} {
		for _, count := range [][]byte{{0x7f}, {0xff, 0x7f}, {0xff, 0xff, 0x7f}, {0xff, 0xff, 0xff, 0xff, 0x7f}, bytesOf(0xff, 10)} {
			raw := append([]byte(nil), good...)
			copy(raw[r.find(name).Off:], count)
			tests[fmt.Sprintf("%s % x", name, count)] = raw
		}
	}
	for name, raw := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(raw)
		runtime.ReadMemStats(&after)
		if used, limit := after.TotalAlloc-before.TotalAlloc, uint64(64*len(raw)+1<<18); used > limit {
			t.Errorf("%s: %d bytes of memory for a file of %d (%v)", name, used, len(raw), err)
		}
	}
}

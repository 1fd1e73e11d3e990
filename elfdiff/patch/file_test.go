package patch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, a := range bothSamples {
		t.Run(a.name, func(t *testing.T) {
			p := a.sample(t)
			f := mustEncode(t, p)
			if !reflect.DeepEqual(f.Patch, p) {
				t.Errorf("read back:\n%+v\nwant:\n%+v", f.Patch, p)
			}
			g, err := f.Patch.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.Raw, g.Raw) || f.ID != g.ID {
				t.Error("the same patch gave other bytes")
			}
		})
	}
}

// TestSymbolOrder encodes a patch whose local symbol comes last: every index must follow.
func TestSymbolOrder(t *testing.T) {
	p := samplePatch(t)
	n := len(p.Symbols)
	move := func(i *int) {
		if *i >= 0 {
			*i = (*i + n - 1) % n
		}
	}
	p.Symbols = append(p.Symbols[1:], p.Symbols[0])
	for i := range p.Sections {
		for j := range p.Sections[i].Relocs {
			move(&p.Sections[i].Relocs[j].Sym)
		}
	}
	for i := range p.Funcs {
		move(&p.Funcs[i].New)
	}
	for i := range p.Notes {
		move(&p.Notes[i].Sym)
	}
	for i := range p.Moves {
		move(&p.Moves[i].New)
	}
	for i := range p.Map {
		move(&p.Map[i].Sym)
	}
	f := mustEncode(t, p)
	if want := mustEncode(t, samplePatch(t)); !bytes.Equal(f.Raw, want.Raw) {
		t.Error("order of local symbols changed the file")
	}
	if p.Symbols[n-1].Name != ".rodata.table" {
		t.Error("Encode changed its argument")
	}
}

// TestAcksAndID: acknowledgements are kept, but are not part of the ID.
func TestAcksAndID(t *testing.T) {
	f := mustEncode(t, samplePatch(t))
	p := samplePatch(t)
	p.Acks[0].User = "somebody else"
	g := mustEncode(t, p)
	if f.ID != g.ID {
		t.Errorf("the acknowledging user changed the ID: %v, %v", f.ID, g.ID)
	}
	if g.Acks[0].User != "somebody else" {
		t.Errorf("acks %v", g.Acks)
	}
	p.Changes[0].Reasons[0].Text = "another reason"
	if h := mustEncode(t, p); h.ID == f.ID {
		t.Error("another report has the same ID")
	}
	// The list of one patch does not pass for that of another, nor with another user.
	raw := bytes.Replace(f.Raw, []byte("\x02op\x14"), []byte("\x02po\x14"), 1)
	if _, err := Decode(raw); err == nil || !strings.Contains(err.Error(), "acknowledgements are damaged") {
		t.Errorf("changed user: %v", err)
	}
}

// TestBinutils: readelf and objdump read the file without a warning and see what is in it.
func TestBinutils(t *testing.T) {
	for _, a := range bothSamples {
		path := filepath.Join(t.TempDir(), "fix.patch")
		if err := os.WriteFile(path, mustEncode(t, a.sample(t)).Raw, 0o600); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			args []string
			want []string
		}{
			{args: []string{"readelf", "-a", "-W"}, want: []string{
				"REL (Relocatable file)", ".text.handle", ".rela.text.handle", ".hotpatch.identity",
				"FUNC    GLOBAL DEFAULT  ABS handle", "FUNC    GLOBAL DEFAULT  UND strtoul@GLIBC_2.2.5", "FUNC    WEAK   DEFAULT  UND trace",
				"OBJECT  GLOBAL DEFAULT  ABS state", "OBJECT  LOCAL  DEFAULT    3 .rodata.table",
			}},
			{args: []string{"readelf", "--debug-dump=frames", "-W"}, want: append(a.shown["frames"], "FDE cie=00000000")},
			{args: []string{"objdump", "-dr", "-w"}, want: append(a.shown["code"], "<handle>:", "<helper>:")},
			{args: []string{"objdump", "-x", "-w"}, want: []string{".eh_frame"}},
		}
		for _, tt := range tests {
			t.Run(a.name+" "+strings.Join(tt.args, " "), func(t *testing.T) {
				var out, msg bytes.Buffer
				cmd := exec.Command(a.tools+tt.args[0], append(tt.args[1:], path)...)
				cmd.Stdout, cmd.Stderr = &out, &msg
				if err := cmd.Run(); err != nil {
					t.Fatalf("%v: %v\n%s", cmd.Args, err, &msg)
				}
				if msg.Len() > 0 || strings.Contains(strings.ToLower(out.String()), "warning") {
					t.Errorf("%v warns: %s\n%s", cmd.Args, &msg, &out)
				}
				for _, w := range tt.want {
					if !strings.Contains(out.String(), w) {
						t.Errorf("%v does not show %q:\n%s", cmd.Args, w, &out)
					}
				}
			})
		}
	}
}

// TestMutations changes single bytes all over a file. What is still accepted must be the same
// patch, what is not must be a FormatError with an offset in the file.
func TestMutations(t *testing.T) {
	f := mustEncode(t, samplePatch(t))
	for off := range f.Raw {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			raw := slices.Clone(f.Raw)
			raw[off] ^= flip
			checkDecode(t, raw)
			g, err := Decode(raw)
			if err == nil && (g.ID != f.ID || !reflect.DeepEqual(g.Patch, f.Patch)) {
				t.Errorf("byte %#x flipped by %#x: another patch is accepted", off, flip)
			}
		}
	}
	for n := range len(f.Raw) {
		if _, err := Decode(f.Raw[:n:n]); err == nil {
			t.Errorf("the first %d bytes are accepted", n)
		}
	}
	if _, err := Decode(append(slices.Clone(f.Raw), 0)); err == nil {
		t.Error("a byte behind the end is accepted")
	}
}

// checkDecode holds Decode to its invariants for any bytes.
func checkDecode(t *testing.T, raw []byte) {
	t.Helper()
	f, err := Decode(raw)
	if (f != nil) != (err == nil) {
		t.Fatalf("Decode gave %v, %v", f, err)
	}
	if err != nil {
		var fe *FormatError
		if !errors.As(err, &fe) {
			t.Fatalf("Decode's error is a %T: %v", err, err)
		}
		if fe.Off < 0 || fe.Off > int64(len(raw)) {
			t.Fatalf("offset %#x in a file of %#x bytes: %v", fe.Off, len(raw), err)
		}
		return
	}
	g, err := f.Patch.Encode()
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	if !bytes.Equal(g.Raw, raw) || g.ID != f.ID {
		t.Fatal("what was read is written otherwise")
	}
}

func FuzzDecode(f *testing.F) {
	for _, a := range bothSamples {
		f.Add(mustEncode(f, a.sample(f)).Raw)
	}
	small := samplePatch(f)
	small.Consts, small.Slots, small.Map, small.Changes, small.Acks, small.Needed = nil, nil, nil, nil, nil, nil
	f.Add(mustEncode(f, small).Raw)
	f.Add([]byte("\x7fELF"))
	f.Fuzz(checkDecode)
}

// FuzzSealed gives every input the ID of its content, so that mutations reach what stands behind the check of the ID. What is accepted can
// be linked, or gives an error.
func FuzzSealed(f *testing.F) {
	for _, a := range bothSamples {
		p := a.sample(f)
		p.Changes, p.Acks = p.Changes[:1], nil
		p.Changes[0].Reasons[0].Cause = 0
		f.Add(mustEncode(f, p).Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = slices.Clone(raw)
		if r, err := readELF(raw); err == nil {
			if s := r.find(nameIdentity); s != nil && len(s.data) >= fixedLen {
				id := raw[s.Off:][fixedID:fixedLen]
				clear(id)
				sum := sha256.Sum256(raw)
				copy(id, sum[:])
			}
		}
		checkDecode(t, raw)
		g, err := Decode(raw)
		if err != nil {
			return
		}
		if pl, err := Link(g.Patch, testBase, sampleResolver()); (pl != nil) != (err == nil) {
			t.Fatalf("Link gave %v, %v", pl, err)
		}
	})
}

// TestFormatIsFrozen: files of one format version stay readable. Where this test fails because the
// format was changed on purpose, FormatVersion has to be raised with it.
func TestFormatIsFrozen(t *testing.T) {
	const want = "9b87c9c1cfb554a025555d5bce50a63edb6805c0eda0bdc2a77e2251b3e10c82"
	if f := mustEncode(t, samplePatch(t)); FormatVersion != 5 || f.ID.String() != want {
		t.Errorf("format version %d: the sample patch has ID %v, want %s", FormatVersion, f.ID, want)
	}
}

// TestIDText reads the digits of an ID back, and nothing else.
func TestIDText(t *testing.T) {
	id := mustEncode(t, samplePatch(t)).ID
	b, err := id.MarshalText()
	var again ID
	if err != nil || string(b) != id.String() || again.UnmarshalText(b) != nil || again != id {
		t.Errorf("%s, %v, %v", b, err, again)
	}
	for _, bad := range []string{"", id.String()[1:], id.String() + "00", strings.Repeat("x", 64)} {
		if again.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken for an ID", bad)
		}
	}
}

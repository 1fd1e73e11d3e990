package cli

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"testing"
	"time"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace/inject"
)

func reasons(texts ...string) []patch.Reason {
	var out []patch.Reason
	for _, s := range texts {
		out = append(out, patch.Reason{Kind: patch.ReasonOwn, Text: s})
	}
	return out
}

// sampleChanges has one of everything that a report can hold.
func sampleChanges() []patch.Change {
	at := func(addr arch.ImageAddr, size uint64) *patch.Extent { return &patch.Extent{Addr: addr, Size: size} }
	return []patch.Change{
		{What: "function", Name: "processCommand", File: "server.c", Change: "changed", Reasons: reasons("own code (3 places)", `string "ERR" -> "ERR unknown"`),
			Verdict: patch.OK, Old: at(0x1000, 200), New: at(0x1010, 220)},
		{What: "function", Name: "_ZN5cache3getERKSs", File: "cache.cc", Change: "changed", Reasons: reasons("inlined: hash"), Verdict: patch.Refused,
			Why: "an exception may cross it", Old: at(0x1100, 80), New: at(0x1110, 80)},
		{What: "function", Name: "helper", File: "server.c", Change: "added", Reasons: reasons("only the new build has it"), Verdict: patch.OK, New: at(0x1200, 30)},
		{What: "function", Name: "old_handler", File: "server.c", Change: "removed", Reasons: reasons("only the old build has it"),
			Verdict: patch.NeedAck, Ack: "remove:old_handler", Why: "its address is stored in the table handlers", Old: at(0x1300, 30)},
		{What: "function", Name: "logRaw", File: "log.c", Change: "line", Reasons: reasons("line number 100 -> 101"), Verdict: patch.OK, Old: at(0x1400, 30), New: at(0x1400, 30)},
		{What: "object", Name: "limits", File: "server.c", Change: "changed", Reasons: reasons("initial value differs"), Verdict: patch.NeedAck,
			Ack: "value of limits", Why: "the running value is kept", Old: at(0x4000, 16), New: at(0x4000, 16)},
	}
}

// textApp returns an app that prints into a buffer.
func textApp() (*app, *bytes.Buffer) {
	var b bytes.Buffer
	return &app{out: &b, err: &b, start: time.Now()}, &b
}

func TestDiffGolden(t *testing.T) {
	old := &image.Image{Path: "/usr/bin/server.old", BuildID: bytes.Repeat([]byte{0xab}, 20), HasBuildID: true}
	next := &image.Image{Path: "/usr/bin/server", BuildID: bytes.Repeat([]byte{0xcd}, 32)}
	ok := []patch.Change{sampleChanges()[0]}
	tests := []struct {
		name   string
		res    elfdiff.Result
		output string
		lines  bool
		file   *patch.File
	}{
		{
			name: "diff_everything",
			res: elfdiff.Result{Changes: sampleChanges(), Refused: 1, Missing: []string{"value of limits"},
				Counts: elfdiff.Counts{Functions: 500, Equal: 495, Changed: 2, Added: 1, Removed: 1, Line: 1}},
			output: "fix.patch",
		},
		{
			name:  "diff_lines",
			res:   elfdiff.Result{Changes: sampleChanges()[4:5], Counts: elfdiff.Counts{Functions: 1, Line: 1}},
			lines: true,
		},
		{
			name: "diff_equal",
			res:  elfdiff.Result{Counts: elfdiff.Counts{Functions: 500, Equal: 500}},
		},
		{
			name: "diff_not_written",
			res:  elfdiff.Result{Patch: &patch.Patch{}, Changes: ok, Counts: elfdiff.Counts{Functions: 500, Equal: 499, Changed: 1}},
		},
		{
			name:   "diff_written",
			res:    elfdiff.Result{Patch: &patch.Patch{}, Changes: ok, Counts: elfdiff.Counts{Functions: 500, Equal: 499, Changed: 1}},
			output: "fix.patch",
			file:   &patch.File{ID: sha256.Sum256(nil), Raw: make([]byte, 12345)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := textApp()
			j := &diffJob{app: a, diffOptions: diffOptions{output: tt.output, lines: tt.lines}, old: old, new: next, res: &tt.res, file: tt.file}
			err := j.report()
			if err != nil {
				b.WriteString("error: " + err.Error() + "\n")
			}
			golden(t, tt.name, b.String())
		})
	}
}

// samplePatch changes one function and adds one, by hand so that no compiler has a say.
func samplePatch() *patch.Patch {
	oldCode := []byte{
		0xb8, 0x01, 0x00, 0x00, 0x00, // mov $1,%eax
		0xe8, 0x16, 0x00, 0x00, 0x00, // call 0x1020 (known)
		0xe8, 0x31, 0x02, 0x00, 0x00, // call 0x1240 (not known to the patch)
		0xeb, 0xef, // jmp to the first instruction
		0xc3, // ret
	}
	newCode := []byte{
		0xb8, 0x02, 0x00, 0x00, 0x00, // mov $2,%eax
		0xe8, 0x00, 0x00, 0x00, 0x00, // call helper
		0xe8, 0x00, 0x00, 0x00, 0x00, // call puts
		0x8b, 0x05, 0x00, 0x00, 0x00, 0x00, // mov counter(%rip),%eax
		0xeb, 0xe9, // jmp to the first instruction
		0xc3, // ret
	}
	plt := uint32(elf.R_X86_64_PLT32)
	return &patch.Patch{
		Machine: elf.EM_X86_64,
		Old:     patch.Build{ID: bytes.Repeat([]byte{1}, 20), HasBuildID: true, Name: "server", Type: elf.ET_DYN},
		New:     patch.Build{ID: bytes.Repeat([]byte{2}, 20), HasBuildID: true, Name: "server", Type: elf.ET_DYN},
		Sections: []patch.Section{
			{Name: ".text.answer", Kind: patch.Text, Align: 16, Data: newCode, Size: uint64(len(newCode)), Relocs: []patch.Reloc{
				{Off: 6, Type: plt, Sym: 2, Addend: -4},
				{Off: 11, Type: plt, Sym: 3, Addend: -4},
				{Off: 17, Type: uint32(elf.R_X86_64_PC32), Sym: 4, Addend: -4},
			}},
			{Name: ".text.helper", Kind: patch.Text, Align: 16, Data: []byte{0xc3}, Size: 1},
			{Name: ".bss.counter", Kind: patch.BSS, Align: 4, Size: 4},
		},
		Symbols: []patch.Symbol{
			{Name: "answer", Kind: patch.SymDefined, Section: 0, Size: uint64(len(newCode)), Func: true},
			{Name: "known", Kind: patch.SymImage, Value: 0x1020, Size: 16, Func: true},
			{Name: "helper", Kind: patch.SymDefined, Section: 1, Size: 1, Func: true, Local: true},
			{Name: "puts", Kind: patch.SymImport, Version: "GLIBC_2.2.5", Func: true},
			{Name: "counter", Kind: patch.SymDefined, Section: 2, Size: 4, Local: true},
		},
		Funcs: []patch.Func{
			{Name: "answer", How: patch.Changed, New: 0, Jump: patch.Site{Room: uint32(len(oldCode)), Take: 5}, Old: []patch.Part{{
				Name: "answer", Addr: 0x1000, Size: uint64(len(oldCode)), Hash: sha256.Sum256(oldCode), Bytes: oldCode,
				Fields: []patch.Field{{Off: 6, Size: 4}, {Off: 11, Size: 4}},
			}}},
			{Name: "helper", File: "server.c", How: patch.Added, New: 2},
		},
		Notes: []patch.Notes{
			{Func: 0, Old: true, Sym: -1, Operands: []patch.Operand{{Off: 5, Text: "known"}, {Off: 10, Text: "_Z3putPKc"}},
				Rows: []patch.Row{{Off: 0, File: "server.c", Line: 10}, {Off: 10, File: "io.h", Line: 99}, {Off: 15, File: "server.c", Line: 12}}},
			{Func: 0, Sym: 0, Operands: []patch.Operand{{Off: 5, Text: "helper"}, {Off: 10, Text: "_Z3putPKc"}, {Off: 15, Text: "counter"}},
				Rows: []patch.Row{{Off: 0, File: "server.c", Line: 10}, {Off: 10, File: "io.h", Line: 99}, {Off: 15, File: "server.c", Line: 11}}},
		},
		Needed:  []string{"libc.so.6"},
		Changes: sampleChanges()[:1],
		Acks:    []patch.Ack{{ID: "value of limits", User: "ops", Date: "2026-01-02T03:04:05Z"}},
	}
}

func TestInspectGolden(t *testing.T) {
	p := samplePatch()
	m, err := machines.Lookup(p.Machine)
	if err != nil {
		t.Fatal(err)
	}
	f := &patch.File{Patch: p, ID: sha256.Sum256([]byte("sample")), Raw: make([]byte, 4321)}
	t.Run("text", func(t *testing.T) {
		a, b := textApp()
		a.inspect(f, m, newReport(f.Changes, true), false)
		if err := a.disasm(f.Patch, m, nil, false); err != nil {
			t.Fatal(err)
		}
		golden(t, "inspect", b.String())
	})
	t.Run("json", func(t *testing.T) {
		a, b := textApp()
		if err := a.inspectJSON("fix.patch", f, m, true); err != nil {
			t.Fatal(err)
		}
		golden(t, "inspect_json", b.String())
	})
}

func TestTransactionGolden(t *testing.T) {
	one := inject.PatchReport{ID: "57bdefc9d0001ab8", Module: "/usr/bin/server", Result: "applied", Funcs: []inject.FuncReport{
		{Name: "processCommand", Change: "changed", Entry: 0x55d990001000, Body: 0x55d980000000, Size: 220, Chain: 2},
		{Name: "helper", Change: "added", Body: 0x55d980000100, Size: 30, Chain: 1},
		{Name: "old_handler", Change: "removed", Entry: 0x55d990001300},
	}, Consts: []string{"banner"}, Reused: true}
	two := one
	two.ID, two.Result, two.Consts = "11bdefc9d0001ab8", "reverted", nil
	two.Funcs = []inject.FuncReport{
		{Name: "processCommand", Change: "changed", Entry: 0x55d990001000, Body: 0x55d980000000, Chain: 1, From: 0x55d980000000, To: 0x55d990001000},
	}
	back := one
	back.Result, back.Funcs = "reverted", []inject.FuncReport{
		{Name: "processCommand", Change: "changed", Entry: 0x55d990001000, Body: 0x55d980000000, Chain: 2, From: 0x55d980000000, To: 0x55d970000000},
		{Name: "helper", Change: "added", Body: 0x55d980000100, Chain: 1, From: 0x55d980000100},
		{Name: "old_handler", Change: "removed", Entry: 0x55d990001300, To: 0x55d990001300},
	}
	gone := two
	gone.Result, gone.Funcs = "already reverted", []inject.FuncReport{{Name: "processCommand", Change: "changed", Entry: 0x55d990001000}}
	again := one
	again.Result = "already applied"
	tests := []struct {
		name string
		r    inject.Report
	}{
		{name: "apply_done", r: inject.Report{PID: 1234, Comm: "server", Done: true, Pause: 345678 * time.Nanosecond, Threads: 5, Writes: 3, Jumps: 2, Bytes: 55,
			NotAtomic: []inject.NotAtomic{{Name: "limits", Why: "a constant is renewed where it stands"}}, Patches: []inject.PatchReport{one}, Notes: []string{"its parent runs server unpatched"}}},
		{name: "apply_dry", r: inject.Report{PID: 1234, Comm: "server", Done: true, DryRun: true, Atomic: true,
			Patches: []inject.PatchReport{one}, Unread: []string{"whether a thread is executing it"}}},
		{name: "revert_done", r: inject.Report{PID: 1234, Comm: "server", Verb: "revert", Done: true, Pause: time.Millisecond, Threads: 1, Writes: 2, Jumps: 1, Bytes: 9,
			NotAtomic: []inject.NotAtomic{{Name: "_Z3putPKc", Why: "a call"}, {Name: "limits", Why: "a constant"}}, Patches: []inject.PatchReport{back}}},
		{name: "revert_original", r: inject.Report{PID: 1234, Comm: "server", Verb: "revert", Done: true, Atomic: true, Pause: time.Millisecond, Threads: 1, Writes: 1, Jumps: 1, Bytes: 5,
			Patches: []inject.PatchReport{two}}},
		{name: "revert_page", r: inject.Report{PID: 1234, Comm: "server", Verb: "revert", Done: true, Pause: time.Millisecond, Threads: 1, Writes: 1, Jumps: 1, Bytes: 5,
			NotAtomic: []inject.NotAtomic{{Name: "processCommand", Why: "in two pages"}}, Patches: []inject.PatchReport{two}}},
		{name: "revert_leftover", r: inject.Report{PID: 1234, Comm: "server", Verb: "revert", Done: true, Notes: []string{"memory is unmapped"}}},
		{name: "revert_already", r: inject.Report{PID: 1234, Comm: "server", Verb: "revert", Patches: []inject.PatchReport{gone}}},
		{name: "apply_already", r: inject.Report{PID: 1234, Comm: "ser\x1b[2Jver", DryRun: true, Patches: []inject.PatchReport{again}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := textApp()
			if err := a.finish(&liveFlags{}, nil, &tt.r); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name, b.String())
		})
	}
}

func TestListGolden(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	report := inject.PatchReport{ID: "57bdefc9d0001ab8", Module: "/usr/bin/server", Funcs: []inject.FuncReport{{Name: "processCommand"}, {Name: "helper"}}}
	a, b := textApp()
	a.list([]*inject.Status{
		{PID: 1234, Comm: "server", Exe: "/usr/bin/server", Patches: []inject.PatchStatus{
			{PatchReport: report, State: "applied", Since: since, User: "root", Acks: []patch.Ack{{ID: "value of limits", User: "ops", Date: "2026-01-01T00:00:00Z"}}},
			{PatchReport: report, State: "reverted", Since: since, User: "ops", Inherited: true},
		}},
		{PID: 1235, Comm: "server", Exe: "/usr/bin/server", Attention: []string{"patch 57bdefc9d000: 1 of 2 writes are in force; apply it again"}, Notes: []string{"a note"}},
		{PID: 1236, Comm: "idle", Exe: "/usr/bin/idle"},
		{PID: 1237, Comm: "server", Notes: []string{"not looked at: already traced: by process 99 (gdb)"}},
	})
	golden(t, "list", b.String())
}

// Colour stands around verdicts on a terminal and nowhere else.
func TestPaint(t *testing.T) {
	a := &app{color: true}
	if got := a.verdict(patch.Refused, 7); got != "\x1b[31mrefused\x1b[0m" {
		t.Errorf("%q", got)
	}
	a.color = false
	if got := a.verdict(patch.OK, 7); got != "ok     " {
		t.Errorf("%q", got)
	}
}

// An --ack that no change asks for keeps the patch from being made; that does not mean that there is nothing to apply.
func TestVerdictWithUnknownAck(t *testing.T) {
	changes := []patch.Change{sampleChanges()[0]}
	tests := []struct {
		name string
		acks []string
		want string
	}{
		{name: "no patch comes of the changes", want: "nothing that a patch could change differs"},
		{name: "no patch was made", acks: []string{"layout:nosuch"}, want: "every change can be applied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := &diffJob{res: &elfdiff.Result{Changes: changes, UnknownAcks: test.acks}}
			if got, _ := j.verdictText(); got != test.want {
				t.Errorf("verdict %q, want %q", got, test.want)
			}
		})
	}
}

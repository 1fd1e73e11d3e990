package cli

import (
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"hotpatch/arch"
	"hotpatch/arch/machines"
	"hotpatch/elfdiff/patch"
)

// maxPatchFile is the largest patch file that is read, in bytes. The largest real fix that was
// measured changes 324 functions and needs less than 1 MiB.
const maxPatchFile = 256 << 20

// readPatch reads and checks a patch file.
func readPatch(path string) (*patch.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPatchFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxPatchFile {
		return nil, fmt.Errorf("read %s: larger than %s: not a patch file", path, bytesText(maxPatchFile))
	}
	if err := startsELF(path, raw); err != nil {
		return nil, err
	}
	p, err := patch.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// checkELF refuses a regular file that does not begin as ELF files do. Anything else is left to who reads it.
func checkELF(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return err
	}
	head := make([]byte, len(elf.ELFMAG))
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	return startsELF(path, head[:n])
}

// startsELF checks the first bytes of a file.
func startsELF(path string, b []byte) error {
	switch b = b[:min(len(b), len(elf.ELFMAG))]; {
	case len(b) == 0:
		return fmt.Errorf("%s: not an ELF file: it is empty", path)
	case string(b) != elf.ELFMAG:
		return fmt.Errorf("%s: not an ELF file: it begins with %q (% x)", path, b, b)
	}
	return nil
}

// newInspect makes the verb inspect.
func newInspect(a *app) *cobra.Command {
	var disasm, asJSON, all bool
	var why string
	c := &cobra.Command{
		Use:   "inspect FILE [--disasm [FUNC...]]",
		Short: "Show what a patch file holds",
		Long: `Show what a patch file holds: the two builds, the functions and data that it changes,
why, how each was judged, and who gave the word for what.

With --disasm each function's old code, or that of FUNC alone, stands beside its new code:
"|" marks a changed instruction, "<" one of the old code only, ">" one of the new code only.
In front of an instruction stand its offset and, where the builds have DWARF data, its line of the
source. Long runs of equal instructions are left out unless --all asks for them.`,
		Example: `  hotpatch inspect fix.patch
  hotpatch inspect fix.patch --why handle_request
  hotpatch inspect fix.patch --disasm handle_request`,
		Args:              usage(cobra.MinimumNArgs(1)),
		ValidArgsFunction: patchFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 && !disasm {
				return usagef("%s: one patch is inspected, and only --disasm takes names of functions: usage: %s", args[1], c.UseLine())
			}
			f, err := readPatch(args[0])
			if err != nil {
				return err
			}
			m, err := machines.Lookup(f.Machine)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return a.inspectJSON(args[0], f, m, disasm)
			}
			r := newReport(f.Changes, true)
			if why != "" {
				return a.why(r, why)
			}
			if len(args) == 1 {
				a.inspect(f, m, r, all)
			}
			if disasm {
				return a.disasm(f.Patch, m, args[1:], all)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&disasm, "disasm", false, "show old code beside new")
	c.Flags().BoolVar(&all, "all", false, "leave nothing out of long lists and listings")
	c.Flags().StringVar(&why, "why", "", "show only why `FUNC` differs: the chain of causes, and what follows from it")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// inspect prints a patch for people.
func (a *app) inspect(f *patch.File, m *arch.Arch, r *report, all bool) {
	a.printf("patch %s, format %d, %s, %s", f.ID.Short(), patch.FormatVersion, m.Name, bytesText(uint64(len(f.Raw))))
	a.printf("from  %s", buildText(f.Old))
	a.printf("to    %s", buildText(f.New))
	var sizes [patch.EHFrame + 1]uint64
	for _, s := range f.Sections {
		sizes[s.Kind] += s.Size
	}
	a.printf("holds %s of code, %s read-only, %s writable", bytesText(sizes[patch.Text]),
		bytesText(sizes[patch.ROData]+sizes[patch.EHFrame]), bytesText(sizes[patch.Data]+sizes[patch.BSS]))
	more := ""
	if f.Reach.Unknown != "" {
		more = ", as far as is known: " + a.words(f.Reach.Unknown)
	}
	a.printf("leads to %d functions and variables with its new code, to %d with the old%s", len(f.Reach.New), len(f.Reach.Old), more)
	a.changes(r, all)
	if len(f.Acks) > 0 {
		a.printf("\n%s", a.paint(bold, "acknowledged"))
		for _, k := range f.Acks {
			a.printf("  %s by %s, %s", clean(k.ID), clean(k.User), clean(k.Date))
			for _, c := range f.Changes {
				if c.Ack == k.ID {
					a.printf("      %s: %s", a.name(c.Name), a.words(c.Why))
				}
			}
		}
	}
	if imports := importsOf(f.Patch); len(imports) > 0 {
		a.printf("\n%s", a.paint(bold, "bound in the process"))
		for _, s := range imports {
			a.printf("  %s", a.name(s))
		}
	}
}

// buildText names a build as a patch knows it.
func buildText(b patch.Build) string {
	if b.HasBuildID {
		return clean(b.Name) + ", build-id " + hex.EncodeToString(b.ID)
	}
	return clean(b.Name) + ", no build-id, content " + hex.EncodeToString(b.ID)
}

// importsOf lists what the patch takes from other modules, as "name" or "name@version".
func importsOf(p *patch.Patch) []string {
	var out []string
	for _, s := range p.Symbols {
		if s.Kind != patch.SymImport {
			continue
		}
		name := s.Name
		if s.Version != "" {
			name += "@" + s.Version
		}
		out = append(out, name)
	}
	return out
}

// disasm prints the code of the functions of that name, or of all.
func (a *app) disasm(p *patch.Patch, m *arch.Arch, names []string, all bool) error {
	l := &lister{m, a.words}
	missing := slices.Clone(names)
	for i := range p.Funcs {
		f := &p.Funcs[i]
		if len(names) > 0 {
			k := slices.IndexFunc(names, func(n string) bool { return isNamed(f.Name, n) })
			if k < 0 {
				continue
			}
			missing = slices.DeleteFunc(missing, func(n string) bool { return n == names[k] })
		}
		a.sideBySide(l.patchListing(p, i, a.name(f.Name)+listingTitle(p, f)), all)
	}
	if len(missing) > 0 {
		return fmt.Errorf("--disasm %s: the patch holds no function of that name", missing[0])
	}
	return nil
}

// listingTitle says what happens to the function and where its bodies are.
func listingTitle(p *patch.Patch, f *patch.Func) string {
	s := ""
	if f.File != "" {
		s = " (" + clean(f.File) + ")"
	}
	s += ": " + howText(f.How)
	for i, part := range f.Old {
		if i > 0 {
			s += " and"
		}
		s += fmt.Sprintf(" %#x+%d", uint64(part.Addr), part.Size)
	}
	if f.New >= 0 {
		s += " -> " + count(int(p.Symbols[f.New].Size), "byte")
	}
	return s
}

func howText(h patch.How) string {
	return [...]string{patch.Changed: "changed", patch.Added: "added", patch.Removed: "removed"}[h]
}

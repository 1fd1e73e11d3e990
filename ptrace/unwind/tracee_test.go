//go:build linux

package unwind_test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/unwind"
	"hotpatch/ptrace/unwind/cfi"
)

// tracee is a program under single-step, on this OS thread.
type tracee struct {
	t        *testing.T
	pid      int
	writable []unwind.Range // mappings, when space was called
	alarm    *time.Timer    // ends the process; set anew by each wait
}

// setAlarm makes every wait for a stop end: a process that does not stop within the victims' patience is killed, which wait sees.
func (tr *tracee) setAlarm() {
	tr.alarm = time.AfterFunc(victim.Patience, func() { unix.Kill(tr.pid, unix.SIGKILL) })
	tr.t.Cleanup(func() { tr.alarm.Stop() })
}

// startTracee runs a program up to its first own instruction: the dynamic linker has
// loaded everything, _start has not run. The program's output goes to out.
func startTracee(t *testing.T, path string, out io.Writer) *tracee {
	t.Helper()
	runtime.LockOSThread()
	onOneProcessor(t)
	cmd := exec.Command(path)
	cmd.Env = []string{} // no LD_BIND_NOW: calls are bound when they are first made
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.WaitDelay = victim.Patience
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tr := &tracee{t: t, pid: cmd.Process.Pid}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		runtime.UnlockOSThread()
	})
	tr.setAlarm()
	tr.wait()
	if err := unix.PtraceSetOptions(tr.pid, unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	tr.runTo(tr.entry())
	return tr
}

// onOneProcessor keeps this OS thread, and what it starts, on the processor that it runs on: tracer and tracee run in turns, and to wake another processor
// for each takes longer than the step itself, most of all under emulation.
func onOneProcessor(t *testing.T) {
	t.Helper()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	var one unix.CPUSet
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.SchedSetaffinity(0, &before) })
}

// wait waits for the tracee's next stop, or its end.
func (tr *tracee) wait() unix.WaitStatus {
	var ws unix.WaitStatus
	tr.alarm.Reset(victim.Patience)
	for {
		_, err := unix.Wait4(tr.pid, &ws, 0, nil)
		if err == nil {
			return ws
		}
		if err != unix.EINTR {
			tr.t.Fatalf("wait: %v", err)
		}
	}
}

// entry returns the address of the program's first instruction.
func (tr *tracee) entry() arch.Addr {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", tr.pid))
	if err != nil {
		tr.t.Fatal(err)
	}
	const atEntry = 9
	for ; len(b) >= 16; b = b[16:] {
		if binary.LittleEndian.Uint64(b) == atEntry {
			return arch.Addr(binary.LittleEndian.Uint64(b[8:]))
		}
	}
	tr.t.Fatal("no AT_ENTRY")
	return 0
}

// runTo lets the tracee run until it reaches one of several places.
func (tr *tracee) runTo(pcs ...arch.Addr) {
	if !tr.runOrEnd(pcs...) {
		tr.t.Fatalf("running to %#x: the program has ended", pcs)
	}
}

// sp returns the tracee's stack pointer.
func (tr *tracee) sp() arch.Addr {
	r := tr.regs()
	return r.sp()
}

// runOrEnd is runTo for a tracee that may end before: false.
func (tr *tracee) runOrEnd(pcs ...arch.Addr) bool {
	old := make([][]byte, len(pcs))
	for i, pc := range pcs {
		old[i] = make([]byte, len(trap.code))
		if err := tr.ReadMem(old[i], pc); err != nil {
			tr.t.Fatal(err)
		}
	}
	for _, pc := range pcs {
		tr.poke(pc, trap.code)
	}
	if err := unix.PtraceCont(tr.pid, 0); err != nil {
		tr.t.Fatal(err)
	}
	switch ws := tr.wait(); {
	case ws.Exited():
		return false
	case !ws.Stopped() || ws.StopSignal() != unix.SIGTRAP:
		tr.t.Fatalf("running to %#x: %v", pcs, ws)
	}
	for i, pc := range pcs {
		tr.poke(pc, old[i])
	}
	r := tr.regs()
	if !slices.Contains(pcs, r.pc()-trap.moves) {
		tr.t.Fatalf("running to %#x: stopped at %#x", pcs, r.pc())
	}
	r.setPC(r.pc() - trap.moves)
	tr.setRegs(&r)
	return true
}

func (tr *tracee) poke(a arch.Addr, b []byte) {
	if _, err := unix.PtracePokeData(tr.pid, uintptr(a), b); err != nil {
		tr.t.Fatal(err)
	}
}

// step executes one instruction, delivering a signal (zero: none) first.
func (tr *tracee) step(signal int) {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SINGLESTEP, uintptr(tr.pid), 0, uintptr(signal), 0, 0)
	if errno != 0 {
		tr.t.Fatalf("single-step: %v", errno)
	}
}

// ReadMem implements cfi.Memory.
func (tr *tracee) ReadMem(buf []byte, addr arch.Addr) error {
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	remote := []unix.RemoteIovec{{Base: uintptr(addr), Len: len(buf)}}
	n, err := unix.ProcessVMReadv(tr.pid, local, remote, 0)
	if err == nil && n != len(buf) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// image is a mapped file with its symbols.
type image struct {
	bias     arch.Addr
	syms     map[string]elf.Symbol
	ends     map[elf.SectionIndex]arch.Addr // of sections
	sections map[string]unwind.Range
}

// upToNext returns where a function without a size lies: up to the next symbol, or to
// the end of its section.
func (im image) upToNext(sym elf.Symbol) unwind.Range {
	r := unwind.Range{Start: arch.ImageAddr(sym.Value).In(im.bias), End: im.ends[sym.Section]}
	for _, s := range im.syms {
		if a := arch.ImageAddr(s.Value).In(im.bias); a > r.Start {
			r.End = min(r.End, a)
		}
	}
	return r
}

// space reads the tracee's mappings and the call frame information of all images.
// Images are keyed by their path.
func (tr *tracee) space() (*unwind.Space, map[string]image, unwind.Stack) {
	tr.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", tr.pid))
	if err != nil {
		tr.t.Fatal(err)
	}
	s := &unwind.Space{Arch: native}
	images := make(map[string]image)
	var stack unwind.Stack
	byPath := make(map[string]int)
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		var lo, hi arch.Addr
		if _, err := fmt.Sscanf(f[0], "%x-%x", &lo, &hi); err != nil {
			tr.t.Fatalf("maps: %q: %v", sc.Text(), err)
		}
		if strings.HasPrefix(f[1], "rw") {
			tr.writable = append(tr.writable, unwind.Range{Start: lo, End: hi})
		}
		if len(f) < 6 {
			continue
		}
		path := f[5]
		if path == "[stack]" {
			stack = unwind.Stack{Low: lo, High: hi, Own: true}
		}
		if path[0] != '/' && path != "[vdso]" {
			continue
		}
		i, ok := byPath[path]
		if !ok {
			i = len(s.Modules)
			byPath[path] = i
			s.Modules = append(s.Modules, unwind.Module{Range: unwind.Range{Start: lo}, Name: path})
		}
		m := &s.Modules[i]
		m.End = hi
		if strings.Contains(f[1], "x") {
			m.Exec = append(m.Exec, unwind.Range{Start: lo, End: hi})
		}
	}
	for i := range s.Modules {
		images[s.Modules[i].Name] = tr.loadImage(&s.Modules[i])
	}
	sort.Slice(s.Modules, func(i, j int) bool { return s.Modules[i].Start < s.Modules[j].Start })
	return s, images, stack
}

// loadImage fills in what m's ELF file says.
func (tr *tracee) loadImage(m *unwind.Module) image {
	tr.t.Helper()
	var f *elf.File
	var err error
	if m.Name[0] == '/' {
		f, err = elf.Open(m.Name)
	} else {
		data := make([]byte, m.End-m.Start)
		if err := tr.ReadMem(data, m.Start); err != nil {
			tr.t.Fatal(err)
		}
		f, err = elf.NewFile(bytes.NewReader(data))
	}
	if err != nil {
		tr.t.Fatal(err)
	}
	defer f.Close()
	im := image{
		syms:     make(map[string]elf.Symbol),
		ends:     make(map[elf.SectionIndex]arch.Addr),
		sections: make(map[string]unwind.Range),
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			m.Bias = m.Start - arch.Addr(p.Vaddr&^0xfff)
			break
		}
	}
	im.bias = m.Bias
	for i, sec := range f.Sections {
		start := arch.ImageAddr(sec.Addr).In(m.Bias)
		im.ends[elf.SectionIndex(i)] = start + arch.Addr(sec.Size)
		im.sections[sec.Name] = unwind.Range{Start: start, End: start + arch.Addr(sec.Size)}
	}
	if s := f.Section(".eh_frame"); s != nil {
		data, err := s.Data()
		if err != nil {
			tr.t.Fatal(err)
		}
		if m.CFI, err = cfi.Parse(native, data, arch.ImageAddr(s.Addr), binary.LittleEndian); err != nil {
			tr.t.Fatalf("%s: %v", m.Name, err)
		}
	}
	if m.CFI == nil {
		syms, err := f.DynamicSymbols()
		if err != nil {
			tr.t.Fatal(err)
		}
		if err := m.FindBare(native, syms, tr); err != nil {
			tr.t.Fatal(err)
		}
	}
	syms, _ := f.Symbols() // a stripped file has none
	for _, s := range syms {
		im.syms[s.Name] = s
	}
	return im
}

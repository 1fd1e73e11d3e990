package x86

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestSystemCode holds the decoder against objdump on every instruction of the
// system's largest libraries and of two servers.
func TestSystemCode(t *testing.T) {
	tests := []struct {
		name string
		find func(t testing.TB, name string) string
		min  int // instructions that must agree
		data int // at most so many that objdump makes of tables within .text may be excused
	}{
		{name: "libc.so.6", find: findLibrary, min: 200_000},
		{name: "libm.so.6", find: findLibrary, min: 50_000},
		{name: "libstdc++.so.6", find: findLibrary, min: 200_000},
		{name: "libcrypto.so.3", find: findLibrary, min: 400_000, data: 2000},
		{name: "redis-server", find: findProgram, min: 200_000},
		{name: "memcached", find: findProgram, min: 20_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := test.find(t, test.name)
			agreed, failed := 0, 0
			excused := map[string]int{}
			total := 0
			disassemble(t, func(l *line) {
				if !l.known() {
					return // data between functions
				}
				diff := compare(l)
				switch {
				case diff == "":
					agreed++
				case nearFwait(l.code):
					excused["fwait"]++ // in code of its own right
				case excuse(l) != "":
					excused[excuse(l)]++
					total++
				default:
					if failed++; failed <= 20 {
						t.Errorf("%x: % x: %s: decoded: %s", l.addr, l.code, l.text, diff)
					}
				}
			}, "-d", path)
			t.Logf("%s: %d instructions agree, %d do not, excused: %v", path, agreed, failed, excused)
			if agreed < test.min {
				t.Errorf("only %d instructions agree", agreed)
			}
			if total > test.data {
				t.Errorf("%d instructions excused, more than %d", total, test.data)
			}
		})
	}
}

// nearFwait reports whether code begins with an fwait that objdump takes for a
// prefix: it shows it together with the x87 instruction or the REX byte behind it, and
// REX bytes in front of it on their own.
func nearFwait(code []byte) bool {
	var e encoding
	if e.decode(code) != nil || e.m != map1 || e.op != 0x9b {
		return false
	}
	return e.opOff > 0 || e.n < len(code) && (code[e.n]&0xf8 == 0xd8 || isPrefix(code[e.n]))
}

// excuse names why the decoder and objdump differ where the decoder is right
// or refuses on purpose; "" where it should agree.
func excuse(l *line) string {
	var e encoding
	err := e.decode(l.code)
	mnemonic, operands := l.split()
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrBranch16):
		return "branch with an operand size prefix"
	case errors.Is(err, ErrEIP):
		return "operand relative to eip"
	case errors.Is(err, ErrPrefix) && strings.Contains(l.text, "lock "):
		return "lock, where processors raise #UD"
	case errors.Is(err, ErrPrefix) && mnemonic[0] == 'v':
		return "prefix in front of VEX or EVEX, where processors raise #UD"
	case mnemonic == "mov" && (strings.Contains(operands, "?") || strings.HasPrefix(operands, "cs,")):
		return "segment register that does not exist or cannot be loaded"
	case mnemonic == "mov" && (strings.Contains(operands, "cr") || strings.Contains(operands, "dr")):
		return "control register with a memory form of ModRM"
	case strings.HasPrefix(mnemonic, "bnd"):
		return "MPX"
	case strings.HasSuffix(mnemonic, "(8087") || strings.HasSuffix(mnemonic, "(287"):
		return "instruction of the 8087 or 80287 only"
	case strings.Contains(l.text, "(bad)"):
		return "objdump doubts it as well"
	}
	return ""
}

func findProgram(t testing.TB, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// findLibrary asks the dynamic linker's cache for a library of this architecture.
func findLibrary(t testing.TB, name string) string {
	out, err := exec.Command("ldconfig", "-p").Output()
	if err != nil {
		out, err = exec.Command("/sbin/ldconfig", "-p").Output()
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		what, path, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if ok && strings.HasPrefix(what, name+" ") && strings.Contains(what, "x86-64") {
			return path
		}
	}
	t.Fatalf("the dynamic linker knows no %s for x86-64", name)
	return ""
}

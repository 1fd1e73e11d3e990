package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// call measures a patched function beside the same function unpatched, at growing lengths of the chain.
func (b *bench) call() error {
	const longest = 100
	program := make([]string, longest+1)
	for v := range program {
		var err error
		if program[v], err = b.compile("call."+strconv.Itoa(v), "target.c", "-DVERSION="+strconv.Itoa(v)); err != nil {
			return err
		}
	}
	t, err := b.start(program[0], 1, "call")
	if err != nil {
		return err
	}
	defer t.end()
	var tab table
	tab.row("chain", "ns per call", "above unpatched")
	base, err := t.perCall(b.runs)
	if err != nil {
		return err
	}
	tab.row("unpatched", fmt.Sprintf("%.3f", base), "")
	for v := 1; v <= longest; v++ {
		fix := filepath.Join(b.work, "step.patch")
		if err := quiet(exec.Command(b.hotpatch, "diff", program[v-1], program[v], "-o", fix)); err != nil {
			return err
		}
		if _, err := b.hot("apply", "-p", t.pid(), "--json", "--wait", "30s", fix); err != nil {
			return err
		}
		want := uint64(0x5555 + v)
		if err := t.await(func() bool { return t.mem[wordAnswer].Load() == want }); err != nil {
			return fmt.Errorf("version %d is not live: %w", v, err)
		}
		if v == 1 || v == 10 || v == longest {
			ns, err := t.perCall(b.runs)
			if err != nil {
				return err
			}
			tab.row(strconv.Itoa(v), fmt.Sprintf("%.3f", ns), fmt.Sprintf("%+.3f", ns-base))
		}
	}
	tab.print(fmt.Sprintf("Cost of a call: medians of %d windows", b.runs))
	return nil
}

// perCall returns the median of the nanoseconds per call over n windows.
func (t *target) perCall(n int) (float64, error) {
	var all []float64
	for range n {
		seen := t.mem[wordWindows].Load()
		// The window under way when this begins may hold a change: take the one after it.
		if err := t.await(func() bool { return t.mem[wordWindows].Load() >= seen+2 }); err != nil {
			return 0, err
		}
		all = append(all, float64(t.mem[wordNS].Load())/float64(t.mem[wordCalls].Load()))
	}
	return median(all), nil
}

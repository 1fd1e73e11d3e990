package kvload

import (
	"fmt"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

func startKVD(t *testing.T, version int) (*victim.Victim, string) {
	t.Helper()
	path := victim.Build(t, "gcc", []string{"kvd/kvd.c", "kvd/command.c", "kvd/table.c", "kvd/queue.c"},
		"-O2", "-g", "-pthread", "-fPIE", "-pie", fmt.Sprintf("-DVERSION=%d", version))
	v := victim.Start(t, path)
	return v, "127.0.0.1:" + strings.TrimPrefix(v.Line(), "port ")
}

func TestEachVersionIsRecognised(t *testing.T) {
	for running := 1; running <= newest; running++ {
		t.Run(fmt.Sprintf("v%d", running), func(t *testing.T) {
			v, addr := startKVD(t, running)
			l, err := Start(addr, 8, running)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Settle(500); err != nil {
				t.Error(err)
			}
			r, err := l.Stop()
			if err != nil {
				t.Error(err)
			}
			if r.Replies < 8*500 || r.Keys == 0 {
				t.Errorf("a load that did little: %+v", r)
			}
			v.End()
		})
	}
}

func TestAnotherVersionIsWrong(t *testing.T) {
	for running := 1; running <= newest; running++ {
		_, addr := startKVD(t, running)
		for told := 1; told <= newest; told++ {
			if told == running {
				continue
			}
			l, err := Start(addr, 1, told)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Settle(2000); err == nil {
				t.Errorf("version %d passed for version %d", running, told)
			}
			l.Stop()
		}
	}
}

func TestBrokenConnectionIsAFailure(t *testing.T) {
	v, addr := startKVD(t, 1)
	l, err := Start(addr, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(10); err != nil {
		t.Fatal(err)
	}
	v.End()
	if _, err := l.Stop(); err == nil {
		t.Error("the server is gone, and no failure was counted")
	}
}

func TestWindow(t *testing.T) {
	type step struct {
		do  string // "send", "open", "done", "fail", "reply"
		arg versions
		bad bool // for a reply: must be refused
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{name: "before any change only the running version answers", steps: []step{
			{do: "send"}, {do: "reply", arg: only(2), bad: true}, {do: "send"}, {do: "reply", arg: only(1)}}},
		{name: "both answer during the change", steps: []step{
			{do: "open", arg: 2}, {do: "send"}, {do: "reply", arg: only(1)}, {do: "send"}, {do: "reply", arg: only(2)}}},
		{name: "never back once the new one was seen", steps: []step{
			{do: "open", arg: 2}, {do: "send"}, {do: "reply", arg: only(2)}, {do: "send"}, {do: "reply", arg: only(1), bad: true}}},
		{name: "sent before the change was seen, answered by the old one", steps: []step{
			{do: "open", arg: 2}, {do: "send"}, {do: "done"}, {do: "reply", arg: only(1)}}},
		{name: "only the new one after the change", steps: []step{
			{do: "open", arg: 2}, {do: "done"}, {do: "send"}, {do: "reply", arg: only(1), bad: true}}},
		{name: "only the old one after a change that failed", steps: []step{
			{do: "open", arg: 2}, {do: "fail"}, {do: "send"}, {do: "reply", arg: only(2), bad: true}}},
		{name: "a reply that both give says nothing", steps: []step{
			{do: "open", arg: 2}, {do: "send"}, {do: "reply", arg: between(1, 2)}, {do: "send"}, {do: "reply", arg: only(1)}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := window{from: 1, to: 1}
			var sent moment
			for i, s := range tc.steps {
				switch s.do {
				case "send":
					sent = w.now()
				case "open":
					w.open(int(s.arg))
				case "done", "fail":
					if err := w.close(s.do == "done"); err != nil {
						t.Fatal(err)
					}
				case "reply":
					if err := w.check(sent, s.arg); (err != nil) != s.bad {
						t.Errorf("step %d: error %v, want one: %v", i, err, s.bad)
					}
				}
			}
		})
	}
}

func TestFailedChangeThatShowed(t *testing.T) {
	w := window{from: 1, to: 1}
	w.open(2)
	if err := w.check(w.now(), only(2)); err != nil {
		t.Fatal(err)
	}
	if err := w.close(false); err == nil {
		t.Error("a change that failed, but was seen, passed")
	}
}

package sweep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// What a target has: connections that are served by a thread each, the last of these in epoll_wait, and one more
// connection for threads that come and go.
const (
	served  = 5
	threads = served + 2 // with the main thread and the one that sleeps
)

// pace is the time between a reply and the next request of a connection: the load's rate, nothing waits for it.
const pace = time.Millisecond

// target is a running server with clients that never stop.
type target struct {
	t     *testing.T
	v     *victim.Victim
	conns []*conn // served by the threads that stay
	spare *conn   // of threads that come and go
	gate  *os.File

	allow atomic.Uint32 // the classes that are right now
	gen   atomic.Int64  // counts observations
	stop  chan struct{}
	done  sync.WaitGroup

	mu  sync.Mutex
	bad []string // wrong answers and broken connections
}

// conn is one connection. One goroutine asks on it.
type conn struct {
	id   int
	net  net.Conn
	news chan struct{} // holds a value if there was a reply since it was last taken
	gone chan struct{} // closed when the connection has broken

	mu    sync.Mutex
	gen   int64 // of the observation
	count int   // replies to requests that were sent since it began
	seen  class // their classes
}

// build builds a version of the server.
func build(t *testing.T, v int) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"sweep/served.c"}, "-O2", "-g", "-pthread", "-fPIE", "-pie", "-Wl,--build-id=sha1",
		fmt.Sprintf("-DV=%d", v))
}

// start runs version 1 and its clients.
func start(t *testing.T, args ...string) *target {
	t.Helper()
	tg := &target{t: t, stop: make(chan struct{})}
	tg.allow.Store(uint32(version(1)))
	cmd := exec.Command(build(t, 1), append([]string{strconv.Itoa(served + 1)}, args...)...)
	gate, opens, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	tg.gate, cmd.ExtraFiles = opens, []*os.File{gate}
	for i := range served + 1 {
		c, other := pair(t, i)
		defer other.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, other)
		tg.conns = append(tg.conns, c)
	}
	tg.v = victim.StartCmd(t, cmd)
	tg.conns, tg.spare = tg.conns[:served], tg.conns[served]
	for _, c := range tg.conns {
		tg.done.Add(1)
		go func() {
			defer tg.done.Done()
			tg.ask(c)
		}()
	}
	t.Cleanup(tg.end)
	return tg
}

// pair makes a connection and the other end of it, for the server.
func pair(t *testing.T, id int) (*conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "client")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return &conn{id: id, net: nc, news: make(chan struct{}, 1), gone: make(chan struct{})}, os.NewFile(uintptr(fds[1]), "server")
}

// end stops the clients.
func (tg *target) end() {
	select {
	case <-tg.stop:
		return
	default:
	}
	close(tg.stop)
	tg.done.Wait()
	for _, c := range append(tg.conns, tg.spare) {
		c.net.Close()
	}
	tg.gate.Close()
}

// ask sends requests on one connection until the target ends.
func (tg *target) ask(c *conn) {
	defer close(c.gone)
	random := rand.New(rand.NewPCG(uint64(c.id), uint64(tg.v.PID)))
	for {
		gen, before := tg.gen.Load(), class(tg.allow.Load())
		n := random.Int64N(1 << 40)
		answer, err := c.request(n)
		if err != nil {
			select {
			case <-tg.stop:
			default:
				tg.fail("connection %d: %v", c.id, err)
			}
			return
		}
		got := judge(n, answer)
		if got&(before|class(tg.allow.Load())) == 0 {
			tg.fail("connection %d: the answer to %d is %d, of %v", c.id, n, answer, got)
		}
		c.note(gen, got)
		select {
		case <-tg.stop:
			return
		case <-time.After(pace):
		}
	}
}

// request sends a request and waits for its reply.
func (c *conn) request(n int64) (int64, error) {
	if err := c.net.SetDeadline(time.Now().Add(victim.Patience)); err != nil {
		return 0, err
	}
	b := binary.NativeEndian.AppendUint64(nil, uint64(n))
	if _, err := c.net.Write(b); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c.net, b); err != nil {
		return 0, err
	}
	return int64(binary.NativeEndian.Uint64(b)), nil
}

// note enters a reply to a request that was sent in observation gen.
func (c *conn) note(gen int64, got class) {
	c.mu.Lock()
	if gen > c.gen {
		c.gen, c.count, c.seen = gen, 0, 0
	}
	c.count++
	c.seen |= got
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (tg *target) fail(format string, args ...any) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	tg.bad = append(tg.bad, fmt.Sprintf(format, args...))
}

// err returns what was wrong since it was last asked.
func (tg *target) err() error {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	if len(tg.bad) == 0 {
		return nil
	}
	bad := tg.bad
	tg.bad = nil
	if len(bad) > 3 {
		bad = append(bad[:3:3], fmt.Sprintf("and %d more", len(bad)-3))
	}
	return errors.New(strings.Join(bad, "; "))
}

// permit says which answers are right from now on.
func (tg *target) permit(c class) { tg.allow.Store(uint32(c)) }

// observe waits until every connection has had replies to two requests that were sent after the call, and returns whose
// answers they were.
func (tg *target) observe() (class, error) {
	const replies = 2
	gen := tg.gen.Add(1)
	patience := time.NewTimer(victim.Patience)
	defer patience.Stop()
	var all class
	for _, c := range tg.conns {
		for {
			c.mu.Lock()
			ready, seen := c.gen == gen && c.count >= replies, c.seen
			c.mu.Unlock()
			if ready {
				all |= seen
				break
			}
			select {
			case <-c.news:
			case <-c.gone:
				return 0, fmt.Errorf("connection %d is gone: %w", c.id, tg.err())
			case <-patience.C:
				return 0, fmt.Errorf("connection %d: no answer for %v", c.id, victim.Patience)
			}
		}
	}
	return all, nil
}

// undisturbed fails unless nobody traces the target, no thread of it is stopped, there are extra more threads than
// at the start, and no call of it was disturbed. It returns how often epoll_wait gave EINTR.
func (tg *target) undisturbed(extra int) (eintr int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tg.v.PID))
	if err != nil {
		return 0, err
	}
	if !strings.Contains(string(status), "\nTracerPid:\t0\n") {
		return 0, errors.New("still traced")
	}
	states := tg.states()
	if len(states) != threads+extra || strings.ContainsAny(states, "tTZX") {
		return 0, fmt.Errorf("threads in states %q, want %d that run", states, threads+extra)
	}
	line := tg.v.Ask("sum")
	if _, err := fmt.Sscanf(line, "ok %d", &eintr); err != nil {
		return 0, fmt.Errorf("the target says %q", line)
	}
	return eintr, nil
}

// states are the states of the target's threads, one letter each (proc_pid_stat(5)), in no order.
func (tg *target) states() string {
	var out []byte
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", tg.v.PID))
	for _, d := range tasks {
		if s := tg.state(d.Name()); s != 0 {
			out = append(out, s)
		}
	}
	return string(out)
}

// state is the state of one thread; 0 if it has ended.
func (tg *target) state(tid string) byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", tg.v.PID, tid))
	i := strings.LastIndexByte(string(b), ')')
	if err != nil || i < 0 || len(b) < i+3 {
		return 0
	}
	return b[i+2]
}

// spawn tells the target to make a thread, and waits until it has, or until its main thread is stopped: it
// will, then.
func (tg *target) spawn() {
	n := len(tg.states())
	tg.v.Send("spawn")
	for end := time.Now().Add(victim.Patience); time.Now().Before(end); {
		if len(tg.states()) > n || tg.state(strconv.Itoa(tg.v.PID)) == 't' {
			return
		}
	}
	tg.t.Fatal("the target makes no thread")
}

// spawned makes sure that the thread is there, answers, and ends.
func (tg *target) spawned() (class, error) {
	tg.v.Expect("spawned")
	n := rand.Int64N(1 << 40)
	answer, err := tg.spare.request(n)
	if err != nil {
		return 0, err
	}
	const end = -2 // END of served.c
	if _, err = tg.spare.request(end); err != nil {
		return 0, err
	}
	for until := time.Now().Add(victim.Patience); len(tg.states()) > threads; {
		if time.Now().After(until) {
			return 0, errors.New("the new thread does not end")
		}
	}
	return judge(n, answer), nil
}

// hold brings a thread into the function rate, and returns it.
func (tg *target) hold() (tid string) {
	tg.t.Helper()
	tg.v.Send("hold")
	tid, ok := strings.CutPrefix(tg.v.Line(), "held ")
	if !ok {
		tg.t.Fatal("no thread is held")
	}
	return tid
}

// release lets the thread go. It leaves as soon as it runs.
func (tg *target) release() error {
	_, err := tg.gate.Write([]byte{0})
	return err
}

// leaves waits until a thread that was released has ended, or is stopped and cannot: false.
func (tg *target) leaves(tid string) bool {
	for end := time.Now().Add(victim.Patience); time.Now().Before(end); {
		switch tg.state(tid) {
		case 0, 'Z', 'X':
			return true
		case 't':
			return false
		}
	}
	tg.t.Fatalf("thread %s does not leave", tid)
	return false
}

// left waits until the thread has left, and returns whose answer it has got.
func (tg *target) left() (class, error) {
	tg.t.Helper()
	var answer int64
	line := tg.v.Line()
	if _, err := fmt.Sscanf(line, "left %d", &answer); err != nil {
		return 0, fmt.Errorf("the target says %q", line)
	}
	return judge(-1, answer), nil
}

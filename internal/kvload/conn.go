package kvload

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// conn is one connection and the model of what it has stored. Its keys carry its number,
// so that no other connection changes them.
type conn struct {
	id   int
	load *Load
	net  net.Conn
	in   *bufio.Reader
	rnd  *rand.Rand

	text   map[string]string // keys that hold text
	number map[string]int64  // keys that hold numbers
	sets   uint64            // the server's count of SETs must be at least this
	missed uint64            // the server's count of misses must be at least this

	replies  atomic.Int64
	progress chan struct{} // holds a value if there were replies since it was last taken
}

func newConn(l *Load, nc net.Conn, id int) *conn {
	return &conn{
		id: id, load: l, net: nc, in: bufio.NewReader(nc),
		rnd:  rand.New(rand.NewPCG(uint64(id), 1)),
		text: map[string]string{}, number: map[string]int64{},
		progress: make(chan struct{}, 1),
	}
}

// clear deletes the keys of this connection that an earlier load may have left.
func (c *conn) clear() error {
	for _, kind := range []string{"t", "n"} {
		for i := range keysPerConn {
			if _, err := c.ask(fmt.Sprintf("DEL c%d.%s%d", c.id, kind, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// run sends requests until stop is closed or something is wrong.
func (c *conn) run(stop <-chan struct{}) error {
	if err := c.clear(); err != nil {
		return err
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := c.step(c.next()); err != nil {
			return err
		}
		c.replies.Add(1)
		select {
		case c.progress <- struct{}{}:
		default:
		}
		c.load.replies.Add(1)
	}
}

// step sends one request and judges its reply.
func (c *conn) step(r request) error {
	sent := c.load.window.now()
	start := time.Now()
	reply, err := c.ask(r.line)
	if err != nil {
		return fmt.Errorf("%q: %w", r.line, err)
	}
	took := int64(time.Since(start))
	for old := c.load.slowest.Load(); took > old && !c.load.slowest.CompareAndSwap(old, took); {
		old = c.load.slowest.Load()
	}
	got, err := r.judge(reply)
	if err != nil {
		return fmt.Errorf("%q: reply %q: %w", r.line, reply, err)
	}
	if got == 0 {
		return fmt.Errorf("%q: reply %q: no version gives it", r.line, reply)
	}
	if err := c.load.window.check(sent, got); err != nil {
		return fmt.Errorf("%q: reply %q: %w", r.line, reply, err)
	}
	return nil
}

func (c *conn) ask(line string) (string, error) {
	if err := c.net.SetDeadline(time.Now().Add(Patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c.net, line+"\n"); err != nil {
		return "", err
	}
	reply, err := c.in.ReadString('\n')
	return strings.TrimSuffix(reply, "\n"), err
}

// verify reads every key of the model back, through this connection and through a new
// one, and returns their number.
func (c *conn) verify() (int, error) {
	want := map[string]string{}
	for k, v := range c.text {
		want[k] = v
	}
	for k, n := range c.number {
		want[k] = strconv.FormatInt(n, 10)
	}
	keys := make([]string, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	fresh, err := dial(c.load, c.net.RemoteAddr().String(), c.id)
	if err != nil {
		return 0, err
	}
	defer fresh.net.Close()
	for _, via := range []*conn{c, fresh} {
		for _, k := range keys {
			reply, err := via.ask("GET " + k)
			if err != nil {
				return 0, err
			}
			if reply != "VALUE "+want[k] {
				return 0, fmt.Errorf("key %q: reply %q, want value %q", k, reply, want[k])
			}
		}
	}
	return len(keys), nil
}

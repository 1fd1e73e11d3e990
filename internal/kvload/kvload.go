// Package kvload drives testdata/kvd without a pause and checks every reply.
//
// Each connection keeps a model of its own keys and knows how the replies of the
// server's versions 1 to 4 differ (the table is in testdata/kvd/kvd.c). While a
// change from one version to another is going on, either version's reply is right,
// but not the earlier one's once any connection has seen the later one's; when the
// change is over, only the later one's is. Connections are never made anew: one that
// breaks is a failure.
package kvload

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Patience is how long one reply may take before the connection counts as failed. It
// is generous, for emulated machines.
const Patience = 60 * time.Second

// Load is a running load on one server.
type Load struct {
	window window
	conns  []*conn
	stop   chan struct{}
	done   sync.WaitGroup

	replies atomic.Int64
	slowest atomic.Int64 // longest time from a request to its reply, in ns

	failed chan struct{} // closed at the first failure

	mu   sync.Mutex
	errs []error // the first failure of each connection
}

// Report says what a load has done.
type Report struct {
	Conns   int           // connections, all of them open from start to end
	Replies int64         // replies checked
	Keys    int           // keys that were there with the right value at the end
	Slowest time.Duration // longest time from a request to its reply
}

// Start opens n connections to a kvd of the version at addr and loads it until Stop.
func Start(addr string, n, version int) (*Load, error) {
	l := &Load{stop: make(chan struct{}), failed: make(chan struct{})}
	l.window.from, l.window.to = version, version
	for i := range n {
		c, err := dial(l, addr, i)
		if err != nil {
			for _, c := range l.conns {
				c.net.Close()
			}
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	for _, c := range l.conns {
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			if err := c.run(l.stop); err != nil {
				l.fail(fmt.Errorf("connection %d: %w", c.id, err))
			}
		}()
	}
	return l, nil
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) == 0 {
		close(l.failed)
	}
	l.errs = append(l.errs, err)
}

// Err returns what has failed so far: wrong replies and broken connections.
func (l *Load) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// Switch runs change, which is to bring the server to another version. If change
// succeeds, later replies must be those of version to; if it fails, those of the version
// before, and change's error is returned.
func (l *Load) Switch(to int, change func() error) error {
	l.window.open(to)
	err := change()
	if cerr := l.window.close(err == nil); cerr != nil {
		l.fail(cerr)
	}
	return err
}

// Settle waits until every connection has had n more replies checked, so that each kind
// of request has been seen, and returns Err.
func (l *Load) Settle(n int64) error {
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	goals := make([]int64, len(l.conns))
	for i, c := range l.conns {
		goals[i] = c.replies.Load() + n
	}
	for i, c := range l.conns {
		for c.replies.Load() < goals[i] {
			select {
			case <-c.progress:
			case <-l.failed:
				return l.Err()
			case <-patience.C:
				return fmt.Errorf("connection %d: fewer than %d more replies in %v", c.id, n, Patience)
			}
		}
	}
	return l.Err()
}

// Stop ends the load, reads every key back through its connection and through a new one,
// closes the connections, and returns what was done and Err.
func (l *Load) Stop() (Report, error) {
	close(l.stop)
	l.done.Wait()
	r := Report{Conns: len(l.conns), Slowest: time.Duration(l.slowest.Load())}
	for _, c := range l.conns {
		n, err := c.verify()
		r.Keys += n
		if err != nil {
			l.fail(fmt.Errorf("connection %d: reading back: %w", c.id, err))
		}
		c.net.Close()
	}
	r.Replies = l.replies.Load()
	return r, l.Err()
}

func dial(l *Load, addr string, id int) (*conn, error) {
	nc, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return nil, err
	}
	return newConn(l, nc, id), nil
}

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// applied is what was measured on redis-server: one entry a process in each list.
type applied struct {
	floor, apply, revert, pause []time.Duration
	phases                      []string // in the order of their first appearance
	took                        map[string][]time.Duration
}

// apply measures the whole command on a redis-server that serves a client, and its phases.
func (b *bench) apply() error {
	floor, err := b.compile("floor", "floor.c")
	if err != nil {
		return err
	}
	old, next := filepath.Join(b.data, "old", "redis-server"), filepath.Join(b.data, "new", "redis-server")
	fix := filepath.Join(b.work, "redis.patch")
	if err := quiet(exec.Command(b.hotpatch, "diff", old, next, "-o", fix)); err != nil {
		return err
	}
	m := applied{took: make(map[string][]time.Duration)}
	for range b.runs {
		if err := m.process(b, floor, old, fix); err != nil {
			return err
		}
	}
	var t table
	t.row("redis-server", "ms")
	t.row("floor: a C program that stops and resumes it, whole command", ms(median(m.floor)))
	t.row("apply, whole command", ms(median(m.apply)))
	t.row("revert, whole command", ms(median(m.revert)))
	t.row("pause of apply", ms(median(m.pause)))
	for _, p := range m.phases {
		t.row("apply, phase: "+p, ms(median(m.took[p])))
	}
	t.print(fmt.Sprintf("Apply: medians of %d processes, the first apply in each", b.runs))
	return nil
}

// process measures one new process, because an operator applies a patch once to each.
func (m *applied) process(b *bench, floor, server, fix string) error {
	r, err := startRedis(server, b.work)
	if err != nil {
		return err
	}
	defer r.end()
	start := time.Now()
	if err := quiet(exec.Command(floor, r.pid())); err != nil {
		return err
	}
	m.floor = append(m.floor, time.Since(start))
	rep, err := b.hot("apply", "-p", r.pid(), "--json", "--wait", "30s", fix)
	if err != nil {
		return err
	}
	m.apply, m.pause = append(m.apply, rep.wall), append(m.pause, time.Duration(rep.PauseNS))
	for _, p := range rep.Phases {
		if m.took[p.Name] == nil {
			m.phases = append(m.phases, p.Name)
		}
		m.took[p.Name] = append(m.took[p.Name], p.Took)
	}
	if err := r.ping(); err != nil {
		return err
	}
	if rep, err = b.hot("revert", "-p", r.pid(), "--json", "--wait", "30s"); err != nil {
		return err
	}
	m.revert = append(m.revert, rep.wall)
	return r.ping()
}

// redis is a running server with one connection.
type redis struct {
	cmd  *exec.Cmd
	conn net.Conn
}

// startRedis starts a server that listens on a Unix socket only.
func startRedis(program, dir string) (*redis, error) {
	socket := filepath.Join(dir, "redis.sock")
	os.Remove(socket)
	r := &redis{cmd: exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if r.conn, err = net.Dial("unix", socket); err == nil {
			return r, r.ping()
		}
	}
	r.end()
	return nil, fmt.Errorf("redis-server does not answer: %w", err)
}

func (r *redis) pid() string { return strconv.Itoa(r.cmd.Process.Pid) }

// ping asks the server over its one connection.
func (r *redis) ping() error {
	if _, err := r.conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(r.conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != "+PONG" {
		return fmt.Errorf("redis-server answered %q", line)
	}
	return nil
}

func (r *redis) end() {
	if r.conn != nil {
		r.conn.Close()
	}
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

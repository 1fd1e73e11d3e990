package kvload

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// request is a line to send and what its reply may be.
type request struct {
	line string
	// judge updates the model and returns the versions that give this reply; none
	// if no version does.
	judge func(reply string) (versions, error)
}

// expect is a request whose possible replies are known beforehand.
func expect(line string, replies map[string]versions) request {
	return request{line, func(reply string) (versions, error) { return replies[reply], nil }}
}

// same is a request that every version answers in the same way.
func same(line, reply string) request {
	return expect(line, map[string]versions{reply: every})
}

// keysPerConn bounds the keys of one connection.
const keysPerConn = 32

// next draws the next request.
func (c *conn) next() request {
	draw := []func() request{c.hello, c.set, c.set, c.get, c.get, c.get, c.del, c.last, c.last, c.stats, c.calc, c.calc, c.sum, c.same, c.add, c.add}
	return draw[c.rnd.IntN(len(draw))]()
}

func (c *conn) key(kind string) string {
	return fmt.Sprintf("c%d.%s%d", c.id, kind, c.rnd.IntN(keysPerConn))
}

func word(rnd *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rnd.IntN(len(letters))]
	}
	return string(b)
}

func (c *conn) hello() request {
	return expect("HELLO", map[string]versions{
		"kvd one, values up to 48":          only(1),
		"kvd two or later, values up to 64": between(2, newest),
	})
}

func (c *conn) set() request {
	k, v := c.key("t"), word(c.rnd, 1+c.rnd.IntN(70))
	accept, refuse := every, versions(0)
	switch {
	case len(v) > 64:
		accept, refuse = 0, every
	case len(v) > 48:
		accept, refuse = between(2, newest), only(1)
	}
	return request{"SET " + k + " " + v, func(reply string) (versions, error) {
		switch reply {
		case "OK":
			c.text[k] = v
			c.sets++
			return accept, nil
		case "ERR value too long":
			return refuse, nil
		}
		return 0, nil
	}}
}

func (c *conn) get() request {
	k := c.key("t")
	if v, ok := c.text[k]; ok {
		return same("GET "+k, "VALUE "+v)
	}
	sent := c.load.window.now()
	return request{"GET " + k, func(reply string) (versions, error) {
		if reply != "NONE" {
			return 0, nil
		}
		if min(sent.from, sent.to) >= 3 && c.load.window.atLeast(3) {
			c.missed++
		}
		return every, nil
	}}
}

func (c *conn) del() request {
	k := c.key("t")
	want := "NONE"
	if _, ok := c.text[k]; ok {
		want = "OK"
	}
	return request{"DEL " + k, func(reply string) (versions, error) {
		if reply != want {
			return 0, nil
		}
		delete(c.text, k)
		return every, nil
	}}
}

func (c *conn) last() request {
	k, n := c.key("t"), c.rnd.IntN(80)
	line := fmt.Sprintf("LAST %s %d", k, n)
	v, ok := c.text[k]
	switch {
	case !ok:
		return same(line, "NONE")
	case n < len(v):
		return same(line, "LAST "+v[len(v)-n:])
	}
	return expect(line, map[string]versions{
		"LAST " + v[1:]: only(1), // the bug that v2 mends
		"LAST " + v:     between(2, newest),
	})
}

func (c *conn) stats() request {
	return request{"STATS", func(reply string) (versions, error) {
		var sets, misses uint64
		got := versions(0)
		if n, _ := fmt.Sscanf(reply, "STATS sets %d misses %d", &sets, &misses); n == 2 {
			got = between(3, newest)
			if misses < max(1000, c.missed) {
				return 0, fmt.Errorf("fewer misses than %d", max(1000, c.missed))
			}
			c.missed = misses
		} else if n == 1 && !strings.Contains(reply, "misses") {
			got = between(1, 2)
		}
		if got != 0 && sets < c.sets {
			return 0, fmt.Errorf("fewer sets than %d", c.sets)
		}
		c.sets = sets
		return got, nil
	}}
}

func (c *conn) calc() request {
	op, x, y := c.rnd.IntN(12), int64(c.rnd.IntN(100)), int64(c.rnd.IntN(3))
	line := fmt.Sprintf("CALC %d %d %d", op, x, y)
	result := func(r int64) string { return fmt.Sprintf("RESULT %d", r) }
	unknown := fmt.Sprintf("ERR op %d", op)
	switch op {
	case 4:
		if y == 0 {
			return expect(line, map[string]versions{result(-1): between(1, 2), result(x): between(3, newest)})
		}
	case 9:
		return expect(line, map[string]versions{unknown: between(1, 2), result(min(x, y)): between(3, newest)})
	case 10:
		return expect(line, map[string]versions{unknown: between(1, 2), result(x*x + y*y): between(3, newest)})
	case 11:
		return same(line, unknown)
	}
	return same(line, result(calculate(op, x, y)))
}

// calculate gives what operations 0 to 8 have always given.
func calculate(op int, x, y int64) int64 {
	switch op {
	case 0:
		return x + y
	case 1:
		return x - y
	case 2:
		return x * y
	case 3:
		if y == 0 {
			return 0
		}
		return x / y
	case 4:
		return x % y
	case 5:
		return x & y
	case 6:
		return x | y
	case 7:
		return x ^ y
	}
	return max(x, y)
}

// checksum is kvd's: seed 1 up to version 3, the length from version 4.
func checksum(s string, seed uint32) uint32 {
	for i := range len(s) {
		seed = (seed<<5 | seed>>27) ^ uint32(s[i])
	}
	return seed
}

func (c *conn) sum() request {
	k := c.key("t")
	v, ok := c.text[k]
	if !ok {
		return same("SUM "+k, "NONE")
	}
	replies := map[string]versions{}
	replies[fmt.Sprintf("SUM %d", checksum(v, 1))] |= between(1, 3)
	replies[fmt.Sprintf("SUM %d", checksum(v, uint32(len(v))))] |= only(4)
	return expect("SUM "+k, replies)
}

func (c *conn) same() request {
	k := c.key("t")
	v, ok := c.text[k]
	if !ok {
		return same("SAME "+k+" 1", "NONE")
	}
	before, now := checksum(v, 1), checksum(v, uint32(len(v)))
	line := fmt.Sprintf("SAME %s %d", k, before)
	if before == now {
		return same(line, "YES")
	}
	return expect(line, map[string]versions{"YES": between(1, 3), "NO": only(4)})
}

func (c *conn) add() request {
	k, n := c.key("n"), int64(c.rnd.IntN(1000))
	sum := fmt.Sprintf("VALUE %d", c.number[k]+n)
	line, taken, refused := fmt.Sprintf("ADD %s %d", k, n), every, versions(0)
	if c.rnd.IntN(2) == 0 {
		line, taken, refused = fmt.Sprintf("ADD %s 0x%x", k, n), only(4), between(1, 3)
	}
	return request{line, func(reply string) (versions, error) {
		switch reply {
		case sum:
			c.number[k] += n
			return taken, nil
		case "ERR number":
			return refused, nil
		}
		return 0, nil
	}}
}

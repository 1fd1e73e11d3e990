package types

import "strings"

// cursor reads primitives from one section. The first error stays: every later read gives zero, and callers check once.
type cursor struct {
	section string // name, for errors
	s       string
	off     int
	err     error
}

func (c *cursor) fail(msg string, val uint64) {
	if c.err == nil {
		c.err = &FormatError{c.section, uint64(c.off), msg, val}
		c.off = len(c.s)
	}
}

// more reports whether bytes are left.
func (c *cursor) more() bool { return c.off < len(c.s) }

func (c *cursor) u8() uint64 {
	if c.off >= len(c.s) {
		c.fail("the section ends here", 0)
		return 0
	}
	v := c.s[c.off]
	c.off++
	return uint64(v)
}

// fixed reads a little-endian number of n bytes, at most 8.
func (c *cursor) fixed(n int) uint64 {
	if n > len(c.s)-c.off {
		c.fail("a number runs past the end of the section; bytes", uint64(n))
		return 0
	}
	v := uint64(0)
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(c.s[c.off+i])
	}
	c.off += n
	return v
}

// uleb reads an unsigned LEB128 number (DWARF 5, 7.6).
func (c *cursor) uleb() uint64 {
	if c.off < len(c.s) && c.s[c.off] < 0x80 {
		c.off++
		return uint64(c.s[c.off-1])
	}
	v := uint64(0)
	for shift := uint(0); ; shift += 7 {
		b := c.u8()
		if shift > 63 && b != 0 && b != 0x80 {
			c.fail("LEB128 number is too large", b)
			return 0
		}
		if shift < 64 {
			v |= b & 0x7f << shift
		}
		if b < 0x80 {
			return v
		}
	}
}

// sleb reads a signed LEB128 number.
func (c *cursor) sleb() int64 {
	v := int64(0)
	for shift := uint(0); ; {
		b := c.u8()
		if shift < 64 {
			v |= int64(b&0x7f) << shift
		}
		shift += 7
		if b < 0x80 {
			if b&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
		if c.err != nil {
			return 0
		}
	}
}

// bytes returns the next n bytes.
func (c *cursor) bytes(n uint64) string {
	if n > uint64(len(c.s)-c.off) {
		c.fail("a block runs past the end of the section; bytes", n)
		return ""
	}
	c.off += int(n)
	return c.s[c.off-int(n) : c.off]
}

// str reads a NUL-terminated string.
func (c *cursor) str() string {
	n := strings.IndexByte(c.s[c.off:], 0)
	if n < 0 {
		c.fail("a string has no end", 0)
		return ""
	}
	c.off += n + 1
	return c.s[c.off-n-1 : c.off-1]
}

// strAt returns the NUL-terminated string at off of a string section; "" if there is none.
func strAt(table string, off uint64) string {
	if off >= uint64(len(table)) {
		return ""
	}
	s := table[off:]
	if n := strings.IndexByte(s, 0); n >= 0 {
		return s[:n]
	}
	return ""
}

// Package xz decompresses .xz data that is in memory ("The .xz File Format", version 1.2.0, tukaani.org/xz/xz-file-format.txt).
//
// The sizes of everything stand in the headers of the LZMA2 chunks. They are added up before anything is decompressed, so that
// memory is known in advance whatever the data claims: twice the result, which the caller bounds. One
// stream is read, with any number of blocks, whose only filter is LZMA2. Checksums and the index are verified.
//
// The container is read here because that of github.com/ulikunitz/xz allocates the dictionary that the header of each block declares, up to
// 4 GiB, before it reads on: a look at the headers in advance could only refuse what declares much, and files of a few KiB
// that "xz -9" makes declare 64 MiB.
package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"slices"

	"github.com/ulikunitz/xz/lzma"
)

// FormatError says what is wrong with xz data, and where.
type FormatError struct {
	Off int // bytes from the start of the data
	Msg string
	Val any // the offending value
}

func (e *FormatError) Error() string {
	if err, ok := e.Val.(error); ok {
		return fmt.Sprintf("xz data: offset %#x: %s: %v", e.Off, e.Msg, err)
	}
	return fmt.Sprintf("xz data: offset %#x: %s: %#x", e.Off, e.Msg, e.Val)
}

// Magic numbers and sizes of the stream's header and footer (2.1.1).
const (
	headerMagic = "\xfd7zXZ\x00"
	footerMagic = "YZ"
	headerSize  = 12 // of the header, and of the footer
)

// filterLZMA2 is the ID of the filter (5.3.1).
const filterLZMA2 = 0x21

// checkSizes are the bytes of a block's checksum by its type (2.1.1.2).
var checkSizes = [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}

// decoder reads one stream from front to back.
type decoder struct {
	data   []byte
	at     int
	check  byte // type of the blocks' checksums
	limit  int  // bytes that may still be decompressed
	blocks []blockSize
}

// blockSize is what the index says of a block (4.3).
type blockSize struct {
	unpadded uint64 // header, compressed data and checksum
	out      uint64 // decompressed
}

// Decode returns the decompressed data. An error is a [*FormatError]; data that decompresses to more than limit bytes is one.
func Decode(data []byte, limit int) ([]byte, error) {
	d := &decoder{data: data, limit: limit}
	if err := d.header(); err != nil {
		return nil, err
	}
	var out []byte
	for {
		if d.at >= len(data) {
			return nil, d.fail("no index: the data is cut off", len(data))
		}
		if data[d.at] == 0 {
			break
		}
		b, err := d.block()
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = b
		} else {
			out = append(out, b...)
		}
	}
	return out, d.index()
}

func (d *decoder) fail(msg string, val any) error { return &FormatError{d.at, msg, val} }

// header reads the stream header (2.1.1).
func (d *decoder) header() error {
	if len(d.data) < headerSize || string(d.data[:6]) != headerMagic {
		return d.fail("no xz magic number; bytes", d.data[:min(len(d.data), 6)])
	}
	flags := d.data[6:8]
	if crc32.ChecksumIEEE(flags) != binary.LittleEndian.Uint32(d.data[8:]) || flags[0] != 0 || flags[1] > 15 {
		return d.fail("stream flags", flags)
	}
	d.check, d.at = flags[1], headerSize
	switch d.check {
	case 0, 1, 4, 10:
		return nil
	}
	return d.fail("unknown checksum type", d.check)
}

// block decompresses the block at d.at and moves behind it (3).
func (d *decoder) block() ([]byte, error) {
	start := d.at
	size := (int(d.data[start]) + 1) * 4
	if size > len(d.data)-start {
		return nil, d.fail("block header size", size)
	}
	head := d.data[start : start+size]
	if crc32.ChecksumIEEE(head[:size-4]) != binary.LittleEndian.Uint32(head[size-4:]) {
		return nil, d.fail("checksum of a block header", binary.LittleEndian.Uint32(head[size-4:]))
	}
	dict, claimed, err := d.blockHeader(head[1 : size-4])
	if err != nil {
		return nil, err
	}
	d.at = start + size
	packed, n, err := d.chunks()
	if err != nil {
		return nil, err
	}
	if claimed[0] >= 0 && claimed[0] != int64(len(packed)) || claimed[1] >= 0 && claimed[1] != int64(n) {
		return nil, &FormatError{start, "block header: the sizes in it are not the block's; size", claimed[1]}
	}
	out, err := d.decompress(packed, n, dict)
	if err != nil {
		return nil, err
	}
	d.at += len(packed)
	unpadded := uint64(size + len(packed) + checkSizes[d.check])
	if err := d.padding(start); err != nil {
		return nil, err
	}
	if err := d.verify(out); err != nil {
		return nil, err
	}
	d.blocks = append(d.blocks, blockSize{unpadded, uint64(n)})
	return out, nil
}

// blockHeader reads what stands between a block header's size and its checksum (3.1): the size of the dictionary, and the
// compressed and decompressed sizes, -1 if they are not there.
func (d *decoder) blockHeader(b []byte) (dict uint64, sizes [2]int64, err error) {
	sizes = [2]int64{-1, -1}
	flags := b[0]
	if flags&0x3f != 0 {
		return 0, sizes, d.fail("block with filters other than LZMA2; flags", flags)
	}
	b = b[1:]
	var ok bool
	for i := range sizes {
		if flags&(0x40<<i) == 0 {
			continue
		}
		var v uint64
		if v, b, ok = vli(b); !ok {
			return 0, sizes, d.fail("block header: size field", flags)
		}
		sizes[i] = int64(v)
	}
	id, b, ok := vli(b)
	if !ok || id != filterLZMA2 || len(b) < 2 || b[0] != 1 {
		return 0, sizes, d.fail("block with a filter other than LZMA2", id)
	}
	bits := b[1] // 5.3.1: 2 or 3, times a power of two
	if bits > 40 {
		return 0, sizes, d.fail("LZMA2 dictionary size", bits)
	}
	for _, pad := range b[2:] {
		if pad != 0 {
			return 0, sizes, d.fail("block header padding", pad)
		}
	}
	return (2 | uint64(bits)&1) << (bits/2 + 11), sizes, nil
}

// vli reads a variable-length integer (1.2).
func vli(b []byte) (uint64, []byte, bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 9 || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// chunks finds the end of the LZMA2 chunks at d.at and adds up their decompressed sizes. The first byte of a chunk says what
// follows: 0: the end; 1 and 2: plain bytes behind a 16-bit size; from 0x80 on: compressed ones behind the lower 16 bits of the
// decompressed size (its upper 5 bits are in the first byte), a 16-bit compressed size, and from 0xc0 on a byte of properties.
func (d *decoder) chunks() (packed []byte, n int, err error) {
	const (
		plain      = 3 // bytes in front of a chunk's data
		compressed = 5
	)
	at := d.at
	for {
		b := d.data[at:]
		if len(b) == 0 {
			return nil, 0, &FormatError{at, "LZMA2 chunks without an end", len(d.data)}
		}
		control, size := b[0], 1
		switch {
		case control == 0:
			return d.data[d.at : at+1], n, nil
		case control <= 2 && len(b) >= plain:
			k := int(binary.BigEndian.Uint16(b[1:])) + 1
			n, size = n+k, plain+k
		case control >= 0x80 && len(b) >= compressed:
			n += int(control&0x1f)<<16 + int(binary.BigEndian.Uint16(b[1:])) + 1
			size = compressed + int(binary.BigEndian.Uint16(b[3:])) + 1
			if control >= 0xc0 {
				size++
			}
		default:
			return nil, 0, &FormatError{at, "LZMA2 chunk; its first byte", control}
		}
		if size > len(b) {
			return nil, 0, &FormatError{at, "LZMA2 chunk reaches beyond the end of the data; size", size}
		}
		if n > d.limit {
			return nil, 0, &FormatError{at, "it decompresses to more than is allowed; bytes", n}
		}
		at += size
	}
}

// decompress expands the chunks of one block to n bytes. A dictionary larger than the block is never used.
func (d *decoder) decompress(packed []byte, n int, dict uint64) ([]byte, error) {
	d.limit -= n
	out := make([]byte, n)
	c := lzma.Reader2Config{DictCap: int(max(min(dict, uint64(n)), lzma.MinDictCap))}
	r, err := c.NewReader2(bytes.NewReader(packed))
	if err == nil {
		_, err = io.ReadFull(r, out)
	}
	if err == nil && n == 0 {
		_, err = r.Read(nil)
	}
	if err != nil && err != io.EOF {
		return nil, d.fail("LZMA2 data", err)
	}
	return out, nil
}

// padding skips the zeros behind what began at start, up to a multiple of four bytes.
func (d *decoder) padding(start int) error {
	for ; (d.at-start)%4 != 0; d.at++ {
		if d.at >= len(d.data) || d.data[d.at] != 0 {
			return d.fail("padding", d.data[min(d.at, len(d.data)-1)])
		}
	}
	return nil
}

// verify compares the block's checksum, which is at d.at, with its contents (3.4).
func (d *decoder) verify(out []byte) error {
	size := checkSizes[d.check]
	if size > len(d.data)-d.at {
		return d.fail("the block's checksum reaches beyond the end of the data; size", size)
	}
	var want []byte
	switch d.check {
	case 1:
		want = binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(out))
	case 4:
		want = binary.LittleEndian.AppendUint64(nil, crc64.Checksum(out, crc64.MakeTable(crc64.ECMA)))
	case 10:
		sum := sha256.Sum256(out)
		want = sum[:]
	}
	if got := d.data[d.at : d.at+size]; !bytes.Equal(got, want) {
		return d.fail("checksum of a block", got)
	}
	d.at += size
	return nil
}

// index reads the index, the footer (2.1.2, 4) and the padding behind them.
func (d *decoder) index() error {
	start := d.at
	b := d.data[start+1:]
	count, b, ok := vli(b)
	if !ok || count != uint64(len(d.blocks)) {
		return d.fail("index: number of blocks", count)
	}
	for _, want := range d.blocks {
		var got blockSize
		if got.unpadded, b, ok = vli(b); ok {
			got.out, b, ok = vli(b)
		}
		if !ok || got != want {
			return d.fail("index: size of a block", got.out)
		}
	}
	d.at = len(d.data) - len(b)
	if err := d.padding(start); err != nil {
		return err
	}
	rest := d.data[d.at:]
	if len(rest) < 4+headerSize || binary.LittleEndian.Uint32(rest) != crc32.ChecksumIEEE(d.data[start:d.at]) {
		return d.fail("checksum of the index; bytes left", len(rest))
	}
	size := d.at + 4 - start
	d.at += 4
	foot := d.data[d.at:]
	back := (uint64(binary.LittleEndian.Uint32(foot[4:])) + 1) * 4
	if crc32.ChecksumIEEE(foot[4:10]) != binary.LittleEndian.Uint32(foot) || back != uint64(size) ||
		!slices.Equal(foot[8:10], d.data[6:8]) || string(foot[10:12]) != footerMagic {
		return d.fail("stream footer; size of the index in it", back)
	}
	d.at += headerSize
	for i, pad := range d.data[d.at:] {
		if pad != 0 {
			return &FormatError{d.at + i, "data behind the stream", pad}
		}
	}
	return nil
}

package audit

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

func yamuxFrame(kind byte, flags uint16, id uint32, body string) []byte {
	h := make([]byte, headerLen)
	h[1] = kind
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint32(h[4:], id)
	binary.BigEndian.PutUint32(h[8:], uint32(len(body)))
	return append(h, body...)
}

func little(numbers ...uint32) string {
	out := make([]byte, 4*len(numbers))
	for i, n := range numbers {
		binary.LittleEndian.PutUint32(out[4*i:], n)
	}
	return string(out)
}

func chunk(n int) string { return little(uint32(n)) + strings.Repeat("c", n) }

// opened is the beginning of a named stream that the peer opens.
var opened = little(0x16, 4, 6) + "echosecret"

func TestReportsEveryViolation(t *testing.T) {
	data := func(flags uint16, body string) []byte { return yamuxFrame(typeData, flags, 1, body) }
	update := func(flags uint16) []byte { return yamuxFrame(typeWindowUpdate, flags, 1, "") }
	start := data(flagSYN, opened)
	cases := []struct {
		name   string
		frames [][]byte
		want   string // empty: no violation
	}{
		{"a message", [][]byte{start, data(0, chunk(1024)+chunk(3)), data(0, chunk(0)), update(flagFIN)}, ""},
		{"all in one", [][]byte{data(flagSYN|flagFIN, opened+chunk(1)+chunk(0))}, ""},
		{"credit after FIN", [][]byte{start, update(flagFIN), update(0)}, ""},
		{"a body cut in two", [][]byte{data(flagSYN, opened[:15]), data(0, opened[15:]+chunk(0))}, ""},
		{"a header cut in two", [][]byte{data(flagSYN, opened[:11]), data(0, opened[11:])}, "header of a wirenet frame"},
		{"a length cut in two", [][]byte{start, data(0, chunk(8)[:2]), data(0, chunk(8)[2:])}, "cut by the end of a Data frame"},
		{"a chunk cut in two", [][]byte{start, data(0, chunk(8)[:9]), data(0, chunk(8)[9:])}, "cut by the end of a Data frame"},
		{"length apart from bytes", [][]byte{start, data(0, little(8)), data(0, "cccccccc")}, "its bytes in the next"},
		{"a length apart, a chunk cut", [][]byte{start, data(0, little(8)), data(0, "cccc"), data(0, "cccc")}, "cut by the end of a Data frame"},
		{"FIN after a length", [][]byte{start, data(flagFIN, little(8))}, "without an end mark"},
		{"a large chunk cut", [][]byte{start, data(0, chunk(2000)[:1500]), data(0, chunk(2000)[1500:])}, "cut by the end of a Data frame"},
		{"a large chunk", [][]byte{start, data(0, chunk(1025))}, "more than 1,024"},
		{"no end mark", [][]byte{start, data(0, chunk(8)), update(flagFIN)}, "without an end mark"},
		{"no end mark, FIN on Data", [][]byte{start, data(flagFIN, chunk(8))}, "without an end mark"},
		{"FIN twice", [][]byte{start, update(flagFIN), update(flagFIN)}, "after FIN"},
		{"data after FIN", [][]byte{start, update(flagFIN), data(0, chunk(0))}, "after FIN"},
		{"SYN twice", [][]byte{start, update(flagSYN)}, "SYN twice"},
		{"ACK of its own stream", [][]byte{start, update(flagACK)}, "ACK twice"},
		{"ACK twice", [][]byte{yamuxFrame(typeWindowUpdate, flagACK, 2, ""), yamuxFrame(typeWindowUpdate, flagACK, 2, "")}, "ACK twice"},
		{"no SYN", [][]byte{data(0, opened)}, "before SYN"},
		{"our id", [][]byte{yamuxFrame(typeData, flagSYN, 2, opened)}, "not the sender's"},
		{"data after RST", [][]byte{start, update(flagRST), data(0, chunk(0))}, "after a reset"},
		{"a reset", [][]byte{start, update(flagRST)}, "reset frame type 1"},
		{"an invalid type", [][]byte{yamuxFrame(9, 0, 1, "")}, "an invalid type or flag"},
		{"a ping on a stream", [][]byte{yamuxFrame(typePing, flagSYN, 1, "")}, "must have stream id 0"},
	}
	for _, c := range cases {
		// Whole frames, and one byte at a time.
		for _, step := range []int{1 << 20, 1} {
			got := complaints(c.frames, step)
			if c.want == "" && len(got) > 0 || c.want != "" && !strings.Contains(strings.Join(got, "\n"), c.want) {
				t.Errorf("%s, in steps of %d: want %q, got %q", c.name, step, c.want, got)
			}
		}
	}
}

func complaints(frames [][]byte, step int) (lines []string) {
	conn := New(nil, "listen", Wire)
	conn.report = func(kind, format string, args ...interface{}) {
		lines = append(lines, kind+" "+fmt.Sprintf(format, args...))
	}
	for _, frame := range frames {
		for len(frame) > 0 {
			n := step
			if n > len(frame) {
				n = len(frame)
			}
			conn.feed(frame[:n])
			frame = frame[n:]
		}
	}
	return lines
}

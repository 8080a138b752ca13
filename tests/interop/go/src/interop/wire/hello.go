package wire

import (
	"encoding/binary"
	"errors"
)

// A hand-written codec for the two protobuf messages of the session handshake. It
// skips unknown fields, and also sends some that the peer does not know.

type hello struct {
	sid, token, identification []byte
	streams                    []string
}

type confirm struct {
	sid     []byte
	streams []string
	err     string
	code    uint64
}

func (h hello) encode() []byte {
	out := field(nil, 1, h.sid)
	out = append(out, 7<<3, 0xac, 0x02)               // varint 300
	out = append(out, 8<<3|1, 1, 2, 3, 4, 5, 6, 7, 8) // fixed64
	out = field(out, 2, h.token)
	out = append(out, 9<<3|5, 1, 2, 3, 4) // fixed32
	out = field(out, 3, h.identification)
	out = field(out, 1000, []byte("from a later version"))
	for _, name := range h.streams {
		out = field(out, 4, []byte(name))
	}
	return out
}

func (c confirm) encode() []byte {
	out := field(nil, 1, c.sid)
	out = append(out, 7<<3, 0xac, 0x02)
	for _, name := range c.streams {
		out = field(out, 2, []byte(name))
	}
	if c.err != "" {
		out = field(out, 3, []byte(c.err))
	}
	return out
}

func decodeHello(p []byte) (h hello, err error) {
	err = fields(p, func(number, _ uint64, body []byte) {
		switch number {
		case 1:
			h.sid = body
		case 2:
			h.token = body
		case 3:
			h.identification = body
		case 4:
			h.streams = append(h.streams, string(body))
		}
	})
	return h, err
}

func decodeConfirm(p []byte) (c confirm, err error) {
	err = fields(p, func(number, value uint64, body []byte) {
		switch number {
		case 1:
			c.sid = body
		case 2:
			c.streams = append(c.streams, string(body))
		case 3:
			c.err = string(body)
		case 15:
			c.code = value
		}
	})
	return c, err
}

// field appends a length-delimited field.
func field(out []byte, number uint64, body []byte) []byte {
	out = varint(out, number<<3|2)
	out = varint(out, uint64(len(body)))
	return append(out, body...)
}

func varint(out []byte, v uint64) []byte {
	var buf [binary.MaxVarintLen64]byte
	return append(out, buf[:binary.PutUvarint(buf[:], v)]...)
}

var errMalformed = errors.New("a malformed protobuf message")

// fields calls each for every field, with its number and its value or its body.
func fields(p []byte, each func(number, value uint64, body []byte)) error {
	take := func() (uint64, bool) {
		v, n := binary.Uvarint(p)
		if n <= 0 {
			return 0, false
		}
		p = p[n:]
		return v, true
	}
	for len(p) > 0 {
		key, ok := take()
		if !ok {
			return errMalformed
		}
		var value, size uint64
		switch key & 7 {
		case 0:
			value, ok = take()
		case 1:
			size = 8
		case 2:
			size, ok = take()
		case 5:
			size = 4
		default:
			ok = false
		}
		if !ok || size > uint64(len(p)) {
			return errMalformed
		}
		each(key>>3, value, p[:size])
		p = p[size:]
	}
	return nil
}

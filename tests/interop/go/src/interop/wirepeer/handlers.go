package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"interop/peer"
	"interop/wire"
)

var handlers = map[string]wire.Handler{
	// alpha sends one message, as in the recorded session `call`.
	"alpha": func(s *wire.Stream) error {
		return s.Send([]byte("hello from alpha"))
	},
	// bare returns without an end mark.
	"bare": func(s *wire.Stream) error { return s.WriteChunk([]byte("no end mark")) },
	// cut returns inside a chunk.
	"cut": func(s *wire.Stream) error {
		if err := s.WriteLength(1000); err != nil {
			return err
		}
		_, err := s.ReadWriteCloser.Write([]byte("cut short"))
		return err
	},
	"echo": echo,
	// The sinks answer each message with its SHA-256.
	"sink.reader": func(s *wire.Stream) error {
		return wire.EachMessage(s.MessageByReader, func(message []byte) error { return sendDigest(s, message) })
	},
	"sink.writeto": func(s *wire.Stream) error {
		return wire.EachMessage(s.Message, func(message []byte) error { return sendDigest(s, message) })
	},
	// The sources answer "SIZE" or "SIZE WRITE" with a pattern of that size. WRITE is
	// the size of the writes.
	"source": func(s *wire.Stream) error {
		return wire.EachMessage(s.Message, func(message []byte) error {
			size, _, err := parseOrder(message)
			if err != nil {
				return err
			}
			return s.Send(peer.Pattern(uint64(size), size))
		})
	},
	"source.writer": func(s *wire.Stream) error {
		return wire.EachMessage(s.Message, func(message []byte) error {
			size, write, err := parseOrder(message)
			if err != nil {
				return err
			}
			return sendByWriter(s, peer.Pattern(uint64(size), size), write)
		})
	},
}

func echo(s *wire.Stream) error {
	return wire.EachMessage(s.Message, s.Send)
}

// parseOrder parses "SIZE" or "SIZE WRITE".
func parseOrder(message []byte) (size, write int, err error) {
	n, err := fmt.Sscan(string(message), &size, &write)
	if n == 1 {
		err = nil
	}
	return size, write, err
}

func sendDigest(s *wire.Stream, message []byte) error {
	return s.Send(digest(message))
}

func digest(message []byte) []byte {
	sum := sha256.Sum256(message)
	return []byte(hex.EncodeToString(sum[:]))
}

// sendByWriter sends a message in writes of the given sizes, which it repeats in turn.
func sendByWriter(s *wire.Stream, data []byte, writes ...int) error {
	w := s.Writer()
	for i := 0; len(data) > 0; i++ {
		n := writes[i%len(writes)]
		if n > len(data) {
			n = len(data)
		}
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return w.Close()
}

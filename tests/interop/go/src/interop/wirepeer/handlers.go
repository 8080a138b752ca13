package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"interop/peer"
)

// handlerOrder is the order in which the names are announced.
var handlerOrder = []string{"alpha", "bare", "cut", "echo", "sink.reader", "sink.writeto", "source", "source.writer"}

var handlers = map[string]handler{
	// alpha says one message, as in the recorded session `call`.
	"alpha": func(s *stream) error {
		_, err := s.ReadFrom(bytes.NewReader([]byte("hello from alpha")))
		return err
	},
	// bare returns without an end mark.
	"bare": func(s *stream) error { return s.writeChunk([]byte("no end mark")) },
	// cut returns inside a chunk.
	"cut": func(s *stream) error {
		if err := s.writeLength(1000); err != nil {
			return err
		}
		_, err := s.ReadWriteCloser.Write([]byte("cut short"))
		return err
	},
	"echo": echo,
	// The sinks answer each message with its SHA-256.
	"sink.reader": func(s *stream) error {
		return eachMessage(s, readByReader, func(message []byte) error { return sendDigest(s, message) })
	},
	"sink.writeto": func(s *stream) error {
		return eachMessage(s, readByWriteTo, func(message []byte) error { return sendDigest(s, message) })
	},
	// The sources answer "SIZE" or "SIZE WRITE" with a pattern of that size.
	"source": func(s *stream) error {
		return eachMessage(s, readByWriteTo, func(message []byte) error {
			size, _, err := order(message)
			if err != nil {
				return err
			}
			_, err = s.ReadFrom(bytes.NewReader(peer.Pattern(uint64(size), size)))
			return err
		})
	},
	"source.writer": func(s *stream) error {
		return eachMessage(s, readByWriteTo, func(message []byte) error {
			size, write, err := order(message)
			if err != nil {
				return err
			}
			return sendByWriter(s, peer.Pattern(uint64(size), size), write)
		})
	},
}

func echo(s *stream) error {
	return eachMessage(s, readByWriteTo, func(message []byte) error {
		_, err := s.ReadFrom(bytes.NewReader(message))
		return err
	})
}

// order reads "SIZE" or "SIZE WRITE".
func order(message []byte) (size, write int, err error) {
	n, err := fmt.Sscan(string(message), &size, &write)
	if n == 1 {
		err = nil
	}
	return size, write, err
}

// eachMessage hands on every message until the stream ends.
func eachMessage(s *stream, read func(*stream) ([]byte, error), then func([]byte) error) error {
	for {
		message, err := read(s)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := then(message); err != nil {
			return err
		}
	}
}

func readByWriteTo(s *stream) ([]byte, error) {
	var message bytes.Buffer
	n, err := s.WriteTo(&message)
	if err == io.EOF && n > 0 {
		err = fmt.Errorf("the stream ended inside a message, after %d bytes", n)
	}
	return message.Bytes(), err
}

func readByReader(s *stream) ([]byte, error) {
	var message bytes.Buffer
	r := reader{stream: s}
	_, err := message.ReadFrom(&r)
	if err == nil && !r.ended {
		err = io.EOF // of the stream: io.EOF of the message leaves r ended
	}
	return message.Bytes(), err
}

func sendDigest(s *stream, message []byte) error {
	sum := sha256.Sum256(message)
	_, err := s.ReadFrom(bytes.NewReader([]byte(hex.EncodeToString(sum[:]))))
	return err
}

func sendByWriter(s *stream, data []byte, write int) error {
	w := writer{s}
	for len(data) > 0 {
		n := write
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

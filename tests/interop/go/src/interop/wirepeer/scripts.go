package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"interop/peer"
)

var sizes = []int{0, 1, 1_023, 1_024, 1_025, 262_144, 8 << 20}

// scripts are what this side opens at the other once the session stands. The
// other side has handlers with the names and manners of those here, and
// `collect`: it notes what it reads, and the kind of end that it meets.
var scripts = map[string]func(*node) error{
	// serve opens nothing.
	"serve": func(n *node) error { return nil },
	// hang-up ends the session as soon as it stands.
	"hang-up": func(n *node) error { return n.session.Close() },
	"echo": func(n *node) error {
		return n.with("echo", func(s *stream) error { return echoSizes(s, readByWriteTo) })
	},
	"echo.reader": func(n *node) error {
		return n.with("echo", func(s *stream) error { return echoSizes(s, readByReader) })
	},
	"writer": func(n *node) error { return n.with("sink", sendLargeChunks) },
	"many": func(n *node) error {
		return peer.All(64, func(i int) error {
			return n.with("echo", func(s *stream) error {
				return echoMessage(s, peer.Pattern(uint64(i), 3_000*i+1), readByReader)
			})
		})
	},
	"call": func(n *node) error {
		return n.with("alpha", func(s *stream) error { return expectMessage(s, []byte("hello from alpha")) })
	},
	"eager": eager,
	"unknown": func(n *node) error {
		return n.expectRefusal("nobody", notFound)
	},
	"forbidden": func(n *node) error {
		return n.expectRefusal("forbidden", "forbidden is not for you")
	},
	"bare": func(n *node) error {
		return n.with("collect", handlers["bare"])
	},
	"cut": func(n *node) error {
		return n.with("collect", handlers["cut"])
	},
}

// with opens a stream, does something with it, and sees it closed.
func (n *node) with(name string, use func(*stream) error) error {
	s, err := n.open(name)
	if err != nil {
		return err
	}
	if err := use(s); err != nil {
		return fmt.Errorf("stream %q: %v", name, err)
	}
	return s.finish()
}

func (n *node) expectRefusal(name, text string) error {
	_, err := n.open(name)
	var refused refusal
	if !errors.As(err, &refused) {
		return fmt.Errorf("an open of %q: %v", name, err)
	}
	if refused.text != text {
		return fmt.Errorf("an open of %q was refused with %q, not %q", name, refused.text, text)
	}
	// Refusing a stream leaves the session as it was.
	return n.with("echo", func(s *stream) error { return echoMessage(s, []byte("on"), readByReader) })
}

func echoSizes(s *stream, read func(*stream) ([]byte, error)) error {
	for _, size := range sizes {
		if err := echoMessage(s, peer.Pattern(uint64(size), size), read); err != nil {
			return fmt.Errorf("echo of %d bytes: %v", size, err)
		}
	}
	return nil
}

func echoMessage(s *stream, message []byte, read func(*stream) ([]byte, error)) error {
	sent := make(chan error, 1)
	go func() {
		_, err := s.ReadFrom(bytes.NewReader(message))
		sent <- err
	}()
	got, err := read(s)
	if err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	return peer.Same(got, message)
}

// sendLargeChunks sends messages whose chunks are as large as the writes.
func sendLargeChunks(s *stream) error {
	for _, write := range []int{1, 100_000, 262_144, 1 << 20} {
		message := peer.Pattern(uint64(write), 3*write+1)
		if err := sendByWriter(s, message, write); err != nil {
			return err
		}
		sum := sha256.Sum256(message)
		if err := expectMessage(s, []byte(hex.EncodeToString(sum[:]))); err != nil {
			return fmt.Errorf("the digest of chunks of %d bytes: %v", write, err)
		}
	}
	return nil
}

// eager sends a message together with the open, before any answer.
func eager(n *node) error {
	message := peer.Pattern(11, 5_000)
	s, err := n.openWith("echo", message)
	if err != nil {
		return err
	}
	if err := expectMessage(s, message); err != nil {
		return err
	}
	return s.finish()
}

func expectMessage(s *stream, want []byte) error {
	got, err := readByReader(s)
	if err == io.EOF {
		return errors.New("the stream ended instead of a message")
	}
	if err != nil {
		return err
	}
	return peer.Same(got, want)
}
